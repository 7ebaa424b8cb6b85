//! Clients that do not read: an answer waits for them for a time, and neither their connection nor an upstream's is held beyond it. Who reads slowly gets all of it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use bekci_core::Clock as _;
use bekci_store::SystemClock;

use super::PATIENCE;
use crate::{
    house::{House, Kind},
    tls::{authority::Authority, listener::gateway},
};

const TIMEOUT: Duration = Duration::from_secs(3);
const LIMITS: &str = "[limits]\nsend_timeout_seconds = 3\n";
/// More than the buffers of all sockets between the upstream and the client.
const LARGE: usize = 64 * 1024 * 1024;

/// An upstream whose answers have so many bytes; it tells whether it could write one to its end.
fn generous_upstream() -> (SocketAddr, mpsc::Receiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (written, was_written) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, written) = (stream.unwrap(), written.clone());
            thread::spawn(move || {
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|count| count > 0) {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                    let is_written =
                        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&vec![b'x'; LARGE]).is_ok();
                    let _ = written.send(is_written);
                }
            });
        }
    });
    (address, was_written)
}

fn route(upstream: SocketAddr) -> String {
    format!("[[routes]]\nid = \"large\"\npaths = [\"/large/**\"]\npublic = true\nupstream = \"http://{upstream}\"\n")
}

const ASK: &[u8] = b"GET /large/x HTTP/1.1\r\nHost: bekci.test\r\n\r\n";

#[test]
fn a_client_that_reads_nothing_is_disconnected_and_so_is_the_upstream() {
    let (upstream, was_written) = generous_upstream();
    let house = House::with(Kind::Sqlite, &format!("{LIMITS}{}", route(upstream)));
    let mut client = TcpStream::connect(house.address()).unwrap();
    client.write_all(ASK).unwrap();
    let is_written = was_written.recv_timeout(PATIENCE);
    assert_eq!(is_written, Ok(false), "the upstream's connection ends");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // The connection may end by a reset.
    let _ = client.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.len());
    assert!(answer.len() < LARGE, "{}", answer.len());
}

#[test]
fn a_client_that_reads_nothing_by_tls_is_disconnected_and_so_is_the_upstream() {
    let (upstream, was_written) = generous_upstream();
    let authority = Authority::new();
    let (certificate, key) = authority.write("listener", &authority.issue("localhost"));
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    );
    let node = gateway(&tls, LIMITS, &format!("\"http://{upstream}\""));
    let mut line = authority.connect(node.address, "localhost").unwrap();
    line.write_all(ASK).unwrap();
    let is_written = was_written.recv_timeout(PATIENCE);
    assert_eq!(is_written, Ok(false), "the upstream's connection ends");
}

#[test]
fn a_client_that_reads_slowly_and_steadily_gets_the_whole_answer() {
    let (upstream, was_written) = generous_upstream();
    let house = House::with(Kind::Sqlite, &format!("{LIMITS}{}", route(upstream)));
    let mut client = TcpStream::connect(house.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(ASK).unwrap();
    // So slowly that the kernel's own buffer would take nothing for longer than the timeout.
    let (mut piece, mut count) = (vec![0; 16 * 1024], 0);
    let began = SystemClock.uptime();
    while SystemClock.uptime() - began < 3 * TIMEOUT {
        count += client.read(&mut piece).unwrap();
        thread::sleep(TIMEOUT / 20);
    }
    assert_eq!(
        was_written.try_recv(),
        Err(mpsc::TryRecvError::Empty),
        "the answer still waits for the client, longer than the timeout"
    );
    let mut rest = Vec::new();
    piece.resize(1024 * 1024, 0);
    while count + rest.len() < LARGE {
        let read = client.read(&mut piece).unwrap();
        assert!(read > 0, "cut after {} bytes", count + rest.len());
        rest.extend_from_slice(&piece[..read]);
    }
    assert_eq!(was_written.recv_timeout(PATIENCE), Ok(true));
}
