//! Ports that nothing listens on.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::failure::{Failure, or_fail};

/// A loopback TCP port that was free a moment ago and that no other call in this process gets.
///
/// Another process can still take it before its user listens; [`Server::on_free_port`](crate::Server::on_free_port) tries again then.
#[track_caller]
pub fn free_port() -> u16 {
    or_fail(try_free_port())
}

pub(crate) fn try_free_port() -> Result<u16, Failure> {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(Failure::io("looking for a free port"))?
            .port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}
