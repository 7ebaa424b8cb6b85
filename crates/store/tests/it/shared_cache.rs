//! The shared cache lies, loses, revives and stops answering: it costs time, and never decides.

mod entries;
mod outage;
mod seal;

use std::sync::Arc;

use bekci_core::{AuthGuard, Consistency, PrincipalKey};
use bekci_store::{RedisSettings, Store};
use bekci_test_support::Redis;

use crate::scene::{Ask, Scene};

/// Runs each function of a suite on the stores that have a shared cache.
macro_rules! with_redis {
    ($($name:ident),* $(,)?) => {
        crate::scene::on_every_store!(@kind sqlite_and_redis, SqliteRedis, $($name),*);
        crate::scene::on_every_store!(@kind postgres_and_redis, PostgresRedis, $($name),*);
        crate::scene::on_every_store!(@kind mariadb_and_redis, MariaDbRedis, $($name),*);
    };
}
use with_redis;

/// The shared cache as somebody sees it who can reach Redis and nothing else.
struct Outside {
    server: &'static Redis,
    settings: RedisSettings,
}

impl Outside {
    fn of(scene: &Scene) -> Self {
        Self {
            server: Redis::shared(),
            settings: scene.redis().unwrap().clone(),
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.settings.prefix)
    }

    fn get(&self, key: &str) -> String {
        self.server.cli(&["GET", &self.name(key)]).trim_end().to_owned()
    }

    fn put(&self, key: &str, value: &str) {
        self.server.cli(&["SET", &self.name(key), value, "EX", "600"]);
    }

    fn delete(&self, key: &str) {
        self.server.cli(&["DEL", &self.name(key)]);
    }

    /// The label of an entry: version and epoch.
    fn label(value: &str) -> (u64, u64) {
        let sealed: serde_json::Value = serde_json::from_str(value).unwrap();
        (
            sealed["entry"]["version"].as_u64().unwrap(),
            sealed["entry"]["epoch"].as_u64().unwrap(),
        )
    }
}

/// Whether a principal may, on each node and by each consistency; all must say the same.
async fn may(nodes: &[&Store], who: &PrincipalKey, guard: &Arc<AuthGuard>, permission: &str) -> bool {
    let mut answers = Vec::new();
    for node in nodes {
        for consistency in [Consistency::L1, Consistency::Direct] {
            let ask = Ask {
                consistency,
                ..Ask::of(who, guard)
            };
            answers.push(ask.can(node, permission).await);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the nodes do not agree");
    answers[0]
}
