//! Tokens that name where their key is to be had, several in one header, and one where none is looked for.

use std::net::TcpListener;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_test_support::unique;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::{
    echo::Echo,
    forge,
    house::{House, Kind},
    http::get,
    proxying::upgrade,
};

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

/// Signs with a key of the attacker's.
fn by_stranger(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = SigningKey::from_bytes(&[7; 32]).sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

#[test]
fn nothing_that_a_token_names_is_asked_for_a_key() {
    let house = house();
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let port = canary.local_addr().unwrap().port();
    let (header, claims) = forge::read(&house.signed_in().access);
    let public = URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
    let path = format!("/me/{}", unique("canary"));
    for (name, value) in [
        ("jku", json!(format!("http://127.0.0.1:{port}/jwks"))),
        ("jku", json!(format!("https://localhost:{port}/jwks"))),
        ("jku", json!(format!("http://[::1]:{port}/"))),
        ("jku", json!("file:///etc/passwd")),
        ("x5u", json!(format!("http://127.0.0.1:{port}/chain.pem"))),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": public})),
        ("iss", json!(format!("http://127.0.0.1:{port}"))),
    ] {
        let mut header = header.clone();
        header[name] = value.clone();
        let own_kid = header["kid"].take();
        for kid in [
            own_kid,
            json!(format!("http://127.0.0.1:{port}/kid")),
            json!("../../root"),
        ] {
            header["kid"] = kid;
            let mut claims = claims.clone();
            if name == "iss" {
                claims["iss"] = value.clone();
            }
            let answer = get(&path).bearer(&by_stranger(&header, &claims)).to(house.address());
            assert!(
                matches!(&*answer.verdict(), "401 TOKEN_INVALID" | "401 GUARD_MISMATCH"),
                "{header}: {}",
                answer.verdict()
            );
        }
    }
    assert!(!Echo::shared().saw(&path));
    let nobody = canary.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "the key was asked for");
}

#[test]
fn what_is_several_credentials_in_one_header_is_not_one_of_them() {
    let house = house();
    let (own, other) = (house.signed_in().access, house.signed_in().access);
    let path = format!("/me/{}", unique("listed"));
    for value in [
        format!("Bearer {own}, Bearer {other}"),
        format!("Bearer {own},{other}"),
        format!("Bearer {own} {other}"),
        format!("Bearer {own}, Basic YTpi"),
        format!("Basic YTpi, Bearer {own}"),
        format!("Bearer {own}; realm=x"),
        format!("Bearer token=\"{own}\""),
        format!("Bearer Bearer {own}"),
        format!("Bearer: {own}"),
        format!("Bearer{own}"),
        format!("Token {own}"),
    ] {
        let answer = get(&path).header("authorization", &value).to(house.address());
        assert!(matches!(answer.status, 400 | 401), "{value}: {}", answer.verdict());
    }
    assert!(!Echo::shared().saw(&path));
}

#[test]
fn a_websocket_is_let_in_by_the_credentials_of_any_request_and_by_no_others() {
    let house = house();
    let token = house.signed_in().access;
    let path = format!("/ws/{}", unique("protocol"));
    for protocol in [
        token.clone(),
        format!("bearer, {token}"),
        format!("base64url.bearer.authorization.k8s.io.{token}, chat"),
    ] {
        let asked = upgrade(&path).header("sec-websocket-protocol", &protocol);
        assert_eq!(asked.to(house.address()).verdict(), "401 TOKEN_MISSING");
    }
    for target in [format!("{path}?access_token={token}"), format!("{path}?token={token}")] {
        assert_eq!(upgrade(&target).to(house.address()).verdict(), "401 TOKEN_MISSING");
    }
    let cookie = format!("__Host-bekci_customer_at={token}");
    for origin in [
        "https://evil.test",
        "null",
        "http://bekci.test",
        "https://bekci.test.evil.test",
    ] {
        let asked = upgrade(&path).header("cookie", &cookie).header("origin", origin);
        assert_eq!(asked.to(house.address()).verdict(), "403 CSRF_REJECTED", "{origin}");
    }
    assert!(!Echo::shared().saw(&path));
}
