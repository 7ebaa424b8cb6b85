//! Sessions: opened, refreshed and ended on the row that the database holds.
//!
//! A refresh changes the row by one conditional statement (`… WHERE generation = the one that was read AND ended_at IS NULL`), which sign-out and
//! sign-out everywhere contradict by setting `ended_at`. Whoever comes second matches nothing, reads again and judges again: of 64 refreshes at once one rotates, and
//! after a sign-out there is no live token, whatever the order.

mod opening;
mod temporary;

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, Consistency, Identity, IdentityVersion, ModelName, Need, PrincipalKey, RefreshOutcome, RefreshRules,
    SessionId, SessionState, TenantName, judge_refresh,
    principal::not_banned,
    signin::{
        Confirmation, Credential, EndSessions, NewSession, Opened, OpenedTemporary, RefreshRequest, Refreshed,
        SessionEntry, SessionFacts, SignInStore, StoreError,
    },
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, TransactionTrait, Value};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::{
    commit::Barrier,
    guarded::{GuardedConnection, GuardedTransaction},
    load,
    node::Node,
    providers,
    sql::{from_micros, micros, quoted, statement},
};

/// Sessions and credentials on the database.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) connection: GuardedConnection,
}

/// A refresh that is overtaken this often by others gives up.
const REFRESH_TRIES: u32 = 16;

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A session row as refresh needs it.
struct Row {
    key: PrincipalKey,
    guard: String,
    tenant: Option<TenantName>,
    state: SessionState,
}

fn read_row(row: &QueryResult) -> Result<Row, DbErr> {
    let broken = |what: &dyn std::fmt::Display| DbErr::Custom(format!("bekci: a session row cannot be read: {what}"));
    let generation = |column: &str| -> Result<Option<u32>, DbErr> {
        Ok(row
            .try_get::<Option<i32>>("", column)?
            .and_then(|value| u32::try_from(value).ok()))
    };
    let (model, id): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
    let tenant: String = row.try_get("", "tenant")?;
    Ok(Row {
        key: PrincipalKey::parse(&format!("{model}:{id}")).map_err(|error| broken(&error))?,
        guard: row.try_get("", "guard")?,
        tenant: (!tenant.is_empty())
            .then(|| TenantName::new(&tenant))
            .transpose()
            .map_err(|error| broken(&error))?,
        state: SessionState {
            generation: generation("generation")?.ok_or_else(|| broken(&"generation"))?,
            previous_generation: generation("previous_generation")?,
            min_generation: generation("min_generation")?.unwrap_or_default(),
            used_generation: generation("used_generation")?,
            rotated_at: from_micros(row.try_get("", "rotated_at")?),
            device_hash: row.try_get("", "device_hash")?,
            ended_at: row.try_get::<Option<i64>>("", "ended_at")?.map(from_micros),
            expires_at: row.try_get::<Option<i64>>("", "expires_at")?.map(from_micros),
        },
    })
}

/// A generation as the database holds it. A session refreshed once a second reaches the end after 68 years, and is then expired.
fn as_i32(generation: u32) -> i32 {
    i32::try_from(generation).unwrap_or(i32::MAX)
}

impl Sessions {
    fn node(&self) -> &Node {
        &self.connection.node
    }

    async fn row(&self, id: SessionId) -> Result<Option<Row>, StoreError> {
        let sql = "SELECT model, principal_id, guard, tenant, generation, previous_generation, min_generation, used_generation, rotated_at, \
                   device_hash, ended_at, expires_at FROM bekci_sessions WHERE id = $1 AND way <> 'temporary'";
        let node = self.node();
        let row = node
            .db()
            .query_one_raw(statement(node.backend(), sql, [id.to_string().into()]))
            .await
            .map_err(unavailable)?;
        row.map(|row| read_row(&row)).transpose().map_err(unavailable)
    }

