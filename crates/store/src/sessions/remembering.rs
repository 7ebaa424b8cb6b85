//! Remember-me series.
//!
//! 1. A row belongs to a session and is worth nothing without it: it is read together with its session, which nobody may have ended. So whatever ends sessions, in code, by
//!    a trigger or by hand, ends series.
//! 2. A session that is only over by the clock was not ended, so that its series goes on.
//! 3. Using a token takes the turn of its principal, as sign-ins and sign-outs do. The row moves on by one conditional statement (`… WHERE generation = the one that was
//!    read`) in the transaction that opens the session.
//! 4. The row of a sign-in that waits for its verification names the session that stands for it. Nobody has its token before the verification.

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, PrincipalKey, SessionId, TEMPORARY, TenantName,
    remember::{
        Forget, NewSeries, RecallOrder, Recalled, RememberStore, SeriesId, SeriesState, SeriesToken, SeriesVerdict,
        judge_series,
    },
    signin::{Confirmation, EndSessions, NewSession, SessionFacts, SignInTenant, StoreError},
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, TransactionTrait, Value};

use super::{Permanent, Sessions, committed_version, end_where, end_within, lock_principal, rolled_back, unavailable};
use crate::{
    commit::Barrier,
    guarded::GuardedTransaction,
    sql::{from_micros, micros, statement},
};

/// How a session is opened by a remember-me token.
const REMEMBERED: &str = "remembered";

/// A series that counts: its session has not ended.
struct Series {
    key: PrincipalKey,
    guard: String,
    session: SessionId,
    state: SeriesState,
    tenant: SignInTenant,
    device_name: Option<String>,
    device_hash: Option<Vec<u8>>,
}

fn read_series(row: &QueryResult) -> Result<Series, DbErr> {
    let broken = |what: &dyn std::fmt::Display| DbErr::Custom(format!("bekci: a series cannot be read: {what}"));
    let (model, id): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
    let tenant: String = row.try_get("", "tenant")?;
    let session: String = row.try_get("", "session_id")?;
    Ok(Series {
        key: PrincipalKey::parse(&format!("{model}:{id}")).map_err(|error| broken(&error))?,
        guard: row.try_get("", "guard")?,
        session: SessionId::parse(&session).ok_or_else(|| broken(&"session_id"))?,
        state: SeriesState {
            generation: u32::try_from(row.try_get::<i32>("", "generation")?).map_err(|error| broken(&error))?,
            rotated_at: from_micros(row.try_get("", "rotated_at")?),
            expires_at: from_micros(row.try_get("", "expires_at")?),
        },
        tenant: match tenant.as_str() {
            "" => SignInTenant::None,
            name => SignInTenant::Named(TenantName::new(name).map_err(|error| broken(&error))?),
        },
        device_name: row.try_get("", "device_name")?,
        device_hash: row.try_get("", "device_hash")?,
    })
}

impl Series {
    fn is_of(&self, guard: &AuthGuard) -> bool {
        self.guard == guard.name.as_str() && self.key.model() == guard.model.as_str()
    }
}

/// What using a token came to, within its transaction.
enum Used {
    /// Nothing was written.
    Refused(Recalled),
    Opened(PrincipalKey, Permanent),
    Again(Series),
    Stolen(PrincipalKey, SessionId),
}

impl Sessions {
    /// Begins the series of a session that is opened, and takes away those that are over. A sign-in without one has none.
    pub(super) async fn begin_series(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
    ) -> Result<Option<SeriesToken>, DbErr> {
        let Some(NewSeries { id, expires_at }) = session.series else {
            return Ok(None);
        };
        let backend = self.node().backend();
        let swept = "DELETE FROM bekci_remembered WHERE expires_at <= $1";
        let now = micros(session.now);
        transaction.execute_raw(statement(backend, swept, [now.into()])).await?;
        let sql = "INSERT INTO bekci_remembered (id, model, principal_id, guard, session_id, generation, rotated_at, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, 0, $6, $6, $7)";
        let values: [Value; 7] = [
            id.to_string().into(),
            session.key.model().into(),
            session.key.id().into(),
            session.guard.name.as_str().into(),
            session.id.to_string().into(),
            now.into(),
            micros(expires_at).into(),
        ];
        transaction.execute_raw(statement(backend, sql, values)).await?;
        Ok(Some(SeriesToken {
            series: id,
            generation: 0,
            // As it is read later.
            expires_at: from_micros(micros(expires_at)),
        }))
    }

