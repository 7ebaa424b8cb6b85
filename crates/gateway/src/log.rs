//! Where a gateway's log goes: standard error, in a way that whoever does not take it keeps no request waiting.
//!
//! 1. A file takes a line at once or refuses it. Anything else, as a pipe or a terminal, may keep a writer waiting for ever, so that a thread of its own writes to it.
//! 2. What that thread has still to write is bounded by [`MOST_BYTES`], and once more as much may be on its way. Events about requests have half of the room: a flood of
//!    them pushes out no other event.
//! 3. A line that is refused, or finds no room, is lost and counted (`bekci_log_lost_total`). When lines are taken again, an audit event says how many were lost. Until then the
//!    management API changes nothing, since what it did could not be told.
//! 4. Events about requests are gathered by each thread, and given on together: when there are [`FULL`] bytes, after [`AT_LATEST`], before any other event of the thread, and at the
//!    end. A crash loses no more of them than that. Any other event, as one of the audit log, is given on at once.
//! 5. At the end what is left is written, for [`AT_THE_END`] at most.

mod format;

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) use self::format::{RequestFormat, Style};
use crate::ops::Counter;

/// So much waits to be written.
const MOST_BYTES: usize = 4 << 20;
/// A buffer that grew past this in a burst is given back.
const KEPT_BYTES: usize = 256 << 10;
/// How long the end of the process waits for the log.
const AT_THE_END: Duration = Duration::from_secs(2);
/// So many bytes of a thread's events about requests are given on together.
const FULL: usize = 32 << 10;
/// How long such an event waits.
const AT_LATEST: Duration = Duration::from_millis(100);
/// The target of the one event for each request.
const REQUESTS: &str = "bekci::request";

/// What is told of lost lines: how many there were, and whether the last one offered is among them.
type Told = (Arc<Counter>, Arc<AtomicBool>);

/// Takes lines. Cheap to clone: all clones are one.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Inner>);

struct Inner {
    way: Way,
    lost: Arc<Counter>,
    /// How many were lost that no event has told of.
    untold: AtomicU64,
    /// Whether nothing is taken: a line could not be written, or one that is not about a request had no room. Until the next one is written.
    refuses: Arc<AtomicBool>,
    /// Whether a thread gives on what others gather.
    gathers: AtomicBool,
    /// What each thread has gathered.
    gathered: Mutex<Vec<Arc<Mutex<Gathered>>>>,
}

/// Events about requests that are not given on yet.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    lines: u64,
}

thread_local! {
    /// What this thread gathers, and for which sink.
    static GATHERED: RefCell<Option<(usize, Arc<Mutex<Gathered>>)>> = const { RefCell::new(None) };
}

enum Way {
    AtOnce(Mutex<Box<dyn Write + Send>>),
    ByThread { queue: Mutex<Queue>, changed: Condvar },
}

#[derive(Default)]
struct Queue {
    waiting: Vec<u8>,
    lines: u64,
    is_writing: bool,
}

impl Queue {
    fn is_written(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }
}

/// Writes out what is left when it is dropped.
pub(crate) struct AtTheEnd(Sink);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.give_all();
        if let Way::ByThread { queue, changed } = &self.0.0.way {
            changed.wait_while_for(&mut queue.lock(), |queue| !queue.is_written(), AT_THE_END);
        }
    }
}

impl Sink {
    /// Standard error. Lost lines are counted in `lost`, and `refuses` is true while nothing is taken.
    pub(crate) fn to_stderr(lost: Arc<Counter>, refuses: Arc<AtomicBool>) -> Self {
        let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let is_file = stderr
            .and_then(|file| file.metadata())
            .is_ok_and(|about| about.is_file());
        let sink = if is_file {
            Self::at_once(io::stderr(), (lost, refuses))
        } else {
            Self::by_thread(io::stderr(), (lost, refuses))
        };
        sink.gather();
        sink
    }

    /// A writer that takes each line at once, with threads gathering as for a file.
    pub(crate) fn to_writer(out: impl Write + Send + 'static, lost: Arc<Counter>, refuses: Arc<AtomicBool>) -> Self {
        let sink = Self::at_once(out, (lost, refuses));
        sink.gather();
        sink
    }

    /// From now on events about requests are gathered.
    fn gather(&self) {
        let giving = self.clone();
        let thread = std::thread::Builder::new().name("bekci-log-flush".to_owned());
        let started = thread.spawn(move || {
            loop {
                std::thread::sleep(AT_LATEST);
                giving.give_all();
            }
        });
        self.0.gathers.store(started.is_ok(), Ordering::Relaxed);
    }

    /// What this thread gathers.
    fn own(&self) -> Arc<Mutex<Gathered>> {
        let id = Arc::as_ptr(&self.0).addr();
        GATHERED.with_borrow_mut(|own| match own {
            Some((of, gathered)) if *of == id => Arc::clone(gathered),
            _ => {
                let gathered = Arc::<Mutex<Gathered>>::default();
                self.0.gathered.lock().push(Arc::clone(&gathered));
                *own = Some((id, Arc::clone(&gathered)));
                gathered
            }
        })
    }

