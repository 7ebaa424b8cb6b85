//! Loading an identity and role tables from the database, within a snapshot that the caller holds.

use bekci_core::{
    Ban, Block, GuardName, Identity, LiveSession, ModelSpec, Permission, PrincipalKey, RoleName, RoleTable,
    ScopedRights, SessionId, TEMPORARY, TenantName, TokenId,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value, sea_query::Value as QueryValue};
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    node::Node,
    providers::{self, Given},
    sql::{as_json, as_text, equals, from_micros, mariadb, micros, quoted, quoted_table, statement},
};

/// The identity of a principal; one with `exists` false where its model or account is not there. Asks the model's provider, if it has one of its own.
pub(crate) async fn identity<C: ConnectionTrait>(node: &Node, db: &C, key: &PrincipalKey) -> Result<Identity, DbErr> {
    let given = node.given(key).await.map_err(providers::failed)?;
    identity_of(node, db, key, &given).await
}

/// The same with what the model's provider has said already.
pub(crate) async fn identity_of<C: ConnectionTrait>(
    node: &Node,
    db: &C,
    key: &PrincipalKey,
    given: &Given,
) -> Result<Identity, DbErr> {
    let mut identity = Identity::absent(key.clone());
    let Some(model) = node.model(key.model()) else {
        return Ok(identity);
    };
    if let Some(account) = given {
        if let Some(account) = account {
            add_stored(&mut identity, node, db).await?;
            providers::fill(&mut identity, model, account);
        }
        return Ok(identity);
    }
    let Some(statement) = account_statement(db.get_database_backend(), model, key.id()) else {
        return Ok(identity);
    };
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(identity);
    };
    read_account(&mut identity, model, &row)?;
    warn_of_status(&identity);
    add_stored(&mut identity, node, db).await?;
    Ok(identity)
}

/// What the database holds of a principal, wherever its account is.
async fn add_stored<C: ConnectionTrait>(identity: &mut Identity, node: &Node, db: &C) -> Result<(), DbErr> {
    let key = identity.key.clone();
    identity.ban = ban(db, &key).await?;
    identity.rights = rights(db, &key).await?;
    identity.sessions = sessions(node, db, &key).await?;
    identity.blocks = blocks(db, &key).await?;
    Ok(())
}

/// The id as a value of its column's type; `None` where the id is not canonical for the model.
pub(crate) fn id_values(model: &ModelSpec, id: &str) -> Option<Vec<Value>> {
    bekci_core::PrincipalId::new(model.id_kind, id).ok()?;
    match model.id_kind {
        bekci_core::IdKind::Integer => id.parse::<i64>().ok().map(|id| vec![id.into()]),
        // SQLite and MariaDB have no type for it that SeaORM writes: it writes 16 bytes, other writers the text.
        bekci_core::IdKind::Uuid => id
            .parse::<sea_orm::prelude::Uuid>()
            .ok()
            .map(|uuid| vec![uuid.into(), id.into()]),
        bekci_core::IdKind::Text => Some(vec![id.into()]),
    }
}

/// `WHERE` for the account with this id, and its values.
pub(crate) fn by_id(backend: DbBackend, model: &ModelSpec, id: &str) -> Option<(String, Vec<Value>)> {
    let column = quoted(&model.id_column);
    let filter = filter(backend, model).map_or_else(String::new, |filter| format!(" AND {filter}"));
    let mut values = id_values(model, id)?;
    if backend != DbBackend::Postgres && values.len() == 2 {
        return Some((format!("{column} IN ($1, $2){filter}"), values));
    }
    values.truncate(1);
    if model.id_kind == bekci_core::IdKind::Text {
        let is_it = equals(backend, &model.id_column, 1);
        return Some((format!("{is_it}{filter}"), values));
    }
    Some((format!("{column} = $1{filter}"), values))
}

