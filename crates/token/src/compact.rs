//! The compact form (RFC 7515 section 7.1) taken apart.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::TokenFault;

/// Our own headers are about 80 bytes; what is allowed leaves room for a long `kid`.
const MAX_HEADER: usize = 1024;

/// Three parts, decoded but not believed.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    /// In base64url, and known to be canonical.
    pub(crate) signature: &'a str,
    /// What the signature is over.
    pub(crate) message: &'a str,
}

/// The header alone, for looking up the `kid`.
pub(crate) fn header(token: &str) -> Result<Vec<u8>, TokenFault> {
    let (header, _, _, _) = parts(token)?;
    decode_header(header)
}

/// All of it.
pub(crate) fn split(token: &str) -> Result<Compact<'_>, TokenFault> {
    let (header, payload, signature, message) = parts(token)?;
    let decoded = decode(signature)?;
    if decoded.is_empty() {
        return Err(TokenFault::Malformed("no signature"));
    }
    Ok(Compact {
        header: decode_header(header)?,
        payload: decode(payload)?,
        signature,
        message,
    })
}

fn parts(token: &str) -> Result<(&str, &str, &str, &str), TokenFault> {
    let wrong = TokenFault::Malformed("not three parts");
    let (message, signature) = token.rsplit_once('.').ok_or(wrong)?;
    let (header, payload) = message.split_once('.').ok_or(wrong)?;
    if payload.contains('.') {
        return Err(wrong);
    }
    Ok((header, payload, signature, message))
}

fn decode_header(header: &str) -> Result<Vec<u8>, TokenFault> {
    if header.len() > MAX_HEADER {
        return Err(TokenFault::Malformed("overlong header"));
    }
    decode(header)
}

/// Without padding, and with the unused bits of the last symbol zero, so that one sequence of bytes has one text.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFault::Malformed("not canonical base64url"))
}
