//! `POST …/{idp}/login`: sign-in by the ID token of an identity provider.

use std::{net::SocketAddr, sync::Arc};

use bekci_test_support::unique;
use serde_json::{Value, json};

use super::{fresh_address, lets_in, seen, tokens};
use crate::{
    house::{House, Kind, PASSWORD},
    http::{Answer, Ask, post},
    identity_provider::{ANDROID, IdentityProvider, Key, WEB, base64url, now},
    shared::shared,
};

macro_rules! on_every_federation {
    ($($name:ident),* $(,)?) => {
        on_every_federation!(@ sqlite, Sqlite, $($name),*);
        on_every_federation!(@ sqlite_and_redis, SqliteRedis, $($name),*);
        on_every_federation!(@ postgres, Postgres, $($name),*);
        on_every_federation!(@ postgres_and_redis, PostgresRedis, $($name),*);
    };
    (@ $module:ident, $kind:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(&super::Federation::shared(crate::house::Kind::$kind));
            })*
        }
    };
}

on_every_federation! {
    the_first_sign_in_makes_the_account_and_later_ones_find_it_by_its_subject,
    an_account_is_linked_by_address_only_if_provider_and_table_have_verified_it,
    a_token_that_is_wrong_in_any_way_is_answered_alike,
    one_subject_at_two_providers_is_two_accounts,
    an_account_that_a_password_does_not_sign_in_is_not_signed_in_by_a_provider,
    of_64_first_sign_ins_at_once_one_makes_the_account,
    an_account_that_is_deleted_leaves_no_link_to_one_that_gets_its_id,
    a_guard_that_makes_no_accounts_says_the_same_of_each_address_without_a_link,
    a_provider_that_a_guard_does_not_name_is_not_there,
    a_sign_in_by_token_can_set_cookies_and_not_for_another_site,
}

/// A house with two providers. `customer` makes accounts and accepts both; `shop` has the same accounts, makes none and accepts one.
pub struct Federation {
    pub house: House,
    pub acme: IdentityProvider,
    pub other: IdentityProvider,
}

const OPEN: &str = "register = \"open\"\nsign_in = [\"password\", \"acme\", \"other\"]\n";
const SHOP: &str = "sign_in = [\"password\", \"acme\"]\n";

impl Federation {
    pub fn new(kind: Kind, customer: &'static str, limits: Option<&'static str>) -> Self {
        let (acme, other) = (IdentityProvider::start(), IdentityProvider::start());
        let sections = [acme.section("acme"), other.section("other")].concat();
        let house = House::with_providers(kind, (customer, SHOP), &sections, limits);
        Self { house, acme, other }
    }

    fn shared(kind: Kind) -> Arc<Self> {
        shared("federation", kind, || Self::new(kind, OPEN, None))
    }

    pub fn here(&self) -> SocketAddr {
        self.house.nodes[0].address
    }

    pub fn there(&self) -> SocketAddr {
        self.house.nodes[1].address
    }

    /// A new account with this address, verified or not.
    pub fn account(&self, email: &str, is_verified: bool) -> String {
        let at = if is_verified { "1" } else { "NULL" };
        self.house.sql(&format!(
            "INSERT INTO customers (email, name, password_hash, email_verified_at) \
             SELECT '{email}', 'Somebody', password_hash, {at} FROM customers WHERE id = 1"
        ));
        self.house
            .sql(&format!("SELECT id FROM customers WHERE email = '{email}'"))
    }

    fn count(&self, condition: &str) -> String {
        self.house.sql(&format!("SELECT count(*) FROM {condition}"))
    }
}

impl Ask {
    /// The answer once the stores decide: a busy machine answers 503 for a while, two minutes at most.
    pub fn settled(&self, address: SocketAddr) -> Answer {
        let mut answer = self.to(address);
        for _ in 0..1_200 {
            if answer.verdict() != "503 STORE_UNAVAILABLE" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            answer = self.to(address);
        }
        answer
    }
}

