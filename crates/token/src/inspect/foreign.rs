//! A token judged by keys that are not ours: `bekci token inspect --jwks F`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{Clock, TokenFault};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
};

use crate::{
    claims::Moment,
    crypto,
    inspect::{Inspection, Subject, parse_claims},
    json::{Json, Members},
};

/// A text that is no JWK set.
#[derive(Debug, thiserror::Error)]
#[error("not a JWK set (RFC 7517 section 5): {0}")]
pub struct JwksError(#[from] serde_json::Error);

/// Says what a token holds, and whether its signature and times are good by the keys of this JWK set. Issuer, audience and the other claims are
/// shown and not judged, since what they should be is not known here.
///
/// # Errors
/// [`JwksError`] where the text is no JWK set.
pub fn inspect_with_jwks(
    token: &str,
    jwks: &str,
    clock: &dyn Clock,
    leeway: time::Duration,
) -> Result<Inspection, JwksError> {
    let set: JwkSet = serde_json::from_str(jwks)?;
    let moment = Moment {
        now: clock.now().unix_timestamp(),
        leeway: leeway.whole_seconds(),
    };
    Ok(judge(Subject::read(token.trim()), &set, moment))
}

fn judge(mut subject: Subject<'_>, set: &JwkSet, moment: Moment) -> Inspection {
    let (Some(compact), Some(header)) = (subject.compact.take(), subject.header.take()) else {
        return subject.report.conclude();
    };
    let report = &mut subject.report;
    let jwk = report
        .kid
        .as_deref()
        .and_then(|kid| set.find(kid))
        .ok_or(TokenFault::UnknownKey);
    let Some(jwk) = report.keep("key", jwk) else {
        return subject.report.conclude();
    };
    let usable = usable(jwk, &header);
    if let Some((algorithm, key)) = report.keep("alg", usable) {
        let message = compact.message.as_bytes();
        report.keep(
            "signature",
            if crypto::verifies(compact.signature, message, &key, algorithm) {
                Ok(())
            } else {
                Err(TokenFault::Signature)
            },
        );
    }
    if let Some(claims) = report.keep("claims", parse_claims(&compact.payload)) {
        report.keep(
            "exp",
            time(
                &claims,
                "exp",
                true,
                |exp| moment.is_before_end(exp),
                TokenFault::Expired,
            ),
        );
        let future = |name| TokenFault::Claim(name);
        report.keep(
            "iat",
            time(&claims, "iat", false, |iat| moment.has_come(iat), future("iat")),
        );
        report.keep(
            "nbf",
            time(&claims, "nbf", false, |nbf| moment.has_come(nbf), future("nbf")),
        );
    }
    subject.report.conclude()
}

/// The key and its algorithm, where the header names one that such a key can have: never a symmetric one, which would make a published key a
/// secret, and the key's own where the set says it.
fn usable(jwk: &Jwk, header: &Members) -> Result<(Algorithm, DecodingKey), TokenFault> {
    let wrong = TokenFault::Header("alg is not the key's");
    let Some(Json::Text(named)) = header.get("alg") else {
        return Err(wrong);
    };
    let algorithm: Algorithm = named.parse().map_err(|_| wrong)?;
    if jwk.common.key_algorithm.is_some_and(|own| own.to_string() != *named) {
        return Err(wrong);
    }
    let width = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    let fits = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256 && width(&key.x) == 32,
            EllipticCurve::P384 => algorithm == Algorithm::ES384 && width(&key.x) == 48,
            _ => false,
        },
        // The library cuts the first 32 bytes out of whatever is there, and panics where there are fewer.
        AlgorithmParameters::OctetKeyPair(key) => {
            key.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA && width(&key.x) == 32
        }
        _ => false,
    };
    if !fits {
        return Err(wrong);
    }
    Ok((algorithm, DecodingKey::from_jwk(jwk).map_err(|_| wrong)?))
}

/// A time that another issuer wrote; a missing one is a fault only where it must be there.
fn time(
    claims: &Members,
    name: &'static str,
    required: bool,
    good: impl FnOnce(i64) -> bool,
    fault: TokenFault,
) -> Result<(), TokenFault> {
    match claims.get(name) {
        None if !required => Ok(()),
        Some(Json::Integer(value)) => match i64::try_from(*value) {
            Ok(seconds) if good(seconds) => Ok(()),
            Ok(_) => Err(fault),
            Err(_) => Err(TokenFault::Claim(name)),
        },
        _ => Err(TokenFault::Claim(name)),
    }
}