/// The condition of the rows that are accounts; `None`: all are. A truth value is written as 0 and 1 by SQLite and MariaDB, as `false` and `true` by PostgreSQL.
pub(crate) fn filter(backend: DbBackend, model: &ModelSpec) -> Option<String> {
    let filter = model.filter.as_ref()?;
    let column = quoted(filter.column());
    let text = match backend {
        DbBackend::MySql => mariadb::exact(&as_text(filter.column())),
        _ => as_text(filter.column()),
    };
    // A value has letters, digits, `_` and `-` alone.
    Some(match filter.value() {
        None => format!("{column} IS NULL"),
        Some("false") => format!("{text} IN ('false', '0')"),
        Some("true") => format!("{text} IN ('true', '1')"),
        Some(value) => format!("{text} = '{value}'"),
    })
}

/// The columns of an account's row that [`read_account`] reads.
pub(crate) fn account_columns(backend: DbBackend, model: &ModelSpec) -> Vec<String> {
    let or_null = |column: Option<&String>| column.map_or_else(|| "NULL".to_owned(), |column| as_text(column));
    let verified = model.verified_column.as_ref().map_or_else(
        || "1".to_owned(),
        |column| format!("CASE WHEN {} IS NULL THEN 0 ELSE 1 END", quoted(column)),
    );
    let mut columns = vec![
        format!("{} AS bekci_status", or_null(model.status_column.as_ref())),
        format!("{verified} AS bekci_verified"),
        format!("{} AS bekci_tenant", or_null(model.tenant_column.as_ref())),
    ];
    columns.extend(
        model
            .cached_attributes
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{} AS bekci_a{at}", as_json(backend, column))),
    );
    columns
}

fn account_statement(backend: DbBackend, model: &ModelSpec, id: &str) -> Option<Statement> {
    let (condition, values) = by_id(backend, model, id)?;
    Some(statement(
        backend,
        format!(
            "SELECT {} FROM {} WHERE {condition}",
            account_columns(backend, model).join(", "),
            quoted_table(&model.table)
        ),
        values,
    ))
}

pub(crate) fn read_account(identity: &mut Identity, model: &ModelSpec, row: &QueryResult) -> Result<(), DbErr> {
    let text = |column: &str| row.try_get::<Option<String>>("", column);
    identity.exists = true;
    identity.status = text("bekci_status")?.map(String::into_boxed_str);
    let status = identity.status.as_deref();
    identity.banned = status.is_some_and(|status| model.bans(status));
    identity.inactive = status.is_some_and(|status| model.is_unknown(status));
    identity.verified = row.try_get::<i32>("", "bekci_verified")? != 0;
    // A tenant that breaks the grammar cannot be asked about: its account belongs to none.
    identity.tenant = text("bekci_tenant")?.and_then(|tenant| TenantName::new(&tenant).ok());
    for (at, column) in model.cached_attributes.iter().enumerate() {
        let json = text(&format!("bekci_a{at}"))?;
        let value = json
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or(serde_json::Value::Null);
        identity.attributes.insert(column.clone(), value);
    }
    Ok(())
}

/// Says of a status that nobody knows where it stands: who wrote it meant something by it. Once a load, so that no request repeats it.
pub(crate) fn warn_of_status(identity: &Identity) {
    if identity.inactive {
        let status: String = identity
            .status
            .iter()
            .flat_map(|status| status.chars())
            .take(64)
            .collect();
        tracing::warn!(key = %identity.key, ?status, "this status neither bans nor lets in: the account is kept out until it has one of its model's active_statuses");
    }
}

fn owner(key: &PrincipalKey) -> [QueryValue; 2] {
    [key.model().into(), key.id().into()]
}

async fn ban<C: ConnectionTrait>(db: &C, key: &PrincipalKey) -> Result<Option<Ban>, DbErr> {
    let sql = "SELECT reason, until FROM bekci_bans WHERE model = $1 AND id = $2";
    let row = db
        .query_one_raw(statement(db.get_database_backend(), sql, owner(key)))
        .await?;
    row.as_ref().map(read_ban).transpose()
}

/// The columns `reason` and `until` of a ban.
pub(crate) fn read_ban(row: &QueryResult) -> Result<Ban, DbErr> {
    let reason = row.try_get::<Option<String>>("", "reason")?.map(String::into_boxed_str);
    Ok(Ban {
        reason,
        until: row.try_get::<Option<i64>>("", "until")?.map(from_micros),
    })
}

