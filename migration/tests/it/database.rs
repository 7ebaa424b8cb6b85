//! A migrated database of a test's own, on which one suite runs whatever it is.

use bekci_migration::sea_orm_migration::sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database as Connector, DatabaseConnection, DbErr, Statement,
};
use bekci_migration::{ModelTable, up};
use bekci_test_support::{SqliteFile, mariadb_cli, psql, try_mariadb_cli, try_psql};

use crate::customers;

/// What the suite needs of a database.
pub(crate) trait Database {
    /// The connection that migrates.
    fn db(&self) -> &DatabaseConnection;

    /// Writes as somebody else would: through the database's own program, each call a connection of its own, and gives the rows
    /// as lines with columns parted by `|`.
    fn outside(&self, sql: &str) -> String;

    /// As [`Database::outside`] where the database may refuse.
    fn refuses(&self, sql: &str) -> bool;

    /// A UUID, as an expression.
    fn uuid(&self, text: &str) -> String {
        format!("'{text}'")
    }

    /// What has been named since the last call: `key`, or `+key` where it only adds; sorted, each row once.
    fn named(&self) -> Vec<String> {
        let rows = "SELECT CASE WHEN adds THEN '+' ELSE '' END || \"key\" FROM identity_outbox ORDER BY 1";
        let named = lines(&self.outside(rows));
        self.outside("DELETE FROM identity_outbox");
        named
    }

    /// What a write names, beside nothing that was named before.
    fn names(&self, sql: &str) -> Vec<String> {
        self.named();
        self.outside(sql);
        self.named()
    }

    /// As [`Database::names`], each key once: how often a key is named in one transaction is of no account.
    fn names_once(&self, sql: &str) -> Vec<String> {
        let mut named = self.names(sql);
        named.dedup();
        named
    }
}

pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Account tables with whatever suits the test, and everything of Bekci.
pub(crate) async fn up_with(db: &impl Database, models: &[ModelTable]) {
    up(db.db(), models).await.unwrap();
}

/// One number that a query gives.
pub(crate) async fn number(db: &DatabaseConnection, sql: &str) -> Result<i64, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement).await?.unwrap().try_get_by_index(0)
}

pub(crate) struct Sqlite {
    pub(crate) file: SqliteFile,
    db: DatabaseConnection,
}

impl Sqlite {
    pub(crate) async fn empty() -> Self {
        let file = SqliteFile::new();
        let db = connect(&file.url()).await;
        db.execute_unprepared("PRAGMA journal_mode = WAL").await.unwrap();
        Self { file, db }
    }

    pub(crate) async fn migrated() -> Self {
        let this = Self::empty().await;
        up_with(&this, &[customers()]).await;
        this
    }
}

impl Database for Sqlite {
    fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    fn outside(&self, sql: &str) -> String {
        self.file.cli(&format!(
            "PRAGMA recursive_triggers = ON; PRAGMA foreign_keys = ON; {sql}"
        ))
    }

    fn refuses(&self, sql: &str) -> bool {
        bekci_test_support::try_sqlite3_cli(&self.file.path(), sql).is_err()
    }
}

pub(crate) struct Postgres {
    pub(crate) url: String,
    db: DatabaseConnection,
}

impl Postgres {
    pub(crate) async fn empty() -> Self {
        let url = bekci_test_support::Postgres::shared().fresh_database("migration");
        let db = connect(&url).await;
        Self { url, db }
    }

    pub(crate) async fn migrated() -> Self {
        let this = Self::empty().await;
        up_with(&this, &[customers()]).await;
        this
    }
}

impl Database for Postgres {
    fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    fn outside(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    fn refuses(&self, sql: &str) -> bool {
        try_psql(&self.url, sql).is_err()
    }
}

/// The tests' SQL in MariaDB's words.
fn as_mariadb(sql: &str) -> String {
    if sql == "DROP TABLE customers" {
        return format!("DROP TABLE bekci_keep_account_customer; {sql}");
    }
    let sql = sql
        .replace(
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status",
            "ON DUPLICATE KEY UPDATE status = VALUES(status)",
        )
        .replace("ON CONFLICT DO NOTHING", "ON DUPLICATE KEY UPDATE id = id")
        .replace(" varchar,", " varchar(99),")
        .replace(" varchar)", " varchar(99))");
    format!("SET max_recursive_iterations = 10000; {sql}")
}

pub(crate) struct MariaDb {
    pub(crate) url: String,
    db: DatabaseConnection,
}

impl MariaDb {
    pub(crate) async fn empty() -> Self {
        let url = bekci_test_support::MariaDb::shared().fresh_database("migration");
        let db = connect(&url).await;
        Self { url, db }
    }

    pub(crate) async fn migrated() -> Self {
        let this = Self::empty().await;
        up_with(&this, &[customers()]).await;
        this
    }
}

impl Database for MariaDb {
    fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    fn outside(&self, sql: &str) -> String {
        mariadb_cli(&self.url, &as_mariadb(sql))
    }

    fn refuses(&self, sql: &str) -> bool {
        try_mariadb_cli(&self.url, &as_mariadb(sql)).is_err()
    }

    /// As SeaORM writes it.
    fn uuid(&self, text: &str) -> String {
        format!("UNHEX(REPLACE('{text}', '-', ''))")
    }

    /// Row triggers name a key once for each run of rows that have it.
    fn named(&self) -> Vec<String> {
        let rows = "SELECT DISTINCT CASE WHEN adds THEN '+' ELSE '' END || \"key\" FROM identity_outbox ORDER BY 1";
        let named = lines(&self.outside(rows));
        self.outside("DELETE FROM identity_outbox");
        named
    }
}

/// One connection, so that a pragma holds for all that is done through it.
pub(crate) async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Connector::connect(options).await.unwrap()
}
