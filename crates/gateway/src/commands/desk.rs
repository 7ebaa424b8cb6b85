//! What most commands work at: the parts that `serve` is made of, on the same database, without a node of their own.

use std::os::unix::fs::MetadataExt;

use bekci::Bekci;
use bekci_core::{GuardName, Identity, ModelName, ModelSpec, PrincipalKey, RoleName, TenantName};
use bekci_store::{Actor, Directory, RoleEntry, Scope, Store};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::answer::{Failure, listed};
use crate::{assemble, config::Config};

/// The parts, put together for one command.
pub(crate) struct Desk<'a> {
    pub(crate) bekci: Bekci,
    pub(crate) config: &'a Config,
}

/// Runs one command's work on a database that is there and up to date: neither is made by the way.
pub(crate) async fn at_desk<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Desk<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(path) = config.database.sqlite_path()
        && !path.exists()
    {
        return Err(Failure::of(format!(
            "there is no database {}; `bekci migrate up` makes it, and --config says where another one is",
            path.display()
        )));
    }
    let database = assemble::database(config).await.map_err(Failure::of)?;
    assemble::schema(config, &database, false).await.map_err(Failure::of)?;
    let bekci = assemble::quiet(config, database).await.map_err(Failure::of)?;
    let desk = Desk { bekci, config };
    let done = work(&desk).await;
    desk.bekci.close().await;
    done
}

impl Desk<'_> {
    /// The store, whose changes are told as those of the user of this machine.
    pub(crate) fn store(&self) -> Store {
        store_of(&self.bekci)
    }

    pub(crate) fn directory(&self) -> Directory {
        self.store().directory()
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.bekci.watch().clock().now()
    }

    pub(crate) fn model(&self, name: &ModelName) -> Result<&ModelSpec, Failure> {
        let known = || listed(self.bekci.store().models().iter().map(|model| &model.name));
        let model = self.bekci.watch().model(name);
        model.ok_or_else(|| Failure::not_found(format!("there is no model {name}; there are: {}", known())))
    }

    /// A key in the canonical spelling of its model.
    pub(crate) fn key(&self, key: &PrincipalKey) -> Result<PrincipalKey, Failure> {
        let name = ModelName::new(key.model()).map_err(Failure::invalid)?;
        self.model(&name)?.key(key.id()).map_err(Failure::invalid)
    }

    /// An account as the database has it now.
    pub(crate) async fn account(&self, key: &PrincipalKey) -> Result<Identity, Failure> {
        let key = self.key(key)?;
        let found = self.directory().find(&key).await?;
        found.ok_or_else(|| Failure::not_found(format!("there is no account {key}")))
    }

    /// A guard of the configuration, or all of them.
    pub(crate) fn known_guard(&self, named: &GuardName) -> Result<GuardName, Failure> {
        let known = || listed(self.config.guards.keys());
        match self.config.guards.contains_key(named) {
            true => Ok(named.clone()),
            false => Err(Failure::not_found(format!(
                "there is no guard {named}; there are: {}",
                known()
            ))),
        }
    }

    /// The guard that is meant for a principal: the one that is named, else the model's only one, else the one of the model's own name.
    pub(crate) fn guard_for(&self, named: Option<&GuardName>, key: &PrincipalKey) -> Result<GuardName, Failure> {
        self.guard_of(named, key.model())
    }

    /// The same for any principal of a model.
    pub(crate) fn guard_of(&self, named: Option<&GuardName>, model: &str) -> Result<GuardName, Failure> {
        let fits = |guard: &GuardName| {
            let section = self.config.guards.get(guard);
            section.is_some_and(|section| section.model.as_str() == model)
        };
        if let Some(named) = named {
            let named = self.known_guard(named)?;
            return match fits(&named) {
                true => Ok(named),
                false => Err(Failure::invalid(format!(
                    "guard {named} is not for model {model}, whose rights it could never use"
                ))),
            };
        }
        let own: Vec<&GuardName> = self.config.guards.keys().filter(|guard| fits(guard)).collect();
        let of_its_name = own.iter().find(|guard| guard.as_str() == model);
        match (own.as_slice(), of_its_name) {
            ([only], _) => Ok((*only).clone()),
            (_, Some(named)) => Ok((*named).clone()),
            _ => Err(Failure::invalid(format!(
                "model {model} has several guards ({}): say which with --guard",
                listed(own)
            ))),
        }
    }

    /// The guard of a role or permission: the one that is named, else the only one.
    pub(crate) fn guard(&self, named: Option<&GuardName>) -> Result<GuardName, Failure> {
        match (named, self.config.guards.keys().collect::<Vec<_>>().as_slice()) {
            (Some(named), _) => self.known_guard(named),
            (None, [only]) => Ok((*only).clone()),
            (None, several) => Err(Failure::invalid(format!(
                "there are several guards ({}): say which with --guard",
                listed(several)
            ))),
        }
    }

    /// The role that counts by this name in a scope: the tenant's own, else the global one.
    pub(crate) async fn role(&self, scope: &Scope, name: &RoleName) -> Result<RoleEntry, Failure> {
        let roles = self.bekci.store().rights().roles(&scope.guard).await?;
        role_of(&roles, scope, name).cloned()
    }
}

/// The role of these of a guard that counts by this name in a scope: the tenant's own, else the global one.
pub(crate) fn role_of<'a>(roles: &'a [RoleEntry], scope: &Scope, name: &RoleName) -> Result<&'a RoleEntry, Failure> {
    let named = |tenant: Option<&TenantName>| {
        let mut roles = roles.iter();
        roles.find(|role| role.name == *name && role.scope.tenant.as_ref() == tenant)
    };
    let found = named(scope.tenant.as_ref()).or_else(|| named(None));
    found.ok_or_else(|| {
        let here = roles
            .iter()
            .filter(|role| role.scope.tenant.is_none() || role.scope.tenant == scope.tenant);
        let here = listed(here.map(|role| &role.name));
        let tenant = scope.tenant.as_ref().map(|tenant| format!(" --tenant {tenant}"));
        Failure::not_found(format!(
            "guard {guard} has no role {name} here; it has: {here}. To make it: bekci role add {name} --guard {guard}{}",
            tenant.unwrap_or_default(),
            guard = scope.guard
        ))
    })
}

/// A time in RFC 3339, in UTC.
pub(crate) fn moment(time: OffsetDateTime) -> Option<String> {
    time.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()
}

/// The store, whose changes are told as those of the user of this machine.
pub(crate) fn store_of(bekci: &Bekci) -> Store {
    let user = std::fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |own| own.uid().to_string());
    bekci.store().by(Actor::named(format!("command-line:{user}")))
}
