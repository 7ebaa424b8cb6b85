//! Clients that send slowly: a head and a body have a time, a body has a pace, and neither a client's nor an upstream's connection is held beyond it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use bekci_core::Clock as _;
use bekci_store::SystemClock;

use super::{PATIENCE, exchange, statuses};
use crate::house::{House, Kind};

const LIMITS: &str = "[limits]\nhead_timeout_seconds = 1\nupload_bytes_per_second = 1000\nupload_grace_seconds = 1\nupload_seconds = 5\n";

/// An upstream that reads and never answers, and tells when its connection ends.
fn silent_upstream() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, has_ended) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, ended) = (stream.unwrap(), ended.clone());
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
                let _ = ended.send(());
            });
        }
    });
    (address, has_ended)
}

/// Sends `head`, then `piece` again and again as often as `pause` says, until an answer comes. Gives the answer and how long it took.
fn drip(address: SocketAddr, head: &str, piece: &[u8], pause: Duration) -> (String, Duration) {
    let began = SystemClock.uptime();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
    while SystemClock.uptime() - began < PATIENCE {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_reset) => break,
        }
        if answer.is_empty() && stream.write_all(piece).is_err() {
            break;
        }
    }
    (
        String::from_utf8_lossy(&answer).into_owned(),
        SystemClock.uptime() - began,
    )
}

#[test]
fn a_slow_body_is_answered_by_408_and_frees_both_connections() {
    let (upstream, has_ended) = silent_upstream();
    let route = format!(
        "[[routes]]\nid = \"silent\"\npaths = [\"/silent/**\"]\npublic = true\nupstream = \"http://{upstream}\"\n"
    );
    let house = House::with(Kind::Sqlite, &format!("{LIMITS}{route}"));
    let pause = Duration::from_millis(100);
    for (framing, piece) in [
        ("Content-Length: 100000", &b"x"[..]),
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n"),
    ] {
        for target in ["/silent/x", "/public/x"] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: bekci.test\r\n{framing}\r\n\r\n");
            let (answer, took) = drip(house.address(), &head, piece, pause);
            assert_eq!(statuses(&answer), [408], "{target} {framing}: {answer}");
            assert!(
                answer.contains("\"MALFORMED_REQUEST\"") && answer.to_lowercase().contains("connection: close"),
                "{answer}"
            );
            assert!(took < PATIENCE, "{target} {framing}");
        }
        has_ended.recv_timeout(PATIENCE).unwrap();
    }
    // The calls of the gateway itself.
    let head = "POST /auth/customer/login HTTP/1.1\r\nHost: bekci.test\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
    let (answer, _) = drip(house.address(), head, b" ", pause);
    assert_eq!(statuses(&answer), [408], "{answer}");
}

#[test]
fn a_body_at_the_floor_ends_with_its_total_time_and_a_quick_one_passes() {
    let house = House::with(Kind::Sqlite, LIMITS);
    let head = "POST /public/x HTTP/1.1\r\nHost: bekci.test\r\nContent-Length: 100000000\r\n\r\n";
    // Ten times the floor, so that a loaded machine stays above it.
    let (answer, took) = drip(house.address(), head, &[b'x'; 1_000], Duration::from_millis(100));
    assert_eq!(statuses(&answer), [408], "{answer}");
    assert!(
        took >= Duration::from_secs(2),
        "the total time ended it, not the floor: {took:?}"
    );
    let body = "x".repeat(3_000_000);
    let quick = format!(
        "POST /public/x HTTP/1.1\r\nHost: bekci.test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(house.address(), quick.as_bytes());
    assert!(statuses(&answer) == [200] && answer.contains("3000000"), "{answer}");
}

#[test]
fn every_head_of_a_connection_has_its_time() {
    let house = House::with(Kind::Sqlite, LIMITS);
    let (answer, _) = drip(
        house.address(),
        "GET /public/x HTTP/1.1\r\nX: ",
        b"y",
        Duration::from_millis(100),
    );
    assert_eq!(statuses(&answer), [408], "{answer}");
    assert!(answer.contains("requestId"), "{answer}");
    // The second one, and one that comes along with the first.
    let first = "GET /public/x HTTP/1.1\r\nHost: bekci.test\r\n\r\n";
    for second in ["", "GET /public/y HTTP/1.1\r\nX: "] {
        let mut stream = TcpStream::connect(house.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{first}{second}").as_bytes()).unwrap();
        let mut bytes = [0; 16 * 1024];
        let mut answers = String::new();
        while !answers.contains("\r\n\r\n{") {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "{answers}");
            answers.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        stream.write_all(b"GET").unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(statuses(&String::from_utf8_lossy(&rest)), [408], "{second:?}");
    }
}

#[test]
fn chunks_have_bounds() {
    let house = House::shared(Kind::Sqlite);
    let long = "x".repeat(300);
    let extensions = format!("1;{}\r\na\r\n", "e".repeat(200)).repeat(100);
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(3_000));
    for (what, body) in [
        ("a long extension", format!("1;{long}\r\na\r\n0\r\n\r\n")),
        ("many extensions", extensions),
        ("many trailers", trailers),
        ("no size", "x\r\n\r\n".to_owned()),
        ("a line feed alone", "1\na\r\n0\r\n\r\n".to_owned()),
    ] {
        for target in ["/public/x", "/me/x"] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: bekci.test\r\nTransfer-Encoding: chunked\r\n\r\n");
            let answer = exchange(house.address(), format!("{head}{body}").as_bytes());
            let refused = if target == "/me/x" { 401 } else { 400 };
            assert_eq!(statuses(&answer), [refused], "{what} to {target}: {answer}");
            assert!(answer.contains("requestId"), "{what} to {target}: {answer}");
        }
    }
}
