//! Paths and hosts by which one reader finds another place than the next.

use bekci_test_support::unique;
use serde_json::Value;

use super::{exchange, statuses};
use crate::{
    echo::Echo,
    forge,
    house::{House, Kind},
    http::{get, post},
};

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

#[test]
fn no_spelling_of_a_guarded_path_is_open() {
    let house = house();
    let mark = unique("spelt");
    for path in [
        "/OFFICE/",
        "/Office/",
        "/%4Fffice/",
        "/off%C4%B1ce/",
        "/%EF%BC%AFffice/",
        "/office%E2%80%8B/",
        "/office%20/",
        "/office./",
        "/office%3f/public/",
        "/office%23/public/",
        "/public%2e/",
        "/publicx/../office/",
        "/office/",
        "/office/x.css/",
        "/office/x.png?/public/",
        "/office/x%3B.css",
        "/office;x=1/",
        "/office/%252e%252e/public/",
        "/office/public/",
        "/x/../public/",
        "/public/%2e%2e%2foffice/",
        "/public/..%c0%afoffice/",
        "/public/..%255coffice/",
        "/public/%u002e%u002e/office/",
        "/public/x/%2E%2e/%2e%2E/office/",
    ] {
        let answer = get(&format!("{path}{mark}")).to(house.address());
        if answer.status == 200 {
            let seen = answer.json()["path"].as_str().unwrap().to_owned();
            assert!(
                seen.starts_with("/public/") && !seen.contains("/office"),
                "{path} was {seen}"
            );
        } else {
            assert!(matches!(answer.status, 400 | 401 | 404), "{path}: {}", answer.verdict());
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
    }
    for path in ["office", "OFFICE", "Office", "office/public", "office/x.css"] {
        assert!(!Echo::shared().saw(&format!("/{path}/{mark}")), "{path}");
    }
}

#[test]
fn the_query_decides_nothing_and_is_handed_on_as_it_is() {
    let house = house();
    for query in [
        "/../office/x",
        "path=/office&_method=DELETE",
        "a=%2f..%2foffice",
        "x;y=z",
        "%00",
        "a?b?c",
        "guard=admin&tenant=acme",
    ] {
        let told = get(&format!("/public/q?{query}")).to(house.address()).json();
        assert_eq!(
            (&told["path"], &told["query"], &told["method"]),
            (&"/public/q".into(), &Value::from(query), &"GET".into())
        );
        assert_eq!(
            get(&format!("/office/q?{query}")).to(house.address()).verdict(),
            "401 TOKEN_MISSING"
        );
    }
}

#[test]
fn a_request_has_one_host_and_that_is_a_host() {
    let house = house();
    for target in [
        "/public/host",
        "/auth/customer/me",
        "/.well-known/jwks.json",
        "/admin/v1/roles",
    ] {
        let doubled =
            format!("GET {target} HTTP/1.1\r\nHost: bekci.test\r\nHost: evil.test\r\nConnection: close\r\n\r\n");
        assert_eq!(
            statuses(&exchange(house.address(), doubled.as_bytes())),
            [400],
            "{target}"
        );
    }
    for host in [
        "",
        "a b",
        "bekci.test:80@evil.test",
        "bekci.test:99999",
        "bekci.test:",
        "evil.test/",
        "evil.test?x",
        "evil.test#",
        "[::1",
        "a..b",
        "evil.test\\",
        "évil",
    ] {
        let bytes = format!("GET /public/host HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(
            statuses(&exchange(house.address(), bytes.as_bytes())),
            [400],
            "{host:?}"
        );
    }
    for line in [
        "GET http://evil.test/public/host",
        "GET //evil.test/public/host",
        "GET http://evil.test:80@bekci.test/public/host",
        "CONNECT evil.test:443",
        "OPTIONS *",
        "GET ftp://bekci.test/public/host",
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: bekci.test\r\nConnection: close\r\n\r\n");
        let told = statuses(&exchange(house.address(), bytes.as_bytes()));
        assert!(matches!(told[..], [400 | 404 | 405 | 501]), "{line}: {told:?}");
    }
    assert!(!Echo::shared().saw("/public/host"));
}

#[test]
fn no_header_of_a_stranger_makes_the_gateway_another() {
    let house = house();
    let customer = house.customer();
    let forged = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-port", "666"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=6.6.6.6;host=evil.test;proto=http"),
        ("x-host", "evil.test"),
        ("x-original-url", "/office/x"),
        ("x-rewrite-url", "/office/x"),
        ("x-real-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
    ];
    let login = customer.login(&serde_json::json!({"transport": "cookie"}));
    let login = forged
        .iter()
        .fold(login, |asked, (name, value)| asked.header(name, value))
        .to(house.address());
    assert_eq!(login.verdict(), "200");
    for cookie in login.all("set-cookie") {
        let lower = cookie.to_ascii_lowercase();
        assert!(
            cookie.starts_with("__") && lower.contains("secure") && !lower.contains("domain"),
            "{cookie}"
        );
        assert!(!lower.contains("evil"), "{cookie}");
    }
    let access = login
        .all("set-cookie")
        .find_map(|cookie| cookie.strip_prefix("__Host-bekci_customer_at=")?.split(';').next())
        .unwrap();
    let (_, claims) = forge::read(access);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&"https://bekci.test".into(), &"customer".into())
    );

    let path = format!("/public/{}", unique("stranger"));
    let asked = forged
        .iter()
        .fold(post(&path), |asked, (name, value)| asked.header(name, value));
    let told = asked.to(house.address()).json();
    let headers = told["headers"].to_string();
    for said in ["evil", "6.6.6.6", "666", "/office"] {
        assert!(!headers.contains(said), "{said} in {headers}");
    }
    assert_eq!(
        (&told["headers"]["host"][0], &told["headers"]["x-forwarded-for"][0]),
        (&"bekci.test".into(), &"127.0.0.1".into())
    );
}
