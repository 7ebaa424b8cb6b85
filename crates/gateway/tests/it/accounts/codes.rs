//! `POST …/email/start` and `POST …/email/verify`: sign-in by a mailed code or link.

use bekci_test_support::{ReceivedMail, SmtpManner};
use serde_json::{Value, json};

use super::{Link, Mailing, OTHER, fresh_address, lets_in, login, register, seen, tokens};
use crate::{
    house::{Kind, PASSWORD},
    http::{Answer, Ask, get, post},
};

on_every_mailing! { open;
    a_code_signs_in_once_and_outlives_an_emptied_redis,
    the_first_code_for_an_address_makes_its_account,
    five_wrong_codes_end_a_code_and_a_new_one_ends_the_older_ones,
    what_has_not_the_form_of_a_code_is_refused_and_is_no_try,
    of_64_sign_ins_with_one_code_one_succeeds,
    a_known_and_an_unknown_address_are_answered_alike_at_a_closed_guard,
    an_account_that_a_password_does_not_sign_in_is_not_signed_in_by_code,
    a_code_is_good_at_its_guard_for_its_reference_and_its_address_alone,
    a_link_signs_in_by_a_post_and_is_spent_with_its_code,
    a_sign_in_by_code_can_set_cookies_and_not_for_another_site,
    a_mail_server_that_refuses_holds_no_request,
}

/// A started sign-in: its reference, and what its mail carries.
#[derive(Clone, Debug)]
pub struct Started {
    pub reference: String,
    pub code: String,
    pub link: Link,
}

pub fn start(email: &str) -> Ask {
    start_at("/auth/customer", email)
}

pub fn start_at(path: &str, email: &str) -> Ask {
    post(&format!("{path}/email/start")).json(&json!({"email": email}))
}

pub fn verify(reference: &str, otp: &str) -> Ask {
    verify_at("/auth/customer", reference, otp)
}

fn verify_at(path: &str, reference: &str, otp: &str) -> Ask {
    post(&format!("{path}/email/verify")).json(&json!({"otpRef": reference, "otp": otp}))
}

pub fn reference_of(answer: &Answer) -> String {
    assert_eq!(answer.verdict(), "202", "{}", String::from_utf8_lossy(&answer.body));
    let data = &answer.json()["data"];
    assert_eq!(data["expiresInSeconds"], 180);
    data["otpRef"].as_str().unwrap().to_owned()
}

/// The code of a mail: six digits on a line.
pub fn code_of(mail: &ReceivedMail) -> Option<String> {
    let text = mail.text();
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(is_code).map(str::to_owned)
}

impl Mailing {
    /// Starts a sign-in for an address that has so many mails when its own has come.
    pub fn started(&self, email: &str, mails: usize) -> Started {
        let reference = reference_of(&start(email).to(self.here()));
        let of_it = |mail: &ReceivedMail| Link::of(mail).filter(|link| link.reference == reference);
        let mails = self.mails(email, mails);
        let mail = mails.iter().find(|mail| of_it(mail).is_some());
        let mail = mail.unwrap_or_else(|| panic!("no mail of {reference} in {mails:?}"));
        Started {
            code: code_of(mail).unwrap_or_else(|| panic!("no code in {mail:?}")),
            link: of_it(mail).unwrap(),
            reference,
        }
    }
}

/// A code that is another one.
fn wrong(code: &str) -> String {
    let last = if code.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &code[..code.len() - 1])
}

const INVALID: &str = "401 OTP_INVALID";

