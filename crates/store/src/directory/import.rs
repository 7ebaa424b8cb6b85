//! Many accounts of another system at once.
//!
//! 1. A batch of rows is one transaction with bulk statements. A row is written as a whole or not at all, and the others of its batch all the same.
//! 2. A row whose identifier an account has already is left alone, so that an import that was interrupted can be repeated.
//! 3. Two rows of one import with the same identifier are a mistake in the file: the second is refused, also when the import is repeated.
//! 4. A row with rights is written together with them, or not at all. An account that is there already gets none.
//! 5. Every node decides by the accounts when [`Importer::finish`] returns.

mod granting;

use std::collections::{HashMap, HashSet};

use bekci_core::{IdKind, ModelName, ModelSpec, identifier::normal_form, signin::StoreError};
use sea_orm::{ConnectionTrait, DbBackend, TransactionSession, TransactionTrait, Value};
use serde_json::json;

pub use granting::ImportRights;

use super::{
    AccountChange, Directory, DirectoryError,
    accounts::{Assigned, identifies},
    values::refused,
};
use crate::{
    authority::Locks,
    columns::Columns,
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    identifiers, load,
    sessions::lock_texts,
    sql::{quoted, quoted_table, statement},
};

/// How many values one statement has at most; SQLite takes 32,766.
const MOST_VALUES: usize = 30_000;

/// An account of another system.
#[derive(Clone, Debug, Default)]
pub struct ImportRow {
    /// Its line in the file.
    pub line: u64,
    /// Its id there, to be kept; `None`: it gets a new one.
    pub id: Option<String>,
    /// What it has.
    pub account: AccountChange,
    /// What it holds; `None`: nothing.
    pub rights: Option<ImportRights>,
}

/// What became of one row.
#[derive(Debug)]
pub enum Imported {
    /// It is an account now.
    Added,
    /// An account has its identifier already.
    Present,
    /// An earlier row, of this line, has its identifier.
    Repeats(u64),
    /// It was refused, and nothing of it was written.
    Refused(DirectoryError),
}

/// Adds accounts in batches; from [`Directory::importer`].
pub struct Importer {
    directory: Directory,
    spec: ModelSpec,
    columns: Columns,
    /// Lines by the normal form of their identifiers, and whether case counts not.
    seen: HashMap<(bool, String), u64>,
    is_dry: bool,
}

/// A row that can be written, by its place in the batch.
struct Ready {
    at: usize,
    id: Option<String>,
}

impl Directory {
    /// Begins an import into the table of a model. A dry run does all that an import does and takes it back.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`] for an unknown model, [`DirectoryError::Store`] for a store on behalf of a caller, whose rights an import does not compare, and what the
    /// database answers.
    pub async fn importer(&self, model: &ModelName, is_dry: bool) -> Result<Importer, DirectoryError> {
        if self.store.caller.is_some() {
            let fault = "an import is not made on behalf of a caller".to_owned();
            return Err(StoreError::Refused(fault).into());
        }
        let spec = self.spec(model.as_str())?.clone();
        self.must_have_table(&spec)?;
        let columns = Columns::read(self.store.node.db(), &spec.table)
            .await
            .map_err(refused)?;
        Ok(Importer {
            directory: self.clone(),
            spec,
            columns,
            seen: HashMap::new(),
            is_dry,
        })
    }
}

impl Importer {
    /// Whether the table has a column of this name.
    #[must_use]
    pub fn has_column(&self, name: &str) -> bool {
        self.columns.has(name)
    }

