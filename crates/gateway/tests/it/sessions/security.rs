//! The rotating security cookie of sessions by cookie.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;

use crate::{
    house::{House, Kind},
    http::{Answer, Ask, get, post},
    people::call,
};

macro_rules! on_every_secured {
    ($($module:ident, $kind:ident;)*) => {
        $(mod $module {
            use super::{House, Kind};
            #[test]
            fn an_old_cookie_is_exchanged_once_and_a_copy_ends_its_session() {
                super::an_old_cookie_is_exchanged_once_and_a_copy_ends_its_session(House::secured(Kind::$kind));
            }
            #[test]
            fn what_is_missing_or_anothers_is_refused_and_changes_nothing() {
                super::what_is_missing_or_anothers_is_refused_and_changes_nothing(House::secured(Kind::$kind));
            }
        })*
    };
}

on_every_secured! {
    sqlite, Sqlite;
    sqlite_and_redis, SqliteRedis;
    postgres, Postgres;
    postgres_and_redis, PostgresRedis;
    mariadb, MariaDb;
}

const ACCESS: &str = "__Host-bekci_customer_at";
const REFRESH: &str = "__Secure-bekci_customer_rt";
const SECURITY: &str = "__Host-bekci_customer_st";
const CSRF: &str = "__Host-bekci_customer_csrf";
const INVALID: &str = "401 SECURITY_TOKEN_INVALID";

fn set(answer: &Answer, name: &str) -> Option<String> {
    let mut found = answer
        .all("set-cookie")
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let line = found.next()?;
    assert!(found.next().is_none(), "{name} twice");
    Some(line.split(';').next().unwrap().to_owned())
}

struct Browser {
    access: String,
    refresh: String,
    csrf: String,
    security: String,
}

impl Browser {
    fn signed_in(house: &House) -> Self {
        let answer = house
            .customer()
            .login(&json!({"transport": "cookie"}))
            .to(house.address());
        assert_eq!(answer.verdict(), "200");
        let value = |name| set(&answer, name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        let line = answer
            .all("set-cookie")
            .find(|line| line.starts_with(SECURITY))
            .unwrap();
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
            assert!(line.split("; ").any(|found| found == attribute), "{line}");
        }
        Self {
            access: value(ACCESS),
            refresh: value(REFRESH),
            csrf: value(CSRF),
            security: value(SECURITY),
        }
    }

    fn with(&self, ask: Ask, security: &str) -> Ask {
        ask.header("cookie", &format!("{ACCESS}={}; {SECURITY}={security}", self.access))
    }

    fn page(&self, security: &str, node: SocketAddr) -> Answer {
        self.with(get("/me/x"), security).to(node)
    }
}

/// Asks until an answer sets something: the cookie is old after 10 s.
fn until_exchanged(browser: &Browser, node: SocketAddr) -> String {
    for _ in 0..1_200 {
        let answer = browser.page(&browser.security, node);
        assert_eq!(answer.verdict(), "200");
        if let Some(next) = set(&answer, SECURITY) {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            return next;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never exchanged");
}

fn an_old_cookie_is_exchanged_once_and_a_copy_ends_its_session(house: &House) {
    let browser = Browser::signed_in(house);
    let [here, there] = [0, 1].map(|node| house.nodes[node].address);
    let session = |column: &str| {
        house.sql(&format!(
            "SELECT {column} FROM bekci_security WHERE session_id = '{}'",
            browser.security.split_at(32).0
        ))
    };
    assert_eq!(session("generation"), "", "a sign-in writes none");
    let next = until_exchanged(&browser, here);
    // Requests of one page at once, on both nodes.
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let (browser, nodes) = (&browser, [here, there]);
        let pages: Vec<_> = (0..32)
            .map(|n| scope.spawn(move || browser.page(&browser.security, nodes[n % 2])))
            .collect();
        pages.into_iter().map(|page| page.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!(answer.verdict(), "200");
        assert_eq!(set(answer, SECURITY).as_deref(), Some(&*next));
    }
    assert_eq!(session("generation"), "1", "one new counter");
    // A proxy that asks cannot set it: the predecessor is checked, and stays.
    let asked = |security: &str| {
        browser
            .with(get("/forward-auth"), security)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "bekci.test")
            .header("x-forwarded-uri", "/me/page")
            .to(there)
    };
    let decision = asked(&browser.security);
    assert_eq!((decision.verdict().as_str(), set(&decision, SECURITY)), ("200", None));
    // Its own calls exchange it, too.
    let me = browser.with(get(&call("customer", "me")), &browser.security).to(there);
    assert_eq!((me.verdict().as_str(), set(&me, SECURITY)), ("200", Some(next.clone())));
    // When the successor was seen, the predecessor is good for 10 s more.
    assert_eq!(browser.page(&next, here).verdict(), "200");
    for _ in 0..1_200 {
        if !session("seen_at").is_empty() {
            break;
        }
        assert_eq!(browser.page(&next, here).verdict(), "200");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!session("seen_at").is_empty(), "the successor was never seen");
    house.sql(&format!(
        "UPDATE bekci_security SET seen_at = 1 WHERE session_id = '{}'",
        browser.security.split_at(32).0
    ));
    assert_eq!(asked(&browser.security).verdict(), INVALID);
    for node in [here, there] {
        assert_eq!(browser.page(&next, node).status, 401);
        let bearer = get("/me/x").bearer(&browser.access).to(node);
        assert_eq!(bearer.verdict(), "401 TOKEN_INVALID", "the session has ended");
    }
}

fn what_is_missing_or_anothers_is_refused_and_changes_nothing(house: &House) {
    let (hers, his) = (Browser::signed_in(house), Browser::signed_in(house));
    let node = house.nodes[1].address;
    let last = if hers.security.ends_with('0') { "1" } else { "0" };
    let cut = &hers.security[..hers.security.len() - 1];
    for security in [
        String::new(),
        format!("{cut}{last}"),
        cut.to_owned(),
        his.security.clone(),
    ] {
        assert_eq!(hers.page(&security, node).verdict(), INVALID, "{security}");
    }
    assert_eq!(his.page(&hers.security, node).verdict(), INVALID);
    let without = get("/me/x").header("cookie", &format!("{ACCESS}={}", hers.access));
    assert_eq!(without.to(node).verdict(), INVALID);
    let refresh = |security: &str| {
        let cookies = format!(
            "{REFRESH}={}; {CSRF}={}; {SECURITY}={security}",
            hers.refresh, hers.csrf
        );
        let ask = post(&call("customer", "token/refresh")).header("cookie", &cookies);
        ask.header("sec-fetch-site", "same-origin").to(node)
    };
    assert_eq!(refresh(&his.security).verdict(), INVALID);
    // A token in the header needs none, and neither does a way out.
    assert_eq!(get("/me/x").bearer(&hers.access).to(node).verdict(), "200");
    for browser in [&hers, &his] {
        assert_eq!(browser.page(&browser.security, node).verdict(), "200");
    }
    assert_eq!(refresh(&hers.security).verdict(), "200");
    let out = post(&call("customer", "logout")).header("cookie", &format!("{ACCESS}={}", his.access));
    let out = out.header("sec-fetch-site", "same-origin").to(node);
    assert_eq!(out.verdict(), "200");
    assert_eq!(set(&out, SECURITY), Some(String::new()));
}
