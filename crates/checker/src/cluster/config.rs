//! The configuration of the gateways.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use bekci_test_support::free_port;

use super::Cluster;

/// The first admin.
pub(crate) const ADMIN: &str = "ada@admin.test";
/// Where customers have their addresses.
pub(crate) const CUSTOMER_DOMAIN: &str = "customer.test";
/// The password of every account.
pub(crate) const PASSWORD: &str = "lantern orbit meadow seven";

/// Where one node listens and what it reaches.
pub(super) struct Place {
    pub(super) port: u16,
    pub(super) ops: u16,
    pub(super) database: String,
    pub(super) redis: Option<SocketAddr>,
}

impl Cluster {
    /// Of the commands, which reach everything directly.
    pub(super) fn commands_config(&self) -> String {
        let redis = self
            .redis
            .as_ref()
            .and_then(|redis| redis.url().trim_start_matches("redis://").parse().ok());
        let place = Place {
            port: free_port(),
            ops: free_port(),
            database: self.database.url(None),
            redis,
        };
        self.config(&place, 1_000, 0)
    }

    /// Of one node; each generation differs from the one before in a key for which a new store is opened.
    pub(super) fn config(&self, place: &Place, staleness_ms: u64, generation: u64) -> String {
        let keys = self.keys();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/casbin_model.conf");
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\nops_listen = \"127.0.0.1:{}\"\npublic_url = \"http://bekci.test\"\n\
             trusted_proxies = [\"127.0.0.1/32\"]\nworkers = 1\nshutdown_timeout_seconds = 1\n\
             [database]\nurl = \"{}\"\nmax_connections = 8\n\
             [identity_cache]\nmax_staleness_ms = {staleness_ms}\npoll_ms = {}\nttl_seconds = {}\n\
             [token]\nkeys_dir = \"{keys}\"\n[secrets]\nroot = {{ file = \"{keys}/root\" }}\n\
             [policy]\nmodel = \"{}\"\nseed = \"{}\"\n[log]\nlevel = \"error\"\n",
            place.port,
            place.ops,
            place.database,
            self.poll_ms,
            600 + generation % 100,
            model.display(),
            self.policy_file().display(),
            keys = keys.display(),
        );
        if let Some(redis) = place.redis {
            let _written = write!(text, "[redis]\nenabled = true\nurl = \"redis://{redis}\"\n");
        }
        for guard in ["admin", "customer"] {
            let _written = write!(
                text,
                "[guards.{guard}]\naccess_ttl_seconds = 3600\nmax_sessions = 10000\n\
                 password_hash = {{ memory_kib = 7168, iterations = 1, lanes = 1 }}\n\
                 rate_limit = {{ sign_in = \"100000/min\", refresh = \"100000/min\" }}\n"
            );
        }
        for (id, rule) in [
            ("l1", "guards = [\"customer\"]"),
            ("direct", "guards = [\"customer\"]\nconsistency = \"direct\""),
            ("pol", "guards = [\"customer\"]\npolicy = true"),
        ] {
            let _written = write!(
                text,
                "[[routes]]\nid = \"{id}\"\npaths = [\"/{id}/**\"]\n{rule}\nupstream = \"http://127.0.0.1:9\"\n"
            );
        }
        text
    }
}
