//! ID tokens of an identity provider: real keys of each kind sign what is good, and whatever else is presented.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    TokenFault,
    idp::{ExpectedIdToken, IdTokenClaims, IdpKeyReader, IdpKeys, Nonce},
};
use bekci_token::IdpKeySets;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm as Jwt, EncodingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng, traits::PublicKeyParts as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use crate::forge::NOW;

const ISSUER: &str = "https://id.test";
const SECRET: &str = "the client secret of the web page";

/// A key of a provider.
struct Signer {
    algorithm: Jwt,
    key: EncodingKey,
    jwk: Value,
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_of(bits: usize, kid: &str) -> Signer {
    let key = RsaPrivateKey::new(&mut OsRng, bits).unwrap();
    let jwk = json!({
        "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
        "n": base64url(key.n().to_bytes_be()), "e": base64url(key.e().to_bytes_be()),
    });
    Signer {
        algorithm: Jwt::RS256,
        key: EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes()),
        jwk,
    }
}

static RSA: LazyLock<Signer> = LazyLock::new(|| rsa_of(2048, "rsa"));
static WEAK: LazyLock<Signer> = LazyLock::new(|| rsa_of(1024, "weak"));
static EC: LazyLock<Signer> = LazyLock::new(|| {
    let key = p256::SecretKey::random(&mut OsRng);
    let point = key.public_key().to_encoded_point(false);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig",
        "x": base64url(point.x().unwrap()), "y": base64url(point.y().unwrap()),
    });
    Signer {
        algorithm: Jwt::ES256,
        key: EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes()),
        jwk,
    }
});
static ED: LazyLock<Signer> = LazyLock::new(|| {
    let key = ed25519_dalek::SigningKey::generate(&mut OsRng);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64url(key.verifying_key().as_bytes())});
    Signer {
        algorithm: Jwt::EdDSA,
        key: EncodingKey::from_ed_der(key.to_pkcs8_der().unwrap().as_bytes()),
        jwk,
    }
});

impl Signer {
    fn kid(&self) -> &str {
        self.jwk["kid"].as_str().unwrap()
    }

    fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.kid(), "typ": "JWT"})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(&header.to_string(), &claims.to_string(), &self.key, self.algorithm)
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }
}

fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Jwt) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "web", "sub": "108", "iat": NOW, "exp": NOW + 3600,
        "email": "ada@example.com", "email_verified": true, "name": "Ada",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn set(keys: &[Value]) -> Arc<dyn IdpKeys> {
    IdpKeySets.read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn all() -> Arc<dyn IdpKeys> {
    set(&[RSA.jwk.clone(), EC.jwk.clone(), ED.jwk.clone()])
}

fn judged(keys: &dyn IdpKeys, token: &str, nonce: Nonce<'_>) -> Result<IdTokenClaims, TokenFault> {
    keys.verify(
        token,
        &ExpectedIdToken {
            issuers: &[ISSUER],
            audiences: &["web".to_owned(), "android".to_owned()],
            nonce,
            now: OffsetDateTime::from_unix_timestamp(NOW).unwrap(),
            leeway: Duration::seconds(5),
        },
    )
}

fn judge(token: &str) -> Result<IdTokenClaims, TokenFault> {
    judged(&*all(), token, Nonce::Presented(None))
}

/// Whether keys of RSA are built in.
const HAS_RSA: bool = cfg!(feature = "rsa");

#[test]
fn a_token_of_each_kind_of_key_is_verified() {
    for signer in [&*RSA, &*EC, &*ED] {
        let told = judge(&signer.token(&claims()));
        if signer.algorithm == Jwt::RS256 && !HAS_RSA {
            assert_eq!(told, Err(TokenFault::UnknownKey));
            continue;
        }
        let told = told.unwrap();
        assert_eq!((told.subject.as_str(), told.email_verified), ("108", true));
        assert_eq!(told.email.as_deref(), Some("ada@example.com"));
        assert_eq!(told.name.as_deref(), Some("Ada"));
    }
}

#[test]
fn a_token_without_a_signature_or_by_a_shared_secret_is_refused() {
    let message = |header: &str| format!("{}.{}", base64url(header), base64url(claims().to_string()));
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": alg, "kid": "ec"}).to_string();
        for token in [
            format!("{}.", message(&header)),
            format!("{}.AA", message(&header)),
            message(&header),
        ] {
            assert!(judge(&token).is_err(), "{alg} {token}");
        }
    }
    // The secret of the client, and each form in which the public keys are published.
    let jwk = RSA.jwk.to_string();
    let n = URL_SAFE_NO_PAD.decode(RSA.jwk["n"].as_str().unwrap()).unwrap();
    let x = URL_SAFE_NO_PAD.decode(EC.jwk["x"].as_str().unwrap()).unwrap();
    for secret in [SECRET.as_bytes(), jwk.as_bytes(), &n, &x, b""] {
        for (alg, algorithm) in [("HS256", Jwt::HS256), ("HS384", Jwt::HS384), ("HS512", Jwt::HS512)] {
            for kid in ["rsa", "ec", "ed"] {
                let header = json!({"alg": alg, "kid": kid}).to_string();
                let token = signed(
                    &header,
                    &claims().to_string(),
                    &EncodingKey::from_secret(secret),
                    algorithm,
                );
                let told = judge(&token);
                assert_eq!(
                    told,
                    Err(TokenFault::Header("alg is none that is accepted")),
                    "{alg} {kid}"
                );
            }
        }
    }
}

