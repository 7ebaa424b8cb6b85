//! `POST …/password/forgot`, `…/password/reset` and `…/me/password`.

use bekci_test_support::SmtpManner;
use serde_json::json;

use super::{Link, Mailing, OTHER, forgot, fresh_address, lets_in, login, register, reset, reset_at, seen, tokens};
use crate::{
    house::{Kind, PASSWORD},
    http::{get, post},
};

on_every_mailing! { open;
    a_forgotten_password_is_set_once_by_the_newest_link,
    a_link_is_good_at_its_guard_for_its_purpose_and_in_its_time_alone,
    of_64_resets_with_one_link_one_succeeds,
    a_known_and_an_unknown_address_are_answered_alike,
    a_link_leads_to_the_configured_origin_whatever_the_request_says,
    a_password_is_changed_by_the_one_before_and_ends_the_other_sessions,
}

fn a_forgotten_password_is_set_once_by_the_newest_link(mailing: &Mailing) {
    let email = fresh_address("forgetful");
    let before = tokens(&register(&email, PASSWORD).to(mailing.here()));
    assert_eq!(forgot(&email).to(mailing.here()).verdict(), "202");
    let older = mailing.link(&email, 2, "reset_password");
    assert_eq!(forgot(&email.to_uppercase()).to(mailing.there()).verdict(), "202");
    let link = mailing.link(&email, 3, "reset_password");
    assert_eq!(reset(&older, OTHER).to(mailing.here()).verdict(), "401 CODE_INVALID");
    // A password that may not be set does not use the link up.
    for weak in ["short", "passwordpassword", &email.clone()] {
        let answer = reset(&link, weak).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{weak}");
    }
    assert_eq!(lets_in(&before, mailing.there()), "200");
    assert_eq!(reset(&link, OTHER).to(mailing.here()).verdict(), "200");
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(lets_in(&before, node), "401 TOKEN_INVALID");
        assert_eq!(login(&email, PASSWORD).to(node).verdict(), "401 CREDENTIAL_INVALID");
        assert_eq!(login(&email, OTHER).to(node).verdict(), "200");
        assert_eq!(reset(&link, PASSWORD).to(node).verdict(), "401 CODE_INVALID");
    }
    assert_eq!(
        before.refresh().to(mailing.here()).verdict(),
        "401 REFRESH_TOKEN_INVALID"
    );
    mailing.told(&email, 4, "was changed");
    // Who has the address has proved it.
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
}

fn a_link_is_good_at_its_guard_for_its_purpose_and_in_its_time_alone(mailing: &Mailing) {
    let email = fresh_address("bound");
    register(&email, PASSWORD).to(mailing.here());
    let confirmation = mailing.link(&email, 1, "verify_address");
    forgot(&email).to(mailing.here());
    let link = mailing.link(&email, 2, "reset_password");
    let another = Link {
        code: "A".repeat(link.code.len()),
        ..link.clone()
    };
    let refused = "401 CODE_INVALID";
    for (path, link) in [
        ("/shop-api/v1/auth", &link),
        ("/auth/admin", &link),
        ("/auth/customer", &another),
        ("/auth/customer", &confirmation),
    ] {
        assert_eq!(
            reset_at(path, link, OTHER).to(mailing.here()).verdict(),
            refused,
            "{path} {link:?}"
        );
    }
    for (reference, code) in [
        ("", ""),
        ("x", &*link.code),
        (&*link.reference, ""),
        (&*"0".repeat(32), &*link.code),
    ] {
        let body = json!({"ref": reference, "code": code, "newPassword": OTHER});
        let answer = post("/auth/customer/password/reset").json(&body).to(mailing.here());
        assert_eq!(answer.verdict(), refused, "{reference} {code}");
    }
    for code in [json!([link.code]), json!({"$ne": null}), json!(1), json!(null)] {
        let body = json!({"ref": link.reference, "code": code, "newPassword": OTHER});
        let answer = post("/auth/customer/password/reset").json(&body).to(mailing.here());
        assert!([400, 422].contains(&answer.status), "{code}: {}", answer.verdict());
    }
    // Neither of these has used it up; its time does.
    mailing.house.sql(&format!(
        "UPDATE bekci_codes SET expires_at = 1 WHERE id = '{}'",
        link.reference
    ));
    assert_eq!(reset(&link, OTHER).to(mailing.here()).verdict(), refused);
    assert_eq!(login(&email, PASSWORD).to(mailing.here()).verdict(), "200");
    // A dump has no secret, nor an address.
    let dump = mailing
        .house
        .sql("SELECT id, purpose, guard, model, principal_id FROM bekci_codes");
    assert!(!dump.contains(&link.code) && !dump.contains(&email), "{dump}");
}

