use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{client::*, scripted::*, servers::*};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn open(gateway: &Running, path: &str, lines: &str) -> (TcpStream, String) {
    let mut stream = connect(gateway);
    let head = format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        answer.push(char::from(byte[0]));
    }
    (stream, answer.to_lowercase())
}

/// A text frame as clients send it (RFC 6455 section 5.2), masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn a_websocket_passes_both_ways() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let (mut stream, answer) = open(&gateway, "/me/ws", UPGRADE);
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("upgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("connection: upgrade\r\n"), "{answer}");
    // RFC 6455 section 1.3 has this key and this answer.
    assert!(
        answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{answer}"
    );
    assert!(
        !answer.contains("transfer-encoding") && !answer.contains("content-length"),
        "{answer}"
    );
    for text in ["one", "two"] {
        stream.write_all(&frame(text)).unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, &[&[0x81, 3], text.as_bytes()].concat()[..]);
    }
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.first(), Some(&0x88));
}

#[test]
fn nothing_but_a_websocket_is_tunnelled() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let gateway = gateway(&[upstream.url()]);
    let h2c = get(
        &gateway,
        "/public/x",
        &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQ",
        ],
    );
    assert_eq!((status(&h2c), body(&h2c)), (200, "hi"));
    for broken in [
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        &UPGRADE.replace("13", "12"),
        &UPGRADE.replace("dGhl", "AA"),
        &format!("{UPGRADE}Content-Length: 5\r\n"),
        &UPGRADE.replace("Upgrade: websocket", "Upgrade: websocket, h2c"),
    ] {
        let (_, answer) = open(&gateway, "/public/x", broken);
        assert!(answer.starts_with("http/1.1 400 "), "{broken} {answer}");
    }
    let heads = upstream.heads();
    assert_eq!(heads.len(), 1);
    assert!(
        !heads[0].contains("upgrade") && !heads[0].contains("http2-settings"),
        "{}",
        heads[0]
    );
}

#[test]
fn what_follows_a_refused_websocket_reaches_no_upstream() {
    let upstream = Scripted::answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let gateway = gateway(&[upstream.url()]);
    let smuggled = "GET /me/smug HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n";
    let head = format!("GET /public/ws HTTP/1.1\r\nHost: gw.test\r\n{UPGRADE}\r\n{smuggled}");
    let answer = exchange(&gateway, &head);
    assert_eq!((status(&answer), body(&answer)), (426, "no"));
    assert_eq!(upstream.heads().len(), 1);
}

#[test]
fn a_page_of_another_origin_opens_no_websocket_with_cookies() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let asked = |path: &str, line: &str| open(&gateway, path, &format!("{UPGRADE}{line}\r\n")).1;
    assert!(asked("/me/ws", "Origin: https://evil").starts_with("http/1.1 403 "));
    assert_eq!(count.get(), 0);
    assert!(asked("/me/ws", "Origin: http://gw.test").starts_with("http/1.1 101 "));
    assert!(asked("/public/ws", "Origin: https://evil").starts_with("http/1.1 101 "));
}
