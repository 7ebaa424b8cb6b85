//! Real servers really start, answer, and are gone afterwards.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod death;
mod postgres;
mod redis;
mod server;
mod sqlite;

use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

/// Whether something listens there now.
fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Looks again and again for half a minute at most, since a process that is killed from outside takes its time to go.
fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    (0..1_500).any(|_| {
        let held = holds();
        if !held {
            sleep(Duration::from_millis(20));
        }
        held
    })
}
