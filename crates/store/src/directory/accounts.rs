//! Adding, changing and removing accounts.

use bekci_core::{IdKind, ModelName, ModelSpec, PrincipalKey, RoleName, SessionId, identifier::stored_form};
use sea_orm::{ConnectionTrait, Value};
use secrecy::ExposeSecret;
use serde_json::json;
use time::OffsetDateTime;

use super::{
    AccountChange, Changed, Directory, DirectoryError,
    values::{column_value, refused},
};
use crate::{
    authority::{Locks, Reach},
    columns::Columns,
    commit::Committed,
    guarded::GuardedTransaction,
    identifiers, load,
    rights::Scope,
    sessions::{end_where, id_as_text},
    sql::{as_text, micros, quoted, quoted_table, statement},
};

/// Columns with the expressions that they are set to, and the values of those.
pub(super) struct Assigned {
    pub(super) columns: Vec<(String, String)>,
    pub(super) values: Vec<Value>,
}

impl Assigned {
    pub(super) fn value(&mut self, of: &Columns, column: &str, value: Value) {
        let expression = of.value(column, self.values.len() + 1, &value);
        self.values.push(value);
        self.columns.push((quoted(column), expression));
    }

    fn moment(&mut self, of: &Columns, column: &str, moment: OffsetDateTime) {
        let (expression, value) = of.moment(column, self.values.len() + 1, moment);
        self.values.push(value);
        self.columns.push((quoted(column), expression));
    }
}

/// Whether a column may be written as it is given: one that the model names, and none that decides.
fn is_writable(spec: &ModelSpec, column: &str) -> bool {
    let is = |special: &Option<String>| special.as_deref() == Some(column);
    let decides = column == spec.id_column
        || [&spec.status_column, &spec.password_column, &spec.verified_column]
            .into_iter()
            .any(is);
    let named = spec.identifiers.iter().any(|(name, _)| name == column)
        || spec.cached_attributes.iter().any(|name| name == column)
        || is(&spec.tenant_column);
    named && !decides
}

/// Whether a column is written by no value that is given: the id is the database's, and a password is hashed first.
fn is_secret(spec: &ModelSpec, column: &str) -> bool {
    column.eq_ignore_ascii_case(&spec.id_column)
        || spec
            .password_column
            .as_ref()
            .is_some_and(|own| column.eq_ignore_ascii_case(own))
}

pub(super) fn identifies(spec: &ModelSpec, column: &str) -> bool {
    spec.identifiers.iter().any(|(name, _)| name == column)
}

/// The identifiers that a change sets.
fn entered<'a>(spec: &ModelSpec, change: &'a AccountChange) -> Vec<&'a str> {
    let columns = change.columns.iter();
    let identifiers = columns.filter(|(column, _)| identifies(spec, column));
    identifiers.filter_map(|(_, value)| value.as_str()).collect()
}

pub(super) fn without(spec: &ModelSpec, what: &str) -> DirectoryError {
    DirectoryError::Value(format!("model {} has no {what}", spec.name))
}

impl Directory {
    /// Adds an account. Integer ids are given by the database, others here.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] where an identifier is another account's, [`DirectoryError::Value`] for a column or value that cannot be,
    /// [`DirectoryError::Gone`] for a model that is not there.
    pub async fn add(
        &self,
        model: &ModelName,
        account: &AccountChange,
    ) -> Result<(PrincipalKey, Committed), DirectoryError> {
        self.add_with_roles(model, account, &[]).await
    }

    /// Adds an account that holds these roles from the beginning, in one transaction.
    ///
    /// # Errors
    /// As [`Directory::add`]; [`StoreError::Refused`](bekci_core::signin::StoreError::Refused) where a guard does not have the role.
    pub async fn add_with_roles(
        &self,
        model: &ModelName,
        account: &AccountChange,
        roles: &[(Scope, RoleName)],
    ) -> Result<(PrincipalKey, Committed), DirectoryError> {
        let spec = self.spec(model.as_str())?.clone();
        self.must_have_table(&spec)?;
        let begun = self.store.begin_change(Locks::Principal, None).await?;
        let key = self.insert_within(&begun.transaction, &spec, account).await?;
        let committed = self.finish_new(begun, &key, roles).await?;
        Ok((key, committed))
    }

