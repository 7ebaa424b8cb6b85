use super::{client::*, scripted::*, servers::*};

const HIDDEN: &str = "GET /me/smug HTTP/1.1\r\nHost: gw.test\r\n\r\n";

/// Heads that readers have been known to end differently, each followed by bytes that some of them take for a second request.
fn ambiguous() -> Vec<String> {
    let post = |lines: &str, body: &str| format!("POST /public/x HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n{body}");
    let chunks = format!("0\r\n\r\n{HIDDEN}");
    let length = chunks.len();
    let mut all = vec![
        post(
            &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            &chunks,
        ),
        post(
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            &chunks,
        ),
        post(
            &format!("Content-Length: 0\r\nContent-Length: {}\r\n", HIDDEN.len()),
            HIDDEN,
        ),
        post(
            &format!("Content-Length: {}\r\nContent-Length: 0\r\n", HIDDEN.len()),
            HIDDEN,
        ),
        post(&format!("Content-Length: {0}, {0}\r\n", HIDDEN.len()), HIDDEN),
        format!("POST /public/x HTTP/1.0\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        format!("GET /public/x\r\n{HIDDEN}"),
        format!("GET  /public/x HTTP/1.1\r\nHost: gw.test\r\n\tX: y\r\n\r\n{HIDDEN}"),
        post(
            "Transfer-Encoding: chunked\r\n",
            &format!("5\nhello\r\n0\r\n\r\n{HIDDEN}"),
        ),
        post(
            "Transfer-Encoding: chunked\r\n",
            &format!("0x5\r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        ),
        post(
            "Transfer-Encoding: chunked\r\n",
            &format!("fffffffffffffffff\r\n{HIDDEN}"),
        ),
        post("Transfer-Encoding: chunked\r\n", &format!("-1\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("1;a\nb\r\nx\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("2\r\nabXX{HIDDEN}")),
    ];
    for coding in [
        "chunked, chunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "xchunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "\"chunked\"",
        "\x0bchunked",
        "chun\r\n ked",
        ",chunked",
        "chunked;q=1",
    ] {
        all.push(post(
            &format!("Content-Length: {length}\r\nTransfer-Encoding: {coding}\r\n"),
            &chunks,
        ));
    }
    for name in [
        "Transfer-Encoding ",
        " Transfer-Encoding",
        "Transfer-Encoding\t",
        "X: y\rTransfer-Encoding",
        "Transfer\0-Encoding",
    ] {
        all.push(post(&format!("Content-Length: 3\r\n{name}: chunked\r\n"), &chunks));
    }
    for number in [
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "",
        "5,",
        "99999999999999999999",
        "5\u{b}",
        "1e1",
        "٥",
    ] {
        all.push(post(
            &format!("Content-Length: {number}\r\n"),
            &format!("hello{HIDDEN}"),
        ));
    }
    all
}

#[test]
fn nothing_that_can_be_read_in_two_ways_becomes_two_requests() {
    let upstream = Scripted::start(|peer| {
        // Bodies are not read, so that bytes of one that were sent as a request would be seen as one.
        while peer.head().is_some() {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let gateway = gateway(&[upstream.url()]);
    for request in ambiguous() {
        let before = upstream.heads().len();
        let answer = exchange_and_close(&gateway, &request);
        let heads = upstream.heads().split_off(before);
        assert!(heads.len() <= 1, "{request:?} became {heads:?}");
        assert!(!heads.concat().contains("smug"), "{request:?} became {heads:?}");
        assert!(
            heads.len() == 1 || answer.is_empty() || status(&answer) >= 400,
            "{request:?} gave {answer:?}"
        );
    }
}

#[test]
fn a_line_that_ends_in_a_bare_line_feed_is_not_given_on_as_such() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let answer = exchange(
        &gateway,
        "GET /me/x HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\nX-A: 1\nX-Auth-Roles: super\nAuthorization: Bearer z\r\n\r\n",
    );
    if status(&answer) == 200 {
        let told = told(&answer);
        assert_eq!(received(&told, "x-auth-roles"), ["buyer"]);
        assert_eq!(received(&told, "x-a"), ["1"]);
        assert!(received(&told, "authorization").is_empty());
    } else {
        assert_eq!((status(&answer), count.get()), (400, 0));
    }
}

#[test]
fn requests_on_one_connection_are_judged_one_by_one() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let answer = exchange(
        &gateway,
        "GET /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /admin HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /public/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    let statuses: Vec<u16> = answer
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| status(&answer[at..]))
        .collect();
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!(count.get(), 2);
}
