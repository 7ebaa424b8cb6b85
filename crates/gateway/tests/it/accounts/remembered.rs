//! What a new password and a verification do to what browsers remember.

use serde_json::json;

use super::{Link, Mailing, OTHER, forgot, fresh_address, register, reset, tokens};
use crate::{
    house::PASSWORD,
    http::{Answer, Ask, post},
};

on_every_mailing! { open;
    a_changed_and_a_reset_password_forget_every_browser,
    a_mailed_code_is_remembered_where_it_is_asked_for,
}

const REMEMBER: &str = "__Host-bekci_customer_rm";

fn remember_token(answer: &Answer) -> String {
    assert_eq!(answer.verdict(), "200", "{}", String::from_utf8_lossy(&answer.body));
    let mut found = answer
        .all("set-cookie")
        .filter_map(|line| line.strip_prefix(REMEMBER)?.strip_prefix('='));
    let line = found.next().unwrap_or_else(|| panic!("no {REMEMBER}: {answer:?}"));
    line.split_once(';').unwrap().0.to_owned()
}

fn remembered(mailing: &Mailing, email: &str, password: &str) -> String {
    let body = json!({"email": email, "password": password, "transport": "cookie", "rememberMe": true});
    remember_token(&post("/auth/customer/login").json(&body).to(mailing.here()))
}

fn recall(token: &str) -> Ask {
    post("/auth/customer/token/refresh")
        .header("cookie", &format!("{REMEMBER}={token}"))
        .header("sec-fetch-site", "same-origin")
}

fn a_changed_and_a_reset_password_forget_every_browser(mailing: &Mailing) {
    let email = fresh_address("remembered");
    tokens(&register(&email, PASSWORD).to(mailing.here()));
    let other = remembered(mailing, &email, PASSWORD);
    let body = json!({"email": email, "password": PASSWORD, "transport": "cookie", "rememberMe": true});
    let answer = post("/auth/customer/login").json(&body).to(mailing.here());
    let own = remember_token(&answer);
    let access = answer
        .all("set-cookie")
        .find_map(|line| line.strip_prefix("__Host-bekci_customer_at="))
        .and_then(|line| line.split(';').next())
        .unwrap()
        .to_owned();
    let change = json!({"currentPassword": PASSWORD, "newPassword": OTHER});
    let changed = post("/auth/customer/me/password").bearer(&access).json(&change);
    assert_eq!(changed.to(mailing.there()).verdict(), "200");
    // A copy of the own token is no better than that of another browser.
    for token in [&other, &own] {
        for node in [mailing.here(), mailing.there()] {
            assert_eq!(recall(token).to(node).verdict(), "401 TOKEN_INVALID");
        }
    }
    let token = remembered(mailing, &email, OTHER);
    assert_eq!(forgot(&email).to(mailing.here()).verdict(), "202");
    let link: Link = mailing.link(&email, 3, "reset_password");
    assert_eq!(reset(&link, PASSWORD).to(mailing.there()).verdict(), "200");
    assert_eq!(recall(&token).to(mailing.here()).verdict(), "401 TOKEN_INVALID");
}

fn a_mailed_code_is_remembered_where_it_is_asked_for(mailing: &Mailing) {
    use super::codes::{code_of, reference_of, start};
    let email = fresh_address("remembered-code");
    let reference = reference_of(&start(&email).to(mailing.here()));
    let code = code_of(&mailing.mails(&email, 1)[0]).unwrap();
    let verify = |remember: bool, transport: &str| {
        let body = json!({"otpRef": reference, "otp": code, "rememberMe": remember, "transport": transport});
        post("/auth/customer/email/verify").json(&body).to(mailing.here())
    };
    assert_eq!(verify(true, "body").verdict(), "422 VALIDATION_FAILED");
    let token = remember_token(&verify(true, "cookie"));
    remember_token(&recall(&token).to(mailing.there()));
}
