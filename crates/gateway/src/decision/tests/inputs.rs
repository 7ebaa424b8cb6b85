//! Metadata of chance: what is let through is a path that means the same to everybody, and lies under what is open.

use actix_web::test::TestRequest;
use bekci_core::canonical_path;
use bekci_test_support::{Chance, Mutator, corpus};

use super::scene::{ask, auth_request};
use crate::decision::metadata::{Asked, Family};

/// The paths of bekci-core's own corpus, moved under what is open here.
const PATHS: &str = include_str!("../../../../core/tests/corpus/paths.txt");
const WORDS: &[&str] = &[
    "/public", "/me/x", "..", "%2e%2e", "%2f", "//", "?", "#", ";", "\\", "@", ":", "https://", "gw.test", " ", ", ",
];

fn uris() -> Mutator {
    let paths = corpus(PATHS);
    let open = paths.iter().map(|path| [b"/public", path.as_slice()].concat());
    let first = [b"/public/x".to_vec(), b"/public/a%2Db?c=/../me".to_vec()];
    Mutator::new(first.into_iter().chain(open), WORDS)
}

/// Bytes that can stand in a header at all.
fn sendable(chance: &mut Chance, mutator: &Mutator) -> Vec<u8> {
    let bytes = mutator.make(chance).into_iter();
    bytes
        .filter(|byte| *byte >= b' ' && *byte != 0x7f)
        .take(4_000)
        .collect()
}

fn header(bytes: &[u8]) -> actix_web::http::header::HeaderValue {
    actix_web::http::header::HeaderValue::from_bytes(bytes).unwrap()
}

fn asked_by(family: Family, method: &[u8], proto: &[u8], host: &[u8], uri: &[u8]) -> TestRequest {
    let absolute = [proto, b"://", host, uri].concat();
    match family {
        Family::Forwarded => TestRequest::with_uri("/forward-auth")
            .insert_header(("X-Forwarded-Method", header(method)))
            .insert_header(("X-Forwarded-Proto", header(proto)))
            .insert_header(("X-Forwarded-Host", header(host)))
            .insert_header(("X-Forwarded-Uri", header(uri))),
        Family::Original | Family::Prefixed => TestRequest::with_uri("/auth-request")
            .insert_header(("X-Original-Method", header(method)))
            .insert_header(("X-Original-URL", header(&absolute))),
    }
}

#[test]
fn metadata_that_are_believed_say_one_thing() {
    let (uris, mut read) = (uris(), 0);
    let others = Mutator::new(
        ["GET", "https", "http", "gw.test", "gw.test:443", "[::1]:80"],
        &[",", ", ", "@", ":", "/", "."],
    );
    bekci_test_support::by_chance(6_000, |chance| {
        let uri = sendable(chance, &uris);
        let mut other = |good: &[u8]| {
            if chance.once_in(4) {
                sendable(chance, &others)
            } else {
                good.to_vec()
            }
        };
        let (method, proto, host) = (other(b"GET"), other(b"https"), other(b"gw.test"));
        for family in [Family::Forwarded, Family::Original] {
            let request = asked_by(family, &method, &proto, &host, &uri).to_http_request();
            let Ok(asked) = Asked::of(family, &request) else {
                continue;
            };
            read += 1;
            let told = format!("{asked:?} of {:?}", String::from_utf8_lossy(&uri));
            let whole = asked
                .query
                .map_or_else(|| asked.path.to_owned(), |query| format!("{}?{query}", asked.path));
            assert!(asked.path.starts_with('/') && !asked.path.contains('?'), "{told}");
            assert!(
                whole.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'),
                "{told}"
            );
            assert_eq!(asked.method.as_str().as_bytes(), method, "{told}");
            let name = asked.host.name();
            assert!(
                !name.is_empty() && !name.contains(['@', '/', ',', ' ', '?', '\\']),
                "{told}"
            );
            assert_eq!(name, name.to_lowercase(), "{told}");
            if family == Family::Forwarded {
                assert_eq!(whole.as_bytes(), uri, "{told}");
            }
        }
    });
    assert!(read > 500, "only {read} were read: the inputs try too little");
}

#[actix_web::test]
async fn nothing_is_let_through_that_does_not_lie_under_what_is_open() {
    let (uris, mut requests) = (uris(), Vec::new());
    bekci_test_support::by_chance(250, |chance| requests.push(sendable(chance, &uris)));
    let mut open = 0;
    for uri in requests {
        let asking = asked_by(Family::Forwarded, b"GET", b"https", b"gw.test", &uri);
        let answer = ask(asking).await;
        let text = String::from_utf8_lossy(&uri).into_owned();
        if answer.status == 200 {
            open += 1;
            let path = text.split('?').next().unwrap();
            let canonical = canonical_path(path, false).unwrap();
            assert!(canonical == "/public" || canonical.starts_with("/public/"), "{text}");
        } else {
            assert!((400..500).contains(&answer.status), "{text}: {}", answer.status);
        }
        if text.bytes().all(|byte| byte.is_ascii_graphic()) && text.starts_with('/') {
            let nginx = ask(auth_request("GET", &format!("https://gw.test{text}"))).await;
            assert_eq!(
                nginx.status == 200,
                answer.status == 200,
                "{text}: the families do not agree"
            );
        }
    }
    assert!(open > 3, "only {open} were let through: the inputs try too little");
}