    /// Takes a line about a request.
    fn take_request(&self, line: &[u8]) {
        if !self.0.gathers.load(Ordering::Relaxed) {
            return self.take(line, 1, MOST_BYTES / 2);
        }
        let own = self.own();
        let is_full = {
            let mut own = own.lock();
            own.bytes.extend_from_slice(line);
            own.lines += 1;
            own.bytes.len() >= FULL
        };
        if is_full {
            self.give(&own);
        }
    }

    /// Takes any other line, after what its thread has gathered.
    fn take_other(&self, line: &[u8]) {
        let id = Arc::as_ptr(&self.0).addr();
        let own = GATHERED.with_borrow(|own| match own {
            Some((of, gathered)) if *of == id => Some(Arc::clone(gathered)),
            _ => None,
        });
        if let Some(own) = own {
            self.give(&own);
        }
        self.take(line, 1, MOST_BYTES);
    }

    /// Gives on what a thread has gathered. Not under its lock: to give lines on may log an event.
    fn give(&self, gathered: &Mutex<Gathered>) {
        let Gathered { bytes, lines } = std::mem::take(&mut *gathered.lock());
        if lines > 0 {
            self.take(&bytes, lines, MOST_BYTES / 2);
        }
    }

    fn give_all(&self) {
        let all = {
            let mut all = self.0.gathered.lock();
            let whole = all.clone();
            // Those of threads that have ended are given on for the last time: the list and its copy alone hold them.
            all.retain(|gathered| Arc::strong_count(gathered) > 2);
            whole
        };
        all.iter().for_each(|gathered| self.give(gathered));
    }

    fn at_once(out: impl Write + Send + 'static, told: Told) -> Self {
        Self::new(Way::AtOnce(Mutex::new(Box::new(out))), told)
    }

    fn by_thread(mut out: impl Write + Send + 'static, told: Told) -> Self {
        let way = Way::ByThread {
            queue: Mutex::default(),
            changed: Condvar::new(),
        };
        let sink = Self::new(way, told);
        let writing = sink.clone();
        let thread = std::thread::Builder::new().name("bekci-log".to_owned());
        match thread.spawn(move || writing.write_for_ever(&mut out)) {
            Ok(_runs_as_long_as_the_process) => sink,
            // No thread to be had: better a log that may keep waiting than none.
            Err(_) => Self::at_once(io::stderr(), (Arc::clone(&sink.0.lost), Arc::clone(&sink.0.refuses))),
        }
    }

    fn new(way: Way, (lost, refuses): Told) -> Self {
        Self(Arc::new(Inner {
            way,
            lost,
            refuses,
            untold: AtomicU64::new(0),
            gathers: AtomicBool::new(false),
            gathered: Mutex::default(),
        }))
    }

    /// What writes out the rest at the end.
    pub(crate) fn until_the_end(&self) -> AtTheEnd {
        AtTheEnd(self.clone())
    }

    /// Takes lines where less than `most` bytes wait.
    fn take(&self, bytes: &[u8], lines: u64, most: usize) {
        match &self.0.way {
            Way::AtOnce(out) => {
                let written = out.lock().write_all(bytes);
                self.note(written.is_ok(), lines);
            }
            Way::ByThread { queue, changed } => {
                let mut queue = queue.lock();
                if queue.waiting.len() + bytes.len() <= most {
                    queue.waiting.extend_from_slice(bytes);
                    queue.lines += lines;
                    changed.notify_all();
                } else {
                    drop(queue);
                    // Where an event about a request has no room others still have: who floods keeps no administrator from changing anything.
                    if most >= MOST_BYTES {
                        self.refuse();
                    }
                    self.lose(lines);
                }
            }
        }
    }

    fn write_for_ever(&self, out: &mut dyn Write) {
        let Way::ByThread { queue, changed } = &self.0.way else {
            return;
        };
        let mut batch = Vec::new();
        loop {
            let lines = {
                let mut queue = queue.lock();
                queue.is_writing = false;
                changed.notify_all();
                changed.wait_while(&mut queue, |queue| queue.waiting.is_empty());
                queue.is_writing = true;
                std::mem::swap(&mut queue.waiting, &mut batch);
                std::mem::take(&mut queue.lines)
            };
            let written = out.write_all(&batch);
            self.note(written.is_ok(), lines);
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
        }
    }

    /// Notes whether lines were written, and tells of those that were lost before.
    fn note(&self, is_written: bool, lines: u64) {
        if !is_written {
            self.refuse();
            self.lose(lines);
            return;
        }
        self.0.refuses.store(false, Ordering::Relaxed);
        let lost = self.0.untold.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(target: "bekci::audit", event = "log.lost", lost, "lines of the log were lost: it was not taken, or not fast enough");
        }
    }

    fn refuse(&self) {
        self.0.refuses.store(true, Ordering::Relaxed);
    }

    fn lose(&self, lines: u64) {
        self.0.untold.fetch_add(lines, Ordering::Relaxed);
        self.0.lost.add(lines);
    }
}

