//! Real servers for tests: PostgreSQL, MariaDB, Redis, SMTP, SQLite files, and any other program that listens on a port.
//!
//! Rules that hold for everything started here:
//!
//! 1. Each server has a free loopback port and a folder of its own; nothing is shared between test processes.
//! 2. It is stopped when its value is dropped, and killed by the kernel when the test process dies, however that dies.
//!    What lives in a `shared()` is never dropped, so the second half is what ends it.
//! 3. Folders are removed on drop; those of dead processes when the next test process makes its first folder.
//! 4. A program that is not installed fails the test and says what to install. Nothing is ever skipped.
//!
//! The constructors panic instead of returning errors, since a test has nothing better to do; each has a `try_` form where a
//! test may want to see the failure.
//!
//! ```
//! use bekci_test_support::{Postgres, Redis, psql};
//!
//! let url = Postgres::shared().fresh_database("orders");
//! psql(&url, "CREATE TABLE orders (id bigint); INSERT INTO orders VALUES (7)");
//! assert_eq!(psql(&url, "SELECT id FROM orders"), "7");
//!
//! let redis = Redis::shared();
//! let prefix = redis.fresh_prefix("orders");
//! redis.cli(&["SET", &format!("{prefix}7"), "sold"]);
//! ```

mod chance;
mod failure;
mod folder;
mod link;
mod mariadb;
mod nursery;
mod pgbouncer;
mod port;
mod postgres;
mod program;
mod redis;
mod redis_many;
mod server;
mod smtp;
mod sqlite;
mod user;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use chance::{Chance, Mutator, by_chance, corpus};
pub use failure::Failure;
pub use folder::TempDir;
pub use link::Link;
pub use mariadb::{MariaDb, mariadb_cli, mariadb_shell, try_mariadb_cli};
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::{Postgres, psql, try_psql};
pub use program::find_program;
pub use redis::Redis;
pub use redis_many::{RedisCluster, RedisSentinels};
pub use server::{Server, Service};
pub use smtp::{ReceivedMail, Smtp, SmtpManner};
pub use sqlite::{SqliteFile, sqlite_url, sqlite3_cli, try_sqlite3_cli};

/// A name that no other call in this process gets: `label_1`, `label_2`, and so on.
///
/// Servers belong to one process, so this is enough to keep tests on a shared server apart.
pub fn unique(label: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("{label}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How many rounds a test that counts rounds should run: `long` under `scripts/test --long`, else `short`.
///
/// The sign is the environment variable `BEKCI_TEST_LONG=1`.
pub fn rounds(short: usize, long: usize) -> usize {
    if program::variable("BEKCI_TEST_LONG").is_some_and(|value| value == "1") {
        long
    } else {
        short
    }
}
