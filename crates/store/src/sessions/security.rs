//! Rotating security cookies: one row for a session whose cookie was exchanged.
//!
//! 1. A session whose cookie was never exchanged has no row, so that a sign-in writes none.
//! 2. The counter moves by one conditional statement: the first row by an insertion that a second one does not repeat, every later counter by
//!    `… WHERE generation = the one that is presented`.
//! 3. That a successor was seen is noted by each node and written in batches, at most 5 s late.
//! 4. Nobody watches this table: no version, no outbox, no barrier.

use async_trait::async_trait;
use bekci_core::{
    security::{Exchanged, PREDECESSOR_LASTS, SecurityCookie, SecurityStore},
    signin::StoreError,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};
use time::OffsetDateTime;

use super::{Sessions, unavailable};
use crate::sql::{from_micros, micros, statement};

/// An exchange that is overtaken this often by others gives up.
const TRIES: u32 = 4;

/// The row of a session.
struct Row {
    generation: u32,
    rotated_at: OffsetDateTime,
    seen_at: Option<OffsetDateTime>,
}

impl Row {
    /// What a presented counter is answered with: the current one, or what its predecessor is given while it is good.
    fn answers(&self, held: &SecurityCookie, now: OffsetDateTime) -> bool {
        let is_predecessor = held.generation.checked_add(1) == Some(self.generation);
        let is_good = self.seen_at.is_none_or(|seen| now - seen <= PREDECESSOR_LASTS);
        held.generation == self.generation || (is_predecessor && is_good)
    }
}

impl Sessions {
    /// Moves the counter on, if it still is the one that is presented.
    async fn move_security(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<Option<u32>, DbErr> {
        let node = self.node();
        let Some((next, next_in_row)) = held
            .generation
            .checked_add(1)
            .and_then(|next| Some((next, i32::try_from(next).ok()?)))
        else {
            return Ok(None);
        };
        let id = held.session.to_string();
        let (sql, values): (&str, Vec<Value>) = match (held.generation, node.backend()) {
            (0, DbBackend::MySql) => (
                "INSERT IGNORE INTO bekci_security (session_id, generation, rotated_at) VALUES ($1, 1, $2)",
                vec![id.into(), micros(now).into()],
            ),
            (0, _) => (
                "INSERT INTO bekci_security (session_id, generation, rotated_at) VALUES ($1, 1, $2) ON CONFLICT (session_id) DO NOTHING",
                vec![id.into(), micros(now).into()],
            ),
            (generation, _) => (
                "UPDATE bekci_security SET generation = $1, rotated_at = $2, seen_at = NULL WHERE session_id = $3 AND generation = $4",
                vec![
                    next_in_row.into(),
                    micros(now).into(),
                    id.into(),
                    i32::try_from(generation).unwrap_or(i32::MAX).into(),
                ],
            ),
        };
        let moved = node.db().execute_raw(statement(node.backend(), sql, values)).await?;
        Ok((moved.rows_affected() > 0).then_some(next))
    }

    async fn security_row(&self, held: &SecurityCookie) -> Result<Option<Row>, DbErr> {
        let sql = "SELECT generation, rotated_at, seen_at FROM bekci_security WHERE session_id = $1";
        let node = self.node();
        let values = [held.session.to_string().into()];
        let row = node.db().query_one_raw(statement(node.backend(), sql, values)).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Row {
            generation: u32::try_from(row.try_get::<i32>("", "generation")?).unwrap_or_default(),
            rotated_at: from_micros(row.try_get("", "rotated_at")?),
            seen_at: row.try_get::<Option<i64>>("", "seen_at")?.map(from_micros),
        }))
    }
}

#[async_trait]
impl SecurityStore for Sessions {
    async fn exchange(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<Exchanged, StoreError> {
        let given = |generation, at: OffsetDateTime| {
            Exchanged::For(SecurityCookie {
                session: held.session,
                generation,
                issued_at: at.unix_timestamp(),
            })
        };
        for _ in 0..TRIES {
            if let Some(next) = self.move_security(held, now).await.map_err(unavailable)? {
                return Ok(given(next, now));
            }
            let Some(row) = self.security_row(held).await.map_err(unavailable)? else {
                return Ok(Exchanged::Mismatch);
            };
            if !row.answers(held, now) {
                return Ok(Exchanged::Mismatch);
            }
            if row.generation != held.generation {
                return Ok(given(row.generation, row.rotated_at));
            }
            // Moved to this counter meanwhile: once more.
        }
        Err(StoreError::Unavailable(
            "the security cookie of the session changes too often".to_owned(),
        ))
    }

    async fn is_current(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<bool, StoreError> {
        let row = self.security_row(held).await.map_err(unavailable)?;
        Ok(match row {
            Some(row) => row.answers(held, now),
            None => held.generation == 0,
        })
    }
}
