//! Weaker protocols: each takes one thing away from what the protocol's code sees or does, so that a hole that was mended is there again. The checker has to find every one of them.
//!
//! The switch is in the model's ports and not in the protocol: the product has none.

/// Which hole is there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weak {
    /// None.
    Sound,
    /// A node that registers counts from the end of the outbox as it is when its row is written, not as it was before it forgot.
    LateCursor,
    /// A call that changes nothing waits for no position.
    NothingToWaitFor,
    /// No read sees rows of the outbox without a position.
    UnnumberedUnseen,
    /// A database that lost commits looks like any other.
    SetBackUnseen,
    /// Labels are without the epoch of the database, and versions count up by one.
    NoEpoch,
    /// Reads keep what is newer than the node's cursor.
    NewerKept,
    /// A node is taken for dead by the database's clock.
    SilenceByDatabaseClock,
    /// Statements of the loop wait for ever.
    UnboundedLoop,
    /// An acknowledgement is written only when the cursor moves.
    AcknowledgedOnMoveOnly,
    /// A node that was waited out keeps its row.
    NothingFenced,
    /// The server ends a silent transaction after 10 s, whatever lock it holds.
    LongIdle,
    /// A snapshot sees what is committed meanwhile.
    NoSnapshot,
}

impl Weak {
    pub(super) const HOLES: [Self; 12] = [
        Self::LateCursor,
        Self::NothingToWaitFor,
        Self::UnnumberedUnseen,
        Self::SetBackUnseen,
        Self::NoEpoch,
        Self::NewerKept,
        Self::SilenceByDatabaseClock,
        Self::UnboundedLoop,
        Self::AcknowledgedOnMoveOnly,
        Self::NothingFenced,
        Self::LongIdle,
        Self::NoSnapshot,
    ];
}
