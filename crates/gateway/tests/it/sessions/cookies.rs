//! Tokens that travel as cookies.

use serde_json::{Value, json};

use crate::{
    house::{House, on_sqlite_and_postgres},
    http::{Answer, Ask, get, post},
    people::call,
};

on_sqlite_and_postgres!(
    a_sign_in_by_cookie_sets_the_cookies_of_the_contract_and_tells_no_token,
    what_changes_something_by_cookie_needs_proof_of_origin,
    a_refresh_by_cookie_needs_proof_of_origin_and_sets_new_cookies,
    a_cookie_of_another_guard_is_no_credential_here,
    a_sign_out_removes_the_cookies,
);

const ACCESS: &str = "__Host-bekci_customer_at";
const REFRESH: &str = "__Secure-bekci_customer_rt";
const CSRF: &str = "__Host-bekci_customer_csrf";

/// A cookie as it was set: its value, and its attributes in lower case.
struct Set {
    value: String,
    attributes: Vec<String>,
}

fn set(answer: &Answer, name: &str) -> Set {
    let mut found = answer
        .all("set-cookie")
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let line = found.next().unwrap_or_else(|| panic!("no cookie {name}: {answer:?}"));
    assert!(found.next().is_none(), "{name} twice");
    let mut parts = line.split("; ");
    Set {
        value: parts.next().unwrap().to_owned(),
        attributes: parts.map(str::to_ascii_lowercase).collect(),
    }
}

impl Set {
    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|found| found == attribute)
    }
}

/// A browser that is signed in.
struct Browser {
    access: String,
    refresh: String,
    csrf: String,
}

impl Browser {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.verdict(), "200");
        Self {
            access: set(answer, ACCESS).value,
            refresh: set(answer, REFRESH).value,
            csrf: set(answer, CSRF).value,
        }
    }

    fn signed_in(house: &House) -> Self {
        let login = house.customer().login(&json!({"transport": "cookie"}));
        Self::of(&login.to(house.address()))
    }

    /// With the cookies that it sends everywhere.
    fn with(&self, ask: Ask) -> Ask {
        ask.header("cookie", &format!("{ACCESS}={}; {CSRF}={}", self.access, self.csrf))
    }

    /// With those that it sends to the guard's calls.
    fn with_all(&self, ask: Ask) -> Ask {
        let cookies = format!(
            "{ACCESS}={}; {CSRF}={}; {REFRESH}={}",
            self.access, self.csrf, self.refresh
        );
        ask.header("cookie", &cookies)
    }
}

fn a_sign_in_by_cookie_sets_the_cookies_of_the_contract_and_tells_no_token(house: &House) {
    let answer = house
        .customer()
        .login(&json!({"transport": "cookie"}))
        .to(house.address());
    assert_eq!(answer.verdict(), "200");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["accessToken"], &data["refreshToken"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(answer.all("set-cookie").count(), 3);
    for (name, path, readable) in [
        (ACCESS, "path=/", false),
        (REFRESH, "path=/auth/customer", false),
        (CSRF, "path=/", true),
    ] {
        let cookie = set(&answer, name);
        assert!(
            cookie.has("secure") && cookie.has("samesite=lax") && cookie.has(path),
            "{name}"
        );
        assert_eq!(cookie.has("httponly"), !readable, "{name}");
        assert!(
            !cookie
                .attributes
                .iter()
                .any(|attribute| attribute.starts_with("domain")),
            "{name}"
        );
        assert!(
            cookie
                .attributes
                .iter()
                .any(|attribute| attribute.starts_with("max-age=")),
            "{name}"
        );
    }
    assert!(set(&answer, CSRF).value.len() >= 32);
}

fn what_changes_something_by_cookie_needs_proof_of_origin(house: &House) {
    let browser = Browser::signed_in(house);
    let asked = |ask: Ask| browser.with(ask).to(house.nodes[1].address).verdict();
    assert_eq!(asked(get("/me/x")), "200", "reading needs none");
    let wrong = "x".repeat(browser.csrf.len());
    for refused in [
        post("/me/x"),
        post("/me/x").header("x-csrf-token", &wrong),
        post("/me/x").header("x-csrf-token", ""),
        post("/me/x").header("sec-fetch-site", "cross-site"),
        post("/me/x")
            .header("sec-fetch-site", "same-site")
            .header("x-csrf-token", &browser.csrf),
        post("/me/x").header("origin", "https://evil.test"),
        post(&call("customer", "logout-all")).header("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(asked(refused), "403 CSRF_REJECTED");
    }
    assert_eq!(asked(post("/me/x").header("sec-fetch-site", "same-origin")), "200");
    assert_eq!(asked(post("/me/x").header("x-csrf-token", &browser.csrf)), "200");
    assert_eq!(
        asked(post("/me/x").bearer("bad")),
        "401 TOKEN_INVALID",
        "a header is no way round"
    );
}

fn a_refresh_by_cookie_needs_proof_of_origin_and_sets_new_cookies(house: &House) {
    let browser = Browser::signed_in(house);
    let path = call("customer", "token/refresh");
    let refused = browser.with_all(post(&path)).to(house.address());
    assert_eq!(refused.verdict(), "403 CSRF_REJECTED");
    let answer = browser
        .with_all(post(&path))
        .header("x-csrf-token", &browser.csrf)
        .to(house.nodes[1].address);
    let next = Browser::of(&answer);
    assert_ne!(next.refresh, browser.refresh);
    assert_eq!(next.csrf, browser.csrf, "a page that is open keeps its token");
    assert_eq!(answer.json()["data"]["refreshToken"], Value::Null);
    assert_eq!(next.with(get("/me/x")).to(house.address()).verdict(), "200");
}

fn a_cookie_of_another_guard_is_no_credential_here(house: &House) {
    let browser = Browser::signed_in(house);
    for path in ["/office/x", "/shop/x"] {
        assert_eq!(
            browser.with(get(path)).to(house.address()).verdict(),
            "401 TOKEN_MISSING"
        );
    }
    for guard in ["admin", "shop"] {
        let renamed = get(if guard == "admin" { "/office/x" } else { "/shop/x" });
        let renamed = renamed.header("cookie", &format!("__Host-bekci_{guard}_at={}", browser.access));
        let answer = renamed.to(house.address());
        assert_eq!(answer.status, 401, "{}", answer.verdict());
        let refresh = post(&call(guard, "token/refresh")).header("sec-fetch-site", "same-origin");
        let refresh = refresh.header("cookie", &format!("__Secure-bekci_{guard}_rt={}", browser.refresh));
        assert_eq!(refresh.to(house.address()).verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    assert_eq!(browser.with(get("/me/x")).to(house.address()).verdict(), "200");
}

fn a_sign_out_removes_the_cookies(house: &House) {
    let browser = Browser::signed_in(house);
    let logout = browser
        .with_all(post(&call("customer", "logout")))
        .header("sec-fetch-site", "same-origin");
    let answer = logout.to(house.address());
    assert_eq!(answer.verdict(), "200");
    for (name, path) in [(ACCESS, "path=/"), (REFRESH, "path=/auth/customer"), (CSRF, "path=/")] {
        let gone = set(&answer, name);
        assert!(
            gone.value.is_empty() && gone.has("max-age=0") && gone.has(path) && gone.has("secure"),
            "{name}"
        );
    }
    for node in &house.nodes {
        assert_eq!(
            browser.with(get("/me/x")).to(node.address).verdict(),
            "401 TOKEN_INVALID"
        );
    }
}
