//! Identity providers that are away, slow, hostile, or have other keys; and limits.

use serde_json::json;

use super::{
    fresh_address,
    providers::{Federation, login},
};
use crate::{
    house::Kind,
    identity_provider::{Key, Manner},
};

const ONE: &str = "register = \"open\"\nsign_in = [\"password\", \"acme\", \"other\"]\n";
const UNAVAILABLE: &str = "503 STORE_UNAVAILABLE";
const REFUSED: &str = "401 CREDENTIAL_INVALID";

impl Federation {
    /// Signs in until it succeeds, for two minutes at most: a failed fetch is not repeated within a second.
    fn in_the_end(&self, subject: &str) {
        let token = self.acme.token(subject, &fresh_address("in-the-end"));
        for _ in 0..1_200 {
            if login("acme", &token).to(self.here()).status == 200 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("signed in in vain");
    }
}

#[test]
fn a_provider_that_is_away_is_503_and_is_asked_again() {
    let at = Federation::new(Kind::Sqlite, ONE, None);
    let token = at.acme.token("s1", &fresh_address("away"));
    let issuer = at.acme.issuer();
    let document = |issuer: &str, keys: &str| Manner::Document(json!({"issuer": issuer, "jwks_uri": keys}).to_string());
    for manner in [
        Manner::Down,
        Manner::Silent,
        Manner::Huge,
        Manner::Status(503, String::new()),
        Manner::Status(404, String::new()),
        // Followed, each would lead to what is good.
        Manner::Status(302, format!("{}/.well-known/openid-configuration", at.other.issuer())),
        Manner::Document("{".to_owned()),
        document("https://evil.test", &format!("{issuer}/keys")),
        document(&format!("{issuer}/"), &format!("{issuer}/keys")),
        document(&issuer, "http://192.0.2.1/keys"),
        document(&issuer, "file:///etc/passwd"),
        Manner::Keys("{\"keys\": []}".to_owned()),
        Manner::Keys("<html>".to_owned()),
        Manner::Keys(json!({"keys": [{"kty": "oct", "kid": "rsa-1", "k": "AAAA", "alg": "HS256"}]}).to_string()),
        Manner::Keys(json!({"keys": [Key::Rsa.jwk(), Key::Rsa.jwk()]}).to_string()),
    ] {
        at.acme.be(manner.clone());
        // A call within a second after the one before has the answer of that fetch: the next fetch shows this manner.
        let fetched = at.acme.requests();
        let mut answer = login("acme", &token).to(at.here());
        for _ in 0..1_200 {
            if at.acme.requests() > fetched {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            answer = login("acme", &token).to(at.here());
        }
        assert_eq!(answer.verdict(), UNAVAILABLE, "{manner:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{manner:?}");
        // The other provider does not mind.
        let other = at.other.token("s1", &fresh_address("other"));
        assert_eq!(login("other", &other).settled(at.here()).verdict(), "200", "{manner:?}");
    }
    at.acme.be(Manner::Good);
    at.in_the_end("s2");
}

#[test]
fn keys_are_rotated_and_a_flood_of_unknown_ones_is_few_fetches() {
    let at = Federation::new(Kind::Sqlite, ONE, None);
    let verdict = |token: &str| login("acme", token).settled(at.here()).verdict();
    let claims = |subject: &str| at.acme.claims(subject, &fresh_address("rotated"));
    assert_eq!(verdict(&Key::Rsa.token(&claims("a"))), "200");
    assert_eq!(at.acme.fetches(), 1);
    // With what is known nothing is fetched, and with what is wrong in another way neither.
    assert_eq!(verdict(&Key::Rsa.token(&claims("b"))), "200");
    let mut stale = claims("a");
    stale["aud"] = json!("other");
    assert_eq!(verdict(&Key::Ec.token(&stale)), REFUSED);
    assert_eq!(at.acme.fetches(), 1);
    // A new key is found by the first token that it signs; the one before is gone with it.
    at.acme.publish(&[Key::Ec]);
    assert_eq!(verdict(&Key::Ec.token(&claims("a"))), "200");
    assert_eq!(at.acme.fetches(), 2);
    assert_eq!(verdict(&Key::Rsa.token(&claims("a"))), REFUSED);
    assert_eq!(at.acme.fetches(), 3);
    // A flood: the same unknown key, and a hundred others.
    for n in 0..100 {
        assert_eq!(verdict(&Key::Rsa.token(&claims("a"))), REFUSED);
        let header = json!({"alg": "ES256", "kid": format!("unknown-{n}")});
        assert_eq!(verdict(&Key::Ec.sign(&header, &claims("a"))), REFUSED);
    }
    // Three at once, and one in ten seconds.
    assert!(at.acme.fetches() < 60, "{}", at.acme.fetches());
    // What is known goes on being good, with the provider away too.
    at.acme.be(Manner::Down);
    assert_eq!(verdict(&Key::Ec.token(&claims("a"))), "200");
}

#[test]
fn refused_tokens_count_for_the_client_as_wrong_passwords_do() {
    let limits = "{ sign_in = \"3/h\", refresh = \"100000/min\" }";
    let at = Federation::new(Kind::Sqlite, ONE, Some(limits));
    let token = at.acme.token("s1", &fresh_address("limited"));
    // What succeeds does not count.
    for _ in 0..5 {
        assert_eq!(login("acme", &token).settled(at.here()).verdict(), "200");
    }
    for _ in 0..3 {
        assert_eq!(login("acme", "x.y.z").settled(at.here()).verdict(), REFUSED);
    }
    let limited = login("acme", &token).settled(at.here());
    assert_eq!(limited.verdict(), "429 RATE_LIMITED");
    assert!(limited.header("retry-after").is_some());
}

#[test]
fn a_guard_that_requires_a_verified_address_takes_the_providers_word_for_it_and_no_other() {
    let customer =
        "register = \"open\"\nrequire_verified_email = true\nsign_in = [\"password\", \"acme\", \"other\"]\n";
    let at = Federation::new(Kind::Sqlite, customer, None);
    let (held, free) = (fresh_address("held"), fresh_address("free"));
    at.account(&held, false);
    let of = |email: &str, verified: bool| {
        let mut claims = at.acme.claims(email, email);
        claims["email_verified"] = json!(verified);
        login("acme", &Key::Rsa.token(&claims)).settled(at.here()).verdict()
    };
    // The same for an address that is in use and one that is not.
    assert_eq!(of(&held, false), "403 UNVERIFIED");
    assert_eq!(of(&free, false), "403 UNVERIFIED");
    assert_eq!(of(&held, true), "409 CONFLICT");
    assert_eq!(of(&free, true), "200");
}