fn of_64_resets_with_one_link_one_succeeds(mailing: &Mailing) {
    let email = fresh_address("stormed");
    register(&email, PASSWORD).to(mailing.here());
    forgot(&email).to(mailing.here());
    let link = mailing.link(&email, 2, "reset_password");
    let verdicts: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..64)
            .map(|n| {
                let (link, node) = (&link, mailing.house.nodes[n % 2].address);
                scope.spawn(move || reset(link, &format!("{OTHER} {n}")).to(node).verdict())
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |verdict: &str| verdicts.iter().filter(|one| *one == verdict).count();
    assert_eq!(count("200"), 1, "{verdicts:?}");
    assert_eq!(
        count("200") + count("401 CODE_INVALID") + count("429 RATE_LIMITED"),
        64,
        "{verdicts:?}"
    );
    let won = verdicts.iter().position(|verdict| verdict == "200").unwrap();
    assert_eq!(
        login(&email, &format!("{OTHER} {won}")).to(mailing.there()).verdict(),
        "200"
    );
}

fn a_known_and_an_unknown_address_are_answered_alike(mailing: &Mailing) {
    let email = fresh_address("known");
    register(&email, PASSWORD).to(mailing.here());
    let known = forgot(&email).to(mailing.here());
    assert_eq!(known.verdict(), "202");
    for other in [
        &fresh_address("unknown"),
        "no address at all",
        "'; DROP TABLE customers; --",
    ] {
        let answer = forgot(other).to(mailing.here());
        assert_eq!(seen(&answer), seen(&known), "{other}");
    }
    let resend = |email: &str| {
        post("/auth/customer/me/email/resend")
            .json(&json!({"email": email}))
            .to(mailing.here())
    };
    assert_eq!(seen(&resend(&email)), seen(&resend(&fresh_address("unknown"))));
    assert_eq!(mailing.mails(&email, 3).len(), 3);
}

fn a_link_leads_to_the_configured_origin_whatever_the_request_says(mailing: &Mailing) {
    let email = fresh_address("poisoned");
    register(&email, PASSWORD).to(mailing.here());
    let evil = forgot(&email)
        .header("x-forwarded-host", "evil.test")
        .header("x-forwarded-proto", "http")
        .header("forwarded", "host=evil.test")
        .header("origin", "https://evil.test")
        .header("referer", "https://evil.test/")
        .to(mailing.here());
    assert_eq!(evil.verdict(), "202");
    let mail = mailing.told(&email, 2, "reset_password");
    assert!(!mail.data.contains("evil.test"), "{}", mail.data);
    assert_eq!(Link::of(&mail).unwrap().page, "https://bekci.test/auth/customer/links");
    // A page of one's own is one of the guard's, exactly.
    let to = |page: &str| post("/auth/customer/password/forgot").json(&json!({"email": email, "redirectUri": page}));
    assert_eq!(to("https://app.bekci.test/reset").to(mailing.here()).verdict(), "202");
    assert_eq!(
        mailing.link(&email, 3, "reset_password").page,
        "https://app.bekci.test/reset"
    );
    for page in [
        "https://evil.test/reset",
        "https://app.bekci.test/reset/x",
        "https://app.bekci.test/reset#x",
        "",
    ] {
        assert_eq!(to(page).to(mailing.here()).verdict(), "422 VALIDATION_FAILED", "{page}");
    }
    let page = get("/auth/customer/links").to(mailing.here());
    assert_eq!(page.verdict(), "200");
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
}

fn a_password_is_changed_by_the_one_before_and_ends_the_other_sessions(mailing: &Mailing) {
    let email = fresh_address("changing");
    let own = tokens(&register(&email, PASSWORD).to(mailing.here()));
    let other = tokens(&login(&email, PASSWORD).to(mailing.there()));
    forgot(&email).to(mailing.here());
    let link = mailing.link(&email, 2, "reset_password");
    let change = |body: serde_json::Value| own.ask("POST", "me/password").json(&body).to(mailing.here());
    let wrong = change(json!({"currentPassword": "wrong", "newPassword": OTHER}));
    assert_eq!(wrong.verdict(), "401 CREDENTIAL_INVALID");
    assert_eq!(change(json!({"newPassword": OTHER})).verdict(), "422 VALIDATION_FAILED");
    assert_eq!(
        change(json!({"currentPassword": PASSWORD, "newPassword": "short"})).verdict(),
        "422 VALIDATION_FAILED"
    );
    assert_eq!(lets_in(&other, mailing.there()), "200");
    let done = change(json!({"currentPassword": PASSWORD, "newPassword": OTHER}));
    assert_eq!(done.verdict(), "200");
    assert_eq!(done.json()["data"]["endedSessions"], 1);
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(lets_in(&own, node), "200");
        assert_eq!(lets_in(&other, node), "401 TOKEN_INVALID");
        assert_eq!(login(&email, PASSWORD).to(node).verdict(), "401 CREDENTIAL_INVALID");
        assert_eq!(login(&email, OTHER).to(node).verdict(), "200");
    }
    // A link that was on its way does not bring the old state back.
    assert_eq!(reset(&link, PASSWORD).to(mailing.here()).verdict(), "401 CODE_INVALID");
    mailing.told(&email, 3, "was changed");
    let anonymous = post("/auth/customer/me/password").json(&json!({"newPassword": OTHER}));
    assert_eq!(anonymous.to(mailing.here()).verdict(), "401 TOKEN_MISSING");
}

