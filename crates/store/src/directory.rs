//! Accounts, roles and blocks as those see them who manage them: listed, found, added, changed and removed, each change one transaction that is in force on every
//! node when its call returns.
//!
//! - A page is a range of ids, never an offset: a row that is added or removed between two pages makes no other row appear twice or not at all.
//! - Only columns that the model names can be written, and none of those that decide: id, status, password hash and verification have ways of their own.
//! - An identifier that another account can sign in with is taken, whether or not the table has a constraint that says so.
//! - A new password ends the account's sessions in the same transaction.

mod accounts;
mod catalogue;
mod codes;
mod import;
mod invites;
mod linked;
pub(crate) mod own;
mod provided;
mod rows;
pub(crate) mod values;
mod verification;

use bekci_core::{IdKind, Identity, ModelName, ModelSpec, PrincipalKey, SessionId, TokenId, signin::StoreError};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Value};
use secrecy::SecretString;
use serde_json::json;

pub use catalogue::{NewRole, RolePage};
pub use import::{ImportRights, ImportRow, Imported, Importer};
pub use rows::NewRow;

use self::values::refused;
use crate::{
    Store,
    accounts::named,
    authority::{Locks, Reach},
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    load,
    sessions::id_as_text,
    sql::{quoted, quoted_table, statement},
};

/// Accounts, roles and blocks, for those who manage them; from [`Store::directory`].
#[derive(Clone, Debug)]
pub struct Directory {
    store: Store,
    any_column: bool,
}

/// Which accounts are listed.
#[derive(Clone, Debug, Default)]
pub struct AccountQuery {
    /// Text that an identifier or a cached attribute contains, whatever its case, or the id itself.
    pub text: Option<String>,
    /// The mark that the page before gave.
    pub after: Option<String>,
    /// How many at most.
    pub limit: u16,
}

/// Accounts in order of id.
#[derive(Clone, Debug)]
pub struct AccountPage {
    /// Account columns alone; rights, sessions and blocks are left empty.
    pub accounts: Vec<Identity>,
    /// The mark after which the next page begins; `None`: this is the last one.
    pub next: Option<String>,
}

/// What an account is to have; for a new one, what it begins with.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// Columns and their values: identifiers, cached attributes, the tenant. A text, a number, a truth value or null.
    pub columns: Vec<(String, serde_json::Value)>,
    /// The hash of its new password.
    pub password_hash: Option<SecretString>,
    /// Whether its address counts as verified.
    pub verified: Option<bool>,
}

/// A change of an account that is committed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What the commit came to.
    pub committed: Committed,
    /// The sessions that a new password ended.
    pub ended: Vec<SessionId>,
}

/// Why the directory did not do what it was asked. Nothing was changed, unless it is a [`StoreError`] that says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no such account, role, permission or block.
    #[error("there is no such row")]
    Gone,
    /// Another row has the identifier or the name.
    #[error("another row has this already")]
    Taken,
    /// Rows of the application's own point at it.
    #[error("other rows need this one")]
    InUse,
    /// A value, or the want of one, that the table refuses, or a column that may not be written here. It does not tell the value.
    #[error("{0}")]
    Value(String),
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Accounts, roles and blocks, for those who manage them.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory {
            store: self.clone(),
            any_column: false,
        }
    }
}

impl Directory {
    /// Lets [`Directory::add`] and [`Directory::change`] write each column that the table has, but for the id and the password hash: for those who own the database, as the
    /// command line does.
    #[must_use]
    pub fn with_any_column(mut self) -> Self {
        self.any_column = true;
        self
    }

    fn backend(&self) -> DbBackend {
        self.store.node.backend()
    }

    fn spec(&self, model: &str) -> Result<&ModelSpec, DirectoryError> {
        self.store.node.model(model).ok_or(DirectoryError::Gone)
    }

