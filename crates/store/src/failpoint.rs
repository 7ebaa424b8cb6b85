//! Named points at which a test can hold a task, so that an interleaving is made rather than hoped for.
//!
//! With the feature `failpoints` off, [`Failpoints::reach`] is nothing.

#[cfg(feature = "failpoints")]
mod on {
    use std::{collections::HashMap, sync::Arc};

    use parking_lot::Mutex;
    use tokio::sync::watch;

    /// What runs at each point instead of holding tasks there.
    #[cfg(test)]
    pub(crate) type Hook = Arc<dyn Fn(&'static str) -> bekci_core::BoxFuture<'static, ()> + Send + Sync>;

    #[derive(Clone, Copy, Debug, Default)]
    struct State {
        reached: u64,
        pass: u64,
    }

    /// The points of one node.
    #[derive(Clone, Default)]
    pub struct Failpoints {
        held: Arc<Mutex<HashMap<&'static str, watch::Sender<State>>>>,
        #[cfg(test)]
        hook: Arc<std::sync::OnceLock<Hook>>,
    }

    impl std::fmt::Debug for Failpoints {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter
                .debug_struct("Failpoints")
                .field("held", &self.held)
                .finish_non_exhaustive()
        }
    }

    impl Failpoints {
        /// Holds nothing yet.
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        /// Holds every task that reaches the point from now on, until it is let go.
        pub fn hold(&self, point: &'static str) {
            self.held
                .lock()
                .entry(point)
                .or_insert_with(|| watch::Sender::new(State::default()));
        }

        /// Waits until `count` tasks in all have reached the held point.
        pub async fn reached(&self, point: &'static str, count: u64) {
            let Some(mut states) = self.held.lock().get(point).map(watch::Sender::subscribe) else {
                return;
            };
            let _gone = states.wait_for(|state| state.reached >= count).await;
        }

        /// Lets go all that are held at the point, and holds no more.
        pub fn release(&self, point: &'static str) {
            if let Some(sender) = self.held.lock().remove(point) {
                sender.send_modify(|state| state.pass = u64::MAX);
            }
        }

        /// Lets the next held task go on and holds later ones.
        pub fn pass_one(&self, point: &'static str) {
            if let Some(sender) = self.held.lock().get(point) {
                sender.send_modify(|state| state.pass = state.pass.saturating_add(1));
            }
        }

        /// Runs this at each point from now on. The first one stays.
        #[cfg(test)]
        pub(crate) fn on_reach(&self, hook: Hook) {
            let _first_stays = self.hook.set(hook);
        }

        pub(crate) async fn reach(&self, point: &'static str) {
            #[cfg(test)]
            if let Some(hook) = self.hook.get() {
                return hook(point).await;
            }
            let waiting = {
                let held = self.held.lock();
                held.get(point).map(|sender| {
                    let mut mine = 0;
                    sender.send_modify(|state| {
                        state.reached += 1;
                        mine = state.reached;
                    });
                    (sender.subscribe(), mine)
                })
            };
            if let Some((mut states, mine)) = waiting {
                let _gone = states.wait_for(|state| state.pass >= mine).await;
            }
        }
    }
}

#[cfg(feature = "failpoints")]
pub use on::Failpoints;

/// The points of one node; nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Failpoints;

#[cfg(not(feature = "failpoints"))]
impl Failpoints {
    /// There is nothing to hold.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "the same signature as with the feature on")]
    pub(crate) async fn reach(self, _point: &'static str) {}
}
