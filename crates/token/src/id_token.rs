//! ID tokens of identity providers (OpenID Connect Core section 3.1.3.7), verified by the provider's public keys.
//!
//! 1. A key verifies by the algorithms of its own type alone, and by the one that its JWK names. Symmetric keys are never used, so a client secret or a published key signs
//!    nothing. RSA keys have 2048 bits or more.
//! 2. A `kid` that two keys have is the one of neither.
//! 3. Header and claims are checked first. So a token that is wrong in any other way never makes the keys be fetched again.
//! 4. Each `aud` is a client id of ours, and so is `azp` where it is there. Several need an `azp`.
//! 5. `nonce` is what was sent. A token with a nonce that the client does not present is refused.

use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    BearerToken, TokenFault,
    idp::{ExpectedIdToken, IdTokenClaims, IdpKeyReader, IdpKeys, Nonce},
};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    algorithm::Algorithm,
    claims::{self, Moment},
    compact, crypto, header,
    json::{Json, Members},
};

/// How many keys a set may have. Providers publish two to ten.
const MOST_KEYS: usize = 64;
/// The fewest bits of an RSA modulus (RFC 7518 section 3.3).
const RSA_LEAST_BITS: usize = 2048;
/// The most that are verified with.
const RSA_MOST_BITS: usize = 4096;
/// The longest time from `iat` to `exp`. Apple's tokens last a day, others an hour or less.
const LONGEST: i64 = 2 * 86_400;
/// The longest `sub` (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;
/// The longest name that is taken, in characters.
const MAX_NAME_CHARS: usize = 200;

/// Header parameters that would have a token verified by a key of its own, or change what is signed. `x5t` names a certificate of the key and is not read.
const REFUSED: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc"];

/// Reads JWK sets of identity providers.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdpKeySets;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// A key that can verify ID tokens.
struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of a provider.
struct KeySet(Vec<Key>);

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeySet({} keys)", self.0.len())
    }
}

impl IdpKeyReader for IdpKeySets {
    fn read(&self, jwks: &[u8]) -> Result<Arc<dyn IdpKeys>, String> {
        let set: Set = serde_json::from_slice(jwks).map_err(|error| format!("its keys are no JWK set: {error}"))?;
        if set.keys.len() > MOST_KEYS {
            return Err(format!("its JWK set has more than {MOST_KEYS} keys"));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for kid in set.keys.iter().filter_map(|key| key.get("kid")?.as_str()) {
            *counts.entry(kid.to_owned()).or_default() += 1;
        }
        let is_one = |key: &Key| key.kid.as_ref().is_none_or(|kid| counts.get(kid) == Some(&1));
        let keys: Vec<Key> = set.keys.into_iter().filter_map(usable).filter(is_one).collect();
        if keys.is_empty() {
            return Err("its JWK set has no key that can be used here".to_owned());
        }
        Ok(Arc::new(KeySet(keys)))
    }
}

/// The key of a JWK that is for signatures, of a kind and strength that is accepted.
fn usable(jwk: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let is_for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = jwk.common.key_operations.as_ref();
    let verifies = operations.is_none_or(|named| named.contains(&KeyOperations::Verify));
    if !is_for_signatures || !verifies {
        return None;
    }
    let mut algorithms = algorithms(&jwk.algorithm)?;
    if let Some(own) = &jwk.common.key_algorithm {
        let own = own.to_string();
        algorithms.retain(|algorithm| algorithm.as_str() == own);
    }
    if algorithms.is_empty() {
        return None;
    }
    Some(Key {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        kid: jwk.common.key_id,
        algorithms,
    })
}

/// By which algorithms a key of this kind verifies; `None`: it is not used.
fn algorithms(parameters: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    let width = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    match parameters {
        AlgorithmParameters::RSA(key) if cfg!(feature = "rsa") => {
            let bits = bits(&key.n)?;
            let fits = (RSA_LEAST_BITS..=RSA_MOST_BITS).contains(&bits);
            fits.then(|| vec![Algorithm::Rs256, Algorithm::Ps256])
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 if width(&key.x) == 32 && width(&key.y) == 32 => Some(vec![Algorithm::Es256]),
            EllipticCurve::P384 if width(&key.x) == 48 && width(&key.y) == 48 => Some(vec![Algorithm::Es384]),
            _ => None,
        },
        // The library cuts the first 32 bytes out of longer ones, and panics where there are fewer.
        AlgorithmParameters::OctetKeyPair(key) => {
            let fits = key.curve == EllipticCurve::Ed25519 && width(&key.x) == 32;
            fits.then(|| vec![Algorithm::EdDsa])
        }
        _ => None,
    }
}

/// The bits of a number.
fn bits(text: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let at = bytes.iter().position(|byte| *byte != 0)?;
    let first = bytes.get(at)?;
    let zeros = usize::try_from(first.leading_zeros()).ok()?;
    Some((bytes.len() - at) * 8 - zeros)
}

/// The algorithm that a header names, if keys of providers sign by it.
fn algorithm_of(header: &Members) -> Result<Algorithm, TokenFault> {
    let wrong = TokenFault::Header("alg is none that is accepted");
    let Some(Json::Text(named)) = header.get("alg") else {
        return Err(wrong);
    };
    let algorithm: Algorithm = named.parse().map_err(|_| wrong)?;
    if algorithm.is_symmetric() {
        return Err(wrong);
    }
    Ok(algorithm)
}

fn kid_of(header: &Members) -> Result<Option<&str>, TokenFault> {
    match header.get("kid") {
        None => Ok(None),
        Some(Json::Text(kid)) => Ok(Some(kid)),
        Some(_) => Err(TokenFault::Header("kid is not one string")),
    }
}

/// An ID token has no type of its own: `JWT` or none. A token of another type is no ID token (RFC 8725 section 3.11).
fn check_header(header: &Members) -> Result<(), TokenFault> {
    if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenFault::Header(name));
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Json::Text(typ)) => {
            let lower = typ.to_ascii_lowercase();
            match lower.strip_prefix("application/").unwrap_or(&lower) {
                "jwt" => Ok(()),
                _ => Err(TokenFault::Header("typ is not an ID token's")),
            }
        }
        Some(_) => Err(TokenFault::Header("typ is not one string")),
    }
}

