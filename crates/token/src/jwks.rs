//! The public keys, for others to verify with.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{algorithm::Algorithm, signing_key::PublicKey, store::LoadedKey};

/// A key as RFC 7517 section 4 writes it. There is no field that a private part could come into.
#[derive(Serialize)]
struct Jwk<'a> {
    kid: &'a str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: Algorithm,
    #[serde(flatten)]
    key: &'a PublicKey,
}

/// The JWK set of the keys that have a public part.
pub(crate) fn set<'a>(keys: impl Iterator<Item = &'a LoadedKey>) -> Value {
    let keys = keys.filter_map(|loaded| {
        serde_json::to_value(Jwk {
            kid: loaded.kid.as_str(),
            usage: "sig",
            alg: loaded.key.algorithm(),
            key: loaded.key.public()?,
        })
        .ok()
    });
    json!({ "keys": keys.collect::<Vec<Value>>() })
}
