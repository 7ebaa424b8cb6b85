//! Accounts by what people sign in with.
//!
//! 1. What decides is [`bekci_core::identifier`], the same on every store: a row is meant if one of its identifiers has the normal form of what was entered.
//! 2. The database finds the rows that may be meant, by a condition that an index can serve. It may find more, as a collation does that ignores accents.
//! 3. SQLite folds ASCII letters alone. Where others are entered, it compares by a collation of Bekci's, [`COLLATION`], which `connect` registers; without it the
//!    usual spellings are looked for.
//! 4. Before an identifier is written, PostgreSQL compares normal forms of its own too, which reads the whole table, for an identifier that is not ASCII alone.
//! 5. Two writers of one identifier take turns.

#[cfg(any(feature = "sqlite", test))]
use std::cmp::Ordering;
use std::collections::HashMap;

use bekci_core::{
    ModelSpec, PrincipalKey,
    identifier::{is_same, normal_form, spellings},
    signin::{Credential, StoreError},
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use secrecy::SecretString;

use crate::{
    Store,
    guarded::GuardedTransaction,
    load,
    sessions::{id_as_text, lock_text},
    sql::{as_text, quoted, quoted_table, statement},
};

/// The collation of SQLite under which two texts are equal that name one account where case does not count.
pub(crate) const COLLATION: &str = "bekci_username";

/// How many rows are looked at. More than one is ambiguous; the rest is room for what a database takes for equal and is not.
const MOST_ROWS: usize = 32;

/// How many accounts are looked through for twins.
const MOST_ACCOUNTS: usize = 200_000;

/// The order of [`COLLATION`].
#[cfg(any(feature = "sqlite", test))]
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        let folded = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<u8>>();
        if one.eq_ignore_ascii_case(other) {
            return Ordering::Equal;
        }
        if !one.contains("--") && !other.contains("--") {
            return folded(one).cmp(&folded(other));
        }
    }
    normal_form(one, true).cmp(&normal_form(other, true))
}

/// By what means a database compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Spellings, by its own rules for case.
    Spellings,
    /// [`COLLATION`] as well.
    Collation,
    /// PostgreSQL's normal forms as well.
    NormalForms,
    /// Spellings, by the columns' own collations of MariaDB: they ignore case, and their indexes serve it.
    Folding,
}

/// The condition under which a row may be meant, with its values behind those that are there.
fn condition(spec: &ModelSpec, entered: &str, means: Means, values: &mut Vec<Value>) -> String {
    let mut any = Vec::new();
    for (name, no_case) in &spec.identifiers {
        let column = quoted(name);
        let lowers = *no_case && means != Means::Folding;
        let mut places = Vec::new();
        for spelling in spellings(entered, *no_case) {
            values.push(spelling.into());
            places.push(if lowers {
                format!("lower(${})", values.len())
            } else {
                format!("${}", values.len())
            });
        }
        let held = if lowers {
            format!("lower({column})")
        } else {
            column.clone()
        };
        any.push(match &places[..] {
            [place] => format!("{held} = {place}"),
            _ => format!("{held} IN ({})", places.join(", ")),
        });
        match means {
            Means::Collation if *no_case => {
                values.push(entered.into());
                any.push(format!("{column} COLLATE {COLLATION} = ${}", values.len()));
            }
            Means::NormalForms => {
                let wrap = |text: &str| {
                    let text = format!("normalize(CAST({text} AS text), NFKC)");
                    if *no_case {
                        format!("normalize(lower({text} COLLATE \"und-x-icu\"), NFKC)")
                    } else {
                        text
                    }
                };
                let held = wrap(&column);
                for place in places
                    .iter()
                    .map(|place| place.trim_start_matches("lower(").trim_end_matches(')'))
                {
                    any.push(format!("{held} = {}", wrap(place)));
                }
            }
            _ => {}
        }
    }
    any.join(" OR ")
}

/// The rows that are meant: what `select` names, which identifies no column as `bekci_i…`. `other` is a condition beside, its values given.
async fn rows<C: ConnectionTrait>(
    db: &C,
    spec: &ModelSpec,
    (select, other, values): (&str, &str, Vec<Value>),
    (entered, means): (&str, Means),
) -> Result<Vec<QueryResult>, DbErr> {
    let mut values = values;
    let any = condition(spec, entered, means, &mut values);
    let backend = db.get_database_backend();
    let filter = load::filter(backend, spec).map_or_else(String::new, |filter| format!(" AND {filter}"));
    let sql = format!(
        "SELECT {select}, {} FROM {} WHERE {other}({any}){filter} LIMIT {MOST_ROWS}",
        identifier_columns(spec),
        quoted_table(&spec.table)
    );
    let rows = db.query_all_raw(statement(backend, sql, values)).await?;
    let mut meant = Vec::new();
    for row in rows {
        if is_meant(spec, &row, entered)? {
            meant.push(row);
        }
    }
    Ok(meant)
}