#[test]
fn calls_that_send_mails_are_limited_alike_for_known_and_unknown_addresses() {
    let limits = "{ sign_in = \"100000/min\", otp_start = \"3/h\", register = \"4/h\" }";
    let mailing = Mailing::new(Kind::Sqlite, super::OPEN, Some(limits));
    let (known, unknown) = (fresh_address("limited"), fresh_address("nobody"));
    assert_eq!(register(&known, PASSWORD).to(mailing.here()).verdict(), "200");
    for n in 0..3 {
        assert_eq!(forgot(&known).to(mailing.here()).verdict(), "202", "{n}");
    }
    let refused = forgot(&known).to(mailing.here());
    assert_eq!(refused.verdict(), "429 RATE_LIMITED");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(forgot(&unknown).to(mailing.here()).verdict(), "429 RATE_LIMITED");
    for n in 0..3 {
        assert_eq!(
            register(&known, PASSWORD).to(mailing.here()).verdict(),
            "409 CONFLICT",
            "{n}"
        );
    }
    for email in [&known, &unknown] {
        assert_eq!(
            register(email, PASSWORD).to(mailing.here()).verdict(),
            "429 RATE_LIMITED",
            "{email}"
        );
    }
}

#[test]
fn a_mail_server_that_refuses_holds_no_request_and_loses_no_mail() {
    let mailing = Mailing::new(Kind::Sqlite, super::OPEN, None);
    let away = SmtpManner {
        refuse: Some("451 later"),
        ..SmtpManner::default()
    };
    mailing.smtp.become_of(&away);
    let email = fresh_address("patient");
    assert_eq!(register(&email, PASSWORD).to(mailing.here()).verdict(), "200");
    assert_eq!(forgot(&email).to(mailing.here()).verdict(), "202");
    assert!(mailing.smtp.received().is_empty());
    mailing.smtp.become_of(&SmtpManner::default());
    // Both arrive, in whichever order.
    let mails = mailing.mails(&email, 2);
    let mut kinds: Vec<String> = mails.iter().map(|mail| Link::of(mail).unwrap().kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["reset_password", "verify_address"]);
    let metrics = get("/metrics").to(mailing.house.nodes[0].ops);
    assert!(String::from_utf8_lossy(&metrics.body).contains("bekci_mails_total"));
}
