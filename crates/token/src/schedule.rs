//! Which of a guard's keys signs.
//!
//! 1. A key is ready when `activate_after` has passed since it was made: by then every node and every reader of the JWKS has it.
//! 2. The newest ready key signs.
//! 3. Where none is ready the oldest signs: it is the guard's first, or what was left when the others were retired.

use time::{Duration, OffsetDateTime};

use crate::store::KeyStatus;

/// The index of the key that signs; `created`: when each was made, oldest first.
pub(crate) fn signer(
    created: impl DoubleEndedIterator<Item = OffsetDateTime> + ExactSizeIterator,
    now: OffsetDateTime,
    activate_after: Duration,
) -> usize {
    let ready = |made: OffsetDateTime| made.saturating_add(activate_after) <= now;
    created
        .enumerate()
        .rev()
        .find(|(_, made)| ready(*made))
        .map_or(0, |(index, _)| index)
}

pub(crate) fn status(
    created: &[OffsetDateTime],
    index: usize,
    now: OffsetDateTime,
    activate_after: Duration,
) -> KeyStatus {
    let signing = signer(created.iter().copied(), now, activate_after);
    match created.get(index) {
        _ if index == signing => KeyStatus::Signs,
        Some(made) if index > signing => KeyStatus::Waits {
            until: made.saturating_add(activate_after),
        },
        _ => KeyStatus::Verifies,
    }
}
