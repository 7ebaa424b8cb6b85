//! A browser that asks for a page of a route and is not signed in is sent to the guard's page, and to nobody else's afterwards.

use crate::{
    echo::Echo,
    house::{House, Kind},
    http::{Answer, Ask, ask, get},
};
use bekci_test_support::unique;

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

fn navigating(request: Ask) -> Ask {
    request
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
}

fn sent(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("location"))
}

#[test]
fn a_browser_is_sent_to_sign_in_on_any_401_and_comes_back() {
    let path = format!("/me/{}", unique("page"));
    let back = format!(
        "https://bekci.test/sign-in?return_to=https%3A%2F%2Fbekci.test{}%3Fa%3Db",
        path.replace('/', "%2F")
    );
    let page = |method: &str| navigating(ask(method, &format!("{path}?a=b")).at_host("bekci.test"));
    let answer = page("GET").to(house().address());
    assert_eq!(sent(&answer), (302, Some(&*back)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("www-authenticate"), None);
    let posted = page("POST").header("content-length", "0").to(house().address());
    assert_eq!(sent(&posted), (303, Some(&*back)));
    let expired = page("GET").header("cookie", "__Host-bekci_customer_at=rubbish");
    assert_eq!(sent(&expired.to(house().address())), (302, Some(&*back)));
    assert!(!Echo::shared().saw(&path), "nothing reached the application");
}

#[test]
fn where_it_comes_back_to_is_never_said_by_the_request() {
    let page = || navigating(get("/me/x"));
    let plain = Some("https://bekci.test/sign-in");
    let forged = [
        page().at_host("evil.test"),
        page().at_host("bekci.test.evil.test"),
        page().at_host("bekci.test:8443"),
        page().at_host("evil.test").header("x-forwarded-host", "bekci.test"),
    ];
    for request in forged {
        assert_eq!(sent(&request.to(house().address())), (302, plain));
    }
    // Nobody believes a stranger's forwarding headers: it comes back to where it was.
    let own = Some("https://bekci.test/sign-in?return_to=https%3A%2F%2Fbekci.test%2Fme%2Fx");
    let said = page().at_host("bekci.test").header("x-forwarded-host", "evil.test");
    assert_eq!(sent(&said.to(house().address())), (302, own));
}

#[test]
fn programs_and_other_refusals_are_told_what_is_wrong() {
    let told = |request: Ask, status: u16, code: &str| {
        let answer = request.to(house().address());
        assert_eq!(sent(&answer), (status, None));
        assert_eq!(answer.json()["error"]["code"], code);
    };
    told(get("/me/x"), 401, "TOKEN_MISSING");
    told(get("/me/x").header("accept", "text/html"), 401, "TOKEN_MISSING");
    told(navigating(get("/nowhere")), 404, "NOT_FOUND");
    // The admins' guard has no page.
    told(navigating(get("/office/x")), 401, "TOKEN_MISSING");
    let customer = house().customer();
    let token = customer.sign_in(house().address()).access;
    told(navigating(get("/api/nothing")).bearer(&token), 403, "POLICY_DENIED");
}
