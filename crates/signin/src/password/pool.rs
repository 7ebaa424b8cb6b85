//! A fixed number of threads and a queue with an end.
//!
//! 1. Jobs of known origin go first: three of four, while jobs of unknown origin wait too.
//! 2. Among those of a kind the network goes first that was served longest ago, by /48, then by /56, then by /64.
//! 3. When the queue is full, the newest job of the network that has most there gives way to a network that has fewer (longest queue drop). So a network alone may use
//!    the whole queue, and one beside others keeps none of them out.
//! 4. When the queue is full, a job of known origin takes the place of an unknown one as long as these have more than a quarter of the queue.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// Something that a thread does for somebody, with the scratch space that each thread keeps.
trait Job<S>: Send {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;
    /// Does it and tells who waits.
    fn run(self: Box<Self>, scratch: &mut S);
}

/// Where a job comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The /48, the /56 and the /64 of the client, each as a number of no meaning; of an IPv4 address the same three times. 0: not known.
    pub networks: [u64; 3],
    /// Whether this account was signed in to before from this address or by this device.
    pub is_known: bool,
}

struct Waiting<S> {
    job: Box<dyn Job<S>>,
    origin: Origin,
}

struct Work<F, T> {
    work: F,
    answer: oneshot::Sender<T>,
}

impl<S, T: Send, F: FnOnce(&mut S) -> T + Send> Job<S> for Work<F, T> {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>, scratch: &mut S) {
        let answer = (self.work)(scratch);
        // Whoever stopped waiting meanwhile needs no answer.
        drop(self.answer.send(answer));
    }
}

struct Queue<S> {
    jobs: Vec<Waiting<S>>,
    /// When each network was served last, as a count of jobs.
    served: HashMap<(usize, u64), u64>,
    turns: u64,
    skipped: u64,
    stopped: bool,
}

impl<S> Queue<S> {
    fn count(&self, of: impl Fn(&Origin) -> bool) -> usize {
        self.jobs.iter().filter(|waiting| of(&waiting.origin)).count()
    }

    /// How many jobs wait of each kind and network.
    fn tally(&self) -> HashMap<Place, usize> {
        let mut tally = HashMap::new();
        for waiting in &self.jobs {
            for place in places(&waiting.origin) {
                *tally.entry(place).or_default() += 1;
            }
        }
        tally
    }

    /// Takes out the job that gives way to a newcomer; `None`: none does.
    fn make_room(&mut self, newcomer: &Origin, waiting: usize) -> Option<Waiting<S>> {
        let tally = self.tally();
        let shares = |origin: &Origin| places(origin).map(|place| tally.get(&place).copied().unwrap_or_default());
        let unknown = self.count(|origin| !origin.is_known);
        let kind = newcomer.is_known && unknown <= waiting / 4;
        // The newest of those that have most.
        let of_kind = self.jobs.iter().enumerate();
        let of_kind = of_kind.filter(|(_, waiting)| waiting.origin.is_known == kind);
        let (at, origin, held) = of_kind
            .map(|(at, waiting)| (at, waiting.origin, shares(&waiting.origin)))
            .max_by_key(|(_, _, held)| *held)?;
        // Where the two part, the one has more than the other would have.
        let parts = places(&origin)
            .iter()
            .zip(places(newcomer))
            .position(|(one, other)| one.1 != other.1);
        let wanted = shares(newcomer);
        let has_more = parts.is_some_and(|level| held.get(level) > wanted.get(level).map(|wanted| wanted + 1).as_ref());
        ((newcomer.is_known && !origin.is_known) || has_more).then(|| self.jobs.remove(at))
    }

    fn served(&self, origin: &Origin) -> [u64; 3] {
        let mut last = [0; 3];
        for (level, (last, network)) in last.iter_mut().zip(origin.networks).enumerate() {
            *last = self.served.get(&(level, network)).copied().unwrap_or_default();
        }
        last
    }

