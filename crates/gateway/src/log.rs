//! Where a gateway's log goes: standard error, in a way that whoever does not take it keeps no request waiting.
//!
//! 1. A file takes a line at once or refuses it. Anything else, as a pipe or a terminal, may keep a writer waiting for ever, so that a thread of its own writes to it.
//! 2. What that thread has still to write is bounded by [`MOST_BYTES`], and once more as much may be on its way. Events about requests have half of the room: a flood of
//!    them pushes out no other event.
//! 3. A line that is refused, or finds no room, is lost and counted (`bekci_log_lost_total`). When lines are taken again, an audit event says how many were lost. Until then the
//!    management API changes nothing, since what it did could not be told.
//! 4. At the end what is left is written, for [`AT_THE_END`] at most.

use std::{
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

use crate::ops::Counter;

/// So much waits to be written.
const MOST_BYTES: usize = 4 << 20;
/// A buffer that grew past this in a burst is given back.
const KEPT_BYTES: usize = 256 << 10;
/// How long the end of the process waits for the log.
const AT_THE_END: Duration = Duration::from_secs(2);
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
        if is_file {
            Self::at_once(io::stderr(), (lost, refuses))
        } else {
            Self::by_thread(io::stderr(), (lost, refuses))
        }
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
        }))
    }

    /// What writes out the rest at the end.
    pub(crate) fn until_the_end(&self) -> AtTheEnd {
        AtTheEnd(self.clone())
    }

    /// Takes a line where less than `most` bytes wait.
    fn take(&self, line: &[u8], most: usize) {
        match &self.0.way {
            Way::AtOnce(out) => {
                let written = out.lock().write_all(line);
                self.note(written.is_ok(), 1);
            }
            Way::ByThread { queue, changed } => {
                let mut queue = queue.lock();
                if queue.waiting.len() + line.len() <= most {
                    queue.waiting.extend_from_slice(line);
                    queue.lines += 1;
                    changed.notify_all();
                } else {
                    drop(queue);
                    // Where an event about a request has no room others still have: who floods keeps no administrator from changing anything.
                    if most >= MOST_BYTES {
                        self.refuse();
                    }
                    self.lose(1);
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
    most: usize,
}

impl Write for Line<'_> {
    /// The subscriber writes each event by one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink.take(line, self.most);
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
            most: MOST_BYTES,
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        Line {
            sink: self,
            most: if about.target() == REQUESTS {
                MOST_BYTES / 2
            } else {
                MOST_BYTES
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

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
        sink.take(&line, MOST_BYTES / 2);
        has_begun.recv().unwrap();
        for _ in 0..MOST_BYTES / line.len() {
            sink.take(&line, MOST_BYTES / 2);
        }
        assert_eq!(queued(&sink), MOST_BYTES / 2);
        let before = lost.value();
        assert_eq!(before, (MOST_BYTES / 2 / line.len()) as u64);
        for _ in 0..MOST_BYTES / 2 / line.len() {
            sink.take(&[b'a'; 1 << 10], MOST_BYTES);
        }
        assert_eq!(lost.value(), before, "a flood of requests leaves room for the others");
        assert!(!refuses.load(Ordering::Relaxed), "and stops no change");
        sink.take(&line, MOST_BYTES);
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
}
