//! `verification = "email"`: the right password gives a temporary identity, and a mailed code makes it permanent.

use bekci_test_support::ReceivedMail;
use serde_json::json;

use super::{
    Mailing, OTHER,
    codes::{code_of, reference_of, start, start_at, verify},
    forgot, fresh_address, lets_in, login, register, reset, tokens,
};
use crate::{
    house::{Kind, PASSWORD},
    http::{Answer, Ask, ask, get, post},
    people::{Tokens, in_the_end},
};

on_every_mailing! { verifying;
    a_code_makes_a_sign_in_permanent_once_and_outlives_an_emptied_redis,
    a_temporary_token_is_accepted_by_routes_of_its_kind_alone,
    a_reference_and_its_code_are_good_together_alone,
    five_wrong_codes_end_a_code_and_a_new_one_ends_the_older_ones,
    what_has_not_the_form_of_a_code_is_refused_and_is_no_try,
    of_64_confirmations_one_succeeds,
    what_a_ban_a_status_or_a_deletion_refuses_is_refused_between_the_steps_too,
    a_new_password_and_signing_out_everywhere_end_what_waits,
    cookies_carry_it_and_not_for_another_site,
    a_code_of_sign_in_by_mail_needs_no_second_one,
}

/// A sign-in that waits for its verification, and the code of its mail.
#[derive(Clone, Debug)]
struct Waiting {
    reference: String,
    token: String,
    code: String,
}

fn confirm(reference: &str, code: &str) -> Ask {
    confirm_at("/auth/customer", reference, code)
}

fn confirm_at(path: &str, reference: &str, code: &str) -> Ask {
    post(&format!("{path}/verification/confirm")).json(&json!({"verificationRef": reference, "code": code}))
}

fn resend(reference: &str) -> Ask {
    post("/auth/customer/verification/resend").json(&json!({"verificationRef": reference}))
}

/// Reference and temporary token of an answer.
fn waits(answer: &Answer, code: i64) -> (String, String) {
    assert_eq!(answer.verdict(), "202", "{}", String::from_utf8_lossy(&answer.body));
    let data = &answer.json()["data"];
    let result = match code {
        -4 => "TEMPORARY_AUTH_HAS_BEEN_CREATED",
        _ => "FAILURE_UNVERIFIED",
    };
    assert_eq!((&data["code"], &data["result"]), (&json!(code), &json!(result)));
    assert!(
        (1..=300).contains(&data["expiresInSeconds"].as_i64().unwrap()),
        "{data}"
    );
    assert!(
        data["accessToken"].is_null() && data["refreshToken"].is_null(),
        "{data}"
    );
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    (text("verificationRef"), text("temporaryToken"))
}

/// The code that a mail has and the ones before have not.
fn newest(mails: &[ReceivedMail], before: &[&str]) -> String {
    let codes: Vec<String> = mails.iter().filter_map(code_of).collect();
    let found = codes.iter().find(|code| !before.contains(&code.as_str()));
    found
        .unwrap_or_else(|| panic!("no code but {before:?} in {codes:?}"))
        .clone()
}

impl Mailing {
    /// A new account whose sign-in waits.
    fn waiting(&self, email: &str) -> Waiting {
        let (reference, token) = waits(&register(email, PASSWORD).to(self.here()), -4);
        let code = newest(&self.mails(email, 1), &[]);
        Waiting { reference, token, code }
    }

    /// A new account that is signed in, with another sign-in that waits. Two mails have come.
    fn signed_in_and_waiting(&self, email: &str) -> (Tokens, Waiting) {
        let first = self.waiting(email);
        let signed_in = tokens(&confirm(&first.reference, &first.code).to(self.here()));
        let (reference, token) = waits(&login(email, PASSWORD).to(self.here()), -4);
        let code = newest(&self.mails(email, 2), &[&first.code]);
        (signed_in, Waiting { reference, token, code })
    }

    /// What a route of kind `unverified` answers to a temporary token, on both nodes.
    fn waiting_verdicts(&self, token: &str) -> [String; 2] {
        [self.here(), self.there()].map(|node| get("/waiting/x").bearer(token).to(node).verdict())
    }