    async fn rows(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DirectoryError> {
        let query = statement(self.backend(), sql, values);
        self.store.node.db().query_all_raw(query).await.map_err(refused)
    }

    async fn run(
        &self,
        transaction: &GuardedTransaction,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DirectoryError> {
        let done = transaction.execute_raw(statement(self.backend(), sql, values)).await;
        Ok(done.map_err(refused)?.rows_affected())
    }

    /// Commits and waits for every node, also where the change only adds: who asked for the row before knows it as missing.
    async fn commit(&self, transaction: GuardedTransaction) -> Result<Committed, DirectoryError> {
        let committed = transaction.commit_with(Barrier::Always).await;
        committed.map_err(|error| DirectoryError::Store(error.into()))
    }

    /// The identity of an account as the database has it now, with its rights, sessions and blocks; `None`: there is no such account.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn find(&self, key: &PrincipalKey) -> Result<Option<Identity>, DirectoryError> {
        let snapshot = self.store.node.snapshot().await.map_err(refused)?;
        let found = load::identity(&self.store.node, &snapshot, key).await;
        // A snapshot has nothing to commit; one that cannot be closed goes with its connection.
        let _closed = snapshot.rollback().await;
        Ok(Some(found.map_err(refused)?).filter(|identity| identity.exists))
    }

    /// A page of a model's accounts.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`] for a model that is not there, [`DirectoryError::Value`] for a mark that no page gave, and where a provider of its own lists no accounts.
    pub async fn list(&self, model: &ModelName, query: &AccountQuery) -> Result<AccountPage, DirectoryError> {
        let spec = self.spec(model.as_str())?;
        if let Some(provider) = self.store.providers().of(model.as_str()) {
            return self.list_provided(spec, &**provider, query).await;
        }
        let backend = self.backend();
        let (id, column) = (id_as_text(backend, spec), quoted(&spec.id_column));
        let mut columns = load::account_columns(backend, spec);
        columns.push(format!("{id} AS bekci_id"));
        if is_mixed(backend, spec) {
            columns.push(match backend {
                DbBackend::MySql => {
                    format!("CASE LENGTH({column}) WHEN 16 THEN 'blob' ELSE 'text' END AS bekci_stored")
                }
                _ => format!("typeof({column}) AS bekci_stored"),
            });
        }
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        if let Some(after) = &query.after {
            values.push(mark_value(backend, spec, after).ok_or_else(bad_mark)?);
            conditions.push(format!("{column} > $1"));
        }
        if let Some(text) = &query.text {
            conditions.push(containing(spec, &id, text, &mut values));
        }
        conditions.extend(load::filter(backend, spec));
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", conditions.join(" AND "))
        };
        let limit = usize::from(query.limit.max(1));
        let sql = format!(
            "SELECT {} FROM {} {condition} ORDER BY {column} LIMIT {}",
            columns.join(", "),
            quoted_table(&spec.table),
            limit + 1
        );
        let mut rows = self.rows(sql, values).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| mark(backend, spec, row));
        let next = next.transpose().map_err(refused)?;
        let mut accounts = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: String = row.try_get("", "bekci_id").map_err(refused)?;
            // A row whose id is not canonical is no account: no key can name it.
            let Ok(key) = spec.key(&id) else { continue };
            let mut identity = Identity::absent(key);
            load::read_account(&mut identity, spec, row).map_err(refused)?;
            accounts.push(identity);
        }
        self.add_bans(spec, &mut accounts).await?;
        Ok(AccountPage { accounts, next })
    }

    /// Reads why and until when those of a model's accounts are banned whose status bans: without its end a ban would seem to last for ever.
    async fn add_bans(&self, spec: &ModelSpec, accounts: &mut [Identity]) -> Result<(), DirectoryError> {
        let mut values = vec![Value::from(spec.name.as_str())];
        values.extend(
            accounts
                .iter()
                .filter(|account| account.banned)
                .map(|account| account.key.id().into()),
        );
        let places: Vec<String> = (2..=values.len()).map(|at| format!("${at}")).collect();
        if places.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT id, reason, until FROM bekci_bans WHERE model = $1 AND id IN ({})",
            places.join(", ")
        );
        for row in self.rows(sql, values).await? {
            let id: String = row.try_get("", "id").map_err(refused)?;
            if let Some(account) = accounts.iter_mut().find(|account| account.key.id() == id) {
                account.ban = Some(load::read_ban(&row).map_err(refused)?);
            }
        }
        Ok(())
    }

    /// Lifts a principal's blocks of this token or session; gives how many there were.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`] where there was none.
    pub async fn lift_blocks(
        &self,
        key: &PrincipalKey,
        jti: Option<TokenId>,
        sid: Option<SessionId>,
    ) -> Result<(u64, Committed), DirectoryError> {
        let mut change = self.store.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(&self.store, key, Reach::Management).await?;
        let transaction = change.transaction;
        let sql = "DELETE FROM bekci_blocks WHERE model = $1 AND principal_id = $2 AND (jti = $3 OR sid = $4)";
        let values = [
            key.model().into(),
            key.id().into(),
            jti.map(|id| id.to_string()).into(),
            sid.map(|id| id.to_string()).into(),
        ];
        let lifted = self.run(&transaction, sql, values).await?;
        if lifted == 0 {
            return Err(DirectoryError::Gone);
        }
        let committed = self.commit(transaction).await;
        let details = json!({"lifted": named(jti, sid), "blocks": lifted});
        self.store.tell("token.blocked", Some(key), &committed, &details);
        Ok((lifted, committed?))
    }
}

fn bad_mark() -> DirectoryError {
    DirectoryError::Value("the mark is none that a page gave".to_owned())
}

/// SQLite and MariaDB keep a UUID as 16 bytes or as text: by who wrote it, or by the column's type. SQLite orders all texts before all bytes.
fn is_mixed(backend: DbBackend, spec: &ModelSpec) -> bool {
    backend != DbBackend::Postgres && spec.id_kind == IdKind::Uuid
}

/// How a row is stored, and its id: where the next page begins.
fn mark(backend: DbBackend, spec: &ModelSpec, row: &QueryResult) -> Result<String, sea_orm::DbErr> {
    let id: String = row.try_get("", "bekci_id")?;
    let bytes = is_mixed(backend, spec) && row.try_get::<String>("", "bekci_stored")? == "blob";
    Ok(format!("{}{id}", if bytes { 'b' } else { 't' }))
}

fn mark_value(backend: DbBackend, spec: &ModelSpec, mark: &str) -> Option<Value> {
    let (stored, id) = mark.split_at_checked(1)?;
    let as_bytes = match stored {
        "b" if is_mixed(backend, spec) => true,
        "t" => !is_mixed(backend, spec),
        _ => return None,
    };
    let mut values = load::id_values(spec, id)?.into_iter();
    if as_bytes { values.next() } else { values.next_back() }
}

/// `… LIKE …` over identifiers and attributes, and the id. Both sides are folded by the database, so that they are folded alike.
fn containing(spec: &ModelSpec, id: &str, text: &str, values: &mut Vec<Value>) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    values.push(format!("%{pattern}%").into());
    let like = format!("LIKE lower(${}) ESCAPE '!'", values.len());
    values.push(text.into());
    let exact = format!("{id} = ${}", values.len());
    let columns = spec
        .identifiers
        .iter()
        .map(|(column, _)| column)
        .chain(&spec.cached_attributes);
    let any = columns.map(|column| format!("lower(CAST({} AS TEXT)) {like}", quoted(column)));
    format!("({})", any.chain([exact]).collect::<Vec<_>>().join(" OR "))
}