    /// Adds the accounts of a batch; what became of each, in their order.
    ///
    /// # Errors
    /// [`DirectoryError::Store`]: nothing of the batch was written, unless it says otherwise.
    pub async fn batch(&mut self, rows: &[ImportRow]) -> Result<Vec<Imported>, DirectoryError> {
        let mut outcomes: Vec<Option<Imported>> = rows.iter().map(|row| self.check(row)).collect();
        let store = &self.directory.store;
        let transaction = store.begin_change(Locks::Principal, None).await?.transaction;
        self.check_roles(&transaction, rows, &mut outcomes).await?;
        let held = self.holders(&transaction, rows, &outcomes).await?;
        let mut ready = Vec::new();
        for (at, (row, outcome)) in rows.iter().zip(&mut outcomes).enumerate() {
            if outcome.is_some() {
                continue;
            }
            *outcome = self.present(row, &held);
            if outcome.is_none() {
                let id = self.id_of(row)?;
                ready.push(Ready { at, id });
            }
        }
        let mut added = Vec::new();
        for (at, outcome) in self.write(&transaction, rows, &ready).await? {
            if matches!(outcome, Imported::Added) {
                added.extend(rows.get(at));
            }
            if let Some(place) = outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
        if self.is_dry {
            let _rolled_back = transaction.rollback().await;
        } else {
            self.raise_sequence(&transaction, &ready).await?;
            let lines = [rows.first(), rows.last()].map(|row| row.map(|row| row.line));
            let committed = transaction.commit_with(Barrier::Auto).await;
            let committed = committed.map_err(|error| DirectoryError::Store(error.into()));
            if !added.is_empty() {
                let rights = granting::summary(added.iter().copied());
                let details =
                    json!({"model": self.spec.name, "accounts": added.len(), "lines": lines, "rights": rights});
                store.tell("account.registered", None, &committed, &details);
            }
            committed?;
        }
        Ok(outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Imported::Present))
            .collect())
    }

    /// Waits until every node decides by what was added.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn finish(self) -> Result<Committed, DirectoryError> {
        let transaction = self
            .directory
            .store
            .begin_change(Locks::Principal, None)
            .await?
            .transaction;
        self.directory.commit(transaction).await
    }

    /// What is wrong with a row by itself, or beside the rows before it.
    fn check(&mut self, row: &ImportRow) -> Option<Imported> {
        let refuse = |fault: String| Some(Imported::Refused(DirectoryError::Value(fault)));
        if let Some(id) = &row.id
            && let Err(fault) = self.spec.key(id)
        {
            return refuse(fault.to_string());
        }
        let assigned = self
            .directory
            .assigned(&self.spec, &self.columns, &row.account, (Vec::new(), true));
        if let Err(error) = assigned {
            return Some(Imported::Refused(error));
        }
        let forms = self.forms(row);
        if forms.is_empty() {
            return refuse("the account has no identifier".to_owned());
        }
        let repeated = forms.iter().filter_map(|form| self.seen.get(form)).min().copied();
        if let Some(line) = repeated {
            return Some(Imported::Repeats(line));
        }
        for form in forms {
            self.seen.insert(form, row.line);
        }
        None
    }

    /// The identifiers of a row as they were entered.
    fn entered<'a>(&'a self, row: &'a ImportRow) -> impl Iterator<Item = &'a str> {
        let named = row
            .account
            .columns
            .iter()
            .filter(|(column, _)| identifies(&self.spec, column));
        named
            .filter_map(|(_, value)| value.as_str())
            .filter(|text| !text.trim().is_empty())
    }

    /// The normal forms of a row's identifiers, by each rule for case that the model has.
    fn forms(&self, row: &ImportRow) -> HashSet<(bool, String)> {
        let rules: HashSet<bool> = self.spec.identifiers.iter().map(|(_, no_case)| *no_case).collect();
        let by_rule = |entered: &str| {
            rules
                .iter()
                .map(|rule| (*rule, normal_form(entered, *rule)))
                .collect::<Vec<_>>()
        };
        self.entered(row).flat_map(by_rule).collect()
    }

    /// The ids of the accounts that have identifiers of these rows, by what was entered. The identifiers stay held until the transaction ends.
    async fn holders(
        &self,
        transaction: &GuardedTransaction,
        rows: &[ImportRow],
        outcomes: &[Option<Imported>],
    ) -> Result<HashMap<String, String>, DirectoryError> {
        let open = rows.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_none());
        let entered: Vec<&str> = open.flat_map(|(row, _)| self.entered(row)).collect();
        let mut locks: Vec<String> = entered
            .iter()
            .map(|text| identifiers::lock_name(&self.spec, text))
            .collect();
        locks.sort();
        locks.dedup();
        lock_texts(transaction, &locks).await.map_err(refused)?;
        identifiers::holders(transaction, &self.spec, &entered)
            .await
            .map_err(refused)
    }

    /// Whether an account has the identifiers of a row already; one that has some of them beside another, or under another id, is a conflict.
    fn present(&self, row: &ImportRow, held: &HashMap<String, String>) -> Option<Imported> {
        let mut owners: Vec<&String> = self.entered(row).filter_map(|text| held.get(text)).collect();
        owners.dedup();
        let own = row.id.as_ref().and_then(|id| self.spec.key(id).ok());
        match &owners[..] {
            [] => None,
            [owner] if own.as_ref().is_none_or(|own| own.id() == *owner) => Some(Imported::Present),
            _ => Some(Imported::Refused(DirectoryError::Taken)),
        }
    }

    fn id_of(&self, row: &ImportRow) -> Result<Option<String>, DirectoryError> {
        Ok(match (&row.id, self.spec.id_kind) {
            (Some(id), _) => Some(id.clone()),
            (None, IdKind::Integer) => None,
            (None, kind) => Some(self.directory.store.new_id(kind)?),
        })
    }

    /// Writes rows: those with the same columns by one statement, or one by one where the database refuses one of them.
    async fn write(
        &self,
        transaction: &GuardedTransaction,
        rows: &[ImportRow],
        ready: &[Ready],
    ) -> Result<Vec<(usize, Imported)>, DirectoryError> {
        let mut groups: Vec<(Vec<String>, Vec<&Ready>)> = Vec::new();
        for one in ready {
            let (columns, _, values) = self.statement(rows, &[one])?;
            let most = MOST_VALUES / values.len().max(1);
            let mut fitting = groups.iter_mut();
            match fitting.find(|(known, group)| *known == columns && group.len() < most) {
                Some((_, group)) => group.push(one),
                None => groups.push((columns, vec![one])),
            }
        }
        let mut outcomes = Vec::with_capacity(ready.len());
        for (_, group) in groups {
            if group.len() > 1 && self.insert(transaction, rows, &group).await?.is_none() {
                outcomes.extend(group.iter().map(|one| (one.at, Imported::Added)));
                continue;
            }
            for one in group {
                let fault = self.insert(transaction, rows, &[one]).await?;
                outcomes.push((one.at, fault.map_or(Imported::Added, Imported::Refused)));
            }
        }
        Ok(outcomes)
    }

    /// Writes rows within a savepoint; gives why the database refused them.
    async fn insert(
        &self,
        transaction: &GuardedTransaction,
        rows: &[ImportRow],
        group: &[&Ready],
    ) -> Result<Option<DirectoryError>, DirectoryError> {
        let (_, sql, values) = self.statement(rows, group)?;
        let savepoint = transaction.begin().await.map_err(refused)?;
        let done = savepoint
            .execute_raw(statement(self.directory.backend(), sql, values))
            .await;
        let done = match done.map_err(refused) {
            Ok(_) => self.grant(&savepoint, rows, group).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                savepoint.commit().await.map_err(refused)?;
                Ok(None)
            }
            Err(error @ DirectoryError::Store(_)) => Err(error),
            Err(error) => {
                savepoint.rollback().await.map_err(refused)?;
                Ok(Some(error))
            }
        }
    }

    /// The columns of these rows, which have the same, and the statement with its values.
    fn statement(
        &self,
        rows: &[ImportRow],
        group: &[&Ready],
    ) -> Result<(Vec<String>, String, Vec<Value>), DirectoryError> {
        let (mut names, mut tuples, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for one in group {
            let row = rows.get(one.at).ok_or(DirectoryError::Gone)?;
            let assigned = (values, true);
            let mut assigned: Assigned = self
                .directory
                .assigned(&self.spec, &self.columns, &row.account, assigned)?;
            if let Some(id) = &one.id {
                let value = load::id_values(&self.spec, id).and_then(|values| values.into_iter().next());
                assigned.value(&self.columns, &self.spec.id_column, value.ok_or(DirectoryError::Gone)?);
            }
            let (columns, expressions): (Vec<String>, Vec<String>) = assigned.columns.into_iter().unzip();
            tuples.push(format!("({})", expressions.join(", ")));
            values = assigned.values;
            names = columns;
        }
        // An id that is kept also goes into a column that the database numbers always.
        let keeps = group.iter().any(|one| one.id.is_some()) && self.directory.backend() == DbBackend::Postgres;
        let sql = format!(
            "INSERT INTO {} ({}) {}VALUES {}",
            quoted_table(&self.spec.table),
            names.join(", "),
            if keeps { "OVERRIDING SYSTEM VALUE " } else { "" },
            tuples.join(", ")
        );
        Ok((names, sql, values))
    }

    /// Lets PostgreSQL number the next account behind those that kept their ids, and never go back: an id of a deleted account comes to no other.
    async fn raise_sequence(&self, transaction: &GuardedTransaction, ready: &[Ready]) -> Result<(), DirectoryError> {
        let is_numbered = self.spec.id_kind == IdKind::Integer && ready.iter().any(|one| one.id.is_some());
        if !is_numbered || self.directory.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let table = quoted_table(&self.spec.table);
        let sql = format!(
            "SELECT setval(found.sequence::regclass, GREATEST(COALESCE(pg_sequence_last_value(found.sequence::regclass), 1), \
             (SELECT max({}) FROM {table}))) FROM (SELECT pg_get_serial_sequence($1, $2) AS sequence) AS found \
             WHERE found.sequence IS NOT NULL AND EXISTS (SELECT 1 FROM {table})",
            quoted(&self.spec.id_column)
        );
        let values = [Value::from(table.as_str()), self.spec.id_column.as_str().into()];
        self.directory.run(transaction, sql, values).await.map(|_| ())
    }
}