    /// The identity as the database has it now.
    async fn identity_now(
        &self,
        key: &PrincipalKey,
        guard: &AuthGuard,
    ) -> Result<(std::sync::Arc<Identity>, IdentityVersion), StoreError> {
        let need = Need {
            key,
            guard: &guard.name,
            tenant: None,
            at_least: IdentityVersion(0),
            policy: false,
            consistency: Consistency::Direct,
        };
        let view = self
            .node()
            .read_now(&need)
            .await
            .map_err(|error| StoreError::Unavailable(error.0))?;
        Ok((view.identity, view.version))
    }

    /// Moves the row on, if it still is as it was read.
    async fn rotate(
        &self,
        row: &Row,
        id: SessionId,
        next: u32,
        orphan: bool,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let node = self.node();
        // A recovered answer keeps its parent: the client that lost one answer may lose the next as well, and still holds the parent.
        let (previous, least) = if orphan {
            (row.state.previous_generation.unwrap_or_default(), next)
        } else {
            (row.state.generation, row.state.min_generation)
        };
        let sql = "UPDATE bekci_sessions SET generation = $1, previous_generation = $2, min_generation = $3, rotated_at = $4, last_used_at = $4 \
                   WHERE id = $5 AND generation = $6 AND min_generation = $7 AND ended_at IS NULL";
        let values: [Value; 7] = [
            as_i32(next).into(),
            as_i32(previous).into(),
            as_i32(least).into(),
            micros(now).into(),
            id.to_string().into(),
            as_i32(row.state.generation).into(),
            as_i32(row.state.min_generation).into(),
        ];
        let update = statement(node.backend(), sql, values);
        let changed = if orphan {
            self.committed(update, Barrier::Auto).await?
        } else {
            // Nobody watches these columns: nothing to number, nobody to wait for.
            node.db()
                .execute_raw(update)
                .await
                .map_err(unavailable)?
                .rows_affected()
        };
        Ok(changed > 0)
    }

    async fn committed(&self, update: sea_orm::Statement, barrier: Barrier) -> Result<u64, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let changed = transaction
            .execute_raw(update)
            .await
            .map_err(unavailable)?
            .rows_affected();
        transaction.commit_with(barrier).await?.confirmed()?;
        Ok(changed)
    }

    async fn end_reused(&self, id: SessionId, now: OffsetDateTime) -> Result<(), StoreError> {
        let sql =
            "UPDATE bekci_sessions SET ended_at = $1, end_reason = 'refresh_reused' WHERE id = $2 AND ended_at IS NULL";
        self.committed(
            statement(self.node().backend(), sql, [micros(now).into(), id.to_string().into()]),
            Barrier::Auto,
        )
        .await
        .map(|_| ())
    }

    fn judge(&self, row: &Row, request: &RefreshRequest) -> RefreshOutcome {
        let mut state = row.state.clone();
        let noted = self.node().noted_use(request.session);
        state.used_generation = state.used_generation.max(noted);
        let same_device = match (&state.device_hash, &request.device_hash) {
            (Some(held), Some(given)) => bool::from(subtle::ConstantTimeEq::ct_eq(held.as_slice(), given.as_slice())),
            _ => false,
        };
        let mut rules = request.guard.session.refresh.clone();
        if request.by_cookie {
            rules.lost_response = time::Duration::ZERO;
        }
        judge_refresh(&state, request.generation, same_device, &rules, request.now)
    }
}

fn refresh_ends(
    rules: &RefreshRules,
    rotated_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
) -> OffsetDateTime {
    let end = rotated_at + rules.idle.map_or(rules.ttl, |idle| idle.min(rules.ttl));
    expires_at.map_or(end, |absolute| absolute.min(end))
}

/// Commits what opened a session of this principal, and gives the identity's version with it.
async fn committed_version(transaction: GuardedTransaction, key: &PrincipalKey) -> Result<IdentityVersion, StoreError> {
    let committed = transaction.commit_with(Barrier::Auto).await?;
    committed.confirmed()?;
    committed.version_of(key).ok_or_else(|| {
        StoreError::Unavailable("the triggers on bekci_sessions are missing; run `bekci migrate up`".to_owned())
    })
}

