//! Whether the gateway can serve: asked by `/readyz`.

use std::time::Duration;

use bekci::Bekci;
use bekci_core::BoxFuture;

use crate::{
    assemble,
    generation::Current,
    ops::{Check, Readiness},
    serve::{HINTS_ARE_LOST, REDIS_IS_DOWN},
};

/// A look at the database may take this long.
const WITHIN: Duration = Duration::from_secs(2);

/// Looks at database, schema, lease, keys, Redis and policy of the current generation, and whether a newer configuration was refused.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Current);

async fn schema(bekci: &Bekci) -> (Option<String>, Option<String>) {
    match tokio::time::timeout(WITHIN, bekci.schema_status()).await {
        Err(_) => (Some("it does not answer".to_owned()), Some("not known".to_owned())),
        Ok(Err(error)) => (Some(error.to_string()), Some("not known".to_owned())),
        Ok(Ok(status)) if status.is_current() => (None, None),
        Ok(Ok(status)) => {
            let lacking = assemble::lacking(&status);
            (None, Some(format!("out of date; {lacking}; run `bekci migrate up`")))
        }
    }
}

fn keys(bekci: &Bekci) -> Option<String> {
    let keys = bekci.keys().keys();
    let mut guards = bekci.watch().guards();
    let keyless = guards.find(|guard| !keys.iter().any(|key| key.guard == guard.name));
    keyless.map(|guard| format!("guard {} has none", guard.name))
}

/// Redis, where it is used, by what it is used for.
async fn redis(bekci: &Bekci) -> Option<Option<String>> {
    let report = match tokio::time::timeout(WITHIN, bekci.store().try_redis()).await {
        Ok(report) => report?,
        Err(_) => return Some(Some(format!("it does not answer; {REDIS_IS_DOWN}"))),
    };
    Some(match (report.problem, report.hints) {
        (Some(problem), _) => Some(format!("{problem}; {REDIS_IS_DOWN}")),
        (None, Some(problem)) => Some(format!("{problem}; {HINTS_ARE_LOST}")),
        (None, None) => None,
    })
}

fn policy(bekci: &Bekci) -> Option<String> {
    let fault = bekci.store().policies().fault()?;
    Some(format!("{fault}; routes that ask it are denied"))
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
            let lease =
                (!bekci.store().is_trusted()).then(|| "this node has not read the changes of others lately".to_owned());
            let needed = |name, problem| Check {
                name,
                problem,
                serves_without: false,
            };
            // Every node has the same policy and is given the same file: one that were not ready for these would take all of them out, and with them what
            // they do serve.
            let wished = |name, problem| Check {
                name,
                problem,
                serves_without: true,
            };
            let redis = redis(bekci).await.map(|problem| wished("redis", problem));
            let mut checks = vec![
                needed("database", database),
                needed("schema", schema),
                needed("lease", lease),
                needed("keys", keys(bekci)),
                wished("policy", policy(bekci)),
                wished("configuration", self.0.refused()),
            ];
            checks.extend(redis);
            checks
        })
    }
}
