//! What a header must and must not say.

use bekci_core::{TokenFault, TokenKind};

use crate::{
    algorithm::Algorithm,
    json::{self, Json, Members},
};

/// Parameters that ask for what is never done: extensions, keys and certificates out of the token or from elsewhere, compression, nesting, encryption
/// (RFC 7515 section 4.1, RFC 7797, RFC 7516 section 4.1).
const REFUSED: [&str; 11] = [
    "crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "zip", "cty", "enc",
];

/// Reads a header as JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Members, TokenFault> {
    json::object(bytes, 4).ok_or(TokenFault::Malformed(
        "the header is not a JSON object with each name once",
    ))
}

/// The `kid`, whatever it may be.
pub(crate) fn kid(header: &Members) -> Result<&str, TokenFault> {
    match header.get("kid") {
        Some(Json::Text(kid)) => Ok(kid),
        _ => Err(TokenFault::Header("kid is not one string")),
    }
}

/// Only what is signed here is in the header.
pub(crate) fn refused(header: &Members) -> Result<(), TokenFault> {
    match REFUSED.into_iter().find(|name| header.contains_key(*name)) {
        Some(name) => Err(TokenFault::Header(name)),
        None => Ok(()),
    }
}

/// The algorithm is the key's, spelt as the key's (RFC 8725 section 3.1).
pub(crate) fn algorithm(header: &Members, pinned: Algorithm) -> Result<(), TokenFault> {
    match header.get("alg") {
        Some(Json::Text(named)) if named == pinned.as_str() => Ok(()),
        _ => Err(TokenFault::Header("alg is not the key's")),
    }
}

/// The type is the kind's (RFC 8725 section 3.11): case does not count, and `application/` may stand before it (RFC 7515 section 4.1.9).
pub(crate) fn typ(header: &Members, kind: TokenKind) -> Result<(), TokenFault> {
    if kind_of(header) == Some(kind) {
        Ok(())
    } else {
        Err(TokenFault::Header("typ is not this kind's"))
    }
}

/// The kind that the `typ` names.
pub(crate) fn kind_of(header: &Members) -> Option<TokenKind> {
    let Some(Json::Text(typ)) = header.get("typ") else {
        return None;
    };
    let lower = typ.to_ascii_lowercase();
    let bare = lower.strip_prefix("application/").unwrap_or(&lower);
    [TokenKind::Access, TokenKind::Temporary, TokenKind::Internal]
        .into_iter()
        .find(|kind| kind.typ() == bare)
}
