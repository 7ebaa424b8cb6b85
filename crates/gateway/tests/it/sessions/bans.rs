//! Bans written behind the gateway's back.

use std::time::Duration;

use bekci_core::Clock;
use bekci_store::SystemClock;
use serde_json::json;

use crate::{
    house::{House, STALENESS_MS, on_every_store},
    http::{Answer, Wire, get},
    people::in_the_end,
};

on_every_store!(
    a_ban_written_from_outside_refuses_within_the_promised_time_and_tells_its_reason,
    rights_taken_from_outside_are_gone_within_the_promised_time,
    a_misspelt_status_lifts_no_ban,
);

/// Asks both nodes again and again until both refuse; whatever is asked later than Δ after the write has returned must be refused.
fn refused_within_the_promise(house: &House, path: &str, token: &str) -> Vec<Answer> {
    let clock = SystemClock;
    let written = clock.uptime();
    let promise = Duration::from_millis(STALENESS_MS);
    let ask = get(path).bearer(token);
    let refused = house.nodes.iter().map(|node| {
        let mut wire = Wire::open(node.address);
        loop {
            let asked_after = clock.uptime().saturating_sub(written);
            let answer = ask.on(&mut wire);
            if answer.status != 200 {
                return answer;
            }
            assert!(asked_after <= promise, "let in {asked_after:?} after the write");
        }
    });
    refused.collect()
}

fn a_ban_written_from_outside_refuses_within_the_promised_time_and_tells_its_reason(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    for node in &house.nodes {
        assert_eq!(tokens.verdict(node.address), "200");
    }
    house.sql(&format!(
        "INSERT INTO bekci_bans (model, id, reason, banned_at) \
         SELECT 'customer', '{id}', 'abuse', created_at FROM customers WHERE id = {id}",
        id = customer.id
    ));
    house.sql(&format!(
        "UPDATE customers SET status = 'banned' WHERE id = {}",
        customer.id
    ));
    for answer in refused_within_the_promise(house, "/me/x", &tokens.access) {
        assert_eq!(answer.verdict(), "403 ACCOUNT_BANNED");
        assert_eq!(answer.json()["error"]["details"]["reason"], "abuse");
    }
    for node in &house.nodes {
        assert_eq!(tokens.verdict(node.address), "403 ACCOUNT_BANNED", "and for good");
        assert_eq!(tokens.refresh().to(node.address).verdict(), "403 ACCOUNT_BANNED");
        let again = customer.login(&json!({})).to(node.address);
        assert_eq!(again.verdict(), "403 ACCOUNT_BANNED");
    }
    let guessed = customer
        .login(&json!({"password": "not the right one"}))
        .to(house.address());
    assert_eq!(
        guessed.verdict(),
        "401 CREDENTIAL_INVALID",
        "a ban is told to nobody who guesses"
    );

    house.sql(&format!(
        "UPDATE customers SET status = 'active' WHERE id = {}",
        customer.id
    ));
    house.sql(&format!("DELETE FROM bekci_bans WHERE id = '{}'", customer.id));
    // A ban ends no session.
    in_the_end(&get("/me/x").bearer(&tokens.access), house.address(), "200");
}

fn rights_taken_from_outside_are_gone_within_the_promised_time(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    for node in &house.nodes {
        let answer = get("/orders/x").bearer(&tokens.access).to(node.address);
        assert_eq!(answer.verdict(), "200");
    }
    house.sql(&format!(
        "DELETE FROM bekci_principal_roles WHERE model = 'customer' AND id = '{}'",
        customer.id
    ));
    for answer in refused_within_the_promise(house, "/orders/x", &tokens.access) {
        assert_eq!(answer.verdict(), "403 FORBIDDEN");
    }
    assert_eq!(tokens.verdict(house.address()), "200", "signed in all the same");
}

fn a_misspelt_status_lifts_no_ban(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    house
        .command(&["principal", "ban", &customer.key(), "--reason", "abuse"], "")
        .success();
    let set = |status: &str| {
        house.sql(&format!(
            "UPDATE customers SET status = '{status}' WHERE id = {}",
            customer.id
        ))
    };
    set("bannd");
    let refused = "403 ACCOUNT_INACTIVE";
    for node in &house.nodes {
        in_the_end(&get("/me/x").bearer(&tokens.access), node.address, refused);
        assert_eq!(tokens.refresh().to(node.address).verdict(), refused);
        assert_eq!(customer.login(&json!({})).to(node.address).verdict(), refused);
        let guessed = customer.login(&json!({"password": "not the right one"}));
        assert_eq!(guessed.to(node.address).verdict(), "401 CREDENTIAL_INVALID");
    }
    let shown = house.command(&["principal", "show", &customer.key()], "").success();
    assert!(shown.out.contains("kept out"), "{shown:?}");
    assert!(
        shown.err.contains("bannd") && shown.err.contains(&customer.key()),
        "the log names both: {shown:?}"
    );
    // What one of its lists has is no riddle.
    set("active");
    in_the_end(&get("/me/x").bearer(&tokens.access), house.address(), "200");
    set("bannd");
    in_the_end(&get("/me/x").bearer(&tokens.access), house.address(), refused);
    house.command(&["principal", "unban", &customer.key()], "").success();
    assert_eq!(tokens.verdict(house.address()), "200", "restored by command");
}
