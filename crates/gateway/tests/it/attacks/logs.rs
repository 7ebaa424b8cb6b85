//! What a client says can end no line of the log and begin none.

use serde_json::json;

use crate::{
    house::{House, Kind},
    http::{ask, get, post},
};

/// Ends a line, moves a terminal's cursor, turns the reading direction, or closes a value.
const FORGED: &str = "x\n2026-01-01T00:00:00Z ERROR bekci: forged\r\u{1b}[2J\u{9b}31m\u{85}\u{2028}2026 forged\u{2029}\u{202e}\" forged=\"1\" \\";

/// The same without what a header or a path cannot hold.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_line_of_the_log_is_bekcis_own_from_its_first_character_to_its_last() {
    let house = House::new(Kind::Sqlite, 1);
    let address = house.address();
    let admin = house.person("admin", "super-admin").sign_in(address);
    let customer = house.customer();
    let body = json!({"email": FORGED, "password": FORGED});
    post("/auth/customer/login").json(&body).to(address);
    customer.login(&json!({"deviceName": FORGED})).to(address);
    customer
        .login(&json!({"deviceName": "x\u{2028}forged\u{202e}"}))
        .to(address);
    post("/auth/customer/token/refresh")
        .json(&json!({"refreshToken": FORGED}))
        .to(address);
    get(&format!("/public/{}", percent("x\u{2028}forged\u{9b}"))).to(address);
    get(&format!("/public/x?{}", percent(FORGED)))
        .header("user-agent", "x\u{2028}forged")
        .to(address);
    get("/nothing")
        .header("x-request-id", "x forged=\"1\"")
        .header("traceparent", "forged")
        .to(address);
    ask("FORGED", "/public/x").to(address);
    let key = format!("/admin/v1/principals/customer/{}", customer.id);
    for reason in [FORGED, "x\u{2028}2026 forged\u{2029}\u{202e}", "\" forged=\"1"] {
        ask("PUT", &format!("{key}/status"))
            .bearer(&admin.access)
            .json(&json!({"status": "banned", "reason": reason}))
            .to(address);
    }
    for name in [FORGED, "x\u{2028}forged\u{202e}"] {
        ask("PATCH", &key)
            .bearer(&admin.access)
            .json(&json!({"name": name}))
            .to(address);
        ask("POST", "/admin/v1/roles")
            .bearer(&admin.access)
            .json(&json!({"guard": "customer", "name": name}))
            .to(address);
    }
    let log = house.nodes[0].server.log();
    assert!(log.lines().count() > 8, "{log}");
    // The one line for people, on standard output, which nothing from outside is part of.
    let (people, events): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| line.starts_with("Listening on http://"));
    assert_eq!(people.len(), 1, "{log}");
    for line in events {
        let begins = line.get(..2) == Some("20") && line.get(10..11) == Some("T");
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(
            begins && ["INFO", "WARN", "ERROR"].contains(&level),
            "{line:?} is no line of Bekci's"
        );
        let odd = line
            .chars()
            .find(|c| c.is_control() || matches!(*c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'));
        assert_eq!(odd, None, "{line:?}");
    }
}