fn a_code_signs_in_once_and_outlives_an_emptied_redis(mailing: &Mailing) {
    let email = fresh_address("coded");
    register(&email, PASSWORD).to(mailing.here());
    let started = mailing.started(&email, 2);
    let empty = || {
        if let Some(redis) = &mailing.house.redis {
            redis.cli(&["FLUSHALL"]);
        }
    };
    empty();
    let answer = verify(&started.reference, &started.code).to(mailing.there());
    let signed_in = tokens(&answer);
    assert_eq!(answer.json()["data"]["user"]["email"], json!(email));
    empty();
    for node in [mailing.here(), mailing.there()] {
        assert_eq!(lets_in(&signed_in, node), "200");
        let again = verify(&started.reference, &started.code).to(node);
        assert_eq!(again.verdict(), INVALID);
        assert_eq!(again.json()["error"]["details"]["result"]["code"], -2);
    }
    let sessions = signed_in.ask("GET", "sessions").to(mailing.here()).json();
    let ways: Vec<&Value> = sessions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["way"])
        .collect();
    assert!(ways.contains(&&json!("email_otp")), "{sessions}");
    // Who read the mail has the address.
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
    // The password of before is as good as ever.
    assert_eq!(login(&email, PASSWORD).to(mailing.here()).verdict(), "200");
    // A dump has neither codes nor addresses.
    let dump = mailing.house.sql("SELECT * FROM bekci_codes");
    assert!(!dump.contains(&started.code) && !dump.contains(&email), "{dump}");
}