    fn id_of(&self, email: &str) -> String {
        self.house
            .sql(&format!("SELECT id FROM customers WHERE email = '{email}'"))
    }
}

fn wrong(code: &str) -> String {
    let last = if code.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &code[..code.len() - 1])
}

const INVALID: &str = "401 OTP_INVALID";
const NO_TOKEN: &str = "401 TOKEN_INVALID";

fn a_code_makes_a_sign_in_permanent_once_and_outlives_an_emptied_redis(mailing: &Mailing) {
    let email = fresh_address("verified-sign-in");
    let first = mailing.waiting(&email);
    assert_eq!(mailing.waiting_verdicts(&first.token), ["200", "200"]);
    // The next right password is answered with the same reference, and mails nothing.
    let (again, _) = waits(&login(&email, PASSWORD).to(mailing.there()), -5);
    assert_eq!(again, first.reference);
    let mail = &mailing.mails(&email, 1)[0];
    assert!(mail.head().contains("Confirm your sign-in"), "{mail:?}");
    assert!(mail.text().contains("change your password"), "{mail:?}");
    // A dump has neither codes nor addresses nor references.
    let dump = mailing.house.sql("SELECT * FROM bekci_codes");
    for secret in [&first.code, &email, &first.reference] {
        assert!(!dump.contains(secret), "{dump}");
    }
    if let Some(redis) = &mailing.house.redis {
        redis.cli(&["FLUSHALL"]);
    }
    let answer = confirm(&first.reference, &first.code).to(mailing.there());
    let signed_in = tokens(&answer);
    assert_eq!(answer.json()["data"]["user"]["email"], json!(email));
    assert_eq!(answer.json()["data"]["user"]["type"], "authorized");
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(lets_in(&signed_in, node), "200");
        // The temporary token is of no use from here on, and neither are reference and code.
        assert_eq!(get("/waiting/x").bearer(&first.token).to(node).verdict(), NO_TOKEN);
        assert_eq!(confirm(&first.reference, &first.code).to(node).verdict(), INVALID);
        assert_eq!(resend(&first.reference).to(node).verdict(), NO_TOKEN);
    }
    assert_eq!(signed_in.refresh().to(mailing.here()).verdict(), "200");
    let sessions = signed_in.ask("GET", "sessions").to(mailing.here()).json();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1, "{sessions}");
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
    assert_eq!(mailing.mails(&email, 1).len(), 1);
    // The second sign-in has a mail of its own, in the language of its browser.
    let turkish = login(&email, PASSWORD).header("accept-language", "tr");
    waits(&turkish.to(mailing.here()), -4);
    mailing.told(&email, 2, "parolanızı değiştirin");
}

