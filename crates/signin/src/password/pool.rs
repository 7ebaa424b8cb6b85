//! A fixed number of threads and a queue with an end.

use std::{
    collections::VecDeque,
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
    jobs: VecDeque<Box<dyn Job<S>>>,
    skipped: u64,
    stopped: bool,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    arrived: Condvar,
}

/// A job was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolError {
    /// As many wait as may.
    Full,
    /// The pool is shutting down, or the job ended in a panic.
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
            jobs: VecDeque::new(),
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
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Box::new(Work { work, answer }))?;
        answered.await.map_err(|_| PoolError::Stopped)
    }

    fn enqueue(&self, job: Box<dyn Job<S>>) -> Result<(), PoolError> {
        let mut queue = self.shared.queue.lock();
        if queue.stopped {
            return Err(PoolError::Stopped);
        }
        if queue.jobs.len() >= self.waiting {
            // Callers that left must not keep others out.
            let before = queue.jobs.len();
            queue.jobs.retain(|job| job.is_wanted());
            queue.skipped += (before - queue.jobs.len()) as u64;
        }
        if queue.jobs.len() >= self.waiting {
            return Err(PoolError::Full);
        }
        queue.jobs.push_back(job);
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
        match queue.jobs.pop_front() {
            Some(job) if job.is_wanted() => return Some(job),
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
        let mut future: Waiting = Box::pin(async move { pool.run(move |()| work()).await });
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
            pool.run(|()| -> u32 { panic!("for the test") }).await,
            Err(PoolError::Stopped)
        );
        assert_eq!(pool.run(|()| 5).await, Ok(5));
    }

    #[tokio::test]
    async fn who_waits_when_the_pool_goes_learns_of_it() {
        let (pool, release, first) = busy(2);
        let (answer, answered) = oneshot::channel();
        let job = Work {
            work: |(): &mut ()| 1,
            answer,
        };
        pool.enqueue(Box::new(job)).unwrap();
        drop(release);
        drop(first);
        drop(pool);
        let answered = pin!(answered);
        // Done or not, by which came first; never left waiting.
        assert!(matches!(answered.await, Ok(1) | Err(_)));
    }
}
