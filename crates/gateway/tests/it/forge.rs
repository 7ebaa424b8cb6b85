//! Tokens signed with a house's own keys: good signatures over whatever is asked.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer, SigningKey, pkcs8::DecodePrivateKey};
use serde_json::Value;

use crate::house::House;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Header and claims of a token.
pub fn read(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut next = || serde_json::from_slice(&parts.next().unwrap().unwrap()).unwrap();
    (next(), next())
}

/// Signs with the key of this guard.
pub fn sign(house: &House, guard: &str, header: &Value, claims: &Value) -> String {
    let pem = std::fs::read_to_string(house.key_file(guard)).unwrap();
    let inside = pem.lines().skip_while(|line| !line.starts_with("-----BEGIN"));
    let der: String = inside.filter(|line| !line.starts_with("-----")).collect();
    let key = SigningKey::from_pkcs8_der(&STANDARD.decode(der).unwrap()).unwrap();
    let text = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// A good token with some claims changed, signed anew; `null` takes a claim out.
pub fn changed(house: &House, guard: &str, token: &str, changes: &Value) -> String {
    let (header, mut claims) = read(token);
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    sign(house, guard, &header, &claims)
}