fn a_temporary_token_is_accepted_by_routes_of_its_kind_alone(mailing: &Mailing) {
    let email = fresh_address("held-back");
    let waiting = mailing.waiting(&email);
    let (here, token) = (mailing.here(), &waiting.token);
    let answer = get("/waiting/x").bearer(token).to(here);
    let seen = &answer.json()["headers"];
    assert_eq!(
        seen["x-auth-key"][0],
        json!(format!("customer:{}", mailing.id_of(&email)))
    );
    for empty in ["x-auth-roles", "x-auth-permissions"] {
        let value = seen[empty][0].as_str().unwrap_or_default();
        assert_eq!(value, "", "{empty}");
    }
    for path in [
        "/me/x",
        "/direct/x",
        "/both/x",
        "/orders/x",
        "/api/x",
        "/ws/x",
        "/office/x",
        "/shop/x",
        "/fresh/x",
    ] {
        let verdict = get(path).bearer(token).to(here).verdict();
        assert!(
            [NO_TOKEN, "401 GUARD_MISMATCH"].contains(&verdict.as_str()),
            "{path}: {verdict}"
        );
    }
    for (method, call) in [
        ("GET", "me"),
        ("PATCH", "me"),
        ("GET", "sessions"),
        ("POST", "me/password"),
        ("POST", "me/email"),
        ("POST", "logout-all"),
        ("POST", "logout"),
    ] {
        let body = json!({"email": "x@y.test", "name": "x", "newPassword": OTHER});
        let ask = ask(method, &format!("/auth/customer/{call}")).bearer(token);
        let ask = if method == "GET" || call.starts_with("logout") {
            ask
        } else {
            ask.json(&body)
        };
        assert_eq!(ask.to(here).verdict(), NO_TOKEN, "{call}");
    }
    let session = mailing.house.sql(&format!(
        "SELECT id FROM bekci_sessions WHERE model = 'customer' AND principal_id = '{}'",
        mailing.id_of(&email)
    ));
    let end = ask("DELETE", &format!("/auth/customer/sessions/{session}")).bearer(token);
    assert_eq!(end.to(here).verdict(), NO_TOKEN);
    for secret in [token, &waiting.reference] {
        let refresh = post("/auth/customer/token/refresh").json(&json!({"refreshToken": secret}));
        assert_eq!(refresh.to(here).verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    // The reference is no token.
    assert_eq!(mailing.waiting_verdicts(&waiting.reference), [NO_TOKEN, NO_TOKEN]);
    let managing = [
        get("/admin/v1/principals/customer"),
        get(&format!("/admin/v1/principals/customer/{}", mailing.id_of(&email))),
    ];
    for ask in managing {
        assert_eq!(ask.bearer(token).to(here).status, 401);
    }
    // The decision endpoints are as strict as the proxy.
    let forward = |path: &str| {
        get("/forward-auth")
            .bearer(token)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "bekci.test")
            .header("x-forwarded-uri", path)
            .header("x-forwarded-for", "192.0.2.1")
            .to(here)
            .status
    };
    assert_eq!((forward("/me/x"), forward("/waiting/x")), (401, 200));
    let nginx = |path: &str| {
        get("/auth-request")
            .bearer(token)
            .header("x-original-method", "GET")
            .header("x-original-url", &format!("https://bekci.test{path}"))
            .header("x-forwarded-for", "192.0.2.1")
            .to(here)
            .status
    };
    assert_eq!((nginx("/me/x"), nginx("/waiting/x")), (401, 200));
    // A cookie gives it no further rights than a header does, under either name.
    for name in ["__Host-bekci_customer_at", "__Host-bekci_customer_tt"] {
        let answer = get("/me/x").header("cookie", &format!("{name}={token}")).to(here);
        assert!(
            [NO_TOKEN, "401 TOKEN_MISSING"].contains(&answer.verdict().as_str()),
            "{name}"
        );
    }
    // None of it has spent the sign-in. Who is verified may use the route too.
    let signed_in = tokens(&confirm(&waiting.reference, &waiting.code).to(here));
    assert_eq!(mailing.waiting_verdicts(&signed_in.access), ["200", "200"]);
}

fn a_reference_and_its_code_are_good_together_alone(mailing: &Mailing) {
    let (email, other) = (fresh_address("paired"), fresh_address("paired-other"));
    let (waiting, foreign) = (mailing.waiting(&email), mailing.waiting(&other));
    let here = mailing.here();
    let mut tampered = waiting.reference.clone();
    tampered.replace_range(10..11, if &tampered[10..11] == "A" { "B" } else { "A" });
    let session = mailing.house.sql(&format!(
        "SELECT id FROM bekci_codes WHERE purpose = 'verification' AND principal_id = '{}'",
        mailing.id_of(&email)
    ));
    for reference in [
        &tampered,
        &session,
        &String::new(),
        &"x".repeat(400),
        &format!("bkv_{session}"),
    ] {
        let answer = confirm(reference, &waiting.code).to(here);
        assert_eq!(answer.verdict(), NO_TOKEN, "{reference}");
        assert_eq!(resend(reference).to(here).verdict(), NO_TOKEN, "{reference}");
    }
    // Another account's.
    if waiting.code != foreign.code {
        let crossed = confirm(&waiting.reference, &foreign.code).to(here);
        assert_eq!(crossed.verdict(), INVALID);
        assert_eq!(crossed.json()["error"]["details"]["result"]["code"], -2);
    }
    // Another guard's, of the same accounts, and a guard without a verification.
    let shop = confirm_at("/shop-api/v1/auth", &waiting.reference, &waiting.code).to(here);
    assert_eq!(shop.verdict(), NO_TOKEN);
    let absent = confirm_at("/auth/admin", &waiting.reference, &waiting.code).to(here);
    assert_eq!(absent.verdict(), "404 NOT_FOUND");
    // A code of sign-in by mail verifies nothing, and the reverse.
    let started = reference_of(&start(&email).to(here));
    let mailed = newest(&mailing.mails(&email, 2), &[&waiting.code]);
    assert_eq!(confirm(&started, &mailed).to(here).verdict(), NO_TOKEN);
    assert_eq!(confirm(&waiting.reference, &mailed).to(here).verdict(), INVALID);
    for reference in [&session, &waiting.reference, &started] {
        assert_eq!(
            verify(reference, &waiting.code).to(here).verdict(),
            INVALID,
            "{reference}"
        );
    }
    for (reference, code) in [(&waiting.reference, &waiting.code), (&foreign.reference, &foreign.code)] {
        assert_eq!(confirm(reference, code).to(mailing.there()).verdict(), "200");
    }
}

fn five_wrong_codes_end_a_code_and_a_new_one_ends_the_older_ones(mailing: &Mailing) {
    let email = fresh_address("guessed-verification");
    let waiting = mailing.waiting(&email);
    for n in 0..5 {
        let node = [mailing.here(), mailing.there()][n % 2];
        let answer = confirm(&waiting.reference, &wrong(&waiting.code)).to(node);
        assert_eq!(answer.verdict(), INVALID, "{n}");
    }
    let used_up = confirm(&waiting.reference, &waiting.code).to(mailing.here());
    assert_eq!(used_up.verdict(), INVALID);
    let sent = resend(&waiting.reference).to(mailing.there());
    assert_eq!(
        (sent.verdict().as_str(), &sent.json()["data"]["sent"]),
        ("202", &json!(true))
    );
    let second = newest(&mailing.mails(&email, 2), &[&waiting.code]);
    // Expired, it says so, whatever is presented. A new one is good again.
    mailing.house.sql(&format!(
        "UPDATE bekci_codes SET expires_at = expires_at - 3600000000 WHERE purpose = 'verification' AND principal_id = '{}'",
        mailing.id_of(&email)
    ));
    for code in [second.clone(), wrong(&second)] {
        let late = confirm(&waiting.reference, &code).to(mailing.here());
        assert_eq!(late.verdict(), "401 OTP_EXPIRED");
    }
    assert_eq!(resend(&waiting.reference).to(mailing.here()).verdict(), "202");
    let third = newest(&mailing.mails(&email, 3), &[&waiting.code, &second]);
    for older in [&waiting.code, &second] {
        assert_eq!(
            confirm(&waiting.reference, older).to(mailing.there()).verdict(),
            INVALID
        );
    }
    assert_eq!(confirm(&waiting.reference, &third).to(mailing.there()).verdict(), "200");
    // A sign-in whose time is over takes neither its code nor a new one.
    let email = fresh_address("late");
    let (_, late) = mailing.signed_in_and_waiting(&email);
    let is_late = || confirm(&late.reference, &late.code).to(mailing.here()).verdict();
    mailing.house.sql(&format!(
        "UPDATE bekci_sessions SET expires_at = created_at WHERE way = 'temporary' AND ended_at IS NULL AND model = 'customer' AND principal_id = '{}'",
        mailing.id_of(&email)
    ));
    assert_eq!(is_late(), NO_TOKEN);
    assert_eq!(resend(&late.reference).to(mailing.here()).verdict(), NO_TOKEN);
}

fn what_has_not_the_form_of_a_code_is_refused_and_is_no_try(mailing: &Mailing) {
    let email = fresh_address("juggled-verification");
    let waiting = mailing.waiting(&email);
    let code = &waiting.code;
    let wide: String = code
        .chars()
        .map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap())
        .collect();
    for code in [
        json!([code]),
        json!({"$ne": null}),
        json!(123_456),
        json!(null),
        json!(""),
        json!(format!(" {code}")),
        json!(format!("{code}0")),
        json!(&code[1..]),
        json!(wide),
    ] {
        let body = json!({"verificationRef": waiting.reference, "code": code});
        let answer = post("/auth/customer/verification/confirm")
            .json(&body)
            .to(mailing.here());
        assert!([400, 422].contains(&answer.status), "{code}: {}", answer.verdict());
    }
    for field in ["guard", "email", "password", "tenant", "deviceId"] {
        let mut body = json!({"verificationRef": waiting.reference, "code": code});
        body[field] = json!("admin");
        let answer = post("/auth/customer/verification/confirm")
            .json(&body)
            .to(mailing.here());
        assert_eq!(answer.status, 400, "{field}");
    }
    let tries = mailing.house.sql(&format!(
        "SELECT tries FROM bekci_codes WHERE purpose = 'verification' AND principal_id = '{}'",
        mailing.id_of(&email)
    ));
    assert_eq!(tries, "0");
    assert_eq!(confirm(&waiting.reference, code).to(mailing.here()).verdict(), "200");
}

