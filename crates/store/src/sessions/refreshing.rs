//! Refresh.
//!
//! A refresh changes the row by one conditional statement (`… WHERE generation = the one that was read AND ended_at IS NULL`), which sign-out and
//! sign-out everywhere contradict by setting `ended_at`. Whoever comes second matches nothing, reads again and judges again: of 64 refreshes at once one rotates, and
//! after a sign-out there is no live token, whatever the order.

use bekci_core::{
    AuthGuard, Consistency, Identity, IdentityVersion, Need, PrincipalKey, RefreshOutcome, SessionId, SessionState,
    TenantName, judge_refresh,
    principal::is_banned,
    signin::{RefreshRequest, Refreshed, SessionFacts, SessionRecord, StoreError},
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use time::OffsetDateTime;

use super::{Sessions, unavailable};
use crate::{
    commit::Barrier,
    sql::{from_micros, micros, statement},
};

/// A refresh that is overtaken this often by others gives up.
const REFRESH_TRIES: u32 = 16;

/// A session row as refresh needs it.
pub(super) struct Row {
    pub(super) key: PrincipalKey,
    guard: String,
    pub(super) tenant: Option<TenantName>,
    pub(super) state: SessionState,
}

impl From<Row> for SessionRecord {
    fn from(row: Row) -> Self {
        Self {
            key: row.key,
            guard: row.guard,
            tenant: row.tenant,
            state: row.state,
        }
    }
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
    /// Judges a refresh by the session row, and moves the row on.
    pub(super) async fn move_on(&self, request: &RefreshRequest) -> Result<Refreshed, StoreError> {
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
            if is_banned(&identity, request.now) {
                let nothing_told = bekci_core::Ban {
                    reason: None,
                    until: None,
                };
                return Ok(Refreshed {
                    banned: Some(identity.ban.clone().unwrap_or(nothing_told)),
                    ..refused(RefreshOutcome::Invalid)
                });
            }
            if identity.inactive {
                return Ok(Refreshed {
                    inactive: true,
                    ..refused(RefreshOutcome::Invalid)
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
            let refresh_ends = request.guard.session.refresh.end_of(rotated_at, row.state.expires_at);
            let facts = SessionFacts {
                key: row.key,
                version,
                tenant: row.tenant,
                refresh_ends,
                series: None,
            };
            return Ok(Refreshed {
                outcome,
                session: Some(facts),
                banned: None,
                inactive: false,
            });
        }
        Err(StoreError::Unavailable("the session changes too often".to_owned()))
    }

    pub(super) async fn row(&self, id: SessionId) -> Result<Option<Row>, StoreError> {
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
    pub(super) async fn identity_now(
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

fn refused(outcome: RefreshOutcome) -> Refreshed {
    Refreshed {
        outcome,
        session: None,
        banned: None,
        inactive: false,
    }
}
