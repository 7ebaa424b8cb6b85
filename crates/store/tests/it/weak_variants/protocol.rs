//! One principal, whose right is taken away in one transaction, two nodes and the shared cache.
//!
//! The nodes share nothing but the database and the shared cache, so one of them is modelled with memory, lease and a request, and the other as what it is to
//! the first: somebody who acknowledges, numbers raw rows and stores entries. Each of the two leases takes its turn as the watched one's (`deltas`).
//!
//! Time goes in ticks, whenever it likes: whoever has not moved was slow. The shared cache may give any entry that was ever stored, which stands for every loss,
//! revival, failover and copy.

mod request;

/// The data before and after the change.
const OLD: u8 = 1;
const NEW: u8 = 2;

/// A protocol; each field that is not as built is a weakness.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    /// A raw writer changes somebody else at the same time.
    pub(super) raw: bool,
    /// The change bumps `@all`, not the key's version.
    pub(super) bump_all: bool,
    /// Entries of the shared cache are used only by their label, and may be any that was ever stored.
    pub(super) labels: bool,
    pub(super) compare_epoch: bool,
    pub(super) version_first: bool,
    pub(super) barrier: bool,
    pub(super) waits_for_own_delta: bool,
    pub(super) lease_at_end: bool,
    /// A load during which something was applied is not kept.
    pub(super) counters: bool,
    /// Rows are applied and acknowledged by the number that they got when they were written.
    pub(super) scalar_acknowledgement: bool,
    pub(super) delete_in_hook: bool,
    pub(super) store_in_hook: bool,
    pub(super) delete_after_commit: bool,
    /// Δ in ticks, of the watched node and of the other.
    pub(super) deltas: [u8; 2],
}

impl Protocol {
    pub(super) fn as_built() -> Self {
        Self {
            raw: false,
            bump_all: false,
            labels: true,
            compare_epoch: true,
            version_first: true,
            barrier: true,
            waits_for_own_delta: false,
            lease_at_end: false,
            counters: true,
            scalar_acknowledgement: false,
            delete_in_hook: false,
            store_in_hook: false,
            delete_after_commit: false,
            deltas: [2, 1],
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Writer {
    #[default]
    Idle,
    Open,
    /// Committed; the entry is still to be deleted, where that is the protocol.
    Deleting,
    /// Committed so many ticks ago.
    Waiting(u8),
    Returned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Label {
    version: u8,
    epoch: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    data: u8,
    label: Label,
}

/// A row of the outbox: its number when written, and whether and at which position it was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Row {
    id: u8,
    committed: bool,
    position: u8,
}

/// What a poll saw, so long after it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Poll {
    #[default]
    Idle,
    Began(u8),
    Seen {
        age: u8,
        change: bool,
        highest: u8,
        unnumbered: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    cursor: u8,
    trust: u8,
    poll: Poll,
}

/// A request on the watched node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Request {
    #[default]
    Idle,
    /// The first half of what it loads is read.
    Half {
        after: bool,
        overtaken: bool,
        read: Entry,
    },
    Loaded {
        after: bool,
        overtaken: bool,
        read: Entry,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    writer: Writer,
    change: Row,
    other: Row,
    ids: u8,
    positions: u8,
    node: Node,
    /// How far the other node has applied.
    acknowledged: u8,
    l1: Option<Entry>,
    floor: Label,
    request: Request,
    /// Entries that were ever stored, a bit each; or the one that is there now, where the protocol goes by no labels.
    stored: u8,
    now_stored: Option<Entry>,
    pub(super) broken: bool,
}

#[derive(Clone, Copy, Debug)]
#[expect(
    dead_code,
    reason = "what a step decided by is read in the printed way to a violation"
)]
pub(super) enum Step {
    Tick,
    WriterBegins,
    WriterCommits,
    WriterRollsBack,
    WriterDeletes,
    WriterReturns,
    RawWriterBegins,
    RawWriterCommits,
    SomeNodeNumbersRawRows,
    PollBegins,
    PollSees,
    PollApplies,
    OtherNodeAcknowledges,
    MemoryIsEvicted,
    DecidesFromMemory { after: bool, data: u8 },
    DecidesBySharedEntry { after: bool, data: u8 },
    RequestMisses { after: bool },
    ReadsTheOtherHalf,
    DecidesByItsLoad { after: bool, data: u8 },
    SomebodyElseLoads,
}

impl Entry {
    fn bit(self) -> u8 {
        1 << ((self.data - OLD) | self.label.version << 1 | self.label.epoch << 2)
    }
}

impl State {
    fn data(&self) -> u8 {
        if self.change.committed { NEW } else { OLD }
    }

    fn decide(&mut self, after: bool, data: u8) {
        self.broken |= (after && data == OLD) || (data == NEW && !self.change.committed);
    }

    fn apply_change(&mut self, label: Label) {
        self.floor = label;
        self.l1 = self
            .l1
            .filter(|entry| entry.label.version >= label.version && entry.label.epoch >= label.epoch);
        match &mut self.request {
            Request::Idle => {}
            Request::Half { overtaken, .. } | Request::Loaded { overtaken, .. } => *overtaken = true,
        }
    }
}

impl Protocol {
    fn label(&self, state: &State) -> Label {
        let moved = u8::from(state.change.committed);
        if self.bump_all {
            Label {
                version: 0,
                epoch: moved,
            }
        } else {
            Label {
                version: moved,
                epoch: 0,
            }
        }
    }