fn of_64_confirmations_one_succeeds(mailing: &Mailing) {
    let email = fresh_address("stormed-verification");
    let waiting = mailing.waiting(&email);
    let verdicts = mailing.of_64_at_once(|node| confirm(&waiting.reference, &waiting.code).to(node).verdict());
    let count = |verdict: &str| verdicts.iter().filter(|one| *one == verdict).count();
    assert_eq!(count("200"), 1, "{verdicts:?}");
    assert_eq!(
        count("200") + count(INVALID) + count("429 RATE_LIMITED"),
        64,
        "{verdicts:?}"
    );
    let live = mailing.house.sql(&format!(
        "SELECT count(*) FROM bekci_sessions WHERE model = 'customer' AND principal_id = '{}' AND ended_at IS NULL",
        mailing.id_of(&email)
    ));
    assert_eq!(live, "1");
}

fn what_a_ban_a_status_or_a_deletion_refuses_is_refused_between_the_steps_too(mailing: &Mailing) {
    let here = mailing.here();
    // A ban by the management API holds for the very next request, on every node, and a lifted one does not end what waits.
    let email = fresh_address("banned-between");
    let waiting = mailing.waiting(&email);
    let admin = mailing.house.person("admin", "super-admin").sign_in(here);
    let path = format!("/admin/v1/principals/customer/{}/status", mailing.id_of(&email));
    let put = |body: serde_json::Value| {
        let told = ask("PUT", &path).bearer(&admin.access).json(&body).to(here);
        assert_eq!(told.verdict(), "200");
    };
    put(json!({"status": "banned", "reason": "chargeback"}));
    assert_eq!(mailing.waiting_verdicts(&waiting.token), ["403 ACCOUNT_BANNED"; 2]);
    let wrong = confirm(&waiting.reference, &wrong(&waiting.code)).to(mailing.there());
    // Only the right code tells it.
    assert_eq!(wrong.verdict(), INVALID);
    let refused = confirm(&waiting.reference, &waiting.code).to(mailing.there());
    assert_eq!(refused.verdict(), "403 ACCOUNT_BANNED");
    assert_eq!(refused.json()["error"]["details"]["reason"], "chargeback");
    put(json!({"status": "active"}));
    assert_eq!(
        confirm(&waiting.reference, &waiting.code).to(mailing.there()).verdict(),
        "200"
    );
    for (change, verdict) in [
        ("UPDATE customers SET status = 'suspended'", "403 ACCOUNT_BANNED"),
        ("UPDATE customers SET status = 'pending'", "403 ACCOUNT_INACTIVE"),
        ("UPDATE customers SET email = 'moved-' || email", INVALID),
        ("DELETE FROM customers", INVALID),
    ] {
        let email = fresh_address("changed-between");
        let waiting = mailing.waiting(&email);
        mailing.house.sql(&format!("{change} WHERE email = '{email}'"));
        let refused = confirm(&waiting.reference, &waiting.code).to(here);
        assert_eq!(refused.verdict(), verdict, "{change}");
        if change.contains("moved") {
            continue;
        }
        // What is written behind the gateway's back is seen within the staleness bound.
        let gone = if change.starts_with("DELETE") {
            "401 IDENTITY_NOT_FOUND"
        } else {
            verdict
        };
        for node in [here, mailing.there()] {
            in_the_end(&get("/waiting/x").bearer(&waiting.token), node, gone);
        }
    }
    // The guard `shop` requires a verified address.
    let shop = "/shop-api/v1/auth";
    let login = |person: &crate::people::Person| {
        let body = json!({"email": person.email, "password": PASSWORD});
        post(&format!("{shop}/login")).json(&body).to(here)
    };
    let person = mailing.house.customer();
    let verified = |value: &str| {
        mailing.house.sql(&format!(
            "UPDATE customers SET email_verified_at = {value} WHERE id = {}",
            person.id
        ))
    };
    verified("NULL");
    assert_eq!(login(&person).verdict(), "403 UNVERIFIED");
    verified("1700000000000000");
    let (reference, _) = waits(&login(&person), -4);
    let code = newest(&mailing.mails(&person.email, 1), &[]);
    verified("NULL");
    let refused = confirm_at(shop, &reference, &code).to(here);
    assert_eq!(refused.verdict(), "403 UNVERIFIED");
    verified("1700000000000000");
    assert_eq!(confirm_at(shop, &reference, &code).to(here).verdict(), "200");
}

