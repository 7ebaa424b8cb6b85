//! A single-threaded executor: one seeded scheduler, one simulated time, tasks that belong to processes.
//!
//! Whatever decides an order draws from one generator, so that a seed replays its schedule. The order in which wakers were called decides nothing: ready tasks are a set.

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bekci_core::BoxFuture;
use parking_lot::Mutex;

/// A process of the simulation; 0 is the world around the nodes.
pub(super) type Owner = usize;

pub(super) const WORLD: Owner = 0;

/// The generator (splitmix64) that every choice of a schedule is drawn from.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(0x1234_5678_9abc_def1),
        )
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

#[derive(Debug)]
struct TaskWaker {
    task: u32,
    ready: Arc<Mutex<BTreeSet<u32>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().insert(self.task);
    }
}

struct Task {
    owner: Owner,
    future: BoxFuture<'static, ()>,
    waker: Waker,
}

struct Timer {
    when: u64,
    number: u64,
    waker: Waker,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.when, self.number) == (other.when, other.number)
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// The earliest is the greatest: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.when, other.number).cmp(&(self.when, self.number))
    }
}

#[derive(Default)]
struct Queues {
    timers: BinaryHeap<Timer>,
    timers_made: u64,
    spawned: Vec<(Owner, BoxFuture<'static, ()>)>,
    killed: Vec<Owner>,
    /// Processes that are paused, and since when.
    paused: BTreeMap<Owner, u64>,
    /// How long each process was paused before, in nanoseconds.
    rested: BTreeMap<Owner, u64>,
    finished: bool,
}

/// The scheduler's state that tasks reach while they run.
pub(super) struct Executor {
    now: AtomicU64,
    /// A hash of every choice so far: which task ran when, and what it noted.
    trace: AtomicU64,
    ready: Arc<Mutex<BTreeSet<u32>>>,
    queues: Mutex<Queues>,
    pub(super) dice: Mutex<Dice>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Finished,
    /// Nothing can run and no timer is set.
    Stuck,
    /// More steps than any schedule needs.
    TooManySteps,
}

impl Executor {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: AtomicU64::new(1_000_000_000),
            trace: AtomicU64::new(seed),
            ready: Arc::default(),
            queues: Mutex::default(),
            dice: Mutex::new(Dice::new(seed)),
        }
    }

    /// Simulated nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace.load(Ordering::Relaxed)
    }

    pub(super) fn mix(&self, value: u64) {
        let mixed = (self.trace() ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        self.trace.store(mixed, Ordering::Relaxed);
    }

    pub(super) fn spawn(&self, owner: Owner, task: BoxFuture<'static, ()>) {
        self.queues.lock().spawned.push((owner, task));
    }

    /// Drops every task of a process, when the running one has yielded.
    pub(super) fn kill(&self, owner: Owner) {
        self.queues.lock().killed.push(owner);
    }

    /// How long a process that runs was paused so far, in nanoseconds.
    pub(super) fn rested(&self, owner: Owner) -> u64 {
        self.queues.lock().rested.get(&owner).copied().unwrap_or_default()
    }

    pub(super) fn pause(&self, owner: Owner, paused: bool) {
        let mut queues = self.queues.lock();
        if paused {
            queues.paused.insert(owner, self.now());
        } else if let Some(since) = queues.paused.remove(&owner) {
            *queues.rested.entry(owner).or_default() += self.now() - since;
        }
    }

    pub(super) fn finish(&self) {
        self.queues.lock().finished = true;
    }

    pub(super) fn wake_at(&self, when: u64, waker: &Waker) {
        let mut queues = self.queues.lock();
        queues.timers_made += 1;
        let number = queues.timers_made;
        queues.timers.push(Timer {
            when,
            number,
            waker: waker.clone(),
        });
    }

    /// Runs tasks until [`Executor::finish`] is called.
    pub(super) fn run(&self, most_steps: u64) -> Ended {
        let mut tasks: Vec<Option<Task>> = Vec::new();
        for _ in 0..most_steps {
            if let Some(ended) = self.housekeeping(&mut tasks) {
                return ended;
            }
            let Some(chosen) = self.choose(&mut tasks) else {
                if !self.advance() {
                    return Ended::Stuck;
                }
                continue;
            };
            self.mix(u64::from(chosen) ^ self.now());
            let at = chosen as usize;
            let Some(mut task) = tasks[at].take() else { continue };
            let mut context = Context::from_waker(&task.waker);
            if task.future.as_mut().poll(&mut context).is_pending() {
                tasks[at] = Some(task);
            }
        }
        Ended::TooManySteps
    }

    fn housekeeping(&self, tasks: &mut Vec<Option<Task>>) -> Option<Ended> {
        let (spawned, killed, finished) = {
            let mut queues = self.queues.lock();
            let killed = std::mem::take(&mut queues.killed);
            (std::mem::take(&mut queues.spawned), killed, queues.finished)
        };
        for (owner, future) in spawned {
            if killed.contains(&owner) {
                continue;
            }
            let task = u32::try_from(tasks.len()).unwrap();
            let ready = Arc::clone(&self.ready);
            let waker = Waker::from(Arc::new(TaskWaker { task, ready }));
            self.ready.lock().insert(task);
            tasks.push(Some(Task { owner, future, waker }));
        }
        if !killed.is_empty() {
            for task in tasks.iter_mut() {
                // What a dropped task drops may reach the queues: no lock is held here.
                let _dropped = task.take_if(|task| killed.contains(&task.owner));
            }
        }
        finished.then_some(Ended::Finished)
    }

    fn choose(&self, tasks: &mut [Option<Task>]) -> Option<u32> {
        let queues = self.queues.lock();
        let mut ready = self.ready.lock();
        ready.retain(|task| tasks[*task as usize].is_some());
        let paused = &queues.paused;
        let runs = |task: &&u32| {
            paused.is_empty()
                || tasks[**task as usize]
                    .as_ref()
                    .is_some_and(|task| !paused.contains_key(&task.owner))
        };
        let count = ready.iter().filter(runs).count();
        if count == 0 {
            return None;
        }
        let at = self.dice.lock().pick(count);
        let chosen = *ready.iter().filter(runs).nth(at)?;
        ready.remove(&chosen);
        Some(chosen)
    }

    /// Lets time pass until the next timer.
    fn advance(&self) -> bool {
        let mut queues = self.queues.lock();
        let Some(first) = queues.timers.pop() else { return false };
        self.now.store(self.now().max(first.when), Ordering::Relaxed);
        first.waker.wake();
        while let Some(next) = queues.timers.peek() {
            if next.when > self.now() {
                break;
            }
            if let Some(next) = queues.timers.pop() {
                next.waker.wake();
            }
        }
        true
    }
}

/// Completes at a simulated time.
pub(super) struct Sleep {
    executor: Arc<Executor>,
    until: u64,
    armed: bool,
}

impl Sleep {
    pub(super) fn new(executor: &Arc<Executor>, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
        Self {
            executor: Arc::clone(executor),
            until: executor.now().saturating_add(nanos),
            armed: false,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            self.executor.wake_at(self.until, context.waker());
        }
        Poll::Pending
    }
}

/// Lets the other ready tasks run.
#[derive(Default)]
pub(super) struct YieldNow(bool);

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
