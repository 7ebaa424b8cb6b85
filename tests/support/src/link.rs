//! A link to a server that can be half open: it takes what is sent and answers nothing.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::failure::{Failure, or_fail};

/// A TCP proxy on a free port of this machine. It ends with the test process.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    swallows: AtomicBool,
    loses_answers: AtomicBool,
    connections: AtomicU64,
    /// Connections with a lower number are dead, and do not say so.
    dead_below: AtomicU64,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Way {
    number: u64,
    is_back: bool,
}

impl State {
    fn loses(&self, way: Way) -> bool {
        self.swallows.load(Ordering::SeqCst)
            || way.number < self.dead_below.load(Ordering::SeqCst)
            || (way.is_back && self.loses_answers.load(Ordering::SeqCst))
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: Way, state: &State) {
    let mut chunk = vec![0; 16_384];
    let mut lost = false;
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        // What lost something is never in step again.
        lost |= state.loses(way);
        let sent = chunk.get(..read).unwrap_or_default();
        if !lost && to.write_all(sent).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}

fn join(client: TcpStream, server: SocketAddr, state: &Arc<State>) -> std::io::Result<()> {
    let there = TcpStream::connect(server)?;
    let number = state.connections.fetch_add(1, Ordering::SeqCst);
    let (from, to) = (client.try_clone()?, there.try_clone()?);
    for (from, to, is_back) in [(client, there, false), (to, from, true)] {
        let state = Arc::clone(state);
        thread::spawn(move || carry(from, to, Way { number, is_back }, &state));
    }
    Ok(())
}

impl Link {
    /// A link to this server that passes everything on.
    #[track_caller]
    pub fn to(server: SocketAddr) -> Self {
        or_fail(Self::try_to(server))
    }

    fn try_to(server: SocketAddr) -> Result<Self, Failure> {
        let failed = || Failure::io("opening a link".to_owned());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is gone takes no connection: the client's is closed.
                let _refused = join(client, server, &shared);
            }
        });
        Ok(Self { address, state })
    }

    /// A link to the server of this URL, and the URL by which it is reached over the link.
    ///
    /// # Panics
    /// Where the URL names no address with a port.
    #[track_caller]
    pub fn to_url(url: &str) -> (Self, String) {
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let rest = url.get(after_scheme..).unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let refused = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let server = host
            .parse()
            .map_err(|error| Failure::io(format!("reading {url}"))(refused(error)));
        let link = Self::to(or_fail(server));
        let through = url.replacen(host, &link.address.to_string(), 1);
        (link, through)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether everything that is sent in either direction is swallowed. A connection that lost something passes nothing on afterwards.
    pub fn half_open(&self, is_half_open: bool) {
        self.state.swallows.store(is_half_open, Ordering::SeqCst);
    }

    /// The same for what the server sends alone: what is sent to it arrives.
    pub fn loses_answers(&self, loses: bool) {
        self.state.loses_answers.store(loses, Ordering::SeqCst);
    }

    /// Every connection that is open now swallows everything from now on; new ones do not.
    pub fn forget_all(&self) {
        let now = self.state.connections.load(Ordering::SeqCst);
        self.state.dead_below.store(now, Ordering::SeqCst);
    }
}