/// Rights of one guard, globally or in one tenant.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) roles: BTreeSet<RoleName>,
    pub(crate) granted: BTreeSet<Permission>,
    pub(crate) denied: BTreeSet<Permission>,
}

/// The scopes in order.
pub(crate) fn listed(scopes: BTreeMap<(GuardName, Option<TenantName>), Scope>) -> Box<[ScopedRights]> {
    let listed = scopes.into_iter().map(|((guard, tenant), scope)| ScopedRights {
        guard,
        tenant,
        roles: scope.roles.into_iter().collect(),
        granted: scope.granted.into_iter().collect(),
        denied: scope.denied.into_iter().collect(),
    });
    listed.collect()
}

async fn rights<C: ConnectionTrait>(db: &C, key: &PrincipalKey) -> Result<Box<[ScopedRights]>, DbErr> {
    let sql = "SELECT guard, tenant, role AS name, 0 AS kind FROM bekci_principal_roles WHERE model = $1 AND id = $2 \
               UNION ALL SELECT guard, tenant, permission, CASE WHEN denied THEN 2 ELSE 1 END FROM bekci_principal_permissions WHERE model = $1 AND id = $2";
    let mut scopes: BTreeMap<(GuardName, Option<TenantName>), Scope> = BTreeMap::new();
    for row in db
        .query_all_raw(statement(db.get_database_backend(), sql, owner(key)))
        .await?
    {
        let (guard, tenant): (String, String) = (row.try_get("", "guard")?, row.try_get("", "tenant")?);
        let (name, kind): (String, i32) = (row.try_get("", "name")?, row.try_get("", "kind")?);
        if let Err(why) = add_right(&mut scopes, &guard, &tenant, &name, kind) {
            // A denial that cannot be read must not become "not denied": the whole identity is refused instead.
            if kind == 2 {
                return Err(DbErr::Custom(format!(
                    "bekci: {key} has a denial that cannot be read: {why}"
                )));
            }
            tracing::warn!(%key, %why, "a right that breaks the grammar gives nothing");
        }
    }
    Ok(listed(scopes))
}

fn add_right(
    scopes: &mut BTreeMap<(GuardName, Option<TenantName>), Scope>,
    guard: &str,
    tenant: &str,
    name: &str,
    kind: i32,
) -> Result<(), bekci_core::NameError> {
    let guard = GuardName::new(guard)?;
    let tenant = if tenant.is_empty() {
        None
    } else {
        Some(TenantName::new(tenant)?)
    };
    let scope = scopes.entry((guard, tenant)).or_default();
    match kind {
        0 => drop(scope.roles.insert(RoleName::new(name)?)),
        1 => drop(scope.granted.insert(Permission::new(name)?)),
        _ => drop(scope.denied.insert(Permission::new(name)?)),
    }
    Ok(())
}

async fn sessions<C: ConnectionTrait>(node: &Node, db: &C, key: &PrincipalKey) -> Result<Box<[LiveSession]>, DbErr> {
    let live = unended_sessions(node, db, key).await?.into_iter();
    Ok(live.filter(|(_, over)| !over).map(|(session, _)| session).collect())
}

/// The sessions of a principal that nobody ended and that are over by the clock.
pub(crate) async fn sessions_over<C: ConnectionTrait>(
    node: &Node,
    db: &C,
    key: &PrincipalKey,
) -> Result<Vec<SessionId>, DbErr> {
    let unended = unended_sessions(node, db, key).await?.into_iter();
    Ok(unended
        .filter(|(_, over)| *over)
        .map(|(session, _)| session.id)
        .collect())
}