    /// Adds an account within a transaction.
    pub(super) async fn insert_within(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        account: &AccountChange,
    ) -> Result<PrincipalKey, DirectoryError> {
        self.must_have_table(spec)?;
        let backend = self.backend();
        // By the transaction's own connection: one that waits for a second of the same pool can wait for itself.
        let columns = Columns::read(transaction, &spec.table).await.map_err(refused)?;
        let mut assigned = self.assigned(spec, &columns, account, (Vec::new(), true))?;
        if spec.id_kind != IdKind::Integer {
            let id = self.store.new_id(spec.id_kind)?;
            let value = columns.id(spec, &id).ok_or(DirectoryError::Gone)?;
            assigned.value(&columns, &spec.id_column, value);
        }
        let (columns, expressions): (Vec<String>, Vec<String>) = assigned.columns.into_iter().unzip();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({}) RETURNING {} AS id",
            quoted_table(&spec.table),
            columns.join(", "),
            expressions.join(", "),
            id_as_text(backend, spec)
        );
        self.must_be_free(transaction, spec, None, &entered(spec, account))
            .await?;
        let row = transaction
            .query_one_raw(statement(backend, sql, assigned.values))
            .await;
        let row = row.map_err(refused)?.ok_or(DirectoryError::Gone)?;
        let id: String = row.try_get("", "id").map_err(refused)?;
        spec.key(&id).map_err(|fault| DirectoryError::Value(fault.to_string()))
    }

    /// Changes an account. A new password ends its sessions.
    ///
    /// # Errors
    /// As [`Directory::add`]; [`DirectoryError::Gone`] where there is no such account.
    pub async fn change(&self, key: &PrincipalKey, change: &AccountChange) -> Result<Changed, DirectoryError> {
        let spec = self.spec(key.model())?.clone();
        self.must_have_table(&spec)?;
        let decides_sign_in = change.password_hash.is_some()
            || change.verified.is_some()
            || change.columns.iter().any(|(column, _)| identifies(&spec, column));
        let reach = if decides_sign_in {
            Reach::Everywhere
        } else {
            Reach::Management
        };
        // In turn with sign-ins: none that verified the old password opens a session after this.
        let mut begun = self.store.begin_change(Locks::Principal, Some(key)).await?;
        begun.outranks(&self.store, key, reach).await?;
        let transaction = begun.transaction;
        self.update_within(&transaction, &spec, key, change).await?;
        let ended = match change.password_hash {
            Some(_) => self.end_sessions(&transaction, key).await?,
            None => Vec::new(),
        };
        let committed = self.commit(transaction).await;
        self.tell_change(&spec, key, change, &ended, &committed);
        Ok(Changed {
            committed: committed?,
            ended,
        })
    }

    /// Changes the columns of an account within a transaction.
    pub(super) async fn update_within(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        key: &PrincipalKey,
        change: &AccountChange,
    ) -> Result<(), DirectoryError> {
        self.must_have_table(spec)?;
        let (condition, values) = load::by_id(self.backend(), spec, key.id()).ok_or(DirectoryError::Gone)?;
        let columns = Columns::read(transaction, &spec.table).await.map_err(refused)?;
        let assigned = self.assigned(spec, &columns, change, (values, false))?;
        let sets: Vec<String> = assigned
            .columns
            .iter()
            .map(|(name, to)| format!("{name} = {to}"))
            .collect();
        if sets.is_empty() {
            return Err(DirectoryError::Value("nothing is to be changed".to_owned()));
        }
        let sql = format!(
            "UPDATE {} SET {} WHERE {condition}",
            quoted_table(&spec.table),
            sets.join(", ")
        );
        self.must_be_free(transaction, spec, Some(key), &entered(spec, change))
            .await?;
        match self.run(transaction, sql, assigned.values).await? {
            0 => Err(DirectoryError::Gone),
            _ => Ok(()),
        }
    }

    /// Tells of a change what matters to security, else that the identity is another one.
    pub(super) fn tell_change(
        &self,
        spec: &ModelSpec,
        key: &PrincipalKey,
        change: &AccountChange,
        ended: &[SessionId],
        committed: &Result<Committed, DirectoryError>,
    ) {
        let tell = |event, details: &serde_json::Value| self.store.tell(event, Some(key), committed, details);
        let columns: Vec<&str> = change.columns.iter().map(|(column, _)| column.as_str()).collect();
        let is_identifier = |column: &&&str| spec.identifiers.iter().any(|(name, _)| name == **column);
        let identifiers: Vec<&&str> = columns.iter().filter(is_identifier).collect();
        let is_of_tenant = spec
            .tenant_column
            .as_deref()
            .is_some_and(|name| columns.contains(&name));
        if change.password_hash.is_some() {
            tell("password.changed", &json!({}));
        }
        if !identifiers.is_empty() {
            tell("email.changed", &json!({"identifiers": identifiers}));
        }
        match change.verified {
            Some(true) => tell("email.verified", &json!({})),
            Some(false) => tell("email.changed", &json!({"verified": false})),
            None => {}
        }
        if is_of_tenant {
            tell("rights.changed", &json!({"what": "tenant"}));
        }
        for session in ended {
            tell(
                "session.ended",
                &json!({"session": session.to_string(), "why": "password changed"}),
            );
        }
        let is_told = change.password_hash.is_some() || change.verified.is_some() || is_of_tenant;
        if !is_told && identifiers.is_empty() {
            tell("identity.refreshed", &json!({"fields": columns}));
        }
    }

    /// Removes an account: its rights, bans and blocks go with it, and its sessions end.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`], or [`DirectoryError::InUse`] where rows of the application's own need it.
    pub async fn remove(&self, key: &PrincipalKey) -> Result<Committed, DirectoryError> {
        let spec = self.spec(key.model())?;
        self.must_have_table(spec)?;
        let (condition, values) = load::by_id(self.backend(), spec, key.id()).ok_or(DirectoryError::Gone)?;
        let sql = format!("DELETE FROM {} WHERE {condition}", quoted_table(&spec.table));
        let mut change = self.store.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(&self.store, key, Reach::Management).await?;
        let transaction = change.transaction;
        if self.run(&transaction, sql, values).await? == 0 {
            return Err(DirectoryError::Gone);
        }
        let committed = self.commit(transaction).await;
        self.store.tell("account.deleted", Some(key), &committed, &json!({}));
        committed
    }

    /// Gives an account a status that lets in, and lifts its ban if there is one.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`], or [`DirectoryError::Value`] for a status that does not let in and for a model without one.
    pub async fn restore(&self, key: &PrincipalKey, status: &str) -> Result<Committed, DirectoryError> {
        let spec = self.spec(key.model())?;
        let name = spec.status_column.as_ref().ok_or_else(|| without(spec, "status"))?;
        if spec.bans(status) {
            return Err(DirectoryError::Value("this status bans".to_owned()));
        }
        if !spec.lets_in(status) {
            let known = spec.active_statuses.join(", ");
            return Err(DirectoryError::Value(format!(
                "this status does not let in; {known} does"
            )));
        }
        if let Some(committed) = self.restore_provided(key, status).await? {
            return Ok(committed);
        }
        let (condition, mut values) = load::by_id(self.backend(), spec, key.id()).ok_or(DirectoryError::Gone)?;
        let (table, column) = (quoted_table(&spec.table), quoted(name));
        let mut change = self.store.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(&self.store, key, Reach::Management).await?;
        let transaction = change.transaction;
        let read = format!("SELECT CAST({column} AS TEXT) AS status FROM {table} WHERE {condition}");
        let row = transaction
            .query_one_raw(statement(self.backend(), read, values.clone()))
            .await;
        let row = row.map_err(refused)?.ok_or(DirectoryError::Gone)?;
        let before: Option<String> = row.try_get("", "status").map_err(refused)?;
        values.push(status.into());
        let columns = Columns::read(&transaction, &spec.table).await.map_err(refused)?;
        let after = columns.text(name, values.len());
        let sql = format!("UPDATE {table} SET {column} = {after} WHERE {condition}");
        if self.run(&transaction, sql, values).await? == 0 {
            return Err(DirectoryError::Gone);
        }
        let lift = "DELETE FROM bekci_bans WHERE model = $1 AND id = $2";
        self.run(&transaction, lift, [key.model().into(), key.id().into()])
            .await?;
        let committed = self.commit(transaction).await;
        let details = json!({"status": {"before": before, "after": status}});
        self.store.tell("account.restored", Some(key), &committed, &details);
        committed
    }

    /// The accounts with these values in these columns, in order of id. Values are compared as text.
    ///
    /// # Errors
    /// [`DirectoryError::Value`] for a column that the table does not have or that must not be compared, [`DirectoryError::Gone`] for an unknown model.
    pub async fn select(
        &self,
        model: &ModelName,
        conditions: &[(String, String)],
    ) -> Result<Vec<PrincipalKey>, DirectoryError> {
        let spec = self.spec(model.as_str())?;
        self.must_have_table(spec)?;
        let columns = self.columns(spec).await?;
        let (mut all, mut values) = (Vec::new(), Vec::new());
        for (column, value) in conditions {
            let is_hash = spec
                .password_column
                .as_ref()
                .is_some_and(|own| column.eq_ignore_ascii_case(own));
            let is_open = is_writable(spec, column) || self.any_column;
            if is_hash || !is_open || !columns.has(column) {
                return Err(without(spec, &format!("column {column:?} to select by")));
            }
            values.push(value.as_str().into());
            all.push(format!("{} = ${}", as_text(column), values.len()));
        }
        all.extend(load::filter(self.backend(), spec));
        let sql = format!(
            "SELECT {} AS id FROM {} WHERE {} ORDER BY {}",
            id_as_text(self.backend(), spec),
            quoted_table(&spec.table),
            all.join(" AND "),
            quoted(&spec.id_column)
        );
        let mut keys = Vec::new();
        for row in self.rows(sql, values).await? {
            let id: String = row.try_get("", "id").map_err(refused)?;
            // A row whose id is not canonical is no account: no key can name it.
            keys.extend(spec.key(&id));
        }
        Ok(keys)
    }

    async fn columns(&self, spec: &ModelSpec) -> Result<Columns, DirectoryError> {
        Columns::read(self.store.node.db(), &spec.table).await.map_err(refused)
    }

    /// What a change sets, with its values behind those that are there already. `new`: the account is being made.
    pub(super) fn assigned(
        &self,
        spec: &ModelSpec,
        of: &Columns,
        change: &AccountChange,
        (values, new): (Vec<Value>, bool),
    ) -> Result<Assigned, DirectoryError> {
        let columns = Vec::new();
        let mut assigned = Assigned { columns, values };
        for (column, json) in &change.columns {
            let is_named = is_writable(spec, column);
            let is_open = self.any_column && of.has(column) && !is_secret(spec, column);
            if !is_named && !is_open {
                return Err(without(spec, &format!("column {column:?} to be written here")));
            }
            let no_value = || DirectoryError::Value("a list or an object is no value of a column".to_owned());
            let value = match json.as_str() {
                Some(text) if spec.identifiers.iter().any(|(name, _)| name == column) => stored_form(text).into(),
                _ => column_value(json).ok_or_else(no_value)?,
            };
            assigned.value(of, column, value);
        }
        if let Some(hash) = &change.password_hash {
            let column = spec.password_column.as_ref().ok_or_else(|| without(spec, "password"))?;
            assigned.value(of, column, hash.expose_secret().into());
        }
        match (change.verified, &spec.verified_column) {
            (None, _) => {}
            (Some(_), None) => return Err(without(spec, "verification")),
            (Some(true), Some(column)) => {
                assigned.moment(of, column, self.store.node.clock().now());
                if let (Some((name, to)), false) = (assigned.columns.last_mut(), new) {
                    // One that is verified stays verified since when it was.
                    *to = format!("COALESCE({name}, {to})");
                }
            }
            (Some(false), Some(column)) => assigned.columns.push((quoted(column), "NULL".to_owned())),
        }
        Ok(assigned)
    }

    /// No other account can be signed in to with one of these identifiers, in any of the columns that identify.
    pub(super) async fn must_be_free(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        own: Option<&PrincipalKey>,
        entered: &[&str],
    ) -> Result<(), DirectoryError> {
        for entered in entered {
            let taken = identifiers::is_taken(transaction, spec, own, entered).await;
            if taken.map_err(refused)? {
                return Err(DirectoryError::Taken);
            }
        }
        Ok(())
    }

    async fn end_sessions(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
    ) -> Result<Vec<SessionId>, DirectoryError> {
        let sql = "UPDATE bekci_sessions SET ended_at = $1, end_reason = 'password_changed' \
                   WHERE model = $2 AND principal_id = $3 AND ended_at IS NULL";
        let now = micros(self.store.node.clock().now());
        let values = vec![now.into(), key.model().into(), key.id().into()];
        end_where(transaction, sql, values).await.map_err(refused)
    }
}