    /// Every step that somebody can take now, and what is then.
    pub(super) fn steps(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Vec::new();
        let mut take = |step, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            steps.push((step, after));
        };
        take(Step::Tick, &|after| self.tick(after));
        self.writer_steps(state, &mut take);
        self.raw_steps(state, &mut take);
        self.poll_steps(state, &mut take);
        self.request_steps(state, &mut take);
        steps
    }

    fn tick(&self, state: &mut State) {
        let longest = self.deltas[0].max(self.deltas[1]);
        if let Writer::Waiting(elapsed) = &mut state.writer {
            *elapsed = (*elapsed + 1).min(longest);
        }
        let watched = &mut state.node;
        watched.trust = watched.trust.saturating_sub(1);
        if let Poll::Began(age) | Poll::Seen { age, .. } = &mut watched.poll {
            *age = (*age + 1).min(self.deltas[0]);
        }
    }

    fn writer_steps(&self, state: &State, take: &mut impl FnMut(Step, &dyn Fn(&mut State))) {
        match state.writer {
            Writer::Idle => take(Step::WriterBegins, &|after| {
                after.writer = Writer::Open;
                if after.change.id == 0 {
                    after.change.id = self.next_id(after);
                }
                if self.delete_in_hook {
                    after.now_stored = None;
                }
                if self.store_in_hook {
                    let label = self.label(after);
                    after.now_stored = Some(Entry { data: NEW, label });
                }
            }),
            Writer::Open => {
                // And may try again.
                take(Step::WriterRollsBack, &|after| after.writer = Writer::Idle);
                take(Step::WriterCommits, &|after| {
                    after.positions += 1;
                    after.change.committed = true;
                    after.change.position = after.positions;
                    after.writer = if self.delete_after_commit {
                        Writer::Deleting
                    } else {
                        Writer::Waiting(0)
                    };
                });
            }
            Writer::Deleting => take(Step::WriterDeletes, &|after| {
                after.now_stored = None;
                after.writer = Writer::Waiting(0);
            }),
            Writer::Waiting(elapsed) => {
                let mine = if self.scalar_acknowledgement {
                    state.change.id
                } else {
                    state.change.position
                };
                let waits = state.node.cursor < mine || state.acknowledged < mine;
                // The writer is a process of the other node's kind.
                let longest = if self.waits_for_own_delta {
                    self.deltas[1]
                } else {
                    self.deltas[0].max(self.deltas[1])
                };
                if !self.barrier || !waits || elapsed >= longest {
                    take(Step::WriterReturns, &|after| after.writer = Writer::Returned);
                }
            }
            Writer::Returned => {}
        }
    }

    /// Where nobody goes by it, the order in which rows are written makes no difference.
    fn next_id(&self, state: &mut State) -> u8 {
        state.ids += u8::from(self.scalar_acknowledgement || state.ids == 0);
        state.ids
    }

    fn raw_steps(&self, state: &State, take: &mut impl FnMut(Step, &dyn Fn(&mut State))) {
        if !self.raw {
            return;
        }
        if state.other.id == 0 {
            take(Step::RawWriterBegins, &|after| after.other.id = self.next_id(after));
        } else if !state.other.committed {
            take(Step::RawWriterCommits, &|after| after.other.committed = true);
        }
    }

    /// The highest number past the cursor that is committed, if there is one, and whether the change is among them.
    fn news(&self, state: &State, cursor: u8) -> (Option<u8>, bool) {
        let number = |row: Row| {
            if self.scalar_acknowledgement {
                row.id
            } else {
                row.position
            }
        };
        let seen = |row: Row| row.committed && number(row) > cursor;
        let highest = [state.change, state.other]
            .into_iter()
            .filter(|row| seen(*row))
            .map(number)
            .max();
        (highest, seen(state.change))
    }

    fn poll_steps(&self, state: &State, take: &mut impl FnMut(Step, &dyn Fn(&mut State))) {
        if let (Some(highest), _) = self.news(state, state.acknowledged) {
            take(Step::OtherNodeAcknowledges, &|after| after.acknowledged = highest);
        }
        let unnumbered = !self.scalar_acknowledgement && state.other.committed && state.other.position == 0;
        if unnumbered {
            take(Step::SomeNodeNumbersRawRows, &|after| {
                after.positions += 1;
                after.other.position = after.positions;
            });
        }
        match state.node.poll {
            Poll::Idle => take(Step::PollBegins, &|after| after.node.poll = Poll::Began(0)),
            Poll::Began(age) => {
                let cursor = state.node.cursor;
                let (highest, change) = self.news(state, cursor);
                take(Step::PollSees, &|after| {
                    after.node.poll = Poll::Seen {
                        age,
                        change,
                        highest: highest.unwrap_or(cursor),
                        unnumbered,
                    };
                });
            }
            Poll::Seen {
                age,
                change,
                highest,
                unnumbered,
            } => take(Step::PollApplies, &|after| {
                if change {
                    let label = self.label(after);
                    after.apply_change(label);
                }
                after.node.poll = Poll::Idle;
                after.node.cursor = highest;
                if !unnumbered {
                    let lease = if self.lease_at_end {
                        self.deltas[0]
                    } else {
                        self.deltas[0] - age
                    };
                    after.node.trust = after.node.trust.max(lease);
                }
            }),
        }
    }
}
