use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{client::*, scripted::*, servers::*};

const LARGE: usize = 64 * 1024 * 1024;

/// Bytes of memory that this process has had at once, at most.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_memory() -> usize {
    0
}

#[test]
fn sixty_four_mebibytes_pass_either_way_without_being_held() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let before = peak_memory();

    let mut stream = connect(&gateway);
    let head = format!("GET /public/stream?bytes={LARGE} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut received = 0;
    let mut piece = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            count => received += count,
        }
    }
    assert!(received > LARGE);

    let mut stream = connect(&gateway);
    let head = format!("POST /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..LARGE / piece.len() {
        stream.write_all(&piece).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(told(&answer)["bodyBytes"], LARGE);

    let grown = peak_memory().saturating_sub(before);
    assert!(grown < LARGE / 2, "memory grew by {grown} bytes");
}

/// Reads until what was read ends so.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with(end) {
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn both_ways_flow_at_once() {
    // The upstream answers at once and gives back the body's bytes as they come; being chunks, they make a good answer.
    let upstream = Scripted::start(|peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let heard = String::from_utf8(peer.hear()).unwrap();
            peer.say(&heard);
            if heard.is_empty() || heard.ends_with("0\r\n\r\n") {
                return;
            }
        }
    });
    let gateway = gateway(&[upstream.url()]);
    let mut stream = connect(&gateway);
    let head = "POST /public/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    read_until(&mut stream, "\r\n\r\n");
    for word in ["one", "two", "six"] {
        let chunk = format!("3\r\n{word}\r\n");
        stream.write_all(chunk.as_bytes()).unwrap();
        assert_eq!(read_until(&mut stream, &format!("{word}\r\n")), chunk);
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn a_body_is_framed_anew_and_its_trailers_are_dropped() {
    let upstream = Scripted::start(|peer| {
        peer.head();
        let mut heard = String::new();
        while !heard.ends_with("0\r\n\r\n") {
            heard.push_str(&String::from_utf8(peer.hear()).unwrap());
        }
        let length = heard.len();
        peer.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{heard}"
        ));
    });
    let gateway = gateway(&[upstream.url()]);
    let answer = exchange(
        &gateway,
        "POST /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTrailer: X-Auth-Roles\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;ext=\"a\"\r\nabc\r\n0\r\nX-Auth-Roles: super\r\nAuthorization: Bearer x\r\n\r\n",
    );
    if status(&answer) == 200 {
        assert_eq!(body(&answer), "3\r\nabc\r\n0\r\n\r\n");
    } else {
        assert_eq!(status(&answer), 400);
    }
    let heads = upstream.heads().concat();
    assert!(!heads.to_lowercase().contains("trailer"), "{heads}");
}

#[test]
fn a_body_keeps_its_length_and_none_is_told_as_none() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let sent = |method: &str, framing: &str, body: &str| {
        let head = format!("{method} /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{framing}\r\n{body}");
        let told = told(&exchange(&gateway, &head));
        let framing = [received(&told, "content-length"), received(&told, "transfer-encoding")].concat();
        (framing, told["bodyBytes"].as_u64().unwrap())
    };
    let text = |text: &str| vec![text.to_owned()];
    assert_eq!(sent("POST", "Content-Length: 5\r\n", "hello"), (text("5"), 5));
    assert_eq!(sent("GET", "Content-Length: 5\r\n", "hello"), (text("5"), 5));
    assert_eq!(sent("POST", "Content-Length: 0\r\n", ""), (text("0"), 0));
    assert_eq!(sent("POST", "", ""), (text("0"), 0));
    assert_eq!(sent("DELETE", "", ""), (Vec::new(), 0));
    assert_eq!(
        sent(
            "POST",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        ),
        (text("chunked"), 5)
    );
    let expecting = "POST /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    let answer = exchange(&gateway, expecting);
    let told = told(answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap());
    assert!(received(&told, "expect").is_empty());
    assert_eq!(told["bodyBytes"], 2);
}

#[test]
fn answers_without_a_body_keep_their_headers_and_the_connection() {
    let upstream = Scripted::start(|peer| {
        while let Some(head) = peer.head() {
            let status = head.split(['/', ' ']).nth(3).unwrap().to_owned();
            peer.say(&format!(
                "HTTP/1.1 {status} X\r\nContent-Length: 7\r\nETag: \"e\"\r\n\r\n"
            ));
        }
    });
    let gateway = gateway(&[upstream.url()]);
    let asked = |method: &str, status: u16| {
        let line = format!("{method} /public/{status} HTTP/1.1");
        exchange(&gateway, &format!("{line}\r\nHost: h\r\nConnection: close\r\n\r\n")).to_lowercase()
    };
    // The script takes the status from the path's second segment.
    let head = asked("HEAD", 200);
    assert!(
        head.contains("content-length: 7\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for status in [204, 304] {
        let answer = asked("GET", status);
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
        assert!(
            answer.contains("etag: \"e\"\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
    assert_eq!(upstream.heads().len(), 3);
}

#[test]
fn a_body_that_ends_with_its_connection_is_given_on_whole() {
    let upstream = Scripted::start(|peer| {
        peer.head();
        peer.say("HTTP/1.0 200 OK\r\n\r\nall of it");
    });
    let gateway = gateway(&[upstream.url()]);
    let answer = get(&gateway, "/public/x", &[]);
    assert!(answer.to_lowercase().contains("transfer-encoding: chunked"), "{answer}");
    assert_eq!(body(&answer), "9\r\nall of it\r\n0\r\n\r\n");
    let old = exchange(&gateway, "GET /public/x HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(!old.to_lowercase().contains("transfer-encoding"), "{old}");
    assert_eq!(body(&old), "all of it");
}