/// Sessions that nobody ended, each with whether it is over by the clock.
async fn unended_sessions<C: ConnectionTrait>(
    node: &Node,
    db: &C,
    key: &PrincipalKey,
) -> Result<Vec<(LiveSession, bool)>, DbErr> {
    let sql = "SELECT id, guard, min_generation, authenticated_at, rotated_at, expires_at, way, remembered FROM bekci_sessions \
               WHERE model = $1 AND principal_id = $2 AND ended_at IS NULL ORDER BY id";
    let now = micros(node.clock().now());
    let mut live = Vec::new();
    for row in db
        .query_all_raw(statement(db.get_database_backend(), sql, owner(key)))
        .await?
    {
        let id: String = row.try_get("", "id")?;
        let guard: String = row.try_get("", "guard")?;
        let (Some(id), Ok(guard)) = (SessionId::parse(&id), GuardName::new(&guard)) else {
            continue;
        };
        // One that can neither be refreshed nor have a token alive is not carried along, though nobody ended it.
        let rules = node
            .guards()
            .iter()
            .find(|known| known.name == guard)
            .map(|known| &known.session);
        let outlived = rules.is_some_and(|rules| {
            let rotated = row.try_get::<i64>("", "rotated_at").unwrap_or(i64::MAX);
            from_micros(rotated) + rules.refresh.ttl.max(rules.access_ttl) + time::Duration::DAY < from_micros(now)
        });
        let expires_at = row.try_get::<Option<i64>>("", "expires_at")?;
        let way: String = row.try_get("", "way")?;
        // Nor one that waited for its verification in vain.
        let in_vain = way == TEMPORARY && expires_at.is_some_and(|end| end <= now);
        let session = LiveSession {
            id,
            guard,
            min_generation: u32::try_from(row.try_get::<i32>("", "min_generation")?).unwrap_or_default(),
            authenticated_at: row.try_get::<i64>("", "authenticated_at")? / 1_000_000,
            expires_at: expires_at.map(|end| end / 1_000_000),
            way: way.into_boxed_str(),
            remembered: row.try_get("", "remembered")?,
        };
        live.push((session, outlived || in_vain));
    }
    Ok(live)
}

async fn blocks<C: ConnectionTrait>(db: &C, key: &PrincipalKey) -> Result<Box<[Block]>, DbErr> {
    let sql = "SELECT jti, sid, reason, until FROM bekci_blocks WHERE model = $1 AND principal_id = $2 ORDER BY id";
    let rows = db
        .query_all_raw(statement(db.get_database_backend(), sql, owner(key)))
        .await?;
    rows.into_iter()
        .map(|row| {
            let id = |column: &str| -> Result<Option<TokenId>, DbErr> {
                Ok(row
                    .try_get::<Option<String>>("", column)?
                    .and_then(|text| TokenId::parse(&text)))
            };
            Ok(Block {
                jti: id("jti")?,
                sid: id("sid")?,
                reason: row.try_get::<String>("", "reason")?.into_boxed_str(),
                until: row.try_get::<Option<i64>>("", "until")?.map(from_micros),
            })
        })
        .collect()
}

/// What the roles of a guard permit, globally or in one tenant.
pub(crate) async fn role_table<C: ConnectionTrait>(
    db: &C,
    guard: &GuardName,
    tenant: Option<&TenantName>,
    version: u64,
) -> Result<RoleTable, DbErr> {
    let sql = "SELECT r.name AS name, p.permission AS permission FROM bekci_roles r \
               LEFT JOIN bekci_role_permissions p ON p.role_id = r.id WHERE r.guard = $1 AND r.tenant = $2 ORDER BY r.name, p.permission";
    let values = [
        guard.as_str().into(),
        tenant.map(TenantName::as_str).unwrap_or_default().into(),
    ];
    let mut roles: BTreeMap<RoleName, Vec<Permission>> = BTreeMap::new();
    for row in db
        .query_all_raw(statement(db.get_database_backend(), sql, values))
        .await?
    {
        let name: String = row.try_get("", "name")?;
        let Ok(role) = RoleName::new(&name) else {
            tracing::warn!(%guard, role = %name, "a role that breaks the grammar gives nothing");
            continue;
        };
        let permissions = roles.entry(role).or_default();
        match row
            .try_get::<Option<String>>("", "permission")?
            .map(|text| Permission::new(&text))
        {
            Some(Ok(permission)) => permissions.push(permission),
            Some(Err(why)) => {
                tracing::warn!(%guard, role = %name, %why, "a permission that breaks the grammar gives nothing")
            }
            None => {}
        }
    }
    Ok(RoleTable::new(version, roles))
}
