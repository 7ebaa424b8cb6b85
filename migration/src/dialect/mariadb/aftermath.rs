//! What goes with a row, written for `OLD` and `NEW`. Triggers know no alias for the table that they write to.

use super::{Dialect, MariaDb, NOW};
use crate::model::IdKind;
use crate::watch::{Aftermath, GOES_WITH_ACCOUNT, POLICY_VALUES};

/// Memberships that resolved to the role as it was: those of its own tenant; of a global role also those of tenants that have no
/// role of this name themselves.
const MEMBERS: &str = "guard = OLD.guard AND role = OLD.name AND (tenant = OLD.tenant OR (OLD.tenant = '' AND NOT EXISTS (\
    SELECT 1 FROM bekci_roles WHERE bekci_roles.guard = OLD.guard AND bekci_roles.name = OLD.name \
    AND bekci_roles.tenant = bekci_principal_roles.tenant)))";

pub(super) fn of_delete(mariadb: &MariaDb, aftermath: &Aftermath<'_>) -> String {
    match aftermath {
        Aftermath::None => String::new(),
        Aftermath::Account { model, id, kind, .. } => account(model, &id_of(mariadb, "OLD", id, *kind)),
        Aftermath::Role => format!(
            "DELETE FROM bekci_role_permissions WHERE role_id = OLD.id;\nDELETE FROM bekci_principal_roles WHERE {MEMBERS};\n"
        ),
    }
}

pub(super) fn of_update(mariadb: &MariaDb, aftermath: &Aftermath<'_>) -> String {
    match aftermath {
        Aftermath::None => String::new(),
        Aftermath::Account { model, id, kind, .. } => {
            let [old, new] = ["OLD", "NEW"].map(|row| id_of(mariadb, row, id, *kind));
            format!("IF NOT ({old} <=> {new}) THEN\n{}END IF;\n", account(model, &old))
        }
        // No UPDATE of memberships: a member may hold the new name already. One for whom the new name is another role, their tenant's own,
        // is left out, or a rename would hand that role out.
        Aftermath::Role => format!(
            "IF OLD.id <> NEW.id THEN\nDELETE FROM bekci_role_permissions WHERE role_id = OLD.id;\nEND IF;\n\
             IF NEW.id = OLD.id AND NEW.guard = OLD.guard AND NEW.tenant = OLD.tenant AND NEW.name <> OLD.name THEN\n\
             INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) \
             SELECT model, id, guard, tenant, NEW.name FROM bekci_principal_roles WHERE {MEMBERS} \
             AND NOT (tenant <> OLD.tenant AND EXISTS (SELECT 1 FROM bekci_roles WHERE bekci_roles.guard = OLD.guard \
             AND bekci_roles.name = NEW.name AND bekci_roles.tenant = bekci_principal_roles.tenant)) \
             AND NOT EXISTS (SELECT 1 FROM bekci_principal_roles AS held WHERE held.model = bekci_principal_roles.model \
             AND held.id = bekci_principal_roles.id AND held.guard = bekci_principal_roles.guard \
             AND held.tenant = bekci_principal_roles.tenant AND held.role = NEW.name);\nEND IF;\n\
             DELETE FROM bekci_principal_roles WHERE {MEMBERS};\n"
        ),
    }
}

fn id_of(mariadb: &MariaDb, row: &str, id: &str, kind: IdKind) -> String {
    mariadb.id_text(kind, &format!("{row}.{}", mariadb.quoted(id)))
}

fn account(model: &str, id: &str) -> String {
    let sessions = format!(
        "UPDATE bekci_sessions SET ended_at = {NOW}, end_reason = 'account_deleted' \
         WHERE model = '{model}' AND principal_id = {id} AND ended_at IS NULL;\n"
    );
    let rows = GOES_WITH_ACCOUNT
        .iter()
        .map(|(table, column)| format!("DELETE FROM {table} WHERE model = '{model}' AND {column} = {id};\n"));
    let lines = format!("DELETE FROM bekci_policies WHERE CONCAT('principal:{model}:', {id}) IN ({POLICY_VALUES});\n");
    std::iter::once(sessions).chain(rows).chain([lines]).collect()
}
