//! Roles and permissions of imported accounts. They are written in the savepoint of their accounts, so that a row is written with its rights or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use bekci_core::{Permission, PrincipalKey, RoleName, signin::StoreError};
use sea_orm::{ConnectionTrait, Value};

use super::{ImportRow, Imported, Importer, MOST_VALUES, Ready};
use crate::{
    directory::{DirectoryError, values::refused},
    guarded::GuardedTransaction,
    identifiers,
    rights::Scope,
    sql::statement,
};

/// What an imported account holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRights {
    /// Where it counts.
    pub scope: Scope,
    /// Roles, which must exist in the guard, globally or in the tenant.
    pub roles: Vec<RoleName>,
    /// Permissions that are granted directly.
    pub permissions: Vec<Permission>,
}

const ROLES: &str = "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES";
const ROLES_END: &str = "ON CONFLICT DO NOTHING";
const PERMISSIONS: &str =
    "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) VALUES";
const PERMISSIONS_END: &str =
    "ON CONFLICT (model, id, guard, tenant, permission) DO UPDATE SET denied = excluded.denied";

impl Importer {
    /// Refuses rows with a role that is missing. The roles of the others stay until the transaction ends.
    pub(super) async fn check_roles(
        &self,
        transaction: &GuardedTransaction,
        rows: &[ImportRow],
        outcomes: &mut [Option<Imported>],
    ) -> Result<(), DirectoryError> {
        let store = self.directory.store.rights();
        let mut known: BTreeMap<(&str, &str, &str), Option<String>> = BTreeMap::new();
        for (row, outcome) in rows.iter().zip(outcomes) {
            let Some(rights) = row.rights.as_ref().filter(|_| outcome.is_none()) else {
                continue;
            };
            let scope = &rights.scope;
            for role in &rights.roles {
                let name = (scope.guard.as_str(), scope.tenant_text(), role.as_str());
                let fault = match known.entry(name) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(match store.must_have_role(transaction, scope, role).await {
                        Ok(()) => None,
                        Err(StoreError::Refused(fault)) => Some(fault),
                        Err(error) => return Err(error.into()),
                    }),
                };
                if let Some(fault) = fault {
                    *outcome = Some(Imported::Refused(DirectoryError::Value(fault.clone())));
                }
            }
        }
        Ok(())
    }

    /// Gives the rights of rows that are written.
    pub(super) async fn grant(
        &self,
        savepoint: &GuardedTransaction,
        rows: &[ImportRow],
        group: &[&Ready],
    ) -> Result<(), DirectoryError> {
        let mut given = Vec::new();
        for one in group {
            let row = rows.get(one.at).ok_or(DirectoryError::Gone)?;
            if let Some(rights) = &row.rights {
                given.push((one.id.as_deref(), row, rights));
            }
        }
        let numbered = given.iter().filter(|(id, ..)| id.is_none());
        let entered: Vec<&str> = numbered.flat_map(|(_, row, _)| self.entered(row)).collect();
        let ids = match entered.is_empty() {
            true => HashMap::new(),
            false => identifiers::holders(savepoint, &self.spec, &entered)
                .await
                .map_err(refused)?,
        };
        let (mut roles, mut permissions) = (Vec::new(), Vec::new());
        for (id, row, rights) in given {
            let id = id.or_else(|| self.entered(row).find_map(|text| ids.get(text)).map(String::as_str));
            // A row that the filter of the model leaves out is found by no identifier.
            let key = id.and_then(|id| self.spec.key(id).ok()).ok_or_else(|| {
                DirectoryError::Value("the model's filter leaves this account out, so it can have no rights".to_owned())
            })?;
            let names: BTreeSet<&str> = rights.roles.iter().map(RoleName::as_str).collect();
            roles.extend(names.into_iter().map(|name| owned(&key, &rights.scope, name)));
            let names: BTreeSet<&str> = rights.permissions.iter().map(Permission::as_str).collect();
            permissions.extend(names.into_iter().map(|name| {
                let mut values = owned(&key, &rights.scope, name);
                values.push(false.into());
                values
            }));
        }
        self.put(savepoint, ROLES, ROLES_END, roles).await?;
        self.put(savepoint, PERMISSIONS, PERMISSIONS_END, permissions).await
    }

    /// Writes tuples of equal length by as few statements as the databases take.
    async fn put(
        &self,
        savepoint: &GuardedTransaction,
        begin: &str,
        end: &str,
        tuples: Vec<Vec<Value>>,
    ) -> Result<(), DirectoryError> {
        let width = tuples.first().map_or(1, Vec::len);
        for some in tuples.chunks(MOST_VALUES / width) {
            let mut place = 0;
            let marks: Vec<String> = some
                .iter()
                .map(|tuple| {
                    let marks: Vec<String> = tuple
                        .iter()
                        .map(|_| {
                            place += 1;
                            format!("${place}")
                        })
                        .collect();
                    format!("({})", marks.join(", "))
                })
                .collect();
            let sql = format!("{begin} {} {end}", marks.join(", "));
            let values = some.iter().flatten().cloned();
            let sql = statement(self.directory.backend(), sql, values);
            savepoint.execute_raw(sql).await.map_err(refused)?;
        }
        Ok(())
    }
}

/// The columns that say whose a right is and where it counts, and its name.
fn owned(key: &PrincipalKey, scope: &Scope, name: &str) -> Vec<Value> {
    let texts = [key.model(), key.id(), scope.guard.as_str(), scope.tenant_text(), name];
    texts.map(Value::from).to_vec()
}

/// The rights that rows were given, and how often, for the audit.
pub(super) fn summary<'a>(rows: impl Iterator<Item = &'a ImportRow>) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for rights in rows.filter_map(|row| row.rights.as_ref()) {
        let place = match &rights.scope.tenant {
            None => rights.scope.guard.to_string(),
            Some(tenant) => format!("{}@{tenant}", rights.scope.guard),
        };
        let roles = rights.roles.iter().map(|role| format!("{place} role {role}"));
        let permissions = rights
            .permissions
            .iter()
            .map(|permission| format!("{place} permission {permission}"));
        for right in roles.chain(permissions).collect::<BTreeSet<_>>() {
            *told.entry(right).or_default() += 1;
        }
    }
    told
}