fn a_new_password_and_signing_out_everywhere_end_what_waits(mailing: &Mailing) {
    let ended = |waiting: &Waiting| {
        assert_eq!(mailing.waiting_verdicts(&waiting.token), [NO_TOKEN; 2]);
        for node in [mailing.here(), mailing.there()] {
            let refused = confirm(&waiting.reference, &waiting.code).to(node).verdict();
            assert!([INVALID, NO_TOKEN].contains(&refused.as_str()), "{refused}");
            assert_eq!(resend(&waiting.reference).to(node).verdict(), NO_TOKEN);
        }
    };
    let email = fresh_address("left-between");
    let (signed_in, waiting) = mailing.signed_in_and_waiting(&email);
    assert_eq!(signed_in.ask("POST", "logout-all").to(mailing.there()).verdict(), "200");
    ended(&waiting);
    let email = fresh_address("repassworded");
    let (signed_in, waiting) = mailing.signed_in_and_waiting(&email);
    let body = json!({"currentPassword": PASSWORD, "newPassword": OTHER});
    let changed = signed_in.ask("POST", "me/password").json(&body).to(mailing.there());
    assert_eq!(changed.verdict(), "200");
    ended(&waiting);
    let email = fresh_address("reset-between");
    let waiting = mailing.waiting(&email);
    assert_eq!(forgot(&email).to(mailing.here()).verdict(), "202");
    let link = mailing.link(&email, 2, "reset_password");
    assert_eq!(reset(&link, OTHER).to(mailing.there()).verdict(), "200");
    ended(&waiting);
    // A command that sets a password, and one that ends sessions.
    let email = fresh_address("commanded");
    let waiting = mailing.waiting(&email);
    let key = format!("customer:{}", mailing.id_of(&email));
    mailing
        .house
        .command(&["principal", "set-password", &key, "--password-stdin"], OTHER)
        .success();
    ended(&waiting);
}

