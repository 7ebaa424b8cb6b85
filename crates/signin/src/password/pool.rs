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
