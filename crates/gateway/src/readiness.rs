//! Whether the gateway can serve: asked by `/readyz`.

use std::time::Duration;

use bekci::Bekci;
use bekci_core::BoxFuture;

use crate::{
    generation::Current,
    ops::{Check, Readiness},
};

/// A look at the database may take this long.
const WITHIN: Duration = Duration::from_secs(2);

/// Looks at database, schema, cache and keys of the current generation.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Current);

async fn schema(bekci: &Bekci) -> (Option<String>, Option<String>) {
    match tokio::time::timeout(WITHIN, bekci.schema_status()).await {
        Err(_) => (Some("it does not answer".to_owned()), Some("not known".to_owned())),
        Ok(Err(error)) => (Some(error.to_string()), Some("not known".to_owned())),
        Ok(Ok(status)) if status.is_current() => (None, None),
        Ok(Ok(_)) => (None, Some("out of date; run `bekci migrate up`".to_owned())),
    }
}

fn keys(bekci: &Bekci) -> Option<String> {
    let keys = bekci.keys().keys();
    let mut guards = bekci.watch().guards();
    let keyless = guards.find(|guard| !keys.iter().any(|key| key.guard == guard.name));
    keyless.map(|guard| format!("guard {} has none", guard.name))
}

impl Readiness for Ready {
    fn unapplied(&self) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async {
            let generation = self.0.now();
            let counted = tokio::time::timeout(WITHIN, generation.bekci().store().unapplied()).await;
            counted.ok()?.ok()
        })
    }

    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async {
            let generation = self.0.now();
            let bekci = generation.bekci();
            let (database, schema) = schema(bekci).await;
            let cache =
                (!bekci.store().is_trusted()).then(|| "this node has not read the changes of others lately".to_owned());
            vec![
                Check {
                    name: "database",
                    problem: database,
                },
                Check {
                    name: "schema",
                    problem: schema,
                },
                Check {
                    name: "cache",
                    problem: cache,
                },
                Check {
                    name: "keys",
                    problem: keys(bekci),
                },
            ]
        })
    }
}
