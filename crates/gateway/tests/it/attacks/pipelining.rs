//! Requests in one segment: one of them is handled at a time, and none after the last.

use bekci_test_support::unique;

use super::{exchange, statuses};
use crate::{
    echo::Echo,
    house::{House, Kind},
    http::Wire,
};

fn open(bytes: &str) -> Wire {
    let mut wire = Wire::open(House::shared(Kind::Sqlite).address());
    wire.write(bytes.as_bytes());
    wire
}

/// A request with a path of its own, and the path.
fn request(method: &str, lines: &str) -> (String, String) {
    let path = format!("/public/{}", unique("piped"));
    (
        format!("{method} {path} HTTP/1.1\r\nHost: bekci.test\r\n{lines}\r\n"),
        path,
    )
}

#[test]
fn a_head_request_takes_no_body_from_the_answer_before() {
    let ((get, path), (head, _)) = (request("GET", ""), request("HEAD", ""));
    let mut wire = open(&format!("{get}{head}"));
    let answer = wire.read();
    assert_eq!((answer.status, answer.json()["path"].as_str()), (200, Some(&*path)));
    assert_eq!(wire.read_head().status, 200);
    let (last, path) = request("GET", "Connection: close\r\n");
    wire.write(last.as_bytes());
    assert_eq!(wire.read().json()["path"], path);
    assert!(wire.is_ended_by_the_other_side());
}

#[test]
fn a_request_after_a_head_request_is_answered() {
    let ((head, _), (get, path)) = (request("HEAD", ""), request("GET", ""));
    let mut wire = open(&format!("{head}{get}"));
    assert_eq!(wire.read_head().status, 200);
    assert_eq!(wire.read().json()["path"], path);
}

#[test]
fn the_gateways_own_answers_keep_their_bodies_and_order() {
    let own = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: bekci.test\r\n\r\n");
    let keys = "/.well-known/jwks.json";
    let (get, path) = request("GET", "");
    let mut wire = open(&[own("GET", keys), own("HEAD", "/me/x"), own("GET", "/me/x"), get].concat());
    assert!(wire.read().json()["keys"].is_array());
    assert_eq!(wire.read_head().status, 401);
    assert_eq!(wire.read().verdict(), "401 TOKEN_MISSING");
    assert_eq!(wire.read().json()["path"], path);
}

#[test]
fn a_request_after_the_last_one_is_not_processed() {
    let house = House::shared(Kind::Sqlite);
    for (version, lines) in [
        ("HTTP/1.1", "Connection: close\r\n"),
        ("HTTP/1.1", "Connection: x, Close\r\n"),
        ("HTTP/1.0", ""),
    ] {
        let last = request("GET", lines).0.replacen("HTTP/1.1", version, 1);
        let (after, path) = request("GET", "");
        let answers = exchange(house.address(), format!("{last}{after}").as_bytes());
        let answers = answers.replace("HTTP/1.0", "HTTP/1.1");
        assert_eq!(statuses(&answers), [200], "{version} {lines:?}");
        assert!(!Echo::shared().saw(&path), "{version} {lines:?}");
    }
}

#[test]
fn a_request_after_a_refused_body_is_not_processed() {
    let house = House::shared(Kind::Sqlite);
    for body in ["Content-Length: 500000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let refused = format!("POST /me/x HTTP/1.1\r\nHost: bekci.test\r\n{body}\r\n");
        let (after, path) = request("GET", "");
        assert_eq!(
            statuses(&exchange(house.address(), format!("{refused}{after}").as_bytes())),
            [401],
            "{body}"
        );
        assert!(!Echo::shared().saw(&path), "{body}");
    }
}

#[test]
fn bodies_and_requests_in_one_segment_are_told_apart() {
    let (plain, first) = request("POST", "Content-Length: 5\r\n");
    let (chunked, second) = request("POST", "Transfer-Encoding: chunked\r\n");
    let (last, third) = request("GET", "");
    let bytes = format!("{plain}hello{chunked}3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n{last}");
    let expected = [(first, 5), (second, 3), (third, 0)];
    let check = |wire: &mut Wire| {
        for (path, bytes) in &expected {
            let seen = wire.read().json();
            assert_eq!(
                (&seen["path"], &seen["bodyBytes"]),
                (&path.as_str().into(), &(*bytes).into())
            );
        }
    };
    check(&mut open(&bytes));
    // Split anywhere, it is the same.
    for split in (1..bytes.len()).step_by(7) {
        let (front, back) = bytes.split_at(split);
        let mut wire = open(front);
        wire.write(back.as_bytes());
        check(&mut wire);
    }
}

#[test]
fn an_answer_to_http_1_0_leaves_other_connections_of_the_thread_open() {
    let old = "GET /public/x HTTP/1.0\r\nHost: bekci.test\r\n\r\n";
    for _ in 0..8 {
        let mut wire = open(old);
        assert_eq!(wire.read_head().status, 200);
    }
    for _ in 0..8 {
        let ((first, _), (second, path)) = (request("GET", ""), request("GET", ""));
        let mut wire = open(&format!("{first}{second}"));
        assert_eq!(wire.read().status, 200);
        assert_eq!(wire.read().json()["path"], path);
    }
}

#[test]
fn many_requests_in_one_segment_are_answered_in_order() {
    // More than is read ahead.
    let requests: Vec<(String, String)> = (0..60)
        .map(|_| request("GET", &format!("X: {}\r\n", "x".repeat(600))))
        .collect();
    let bytes: String = requests.iter().map(|(bytes, _)| bytes.as_str()).collect();
    let mut wire = open(&bytes);
    for (_, path) in requests {
        assert_eq!(wire.read().json()["path"], path);
    }
}

#[test]
fn a_body_is_asked_for_after_the_gate_has_decided() {
    let house = House::shared(Kind::Sqlite);
    for target in ["/me/x", "/nothing", "/public/a%2fb"] {
        let refused =
            format!("POST {target} HTTP/1.1\r\nHost: bekci.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        let answers = statuses(&exchange(house.address(), refused.as_bytes()));
        assert!(matches!(answers[..], [400..=499]), "{target}: {answers:?}");
    }
    let (head, path) = request("POST", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    let mut wire = open(&head);
    assert_eq!(wire.read_head().status, 100);
    wire.write(b"hello");
    let seen = wire.read().json();
    assert_eq!((&seen["path"], &seen["bodyBytes"]), (&path.into(), &5.into()));
    let sign_in = "POST /auth/customer/login HTTP/1.1\r\nHost: bekci.test\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    wire.write(sign_in.as_bytes());
    assert_eq!(wire.read_head().status, 100);
    wire.write(b"{}");
    assert_eq!(wire.read().verdict(), "422 VALIDATION_FAILED");
}