fn the_first_code_for_an_address_makes_its_account(mailing: &Mailing) {
    let email = fresh_address("newcomer");
    let started = mailing.started(&email, 1);
    let rows = || {
        mailing
            .house
            .sql(&format!("SELECT count(*) FROM customers WHERE email = '{email}'"))
    };
    assert_eq!(rows(), "0");
    let refused = verify(&started.reference, &wrong(&started.code)).to(mailing.here());
    assert_eq!(refused.verdict(), INVALID);
    assert_eq!(rows(), "0");
    let answer = verify(&started.reference, &started.code).to(mailing.here());
    let signed_in = tokens(&answer);
    assert_eq!(lets_in(&signed_in, mailing.there()), "200");
    let row = mailing.house.sql(&format!(
        "SELECT status, email_verified_at IS NULL, password_hash IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(["active|0|1", "active|f|t"].contains(&row.as_str()), "{row}");
    // Another spelling is the same account.
    let shouted = email.to_uppercase();
    let reference = reference_of(&start(&shouted).to(mailing.there()));
    let mails = mailing.mails(&email, 2);
    let code = mails.iter().filter_map(code_of).find(|code| *code != started.code);
    let again = verify(&reference, &code.unwrap()).to(mailing.there());
    assert_eq!(
        again.json()["data"]["user"]["key"],
        answer.json()["data"]["user"]["key"]
    );
    assert_eq!(rows(), "1");
}

fn five_wrong_codes_end_a_code_and_a_new_one_ends_the_older_ones(mailing: &Mailing) {
    let email = fresh_address("guessed");
    register(&email, PASSWORD).to(mailing.here());
    let older = mailing.started(&email, 2);
    let started = mailing.started(&email, 3);
    assert_eq!(
        verify(&older.reference, &older.code).to(mailing.here()).verdict(),
        INVALID
    );
    for n in 0..5 {
        let node = [mailing.here(), mailing.there()][n % 2];
        assert_eq!(
            verify(&started.reference, &wrong(&started.code)).to(node).verdict(),
            INVALID
        );
    }
    for secret in [&started.code, &started.link.code] {
        assert_eq!(verify(&started.reference, secret).to(mailing.here()).verdict(), INVALID);
    }
    let next = mailing.started(&email, 4);
    assert_eq!(verify(&next.reference, &next.code).to(mailing.here()).verdict(), "200");
    // Expired, it says so, whatever is presented.
    let late = mailing.started(&email, 5);
    mailing.house.sql(&format!(
        "UPDATE bekci_codes SET expires_at = expires_at - 3600000000 WHERE id = '{}'",
        late.reference
    ));
    for code in [late.code.clone(), wrong(&late.code)] {
        assert_eq!(
            verify(&late.reference, &code).to(mailing.here()).verdict(),
            "401 OTP_EXPIRED"
        );
    }
}

fn what_has_not_the_form_of_a_code_is_refused_and_is_no_try(mailing: &Mailing) {
    let email = fresh_address("juggled");
    register(&email, PASSWORD).to(mailing.here());
    let started = mailing.started(&email, 2);
    let code = &started.code;
    let wide: String = code
        .chars()
        .map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap())
        .collect();
    for otp in [
        json!([code]),
        json!([code, code]),
        json!({"$ne": null}),
        json!(123_456),
        json!(null),
        json!(true),
        json!(""),
        json!(format!(" {code}")),
        json!(format!("{code} ")),
        json!(format!("{code}0")),
        json!(&code[1..]),
        json!(wide),
        json!("a".repeat(43)),
        json!(format!("{code}\0")),
    ] {
        let body = json!({"otpRef": started.reference, "otp": otp});
        let answer = post("/auth/customer/email/verify").json(&body).to(mailing.here());
        // 43 letters are the secret of a link, which is another one.
        let may = if otp == json!("a".repeat(43)) {
            vec![401, 422]
        } else {
            vec![400, 422]
        };
        assert!(may.contains(&answer.status), "{otp}: {}", answer.verdict());
    }
    for field in ["guard", "model", "role", "email", "rememberMe"] {
        let mut body = json!({"otpRef": started.reference, "otp": code});
        body[field] = json!("admin");
        let answer = post("/auth/customer/email/verify").json(&body).to(mailing.here());
        assert!([400, 422].contains(&answer.status), "{field}: {}", answer.verdict());
    }
    let tries = mailing.house.sql(&format!(
        "SELECT tries FROM bekci_codes WHERE id = '{}'",
        started.reference
    ));
    assert!(["0", "1"].contains(&tries.as_str()), "{tries}");
    for email in ["a@x\r\nBcc: v@y.test", "a@x,b@y.test", "<a@x> b@y.test", "a@b@c", ""] {
        let answer = start(email).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{email:?}");
    }
    assert_eq!(verify(&started.reference, code).to(mailing.here()).verdict(), "200");
}

fn of_64_sign_ins_with_one_code_one_succeeds(mailing: &Mailing) {
    let email = fresh_address("stormed-code");
    let started = mailing.started(&email, 1);
    let verdicts = mailing.of_64_at_once(|node| verify(&started.reference, &started.code).to(node).verdict());
    let count = |verdict: &str| verdicts.iter().filter(|one| *one == verdict).count();
    assert_eq!(count("200"), 1, "{verdicts:?}");
    assert_eq!(
        count("200") + count(INVALID) + count("429 RATE_LIMITED"),
        64,
        "{verdicts:?}"
    );
}

/// The guard `shop` has the same accounts, and makes none.
fn a_known_and_an_unknown_address_are_answered_alike_at_a_closed_guard(mailing: &Mailing) {
    let shop = "/shop-api/v1/auth";
    let (known, unknown) = (fresh_address("known-code"), fresh_address("unknown-code"));
    register(&known, PASSWORD).to(mailing.here());
    mailing.mails(&known, 1);
    let without = |answer: &Answer| {
        let (status, headers, mut body) = seen(answer);
        body["data"]["otpRef"] = Value::Null;
        (status, headers, body)
    };
    let answers: Vec<Answer> = [&known, &unknown]
        .iter()
        .map(|email| start_at(shop, email).to(mailing.here()))
        .collect();
    assert_eq!(without(&answers[0]), without(&answers[1]));
    let references: Vec<String> = answers.iter().map(reference_of).collect();
    // Both rows are there, so that both are judged by the same statements.
    for reference in &references {
        let count = || {
            mailing
                .house
                .sql(&format!("SELECT count(*) FROM bekci_codes WHERE id = '{reference}'"))
        };
        mailing.until(|| count() == "1");
    }
    let code = mailing.mails(&known, 2).iter().find_map(code_of).unwrap();
    for n in 0..6 {
        let judged = |at: usize| seen(&verify_at(shop, &references[at], &wrong(&code)).to(mailing.here()));
        assert_eq!(judged(0), judged(1), "{n}");
    }
    mailing.house.sql(&format!(
        "UPDATE bekci_codes SET tries = 0, expires_at = expires_at - 3600000000 WHERE id IN ('{}', '{}')",
        references[0], references[1]
    ));
    let judged = |at: usize| seen(&verify_at(shop, &references[at], &code).to(mailing.here()));
    assert_eq!(judged(0), judged(1));
    let rows = mailing
        .house
        .sql(&format!("SELECT count(*) FROM customers WHERE email = '{unknown}'"));
    assert_eq!(rows, "0");
    assert!(mailing.smtp.received().iter().all(|mail| !mail.to.contains(&unknown)));
}

fn an_account_that_a_password_does_not_sign_in_is_not_signed_in_by_code(mailing: &Mailing) {
    for (status, verdict) in [
        ("banned", "403 ACCOUNT_BANNED"),
        ("suspended", "403 ACCOUNT_BANNED"),
        ("pending", "403 ACCOUNT_INACTIVE"),
    ] {
        let email = fresh_address(status);
        register(&email, PASSWORD).to(mailing.here());
        let started = mailing.started(&email, 2);
        mailing.house.sql(&format!(
            "UPDATE customers SET status = '{status}' WHERE email = '{email}'"
        ));
        let by_password = login(&email, PASSWORD).to(mailing.here());
        assert_eq!(by_password.verdict(), verdict);
        // Only the right code tells it.
        let refused = verify(&started.reference, &wrong(&started.code)).to(mailing.here());
        assert_eq!(refused.verdict(), INVALID);
        let by_code = verify(&started.reference, &started.code).to(mailing.here());
        assert_eq!(seen(&by_code), seen(&by_password));
    }
    for (label, change) in [
        ("deleted", "DELETE FROM customers"),
        ("moved", "UPDATE customers SET email = 'moved-' || email"),
    ] {
        let email = fresh_address(label);
        register(&email, PASSWORD).to(mailing.here());
        let started = mailing.started(&email, 2);
        mailing.house.sql(&format!("{change} WHERE email = '{email}'"));
        for secret in [&started.code, &started.link.code] {
            let answer = verify(&started.reference, secret).to(mailing.here());
            assert_eq!(answer.verdict(), INVALID, "{label}");
        }
    }
    // Signing out everywhere ends what was mailed before.
    let email = fresh_address("left");
    let signed_in = tokens(&register(&email, PASSWORD).to(mailing.here()));
    let started = mailing.started(&email, 2);
    assert_eq!(signed_in.ask("POST", "logout-all").to(mailing.there()).verdict(), "200");
    assert_eq!(
        verify(&started.reference, &started.code).to(mailing.here()).verdict(),
        INVALID
    );
}

fn a_code_is_good_at_its_guard_for_its_reference_and_its_address_alone(mailing: &Mailing) {
    let (email, other) = (fresh_address("bound-code"), fresh_address("bound-other"));
    register(&email, PASSWORD).to(mailing.here());
    let started = mailing.started(&email, 2);
    let foreign = mailing.started(&other, 1);
    let random = "0".repeat(32);
    for (path, reference, secret) in [
        ("/shop-api/v1/auth", &started.reference, &started.code),
        ("/auth/customer", &foreign.reference, &started.link.code),
        ("/auth/customer", &random, &started.code),
        ("/auth/customer", &String::new(), &started.code),
        ("/auth/customer", &"x".repeat(400), &started.code),
    ] {
        let answer = verify_at(path, reference, secret).to(mailing.here());
        assert_eq!(answer.verdict(), INVALID, "{path} {reference}");
    }
    // A guard without the way has no such call.
    let absent = [
        start_at("/auth/admin", &email),
        verify_at("/auth/admin", &started.reference, &started.code),
    ];
    for ask in absent {
        assert_eq!(ask.to(mailing.here()).verdict(), "404 NOT_FOUND");
    }
    // The link of another purpose is no way in.
    let confirmation = mailing.link(&email, 2, "verify_address");
    let answer = verify(&confirmation.reference, &confirmation.code).to(mailing.here());
    assert_eq!(answer.verdict(), INVALID);
    assert_eq!(
        verify(&started.reference, &started.code).to(mailing.there()).verdict(),
        "200"
    );
}

fn a_link_signs_in_by_a_post_and_is_spent_with_its_code(mailing: &Mailing) {
    let email = fresh_address("linked");
    let started = mailing.started(&email, 1);
    assert_eq!(started.link.kind, "sign_in");
    assert_eq!(started.link.page, "https://bekci.test/auth/customer/links");
    // A mail scanner opens the page, as often as it likes.
    for _ in 0..3 {
        let page = get(&format!("/auth/customer/links?x={}", started.link.code)).to(mailing.here());
        assert_eq!(page.verdict(), "200");
    }
    let answer = verify(&started.reference, &started.link.code).to(mailing.here());
    let signed_in = tokens(&answer);
    let sessions = signed_in.ask("GET", "sessions").to(mailing.here()).json();
    assert_eq!(sessions["data"][0]["way"], "email_link");
    for secret in [&started.link.code, &started.code] {
        assert_eq!(
            verify(&started.reference, secret).to(mailing.there()).verdict(),
            INVALID
        );
    }
    // A page of one's own is one of the guard's, exactly; no header names it.
    let to = |page: &str| post("/auth/customer/email/start").json(&json!({"email": email, "redirectUri": page}));
    let evil = to("https://app.bekci.test/reset")
        .header("x-forwarded-host", "evil.test")
        .header("origin", "https://evil.test");
    let reference = reference_of(&evil.to(mailing.here()));
    let mails = mailing.mails(&email, 2);
    let links: Vec<Link> = mails.iter().filter_map(Link::of).collect();
    let link = links.iter().find(|link| link.reference == reference).unwrap();
    assert_eq!(link.page, "https://app.bekci.test/reset");
    for page in ["https://evil.test/", "https://app.bekci.test/reset/x", ""] {
        assert_eq!(to(page).to(mailing.here()).verdict(), "422 VALIDATION_FAILED", "{page}");
    }
}

fn a_sign_in_by_code_can_set_cookies_and_not_for_another_site(mailing: &Mailing) {
    let email = fresh_address("cookied");
    let started = mailing.started(&email, 1);
    let body = json!({"otpRef": started.reference, "otp": started.code, "transport": "cookie"});
    let ask = |site: &str| {
        post("/auth/customer/email/verify")
            .header("sec-fetch-site", site)
            .json(&body)
            .to(mailing.here())
    };
    assert_eq!(ask("cross-site").verdict(), "403 CSRF_REJECTED");
    let answer = ask("same-origin");
    assert_eq!(answer.verdict(), "200");
    assert!(answer.json()["data"]["accessToken"].is_null());
    let cookies: Vec<&str> = answer.all("set-cookie").collect();
    let set = |name: &str| {
        cookies
            .iter()
            .any(|cookie| cookie.starts_with(name) && cookie.contains("HttpOnly"))
    };
    assert!(
        set("__Host-bekci_customer_at=") && set("__Secure-bekci_customer_rt="),
        "{cookies:?}"
    );
}

fn a_mail_server_that_refuses_holds_no_request(_: &Mailing) {
    // Another server than the one that the tests of this house share.
    let mailing = Mailing::open_of(Kind::Sqlite, None);
    let email = fresh_address("undeliverable");
    mailing.smtp.become_of(&SmtpManner {
        refuse: Some("451 4.7.1 later"),
        ..SmtpManner::default()
    });
    let reference = reference_of(&start(&email).to(mailing.here()));
    mailing.until(|| mailing.house.sql("SELECT count(*) FROM bekci_mails WHERE attempts > 0") == "1");
    assert!(mailing.smtp.received().is_empty());
    mailing.smtp.become_of(&SmtpManner::default());
    let code = code_of(&mailing.mails(&email, 1)[0]).unwrap();
    assert_eq!(verify(&reference, &code).to(mailing.here()).verdict(), "200");
}

const GUESSES: &str = "{ sign_in = \"100000/min\", refresh = \"100000/min\", otp_start = \"8/h\", register = \"100000/min\", otp = \"6/day\" }";

fn the_budget_of_wrong_codes_outlasts_new_codes(kind: Kind) {
    let mailing = Mailing::open_of(kind, Some(GUESSES));
    let email = fresh_address("budgeted");
    register(&email, PASSWORD).to(mailing.here());
    let mut last = mailing.started(&email, 2);
    for n in 0..6 {
        if n == 4 {
            last = mailing.started(&email, 3);
        }
        let node = [mailing.here(), mailing.there()][if kind == Kind::Sqlite { 0 } else { n % 2 }];
        assert_eq!(
            verify(&last.reference, &wrong(&last.code)).to(node).verdict(),
            INVALID,
            "{n}"
        );
    }
    // Over it the right code is refused too, after another one was sent as well.
    for mails in [3, 4] {
        if mails == 4 {
            last = mailing.started(&email, 4);
        }
        let refused = verify(&last.reference, &last.code).to(mailing.here());
        assert_eq!(refused.verdict(), "429 RATE_LIMITED");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((3_600..=86_400).contains(&seconds), "{seconds}");
    }
    // No other way in is closed by it, and no other account.
    assert_eq!(
        verify(&last.reference, &last.link.code).to(mailing.here()).verdict(),
        "200"
    );
    last = mailing.started(&email, 5);
    assert_eq!(login(&email, PASSWORD).to(mailing.here()).verdict(), "200");
    // From here the account has signed in before, so the owner is not shut out.
    assert_eq!(verify(&last.reference, &last.code).to(mailing.here()).verdict(), "200");
    let (other, unknown) = (fresh_address("unbudgeted"), fresh_address("starts"));
    let started = mailing.started(&other, 1);
    assert_eq!(
        verify(&started.reference, &started.code).to(mailing.here()).verdict(),
        "200"
    );
    // Starting is limited alike for addresses that there are and that there are not, and for every guard of the model together.
    let mut told = Vec::new();
    for email in [&other, &unknown] {
        let shop = "/shop-api/v1/auth";
        let answers = (0..10).map(|n| start_at([shop, "/auth/customer"][n % 2], email).to(mailing.here()));
        let refused: Vec<Answer> = answers.filter(|answer| answer.status != 202).collect();
        assert!(refused.iter().all(|answer| answer.verdict() == "429 RATE_LIMITED"));
        assert!(refused[0].header("retry-after").is_some());
        told.push(seen(&refused[0]).2);
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn the_budget_of_wrong_codes_outlasts_new_codes_on_sqlite() {
    the_budget_of_wrong_codes_outlasts_new_codes(Kind::Sqlite);
}

#[test]
fn the_budget_of_wrong_codes_outlasts_new_codes_on_postgres_and_redis() {
    the_budget_of_wrong_codes_outlasts_new_codes(Kind::PostgresRedis);
}

mod where_addresses_are_verified {
    use super::*;

    on_every_mailing! { verified;
        a_code_confirms_the_address_and_ends_a_password_that_a_stranger_has_set,
    }

    fn a_code_confirms_the_address_and_ends_a_password_that_a_stranger_has_set(mailing: &Mailing) {
        let email = fresh_address("hijacked");
        // A stranger registers the address of somebody else, with a password of its own.
        register(&email, OTHER).to(mailing.here());
        mailing.mails(&email, 1);
        let reference = reference_of(&start(&email).to(mailing.here()));
        let code = mailing.mails(&email, 2).iter().find_map(code_of).unwrap();
        let signed_in = tokens(&verify(&reference, &code).to(mailing.there()));
        for node in [mailing.here(), mailing.there()] {
            assert_eq!(lets_in(&signed_in, node), "200");
            assert_eq!(login(&email, OTHER).to(node).verdict(), "401 CREDENTIAL_INVALID");
        }
    }
}
