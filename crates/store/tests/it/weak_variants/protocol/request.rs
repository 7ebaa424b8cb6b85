//! How a request comes to its decision, and what it leaves in memory and in the shared cache.

use super::{Entry, Label, NEW, OLD, Protocol, Request, State, Step, Writer};

impl Protocol {
    pub(super) fn request_steps(&self, state: &State, take: &mut impl FnMut(Step, &dyn Fn(&mut State))) {
        let (label, data) = (self.label(state), state.data());
        let entry = Entry { data, label };
        if state.l1.is_some() || state.floor != Label::default() {
            take(Step::MemoryIsEvicted, &|after| {
                after.l1 = None;
                after.floor = Label::default();
            });
        }
        if self.labels && state.stored & entry.bit() == 0 {
            take(Step::SomebodyElseLoads, &|after| after.stored |= entry.bit());
        }
        match state.request {
            Request::Idle => self.request_begins(state, take),
            Request::Half { after, overtaken, read } => take(Step::ReadsTheOtherHalf, &|next| {
                let read = if self.version_first {
                    Entry { data, ..read }
                } else {
                    Entry { label, ..read }
                };
                next.request = Request::Loaded { after, overtaken, read };
            }),
            Request::Loaded { after, overtaken, read } => {
                take(Step::DecidesByItsLoad { after, data: read.data }, &|next| {
                    next.request = Request::Idle;
                    if self.labels {
                        next.stored |= read.bit();
                        self.keep(next, overtaken, read);
                    } else {
                        next.now_stored = Some(read);
                    }
                    next.decide(after, read.data);
                });
            }
        }
    }

    fn keep(&self, state: &mut State, overtaken: bool, read: Entry) {
        let below = read.label.version < state.floor.version;
        let newer = state
            .l1
            .is_some_and(|held| (held.label.version, held.label.epoch) > (read.label.version, read.label.epoch));
        if !(overtaken && self.counters || below || newer) {
            state.l1 = Some(read);
        }
    }

    fn request_begins(&self, state: &State, take: &mut impl FnMut(Step, &dyn Fn(&mut State))) {
        let after = state.writer == Writer::Returned;
        let (label, data) = (self.label(state), state.data());
        let decide = |data| move |next: &mut State| next.decide(after, data);
        let held = state
            .l1
            .filter(|held| held.label.version >= state.floor.version && held.label.epoch >= state.floor.epoch);
        if let Some(held) = held.filter(|_| self.labels && state.node.trust > 0) {
            return take(Step::DecidesFromMemory { after, data: held.data }, &decide(held.data));
        }
        if !self.labels
            && let Some(found) = state.now_stored
        {
            return take(
                Step::DecidesBySharedEntry {
                    after,
                    data: found.data,
                },
                &decide(found.data),
            );
        }
        for data in [OLD, NEW] {
            for epoch in [0, 1] {
                let found = Entry {
                    data,
                    label: Label { epoch, ..label },
                };
                let fits = !self.compare_epoch || epoch == label.epoch;
                if self.labels && fits && state.stored & found.bit() != 0 {
                    take(Step::DecidesBySharedEntry { after, data }, &|next| {
                        self.keep(next, false, Entry { label, ..found });
                        next.decide(after, data);
                    });
                }
            }
        }
        // Of the half that is read second only what is there then counts.
        let read = if self.version_first {
            Entry { data: OLD, label }
        } else {
            Entry {
                data,
                label: Label::default(),
            }
        };
        take(Step::RequestMisses { after }, &|next| {
            next.request = Request::Half {
                after,
                overtaken: false,
                read,
            };
        });
    }
}