    /// The series of a sign-in that was verified goes on with the session that came of it.
    pub(super) async fn keep_series(
        &self,
        transaction: &GuardedTransaction,
        order: &Confirmation,
    ) -> Result<Option<SeriesToken>, DbErr> {
        let backend = self.node().backend();
        let update = "UPDATE bekci_remembered SET session_id = $1 WHERE session_id = $2 AND expires_at > $3";
        let values: [Value; 3] = [
            order.id.to_string().into(),
            order.temporary.to_string().into(),
            micros(order.now).into(),
        ];
        let kept = transaction.execute_raw(statement(backend, update, values)).await?;
        if kept.rows_affected() == 0 {
            return Ok(None);
        }
        let read = "SELECT id, generation, expires_at FROM bekci_remembered WHERE session_id = $1";
        let row = transaction
            .query_one_raw(statement(backend, read, [order.id.to_string().into()]))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let Some(series) = SeriesId::parse(&row.try_get::<String>("", "id")?) else {
            return Ok(None);
        };
        Ok(Some(SeriesToken {
            series,
            generation: u32::try_from(row.try_get::<i32>("", "generation")?).unwrap_or_default(),
            expires_at: from_micros(row.try_get("", "expires_at")?),
        }))
    }

    /// A series whose session has not ended.
    async fn series<C: ConnectionTrait>(&self, db: &C, id: SeriesId) -> Result<Option<Series>, DbErr> {
        let sql = "SELECT r.model AS model, r.principal_id AS principal_id, r.guard AS guard, r.session_id AS session_id, r.generation AS generation, \
                   r.rotated_at AS rotated_at, r.expires_at AS expires_at, s.tenant AS tenant, s.device_name AS device_name, s.device_hash AS device_hash \
                   FROM bekci_remembered r JOIN bekci_sessions s ON s.id = r.session_id \
                   WHERE r.id = $1 AND s.model = r.model AND s.principal_id = r.principal_id AND s.guard = r.guard AND s.ended_at IS NULL AND s.way <> $2";
        let values = [id.to_string().into(), TEMPORARY.into()];
        let row = db.query_one_raw(statement(self.node().backend(), sql, values)).await?;
        row.map(|row| read_series(&row)).transpose()
    }

    async fn use_within(&self, transaction: &GuardedTransaction, order: &RecallOrder) -> Result<Used, DbErr> {
        let Some(series) = self.series(transaction, order.series).await? else {
            return Ok(Used::Refused(Recalled::Invalid));
        };
        let verdict = judge_series(&series.state, order.generation, order.now);
        match verdict {
            SeriesVerdict::Invalid => Ok(Used::Refused(Recalled::Invalid)),
            SeriesVerdict::Expired => Ok(Used::Refused(Recalled::Expired)),
            SeriesVerdict::Stolen => {
                self.end_listed(transaction, &[series.session], "remember_me_theft", order.now)
                    .await?;
                Ok(Used::Stolen(series.key, series.session))
            }
            SeriesVerdict::Replay => {
                // Nothing of it is written: whether the account may sign in is all that is asked.
                let session = self.session_of(order, &series);
                match self.let_open(transaction, &session).await? {
                    Ok(_) => Ok(Used::Again(series)),
                    Err(refused) => Ok(Used::Refused(Recalled::Opened(series.key, refused))),
                }
            }
            SeriesVerdict::Rotate { next } => self.open_by_series(transaction, order, (series, next)).await,
        }
    }

    async fn open_by_series(
        &self,
        transaction: &GuardedTransaction,
        order: &RecallOrder,
        (series, next): (Series, u32),
    ) -> Result<Used, DbErr> {
        let Ok(next_in_row) = i32::try_from(next) else {
            return Ok(Used::Refused(Recalled::Expired));
        };
        let update = "UPDATE bekci_remembered SET generation = $1, rotated_at = $2, session_id = $3 \
                      WHERE id = $4 AND generation = $5 AND session_id = $6 AND expires_at > $2";
        let values: [Value; 6] = [
            next_in_row.into(),
            micros(order.now).into(),
            order.session.to_string().into(),
            order.series.to_string().into(),
            i32::try_from(order.generation).unwrap_or(i32::MAX).into(),
            series.session.to_string().into(),
        ];
        let moved = transaction
            .execute_raw(statement(self.node().backend(), update, values))
            .await?;
        if moved.rows_affected() == 0 {
            return Ok(Used::Refused(Recalled::Invalid));
        }
        let session = self.session_of(order, &series);
        let mut permanent = match self.open_within(transaction, &session).await? {
            Ok(permanent) => permanent,
            Err(refused) => return Ok(Used::Refused(Recalled::Opened(series.key, refused))),
        };
        // One that is over by the clock is in no identity, and would stay behind unended.
        if !permanent.ended.contains(&series.session) {
            self.end_listed(transaction, &[series.session], "replaced", order.now)
                .await?;
            permanent.ended.push(series.session);
        }
        permanent.series = Some(SeriesToken {
            series: order.series,
            generation: next,
            expires_at: series.state.expires_at,
        });
        Ok(Used::Opened(series.key, permanent))
    }

