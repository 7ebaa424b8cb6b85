//! Credentials that are too long, oddly wrapped, or there to get round another check.

use bekci_test_support::unique;
use serde_json::json;

use crate::{
    echo::Echo,
    house::{House, Kind, PASSWORD},
    http::{Ask, ask, get, post},
};

const ACCESS: &str = "__Host-bekci_customer_at";

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

#[test]
fn a_credential_of_any_length_is_refused_and_costs_nobody_else() {
    let house = house();
    for length in [8 * 1024 + 1, 16 * 1024, 60 * 1024] {
        let long = ["a", "b", "c"].map(|part| part.repeat(length / 3)).join(".");
        for asked in [
            get("/me/long").bearer(&long),
            get("/me/long").header("cookie", &format!("{ACCESS}={long}")),
            post("/auth/customer/logout-all").bearer(&long),
        ] {
            let verdict = asked.to(house.address()).verdict();
            assert!(matches!(&*verdict, "401 TOKEN_INVALID" | "431"), "{length}: {verdict}");
        }
    }
    assert!(!Echo::shared().saw("/me/long"));
    assert_eq!(get("/public/x").to(house.address()).verdict(), "200");
}

#[test]
fn the_value_of_a_cookie_is_taken_as_it_stands() {
    let house = house();
    let token = house.signed_in().access;
    let with = |cookies: String| get("/me/odd").header("cookie", &cookies).to(house.address()).verdict();
    for cookies in [
        format!("{ACCESS}=\"{token}\""),
        format!("{ACCESS}='{token}'"),
        format!("{ACCESS}={token} ; a=1"),
        format!("{ACCESS}= {token}"),
        format!("{ACCESS}={}", token.replace('.', "%2E")),
        format!("{ACCESS}=Bearer {token}"),
        format!("{ACCESS}={token},a=1"),
        format!("{ACCESS}=\u{feff}{token}"),
        format!("{ACCESS}={token}=\u{1f512}"),
    ] {
        assert_eq!(with(cookies.clone()), "401 TOKEN_INVALID", "{cookies}");
    }
    for cookies in [
        format!("{}={token}", ACCESS.to_lowercase()),
        format!("{ACCESS} ={token}"),
        format!("a=\"{ACCESS}={token}\""),
        format!("bekci_customer_at={token}"),
        format!("__Secure-bekci_customer_at={token}"),
    ] {
        assert_eq!(with(cookies.clone()), "401 TOKEN_MISSING", "{cookies}");
    }
    assert!(!Echo::shared().saw("/me/odd"));
    assert_eq!(with(format!("a=1; {ACCESS}={token}; b=2")), "200");
}

#[test]
fn a_credential_that_is_none_or_bad_does_not_get_round_the_proof_of_origin() {
    let house = house();
    let (own, other) = (house.signed_in().access, house.signed_in().access);
    let path = format!("/me/{}", unique("forged"));
    let by_cookie = || {
        post(&path)
            .header("cookie", &format!("{ACCESS}={own}"))
            .body("text/plain", "amount=1")
    };
    for (lines, wanted) in [
        (vec![], "403 CSRF_REJECTED"),
        (vec![("authorization", "Bearer")], "403 CSRF_REJECTED"),
        (vec![("authorization", "")], "403 CSRF_REJECTED"),
        (vec![("authorization", "Basic YTpi")], "401 TOKEN_INVALID"),
        (vec![("authorization", "Bearer x")], "401 TOKEN_INVALID"),
        (vec![("authorization", &*other)], "401 TOKEN_INVALID"),
        (vec![("sec-fetch-site", "cross-site")], "403 CSRF_REJECTED"),
        (vec![("sec-fetch-site", "same-site")], "403 CSRF_REJECTED"),
        (vec![("sec-fetch-site", "none")], "403 CSRF_REJECTED"),
        (vec![("sec-fetch-site", "Same-Origin")], "403 CSRF_REJECTED"),
        (
            vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            "403 CSRF_REJECTED",
        ),
        (
            vec![("origin", "https://bekci.test"), ("referer", "https://bekci.test/")],
            "403 CSRF_REJECTED",
        ),
        (vec![("x-csrf-token", "")], "403 CSRF_REJECTED"),
        (vec![("x-requested-with", "XMLHttpRequest")], "403 CSRF_REJECTED"),
        (vec![("x-http-method-override", "GET")], "403 CSRF_REJECTED"),
        (
            vec![("cookie", "__Host-bekci_customer_csrf="), ("x-csrf-token", "")],
            "403 CSRF_REJECTED",
        ),
        (
            vec![
                ("cookie", "__Host-bekci_customer_csrf=short"),
                ("x-csrf-token", "short"),
            ],
            "403 CSRF_REJECTED",
        ),
    ] {
        let asked = lines
            .iter()
            .fold(by_cookie(), |asked: Ask, (name, value)| asked.header(name, value));
        assert_eq!(asked.to(house.address()).verdict(), wanted, "{lines:?}");
    }
    let two = by_cookie().bearer(&other).to(house.address());
    assert_eq!(two.verdict(), "400 AMBIGUOUS_CREDENTIALS");
    assert!(!Echo::shared().saw(&path));
    assert_eq!(
        by_cookie()
            .header("sec-fetch-site", "same-origin")
            .to(house.address())
            .verdict(),
        "200"
    );
}

/// What a page of another origin can send without asking first (Fetch standard, section 2.2.2).
#[test]
fn no_simple_request_signs_anybody_in_or_out() {
    let house = house();
    let customer = house.customer();
    let body = json!({"email": customer.email, "password": PASSWORD}).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonx",
        "application/json/x",
        "",
    ] {
        let answer = post("/auth/customer/login")
            .body(kind, body.clone())
            .to(house.address());
        assert_eq!(answer.verdict(), "415 UNSUPPORTED_MEDIA_TYPE", "{kind:?}");
        assert_eq!(answer.all("set-cookie").count(), 0);
    }
    let doubled = post("/auth/customer/login")
        .header("content-type", "text/plain")
        .body("application/json", body);
    assert_eq!(doubled.to(house.address()).verdict(), "415 UNSUPPORTED_MEDIA_TYPE");
    let tokens = customer.sign_in(house.address());
    for call in ["login", "logout", "logout-all", "token/refresh"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let target = format!("/auth/customer/{call}?_method=POST");
            let answer = ask(method, &target)
                .bearer(&tokens.access)
                .header("connection", "close");
            let told = super::exchange(house.address(), &answer.bytes());
            assert_eq!(super::statuses(&told), [405], "{method} {call}");
        }
    }
    assert_eq!(tokens.verdict(house.address()), "200");
}