fn identifier_columns(spec: &ModelSpec) -> String {
    let columns = spec.identifiers.iter().enumerate();
    let columns: Vec<String> = columns
        .map(|(at, (column, _))| format!("CAST({} AS TEXT) AS bekci_i{at}", quoted(column)))
        .collect();
    columns.join(", ")
}

fn is_meant(spec: &ModelSpec, row: &QueryResult, entered: &str) -> Result<bool, DbErr> {
    for (at, (_, no_case)) in spec.identifiers.iter().enumerate() {
        let held: Option<String> = row.try_get("", &format!("bekci_i{at}"))?;
        if held.is_some_and(|held| is_same(&held, entered, *no_case)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same by the best means that this connection has.
async fn meant<C: ConnectionTrait>(
    db: &C,
    spec: &ModelSpec,
    asked: (&str, &str, Vec<Value>),
    entered: &str,
) -> Result<Vec<QueryResult>, DbErr> {
    let backend = db.get_database_backend();
    if backend == DbBackend::MySql && folds_case(db, spec).await? {
        return rows(db, spec, asked, (entered, Means::Folding)).await;
    }
    if backend != DbBackend::Sqlite || spellings(entered, true).len() == 1 {
        return rows(db, spec, asked, (entered, Means::Spellings)).await;
    }
    let (select, other, values) = asked;
    let found = rows(db, spec, (select, other, values.clone()), (entered, Means::Collation)).await;
    match found {
        Err(error) if error.to_string().contains(COLLATION) => {
            tracing::warn!(
                "this SQLite connection has no collation {COLLATION}; open it with bekci_store::connect, so that letters beyond ASCII are compared in every case"
            );
            rows(db, spec, (select, other, values), (entered, Means::Spellings)).await
        }
        found => found,
    }
}

/// Whether case does not count in any identifier, and the collation of each column ignores it.
async fn folds_case<C: ConnectionTrait>(db: &C, spec: &ModelSpec) -> Result<bool, DbErr> {
    let mut values = vec![Value::from(spec.table.as_str())];
    let mut places = Vec::new();
    for (column, no_case) in &spec.identifiers {
        if !no_case {
            return Ok(false);
        }
        values.push(column.as_str().into());
        places.push(format!("${}", values.len()));
    }
    let sql = format!(
        "SELECT COUNT(*) AS folding FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1 \
         AND COLUMN_NAME IN ({}) AND COLLATION_NAME LIKE '%!_ci' ESCAPE '!'",
        places.join(", ")
    );
    let row = db.query_one_raw(statement(DbBackend::MySql, sql, values)).await?;
    let folding = row.map(|row| row.try_get::<i64>("", "folding")).transpose()?;
    Ok(!places.is_empty() && folding == i64::try_from(places.len()).ok())
}

/// The accounts that one signs in to by this identifier: one, none, or several that cannot be told apart.
pub(crate) async fn credentials<C: ConnectionTrait>(
    db: &C,
    spec: &ModelSpec,
    entered: &str,
) -> Result<Vec<Credential>, DbErr> {
    // Spaces around it are taken off where it is entered; a text that still has some names nobody.
    if entered.trim() != entered {
        return Ok(Vec::new());
    }
    let backend = db.get_database_backend();
    let id = id_as_text(backend, spec);
    let hash = spec
        .password_column
        .as_ref()
        .map_or_else(|| "NULL".to_owned(), |column| as_text(column));
    let select = format!("{id} AS id, {hash} AS hash");
    let mut found = Vec::new();
    for row in meant(db, spec, (&select, "", Vec::new()), entered).await? {
        let id: String = row.try_get("", "id")?;
        let hash: Option<String> = row.try_get("", "hash")?;
        // A row whose id is not canonical is no account: no key can name it.
        let Ok(key) = spec.key(&id) else {
            tracing::warn!(model = %spec.name, %id, "a row's id is none that a key can hold: nobody signs in by it");
            continue;
        };
        let password_hash = hash.filter(|hash| !hash.is_empty()).map(SecretString::from);
        found.push(Credential { key, password_hash });
    }
    Ok(found)
}

/// How many rows a look for dear hashes reads.
const MOST_HASHES: usize = 100_000;

/// The hash by bcrypt with the highest cost, that by PBKDF2 with the most rounds, hashes by Argon2 with another cost than the usual one, and some by Firebase's scrypt, among
/// the first rows of a table.
pub(crate) async fn dear_hashes<C: ConnectionTrait>(db: &C, spec: &ModelSpec) -> Result<Vec<SecretString>, DbErr> {
    let Some(column) = spec.password_column.as_ref().map(|column| as_text(column)) else {
        return Ok(Vec::new());
    };
    let table = quoted_table(&spec.table);
    let sample =
        format!("(SELECT {column} AS hash FROM {table} WHERE {column} IS NOT NULL LIMIT {MOST_HASHES}) AS sample");
    let mut hashes = Vec::new();
    for rest in [
        "hash LIKE '$2_$__$%' ORDER BY substr(hash, 5, 2) DESC LIMIT 1",
        "hash LIKE '$argon2%' AND hash NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%' LIMIT 200",
        // Django's hashes by other schemes have a name of five or six letters before them.
        "hash LIKE 'bcrypt$$2_$__$%' ORDER BY substr(hash, 12, 2) DESC LIMIT 1",
        "hash LIKE 'argon2$argon2%' LIMIT 200",
        "hash LIKE 'pbkdf2_sha256$_______$%' ORDER BY substr(hash, 15, 7) DESC LIMIT 20",
        "hash LIKE 'pbkdf2_sha256$______$%' ORDER BY substr(hash, 15, 6) DESC LIMIT 1",
        "hash LIKE 'pbkdf2_sha256$_____$%' ORDER BY substr(hash, 15, 5) DESC LIMIT 1",
        "hash LIKE '$fbscrypt$%' LIMIT 200",
    ] {
        let sql = format!("SELECT hash FROM {sample} WHERE {rest}");
        for row in db.query_all_raw(statement(db.get_database_backend(), sql, [])).await? {
            hashes.push(SecretString::from(row.try_get::<String>("", "hash")?));
        }
    }
    Ok(hashes)
}

/// What stands for an identifier where writers of it take turns.
pub(crate) fn lock_name(spec: &ModelSpec, entered: &str) -> String {
    format!("@identifier:{}:{}", spec.name, normal_form(entered, true))
}

/// Whether another account than `own` can be signed in to by this identifier. Holds the identifier until the transaction ends, so that nobody else takes it meanwhile.
pub(crate) async fn is_taken(
    transaction: &GuardedTransaction,
    spec: &ModelSpec,
    own: Option<&PrincipalKey>,
    entered: &str,
) -> Result<bool, DbErr> {
    lock_text(transaction, &lock_name(spec, entered)).await?;
    Ok(holder(transaction, spec, own, entered).await?.is_some())
}

/// The id of another account than `own` that can be signed in to by this identifier.
async fn holder(
    transaction: &GuardedTransaction,
    spec: &ModelSpec,
    own: Option<&PrincipalKey>,
    entered: &str,
) -> Result<Option<String>, DbErr> {
    let backend = transaction.get_database_backend();
    let select = format!("{} AS id", id_as_text(backend, spec));
    let first = |rows: Vec<QueryResult>| rows.first().map(|row| row.try_get("", "id")).transpose();
    let (other, values) = match own.and_then(|key| load::by_id(backend, spec, key.id())) {
        Some((condition, values)) => (format!("NOT ({condition}) AND "), values),
        None => (String::new(), Vec::new()),
    };
    let asked = || (select.as_str(), other.as_str(), values.clone());
    if let Some(id) = first(meant(transaction, spec, asked(), entered).await?)? {
        return Ok(Some(id));
    }
    if backend != DbBackend::Postgres || spellings(entered, true).len() == 1 || !has_normal_forms(transaction).await? {
        return Ok(None);
    }
    first(rows(transaction, spec, asked(), (entered, Means::NormalForms)).await?)
}

/// The ids of the accounts that can be signed in to by these identifiers, by what was entered. Those of ASCII letters are looked for by one statement.
pub(crate) async fn holders(
    transaction: &GuardedTransaction,
    spec: &ModelSpec,
    entered: &[&str],
) -> Result<HashMap<String, String>, DbErr> {
    let backend = transaction.get_database_backend();
    let (plain, others): (Vec<&str>, Vec<&str>) = entered.iter().partition(|text| spellings(text, true).len() == 1);
    let mut holders = HashMap::new();
    for text in others {
        if let Some(id) = holder(transaction, spec, None, text).await? {
            holders.insert(text.to_owned(), id);
        }
    }
    if plain.is_empty() {
        return Ok(holders);
    }
    let values = plain.iter().map(|text| Value::from(text.trim()));
    let mut any = Vec::new();
    for (name, no_case) in &spec.identifiers {
        let fold = |text: &str| {
            if *no_case {
                format!("lower({text})")
            } else {
                text.to_owned()
            }
        };
        let places: Vec<String> = (1..=plain.len()).map(|at| fold(&format!("${at}"))).collect();
        any.push(format!("{} IN ({})", fold(&quoted(name)), places.join(", ")));
    }
    let filter = load::filter(backend, spec).map_or_else(String::new, |filter| format!(" AND {filter}"));
    let sql = format!(
        "SELECT {} AS id, {} FROM {} WHERE ({}){filter}",
        id_as_text(backend, spec),
        identifier_columns(spec),
        quoted_table(&spec.table),
        any.join(" OR ")
    );
    let mut held = HashMap::new();
    for row in transaction.query_all_raw(statement(backend, sql, values)).await? {
        let id: String = row.try_get("", "id")?;
        for (at, (_, no_case)) in spec.identifiers.iter().enumerate() {
            if let Some(text) = row.try_get::<Option<String>>("", &format!("bekci_i{at}"))? {
                held.insert((at, normal_form(&text, *no_case)), id.clone());
            }
        }
    }
    for text in plain {
        let mut columns = spec.identifiers.iter().enumerate();
        let id = columns.find_map(|(at, (_, no_case))| held.get(&(at, normal_form(text, *no_case))));
        if let Some(id) = id {
            holders.insert(text.to_owned(), id.clone());
        }
    }
    Ok(holders)
}

async fn has_normal_forms<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    let sql = "SELECT CASE WHEN current_setting('server_encoding') = 'UTF8' \
               AND EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu') THEN 1 ELSE 0 END AS has";
    let row = db.query_one_raw(statement(DbBackend::Postgres, sql, [])).await?;
    let has = row.map(|row| row.try_get::<i32>("", "has")).transpose()?;
    Ok(has == Some(1))
}

/// Accounts that share an identifier: none of them can sign in by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    /// The accounts, two at a time.
    pub pairs: Vec<(PrincipalKey, PrincipalKey)>,
    /// Whether every account was looked at.
    pub is_complete: bool,
}

impl Store {
    /// How many characters the column of a model's password hashes holds; `None`: any number, or there is no such column.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn room_for_hash(&self, model: &bekci_core::ModelName) -> Result<Option<usize>, StoreError> {
        let spec = self.node.model(model.as_str());
        let Some((spec, column)) = spec.and_then(|spec| Some((spec, spec.password_column.as_ref()?))) else {
            return Ok(None);
        };
        let columns = crate::columns::Columns::read(self.node.db(), &spec.table).await;
        let columns = columns.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(columns.room(column))
    }

    /// Looks for accounts of a model that share an identifier, among its first 200,000. Those of a provider of its own are the provider's business.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn twins(&self, model: &bekci_core::ModelName) -> Result<Twins, StoreError> {
        let unavailable = |error: DbErr| StoreError::Unavailable(error.to_string());
        let mut twins = Twins {
            pairs: Vec::new(),
            is_complete: true,
        };
        let Some(spec) = self.node.model(model.as_str()) else {
            return Ok(twins);
        };
        if self.node.providers().of(model.as_str()).is_some() {
            return Ok(twins);
        }
        let backend = self.node.backend();
        let filter = load::filter(backend, spec).map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let sql = format!(
            "SELECT {} AS id, {} FROM {}{filter} LIMIT {}",
            id_as_text(backend, spec),
            identifier_columns(spec),
            quoted_table(&spec.table),
            MOST_ACCOUNTS + 1
        );
        let rows = self.node.db().query_all_raw(statement(backend, sql, [])).await;
        let rows = rows.map_err(unavailable)?;
        twins.is_complete = rows.len() <= MOST_ACCOUNTS;
        let mut owners: HashMap<String, PrincipalKey> = HashMap::new();
        for row in rows.iter().take(MOST_ACCOUNTS) {
            let id: String = row.try_get("", "id").map_err(unavailable)?;
            let Ok(key) = spec.key(&id) else { continue };
            for (at, (_, no_case)) in spec.identifiers.iter().enumerate() {
                let held: Option<String> = row.try_get("", &format!("bekci_i{at}")).map_err(unavailable)?;
                let Some(form) = held
                    .map(|held| normal_form(&held, *no_case))
                    .filter(|form| !form.is_empty())
                else {
                    continue;
                };
                let owner = owners.entry(form).or_insert_with(|| key.clone());
                if *owner != key && !twins.pairs.contains(&(owner.clone(), key.clone())) {
                    twins.pairs.push((owner.clone(), key.clone()));
                }
            }
        }
        Ok(twins)
    }
}