impl KeySet {
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenFault> {
        match kid {
            Some(kid) => {
                let key = self.0.iter().find(|key| key.kid.as_deref() == Some(kid));
                let key = key.ok_or(TokenFault::UnknownKey)?;
                let fits = key.algorithms.contains(&algorithm);
                fits.then_some(key).ok_or(TokenFault::Header("alg is not the key's"))
            }
            None => {
                let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
                match (fitting.next(), fitting.next()) {
                    (Some(key), None) => Ok(key),
                    _ => Err(TokenFault::Header("kid names no key")),
                }
            }
        }
    }
}

impl IdpKeys for KeySet {
    fn verify(&self, token: &str, expected: &ExpectedIdToken<'_>) -> Result<IdTokenClaims, TokenFault> {
        let token = BearerToken::new(token)?.expose();
        let compact = compact::split(token)?;
        let header = header::parse(&compact.header)?;
        check_header(&header)?;
        let algorithm = algorithm_of(&header)?;
        // For its rules alone: each name once, and bounded nesting.
        claims::parse(&compact.payload)?;
        let claims: Map<String, Value> = serde_json::from_slice(&compact.payload)
            .map_err(|_| TokenFault::Malformed("the claims are not a JSON object"))?;
        let claims = Claims(&claims).judge(expected)?;
        let key = self.find(kid_of(&header)?, algorithm)?;
        let message = compact.message.as_bytes();
        match crypto::verifies(compact.signature, message, &key.key, algorithm.jsonwebtoken()) {
            true => Ok(claims),
            false => Err(TokenFault::Signature),
        }
    }

    fn kid(&self, token: &str) -> Option<String> {
        let header = header::parse(&compact::header(token).ok()?).ok()?;
        kid_of(&header).ok().flatten().map(str::to_owned)
    }
}

/// The claims of an ID token.
struct Claims<'a>(&'a Map<String, Value>);

