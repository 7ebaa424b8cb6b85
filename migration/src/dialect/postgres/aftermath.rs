//! What goes with rows, written for the rows of a whole statement.

use super::{Dialect, NOW, Postgres};
use crate::dialect::{quoted, quoted_table};
use crate::watch::{Aftermath, GOES_WITH_ACCOUNT, POLICY_VALUES};

/// Statements of a function, by event.
#[derive(Default)]
pub(super) struct Statements {
    /// Its variables.
    pub(super) declared: String,
    pub(super) update: String,
    pub(super) delete: String,
    pub(super) truncate: String,
}

pub(super) fn of(postgres: &Postgres, aftermath: &Aftermath<'_>) -> Statements {
    match aftermath {
        Aftermath::None => Statements::default(),
        Aftermath::Account { model, table, id, kind } => {
            let ids = |rows: &str| {
                let text = postgres.id_text(*kind, &format!("{rows}.{}", quoted(id)));
                format!("SELECT {text} FROM {rows}")
            };
            // A partition may be emptied alone: what belongs to accounts of the others stays.
            let remains = format!(
                "SELECT 1 FROM {} AS remaining WHERE {}",
                quoted_table(table),
                postgres.id_text(*kind, &format!("remaining.{}", quoted(id)))
            );
            account(model, &ids("old_rows"), &ids("new_rows"), &remains)
        }
        Aftermath::Role => Statements {
            declared: "DECLARE moved bekci_principal_roles[];\n".to_owned(),
            update: ROLE_UPDATED.to_owned(),
            delete: ROLE_DELETED.to_owned(),
            // No role is left. A number that begins again, or a name that is made again, must find nothing.
            truncate: "  DELETE FROM bekci_role_permissions;\n  DELETE FROM bekci_principal_roles;\n".to_owned(),
        },
    }
}

fn account(model: &str, old_ids: &str, new_ids: &str, remains: &str) -> Statements {
    let lost = " USING unnest(gone) AS lost (id)";
    let some = each(model, lost, " FROM unnest(gone) AS lost (id)", |column| {
        format!(" AND {column} = lost.id")
    });
    let named = format!("('principal:{model}:' || lost.id) IN ({POLICY_VALUES})");
    let some = format!("{some}  DELETE FROM bekci_policies{lost} WHERE {named};\n");
    let all = each(model, "", "", |column| {
        format!(" AND NOT EXISTS ({remains} = {column})")
    });
    let prefix = format!("principal:{model}:");
    let names_lost = |value: &str| {
        let id = format!("substr({value}, {})", prefix.len() + 1);
        format!("(strpos({value}, '{prefix}') = 1 AND NOT EXISTS ({remains} = {id}))")
    };
    let named: Vec<String> = POLICY_VALUES.split(", ").map(names_lost).collect();
    let all = format!("{all}  DELETE FROM bekci_policies WHERE {};\n", named.join("\n    OR "));
    Statements {
        declared: "DECLARE gone text[];\n".to_owned(),
        update: format!(
            "  gone := ARRAY({old_ids} EXCEPT {new_ids});\n  IF cardinality(gone) > 0 THEN\n{some}  END IF;\n"
        ),
        delete: format!("  gone := ARRAY({old_ids});\n{some}"),
        truncate: all,
    }
}

fn each(model: &str, using: &str, from: &str, whose: impl Fn(&str) -> String) -> String {
    let sessions = format!(
        "  UPDATE bekci_sessions SET ended_at = {NOW}, end_reason = 'account_deleted'{from} \
         WHERE model = '{model}' AND ended_at IS NULL{};\n",
        whose("bekci_sessions.principal_id")
    );
    let rows = GOES_WITH_ACCOUNT.map(|(table, column)| {
        let whose = whose(&format!("{table}.{column}"));
        format!("  DELETE FROM {table}{using} WHERE model = '{model}'{whose};\n")
    });
    sessions + &rows.concat()
}

/// Memberships that resolved to the role: those of its own tenant; of a global role also those of tenants that have no role of
/// this name themselves, nor had one before this statement.
const ROLE_DELETED: &str = "  DELETE FROM bekci_role_permissions AS p USING old_rows AS o WHERE p.role_id = o.id;
  DELETE FROM bekci_principal_roles AS m USING old_rows AS o
  WHERE m.guard = o.guard AND m.role = o.name AND (m.tenant = o.tenant OR (o.tenant = '' AND NOT EXISTS (
    SELECT 1 FROM bekci_roles AS own WHERE own.guard = m.guard AND own.tenant = m.tenant AND own.name = m.role)));
";

/// Deleted and inserted, not updated: a member may hold the new name already, and roles may swap names in one statement.
/// A member for whom the new name is another role, their tenant's own, does not get it, or a rename would hand that role out.
const ROLE_UPDATED: &str = "  DELETE FROM bekci_role_permissions
  WHERE role_id IN (SELECT id FROM old_rows EXCEPT SELECT id FROM new_rows);
  WITH renamed AS (
    SELECT o.guard, o.tenant, o.name, CASE WHEN n.guard = o.guard AND n.tenant = o.tenant THEN n.name END AS new_name
    FROM old_rows AS o LEFT JOIN new_rows AS n ON n.id = o.id
    WHERE (n.guard, n.tenant, n.name) IS DISTINCT FROM (o.guard, o.tenant, o.name)),
  members AS (
    DELETE FROM bekci_principal_roles AS m USING renamed AS r
    WHERE m.guard = r.guard AND m.role = r.name AND (m.tenant = r.tenant OR (r.tenant = ''
      AND NOT EXISTS (SELECT 1 FROM old_rows AS own
        WHERE own.guard = m.guard AND own.tenant = m.tenant AND own.name = m.role)
      AND NOT EXISTS (SELECT 1 FROM bekci_roles AS own
        WHERE own.guard = m.guard AND own.tenant = m.tenant AND own.name = m.role
        AND own.id NOT IN (SELECT id FROM new_rows))))
    RETURNING m.model, m.id, m.guard, m.tenant, r.tenant AS role_tenant, r.new_name)
  SELECT array_agg(ROW(model, id, guard, tenant, new_name)::bekci_principal_roles) INTO moved
  FROM members
  WHERE new_name IS NOT NULL AND NOT (tenant <> role_tenant AND EXISTS (SELECT 1 FROM bekci_roles AS own
    WHERE own.guard = members.guard AND own.tenant = members.tenant AND own.name = members.new_name));
  INSERT INTO bekci_principal_roles (model, id, guard, tenant, role)
  SELECT m.model, m.id, m.guard, m.tenant, m.role FROM unnest(moved) AS m
  ON CONFLICT DO NOTHING;
";