/// A line that is about to be taken.
pub(crate) struct Line<'a> {
    sink: &'a Sink,
    is_about_request: bool,
}

impl Write for Line<'_> {
    /// The subscriber writes each event by one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_about_request {
            self.sink.take_request(line);
        } else {
            self.sink.take_other(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            sink: self,
            is_about_request: false,
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        Line {
            sink: self,
            is_about_request: about.target() == REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bekci_core::Clock as _;
    use bekci_store::SystemClock;

    use super::*;

    /// Takes nothing until it is let, then everything.
    struct Slow {
        begun: mpsc::Sender<()>,
        let_go: mpsc::Receiver<()>,
        took: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            // An error is the other end's being gone: then it goes on as well.
            let _ = self.let_go.recv();
            self.took.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queued(sink: &Sink) -> usize {
        match &sink.0.way {
            Way::ByThread { queue, .. } => queue.lock().waiting.len(),
            Way::AtOnce(_) => 0,
        }
    }

    #[test]
    fn who_reads_nothing_keeps_nobody_waiting_and_what_has_no_room_is_counted() {
        let ((go, let_go), (begun, has_begun)) = (mpsc::channel(), mpsc::channel());
        let took = Arc::<Mutex<Vec<u8>>>::default();
        let (lost, refuses) = (Arc::new(Counter::default()), Arc::<AtomicBool>::default());
        let slow = Slow {
            begun,
            let_go,
            took: Arc::clone(&took),
        };
        let sink = Sink::by_thread(slow, (Arc::clone(&lost), Arc::clone(&refuses)));
        let line = [b'r'; 1 << 10];
        sink.take(&line, 1, MOST_BYTES / 2);
        has_begun.recv().unwrap();
        for _ in 0..MOST_BYTES / line.len() {
            sink.take(&line, 1, MOST_BYTES / 2);
        }
        assert_eq!(queued(&sink), MOST_BYTES / 2);
        let before = lost.value();
        assert_eq!(before, (MOST_BYTES / 2 / line.len()) as u64);
        for _ in 0..MOST_BYTES / 2 / line.len() {
            sink.take(&[b'a'; 1 << 10], 1, MOST_BYTES);
        }
        assert_eq!(lost.value(), before, "a flood of requests leaves room for the others");
        assert!(!refuses.load(Ordering::Relaxed), "and stops no change");
        sink.take(&line, 1, MOST_BYTES);
        assert_eq!(lost.value(), before + 1, "the bound is one for all");
        assert!(refuses.load(Ordering::Relaxed));
        drop(go);
        drop(sink.until_the_end());
        let took = took.lock();
        let audited = took.iter().filter(|byte| **byte == b'a').count();
        assert_eq!(audited, MOST_BYTES / 2);
    }

    #[test]
    fn what_is_refused_is_counted_and_the_next_line_is_tried() {
        for make in [Sink::at_once, Sink::by_thread] {
            let lost = Arc::new(Counter::default());
            let refuses = Arc::<AtomicBool>::default();
            let sink = make(Full, (Arc::clone(&lost), Arc::clone(&refuses)));
            for _ in 0..5 {
                sink.make_writer().write_all(b"a line\n").unwrap();
            }
            drop(sink.until_the_end());
            assert_eq!(lost.value(), 5);
            assert!(refuses.load(Ordering::Relaxed));
        }
    }

    /// What was taken, at once.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_about_requests_are_gathered_and_keep_their_place_among_the_others_of_their_thread() {
        let kept = Kept::default();
        let sink = Sink::at_once(kept.clone(), (Arc::default(), Arc::default()));
        let text = || String::from_utf8(kept.0.lock().clone()).unwrap();
        // Nothing gives on by time here.
        sink.0.gathers.store(true, Ordering::Relaxed);
        sink.take_request(b"r1 ");
        sink.take_request(b"r2 ");
        assert_eq!(text(), "");
        sink.take_other(b"audit ");
        assert_eq!(text(), "r1 r2 audit ");
        sink.take_request(b"r3 ");
        let other = sink.clone();
        std::thread::spawn(move || other.take_request(b"other "))
            .join()
            .unwrap();
        sink.take_other(b"audit ");
        assert_eq!(text(), "r1 r2 audit r3 audit ", "of another thread nothing is awaited");
        drop(sink.until_the_end());
        assert_eq!(
            text(),
            "r1 r2 audit r3 audit other ",
            "nor lost at the end of its thread"
        );
        let line = [b'x'; 1 << 10];
        for _ in 1..FULL / line.len() {
            sink.take_request(&line);
        }
        assert!(!text().contains('x'));
        sink.take_request(&line);
        assert_eq!(text().matches('x').count(), FULL);
    }

    #[test]
    fn events_about_requests_are_given_on_by_time() {
        let kept = Kept::default();
        let sink = Sink::at_once(kept.clone(), (Arc::default(), Arc::default()));
        sink.gather();
        sink.take_request(b"r1");
        let began = SystemClock.uptime();
        while kept.0.lock().is_empty() {
            assert!(SystemClock.uptime() - began < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert_eq!(*kept.0.lock(), b"r1");
    }
}
