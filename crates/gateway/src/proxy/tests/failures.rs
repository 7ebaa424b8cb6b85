use std::{io::Write, net::TcpListener, sync::mpsc, time::Duration};

use super::{client::*, scripted::*, servers::*};

/// The URL of a port on which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn an_upstream_that_is_not_there_is_502() {
    let gateway = gateway(&[nobody()]);
    for _ in 0..2 {
        assert_eq!(status(&get(&gateway, "/public/x", &[])), 502);
    }
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    let upstream = Scripted::start(|peer| {
        peer.head();
        peer.hears_the_end();
    });
    let impatient = Setup {
        timeout: Duration::from_millis(50),
        ..Setup::default()
    };
    let gateway = impatient.start(&[upstream.url()]);
    assert_eq!(status(&get(&gateway, "/public/x", &[])), 504);
    assert_eq!(
        upstream.heads().len(),
        1,
        "a request that may have been carried out is not sent again"
    );
}

#[test]
fn an_answer_that_cannot_be_read_is_502() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: half a he",
    ] {
        let said = answer.to_owned();
        let upstream = Scripted::start(move |peer| {
            peer.head();
            peer.say(&said);
        });
        let gateway = gateway(&[upstream.url()]);
        let told = get(&gateway, "/public/x", &[]);
        assert_eq!(status(&told), 502, "{answer:?}");
        assert_eq!(upstream.heads().len(), 1, "{answer:?}");
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let upstream = Scripted::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gateway = gateway(&[upstream.url()]);
    for _ in 0..2 {
        let answer = get(&gateway, "/public/x", &[]);
        assert_eq!((status(&answer), body(&answer)), (200, "hi"));
        assert!(!answer.contains("Early") && !answer.contains("/x"), "{answer}");
    }
    let endless = Scripted::answering(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(100));
    assert_eq!(
        status(&get(&super::servers::gateway(&[endless.url()]), "/public/x", &[])),
        502
    );
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for begun in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let said = begun.to_owned();
        let upstream = Scripted::start(move |peer| {
            peer.head();
            peer.say(&said);
        });
        let answer = get(&gateway(&[upstream.url()]), "/public/x", &[]);
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!(answer.is_empty() || !answer.contains("content-length: 4"), "{answer}");
        assert_eq!(upstream.heads().len(), 1);
    }
}

/// Answers the first request of its first connection and closes it when a second one comes; answers all on later connections.
fn closes_when_used_again() -> Scripted {
    Scripted::start(|peer| {
        let mut served = 0;
        while peer.head().is_some() {
            served += 1;
            if peer.number == 0 && served == 2 {
                return;
            }
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    })
}

#[test]
fn a_request_lost_on_an_idle_connection_is_sent_again_where_that_does_no_harm() {
    let again = |line: &str, rest: &str| {
        let upstream = closes_when_used_again();
        let gateway = gateway(&[upstream.url()]);
        assert_eq!(status(&get(&gateway, "/public/first", &[])), 200);
        let answer = exchange(
            &gateway,
            &format!("{line} /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{rest}"),
        );
        (status(&answer), upstream.heads().len())
    };
    assert_eq!(again("GET", "\r\n"), (200, 3));
    assert_eq!(again("DELETE", "\r\n"), (200, 3));
    assert_eq!(again("POST", "\r\n"), (502, 2));
    assert_eq!(again("PATCH", "\r\n"), (502, 2));
    assert_eq!(again("PUT", "Content-Length: 2\r\n\r\nhi"), (502, 2));
}

#[test]
fn a_connection_carries_one_request_after_another() {
    let upstream = Scripted::start(|peer| {
        while peer.head().is_some() {
            let number = peer.number;
            peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"));
        }
    });
    let gateway = gateway(&[upstream.url()]);
    for _ in 0..3 {
        assert_eq!(body(&get(&gateway, "/public/x", &[])), "0");
    }
}

#[test]
fn a_connection_on_which_more_was_said_than_asked_is_not_used_again() {
    let upstream = Scripted::start(|peer| {
        while peer.head().is_some() {
            peer.say(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            );
        }
    });
    let gateway = gateway(&[upstream.url()]);
    for _ in 0..3 {
        assert_eq!(body(&get(&gateway, "/public/x", &[])), "hi");
    }
}

#[test]
fn of_several_servers_those_that_can_be_reached_answer() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[nobody(), upstream.url(), nobody()]);
    for _ in 0..6 {
        assert_eq!(status(&get(&gateway, "/public/x", &[])), 200);
        let posted = exchange(
            &gateway,
            "POST /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        );
        assert_eq!(status(&posted), 200);
    }
    assert_eq!(count.get(), 12);
}

#[test]
fn a_server_that_says_it_is_not_well_is_passed_over() {
    let healthy = Scripted::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let ill = Scripted::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let setup = Setup {
        health_path: Some("/healthz".to_owned()),
        ..Setup::default()
    };
    let upstream = setup.upstream(&[ill.url(), healthy.url()]);
    let clock = bekci_core::testing::FakeClock::at(1_000);
    actix_web::rt::System::new().block_on(crate::proxy::probe(&upstream, &clock));
    for _ in 0..3 {
        let first = upstream.in_turn(bekci_core::Clock::uptime(&clock)).next().unwrap();
        assert_eq!(format!("http://{}", first.authority), healthy.url());
    }
    assert!(ill.heads()[0].starts_with("GET /healthz HTTP/1.1\r\n"));
}

#[test]
fn when_the_client_goes_the_upstream_is_let_go_too() {
    for begins in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let (received, is_received) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        let upstream = Scripted::start(move |peer| {
            peer.head();
            peer.say(begins);
            received.send(()).unwrap();
            peer.hears_the_end();
            ended.send(()).unwrap();
        });
        let gateway = gateway(&[upstream.url()]);
        let mut stream = connect(&gateway);
        stream.write_all(b"GET /public/x HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        is_received.recv().unwrap();
        drop(stream);
        has_ended.recv_timeout(Duration::from_secs(15)).unwrap();
    }
}

#[test]
fn a_body_that_the_client_breaks_off_breaks_off_at_the_upstream() {
    let (ended, has_ended) = mpsc::channel();
    let upstream = Scripted::start(move |peer| {
        peer.head();
        let mut heard = Vec::new();
        loop {
            let piece = peer.hear();
            if piece.is_empty() {
                break;
            }
            heard.extend(piece);
        }
        ended.send(String::from_utf8(heard).unwrap()).unwrap();
    });
    let gateway = gateway(&[upstream.url()]);
    let mut stream = connect(&gateway);
    stream
        .write_all(b"POST /public/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .unwrap();
    drop(stream);
    let heard = has_ended.recv_timeout(Duration::from_secs(15)).unwrap();
    assert!(!heard.ends_with("0\r\n\r\n"), "{heard:?}");
}

#[test]
fn an_upstream_that_answers_before_it_has_heard_all_is_believed() {
    let upstream = Scripted::start(|peer| {
        peer.head();
        peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    });
    let gateway = gateway(&[upstream.url()]);
    let answer = exchange(
        &gateway,
        "POST /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegun",
    );
    assert_eq!((status(&answer), body(&answer)), (413, "big"));
}