    /// The job whose turn it is.
    fn pop(&mut self) -> Option<Waiting<S>> {
        let has = |kind| self.jobs.iter().any(|waiting| waiting.origin.is_known == kind);
        // Unknown ones are not kept waiting for ever.
        let kind = has(true) && !(has(false) && self.turns % 4 == 3);
        let mut next: Option<(usize, [u64; 3])> = None;
        for (at, waiting) in self.jobs.iter().enumerate() {
            if waiting.origin.is_known != kind {
                continue;
            }
            let served = self.served(&waiting.origin);
            // The oldest of those that were served longest ago.
            if next.is_none_or(|(_, longest)| served < longest) {
                next = Some((at, served));
            }
        }
        let (at, _) = next?;
        let waiting = self.jobs.remove(at);
        self.turns += 1;
        if self.served.len() > MOST_SERVED {
            self.served.clear();
        }
        for (level, network) in waiting.origin.networks.into_iter().enumerate() {
            self.served.insert((level, network), self.turns);
        }
        Some(waiting)
    }
}

/// A kind of jobs and a network, by its numbers down to its level.
type Place = (bool, [u64; 3], usize);

/// The /48, the /56 and the /64 of an origin.
fn places(origin: &Origin) -> [Place; 3] {
    let [large, middle, small] = origin.networks;
    let kind = origin.is_known;
    [
        (kind, [large, 0, 0], 0),
        (kind, [large, middle, 0], 1),
        (kind, [large, middle, small], 2),
    ]
}

/// How many networks are remembered as served.
const MOST_SERVED: usize = 4_096;

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    arrived: Condvar,
}

/// A job was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolError {
    /// As many wait as may, or the job gave way to another, or it ended in a panic.
    Full,
    /// The pool is shutting down.
    Stopped,
}

/// The threads end when the pool is dropped; jobs that still wait then are not done.
pub(super) struct Pool<S> {
    shared: Arc<Shared<S>>,
    waiting: usize,
}

impl<S: Default + 'static> Pool<S> {
    pub(super) fn start(threads: usize, waiting: usize) -> io::Result<Self> {
        let queue = Queue {
            jobs: Vec::new(),
            served: HashMap::new(),
            turns: 0,
            skipped: 0,
            stopped: false,
        };
        // Made first, so that threads already started end if a later one cannot be.
        let pool = Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(queue),
                arrived: Condvar::new(),
            }),
            waiting,
        };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("bekci-hash-{number}"))
                .spawn(move || serve(&shared))?;
        }
        Ok(pool)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Box::new(Work { work, answer }), origin)?;
        answered.await.map_err(|_| match self.shared.queue.lock().stopped {
            true => PoolError::Stopped,
            // It gave way to another, or ended in a panic.
            false => PoolError::Full,
        })
    }

    fn enqueue(&self, job: Box<dyn Job<S>>, origin: Origin) -> Result<(), PoolError> {
        let mut queue = self.shared.queue.lock();
        if queue.stopped {
            return Err(PoolError::Stopped);
        }
        if queue.jobs.len() >= self.waiting {
            // Callers that left must not keep others out.
            let before = queue.jobs.len();
            queue.jobs.retain(|waiting| waiting.job.is_wanted());
            queue.skipped += (before - queue.jobs.len()) as u64;
        }
        if queue.jobs.len() >= self.waiting && queue.make_room(&origin, self.waiting).is_none() {
            return Err(PoolError::Full);
        }
        queue.jobs.push(Waiting { job, origin });
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(())
    }

    pub(super) fn skipped(&self) -> u64 {
        self.shared.queue.lock().skipped
    }
}

impl<S> Drop for Pool<S> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.stopped = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.arrived.notify_all();
    }
}