#[test]
fn an_algorithm_belongs_to_its_key() {
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let wrong = Err(TokenFault::Header("alg is not the key's"));
    assert_eq!(judge(&EC.sign(&header("ES256", "ed"), &claims())), wrong);
    assert_eq!(judge(&ED.sign(&header("EdDSA", "ec"), &claims())), wrong);
    assert_eq!(judge(&EC.sign(&header("ES384", "ec"), &claims())), wrong);
    // Signed by another key of the same kind.
    let stranger = Signer {
        algorithm: Jwt::ES256,
        key: EncodingKey::from_ec_der(p256::SecretKey::random(&mut OsRng).to_pkcs8_der().unwrap().as_bytes()),
        jwk: EC.jwk.clone(),
    };
    assert_eq!(judge(&stranger.token(&claims())), Err(TokenFault::Signature));
    if HAS_RSA {
        // The JWK names RS256.
        assert_eq!(judge(&RSA.sign(&header("PS256", "rsa"), &claims())), wrong);
    }
}

#[test]
fn a_header_that_names_other_keys_or_another_type_is_refused() {
    for (name, value) in [
        ("jwk", EC.jwk.clone()),
        ("jku", json!("https://evil.test/keys")),
        ("x5u", json!("https://evil.test/x")),
        ("x5c", json!(["AA"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("typ", json!("at+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!(1)),
        ("kid", json!(["ec"])),
        ("kid", json!(null)),
        ("alg", json!(["ES256"])),
    ] {
        let mut header = EC.header();
        header[name] = value;
        let told = judge(&EC.sign(&header, &claims()));
        assert!(matches!(told, Err(TokenFault::Header(_))), "{name}: {told:?}");
    }
    for (name, value) in [
        ("typ", json!("jwt")),
        ("typ", json!("application/JWT")),
        ("x5t", json!("AA")),
    ] {
        let mut header = EC.header();
        header[name] = value;
        assert!(judge(&EC.sign(&header, &claims())).is_ok(), "{name}");
    }
}

#[test]
fn issuer_audience_and_party_are_compared_exactly() {
    for iss in [
        "http://id.test",
        "https://id.test/",
        "https://ID.test",
        "https://evil.test",
        "",
    ] {
        assert_eq!(
            judge(&EC.token(&with("iss", json!(iss)))),
            Err(TokenFault::Claim("iss")),
            "{iss}"
        );
    }
    for aud in [
        json!("other"),
        json!("we"),
        json!("web2"),
        json!("WEB"),
        json!([]),
        json!(["web", "other"]),
        json!(["other"]),
        json!([["web"]]),
        json!({"web": 1}),
        json!(null),
        json!(1),
    ] {
        assert_eq!(
            judge(&EC.token(&with("aud", aud.clone()))),
            Err(TokenFault::Claim("aud")),
            "{aud}"
        );
    }
    let mut both = with("aud", json!(["web", "android"]));
    assert_eq!(judge(&EC.token(&both)), Err(TokenFault::Claim("azp")));
    both["azp"] = json!("android");
    assert!(judge(&EC.token(&both)).is_ok());
    assert!(judge(&EC.token(&with("aud", json!(["android"])))).is_ok());
    assert!(judge(&EC.token(&with("azp", json!("android")))).is_ok());
    for azp in [json!("other"), json!(["web"]), json!(null), json!("")] {
        assert_eq!(
            judge(&EC.token(&with("azp", azp.clone()))),
            Err(TokenFault::Claim("azp")),
            "{azp}"
        );
    }
    for claim in ["iss", "aud", "sub", "iat", "exp"] {
        assert_eq!(judge(&EC.token(&without(claim))), Err(TokenFault::Claim(claim)));
    }
    for sub in [
        json!(""),
        json!(108),
        json!("a b"),
        json!("ş"),
        json!("a\0"),
        json!("x".repeat(256)),
    ] {
        assert_eq!(
            judge(&EC.token(&with("sub", sub.clone()))),
            Err(TokenFault::Claim("sub")),
            "{sub}"
        );
    }
}

#[test]
fn times_are_whole_seconds_and_a_token_is_good_within_them() {
    let between = |iat: Value, exp: Value| {
        let mut claims = with("iat", iat);
        claims["exp"] = exp;
        judge(&EC.token(&claims)).map(|_| ())
    };
    assert_eq!(between(json!(NOW + 5), json!(NOW + 60)), Ok(()));
    assert_eq!(between(json!(NOW + 6), json!(NOW + 60)), Err(TokenFault::Claim("iat")));
    assert_eq!(between(json!(NOW - 60), json!(NOW - 4)), Ok(()));
    assert_eq!(between(json!(NOW - 60), json!(NOW - 5)), Err(TokenFault::Expired));
    assert_eq!(between(json!(NOW - 86_400), json!(NOW + 60)), Ok(()));
    let lifetime = Err(TokenFault::Claim("the time from iat to exp"));
    assert_eq!(between(json!(NOW - 200_000), json!(NOW + 60)), lifetime);
    assert_eq!(between(json!(NOW), json!(i64::MAX)), lifetime);
    assert_eq!(between(json!(i64::MIN), json!(NOW + 60)), lifetime);
    assert_eq!(between(json!(NOW), json!(NOW)), lifetime);
    for bad in [
        json!(NOW.to_string()),
        json!(1.5),
        json!(1e9),
        json!(u64::MAX),
        json!(null),
        json!([NOW]),
    ] {
        assert_eq!(
            between(bad.clone(), json!(NOW + 60)),
            Err(TokenFault::Claim("iat")),
            "{bad}"
        );
        assert_eq!(between(json!(NOW), bad.clone()), Err(TokenFault::Claim("exp")), "{bad}");
    }
    assert_eq!(
        judge(&EC.token(&with("nbf", json!(NOW + 60)))),
        Err(TokenFault::Claim("nbf"))
    );
    assert!(judge(&EC.token(&with("nbf", json!(NOW)))).is_ok());
}

#[test]
fn a_nonce_is_what_was_sent_or_presented_and_is_not_left_out() {
    let keys = all();
    let hashed: String = Sha256::digest("raw").iter().map(|byte| format!("{byte:02x}")).collect();
    let token = |nonce: Value| EC.token(&with("nonce", nonce));
    let good = [
        (token(json!("n1")), Nonce::Presented(Some("n1"))),
        (token(json!(hashed)), Nonce::Presented(Some("raw"))),
        (token(json!("n1")), Nonce::Sent("n1")),
        (EC.token(&claims()), Nonce::Presented(None)),
    ];
    for (token, nonce) in good {
        assert!(judged(&*keys, &token, nonce).is_ok(), "{nonce:?}");
    }
    let bad = [
        (token(json!("n1")), Nonce::Presented(None)),
        (token(json!("n1")), Nonce::Presented(Some("n2"))),
        (token(json!("n1")), Nonce::Presented(Some(""))),
        (token(json!("n1")), Nonce::Sent("N1")),
        (token(json!(["n1"])), Nonce::Sent("n1")),
        (token(json!(null)), Nonce::Presented(None)),
        (EC.token(&claims()), Nonce::Presented(Some("n1"))),
        (EC.token(&claims()), Nonce::Sent("n1")),
        (EC.token(&claims()), Nonce::Sent("")),
        // What the server sent itself is not hashed.
        (token(json!(hashed)), Nonce::Sent("raw")),
    ];
    for (token, nonce) in bad {
        assert_eq!(
            judged(&*keys, &token, nonce),
            Err(TokenFault::Claim("nonce")),
            "{nonce:?}"
        );
    }
}

#[test]
fn claims_that_can_be_read_in_two_ways_are_refused() {
    let header = EC.header().to_string();
    let text = claims().to_string();
    let doubled = text.replacen('{', r#"{"sub":"1","#, 1);
    let escaped = text.replacen('{', r#"{"\u0073ub":"1","#, 1);
    let deep = text.replacen('{', &format!(r#"{{"x":{}1{},"#, "[".repeat(40), "]".repeat(40)), 1);
    for claims in [doubled.as_str(), &escaped, &deep, "[]", "", "null", "{} {}"] {
        let told = judge(&signed(&header, claims, &EC.key, EC.algorithm));
        assert!(matches!(told, Err(TokenFault::Malformed(_))), "{claims}: {told:?}");
    }
    let good = EC.token(&claims());
    for token in [
        format!("{good}."),
        format!(".{good}"),
        good.replace('.', ".."),
        format!("{good}="),
        format!("{good} "),
        good.repeat(20),
        String::new(),
        "x".to_owned(),
    ] {
        assert!(judge(&token).is_err(), "{token}");
    }
}

#[test]
fn only_a_token_that_is_good_otherwise_is_said_to_have_an_unknown_key() {
    let header = json!({"alg": "ES256", "kid": "newer"});
    assert_eq!(judge(&EC.sign(&header, &claims())), Err(TokenFault::UnknownKey));
    assert_eq!(all().kid(&EC.sign(&header, &claims())).as_deref(), Some("newer"));
    for claims in [
        with("aud", json!("other")),
        with("exp", json!(NOW - 60)),
        with("nonce", json!("x")),
    ] {
        let told = judge(&EC.sign(&header, &claims));
        assert!(matches!(told, Err(TokenFault::Claim(_))), "{told:?}");
    }
}

#[test]
fn without_a_kid_the_one_key_of_the_algorithm_verifies() {
    let header = json!({"alg": "ES256"});
    assert!(judge(&EC.sign(&header, &claims())).is_ok());
    let mut twin = EC.jwk.clone();
    twin["kid"] = json!("twin");
    let two = set(&[EC.jwk.clone(), twin]);
    let told = judged(&*two, &EC.sign(&header, &claims()), Nonce::Presented(None));
    assert_eq!(told, Err(TokenFault::Header("kid names no key")));
}

#[test]
fn keys_that_are_weak_secret_doubled_or_for_something_else_are_not_used() {
    let changed = |change: &[(&str, Value)]| {
        let mut jwk = EC.jwk.clone();
        for (name, value) in change {
            jwk[*name] = value.clone();
        }
        jwk
    };
    let shared = json!({"kty": "oct", "kid": "ec", "k": base64url(SECRET), "alg": "HS256"});
    let stranger = json!({"kty": "EC", "kid": "ec", "crv": "P-256", "x": EC.jwk["y"], "y": EC.jwk["x"]});
    for keys in [
        vec![WEAK.jwk.clone()],
        vec![shared.clone()],
        vec![EC.jwk.clone(), shared.clone()],
        vec![EC.jwk.clone(), stranger],
        vec![EC.jwk.clone(), EC.jwk.clone()],
        vec![changed(&[("use", json!("enc"))])],
        vec![changed(&[("key_ops", json!(["encrypt"]))])],
        vec![changed(&[("alg", json!("ES384"))])],
        vec![changed(&[("crv", json!("P-521"))])],
        vec![changed(&[("x", json!("AA"))])],
        vec![changed(&[("kty", json!("AKP"))])],
        vec![json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "AA"})],
        vec![json!(1), json!(null), json!([])],
        vec![],
        vec![EC.jwk.clone(); 65],
    ] {
        let read = IdpKeySets.read(json!({"keys": keys}).to_string().as_bytes());
        assert!(read.is_err(), "{keys:?}");
    }
    for text in ["", "[]", "{}", "{\"keys\": {}}", "\"keys\""] {
        assert!(IdpKeySets.read(text.as_bytes()).is_err(), "{text}");
    }
    // Beside one that can be used they do no harm.
    let keys = set(&[shared_with("oct"), WEAK.jwk.clone(), json!(7), EC.jwk.clone()]);
    assert!(judged(&*keys, &EC.token(&claims()), Nonce::Presented(None)).is_ok());
    let weak = judged(&*keys, &WEAK.token(&claims()), Nonce::Presented(None));
    assert_eq!(weak, Err(TokenFault::UnknownKey));
}

fn shared_with(kid: &str) -> Value {
    json!({"kty": "oct", "kid": kid, "k": base64url(SECRET)})
}
