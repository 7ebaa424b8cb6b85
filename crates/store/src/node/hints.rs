//! Hints: what wakes the node loop before its next poll, and a writer before its next look at the others.
//!
//! Nothing rests on a hint: a lost one costs the rest of an interval, and one that is doubled, late or forged costs a look. PostgreSQL sends them with COMMIT (`NOTIFY`); where there is Redis, they are
//! published there as well. A subscription that brought no hint for a change that the loop has applied is taken for lost, as on a link that is half open, and is replaced.
//! A client that can send hints can make the loop poll. So hints stop waking it when sixteen in a row brought no change, until the next change.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[cfg(feature = "postgres")]
use sea_orm::{
    DbBackend,
    sqlx::postgres::{PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::Node;
use crate::coherence::within;

const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Where no hint ever comes, as behind a pooler, a new connection brings none either.
const TRY_AGAIN_AT_LAST: Duration = Duration::from_secs(60);
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// A hint comes with the change, or a little later.
const COMES_WITHIN: Duration = Duration::from_secs(1);
/// So many hints in a row may bring nothing: one change has as many as there are ways to send it.
const MOST_FOR_NOTHING: u64 = 16;

/// The channel of PostgreSQL.
pub(crate) const CHANNEL: &str = "bekci";
/// What is sent when a node has acknowledged a change; anything else says that there is one.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";

/// What a hint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// There is a change to apply.
    Change,
    /// A node has acknowledged one.
    Acknowledged,
}

impl Hint {
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn payload(self) -> &'static str {
        match self {
            Self::Change => "",
            Self::Acknowledged => ACKNOWLEDGED,
        }
    }

    fn read(payload: &[u8]) -> Self {
        if payload == ACKNOWLEDGED.as_bytes() {
            Self::Acknowledged
        } else {
            Self::Change
        }
    }
}

/// The node loop and the writers that hints wake.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    loops: Notify,
    writers: Notify,
    /// Hints since the last change.
    for_nothing: AtomicU64,
    /// When the loop last applied a change, by the node's uptime in milliseconds.
    applied_at: AtomicU64,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Wakes {
    pub(crate) fn applied(&self, now: Duration) {
        self.for_nothing.store(0, Ordering::Relaxed);
        self.applied_at.store(millis(now), Ordering::Relaxed);
    }

    fn applied_at(&self) -> Duration {
        Duration::from_millis(self.applied_at.load(Ordering::Relaxed))
    }

    /// Completes when the loop has a reason to look now.
    pub(crate) async fn wanted(&self) {
        self.loops.notified().await;
    }

    /// What completes at the next acknowledgement from now on.
    pub(crate) fn acknowledgement(&self) -> tokio::sync::futures::Notified<'_> {
        self.writers.notified()
    }

    pub(crate) fn wake_loop(&self) {
        self.loops.notify_one();
    }
}

impl Node {
    /// A hint has come. It may be true.
    pub(crate) fn hinted(&self, hint: Hint) {
        match hint {
            Hint::Acknowledged => self.0.wakes.writers.notify_waiters(),
            Hint::Change => {
                if self.0.wakes.for_nothing.fetch_add(1, Ordering::Relaxed) < MOST_FOR_NOTHING {
                    self.wake();
                }
            }
        }
    }

    /// Sends a hint by the shared cache, and to this node's own writers.
    pub(crate) fn send_hint(&self, hint: Hint) {
        if hint == Hint::Acknowledged {
            self.hinted(hint);
        }
        if let Some(cache) = &self.0.cache {
            cache.hint(hint);
        }
    }
}

/// The hints of one subscription.
#[derive(Debug)]
struct Received {
    last_at: Duration,
    any: bool,
}

impl Received {
    fn new(now: Duration) -> Self {
        Self {
            last_at: now,
            any: false,
        }
    }

    fn hint(&mut self, now: Duration) {
        self.last_at = now;
        self.any = true;
    }