pub fn login(provider: &str, token: &str) -> Ask {
    login_at("/auth/customer", provider, token)
}

fn login_at(path: &str, provider: &str, token: &str) -> Ask {
    post(&format!("{path}/{provider}/login")).json(&json!({"idToken": token}))
}

fn login_with(provider: &str, body: &Value) -> Ask {
    post(&format!("/auth/customer/{provider}/login")).json(body)
}

fn key_of(answer: &Answer) -> String {
    assert_eq!(answer.verdict(), "200", "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["data"]["user"]["key"].as_str().unwrap().to_owned()
}

fn subject() -> String {
    unique("subject")
}

const REFUSED: &str = "401 CREDENTIAL_INVALID";

fn the_first_sign_in_makes_the_account_and_later_ones_find_it_by_its_subject(at: &Federation) {
    let (subject, email) = (subject(), fresh_address("by-provider"));
    let first = login("acme", &at.acme.token(&subject, &email)).settled(at.here());
    let key = key_of(&first);
    let signed_in = tokens(&first);
    assert_eq!(first.json()["data"]["user"]["email"], json!(email));
    assert_eq!(lets_in(&signed_in, at.there()), "200");
    let row = at.house.sql(&format!(
        "SELECT name, status, email_verified_at IS NULL, password_hash IS NULL FROM customers WHERE email = '{email}'"
    ));
    assert!(
        ["Ada Lovelace|active|0|1", "Ada Lovelace|active|f|t"].contains(&row.as_str()),
        "{row}"
    );
    let sessions = signed_in.ask("GET", "sessions").settled(at.here()).json();
    assert_eq!(sessions["data"][0]["way"], "acme");
    // The subject decides, not the address, and nothing of it is in Redis.
    if let Some(redis) = &at.house.redis {
        redis.cli(&["FLUSHALL"]);
    }
    let moved = at.acme.token(&subject, &fresh_address("moved"));
    assert_eq!(key_of(&login("acme", &moved).settled(at.there())), key);
    let mut unverified = at.acme.claims(&subject, &email);
    unverified["email_verified"] = json!(false);
    assert_eq!(
        key_of(&login("acme", &Key::Rsa.token(&unverified)).settled(at.here())),
        key
    );
    let mut bare = at.acme.claims(&subject, &email);
    bare.as_object_mut().unwrap().remove("email");
    assert_eq!(key_of(&login("acme", &Key::Rsa.token(&bare)).settled(at.here())), key);
    // Each client id is accepted, here with the app as the party.
    let mut android = at.acme.claims(&subject, &email);
    android["azp"] = json!(ANDROID);
    assert_eq!(
        key_of(&login("acme", &Key::Rsa.token(&android)).settled(at.there())),
        key
    );
    assert_eq!(at.count(&format!("bekci_links WHERE subject = '{subject}'")), "1");
    // Another guard of the model has the same accounts.
    let shop = login_at("/shop-api/v1/auth", "acme", &at.acme.token(&subject, &email)).settled(at.here());
    assert_eq!(key_of(&shop), key);
}

fn an_account_is_linked_by_address_only_if_provider_and_table_have_verified_it(at: &Federation) {
    for verified_here in [true, false] {
        for says in [
            json!(true),
            json!("true"),
            json!(false),
            json!("false"),
            json!("TRUE"),
            json!("yes"),
            json!(1),
            json!([]),
            json!(null),
            Value::Null,
        ] {
            let email = fresh_address("held");
            let id = at.account(&email, verified_here);
            let subject = subject();
            let mut claims = at.acme.claims(&subject, &email.to_uppercase());
            claims["email_verified"] = says.clone();
            let answer = login("acme", &Key::Rsa.token(&claims)).settled(at.here());
            let is_verified = says == json!(true) || says == json!("true");
            if verified_here && is_verified {
                assert_eq!(key_of(&answer), format!("customer:{id}"), "{says}");
            } else {
                assert_eq!(answer.verdict(), "409 CONFLICT", "{verified_here} {says}");
                assert_eq!(at.count(&format!("bekci_links WHERE principal_id = '{id}'")), "0");
                assert_eq!(at.count(&format!("bekci_sessions WHERE principal_id = '{id}'")), "0");
            }
            assert_eq!(at.count(&format!("customers WHERE lower(email) = '{email}'")), "1");
        }
    }
    // An address that the provider does not vouch for is one that is not verified.
    let email = fresh_address("not-vouched");
    let mut claims = at.acme.claims(&subject(), &email);
    claims["email_verified"] = json!(false);
    key_of(&login("acme", &Key::Rsa.token(&claims)).settled(at.here()));
    assert_eq!(
        at.count(&format!(
            "customers WHERE email = '{email}' AND email_verified_at IS NULL"
        )),
        "1"
    );
}

fn a_token_that_is_wrong_in_any_way_is_answered_alike(at: &Federation) {
    let (subject, email) = (subject(), fresh_address("forged"));
    let good = at.acme.claims(&subject, &email);
    key_of(&login("acme", &Key::Rsa.token(&good)).settled(at.here()));
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        Key::Rsa.token(&claims)
    };
    let message = |header: Value| format!("{}.{}", base64url(header.to_string()), base64url(good.to_string()));
    let header = json!({"alg": "RS256", "kid": "rsa-1", "typ": "JWT"});
    let with_header = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        Key::Rsa.sign(&header, &good)
    };
    let mut wrong = vec![
        ("other audience", changed("aud", json!("other"))),
        ("prefix of ours", changed("aud", json!(&WEB[..WEB.len() - 1]))),
        ("two audiences", changed("aud", json!([WEB, "other"]))),
        ("other party", changed("azp", json!("other"))),
        ("other issuer", changed("iss", json!(at.other.issuer()))),
        (
            "issuer with a slash",
            changed("iss", json!(format!("{}/", at.acme.issuer()))),
        ),
        ("expired", changed("exp", json!(now() - 60))),
        ("from the future", changed("iat", json!(now() + 600))),
        ("endless", changed("exp", json!(now() + 86_400 * 365))),
        ("a nonce that is not presented", changed("nonce", json!("n"))),
        ("no subject", changed("sub", json!(""))),
        ("none", format!("{}.", message(json!({"alg": "none"})))),
        (
            "none with a kid",
            format!("{}.AA", message(json!({"alg": "none", "kid": "rsa-1"}))),
        ),
        ("another key", Key::Ec.sign(&header, &good)),
        ("its own key", with_header("jwk", Key::Rsa.jwk())),
        (
            "a URL of keys",
            with_header("jku", json!(format!("{}/keys", at.acme.issuer()))),
        ),
        ("critical", with_header("crit", json!(["exp"]))),
        ("another type", with_header("typ", json!("at+jwt"))),
        ("the wrong algorithm", with_header("alg", json!("PS256"))),
        ("cut", Key::Rsa.token(&good)[..300].to_owned()),
        ("no token", "x".to_owned()),
        ("empty", String::new()),
        ("long", "x.".repeat(10_000)),
    ];
    // HS256 by the public key.
    let hs = message(json!({"alg": "HS256", "kid": "rsa-1"}));
    wrong.push(("HS256", format!("{hs}.{}", base64url([7; 32]))));
    let mut seen_first = None;
    for (what, token) in &wrong {
        let answer = login("acme", token).settled(at.here());
        assert_eq!(answer.verdict(), REFUSED, "{what}");
        assert_eq!(answer.json()["error"]["details"]["result"]["code"], -2, "{what}");
        let seen = seen(&answer);
        assert_eq!(seen_first.get_or_insert_with(|| seen.clone()), &seen, "{what}");
    }
    // A good one of another provider is none here.
    let foreign = at.other.token(&subject, &email);
    assert_eq!(login("acme", &foreign).settled(at.here()).verdict(), REFUSED);
    // A nonce is presented with its token, as it is or hashed.
    let token = changed("nonce", json!("raw-nonce"));
    for (nonce, verdict) in [
        (json!("raw-nonce"), "200"),
        (json!("other"), REFUSED),
        (json!(""), REFUSED),
    ] {
        let answer = login_with("acme", &json!({"idToken": token, "nonce": nonce})).settled(at.there());
        assert_eq!(answer.verdict(), verdict, "{nonce}");
    }
    let without = login_with("acme", &json!({"idToken": Key::Rsa.token(&good), "nonce": "n"})).settled(at.here());
    assert_eq!(without.verdict(), REFUSED);
    // Nothing in the body picks who or where.
    for field in ["guard", "model", "email", "provider", "sub"] {
        let mut body = json!({"idToken": Key::Rsa.token(&good)});
        body[field] = json!("admin");
        let answer = login_with("acme", &body).settled(at.here());
        assert!([400, 422].contains(&answer.status), "{field}: {}", answer.verdict());
    }
}

