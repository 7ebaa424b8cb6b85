//! What somebody sends who means no good, to the binary as it runs.

mod bodies;
mod credentials;
mod downloads;
mod framing;
mod growth;
mod heads;
mod http2;
mod leaks;
mod logs;
mod pipelining;
mod policies;
mod pressure;
mod sink;
mod sql;
mod targets;
mod tokens;
mod uploads;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes, ends its side, and gives all that is answered until the other side ends too.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(bytes);
    // An answer, or none for now, before the end is told: a server may drop what it holds of a client that is gone.
    let mut first = [0; 16 * 1024];
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let count = stream.read(&mut first).unwrap_or_default();
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = first[..count].to_vec();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in what came back.
fn statuses(answer: &str) -> Vec<u16> {
    let heads = answer.match_indices("HTTP/1.1 ");
    heads
        .filter_map(|(at, head)| answer.get(at + head.len()..at + head.len() + 3)?.parse().ok())
        .collect()
}
