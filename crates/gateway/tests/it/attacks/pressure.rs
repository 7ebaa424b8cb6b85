//! Clients that are slow, or send more headers than anybody needs.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{PATIENCE, exchange, statuses};
use crate::{
    house::{House, Kind},
    http::get,
};

#[test]
fn a_client_that_never_ends_its_request_is_dropped_and_holds_up_nobody() {
    let house = House::shared(Kind::Sqlite);
    let begun = [
        "GET /public/x HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        "G",
        "POST /auth/customer/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"email\":",
        "POST /auth/customer/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"e",
        // Refused at once, without a look at the body.
        "POST /me/slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"e",
        "POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1",
        "POST /public/..%2f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ];
    let slow: Vec<TcpStream> = begun
        .iter()
        .cycle()
        .take(84)
        .map(|bytes| {
            let mut stream = TcpStream::connect(house.address()).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            stream
        })
        .collect();
    let customer = house.signed_in();
    for _ in 0..20 {
        assert_eq!(customer.verdict(house.address()), "200");
    }
    for mut stream in slow {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        // The end, or a refusal and then the end; never a wait without one.
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || statuses(&answer).iter().all(|status| (400..500).contains(status)),
            "{answer}"
        );
    }
}

#[test]
fn heads_without_measure_are_refused_and_the_next_request_is_served() {
    let house = House::shared(Kind::Sqlite);
    let line = |at: usize| format!("X-Filler-{at}: {}\r\n", "f".repeat(100));
    let many: String = (0..5_000).map(line).collect();
    for (lines, target) in [
        (many, "/public/heads".to_owned()),
        (
            format!("X-Long: {}\r\n", "l".repeat(1 << 20)),
            "/public/heads".to_owned(),
        ),
        (
            format!("Cookie: {}\r\n", "a=1; ".repeat(200_000)),
            "/me/heads".to_owned(),
        ),
        (
            format!("X-Auth-Id{}: 1\r\n", "x".repeat(200_000)),
            "/public/heads".to_owned(),
        ),
        (String::new(), format!("/public/{}", "p".repeat(1 << 20))),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n");
        let answer = exchange(house.address(), bytes.as_bytes());
        // Whoever still writes may lose the answer with the connection.
        assert!(
            answer.is_empty() || statuses(&answer).iter().all(|status| (400..500).contains(status)),
            "{}: {answer}",
            bytes.len()
        );
        assert_eq!(get("/public/x").to(house.address()).verdict(), "200");
    }
    assert!(!crate::echo::Echo::shared().saw("/public/heads"));
}