fn one_subject_at_two_providers_is_two_accounts(at: &Federation) {
    let subject = subject();
    let (one, two) = (fresh_address("one"), fresh_address("two"));
    let first = key_of(&login("acme", &at.acme.token(&subject, &one)).settled(at.here()));
    let second = key_of(&login("other", &at.other.token(&subject, &two)).settled(at.here()));
    assert_ne!(first, second);
    assert_eq!(at.count(&format!("bekci_links WHERE subject = '{subject}'")), "2");
    // One account can have both, where both addresses are verified.
    let both = login("other", &at.other.token(&unique("subject"), &one)).settled(at.there());
    assert_eq!(key_of(&both), first);
}

fn an_account_that_a_password_does_not_sign_in_is_not_signed_in_by_a_provider(at: &Federation) {
    for (status, verdict) in [
        ("banned", "403 ACCOUNT_BANNED"),
        ("suspended", "403 ACCOUNT_BANNED"),
        ("pending", "403 ACCOUNT_INACTIVE"),
    ] {
        let (email, subject) = (fresh_address(status), subject());
        at.account(&email, true);
        let token = at.acme.token(&subject, &email);
        let turn = |status: &str| {
            let set = format!("UPDATE customers SET status = '{status}' WHERE email = '{email}'");
            at.house.sql(&set);
        };
        turn(status);
        let by_password = super::login(&email, PASSWORD).settled(at.here());
        assert_eq!(by_password.verdict(), verdict);
        // Before a link and with one.
        let unlinked = login("acme", &token).settled(at.here());
        assert_eq!(seen(&unlinked), seen(&by_password));
        assert_eq!(at.count(&format!("bekci_links WHERE subject = '{subject}'")), "0");
        turn("active");
        key_of(&login("acme", &token).settled(at.here()));
        turn(status);
        let linked = login("acme", &token).settled(at.there());
        assert_eq!(seen(&linked), seen(&by_password));
    }
}

