//! How long a change of rights waits for the other nodes, and what a node asks of the database at rest: `cargo run --release -p bekci-store --example barrier`.
//!
//! It measures, and fails nothing. Each number of nodes has a database of its own, with nodes that have pools of their own and the loop of a gateway. One node changes an account, one call after
//! the other; each call returns when every node decides by it. `--database mariadb` or `sqlite` in place of PostgreSQL, `--redis` adds Redis, `--poll 20` sets the interval of the loop in milliseconds,
//! `--writes 300` how many calls, `--nodes 1,3,8` how many nodes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot be set up has nothing to measure"
)]

use std::{io::Write as _, sync::Arc, time::Duration};

use bekci_core::{Clock, IdKind, ModelName, ModelSpec, RootSecret, Unmetered};
use bekci_store::{CacheSettings, RedisSettings, Store, StoreSettings, SystemClock};
use bekci_test_support::{MariaDb, Postgres, Redis, SqliteFile};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use secrecy::SecretString;

#[derive(Debug)]
struct Chance;

impl bekci_core::Entropy for Chance {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let count = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_be_bytes();
        buffer
            .iter_mut()
            .zip(count.iter().cycle())
            .for_each(|(byte, count)| *byte = *count);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Database {
    Postgres,
    MariaDb,
    Sqlite,
}

struct Options {
    database: Database,
    nodes: Vec<usize>,
    poll: Duration,
    writes: usize,
    rest: Duration,
    redis: bool,
}

impl Options {
    fn of_this_process() -> Self {
        let mut options = Self {
            database: Database::Postgres,
            nodes: vec![1, 3, 8],
            poll: Duration::from_millis(20),
            writes: 300,
            rest: Duration::from_secs(10),
            redis: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap();
            match name.as_str() {
                "--redis" => options.redis = true,
                "--database" => {
                    options.database = match value().as_str() {
                        "postgres" => Database::Postgres,
                        "mariadb" => Database::MariaDb,
                        "sqlite" => Database::Sqlite,
                        other => panic!("{other} is no database: postgres, mariadb, sqlite"),
                    };
                }
                "--nodes" => options.nodes = value().split(',').map(|count| count.parse().unwrap()).collect(),
                "--poll" => options.poll = Duration::from_millis(value().parse().unwrap()),
                "--writes" => options.writes = value().parse().unwrap(),
                "--rest" => options.rest = Duration::from_secs(value().parse().unwrap()),
                other => panic!(
                    "{other} is unknown: --database postgres, --redis, --nodes 1,3,8, --poll 20, --writes 300, --rest 10"
                ),
            }
        }
        options
    }
}

fn model() -> ModelSpec {
    ModelSpec {
        id_kind: IdKind::Integer,
        ..ModelSpec::new(ModelName::new("customer").unwrap(), "customers")
    }
}

fn table(model: &ModelSpec) -> bekci_migration::ModelTable {
    bekci_migration::ModelTable {
        model: model.name.to_string(),
        table: model.table.clone(),
        id_column: model.id_column.clone(),
        id_kind: bekci_migration::IdKind::Integer,
        identifiers: model.identifiers.iter().map(|(column, _)| column.clone()).collect(),
        password_column: model.password_column.clone(),
        status_column: model.status_column.clone(),
        verified_column: model.verified_column.clone(),
        tenant_column: model.tenant_column.clone(),
        attributes: Vec::new(),
        watched_columns: model.watched_columns().into_iter().map(str::to_owned).collect(),
    }
}

async fn node(url: &str, options: &Options, redis: Option<&RedisSettings>) -> Store {
    let pool = bekci_store::connect(&SecretString::from(url), 5).await.unwrap();
    let settings = StoreSettings {
        models: vec![model()],
        providers: bekci_store::Providers::default(),
        guards: Vec::new(),
        cache: CacheSettings {
            poll: options.poll,
            ..CacheSettings::default()
        },
        redis: redis.cloned(),
        policy: None,
        root: Arc::new(RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap()),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Chance),
        meter: Arc::new(Unmetered),
    };
    let store = Store::open(pool, settings).await.unwrap();
    while !store.is_trusted() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store
}

/// What the server has answered: PostgreSQL counts transactions, of which a statement outside of one is one; MariaDB counts statements. `None`: SQLite does not count.
async fn statements(url: &str) -> Option<i64> {
    let pool = bekci_store::connect(&SecretString::from(url), 1).await.unwrap();
    let backend = pool.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        DbBackend::MySql => {
            "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'QUESTIONS'"
        }
        _ => return None,
    };
    let row = pool.query_one_raw(Statement::from_string(backend, sql)).await.unwrap();
    Some(row.unwrap().try_get_by_index(0).unwrap())
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few hundred samples"
    )]
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).unwrap().as_secs_f64() * 1_000.0
}

async fn measure(count: usize, options: &Options) -> String {
    let file;
    let url = match options.database {
        Database::Postgres => Postgres::shared().fresh_database("barrier"),
        Database::MariaDb => MariaDb::shared().fresh_database("barrier"),
        Database::Sqlite => {
            file = SqliteFile::new();
            file.url()
        }
    };
    let pool = bekci_store::connect(&SecretString::from(url.as_str()), 1)
        .await
        .unwrap();
    bekci_migration::up(&pool, &[table(&model())]).await.unwrap();
    let account = "INSERT INTO customers (id, email, name, status) VALUES (1, 'c1@example.com', 'One', 'active')";
    pool.execute_unprepared(account).await.unwrap();
    let redis = options.redis.then(|| RedisSettings {
        ca_file: None,
        url: Redis::shared().url().into(),
        prefix: Redis::shared().fresh_prefix("barrier"),
    });
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node(&url, options, redis.as_ref()).await);
    }
    let writer = nodes.first().unwrap().connection();
    let mut took = Vec::new();
    for call in 0..options.writes + 20 {
        let status = if call % 2 == 0 { "banned" } else { "active" };
        let sql = format!("UPDATE customers SET status = '{status}' WHERE id = 1");
        let began = SystemClock.uptime();
        writer.execute_unprepared(&sql).await.unwrap();
        // The first ones find nothing prepared.
        if call >= 20 {
            took.push(SystemClock.uptime() - began);
        }
    }
    took.sort_unstable();
    // PostgreSQL counts what a connection did up to 10 s after it became idle.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = statements(&url).await;
    tokio::time::sleep(options.rest).await;
    let after = statements(&url).await;
    for node in nodes {
        node.close().await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand statements")]
    let a_second = before.zip(after).map_or("-".to_owned(), |(before, after)| {
        format!(
            "{:.0}",
            (after - before) as f64 / options.rest.as_secs_f64() / count as f64
        )
    });
    format!(
        "| {count} | {:.1} | {:.1} | {:.1} | {a_second} |",
        at(&took, 0.5),
        at(&took, 0.99),
        at(&took, 1.0)
    )
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let options = Options::of_this_process();
    let mut out = std::io::stdout();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let _told = writeln!(
        out,
        "{:?}{}, the loop polls every {} ms, {} changes; load as it began: {load}",
        options.database,
        if options.redis { " and Redis" } else { "" },
        options.poll.as_millis(),
        options.writes
    );
    let _told = writeln!(
        out,
        "| nodes | change, ms p50 | p99 | most | statements a second at rest, a node |\n| ---: | ---: | ---: | ---: | ---: |"
    );
    for count in &options.nodes {
        let row = measure(*count, &options).await;
        let _told = writeln!(out, "{row}");
    }
}