/// What came out, where nothing is to be changed.
async fn rolled_back<T>(transaction: GuardedTransaction, outcome: T) -> Result<T, StoreError> {
    sea_orm::TransactionSession::rollback(transaction)
        .await
        .map_err(unavailable)?;
    Ok(outcome)
}

fn refused(outcome: RefreshOutcome) -> Refreshed {
    Refreshed {
        outcome,
        session: None,
        banned: None,
    }
}

#[async_trait]
impl SignInStore for Sessions {
    async fn credentials(&self, model: &ModelName, identifier: &str) -> Result<Vec<Credential>, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(model.as_str()) else {
            return Ok(Vec::new());
        };
        // PostgreSQL holds no such text, and answers with an error.
        if identifier.contains('\0') {
            return Ok(Vec::new());
        }
        if let Some(finding) = node.providers().finding(model.as_str()) {
            return providers::find(finding, spec, identifier).await;
        }
        let conditions: Vec<String> = spec
            .identifiers
            .iter()
            .map(|(column, no_case)| {
                let column = quoted(column);
                if *no_case {
                    format!("lower({column}) = lower($1)")
                } else {
                    format!("{column} = $1")
                }
            })
            .collect();
        let id = id_as_text(node.backend(), spec);
        let hash = spec
            .password_column
            .as_ref()
            .map_or_else(|| "NULL".to_owned(), |column| quoted(column));
        let sql = format!(
            "SELECT {id} AS id, {hash} AS hash FROM {} WHERE {} LIMIT 2",
            quoted(&spec.table),
            conditions.join(" OR ")
        );
        let rows = node
            .db()
            .query_all_raw(statement(node.backend(), sql, [identifier.into()]))
            .await
            .map_err(unavailable)?;
        let read = |row: QueryResult| -> Result<Option<Credential>, StoreError> {
            let id: String = row.try_get("", "id").map_err(unavailable)?;
            let hash: Option<String> = row.try_get("", "hash").map_err(unavailable)?;
            // A row whose id is not canonical is no account: no key can name it.
            let Ok(key) = spec.key(&id) else {
                tracing::warn!(%model, %id, "a row's id is none that a key can hold: nobody signs in by it");
                return Ok(None);
            };
            let password_hash = hash.filter(|hash| !hash.is_empty()).map(SecretString::from);
            Ok(Some(Credential { key, password_hash }))
        };
        rows.into_iter().filter_map(|row| read(row).transpose()).collect()
    }

    async fn credential_of(&self, key: &PrincipalKey) -> Result<Option<Credential>, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(key.model()) else {
            return Ok(None);
        };
        if let Some(account) = node.given(key).await.map_err(providers::unavailable)? {
            return Ok(account.map(|account| Credential {
                key: key.clone(),
                password_hash: account.password_hash.filter(|hash| !hash.expose_secret().is_empty()),
            }));
        }
        let Some((condition, values)) = load::by_id(node.backend(), spec, key.id()) else {
            return Ok(None);
        };
        let hash = spec
            .password_column
            .as_ref()
            .map_or_else(|| "NULL".to_owned(), |column| quoted(column));
        let sql = format!("SELECT {hash} AS hash FROM {} WHERE {condition}", quoted(&spec.table));
        let row = node
            .db()
            .query_one_raw(statement(node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        let read = |row: QueryResult| -> Result<Credential, DbErr> {
            let hash: Option<String> = row.try_get("", "hash")?;
            Ok(Credential {
                key: key.clone(),
                password_hash: hash.filter(|hash| !hash.is_empty()).map(SecretString::from),
            })
        };
        row.map(read).transpose().map_err(unavailable)
    }

    async fn rehash(&self, key: &PrincipalKey, old: &SecretString, new: &SecretString) -> Result<bool, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(key.model()) else {
            return Ok(false);
        };
        if let Some(provider) = node.providers().of(key.model()) {
            return provider.rehash(key, old, new).await.map_err(providers::unavailable);
        }
        let Some(column) = &spec.password_column else {
            return Ok(false);
        };
        let Some((condition, mut values)) = load::by_id(node.backend(), spec, key.id()) else {
            return Ok(false);
        };
        let (new_at, old_at) = (values.len() + 1, values.len() + 2);
        values.extend([new.expose_secret().into(), old.expose_secret().into()]);
        let column = quoted(column);
        let sql = format!(
            "UPDATE {} SET {column} = ${new_at} WHERE {condition} AND {column} = ${old_at}",
            quoted(&spec.table)
        );
        Ok(self
            .committed(statement(node.backend(), sql, values), Barrier::Auto)
            .await?
            > 0)
    }

    async fn open_session(&self, session: &NewSession) -> Result<Opened, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let opened = self.open_within(&transaction, session).await.map_err(unavailable)?;
        match opened {
            Ok((tenant, ended)) => {
                let version = committed_version(transaction, &session.key).await?;
                Ok(Opened::Open { version, tenant, ended })
            }
            Err(refused) => rolled_back(transaction, refused).await,
        }
    }

    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<OpenedTemporary, StoreError> {
        self.hold_until_verified(session, expires_at).await
    }

    async fn confirm_temporary(&self, order: &Confirmation) -> Result<Option<(PrincipalKey, Opened)>, StoreError> {
        self.make_permanent(order).await
    }

    async fn refresh(&self, request: &RefreshRequest) -> Result<Refreshed, StoreError> {
        for _ in 0..REFRESH_TRIES {
            let Some(row) = self.row(request.session).await? else {
                return Ok(refused(RefreshOutcome::Invalid));
            };
            if row.guard != request.guard.name.as_str() || row.key.model() != request.guard.model.as_str() {
                return Ok(refused(RefreshOutcome::Invalid));
            }
            let outcome = self.judge(&row, request);
            self.node().points().reach("refresh.judged").await;
            let (next, orphan) = match outcome {
                RefreshOutcome::Rotated { next } | RefreshOutcome::Recovered { next }
                    if i32::try_from(next).is_err() =>
                {
                    return Ok(refused(RefreshOutcome::Expired));
                }
                RefreshOutcome::Invalid | RefreshOutcome::Expired => return Ok(refused(outcome)),
                RefreshOutcome::Reused => {
                    self.end_reused(request.session, request.now).await?;
                    return Ok(refused(outcome));
                }
                RefreshOutcome::Replayed { .. } => (None, false),
                RefreshOutcome::Rotated { next } => (Some(next), false),
                RefreshOutcome::Recovered { next } => (Some(next), true),
            };
            let (identity, mut version) = self.identity_now(&row.key, &request.guard).await?;
            if !identity.exists || identity.session(request.session, &request.guard.name).is_none() {
                return Ok(refused(RefreshOutcome::Invalid));
            }
            if not_banned(&identity, request.now).is_err() {
                return Ok(Refreshed {
                    outcome: RefreshOutcome::Invalid,
                    session: None,
                    banned: Some(identity.ban.clone().unwrap_or(bekci_core::Ban {
                        reason: None,
                        until: None,
                    })),
                });
            }
            self.node().points().reach("refresh.confirmed").await;
            let mut rotated_at = row.state.rotated_at;
            if let Some(next) = next {
                if !self.rotate(&row, request.session, next, orphan, request.now).await? {
                    continue;
                }
                rotated_at = request.now;
                if orphan {
                    version = self.identity_now(&row.key, &request.guard).await?.1;
                }
            }
            let refresh_ends = refresh_ends(&request.guard.session.refresh, rotated_at, row.state.expires_at);
            let facts = SessionFacts {
                key: row.key,
                version,
                tenant: row.tenant,
                refresh_ends,
            };
            return Ok(Refreshed {
                outcome,
                session: Some(facts),
                banned: None,
            });
        }
        Err(StoreError::Unavailable("the session changes too often".to_owned()))
    }

    async fn end_sessions(
        &self,
        key: &PrincipalKey,
        guard: Option<&AuthGuard>,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let (condition, id, reason) = match which {
            EndSessions::One(id) => ("id = $4", id.to_string(), "signed_out"),
            EndSessions::All => ("id <> $4", String::new(), "signed_out_everywhere"),
            EndSessions::Others(id) => ("id <> $4", id.to_string(), "signed_out_elsewhere"),
        };
        let guard_name = guard.map(|guard| guard.name.as_str()).unwrap_or_default();
        let sql = format!(
            "UPDATE bekci_sessions SET ended_at = $1, end_reason = '{reason}' WHERE model = $2 AND principal_id = $3 AND {condition} \
             AND ($5 = '' OR guard = $5) AND ended_at IS NULL RETURNING id"
        );
        let values = [
            micros(now).into(),
            key.model().into(),
            key.id().into(),
            id.into(),
            guard_name.into(),
        ];
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        lock_principal(&transaction, key).await.map_err(unavailable)?;
        let rows = transaction
            .query_all_raw(statement(self.node().backend(), sql, values))
            .await
            .map_err(unavailable)?;
        let ended = ids(&rows).map_err(unavailable)?;
        transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(ended)
    }

    async fn session_owner(&self, session: SessionId) -> Result<Option<(PrincipalKey, bool)>, StoreError> {
        Ok(self
            .row(session)
            .await?
            .map(|row| (row.key, row.state.ended_at.is_none())))
    }

    async fn sessions(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, StoreError> {
        let sql = "SELECT id, guard, device_name, way, created_at, last_used_at FROM bekci_sessions \
                   WHERE model = $1 AND principal_id = $2 AND ended_at IS NULL AND way <> 'temporary' ORDER BY created_at DESC, id";
        let node = self.node();
        let rows = node
            .db()
            .query_all_raw(statement(node.backend(), sql, [key.model().into(), key.id().into()]))
            .await;
        let read = |row: QueryResult| -> Result<Option<SessionEntry>, DbErr> {
            let Some(id) = SessionId::parse(&row.try_get::<String>("", "id")?) else {
                return Ok(None);
            };
            Ok(Some(SessionEntry {
                id,
                guard: row.try_get("", "guard")?,
                device_name: row.try_get("", "device_name")?,
                way: row.try_get("", "way")?,
                created_at: from_micros(row.try_get("", "created_at")?),
                last_used_at: from_micros(row.try_get("", "last_used_at")?),
            }))
        };
        let entries: Result<Vec<_>, DbErr> = rows.map_err(unavailable)?.into_iter().map(read).collect();
        Ok(entries.map_err(unavailable)?.into_iter().flatten().collect())
    }
}

