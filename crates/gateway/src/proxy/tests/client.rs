//! A client that writes the bytes it is told.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::servers::Running;

/// Long enough that only a hang reaches it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A client's connection.
pub(super) fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
pub(super) fn exchange(server: &Running, request: &str) -> String {
    let mut stream = connect(server);
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The same for what may leave the server waiting for more: after the bytes the client's side is closed.
pub(super) fn exchange_and_close(server: &Running, request: &str) -> String {
    let mut stream = connect(server);
    let _ = stream.write_all(request.as_bytes());
    // An answer, or the end, before our own end is sent: a server may drop what it holds of a client that is gone.
    let mut first = [0; 16 * 1024];
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let count = stream.read(&mut first).unwrap_or_default();
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = first.get(..count).unwrap_or_default().to_vec();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for a path with these header lines, and closes.
pub(super) fn get(server: &Running, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    exchange(
        server,
        &format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n{lines}\r\n"),
    )
}

/// The status of an answer.
pub(super) fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or_else(|_| panic!("no answer: {answer:?}"))
}

/// The body of an answer.
pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// What the echo upstream told.
pub(super) fn told(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|_| panic!("no echo: {answer}"))
}

/// The values of a header as the echo upstream received it.
pub(super) fn received(told: &Value, name: &str) -> Vec<String> {
    let values = told["headers"][name].as_array().cloned().unwrap_or_default();
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}
