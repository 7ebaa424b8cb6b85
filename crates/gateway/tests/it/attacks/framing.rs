//! Requests within requests, where Bekci itself answers: its own calls, and what it refuses without reading the body.

use bekci_test_support::unique;

use super::{exchange, statuses};
use crate::{
    echo::Echo,
    house::{House, Kind},
    http::get,
};

/// Answered by Bekci itself, each in another way, before or after the body is read.
const TARGETS: [&str; 6] = [
    "/auth/customer/login",
    "/auth/customer/logout-all",
    "/me/refused",
    "/nothing",
    "/public/..%2fx",
    "/forward-auth",
];

/// How long a body is said to be, and the body, with a request hidden in it: some readers find its end before the hidden request.
fn framed(hidden: &str) -> Vec<(String, String)> {
    let length = hidden.len();
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    let ended = format!("0\r\n\r\n{hidden}");
    let own = |lines: &str, body: &str| (format!("{lines}\r\n"), body.to_owned());
    let mut all = vec![
        own(&format!("Content-Length: {length}"), hidden),
        own("Transfer-Encoding: chunked", &chunk),
        own(&format!("Content-Length: {length}\r\nExpect: 100-continue"), hidden),
        own(&format!("Content-Length: {length}\r\nContent-Encoding: gzip"), hidden),
        own(
            &format!("Content-Length: {}\r\nTransfer-Encoding: chunked", ended.len()),
            &ended,
        ),
        own(
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {}", ended.len()),
            &ended,
        ),
        own(&format!("Content-Length: 0\r\nContent-Length: {length}"), hidden),
        own(&format!("Content-Length: {length}\r\nContent-Length: 0"), hidden),
        own(&format!("Content-Length: {length}, 0"), hidden),
        own(&format!("Content-Length: +{length}"), hidden),
        own(&format!("Content-Length:\r\n {length}"), hidden),
        own(&format!("X: y\r\n Content-Length: {length}"), ""),
        own("Transfer-Encoding: chunked", &format!("-1\r\n{hidden}")),
        own("Transfer-Encoding: chunked", &format!("fffffffffffffffff1\r\n{hidden}")),
        own(
            "Transfer-Encoding: chunked",
            &format!("1;a=\"\n0\r\n\r\n\"\r\nx\r\n{hidden}"),
        ),
        own("Transfer-Encoding: chunked", &format!("3\r\nabcXX0\r\n\r\n{hidden}")),
        own("Transfer-Encoding : chunked", &ended),
    ];
    for coding in [
        "chunked, identity",
        "identity, chunked",
        "xchunked",
        "chunked\r\nTransfer-Encoding: identity",
        "\x0bchunked",
        "chunked\r\n\t, x",
    ] {
        all.push(own(
            &format!("Content-Length: {}\r\nTransfer-Encoding: {coding}", ended.len()),
            &ended,
        ));
    }
    all
}

#[test]
fn a_body_that_is_refused_or_ambiguous_never_becomes_a_request() {
    let house = House::shared(Kind::Sqlite);
    for target in TARGETS {
        let hidden_path = format!("/public/{}", unique("hidden"));
        let hidden = format!("GET {hidden_path} HTTP/1.1\r\nHost: bekci.test\r\nConnection: close\r\n\r\n");
        for (lines, body) in framed(&hidden) {
            let request = format!(
                "POST {target} HTTP/1.1\r\nHost: bekci.test\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
            );
            let answer = exchange(house.address(), request.as_bytes());
            let told = statuses(&answer);
            assert!(
                told.len() <= 1 || told == [100, told[1]],
                "{request:?} was answered {answer:?}"
            );
            assert!(
                told.iter().all(|status| (400..500).contains(status) || *status == 100),
                "{request:?} was answered {told:?}"
            );
            assert!(!Echo::shared().saw(&hidden_path), "{request:?} became two requests");
        }
    }
    assert_eq!(get("/public/after").to(house.address()).verdict(), "200");
}

#[test]
fn a_refused_request_with_a_body_leaves_the_next_ones_apart() {
    let house = House::shared(Kind::Sqlite);
    let (first, last) = (unique("hidden"), unique("last"));
    let hidden = format!("GET /public/{first} HTTP/1.1\r\nHost: a\r\n\r\n");
    let requests = format!(
        "POST /me/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}GET /public/{last} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        hidden.len()
    );
    let told = statuses(&exchange(house.address(), requests.as_bytes()));
    assert!(told == [401, 200] || told == [401], "{told:?}");
    assert!(!Echo::shared().saw(&format!("/public/{first}")));
}

#[test]
fn what_is_no_request_of_http_1_is_no_request() {
    let house = House::shared(Kind::Sqlite);
    let path = format!("/public/{}", unique("odd"));
    for bytes in [
        format!("GET {path}\r\n\r\n"),
        format!("GET {path} HTTP/0.9\r\n\r\n"),
        format!("GET {path} HTTP/1.2\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/2.0\r\nHost: a\r\n\r\n"),
        format!("GET  {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET\t{path}\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\rHost: a\r\r"),
        format!("GET {path}\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHo st: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        format!("G@T {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
    ] {
        let answer = exchange(house.address(), bytes.as_bytes());
        assert!(
            answer.is_empty() || statuses(&answer).iter().all(|status| *status >= 400),
            "{bytes:?}: {answer}"
        );
        assert!(!Echo::shared().saw(&path), "{bytes:?}");
    }
}
