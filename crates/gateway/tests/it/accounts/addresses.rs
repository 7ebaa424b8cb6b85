//! `POST …/me/email` and what belongs to it.

use serde_json::json;

use super::{Link, Mailing, forgot, fresh_address, lets_in, login, register, reset, seen, tokens};
use crate::{house::PASSWORD, http::post};

on_every_mailing! { open;
    an_address_is_confirmed_once_by_its_link,
    an_address_is_changed_by_a_link_to_the_new_one_and_the_old_one_is_told,
    an_address_that_another_account_has_is_not_given_and_its_owner_is_told,
}

fn an_address_is_confirmed_once_by_its_link(mailing: &Mailing) {
    let email = fresh_address("confirming");
    let own = tokens(&register(&email, PASSWORD).to(mailing.here()));
    let first = mailing.link(&email, 1, "verify_address");
    assert_eq!(own.ask("POST", "me/email/resend").to(mailing.here()).verdict(), "202");
    let link = mailing.link(&email, 2, "verify_address");
    let confirm = |link: &Link| super::confirm(link).to(mailing.there()).verdict();
    assert_eq!(confirm(&first), "401 CODE_INVALID");
    assert_eq!(reset(&link, PASSWORD).to(mailing.here()).verdict(), "401 CODE_INVALID");
    assert_eq!(confirm(&link), "200");
    assert_eq!(confirm(&link), "401 CODE_INVALID");
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
    // There is nothing to confirm any more: the answer is the same, and no mail is sent.
    assert_eq!(own.ask("POST", "me/email/resend").to(mailing.here()).verdict(), "202");
    assert_eq!(
        post("/auth/customer/me/email/resend").to(mailing.here()).verdict(),
        "401 TOKEN_MISSING"
    );
}

fn an_address_is_changed_by_a_link_to_the_new_one_and_the_old_one_is_told(mailing: &Mailing) {
    let (email, new) = (fresh_address("moving"), fresh_address("moved"));
    let own = tokens(&register(&email, PASSWORD).to(mailing.here()));
    let other = tokens(&login(&email, PASSWORD).to(mailing.there()));
    forgot(&email).to(mailing.here());
    let reset_link = mailing.link(&email, 2, "reset_password");
    let asked = own
        .ask("POST", "me/email")
        .json(&json!({"email": new}))
        .to(mailing.here());
    assert_eq!(asked.verdict(), "202");
    let link = mailing.link(&new, 1, "change_address");
    // Before it is confirmed nothing is changed.
    assert_eq!(
        login(&new, PASSWORD).to(mailing.here()).verdict(),
        "401 CREDENTIAL_INVALID"
    );
    let verdicts = mailing.of_64_at_once(|node| super::confirm(&link).to(node).verdict());
    assert_eq!(
        verdicts.iter().filter(|verdict| *verdict == "200").count(),
        1,
        "{verdicts:?}"
    );
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(login(&email, PASSWORD).to(node).verdict(), "401 CREDENTIAL_INVALID");
        assert_eq!(login(&new, PASSWORD).to(node).verdict(), "200");
        assert_eq!(lets_in(&own, node), "200");
        assert_eq!(lets_in(&other, node), "401 TOKEN_INVALID");
    }
    assert_eq!(
        reset(&reset_link, "velvet harbour nineteen kites")
            .to(mailing.here())
            .verdict(),
        "401 CODE_INVALID"
    );
    mailing.told(&email, 3, &new);
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE email = '{new}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
}

fn an_address_that_another_account_has_is_not_given_and_its_owner_is_told(mailing: &Mailing) {
    let (email, taken, free) = (fresh_address("wishing"), fresh_address("owned"), fresh_address("free"));
    let own = tokens(&register(&email, PASSWORD).to(mailing.here()));
    register(&taken, PASSWORD).to(mailing.here());
    let ask = |email: &str| {
        own.ask("POST", "me/email")
            .json(&json!({"email": email}))
            .to(mailing.here())
    };
    assert_eq!(seen(&ask(&taken.to_uppercase())), seen(&ask(&free)));
    mailing.told(&taken, 2, "belongs to your account already");
    // Taken between the link and its confirmation: the address is not given twice, and the link is not used up.
    let link = mailing.link(&free, 1, "change_address");
    register(&free, PASSWORD).to(mailing.there());
    assert_eq!(super::confirm(&link).to(mailing.here()).verdict(), "409 CONFLICT");
    assert_eq!(login(&email, PASSWORD).to(mailing.here()).verdict(), "200");
    for bad in ["a@x\r\nBcc: v@y", "a@x,b@y", "x"] {
        assert_eq!(ask(bad).verdict(), "422 VALIDATION_FAILED", "{bad}");
    }
}
