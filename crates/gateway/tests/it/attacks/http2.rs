//! HTTP/2 is spoken nowhere: neither by who begins with it, nor by who would change to it (RFC 9113 section 3). What is hidden in its frames is no request.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_test_support::unique;

use super::{PATIENCE, statuses};
use crate::{
    echo::Echo,
    house::{House, Kind},
    http::get,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal without indexing, its name from the static table (RFC 7541 section 6.2.2).
fn literal(name: u8, value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 127 && name < 15);
    [&[name, length], value.as_bytes()].concat()
}

/// `GET path` as HEADERS, which end stream and headers.
fn headers(stream: u32, path: &str) -> Vec<u8> {
    let (method_get, scheme_http, authority, path_name) = (0x82, 0x86, 1, 4);
    let block = [
        vec![method_get, scheme_http],
        literal(path_name, path),
        literal(authority, "bekci.test"),
    ];
    frame(1, 0x5, stream, &block.concat())
}

/// Everything that a client of HTTP/2 says first, with a request in it.
fn spoken(path: &str) -> Vec<u8> {
    let settings = frame(4, 0, 0, &[]);
    [PREFACE, &settings, &headers(1, path), &headers(3, path)].concat()
}

/// What is answered until the other side ends; without a word it is ended by this side, since a change of protocol would wait for more.
fn told(address: SocketAddr, parts: &[Vec<u8>]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = Vec::new();
    for part in parts {
        let _ = stream.write_all(part);
        let mut some = [0; 16 * 1024];
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(300)))
            .unwrap();
        let count = stream.read(&mut some).unwrap_or_default();
        answer.extend_from_slice(&some[..count]);
    }
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_speaks_http_2_or_would_change_to_it_gets_nothing_to_an_upstream() {
    let house = House::shared(Kind::Sqlite);
    let node = &house.nodes[0];
    let settings = URL_SAFE_NO_PAD.encode([0, 3, 0, 0, 0, 100]);
    for address in [node.address, node.ops] {
        let hidden = format!("/public/{}", unique("h2"));
        let answer = told(address, &[spoken(&hidden)]);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "the preface was answered {answer:?}"
        );
        for target in [
            "/public/up",
            "/me/up",
            "/nothing",
            "/auth/customer/me",
            "/forward-auth",
            "/healthz",
        ] {
            let upgrade = format!(
                "GET {target} HTTP/1.1\r\nHost: bekci.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: {settings}\r\n\r\n"
            );
            let answer = told(address, &[upgrade.into_bytes(), spoken(&hidden)]);
            let all = statuses(&answer);
            assert!(
                !all.is_empty() && !all.contains(&101) && all.iter().skip(1).all(|status| *status >= 400),
                "{target}: {answer:?}"
            );
            assert!(
                !answer.to_ascii_lowercase().contains("upgrade: h2c"),
                "{target}: {answer:?}"
            );
            // The echo tells which headers it got.
            assert!(!answer.contains("http2-settings"), "{target}: {answer:?}");
        }
        assert!(!Echo::shared().saw(&hidden), "a request in frames was made");
    }
    assert_eq!(get("/public/after").to(node.address).verdict(), "200");
}
