//! Whether the gateway can serve: asked by `/readyz`.

use std::time::Duration;

use bekci::Bekci;
use bekci_core::BoxFuture;

use crate::ops::{Check, Readiness};

/// A look at the database may take this long.
const WITHIN: Duration = Duration::from_secs(2);

/// Looks at database, schema, cache and keys.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Bekci);

impl Ready {
    async fn schema(&self) -> (Option<String>, Option<String>) {
        match tokio::time::timeout(WITHIN, self.0.schema_status()).await {
            Err(_) => (Some("it does not answer".to_owned()), Some("not known".to_owned())),
            Ok(Err(error)) => (Some(error.to_string()), Some("not known".to_owned())),
            Ok(Ok(status)) if status.is_current() => (None, None),
            Ok(Ok(_)) => (None, Some("out of date; run `bekci migrate up`".to_owned())),
        }
    }

    fn keys(&self) -> Option<String> {
        let keys = self.0.keys().keys();
        let keyless = self
            .0
            .watch()
            .guards()
            .find(|guard| !keys.iter().any(|key| key.guard == guard.name));
        keyless.map(|guard| format!("guard {} has none", guard.name))
    }
}

impl Readiness for Ready {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async {
            let (database, schema) = self.schema().await;
            let cache = (!self.0.store().is_trusted())
                .then(|| "this node has not read the changes of others lately".to_owned());
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
                    problem: self.keys(),
                },
            ]
        })
    }
}
