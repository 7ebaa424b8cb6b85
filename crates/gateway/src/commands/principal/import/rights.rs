//! Fields of a file that are no columns: the roles and permissions of an account, and the tenant in which they count.

use bekci_core::{GuardName, ModelName, Permission, RoleName, TenantName};
use bekci_store::{ImportRights, RoleEntry, Scope};
use serde_json::Value;

use super::super::super::{
    Failure,
    desk::{Desk, role_of},
};

/// Where a field with rights goes. The sign keeps it apart from columns.
pub(super) const ROLES: &str = "@roles";
pub(super) const PERMISSIONS: &str = "@permissions";
pub(super) const TENANT: &str = "@tenant";
const ALL: [&str; 3] = [ROLES, PERMISSIONS, TENANT];

/// Where a field goes that no column has the name of; `None`: nowhere.
pub(super) fn target(field: &str) -> Option<&'static str> {
    ALL.into_iter().find(|target| target.strip_prefix('@') == Some(field))
}

pub(super) fn is_target(target: &str) -> bool {
    ALL.contains(&target)
}

/// The guard in which the rights of a file count, and its roles; or why there is none.
pub(super) struct Place(Result<(GuardName, Vec<RoleEntry>), String>);

impl Place {
    /// A model with several guards is no fault as long as no line has rights.
    pub(super) async fn of(desk: &Desk<'_>, named: Option<&GuardName>, model: &ModelName) -> Result<Self, Failure> {
        let guard = match desk.guard_of(named, model.as_str()) {
            Ok(guard) => guard,
            Err(failure) if named.is_none() => return Ok(Self(Err(failure.message().to_owned()))),
            Err(failure) => return Err(failure),
        };
        let roles = desk.store().rights().roles(&guard).await?;
        Ok(Self(Ok((guard, roles))))
    }
}

/// The fields of one line.
#[derive(Default)]
pub(super) struct Fields {
    roles: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    tenant: Option<String>,
}

impl Fields {
    /// Takes the value of a field.
    pub(super) fn take(&mut self, field: &str, target: &str, value: &Value) -> Result<(), Failure> {
        let is_second = match target {
            ROLES => self.roles.replace(names(field, value)?).is_some(),
            PERMISSIONS => self.permissions.replace(names(field, value)?).is_some(),
            _ => self.tenant.replace(text(field, value)?.to_owned()).is_some(),
        };
        match is_second {
            true => Err(Failure::invalid(format!(
                "{} has two values",
                target.trim_start_matches('@')
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn has(&self, target: &str) -> bool {
        match target {
            ROLES => self.roles.is_some(),
            PERMISSIONS => self.permissions.is_some(),
            _ => self.tenant.is_some(),
        }
    }

    /// The rights; `None`: the line has none.
    pub(super) fn rights(self, place: &Place) -> Result<Option<ImportRights>, Failure> {
        let (roles, permissions) = (self.roles.unwrap_or_default(), self.permissions.unwrap_or_default());
        if roles.is_empty() && permissions.is_empty() {
            return Ok(None);
        }
        let (guard, known) = place.0.as_ref().map_err(Failure::invalid)?;
        let tenant = self.tenant.as_deref().map(TenantName::new).transpose();
        let scope = Scope {
            guard: guard.clone(),
            tenant: tenant.map_err(Failure::invalid)?,
        };
        let roles = roles.iter().map(|role| {
            let role = RoleName::new(role).map_err(Failure::invalid)?;
            role_of(known, &scope, &role).map(|_| role)
        });
        let roles = roles.collect::<Result<_, Failure>>()?;
        let permissions = permissions
            .iter()
            .map(|permission| Permission::new(permission).map_err(Failure::invalid));
        let permissions = permissions.collect::<Result<_, Failure>>()?;
        Ok(Some(ImportRights {
            scope,
            roles,
            permissions,
        }))
    }
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, Failure> {
    value
        .as_str()
        .ok_or_else(|| Failure::invalid(format!("field {field} is no text")))
}

/// The names in a text with commas, or in a list of texts.
fn names(field: &str, value: &Value) -> Result<Vec<String>, Failure> {
    let names: Vec<&str> = match value {
        Value::Array(values) => values
            .iter()
            .map(|value| text(field, value))
            .collect::<Result<_, _>>()?,
        value => text(field, value)?.split(',').collect(),
    };
    let names = names.into_iter().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}
