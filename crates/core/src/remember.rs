//! Remember-me: series of tokens that open sessions without a password.
//!
//! A series belongs to one browser. It keeps one counter; a token is made from the series and the counter by a keyed hash, so that nothing secret is stored. What a
//! presented token means:
//!
//! 1. The series is over by the clock: expired.
//! 2. The current token: a new session is opened, and the next token is given.
//! 3. Its predecessor, for 10 s: the session that the current token belongs to, and the current token again; nothing is written.
//! 4. Any older one: it was copied. The series and its session end.
//! 5. One that was never given: invalid.
//!
//! A series lives by its session: whatever ends the session ends the series, such as a sign-out, a sign-out everywhere, another password, or the end of the account. A
//! session that only expires ends no series.

use std::sync::Arc;

use async_trait::async_trait;
use time::{Duration, OffsetDateTime};

use crate::{
    guard::AuthGuard,
    key::PrincipalKey,
    session::SessionId,
    signin::{Opened, SessionFacts, StoreError},
    token::TokenId,
};

/// The id of a series: 128 random bits.
pub type SeriesId = TokenId;

/// How long the predecessor of a token is still good, for requests of one page at once.
pub const PREDECESSOR_LASTS: Duration = Duration::seconds(10);

/// A series that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSeries {
    /// Its id.
    pub id: SeriesId,
    /// When it ends, whatever is done.
    pub expires_at: OffsetDateTime,
}

/// What a token of a series is made of, and until when it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesToken {
    /// The series.
    pub series: SeriesId,
    /// The counter.
    pub generation: u32,
    /// When the series ends.
    pub expires_at: OffsetDateTime,
}

/// What the table looks at: a series as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesState {
    /// The newest counter given.
    pub generation: u32,
    /// When it was given.
    pub rotated_at: OffsetDateTime,
    /// When the series ends.
    pub expires_at: OffsetDateTime,
}

/// What a presented token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesVerdict {
    /// Open a session and give the token with this counter.
    Rotate {
        /// The next counter.
        next: u32,
    },
    /// Give the current token and its session again; write nothing.
    Replay,
    /// A copy was used: end the series and its session.
    Stolen,
    /// It was never given: change nothing.
    Invalid,
    /// The series is over: change nothing.
    Expired,
}

/// Judges a presented counter by the table in the module's documentation. `now`: when the request came.
#[must_use]
pub fn judge_series(state: &SeriesState, presented: u32, now: OffsetDateTime) -> SeriesVerdict {
    let Some(next) = state.generation.checked_add(1) else {
        return SeriesVerdict::Expired;
    };
    if now >= state.expires_at {
        SeriesVerdict::Expired
    } else if presented > state.generation {
        SeriesVerdict::Invalid
    } else if presented == state.generation {
        SeriesVerdict::Rotate { next }
    } else if state.generation - presented == 1 && now - state.rotated_at <= PREDECESSOR_LASTS {
        SeriesVerdict::Replay
    } else {
        SeriesVerdict::Stolen
    }
}

/// A token that was presented, its keyed hash verified.
#[derive(Clone, Debug)]
pub struct RecallOrder {
    /// At which guard.
    pub guard: Arc<AuthGuard>,
    /// The series that it names.
    pub series: SeriesId,
    /// The counter that it names.
    pub generation: u32,
    /// The id of the session that it opens.
    pub session: SessionId,
    /// When the request came.
    pub now: OffsetDateTime,
}

/// What presenting a token came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// A session is open; or the account has none, and nothing was written.
    Opened(PrincipalKey, Opened),
    /// The session that the current token belongs to.
    Again {
        /// The session.
        session: SessionId,
        /// Its refresh generation.
        generation: u32,
        /// What its tokens need.
        facts: SessionFacts,
    },
    /// A copy was used; the series and this session have ended.
    Stolen(PrincipalKey, SessionId),
    /// No such token.
    Invalid,
    /// The series is over.
    Expired,
}

/// Which series are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// This one.
    Series(SeriesId),
    /// That of this session.
    OfSession(SessionId),
    /// All of a principal at the guard.
    All(PrincipalKey),
}

/// The store as remember-me sees it.
#[async_trait]
pub trait RememberStore: Send + Sync + std::fmt::Debug {
    /// Judges a token on the row of its series and opens the session, in one transaction and by one conditional statement: of any number of calls with one token, one opens a session.
    ///
    /// # Errors
    /// As [`SignInStore::open_session`](crate::signin::SignInStore::open_session).
    async fn recall(&self, order: &RecallOrder) -> Result<Recalled, StoreError>;

    /// Ends series at a guard, and no session. Gives how many there were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn forget(&self, guard: &AuthGuard, which: &Forget) -> Result<u64, StoreError>;

    /// Ends a session of a principal at a guard without its series: its tokens are refused on every node when this returns. A session without a series ends as by a sign-out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_but_remember(
        &self,
        guard: &AuthGuard,
        key: &PrincipalKey,
        session: SessionId,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError>;
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn judge(presented: u32, after: Duration) -> SeriesVerdict {
        let state = SeriesState {
            generation: 5,
            rotated_at: T0,
            expires_at: T0 + Duration::days(180),
        };
        judge_series(&state, presented, T0 + after)
    }

    #[test]
    fn the_current_token_rotates_until_the_series_is_over() {
        assert_eq!(judge(5, Duration::days(179)), SeriesVerdict::Rotate { next: 6 });
        assert_eq!(judge(5, Duration::days(180)), SeriesVerdict::Expired);
        assert_eq!(judge(3, Duration::days(180)), SeriesVerdict::Expired);
    }

    #[test]
    fn the_predecessor_is_good_for_ten_seconds_and_a_theft_after() {
        assert_eq!(judge(4, Duration::ZERO), SeriesVerdict::Replay);
        assert_eq!(judge(4, Duration::seconds(10)), SeriesVerdict::Replay);
        assert_eq!(judge(4, Duration::milliseconds(10_001)), SeriesVerdict::Stolen);
        // A request that came before the rotation and is judged after it.
        assert_eq!(judge(4, Duration::seconds(-3)), SeriesVerdict::Replay);
    }

    #[test]
    fn older_tokens_are_a_theft_at_once_and_later_ones_are_none() {
        for older in 0..4 {
            assert_eq!(judge(older, Duration::ZERO), SeriesVerdict::Stolen);
        }
        assert_eq!(judge(6, Duration::ZERO), SeriesVerdict::Invalid);
        assert_eq!(judge(u32::MAX, Duration::ZERO), SeriesVerdict::Invalid);
    }

    #[test]
    fn a_counter_at_its_end_opens_nothing() {
        let state = SeriesState {
            generation: u32::MAX,
            rotated_at: T0,
            expires_at: T0 + Duration::DAY,
        };
        assert_eq!(judge_series(&state, u32::MAX, T0), SeriesVerdict::Expired);
    }
}
