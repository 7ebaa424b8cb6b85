//! Starts the servers of the tests and holds them, for work by hand: `cargo run -p bekci-test-support`.
//!
//! Prints one line a server, `<name> <url>`, and ends, servers and all, with its standard input.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io;

use bekci_test_support::{Failure, MariaDb, Postgres, Redis, SqliteFile};

fn main() -> Result<(), Failure> {
    let redis = Redis::try_start()?;
    let postgres = Postgres::try_start()?;
    let mariadb = MariaDb::try_start()?;
    let sqlite = SqliteFile::new();
    println!("redis {}", redis.url());
    println!("postgres {}", postgres.url_for("postgres"));
    println!("mariadb {}", mariadb.url_for(""));
    println!("sqlite {}", sqlite.url());
    // Ends at the end of the input; what is typed before means nothing.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    Ok(())
}
