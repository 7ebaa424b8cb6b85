//! The listener for those who run the gateway.

use std::{net::TcpStream, time::Duration};

use crate::{
    echo::Echo,
    house::{House, Kind},
    http::{Wire, get},
    tls::listener::{echo, gateway},
};

/// The value of a metric's line.
pub fn value(metrics: &str, line: &str) -> u64 {
    let found = metrics
        .lines()
        .find_map(|told| told.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn decisions_are_counted_by_guard_route_outcome_and_code_and_by_nothing_that_a_client_chose() {
    let house = House::new(Kind::Sqlite, 1);
    let ops = house.nodes[0].ops;
    let tokens = house.signed_in();
    let reader = house.person("customer", "reader").sign_in(house.address());
    for number in 0..3 {
        let path = format!("/me/secret-path-{number}?q=secret-query");
        assert_eq!(get(&path).bearer(&tokens.access).to(house.address()).status, 200);
    }
    get("/me/secret-path").to(house.address());
    get("/orders/secret-path").bearer(&reader.access).to(house.address());
    get("/public/secret-path").to(house.address());
    get("/secret-path").to(house.address());

    let answer = get("/metrics").to(ops);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let metrics = String::from_utf8(answer.body).unwrap();
    for (labels, count) in [
        ("guard=\"customer\",route=\"me\",outcome=\"allowed\",code=\"\"", 3),
        ("guard=\"\",route=\"me\",outcome=\"refused\",code=\"TOKEN_MISSING\"", 1),
        (
            "guard=\"customer\",route=\"orders\",outcome=\"refused\",code=\"FORBIDDEN\"",
            1,
        ),
        ("guard=\"\",route=\"public\",outcome=\"allowed\",code=\"\"", 1),
    ] {
        assert_eq!(
            value(&metrics, &format!("bekci_decisions_total{{{labels}}}")),
            count,
            "{labels}\n{metrics}"
        );
    }
    for hidden in ["secret", "someone", &tokens.session, "customer:"] {
        assert!(!metrics.contains(hidden), "{hidden}\n{metrics}");
    }
}

#[test]
fn a_gateway_is_alive_and_says_which_part_is_not_ready() {
    let house = House::new(Kind::Sqlite, 1);
    let ops = house.nodes[0].ops;
    let readiness = || {
        let answer = get("/readyz").to(ops);
        (answer.status, answer.json())
    };
    let (status, told) = readiness();
    assert_eq!((status, &told["ready"]), (200, &true.into()));
    for part in ["database", "schema", "cache", "keys"] {
        assert_eq!(told["checks"][part], "ok", "{told}");
    }

    house.sql("DELETE FROM bekci_migrations");
    let (status, told) = readiness();
    assert_eq!((status, &told["ready"]), (503, &false.into()));
    assert_eq!(told["checks"]["database"], "ok", "{told}");
    assert!(
        told["checks"]["schema"].as_str().unwrap().contains("bekci migrate up"),
        "{told}"
    );
    assert_eq!(get("/healthz").to(ops).status, 200);
}

#[test]
fn a_gateway_that_is_told_to_stop_finishes_what_was_begun_and_takes_nothing_new() {
    let node = gateway("", "", &echo());
    let mut wire = Wire::open(node.address);
    let path = format!("/stopping-{}/slow", node.address.port());
    wire.write(&get(&format!("{path}?ms=1500")).bytes());
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..3_000 {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("never: {what}: {}", node.server.log());
    };
    until("it reached its upstream", &|| Echo::shared().saw(&path));
    node.server.signal("TERM");
    assert_eq!(wire.read().verdict(), "200");
    until("nothing listens", &|| TcpStream::connect(node.address).is_err());
}
