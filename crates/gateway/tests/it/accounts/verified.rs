//! A guard with `require_verified_email`: no session before the address is confirmed, by whichever way in.

use serde_json::json;

use super::{Mailing, OTHER, confirm, forgot, fresh_address, lets_in, login, register, reset, seen, tokens};
use crate::{
    house::{House, Kind, PASSWORD},
    http::post,
};

on_every_mailing! { verified;
    no_session_is_opened_before_the_address_is_confirmed,
    registering_answers_alike_whether_the_address_is_known_or_not,
    a_reset_by_mail_confirms_the_address_too,
}

fn no_session_is_opened_before_the_address_is_confirmed(mailing: &Mailing) {
    let email = fresh_address("unconfirmed");
    let answer = register(&email, PASSWORD).to(mailing.here());
    assert_eq!((answer.status, &answer.json()["data"]), (202, &json!({"sent": true})));
    let link = mailing.link(&email, 1, "verify_address");
    // Told after the right password alone.
    assert_eq!(
        login(&email, OTHER).to(mailing.here()).verdict(),
        "401 CREDENTIAL_INVALID"
    );
    let refused = login(&email, PASSWORD).to(mailing.here());
    assert_eq!(refused.verdict(), "403 UNVERIFIED");
    assert_eq!(refused.json()["error"]["details"]["result"]["code"], -5);
    let resend = post("/auth/customer/me/email/resend").json(&json!({"email": email}));
    assert_eq!(resend.to(mailing.there()).verdict(), "202");
    let newer = mailing.link(&email, 2, "verify_address");
    assert_eq!(confirm(&link).to(mailing.here()).verdict(), "401 CODE_INVALID");
    assert_eq!(confirm(&newer).to(mailing.here()).verdict(), "200");
    let signed_in = tokens(&login(&email, PASSWORD).to(mailing.there()));
    assert_eq!(lets_in(&signed_in, mailing.here()), "200");
}

fn registering_answers_alike_whether_the_address_is_known_or_not(mailing: &Mailing) {
    let (known, unknown) = (fresh_address("owner"), fresh_address("newcomer"));
    register(&known, PASSWORD).to(mailing.here());
    mailing.link(&known, 1, "verify_address");
    let again = register(&known.to_uppercase(), OTHER).to(mailing.there());
    assert_eq!(seen(&again), seen(&register(&unknown, OTHER).to(mailing.there())));
    // Its owner is told, and its password stays.
    mailing.told(&known, 2, "belongs to your account already");
    assert_eq!(login(&known, PASSWORD).to(mailing.here()).verdict(), "403 UNVERIFIED");
    assert_eq!(
        login(&known, OTHER).to(mailing.here()).verdict(),
        "401 CREDENTIAL_INVALID"
    );
}

fn a_reset_by_mail_confirms_the_address_too(mailing: &Mailing) {
    let email = fresh_address("reset-first");
    register(&email, PASSWORD).to(mailing.here());
    mailing.link(&email, 1, "verify_address");
    forgot(&email).to(mailing.here());
    let link = mailing.link(&email, 2, "reset_password");
    assert_eq!(reset(&link, OTHER).to(mailing.here()).verdict(), "200");
    assert_eq!(login(&email, OTHER).to(mailing.there()).verdict(), "200");
}

/// The houses of the other tests are none of this one's.
#[test]
fn an_admin_signs_in_at_a_guard_that_requires_nothing() {
    let mailing = Mailing::verified(Kind::Sqlite);
    let house: &House = &mailing.house;
    let admin = house.person("admin", "support");
    assert_eq!(admin.login(&json!({})).to(mailing.here()).verdict(), "200");
}
