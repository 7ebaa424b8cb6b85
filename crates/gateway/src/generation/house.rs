//! The costly part of a generation: store, keys, sign-in. It is built anew only where a change concerns it, since a new one begins with an empty memory.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bekci::Bekci;

use super::{Generation, Ground};
use crate::{
    assemble::{self, AssembleError},
    config::{Config, Loaded, types::Root},
    tenancy::TenantsFrom,
    users,
};

/// The sections of which the library sees nothing, and the keys of others that are like them.
const ROUTING: [&str; 8] = [
    "routes",
    "cors",
    "messages",
    "server.decision_preset",
    "server.decision_attributes",
    "server.strip_headers",
    "limits.identity_header_bytes",
    "limits.decision_header_bytes",
];
/// How long a new store may take until it decides from memory.
const LOOKS: u32 = 2_000;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A store with its node, keys and ways in; shared by generations between which nothing of it changed.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) bekci: Bekci,
    policy: Option<PolicyModel>,
    users: users::Contents,
    tenants: TenantsFrom,
}

/// The policy model that a store was opened with, as it stood in its file. `None`: no route asks policies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PolicyModel {
    path: PathBuf,
    text: Option<String>,
}

impl PolicyModel {
    fn of(config: &Config) -> Option<Self> {
        let is_asked = config.routes.iter().any(|route| route.policy);
        is_asked.then(|| Self {
            path: config.policy.model.clone(),
            text: std::fs::read_to_string(&config.policy.model).ok(),
        })
    }
}

impl House {
    /// The house of `before` where nothing of it changed, else a new one that is ready to decide.
    pub(super) async fn open(
        ground: &Ground,
        loaded: &Loaded,
        before: Option<&Generation>,
    ) -> Result<Arc<Self>, AssembleError> {
        let policy = PolicyModel::of(&loaded.config);
        // As they are before they are read: what changes from now on is seen as a change.
        let users = users::contents(&loaded.config);
        let tenants = TenantsFrom::of(&loaded.config);
        if let Some(before) = before
            && before.house.policy == policy
            && before.house.users == users
            && before.house.tenants == tenants
            && changes(&before.loaded, loaded).all(|key| is_routing(&key))
        {
            return Ok(Arc::clone(&before.house));
        }
        let config = &loaded.config;
        assemble::schema(config, &ground.database, config.database.auto_migrate).await?;
        let bekci = assemble::bekci(config, ground.database.clone(), Arc::clone(&ground.metrics)).await?;
        let house = Arc::new(Self {
            bekci,
            policy,
            users,
            tenants,
        });
        while !until_trusted(&house.bekci).await {
            if before.is_some() {
                leave(house).await;
                return Err(AssembleError::NotReady);
            }
            // There is no other generation that could answer. What does not listen is asked nothing.
            tracing::warn!("the gateway does not listen yet: its node has not read the changes of the database");
        }
        Ok(house)
    }
}

impl House {
    /// Whether a file beside the configuration, as it is now, would make another house of this configuration.
    pub(super) fn is_out_of_date(&self, config: &Config) -> bool {
        self.policy != PolicyModel::of(config) || self.users != users::contents(config)
    }
}

/// The keys that differ, but for a root secret that was missing at the start and is the one that the start made.
pub(super) fn changes(old: &Loaded, new: &Loaded) -> impl Iterator<Item = String> {
    let made = matches!(old.config.secrets.root(), Root::Missing(_));
    let changes = old.changes_in(new).into_iter().map(|change| change.key);
    changes.filter(move |key| !(made && key == "secrets.root"))
}

fn is_routing(key: &str) -> bool {
    ROUTING.iter().any(|routing| {
        let rest = key.strip_prefix(routing);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Closes the house unless another generation has it as well.
pub(super) async fn leave(house: Arc<House>) {
    if let Some(last) = Arc::into_inner(house) {
        last.bekci.close().await;
    }
}

/// Waits until the node has a lease and decides from memory; `false`: it has none after 10 s.
pub(crate) async fn until_trusted(bekci: &Bekci) -> bool {
    for _ in 0..LOOKS {
        if bekci.store().is_trusted() {
            return true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    false
}