impl Claims<'_> {
    fn judge(&self, expected: &ExpectedIdToken<'_>) -> Result<IdTokenClaims, TokenFault> {
        let issuer = self.text("iss")?;
        if !expected.issuers.contains(&issuer) {
            return Err(TokenFault::Claim("iss"));
        }
        self.audience(expected.audiences)?;
        self.nonce(expected.nonce)?;
        let subject = self.text("sub")?;
        let is_subject =
            (1..=MAX_SUBJECT).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_subject {
            return Err(TokenFault::Claim("sub"));
        }
        self.times(Moment {
            now: expected.now.unix_timestamp(),
            leeway: expected.leeway.whole_seconds(),
        })?;
        Ok(IdTokenClaims {
            subject: subject.to_owned(),
            email: self.0.get("email").and_then(Value::as_str).map(str::to_owned),
            email_verified: is_true(self.0.get("email_verified")),
            name: self.0.get("name").and_then(Value::as_str).and_then(tidy),
        })
    }

    fn text(&self, name: &'static str) -> Result<&str, TokenFault> {
        self.0.get(name).and_then(Value::as_str).ok_or(TokenFault::Claim(name))
    }

    fn seconds(&self, name: &'static str) -> Result<i64, TokenFault> {
        self.0.get(name).and_then(Value::as_i64).ok_or(TokenFault::Claim(name))
    }

    fn audience(&self, ours: &[String]) -> Result<(), TokenFault> {
        let is_ours = |audience: &str| ours.iter().any(|own| own == audience);
        let is_one_of_several = match self.0.get("aud") {
            Some(Value::String(audience)) if is_ours(audience) => false,
            Some(Value::Array(audiences)) => {
                let all_ours = audiences.iter().all(|audience| audience.as_str().is_some_and(is_ours));
                if audiences.is_empty() || !all_ours {
                    return Err(TokenFault::Claim("aud"));
                }
                audiences.len() > 1
            }
            _ => return Err(TokenFault::Claim("aud")),
        };
        match self.0.get("azp") {
            None if is_one_of_several => Err(TokenFault::Claim("azp")),
            None => Ok(()),
            Some(Value::String(party)) if is_ours(party) => Ok(()),
            Some(_) => Err(TokenFault::Claim("azp")),
        }
    }

    fn nonce(&self, expected: Nonce<'_>) -> Result<(), TokenFault> {
        let wrong = TokenFault::Claim("nonce");
        let held = match self.0.get("nonce") {
            None => None,
            Some(Value::String(nonce)) => Some(nonce.as_str()),
            Some(_) => return Err(wrong),
        };
        let fits = match expected {
            Nonce::Sent(sent) => held == Some(sent),
            Nonce::Presented(None) => held.is_none(),
            Nonce::Presented(Some(presented)) => {
                held.is_some_and(|held| held == presented || held == sha256_hex(presented))
            }
        };
        fits.then_some(()).ok_or(wrong)
    }

    fn times(&self, moment: Moment) -> Result<(), TokenFault> {
        let (issued, expires) = (self.seconds("iat")?, self.seconds("exp")?);
        if !moment.has_come(issued) {
            return Err(TokenFault::Claim("iat"));
        }
        if self.0.contains_key("nbf") && !moment.has_come(self.seconds("nbf")?) {
            return Err(TokenFault::Claim("nbf"));
        }
        let lives = i128::from(expires) - i128::from(issued);
        if lives <= 0 || lives > i128::from(LONGEST) {
            return Err(TokenFault::Claim("the time from iat to exp"));
        }
        match moment.is_before_end(expires) {
            true => Ok(()),
            false => Err(TokenFault::Expired),
        }
    }
}

/// `true`, or the text `"true"`, which Apple sends. Nothing else is.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A name fit to be stored and shown; `None` where nothing is left.
fn tidy(name: &str) -> Option<String> {
    let tidy: String = name
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME_CHARS)
        .collect();
    (!tidy.is_empty()).then_some(tidy)
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_verified_by_true_alone_or_by_apples_text() {
        for good in [json!(true), json!("true")] {
            assert!(is_true(Some(&good)), "{good}");
        }
        for bad in [
            json!(1),
            json!("TRUE"),
            json!("True"),
            json!("yes"),
            json!("1"),
            json!([]),
            json!([true]),
            json!({}),
            json!(null),
            json!(false),
            json!("false"),
        ] {
            assert!(!is_true(Some(&bad)), "{bad}");
        }
        assert!(!is_true(None));
    }

    #[test]
    fn the_bits_of_a_modulus_do_not_count_leading_zeros() {
        let number = |bytes: &[u8]| bits(&URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(number(&[0x80; 256]), Some(2048));
        assert_eq!(number(&[&[0; 128][..], &[0xFF; 128]].concat()), Some(1024));
        assert_eq!(number(&[1]), Some(1));
        assert_eq!(number(&[0, 0]), None);
    }

    #[test]
    fn a_name_is_made_fit_to_be_shown() {
        assert_eq!(tidy(" Ada\r\n\u{1b}[1m "), Some("Ada[1m".to_owned()));
        assert_eq!(tidy("\n"), None);
        assert_eq!(tidy(&"ş".repeat(300)), Some("ş".repeat(200)));
    }
}
