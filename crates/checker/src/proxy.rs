//! A TCP proxy on the link between a node and its database or Redis, which does to the link what a network does.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It passes everything on.
    Pass,
    /// It passes everything on, so many milliseconds late in each direction.
    Delay(u64),
    /// Open connections are closed and new ones are refused.
    Cut,
    /// Connections are accepted and everything sent is swallowed. A connection that lost something is never answered again.
    HalfOpen,
    /// Nothing passes while this lasts, and everything passes afterwards.
    Hold,
}

/// A link. Its threads end with the process.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: SocketAddr,
    address: SocketAddr,
    mode: Mutex<Mode>,
    changed: Condvar,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
    requests: AtomicU64,
}

impl Link {
    /// A link from a free port to a server.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let link = Self(Arc::new(Inner {
            target,
            address: listener.local_addr()?,
            mode: Mutex::new(Mode::Pass),
            changed: Condvar::new(),
            open: Mutex::default(),
            requests: AtomicU64::new(0),
        }));
        let accepting = link.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let link = accepting.clone();
                std::thread::spawn(move || link.carry(&stream));
            }
        });
        Ok(link)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Statements that went to a PostgreSQL server: messages Execute and Query.
    pub(crate) fn statements(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.0.mode.lock() = mode;
        self.0.changed.notify_all();
        if mode == Mode::Cut {
            for (one, other) in self.0.open.lock().drain(..) {
                let _closed = one.shutdown(Shutdown::Both);
                let _closed = other.shutdown(Shutdown::Both);
            }
        }
    }

    fn mode(&self) -> Mode {
        *self.0.mode.lock()
    }

    fn carry(&self, client: &TcpStream) {
        if self.mode() == Mode::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect_timeout(&self.0.target, Duration::from_secs(5)) else {
            return;
        };
        let _fast = client.set_nodelay(true);
        let _fast = server.set_nodelay(true);
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        if let (Ok(one), Ok(other)) = (client.try_clone(), server.try_clone()) {
            let mut open = self.0.open.lock();
            open.retain(|(stream, _)| stream.peer_addr().is_ok());
            open.push((one, other));
        }
        let (Ok(to_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let back = self.clone();
        let answers = std::thread::spawn(move || back.pump(from_server, to_client, None));
        self.pump(from_client, to_server, Some(Messages::default()));
        let _ended = answers.join();
    }

    /// Carries one direction to its end.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, mut messages: Option<Messages>) {
        let mut chunk = vec![0; 16_384];
        let mut swallows = false;
        loop {
            let read = match from.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            match self.until_it_may_pass() {
                Mode::Delay(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
                Mode::HalfOpen => swallows = true,
                Mode::Pass | Mode::Cut | Mode::Hold => {}
            }
            if swallows {
                continue;
            }
            if let Some(messages) = &mut messages {
                self.0.requests.fetch_add(messages.count(bytes), Ordering::Relaxed);
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _closed = from.shutdown(Shutdown::Both);
        let _closed = to.shutdown(Shutdown::Both);
    }

    fn until_it_may_pass(&self) -> Mode {
        let mut mode = self.0.mode.lock();
        while *mode == Mode::Hold {
            self.0.changed.wait(&mut mode);
        }
        *mode
    }
}

/// Counts PostgreSQL's messages in a stream: a type byte and a length, but for the first, which has a length alone.
#[derive(Debug, Default)]
struct Messages {
    begun: bool,
    head: Vec<u8>,
    rest: usize,
}

impl Messages {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut statements = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let needed = if self.begun { 5 } else { 4 };
            let (taken, left) = bytes.split_at((needed - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(taken);
            bytes = left;
            if self.head.len() < needed {
                break;
            }
            if self.begun && matches!(self.head.first(), Some(b'E' | b'Q')) {
                statements += 1;
            }
            let length = self.head.split_off(needed - 4);
            let length = <[u8; 4]>::try_from(length.as_slice()).map_or(4, u32::from_be_bytes);
            self.rest = usize::try_from(length).unwrap_or_default().saturating_sub(4);
            self.head.clear();
            // SSLRequest (8 bytes, code 80877103) comes before the first message and is answered with one byte.
            self.begun = self.begun || length != 8;
        }
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the same byte.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, patience: Duration) -> Option<u8> {
        let mut byte = [7];
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.write_all(&byte).ok()?;
        stream.read_exact(&mut byte).ok()?;
        byte.first().copied()
    }

    const SOON: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_secs(20);

    #[test]
    fn a_link_passes_holds_and_passes_again() {
        let link = Link::to(echo()).unwrap();
        let mut stream = TcpStream::connect(link.address()).unwrap();
        assert_eq!(ask(&mut stream, LATE), Some(7));
        link.set(Mode::Hold);
        assert_eq!(ask(&mut stream, SOON), None);
        link.set(Mode::Pass);
        let mut late = [0];
        stream.set_read_timeout(Some(LATE)).unwrap();
        stream.read_exact(&mut late).unwrap();
        assert_eq!(late, [7]);
    }

    #[test]
    fn a_cut_link_closes_and_refuses_and_a_half_open_one_never_answers() {
        let link = Link::to(echo()).unwrap();
        let mut stream = TcpStream::connect(link.address()).unwrap();
        assert_eq!(ask(&mut stream, LATE), Some(7));
        link.set(Mode::HalfOpen);
        assert_eq!(ask(&mut stream, SOON), None);
        link.set(Mode::Pass);
        assert_eq!(ask(&mut stream, SOON), None, "what it lost is lost");
        let mut other = TcpStream::connect(link.address()).unwrap();
        assert_eq!(ask(&mut other, LATE), Some(7));
        link.set(Mode::Cut);
        assert_eq!(ask(&mut other, LATE), None);
    }

    #[test]
    fn statements_are_counted_however_the_stream_is_cut() {
        let mut stream = vec![0, 0, 0, 8, 4, 210, 22, 47];
        stream.extend([0, 0, 0, 9, 0, 3, 0, 0, 0]);
        for kind in [b'P', b'B', b'E', b'S', b'Q'] {
            stream.extend([kind, 0, 0, 0, 6, b'E', b'Q']);
        }
        for size in [1, 2, 3, 7, 100] {
            let mut messages = Messages::default();
            let counted: u64 = stream.chunks(size).map(|chunk| messages.count(chunk)).sum();
            assert_eq!(counted, 2, "{size}");
        }
    }
}
