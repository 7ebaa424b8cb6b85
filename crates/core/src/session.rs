//! Sessions and the rotation of refresh tokens: a pure table, judged on the session row that the database holds.
//!
//! A session keeps one generation counter. A refresh token is made from session and generation by a keyed hash, so it can be made again and nothing secret is
//! stored. What a presented generation means (contract section 4):
//!
//! 1. The session has ended: invalid, nothing changes. Its time is over: expired.
//! 2. The current generation: ROTATED.
//! 3. Its parent, within the grace: REPLAYED; the current token is given again and nothing is written.
//! 4. Its parent, later, while the current one was never used, from the same device, within the lost-response time: RECOVERED; the
//!    current one is orphaned.
//! 5. Any older one, an orphan, or a parent to which 3 and 4 do not apply: REUSED; the session ends.
//! 6. One that was never given: invalid.
//!
//! With a grace of 0 (strict) 3 and 4 never apply.

use time::{Duration, OffsetDateTime};

use crate::token::TokenId;

/// The id of a session, the `sid` of its tokens: 128 random bits.
pub type SessionId = TokenId;

/// How a session was opened that stands for a temporary identity: one whose sign-in waits for its verification. Temporary tokens live by it alone, and by no other; it
/// has no refresh token, and ends when the sign-in is verified.
pub const TEMPORARY: &str = "temporary";

/// What the table looks at: a session row as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The newest generation given.
    pub generation: u32,
    /// The generation from which the newest was made; `None` before the first refresh.
    pub previous_generation: Option<u32>,
    /// Generations below are refused wherever they are presented.
    pub min_generation: u32,
    /// The newest generation of which an access token was accepted.
    pub used_generation: Option<u32>,
    /// When the newest generation was given.
    pub rotated_at: OffsetDateTime,
    /// The keyed hash of the `deviceId` given at sign-in.
    pub device_hash: Option<Vec<u8>>,
    /// When the session ended.
    pub ended_at: Option<OffsetDateTime>,
    /// The absolute end.
    pub expires_at: Option<OffsetDateTime>,
}

/// A guard's settings for refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRules {
    /// How long one generation lasts unless it is refreshed.
    pub ttl: Duration,
    /// How long without use a session lives; `None`: as long as `ttl`.
    pub idle: Option<Duration>,
    /// How long a parent is answered with the current token. Zero: strict.
    pub grace: Duration,
    /// How long a client that never got an answer may come back, from the same device. Zero: never.
    pub lost_response: Duration,
}

impl RefreshRules {
    /// When the refresh token ends that was given at `rotated_at`, in a session with this absolute end.
    #[must_use]
    pub fn end_of(&self, rotated_at: OffsetDateTime, expires_at: Option<OffsetDateTime>) -> OffsetDateTime {
        let end = rotated_at.saturating_add(self.lifetime());
        expires_at.map_or(end, |absolute| absolute.min(end))
    }

    /// How long one generation lasts.
    fn lifetime(&self) -> Duration {
        self.idle.map_or(self.ttl, |idle| idle.min(self.ttl))
    }
}

/// What a presented refresh generation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// Give this generation.
    Rotated {
        /// The generation to give.
        next: u32,
    },
    /// Give the current token again; write nothing.
    Replayed {
        /// The generation to give again.
        current: u32,
    },
    /// Orphan the current generation and give this one.
    Recovered {
        /// The generation to give.
        next: u32,
    },
    /// A token was used twice: end the session.
    Reused,
    /// No such session or generation: change nothing.
    Invalid,
    /// Its time is over: change nothing.
    Expired,
}

