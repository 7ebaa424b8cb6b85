//! Requests that are proxied go past the application. Through it, they are answered and logged alike.

use serde_json::Value;

use crate::{
    house::{House, Kind},
    http::{Answer, Ask, ask, get, post},
    telling::events,
};

/// What differs between two answers to one request.
const OWN: [&str; 3] = ["date", "x-request-id", "content-length"];
/// What differs between the events of two requests.
const OWN_FIELDS: [&str; 9] = [
    "timestamp",
    "request_id",
    "trace_id",
    "span_id",
    "path",
    // The first of two reads may be from the database.
    "identity",
    "decision_micros",
    "upstream_micros",
    "micros",
];

/// A path, the same path with an encoded byte, and how it is asked for.
type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> Ask);

/// Status, headers and, if Bekci made it, the body.
fn told(answer: &Answer) -> (u16, Vec<String>, Value) {
    let names = answer.names().filter(|name| !OWN.contains(name));
    let mut lines: Vec<String> = names
        .flat_map(|name| answer.all(name).map(move |value| format!("{name}: {value}")))
        .collect();
    lines.sort();
    lines.dedup();
    let body = if answer.status == 200 || answer.body.is_empty() {
        Value::Null
    } else {
        let mut body = answer.json();
        for place in ["/error/requestId", "/requestId"] {
            if let Some(id) = body.pointer_mut(place) {
                *id = Value::Null;
            }
        }
        body
    };
    (answer.status, lines, body)
}

#[test]
fn a_request_is_answered_and_logged_alike_on_both_ways() {
    let house = House::logging_json(Kind::Sqlite);
    let tokens = house.signed_in();
    let bearer = |ask: Ask| ask.bearer(&tokens.access);
    let page = |ask: Ask| {
        ask.header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    };
    let cases: [Case<'_>; 13] = [
        ("/me/x?q=1", "/%6de/x?q=1", &|path| bearer(get(path))),
        ("/me/x", "/%6de/x", &|path| get(path)),
        ("/me/x", "/%6de/x", &|path| {
            page(get(path).header("accept", "text/html"))
        }),
        ("/me/x", "/%6de/x", &|path| get(path).header("accept-language", "tr")),
        ("/me/x", "/%6de/x", &|path| {
            get(path).header("accept", "application/problem+json")
        }),
        ("/office/x", "/%6fffice/x", &|path| bearer(get(path))),
        ("/nowhere", "/%6eowhere", &|path| get(path)),
        ("/public/x", "/%70ublic/x", &|path| ask("TRACE", path)),
        ("/public/x", "/%70ublic/x", &|path| ask("BREW", path)),
        ("/public/x", "/%70ublic/x", &|path| ask("HEAD", path)),
        ("/public/x", "/%70ublic/x", &|path| {
            post(path).body("text/plain", "body")
        }),
        ("/public//x", "/%70ublic//x", &|path| get(path)),
        ("/dead/x", "/%64ead/x", &|path| get(path)),
    ];
    for (number, (direct, through, asked)) in cases.iter().enumerate() {
        let ids = [format!("direct-{number}"), format!("through-{number}")];
        let answers = [direct, through].map(|path| asked(path));
        let answers: Vec<Answer> = answers
            .into_iter()
            .zip(&ids)
            .map(|(ask, id)| ask.header("x-request-id", id).to(house.address()))
            .collect();
        let what = format!("{direct}, case {number}");
        assert_eq!(told(&answers[0]), told(&answers[1]), "{what}");
        for (answer, id) in answers.iter().zip(&ids) {
            assert_eq!(answer.header("x-request-id"), Some(id.as_str()), "{what}");
        }
        let logged = ids.map(|id| {
            let mut events = events(&house, &id);
            assert_eq!(events.len(), 1, "{what}: {events:?}");
            let mut event = events.remove(0);
            let fields = event.as_object_mut().unwrap();
            OWN_FIELDS.iter().for_each(|field| drop(fields.remove(*field)));
            event
        });
        assert_eq!(logged[0], logged[1], "{what}");
    }
}

#[test]
fn a_call_of_bekci_is_found_where_its_path_has_encoded_bytes() {
    let house = House::shared(Kind::Sqlite);
    let tokens = house.signed_in();
    for path in ["/auth/customer/me", "/%61uth/customer/me", "/auth/customer/%6de"] {
        let answer = get(path).bearer(&tokens.access).to(house.address());
        assert_eq!(answer.verdict(), "200", "{path}");
        assert!(answer.json()["data"].is_object(), "{path}: Bekci's own answer");
    }
    for path in ["/authors", "/auth2/customer/me", "/docs2"] {
        assert_eq!(get(path).to(house.address()).verdict(), "404 NOT_FOUND", "{path}");
    }
    assert_eq!(
        get("/auth/nobody/me").to(house.address()).verdict(),
        "404 GUARD_UNKNOWN",
        "a path below Bekci's own is never proxied"
    );
}
