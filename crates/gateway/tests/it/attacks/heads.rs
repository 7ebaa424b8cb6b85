//! Heads that cannot be read, and targets that no URI may have: each is answered with a code and a request id, and at most one request comes of it.

use bekci_test_support::unique;

use super::exchange;
use crate::{
    echo::Echo,
    house::{House, Kind},
    http::{Answer, Wire, get},
};

/// The one answer to these bytes; the connection ends with it.
fn answer(bytes: &str) -> Answer {
    let mut wire = Wire::open(House::shared(Kind::Sqlite).address());
    wire.write(bytes.as_bytes());
    let answer = wire.read();
    assert!(wire.is_ended_by_the_other_side(), "{bytes:?}");
    answer
}

fn assert_refused(bytes: &str, verdict: &str) {
    let answer = answer(bytes);
    assert_eq!(answer.verdict(), verdict, "{bytes:?}");
    let id = answer.header("x-request-id").unwrap_or_default().to_owned();
    assert!(
        id.len() == 32 && answer.json()["error"]["requestId"] == id.as_str(),
        "{bytes:?}: {answer:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{bytes:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{bytes:?}");
    assert!(answer.header("strict-transport-security").is_some(), "{bytes:?}");
}

#[test]
fn a_head_that_cannot_be_read_is_refused_like_anything_else() {
    let path = format!("/public/{}", unique("unread"));
    for bytes in [
        format!("GET {path}\r\n\r\n"),
        format!("GET {path} HTTP/1.2\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHo st: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        format!("G\"T {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        assert_refused(&bytes, "400 MALFORMED_REQUEST");
    }
    let long = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_refused(&long, "431 MALFORMED_REQUEST");
    let long = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(400_000));
    assert_refused(&long, "431 MALFORMED_REQUEST");
    assert!(!Echo::shared().saw(&path));
}

#[test]
fn a_target_that_no_uri_may_have_is_refused_with_its_code() {
    let path = format!("/public/{}", unique("target"));
    for (target, verdict) in [
        (format!("{path}#x"), "400 MALFORMED_REQUEST"),
        (format!("{path}#"), "400 MALFORMED_REQUEST"),
        (format!("{path}?a#b"), "400 MALFORMED_REQUEST"),
        (format!("http://bekci.test{path}#x"), "400 MALFORMED_REQUEST"),
        (format!("{path}<"), "400 BAD_PATH"),
        (format!("{path}é"), "400 BAD_PATH"),
        (format!("{path}?\u{7f}"), "400 MALFORMED_REQUEST"),
    ] {
        assert_refused(&format!("GET {target} HTTP/1.1\r\nHost: bekci.test\r\n\r\n"), verdict);
        let pieces = exchange(
            House::shared(Kind::Sqlite).address(),
            format!(
                "GET /public/x HTTP/1.1\r\nHost: bekci.test\r\n\r\nGET {target} HTTP/1.1\r\nHost: bekci.test\r\n\r\n"
            )
            .as_bytes(),
        );
        assert_eq!(super::statuses(&pieces), [200, 400], "{target}");
    }
    // Its path can be read, and is none: the connection goes on.
    let quoted = get(&format!("{path}\"")).to(House::shared(Kind::Sqlite).address());
    assert_eq!(quoted.verdict(), "400 BAD_PATH");
    assert!(!Echo::shared().saw(&path));
}

#[test]
fn bytes_that_browsers_encode_reach_the_upstream_encoded_once() {
    let address = House::shared(Kind::Sqlite).address();
    for (target, path, query) in [
        ("/public/q?a=\"b\"", "/public/q", "a=%22b%22"),
        ("/public/q?a=<b>&c=`", "/public/q", "a=%3Cb%3E&c=`"),
        ("/public/q?a=é&b=%C3%A9", "/public/q", "a=%C3%A9&b=%C3%A9"),
        ("/public/a`b", "/public/a%60b", ""),
        ("/public/a[1]|^`", "/public/a%5B1%5D%7C%5E%60", ""),
    ] {
        let seen = get(target).to(address).json();
        assert_eq!(seen["path"], path, "{target}: {seen}");
        assert_eq!(seen["query"].as_str().unwrap_or_default(), query, "{target}: {seen}");
    }
    // What is judged is what is forwarded.
    assert_eq!(get("/office/a`b").to(address).verdict(), "401 TOKEN_MISSING");
}