fn of_64_first_sign_ins_at_once_one_makes_the_account(at: &Federation) {
    let (subject, email) = (subject(), fresh_address("stormed"));
    let token = at.acme.token(&subject, &email);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let nodes = [at.here(), at.there()];
        let calls: Vec<_> = (0..64)
            .map(|n| {
                let token = &token;
                scope.spawn(move || login("acme", token).to(nodes[n % 2]))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let signed_in: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!signed_in.is_empty());
    let key = key_of(signed_in[0]);
    for answer in &answers {
        match answer.status {
            200 => assert_eq!(key_of(answer), key),
            // Those that waited too long for the account's slots.
            _ => assert!(
                ["429 RATE_LIMITED", "503 STORE_UNAVAILABLE"].contains(&answer.verdict().as_str()),
                "{}",
                answer.verdict()
            ),
        }
    }
    assert_eq!(at.count(&format!("customers WHERE email = '{email}'")), "1");
    assert_eq!(at.count(&format!("bekci_links WHERE subject = '{subject}'")), "1");
}

fn an_account_that_is_deleted_leaves_no_link_to_one_that_gets_its_id(at: &Federation) {
    let (subject, email) = (subject(), fresh_address("gone"));
    let token = at.acme.token(&subject, &email);
    let first = key_of(&login("acme", &token).settled(at.here()));
    let id = first.strip_prefix("customer:").unwrap().to_owned();
    at.house.sql(&format!("DELETE FROM customers WHERE id = {id}"));
    assert_eq!(at.count(&format!("bekci_links WHERE subject = '{subject}'")), "0");
    let heir = fresh_address("heir");
    at.house.sql(&format!(
        "INSERT INTO customers (id, email, name) VALUES ({id}, '{heir}', 'Heir')"
    ));
    let again = key_of(&login("acme", &token).settled(at.there()));
    assert_ne!(again, first);
}

fn a_guard_that_makes_no_accounts_says_the_same_of_each_address_without_a_link(at: &Federation) {
    let shop = "/shop-api/v1/auth";
    let (held, free) = (fresh_address("held-shop"), fresh_address("free-shop"));
    at.account(&held, false);
    let of = |email: &str, verified: bool| {
        let mut claims = at.acme.claims(&subject(), email);
        claims["email_verified"] = json!(verified);
        login_at(shop, "acme", &Key::Rsa.token(&claims)).settled(at.here())
    };
    let first = of(&held, true);
    assert_eq!(first.verdict(), REFUSED);
    for answer in [of(&held, false), of(&free, true), of(&free, false)] {
        assert_eq!(seen(&answer), seen(&first));
    }
    assert_eq!(at.count(&format!("customers WHERE email = '{free}'")), "0");
    // An account whose address both have verified is linked here too.
    let known = fresh_address("known-shop");
    let id = at.account(&known, true);
    assert_eq!(key_of(&of(&known, true)), format!("customer:{id}"));
}

fn a_provider_that_a_guard_does_not_name_is_not_there(at: &Federation) {
    let token = at.acme.token(&subject(), &fresh_address("nowhere"));
    for (path, provider) in [
        ("/auth/customer", "google"),
        ("/auth/customer", "ACME"),
        ("/auth/customer", "acme%20"),
        ("/auth/customer", "x"),
        ("/auth/admin", "acme"),
        ("/shop-api/v1/auth", "other"),
    ] {
        let answer = login_at(path, provider, &token).settled(at.here());
        assert_eq!(answer.verdict(), "404 NOT_FOUND", "{path} {provider}");
    }
    // A path that is not canonical is judged first.
    for provider in ["acme%2f..%2fother", "..", "acme%00"] {
        let answer = login_at("/auth/customer", provider, &token).settled(at.here());
        assert!([400, 404].contains(&answer.status), "{provider}: {}", answer.verdict());
    }
}

fn a_sign_in_by_token_can_set_cookies_and_not_for_another_site(at: &Federation) {
    let token = at.acme.token(&subject(), &fresh_address("cookied"));
    let body = json!({"idToken": token, "transport": "cookie"});
    let foreign = login_with("acme", &body)
        .header("sec-fetch-site", "cross-site")
        .settled(at.here());
    assert_eq!(foreign.verdict(), "403 CSRF_REJECTED");
    let answer = login_with("acme", &body)
        .header("sec-fetch-site", "same-origin")
        .settled(at.here());
    assert_eq!(answer.verdict(), "200");
    assert!(answer.json()["data"]["accessToken"].is_null());
    let cookies: Vec<&str> = answer.all("set-cookie").collect();
    assert!(
        cookies
            .iter()
            .any(|cookie| cookie.starts_with("__Host-bekci_customer_at=")),
        "{cookies:?}"
    );
}