fn cookies_carry_it_and_not_for_another_site(mailing: &Mailing) {
    let email = fresh_address("cookied-verification");
    mailing.waiting(&email);
    let here = mailing.here();
    let body = json!({"email": email, "password": PASSWORD, "transport": "cookie"});
    let answer = post("/auth/customer/login").json(&body).to(here);
    let (reference, token) = waits(&answer, -5);
    assert_eq!(token, "");
    let cookie = answer
        .all("set-cookie")
        .find(|cookie| cookie.starts_with("__Host-bekci_customer_tt="))
        .unwrap()
        .to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("Secure"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let read = |path: &str| get(path).header("cookie", pair).to(here).verdict();
    assert_eq!(
        (read("/waiting/x").as_str(), read("/me/x").as_str()),
        ("200", "401 TOKEN_MISSING")
    );
    // What changes something needs a proof of its origin.
    let forged = post("/waiting/x")
        .header("cookie", pair)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(forged.to(here).verdict(), "403 CSRF_REJECTED");
    let code = newest(&mailing.mails(&email, 1), &[]);
    let body = json!({"verificationRef": reference, "code": code, "transport": "cookie"});
    let from = |site: &str| {
        post("/auth/customer/verification/confirm")
            .header("sec-fetch-site", site)
            .header("cookie", pair)
            .json(&body)
            .to(here)
    };
    assert_eq!(from("cross-site").verdict(), "403 CSRF_REJECTED");
    let answer = from("same-origin");
    assert_eq!(answer.verdict(), "200");
    assert!(answer.json()["data"]["accessToken"].is_null());
    let cookies: Vec<&str> = answer.all("set-cookie").collect();
    let has = |start: &str| cookies.iter().any(|cookie| cookie.starts_with(start));
    assert!(
        has("__Host-bekci_customer_at=ey") && has("__Secure-bekci_customer_rt=bkr_"),
        "{cookies:?}"
    );
    // The temporary cookie would decide at its routes, and is worth nothing from here on.
    let gone = cookies
        .iter()
        .find(|cookie| cookie.starts_with("__Host-bekci_customer_tt=;"));
    assert!(gone.is_some_and(|cookie| cookie.contains("Max-Age=0")), "{cookies:?}");
}

fn a_code_of_sign_in_by_mail_needs_no_second_one(mailing: &Mailing) {
    let email = fresh_address("read-already");
    let (_, waiting) = mailing.signed_in_and_waiting(&email);
    let reference = reference_of(&start_at("/auth/customer", &email).to(mailing.here()));
    let before: Vec<String> = mailing.mails(&email, 2).iter().filter_map(code_of).collect();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let code = newest(&mailing.mails(&email, 3), &before);
    let signed_in = tokens(&verify(&reference, &code).to(mailing.there()));
    assert_eq!(lets_in(&signed_in, mailing.here()), "200");
    // The other sign-in waits as before.
    assert_eq!(mailing.waiting_verdicts(&waiting.token), ["200", "200"]);
}

const GUESSES: &str = "{ sign_in = \"100000/min\", refresh = \"100000/min\", otp_start = \"4/h\", register = \"100000/min\", otp = \"6/day\" }";

/// A stranger who has the password, at an address of his own for each guess.
fn the_password_alone_gives_no_more_guesses(kind: Kind) {
    let mailing = Mailing::verifying_of(kind, Some(GUESSES));
    let email = fresh_address("guessed-from-everywhere");
    let waiting = mailing.waiting(&email);
    let from = |ask: Ask, n: usize| {
        ask.header("x-forwarded-for", &format!("203.0.113.{n}"))
            .to(mailing.here())
    };
    let mut told = Vec::new();
    for n in 1..=8 {
        waits(&from(login(&email, PASSWORD), n), -5);
        if n == 4 {
            assert_eq!(from(resend(&waiting.reference), n).verdict(), "202");
        }
        told.push(from(confirm(&waiting.reference, "000000"), n).verdict());
    }
    assert_eq!(told[..6], [INVALID; 6]);
    assert_eq!(told[6..], ["429 RATE_LIMITED"; 2]);
    // Mails are bounded too, for every caller.
    let sent: Vec<Answer> = (10..20).map(|n| from(resend(&waiting.reference), n)).collect();
    let refused: Vec<&Answer> = sent.iter().filter(|answer| answer.status != 202).collect();
    assert_eq!(sent.len() - refused.len(), 3);
    for answer in refused {
        assert_eq!(answer.verdict(), "429 RATE_LIMITED");
        assert!(answer.header("retry-after").is_some());
    }
}

#[test]
fn the_password_alone_gives_no_more_guesses_on_sqlite() {
    the_password_alone_gives_no_more_guesses(Kind::Sqlite);
}

#[test]
fn the_password_alone_gives_no_more_guesses_on_postgres_and_redis() {
    the_password_alone_gives_no_more_guesses(Kind::PostgresRedis);
}
