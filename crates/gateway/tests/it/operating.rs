//! The listener for those who run the gateway.

use std::{net::TcpStream, time::Duration};

use serde_json::json;

use crate::{
    echo::Echo,
    house::{House, Kind},
    http::{Wire, ask, get},
    reloading::{File, reloads},
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
fn a_gateway_listens_only_after_its_first_lease() {
    let house = House::new(Kind::Postgres, 0);
    // No node can write its row, so that none has a lease.
    house.sql("ALTER TABLE coherence_nodes RENAME TO hidden_nodes");
    std::thread::scope(|scope| {
        let node = house.node_by(|port, folder| {
            let log = folder.path().join("bekci.log");
            let house = &house;
            scope.spawn(move || {
                let waits = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("does not listen yet"));
                let told = (0..3_000).any(|_| {
                    std::thread::sleep(Duration::from_millis(20));
                    waits()
                });
                let listens = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).is_ok();
                house.sql("ALTER TABLE IF EXISTS hidden_nodes RENAME TO coherence_nodes");
                assert!(told, "it does not say that it waits");
                assert!(!listens, "it listens without a lease");
            });
            bekci_test_support::Service::new(crate::house::BEKCI, port, folder).args(["serve"])
        });
        assert_eq!(get("/public/x").to(node.address).verdict(), "200");
    });
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
    for part in ["database", "schema", "lease", "keys", "policy", "configuration"] {
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
    let answer = get("/healthz").header("x-request-id", "probe-7").to(ops);
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("probe-7")));
}

#[test]
fn a_gateway_names_a_policy_that_does_not_load_and_serves_what_does_not_ask_it() {
    let house = House::new(Kind::Sqlite, 1);
    let node = &house.nodes[0];
    let tokens = house.person("customer", "buyer").sign_in(node.address);
    let readiness = |wanted: &str| {
        for _ in 0..3_000 {
            let answer = get("/readyz").to(node.ops);
            let told = answer.json();
            let policy = told["checks"]["policy"].as_str().unwrap().to_owned();
            if policy.contains(wanted) {
                return (answer.status, told);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("never: {wanted}: {}", node.server.log());
    };
    assert_eq!(readiness("ok").1["degraded"], json!([]));
    let orders = || get("/api/orders/1").bearer(&tokens.access).to(node.address).verdict();
    assert_eq!(orders(), "200");

    house.sql(
        "INSERT INTO bekci_policies (kind, v0, v1, v2, v3, v4, v5) VALUES ('p', 'role:customer:buyer', '*', '/x', '(', 'allow', '')",
    );
    let (status, told) = readiness("line");
    assert_eq!(
        (status, &told["ready"], &told["degraded"]),
        (200, &true.into(), &json!(["policy"]))
    );
    let lines = house.sql("SELECT count(*) FROM bekci_policies");
    let policy = told["checks"]["policy"].as_str().unwrap();
    assert!(
        policy.contains(&format!("line {lines} (p, role:customer:buyer, *, /x, (")),
        "{policy}"
    );
    assert_eq!(orders(), "403 POLICY_DENIED");
    assert_eq!(tokens.verdict(node.address), "200", "what asks no policy goes on");
    let doctor = house.command(&["doctor"], "");
    assert!(doctor.out.contains(&format!("line {lines} ")), "{doctor:?}");

    house.sql("DELETE FROM bekci_policies WHERE v3 = '('");
    let (status, told) = readiness("ok");
    assert_eq!((status, &told["degraded"]), (200, &json!([])));
    assert_eq!(orders(), "200");
}

#[test]
fn a_gateway_names_the_mistake_of_a_newer_configuration_until_it_is_mended() {
    let house = House::new(Kind::Sqlite, 1);
    let node = &house.nodes[0];
    let file = File::of_node(node);
    let told = || get("/readyz").to(node.ops);
    assert_eq!(told().json()["checks"]["configuration"], "ok");
    file.write(&format!("nonsense = 1\nmore = 2\n{}", file.first));
    file.until(&reloads("refused"), 1);
    let answer = told();
    let json = answer.json();
    assert_eq!((answer.status, &json["degraded"]), (200, &json!(["configuration"])));
    let said = json["checks"]["configuration"].as_str().unwrap();
    assert!(
        said.contains("the one before is in force") && said.contains("bekci.toml:1:1"),
        "{said}"
    );
    assert!(said.contains("1 more"), "{said}");
    file.write(&file.first);
    file.until(&reloads("unchanged"), 1);
    assert_eq!(told().json()["degraded"], json!([]));
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

/// Over the wire: the test of the library sees the body that actix leaves out.
#[test]
fn head_is_answered_as_get_without_its_body_at_every_call_of_the_gateway() {
    let house = House::shared(Kind::Sqlite);
    let admin = house.person("admin", "super-admin").sign_in(house.address());
    let customer = house.customer().sign_in(house.address());
    for (path, token) in [
        ("/auth/customer/me", Some(&customer.access)),
        ("/auth/customer/me", None),
        ("/auth/customer/sessions", Some(&customer.access)),
        ("/auth/customer/links", None),
        ("/admin/v1/roles", Some(&admin.access)),
        ("/admin/v1/roles", Some(&customer.access)),
        ("/admin/v1/principals/customer/0", Some(&admin.access)),
        ("/.well-known/jwks.json", None),
        ("/.well-known/openid-configuration", None),
        ("/openapi.json", None),
        ("/docs", None),
    ] {
        let mut wire = Wire::open(house.address());
        let answers = ["GET", "HEAD"].map(|method| {
            let asked = token
                .into_iter()
                .fold(ask(method, path), |asked, token| asked.bearer(token));
            asked.on(&mut wire)
        });
        let [get, head] = &answers;
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "content-length", "www-authenticate"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert!(head.header("content-length").is_some(), "{path}");
        // What follows on the connection is the next answer, and no body of this one.
        let next = ask("GET", "/public/after").on(&mut wire);
        assert_eq!(next.status, 200, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut wire = Wire::open(house.nodes[0].ops);
        assert_eq!(ask("HEAD", path).on(&mut wire).status, 200, "{path}");
        assert_eq!(ask("GET", path).on(&mut wire).status, 200, "{path}");
    }
}
