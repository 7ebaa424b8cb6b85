//! `[database]` and `[identity_cache]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::config::schema::{Fallback::Absent, Fallback::Computed, Fallback::Toml, Kind, range, settings};
use crate::config::tree::Value;
use crate::config::values::choice;
use crate::config::values::names::Sentence;
use crate::config::values::secret::{self, Secret};
use crate::config::values::time::{Millis, Seconds};
use crate::config::values::url::{Parts, percent_encoded};

settings! {
    /// The database that holds accounts, rights and sessions.
    Database {
        /// `sqlite://path`, `postgres://user@host/name`, or `mysql://user@host/name` for MariaDB 10.6 or later.
        url: Secret [Kind::Secret(&secret::DATABASE_URL)] = Toml("'sqlite://data/bekci.db'");
        /// The user, in place of the one in the URL.
        user: Option<Sentence> = Absent;
        /// The password, in place of the one in the URL.
        password: Option<Secret> = Absent;
        /// How many connections ask the database at most. With PostgreSQL one more listens for changes.
        max_connections: u32 [range(1, 1_000)] = Toml("10");
        /// Whether the start brings the schema up to date. Else it refuses to start on an old one.
        auto_migrate: bool = Computed { says: "true with SQLite, else false", value: |facts| Value::Bool(facts.is_sqlite) };
    }
}

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    /// A file, owned by one process at a time.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MariaDB server.
    MariaDb,
}

impl Database {
    /// The kind of database that the URL names.
    pub(crate) fn kind(&self) -> DatabaseKind {
        if self.url.starts_with("sqlite:") {
            DatabaseKind::Sqlite
        } else if self.url.starts_with("mysql:") || self.url.starts_with("mariadb:") {
            DatabaseKind::MariaDb
        } else {
            DatabaseKind::Postgres
        }
    }

    /// The URL with `user` and `password` put in.
    pub(crate) fn effective_url(&self) -> SecretString {
        let url = self.url.text();
        if self.user.is_none() && self.password.is_none() {
            return url;
        }
        with_credentials(
            &url,
            self.user.as_ref().map(Sentence::as_str),
            self.password.as_ref(),
            None,
            None,
        )
    }

    /// The file of an SQLite database, where it is one that stays.
    pub(crate) fn sqlite_path(&self) -> Option<PathBuf> {
        let url = self.url.text();
        let path = url.expose_secret().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
        (!path.is_empty() && path != ":memory:").then(|| path.into())
    }
}

/// The URL with some of its parts replaced.
pub(super) fn with_credentials(
    url: &SecretString,
    user: Option<&str>,
    password: Option<&Secret>,
    host: Option<&str>,
    port: Option<u16>,
) -> SecretString {
    let Some(parts) = Parts::of(url.expose_secret()) else {
        return url.clone();
    };
    let user = user.map_or_else(|| parts.user().to_owned(), percent_encoded);
    let password = match password {
        Some(password) => Some(percent_encoded(password.text().expose_secret())),
        None => parts.password().map(str::to_owned),
    };
    let mut made = format!("{}://{user}", parts.scheme);
    if let Some(password) = &password {
        made.push(':');
        made.push_str(password);
    }
    if password.is_some() || !user.is_empty() {
        made.push('@');
    }
    made.push_str(host.unwrap_or(parts.host));
    if let Some(port) = port.or(parts.port) {
        made.push_str(&format!(":{port}"));
    }
    made.push_str(parts.rest);
    SecretString::from(made)
}

choice! {
    /// Where a decision takes the identity from.
    IdentityConsistency {
        /// From the process's own cache, which is told of every change.
        L1 = "l1",
        /// From the database, at each request.
        Direct = "direct",
    }
}

settings! {
    /// How fresh a cached identity has to be.
    IdentityCache {
        /// `l1`: from the process's own cache, which is told of every change before the change returns. `direct`: from the database. A route can ask for
        /// `direct` by itself.
        consistency: IdentityConsistency = Toml("'l1'");
        /// How old a cached identity may be where a change was made behind Bekci's back (raw SQL), and how long a node goes on deciding without its
        /// database.
        max_staleness_ms: Millis [range(100, 60_000)] = Computed {
            says: "1000 with SQLite, else 5000",
            value: |facts| Value::Integer(if facts.is_sqlite { 1_000 } else { 5_000 }),
        };
        /// How often a node asks the database for changes.
        poll_ms: Millis [range(5, 10_000)] = Toml("50");
        /// How long an identity stays in Redis.
        ttl_seconds: Seconds [range(1, 604_800)] = Toml("7200");
        /// How many cached identities each node compares with the database a minute, of its memory and of Redis each (`bekci_cache_drift_total`). `0`: none.
        drift_checks_per_minute: u32 [range(0, 6_000)] = Toml("6");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::secret::SecretSource;

    fn database(url: &str) -> Database {
        let secret = |text| Secret::from_text(SecretSource::Inline, text);
        Database {
            url: secret(url),
            user: None,
            password: Some(secret("p@ss:/")),
            max_connections: 1,
            auto_migrate: false,
        }
    }

    #[test]
    fn a_password_of_its_own_replaces_the_one_in_the_url_and_cannot_change_the_host() {
        let url = database("postgres://app:old@db.internal:5433/shop?sslmode=require").effective_url();
        assert_eq!(
            url.expose_secret(),
            "postgres://app:p%40ss%3A%2F@db.internal:5433/shop?sslmode=require"
        );
        let url = database("mysql://app:old@db.internal/shop").effective_url();
        assert_eq!(url.expose_secret(), "mysql://app:p%40ss%3A%2F@db.internal/shop");
        let url = database("postgres://db/shop").effective_url();
        assert_eq!(url.expose_secret(), "postgres://:p%40ss%3A%2F@db/shop");
    }

    #[test]
    fn the_file_of_sqlite_is_known_and_memory_has_none() {
        let path = |url: &str| database(url).sqlite_path();
        assert_eq!(path("sqlite://data/bekci.db?mode=rwc"), Some("data/bekci.db".into()));
        assert_eq!(path("sqlite:///var/lib/bekci.db"), Some("/var/lib/bekci.db".into()));
        assert_eq!(path("sqlite::memory:"), None);
        assert_eq!(path("postgres://a/b"), None);
    }
}