    /// The session that a token opens: for the device and the tenant of the one before.
    fn session_of(&self, order: &RecallOrder, series: &Series) -> NewSession {
        NewSession {
            guard: order.guard.clone(),
            key: series.key.clone(),
            id: order.session,
            way: REMEMBERED.into(),
            remembered: true,
            verified_hash: None,
            device_name: series.device_name.clone(),
            device_hash: series.device_hash.clone(),
            replaces: Some(series.session),
            tenant: series.tenant.clone(),
            series: None,
            now: order.now,
        }
    }

    /// The session of the current token, for who holds its predecessor.
    async fn again(&self, order: &RecallOrder, series: Series) -> Result<Recalled, StoreError> {
        let Some(row) = self.row(series.session).await? else {
            return Ok(Recalled::Invalid);
        };
        let (identity, version) = self.identity_now(&series.key, &order.guard).await?;
        if row.state.ended_at.is_some() || identity.session(series.session, &order.guard.name).is_none() {
            return Ok(Recalled::Invalid);
        }
        let rules = &order.guard.session.refresh;
        Ok(Recalled::Again {
            session: series.session,
            generation: row.state.generation,
            facts: SessionFacts {
                refresh_ends: rules.end_of(row.state.rotated_at, row.state.expires_at),
                key: series.key,
                version,
                tenant: row.tenant,
                series: Some(SeriesToken {
                    series: order.series,
                    generation: series.state.generation,
                    expires_at: series.state.expires_at,
                }),
            },
        })
    }
}

#[async_trait]
impl RememberStore for Sessions {
    async fn recall(&self, order: &RecallOrder) -> Result<Recalled, StoreError> {
        // What is no good takes no lock. Of another guard's series nothing is changed, whatever the token is.
        let found = self.series(self.node().db(), order.series).await;
        let Some(found) = found.map_err(unavailable)?.filter(|series| series.is_of(&order.guard)) else {
            return Ok(Recalled::Invalid);
        };
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        lock_principal(&transaction, &found.key).await.map_err(unavailable)?;
        match self.use_within(&transaction, order).await.map_err(unavailable)? {
            Used::Refused(refused) => rolled_back(transaction, refused).await,
            Used::Again(series) => {
                let series = rolled_back(transaction, series).await?;
                self.again(order, series).await
            }
            Used::Opened(key, permanent) => {
                let version = committed_version(transaction, &key).await?;
                Ok(Recalled::Opened(key, permanent.opened(version)))
            }
            Used::Stolen(key, session) => {
                transaction.commit_with(Barrier::Always).await?.confirmed()?;
                Ok(Recalled::Stolen(key, session))
            }
        }
    }

    async fn forget(&self, guard: &AuthGuard, which: &Forget) -> Result<u64, StoreError> {
        let (condition, mut values): (&str, Vec<Value>) = match which {
            Forget::Series(id) => ("id = $2", vec![id.to_string().into()]),
            Forget::OfSession(session) => ("session_id = $2", vec![session.to_string().into()]),
            Forget::All(key) => (
                "model = $2 AND principal_id = $3",
                vec![key.model().into(), key.id().into()],
            ),
        };
        values.insert(0, guard.name.as_str().into());
        let sql = format!("DELETE FROM bekci_remembered WHERE guard = $1 AND {condition}");
        let node = self.node();
        let gone = node.db().execute_raw(statement(node.backend(), sql, values)).await;
        Ok(gone.map_err(unavailable)?.rows_affected())
    }

    async fn end_but_remember(
        &self,
        guard: &AuthGuard,
        key: &PrincipalKey,
        session: SessionId,
        now: time::OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        lock_principal(&transaction, key).await.map_err(unavailable)?;
        // Over at once, and no token of it counts any more; but nobody ended it. The generation is watched, so that each node learns of it.
        let over = "UPDATE bekci_sessions SET expires_at = $1, min_generation = generation + 1 WHERE model = $2 AND principal_id = $3 AND guard = $4 AND id = $5 \
                    AND ended_at IS NULL AND way <> $6 AND (expires_at IS NULL OR expires_at > $1) \
                    AND EXISTS (SELECT 1 FROM bekci_remembered r WHERE r.session_id = bekci_sessions.id)";
        let values: Vec<Value> = vec![
            micros(now).into(),
            key.model().into(),
            key.id().into(),
            guard.name.as_str().into(),
            session.to_string().into(),
            TEMPORARY.into(),
        ];
        let mut ended = end_where(&transaction, over, values).await.map_err(unavailable)?;
        if ended.is_empty() && !self.is_remembered(&transaction, session).await.map_err(unavailable)? {
            let one = EndSessions::One(session);
            ended = end_within(&transaction, key, Some(guard), (&one, now)).await?;
        }
        transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(ended)
    }
}

impl Sessions {
    async fn is_remembered(&self, transaction: &GuardedTransaction, session: SessionId) -> Result<bool, DbErr> {
        let sql = "SELECT id FROM bekci_remembered WHERE session_id = $1";
        let values = [session.to_string().into()];
        let row = transaction
            .query_one_raw(statement(self.node().backend(), sql, values))
            .await?;
        Ok(row.is_some())
    }
}
