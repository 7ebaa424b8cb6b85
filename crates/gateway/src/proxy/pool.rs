//! Connections to upstreams. Each worker thread keeps its own, since a socket belongs to the reactor of the thread that opened it; so none is ever locked.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::web::BytesMut;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{error::ProxyError, stream::Stream, upstream::Target};
use crate::{timer::KeptTimer, tls};

/// How many idle connections to one server a thread keeps.
const MAX_IDLE: usize = 256;
/// A connection idle for longer is not used again: many servers close theirs after 5 s, and a request sent just then is lost.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

thread_local! {
    static SHELVES: RefCell<HashMap<u64, Shelf>> = RefCell::default();
}

#[derive(Debug)]
struct Shelf {
    owner: Weak<Target>,
    idle: VecDeque<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Duration,
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What was received and not read yet.
    pub(super) input: BytesMut,
    /// For the head of the next request.
    pub(super) head: BytesMut,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
    /// For all its requests.
    timer: KeptTimer,
}

impl Connection {
    /// Ready when this deadline has passed.
    pub(super) fn poll_deadline(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(deadline, cx)
    }
}

/// An idle connection to the server that can carry a request.
pub(super) fn take(target: &Target, uptime: Duration) -> Option<Connection> {
    SHELVES.with_borrow_mut(|shelves| {
        let idle = &mut shelves.get_mut(&target.id)?.idle;
        while let Some(mut newest) = idle.pop_back() {
            if uptime.saturating_sub(newest.since) > IDLE_LIMIT {
                idle.clear();
                return None;
            }
            if newest.connection.stream.is_quiet() {
                return Some(newest.connection);
            }
        }
        None
    })
}

/// Keeps a connection whose last answer was read to its end.
pub(super) fn keep(target: &Arc<Target>, mut connection: Connection, uptime: Duration) {
    if !connection.input.is_empty() {
        return;
    }
    connection.reused = true;
    SHELVES.with_borrow_mut(|shelves| {
        if !shelves.contains_key(&target.id) {
            // A new server: configuration may have changed, so those that are gone are forgotten.
            shelves.retain(|_, shelf| shelf.owner.strong_count() > 0);
        }
        let shelf = shelves.entry(target.id).or_insert_with(|| Shelf {
            owner: Arc::downgrade(target),
            idle: VecDeque::new(),
        });
        let is_old = |idle: &Idle| uptime.saturating_sub(idle.since) > IDLE_LIMIT;
        while shelf.idle.front().is_some_and(is_old) || shelf.idle.len() >= MAX_IDLE {
            shelf.idle.pop_front();
        }
        shelf.idle.push_back(Idle {
            connection,
            since: uptime,
        });
    });
}

/// Opens a connection.
///
/// # Errors
/// [`ProxyError::Unavailable`] where the server cannot be reached, [`ProxyError::Timeout`] where that takes too long.
pub(super) async fn open(target: &Target, limit: Duration) -> Result<Connection, ProxyError> {
    let stream = timeout(limit, connect(target))
        .await
        .map_err(|_| ProxyError::Timeout("connecting took too long"))??;
    Ok(Connection {
        stream,
        input: BytesMut::new(),
        head: BytesMut::new(),
        reused: false,
        timer: KeptTimer::default(),
    })
}

async fn connect(target: &Target) -> Result<Stream, ProxyError> {
    let stream = TcpStream::connect((&*target.host, target.port))
        .await
        .map_err(|error| ProxyError::unavailable("cannot connect", &error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| ProxyError::unavailable("cannot set up the connection", &error))?;
    let Some((config, name)) = &target.tls else {
        return Ok(Stream::Plain(stream));
    };
    let stream = tls::connect(config, name, stream)
        .await
        .map_err(|error| ProxyError::unavailable("no TLS with it", &error))?;
    Ok(Stream::Tls(Box::new(stream)))
}