    /// Whether the hint of a change that the loop has applied did not come.
    fn lacks_one(&self, applied_at: Duration, now: Duration) -> bool {
        applied_at > self.last_at + COMES_WITHIN && now > applied_at + COMES_WITHIN
    }
}

/// Starts listening for what the database and the shared cache can say.
pub(crate) fn hints(node: &Node, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let mut listeners = Vec::new();
    #[cfg(feature = "postgres")]
    if node.backend() == DbBackend::Postgres {
        listeners.push(tokio::spawn(until_stopped(
            stop.clone(),
            node.clone(),
            |node| async move { from_postgres(&node).await },
        )));
    }
    if node.shared().is_some() {
        listeners.push(tokio::spawn(until_stopped(
            stop.clone(),
            node.clone(),
            |node| async move { from_redis(&node).await },
        )));
    }
    listeners
}

/// Subscribes again and again; `listen` gives whether a hint came.
async fn until_stopped<F: Future<Output = bool>>(
    mut stop: watch::Receiver<bool>,
    node: Node,
    listen: impl Fn(Node) -> F,
) {
    let mut pause = TRY_AGAIN;
    while !*stop.borrow() {
        let has_received = tokio::select! {
            has_received = listen(node.clone()) => has_received,
            _ = stop.changed() => return,
        };
        pause = if has_received {
            TRY_AGAIN
        } else {
            (pause * 2).min(TRY_AGAIN_AT_LAST)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => return,
        }
    }
}

#[cfg(feature = "postgres")]
async fn from_postgres(node: &Node) -> bool {
    // A connection of its own: the pool would miss one for as long as the node runs, and two where a reload opens a node beside it.
    let options = node.db().inner().get_postgres_connection_pool().connect_options();
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECTS_WITHIN)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options.as_ref().clone());
    let listening = async {
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await.map(|()| listener)
    };
    let Some(Ok(mut listener)) = within(&**node.runtime(), CONNECTS_WITHIN, listening).await else {
        return false;
    };
    let mut received = Received::new(node.uptime());
    // What was sent before does not come here.
    node.wake();
    loop {
        match within(&**node.runtime(), COMES_WITHIN, listener.recv()).await {
            Some(Ok(heard)) => {
                received.hint(node.uptime());
                node.hinted(Hint::read(heard.payload().as_bytes()));
            }
            Some(Err(_)) => return received.any,
            None if received.lacks_one(node.wakes().applied_at(), node.uptime()) => return received.any,
            None => {}
        }
    }
}

async fn from_redis(node: &Node) -> bool {
    let Some(shared) = node.shared() else { return false };
    let listening = shared.listen();
    let Some(Ok(mut heard)) = within(&**node.runtime(), CONNECTS_WITHIN, listening).await else {
        return false;
    };
    let mut received = Received::new(node.uptime());
    node.wake();
    loop {
        match within(&**node.runtime(), COMES_WITHIN, heard.next()).await {
            Some(Some(payload)) => {
                received.hint(node.uptime());
                node.hinted(Hint::read(&payload));
            }
            Some(None) => return received.any,
            None if received.lacks_one(node.wakes().applied_at(), node.uptime()) => return received.any,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_lost_when_a_change_came_without_a_hint() {
        let second = Duration::from_secs(1);
        let mut received = Received::new(second * 10);
        assert!(!received.lacks_one(Duration::ZERO, second * 100), "no change came");
        assert!(!received.lacks_one(second * 20, second * 20), "its hint may come still");
        assert!(received.lacks_one(second * 20, second * 22));
        received.hint(second * 20);
        assert!(!received.lacks_one(second * 20, second * 100));
        assert!(
            !received.lacks_one(second * 21, second * 100),
            "it came a little earlier"
        );
        assert!(received.lacks_one(second * 30, second * 32));
    }

    #[test]
    fn what_a_hint_says_is_read_back_and_anything_else_is_a_change() {
        for hint in [Hint::Change, Hint::Acknowledged] {
            assert_eq!(Hint::read(hint.payload().as_bytes()), hint);
        }
        assert_eq!(Hint::read(b"\xff\x00 forged"), Hint::Change);
    }
}
