//! `POST …/register` and `PATCH …/me`.

use serde_json::json;

use super::{Mailing, OTHER, fresh_address, lets_in, login, register, tokens};
use crate::{
    house::PASSWORD,
    http::{ask, post},
};

on_every_mailing! { open;
    a_new_account_is_signed_in_everywhere_at_once,
    registering_takes_no_field_that_decides,
    a_password_that_is_common_short_or_the_address_itself_is_refused,
    nobody_registers_where_it_is_closed,
    of_16_registrations_of_one_address_one_succeeds,
    a_user_changes_the_attributes_that_the_guard_lets_it,
}

fn a_new_account_is_signed_in_everywhere_at_once(mailing: &Mailing) {
    let email = fresh_address("new");
    let body = json!({"email": email, "password": PASSWORD, "name": "Ayşe"});
    let answer = post("/auth/customer/register").json(&body).to(mailing.here());
    let signed_in = tokens(&answer);
    assert_eq!(answer.json()["data"]["user"]["name"], "Ayşe");
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(lets_in(&signed_in, node), "200");
        assert_eq!(login(&email, PASSWORD).to(node).verdict(), "200");
        let taken = register(&email.to_uppercase(), OTHER).to(node);
        assert_eq!(taken.verdict(), "409 CONFLICT");
    }
    // What decides has its defaults.
    let row = mailing.house.sql(&format!(
        "SELECT status, email_verified_at IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["active|1", "active|t"].contains(&row.as_str()), "{row}");
    let link = mailing.link(&email, 1, "verify_address");
    assert_eq!(link.page, "https://bekci.test/auth/customer/links");
}

fn registering_takes_no_field_that_decides(mailing: &Mailing) {
    for field in [
        "role",
        "roles",
        "permissions",
        "is_admin",
        "email_verified",
        "emailVerifiedAt",
        "id",
        "guard",
        "model",
        "tenant_id",
        "banned_at",
        "status",
        "password_hash",
        "created_at",
    ] {
        let email = fresh_address("mass");
        let mut body = json!({"email": email, "password": PASSWORD});
        body[field] = json!("admin");
        let answer = post("/auth/customer/register").json(&body).to(mailing.here());
        assert!([400, 422].contains(&answer.status), "{field}: {}", answer.verdict());
        let form = format!("email={email}&password={PASSWORD}&{field}=admin");
        let answer = post("/auth/customer/register")
            .body("application/x-www-form-urlencoded", form)
            .to(mailing.here());
        assert_eq!(answer.status, 415, "{field}");
        let rows = mailing
            .house
            .sql(&format!("SELECT count(*) FROM customers WHERE email = '{email}'"));
        assert_eq!(rows, "0", "{field}");
    }
    for email in ["a@x\r\nBcc: v@y.test", "a@x,b@y.test", "<a@x> b@y.test", "a@b@c", ""] {
        let answer = register(email, PASSWORD).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{email:?}");
    }
    let long = format!("{}@customer.test", "a".repeat(300));
    assert_eq!(register(&long, PASSWORD).to(mailing.here()).status, 422);
    for password in [
        json!([]),
        json!({}),
        json!({"$ne": null}),
        json!(true),
        json!(1),
        json!(null),
        json!(""),
    ] {
        let body = json!({"email": fresh_address("juggled"), "password": password});
        let answer = post("/auth/customer/register").json(&body).to(mailing.here());
        assert!([400, 422].contains(&answer.status), "{password}: {}", answer.verdict());
    }
}

fn a_password_that_is_common_short_or_the_address_itself_is_refused(mailing: &Mailing) {
    let email = fresh_address("weak-password-owner");
    for weak in [
        "short",
        "passwordpassword",
        "123456789012345",
        &email.clone(),
        &"a".repeat(20),
        &"ab c".repeat(40),
    ] {
        let answer = register(&email, weak).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{weak}");
        assert!(
            answer.json()["error"]["details"]["fields"]["password"].is_string(),
            "{weak}"
        );
    }
    assert_eq!(register(&email, PASSWORD).to(mailing.here()).verdict(), "200");
}

fn nobody_registers_where_it_is_closed(mailing: &Mailing) {
    for path in ["/auth/admin", "/shop-api/v1/auth"] {
        let body = json!({"email": fresh_address("closed"), "password": PASSWORD});
        let answer = post(&format!("{path}/register")).json(&body).to(mailing.here());
        assert_eq!(answer.verdict(), "403 REGISTRATION_CLOSED", "{path}");
    }
    let body = json!({"email": fresh_address("invited"), "password": PASSWORD, "inviteToken": "x"});
    let answer = post("/auth/customer/register").json(&body).to(mailing.here());
    assert_eq!(answer.verdict(), "401 CODE_INVALID");
}

fn of_16_registrations_of_one_address_one_succeeds(mailing: &Mailing) {
    let email = fresh_address("raced");
    let verdicts: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16)
            .map(|n| {
                let (email, node) = (&email, mailing.house.nodes[n % 2].address);
                scope.spawn(move || register(email, PASSWORD).to(node).verdict())
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(
        verdicts.iter().filter(|verdict| *verdict == "200").count(),
        1,
        "{verdicts:?}"
    );
    let others = verdicts.iter().filter(|verdict| *verdict != "200");
    assert!(
        others
            .clone()
            .all(|verdict| verdict == "409 CONFLICT" || verdict == "429 RATE_LIMITED"),
        "{verdicts:?}"
    );
}

fn a_user_changes_the_attributes_that_the_guard_lets_it(mailing: &Mailing) {
    let email = fresh_address("patched");
    let signed_in = tokens(&register(&email, PASSWORD).to(mailing.here()));
    let patch = |body: &serde_json::Value| ask("PATCH", "/auth/customer/me").bearer(&signed_in.access).json(body);
    let answer = patch(&json!({"name": "Zeynep"})).to(mailing.here());
    assert_eq!(answer.verdict(), "200");
    assert_eq!(answer.json()["data"]["attributes"]["name"], "Zeynep");
    // In force on the other node when the call returns.
    let me = signed_in.ask("GET", "me").to(mailing.there());
    assert_eq!(me.json()["data"]["attributes"]["name"], "Zeynep");
    for field in [
        "email",
        "status",
        "id",
        "password_hash",
        "email_verified_at",
        "roles",
        "__type",
    ] {
        let answer = patch(&json!({field: "x", "name": "Hidden"})).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{field}");
    }
    for value in [json!([]), json!({}), json!("a\nb"), json!("a".repeat(1_001))] {
        assert_eq!(
            patch(&json!({"name": value})).to(mailing.here()).verdict(),
            "422 VALIDATION_FAILED",
            "{value}"
        );
    }
    assert_eq!(patch(&json!({})).to(mailing.here()).verdict(), "422 VALIDATION_FAILED");
    let me = signed_in.ask("GET", "me").to(mailing.here());
    assert_eq!(me.json()["data"]["attributes"]["name"], "Zeynep");
    let anonymous = ask("PATCH", "/auth/customer/me").json(&json!({"name": "x"}));
    assert_eq!(anonymous.to(mailing.here()).verdict(), "401 TOKEN_MISSING");
}
