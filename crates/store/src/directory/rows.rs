//! Accounts that are added as rows of an application's own entity, with its hooks, and with roles in the same transaction.

use bekci_core::{ModelName, ModelSpec, PrincipalKey, RoleName, identifier::stored_form};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, DbErr, EntityTrait, IdenStatic, IntoActiveModel, Iterable, Value,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Directory, DirectoryError, accounts::without, values::refused};
use crate::{
    audit::Direct,
    authority::{Change, Locks},
    commit::Committed,
    rights::Scope,
};

type Row<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;
type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// An account that is to be added as a row of an entity.
#[derive(Clone, Debug)]
pub struct NewRow<A> {
    /// Its columns, but for the password's.
    pub row: A,
    /// The hash of its password.
    pub password_hash: Option<SecretString>,
    /// The roles that it holds from the beginning.
    pub roles: Vec<(Scope, RoleName)>,
}

impl<A: ActiveModelTrait> NewRow<A> {
    /// The identifiers, cached attributes and tenant that the row sets, as JSON. A value that is no text, number, truth value or null is left out.
    #[must_use]
    pub fn columns(&self, spec: &ModelSpec) -> Vec<(String, serde_json::Value)> {
        let identifiers = spec.identifiers.iter().map(|(name, _)| name);
        let names = identifiers.chain(&spec.cached_attributes).chain(&spec.tenant_column);
        let mut columns: Vec<(String, serde_json::Value)> = Vec::new();
        for name in names {
            let is_known = columns.iter().any(|(known, _)| known == name);
            if let (Some(value), false) = (self.value(name).as_ref().and_then(as_json), is_known) {
                columns.push((name.clone(), value));
            }
        }
        columns
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.row.get(column::<A>(name)?).into_value()
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), DirectoryError> {
        let column = column::<A>(name);
        let column = column.ok_or_else(|| DirectoryError::Value(format!("the entity has no column {name:?}")))?;
        self.row
            .try_set(column, value)
            .map_err(|fault| DirectoryError::Value(format!("column {name}: {fault}")))
    }
}

/// The column that the database knows by this name.
fn column<A: ActiveModelTrait>(name: &str) -> Option<Column<A>> {
    Column::<A>::iter().find(|column| column.as_str() == name)
}

fn as_json(value: &Value) -> Option<serde_json::Value> {
    if *value == value.as_null() {
        return Some(serde_json::Value::Null);
    }
    match value {
        Value::String(Some(text)) => Some(json!(text)),
        Value::Bool(Some(value)) => Some(json!(value)),
        Value::TinyInt(Some(number)) => Some(json!(number)),
        Value::SmallInt(Some(number)) => Some(json!(number)),
        Value::Int(Some(number)) => Some(json!(number)),
        Value::BigInt(Some(number)) => Some(json!(number)),
        _ => None,
    }
}

fn in_hooks(error: DbErr) -> DirectoryError {
    match error {
        // A hook of the application refuses the row.
        DbErr::Custom(why) => DirectoryError::Value(why),
        error => refused(error),
    }
}

impl Directory {
    /// Adds an account as a row of its entity. The entity's hooks run in the transaction. `key_of` gives the key of a row.
    ///
    /// # Errors
    /// As [`Directory::add_with_roles`]; [`DirectoryError::Value`] where the row sets the password's column, or a hook refuses it.
    pub async fn add_row<A>(
        &self,
        model: &ModelName,
        mut new: NewRow<A>,
        key_of: impl FnOnce(&Row<A>) -> Result<PrincipalKey, String> + Send,
    ) -> Result<(Row<A>, PrincipalKey, Committed), DirectoryError>
    where
        A: ActiveModelTrait + ActiveModelBehavior + Send,
        Row<A>: IntoActiveModel<A>,
    {
        let spec = self.spec(model.as_str())?.clone();
        self.must_have_table(&spec)?;
        if let Some(column) = &spec.password_column
            && new.value(column).is_some_and(|value| value != value.as_null())
        {
            let why = format!("column {column} holds a hash: give the password beside the row");
            return Err(DirectoryError::Value(why));
        }
        if let Some(hash) = new.password_hash.take() {
            let column = spec
                .password_column
                .as_ref()
                .ok_or_else(|| without(&spec, "password"))?;
            new.set(column, hash.expose_secret().into())?;
        }
        let mut entered = Vec::new();
        for (name, _) in &spec.identifiers {
            if let Some(Value::String(Some(text))) = new.value(name) {
                new.set(name, stored_form(&text).into())?;
                entered.push(text);
            }
        }
        let begun = self.store.begin_change(Locks::Principal, None).await?;
        let entered: Vec<&str> = entered.iter().map(|text| text.as_str()).collect();
        self.must_be_free(&begun.transaction, &spec, None, &entered).await?;
        let row = new.row.insert(&begun.transaction).await.map_err(in_hooks)?;
        let key = key_of(&row).map_err(DirectoryError::Value)?;
        let committed = self.finish_new(begun, &key, &new.roles).await?;
        Ok((row, key, committed))
    }

    /// Gives a new account its roles, judges them, commits and reports it.
    pub(super) async fn finish_new(
        &self,
        mut begun: Change,
        key: &PrincipalKey,
        roles: &[(Scope, RoleName)],
    ) -> Result<Committed, DirectoryError> {
        let given = self.give_roles(&mut begun, key, roles).await?;
        let committed = self.commit(begun.transaction).await;
        self.store.tell("account.registered", Some(key), &committed, &json!({}));
        for (scope, held) in &given {
            self.store
                .tell_rights(key, scope, (&Direct::default(), held), &committed);
        }
        committed
    }

    async fn give_roles(
        &self,
        begun: &mut Change,
        key: &PrincipalKey,
        roles: &[(Scope, RoleName)],
    ) -> Result<Vec<(Scope, Direct)>, DirectoryError> {
        let rights = self.store.rights();
        let mut given: Vec<(Scope, Direct)> = Vec::new();
        for (scope, role) in roles {
            rights.insert(&begun.transaction, key, scope, role).await?;
            if !given.iter().any(|(known, _)| known == scope) {
                given.push((scope.clone(), Direct::default()));
            }
        }
        for (scope, held) in &mut given {
            *held = Direct::of(&begun.transaction, key, scope).await.map_err(refused)?;
            if let Some(authority) = &mut begun.authority {
                let change = (&Direct::default(), &*held);
                authority.may_change(&begun.transaction, scope, change).await?;
            }
        }
        Ok(given)
    }
}
