//! Bodies that are too deep, too long, doubled or no text: refused, by a 4xx, by every call that reads one.

use bekci_test_support::unique;
use serde_json::json;

use crate::{
    house::{House, Kind},
    http::{ask, get},
};

/// Calls that read a body.
const CALLS: [(&str, &str); 8] = [
    ("POST", "/auth/admin/login"),
    ("POST", "/auth/admin/token/refresh"),
    ("POST", "/auth/admin/logout"),
    ("POST", "/admin/v1/principals/customer"),
    ("PATCH", "/admin/v1/principals/customer/1"),
    ("PUT", "/admin/v1/principals/customer/1/status"),
    ("PUT", "/admin/v1/principals/customer/1/roles"),
    ("POST", "/admin/v1/roles"),
];

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, count: usize| format!("{{\"email\":{}", open.repeat(count)).into_bytes();
    let many: Vec<String> = (0..1_000).map(|at| format!("\"k{at}\":1")).collect();
    vec![
        ("deep lists", deep("[", 8_000)),
        ("deep objects", deep("{\"a\":", 3_000)),
        ("a deep text", format!("\"{}\"", "[".repeat(10_000)).into_bytes()),
        ("many fields", format!("{{{}}}", many.join(",")).into_bytes()),
        ("a name twice", br#"{"email":"a@b.test","email":"c@d.test","password":"x"}"#.to_vec()),
        ("a name twice, spelt otherwise", br#"{"email":"a@b.test","\u0065mail":"c@d.test","password":"x"}"#.to_vec()),
        ("roles twice", br#"{"roles":[],"roles":["super-admin"],"status":"active","status":"banned","refreshToken":"a","refreshToken":"b","name":"x","name":"y"}"#.to_vec()),
        ("a prototype", br#"{"__proto__":{"admin":true},"constructor":{}}"#.to_vec()),
        ("a long number", format!("{{\"email\":{}}}", "9".repeat(10_000)).into_bytes()),
        ("an odd number", br#"{"email":1e999999}"#.to_vec()),
        ("not a number", br#"{"email":NaN}"#.to_vec()),
        ("a lone surrogate", br#"{"email":"\ud800","password":"x"}"#.to_vec()),
        ("a zero", b"{\"email\":\"a\\u0000b\",\"password\":\"x\",\"name\":\"a\\u0000\",\"guard\":\"a\\u0000\",\"status\":\"\\u0000\",\"roles\":[\"\\u0000\"]}".to_vec()),
        ("no UTF-8", b"{\"email\":\"\xff\",\"password\":\"x\"}".to_vec()),
        ("UTF-16", "{\"email\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a byte order mark", "\u{feff}{}".as_bytes().to_vec()),
        ("two documents", b"{}{}".to_vec()),
        ("a comment", b"{/* */}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("nothing", b"null".to_vec()),
        ("compressed", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()),
        ("long", vec![b' '; 300_000]),
        ("long and true", format!("{{\"email\":\"{}\"}}", "a".repeat(300_000)).into_bytes()),
    ]
}

#[test]
fn no_body_of_any_form_does_anything_but_be_refused() {
    let house = House::shared(Kind::Postgres);
    let admin = house.person("admin", "super-admin").sign_in(house.address());
    let before = house.sql("SELECT count(*) FROM customers");
    for (method, call) in CALLS {
        for (what, body) in bodies() {
            let asked = ask(method, call).bearer(&admin.access).header("connection", "close");
            let bytes = asked.body("application/json", body).bytes();
            let told = super::statuses(&super::exchange(house.address(), &bytes));
            assert!(
                told.len() == 1 && (400..500).contains(&told[0]),
                "{method} {call}, {what}: {told:?}"
            );
        }
    }
    assert_eq!(house.sql("SELECT count(*) FROM customers"), before);
    assert_eq!(
        get("/office/x").bearer(&admin.access).to(house.address()).verdict(),
        "200",
        "and whoever asked is signed in still"
    );
}

#[test]
fn a_name_that_stands_twice_is_said_to_do_so_and_neither_is_taken() {
    let house = House::shared(Kind::Sqlite);
    let admin = house.person("admin", "super-admin").sign_in(house.address());
    let name = unique("twice");
    let text = format!(r#"{{"email":"{name}@a.test","name":"One","name":"Two"}}"#);
    let asked = ask("POST", "/admin/v1/principals/customer")
        .bearer(&admin.access)
        .body("application/json", text);
    let answer = asked.to(house.address());
    assert!((400..500).contains(&answer.status), "{}", answer.verdict());
    assert_eq!(
        house.sql(&format!("SELECT count(*) FROM customers WHERE email = '{name}@a.test'")),
        "0"
    );
    let good = ask("POST", "/admin/v1/principals/customer").bearer(&admin.access);
    let good = good
        .json(&json!({"email": format!("{name}@a.test"), "name": "One"}))
        .to(house.address());
    assert!(matches!(good.status, 200 | 201), "{}", good.verdict());
}