fn serve<S: Default>(shared: &Shared<S>) {
    let mut scratch = S::default();
    while let Some(job) = next(shared) {
        // A panic must not cost a thread; who waits learns of it since the channel closes.
        if catch_unwind(AssertUnwindSafe(|| job.run(&mut scratch))).is_err() {
            scratch = S::default();
        }
    }
}

fn next<S>(shared: &Shared<S>) -> Option<Box<dyn Job<S>>> {
    let mut queue = shared.queue.lock();
    loop {
        if queue.stopped {
            return None;
        }
        match queue.pop() {
            Some(waiting) if waiting.job.is_wanted() => return Some(waiting.job),
            Some(_) => queue.skipped += 1,
            None => shared.arrived.wait(&mut queue),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::mpsc, task::Context};

    use futures_util::task::noop_waker_ref;

    use super::*;

    type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<u32, PoolError>>>>;

    /// A future that runs `work` and was asked once, so that its job is in the queue.
    fn begun(pool: &Arc<Pool<()>>, work: impl FnOnce() -> u32 + Send + 'static) -> Result<Waiting, PoolError> {
        let pool = Arc::clone(pool);
        let mut future: Waiting = Box::pin(async move { pool.run(Origin::default(), move |()| work()).await });
        match future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            std::task::Poll::Ready(done) => done.map(|_| future),
            std::task::Poll::Pending => Ok(future),
        }
    }

    /// A pool of one thread that works until the sender is dropped.
    fn busy(waiting: usize) -> (Arc<Pool<()>>, mpsc::Sender<()>, Waiting) {
        let pool = Arc::new(Pool::start(1, waiting).unwrap());
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let work = move || {
            started.send(()).unwrap();
            held.recv().unwrap_err();
            0
        };
        let first = begun(&pool, work).unwrap();
        has_started.recv().unwrap();
        (pool, release, first)
    }

    #[tokio::test]
    async fn what_is_over_the_queue_is_refused_at_once_and_what_waits_is_done() {
        let (pool, release, first) = busy(2);
        let waiting = [begun(&pool, || 1).unwrap(), begun(&pool, || 2).unwrap()];
        for _ in 0..100 {
            assert_eq!(begun(&pool, || 3).err(), Some(PoolError::Full));
        }
        drop(release);
        assert_eq!(first.await, Ok(0));
        assert_eq!(futures_util::future::join_all(waiting).await, [Ok(1), Ok(2)]);
    }

    #[tokio::test]
    async fn jobs_that_nobody_waits_for_are_not_done_and_keep_nobody_out() {
        let (pool, release, first) = busy(2);
        let (ran, has_run) = mpsc::channel();
        for _ in 0..2 {
            let ran = ran.clone();
            drop(begun(&pool, move || ran.send(()).map_or(0, |()| 1)).unwrap());
        }
        drop(ran);
        let wanted = begun(&pool, || 7).unwrap();
        drop(release);
        assert_eq!(first.await, Ok(0));
        assert_eq!(wanted.await, Ok(7));
        assert!(has_run.recv().is_err());
        assert_eq!(pool.skipped(), 2);
    }

    #[tokio::test]
    async fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::<()>::start(1, 1).unwrap();
        assert_eq!(
            pool.run(Origin::default(), |()| -> u32 { panic!("for the test") })
                .await,
            Err(PoolError::Full)
        );
        assert_eq!(pool.run(Origin::default(), |()| 5).await, Ok(5));
    }

    #[tokio::test]
    async fn who_waits_when_the_pool_goes_learns_of_it() {
        let (pool, release, first) = busy(2);
        let (answer, answered) = oneshot::channel();
        let job = Work {
            work: |(): &mut ()| 1,
            answer,
        };
        pool.enqueue(Box::new(job), Origin::default()).unwrap();
        drop(release);
        drop(first);
        drop(pool);
        let answered = pin!(answered);
        // Done or not, by which came first; never left waiting.
        assert!(matches!(answered.await, Ok(1) | Err(_)));
    }

    /// A job in the queue, its number told when it is done.
    fn waits(pool: &Arc<Pool<()>>, origin: Origin, number: u32, done: &mpsc::Sender<u32>) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let done = done.clone();
        let work = move |(): &mut ()| done.send(number).unwrap();
        // Refused at once is dropped at once: the same to who waits.
        let _refused = pool.enqueue(Box::new(Work { work, answer }), origin);
        answered
    }

    fn from(networks: [u64; 3]) -> Origin {
        Origin {
            networks,
            is_known: false,
        }
    }

    /// One attacker that has the whole queue, whatever /64s and /56s of its /48 it uses.
    fn attacked(pool: &Arc<Pool<()>>, done: &mpsc::Sender<u32>) -> Vec<oneshot::Receiver<()>> {
        let attacker = |n: u64| from([1, 10 + n % 7, 100 + n]);
        (0..100).map(|n| waits(pool, attacker(n), 0, done)).collect()
    }

    #[tokio::test]
    async fn an_owner_whose_address_is_new_gets_ten_of_ten_through_a_full_queue_and_waits_behind_one_job_each() {
        let (pool, release, first) = busy(32);
        let (done, order) = mpsc::channel();
        let attack = attacked(&pool, &done);
        let mut mine = Vec::new();
        for number in 1..=10 {
            mine.push(waits(&pool, from([2, 20, 200]), number, &done));
            drop(attacked(&pool, &done));
        }
        drop(release);
        assert_eq!(first.await, Ok(0));
        for answered in mine {
            assert_eq!(answered.await, Ok(()));
        }
        drop((done, attack, pool));
        let order: Vec<u32> = order.iter().collect();
        let last = order.iter().position(|number| *number == 10).unwrap();
        assert!(last <= 20, "{order:?}");
    }

    #[tokio::test]
    async fn who_signed_in_before_goes_first_and_is_never_kept_out_by_those_who_did_not() {
        let (pool, release, first) = busy(16);
        let (done, order) = mpsc::channel();
        // Not one network, but as many as there are jobs.
        let botnet: Vec<_> = (0..100).map(|n| waits(&pool, from([n + 10; 3]), 0, &done)).collect();
        let owner = Origin {
            networks: [2; 3],
            is_known: true,
        };
        let mine: Vec<_> = (1..=10).map(|number| waits(&pool, owner, number, &done)).collect();
        drop(release);
        assert_eq!(first.await, Ok(0));
        for answered in mine {
            assert_eq!(answered.await, Ok(()));
        }
        drop((done, botnet, pool));
        let order: Vec<u32> = order.iter().collect();
        let last = order.iter().position(|number| *number == 10).unwrap();
        assert!(last <= 13, "three of four: {order:?}");
        assert!(order.contains(&0), "the others are served too");
    }

    #[tokio::test]
    async fn a_network_alone_may_use_the_whole_queue_and_equals_do_not_replace_each_other() {
        let (pool, release, first) = busy(4);
        let (done, order) = mpsc::channel();
        let alone: Vec<_> = (1..=4).map(|n| waits(&pool, from([1, 1, 1]), n, &done)).collect();
        assert!(
            pool.enqueue(
                Box::new(Work {
                    work: |(): &mut ()| (),
                    answer: oneshot::channel().0
                }),
                from([1, 1, 1])
            )
            .is_err()
        );
        let two: Vec<_> = (5..=8).map(|n| waits(&pool, from([2, 2, 2]), n, &done)).collect();
        drop(release);
        assert_eq!(first.await, Ok(0));
        let served = futures_util::future::join_all(alone.into_iter().chain(two)).await;
        assert_eq!(served.iter().filter(|answered| answered.is_ok()).count(), 4);
        drop((done, pool));
        let mut order: Vec<u32> = order.iter().collect();
        order.sort_unstable();
        assert_eq!(order, [1, 2, 5, 6]);
    }
}