/// Makes sign-ins and sign-outs of a principal take turns, so that a unique session stays one, and nobody waits for rows in an order that meets another's. SQLite
/// has one writer anyway.
pub(crate) async fn lock_principal(transaction: &GuardedTransaction, key: &PrincipalKey) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Postgres {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        transaction
            .execute_raw(statement(backend, lock, [key.as_str().into()]))
            .await?;
    }
    Ok(())
}

/// The expression that gives an account's id as canonical text.
pub(crate) fn id_as_text(backend: DbBackend, spec: &bekci_core::ModelSpec) -> String {
    match (backend, spec.id_kind) {
        (DbBackend::Sqlite, bekci_core::IdKind::Uuid) => sqlite_uuid(&spec.id_column),
        _ => format!("CAST({} AS TEXT)", quoted(&spec.id_column)),
    }
}

/// A UUID column of SQLite as canonical text, whether it holds 16 bytes or text.
fn sqlite_uuid(column: &str) -> String {
    let column = quoted(column);
    let part = |from: u32, count: u32| format!("substr(lower(hex({column})), {from}, {count})");
    let bytes = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)].join(" || '-' || ");
    format!("CASE typeof({column}) WHEN 'blob' THEN {bytes} ELSE {column} END")
}

pub(crate) fn ids(rows: &[QueryResult]) -> Result<Vec<SessionId>, DbErr> {
    let texts: Result<Vec<String>, DbErr> = rows.iter().map(|row| row.try_get("", "id")).collect();
    Ok(texts?.iter().filter_map(|text| SessionId::parse(text)).collect())
}