/// Judges a presented generation by the table in the module's documentation. `same_device`: whether the presented `deviceId` hashes to the session's.
#[must_use]
pub fn judge_refresh(
    state: &SessionState,
    presented: u32,
    same_device: bool,
    rules: &RefreshRules,
    now: OffsetDateTime,
) -> RefreshOutcome {
    if state.ended_at.is_some() {
        return RefreshOutcome::Invalid;
    }
    let age = now - state.rotated_at;
    if age >= rules.lifetime() || state.expires_at.is_some_and(|end| now >= end) {
        return RefreshOutcome::Expired;
    }
    let Some(next) = state.generation.checked_add(1) else {
        return RefreshOutcome::Expired;
    };
    if presented > state.generation {
        return RefreshOutcome::Invalid;
    }
    if presented == state.generation {
        return RefreshOutcome::Rotated { next };
    }
    if Some(presented) != state.previous_generation || rules.grace.is_zero() {
        return RefreshOutcome::Reused;
    }
    if age <= rules.grace {
        return RefreshOutcome::Replayed {
            current: state.generation,
        };
    }
    let unused = state.used_generation.is_none_or(|used| used < state.generation);
    if unused && same_device && age <= rules.lost_response {
        return RefreshOutcome::Recovered { next };
    }
    RefreshOutcome::Reused
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn rules() -> RefreshRules {
        RefreshRules {
            ttl: Duration::days(30),
            idle: None,
            grace: Duration::seconds(30),
            lost_response: Duration::hours(24),
        }
    }

    fn state() -> SessionState {
        SessionState {
            generation: 5,
            previous_generation: Some(4),
            min_generation: 0,
            used_generation: Some(4),
            rotated_at: T0,
            device_hash: None,
            ended_at: None,
            expires_at: None,
        }
    }

    fn judge(state: &SessionState, presented: u32, same_device: bool, after: Duration) -> RefreshOutcome {
        judge_refresh(state, presented, same_device, &rules(), T0 + after)
    }

    #[test]
    fn the_current_generation_rotates() {
        assert_eq!(
            judge(&state(), 5, false, Duration::days(29)),
            RefreshOutcome::Rotated { next: 6 }
        );
    }

    #[test]
    fn the_parent_is_replayed_within_the_grace_and_recovered_later_by_the_same_device_alone() {
        assert_eq!(
            judge(&state(), 4, false, Duration::seconds(30)),
            RefreshOutcome::Replayed { current: 5 }
        );
        assert_eq!(
            judge(&state(), 4, true, Duration::seconds(31)),
            RefreshOutcome::Recovered { next: 6 }
        );
        assert_eq!(judge(&state(), 4, false, Duration::seconds(31)), RefreshOutcome::Reused);
        assert_eq!(judge(&state(), 4, true, Duration::hours(25)), RefreshOutcome::Reused);
    }

    #[test]
    fn the_parent_of_a_used_generation_is_reuse_after_the_grace() {
        let used = SessionState {
            used_generation: Some(5),
            ..state()
        };
        assert_eq!(judge(&used, 4, true, Duration::seconds(31)), RefreshOutcome::Reused);
    }

    #[test]
    fn older_generations_and_orphans_are_reuse_at_once() {
        assert_eq!(judge(&state(), 3, true, Duration::ZERO), RefreshOutcome::Reused);
        let recovered = SessionState {
            generation: 6,
            min_generation: 6,
            previous_generation: Some(4),
            ..state()
        };
        assert_eq!(judge(&recovered, 5, true, Duration::ZERO), RefreshOutcome::Reused);
        assert_eq!(
            judge(&recovered, 4, true, Duration::ZERO),
            RefreshOutcome::Replayed { current: 6 }
        );
    }

    #[test]
    fn a_generation_never_given_and_an_ended_session_are_invalid() {
        assert_eq!(judge(&state(), 6, true, Duration::ZERO), RefreshOutcome::Invalid);
        let ended = SessionState {
            ended_at: Some(T0),
            ..state()
        };
        assert_eq!(judge(&ended, 5, true, Duration::ZERO), RefreshOutcome::Invalid);
    }

    #[test]
    fn strict_mode_replays_and_recovers_nothing() {
        let strict = RefreshRules {
            grace: Duration::ZERO,
            ..rules()
        };
        assert_eq!(judge_refresh(&state(), 4, true, &strict, T0), RefreshOutcome::Reused);
        assert_eq!(
            judge_refresh(&state(), 4, true, &strict, T0 + Duration::hours(1)),
            RefreshOutcome::Reused
        );
    }

    #[test]
    fn times_end_a_session_at_their_very_second() {
        assert_eq!(judge(&state(), 5, true, Duration::days(30)), RefreshOutcome::Expired);
        let absolute = SessionState {
            expires_at: Some(T0 + Duration::days(1)),
            ..state()
        };
        assert_eq!(
            judge(&absolute, 5, true, Duration::days(1) - Duration::seconds(1)),
            RefreshOutcome::Rotated { next: 6 }
        );
        assert_eq!(judge(&absolute, 5, true, Duration::days(1)), RefreshOutcome::Expired);
        let idle = RefreshRules {
            idle: Some(Duration::hours(1)),
            ..rules()
        };
        assert_eq!(
            judge_refresh(&state(), 5, true, &idle, T0 + Duration::hours(1)),
            RefreshOutcome::Expired
        );
    }
}
