//! The headers that tell an upstream who acts.
//!
//! All of them are there on every request for which somebody was let in, empty where there is no value, so that none can be taken over from a client. A value has only
//! visible ASCII and single spaces inside: every other byte, and `%`, is percent-encoded (RFC 3986 section 2.1), so that nothing can end a header.

mod remembered;

use actix_web::web::{Bytes, BytesMut};
use bekci_core::Principal;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The headers that are told of everybody. Those of attributes are told besides.
pub(crate) const ALWAYS_TOLD: [&str; 9] = [
    "x-auth-guard",
    "x-auth-model",
    "x-auth-id",
    "x-auth-key",
    "x-auth-tenant",
    "x-auth-roles",
    "x-auth-permissions",
    "x-auth-session",
    "x-auth-token",
];

/// The most bytes that one value may have before it is encoded.
const MAX_VALUE: usize = 8 * 1024;

/// The header lines that tell who acts, each ended by CR LF: what an upstream receives and a decision endpoint answers, but for the token.
pub(crate) fn identity_lines(principal: &Principal) -> Bytes {
    remembered::lines_of(principal)
}

/// Writes the header lines for a principal and, where there is one, the token made for its upstream.
pub(super) fn write(out: &mut BytesMut, principal: &Principal, token: Option<&SecretString>) {
    out.extend_from_slice(&identity_lines(principal));
    if let Some(token) = token {
        // Base64url and dots (RFC 7515 section 7.1): nothing of it needs to be encoded.
        for part in ["x-auth-token: ", token.expose_secret(), "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// All but the token, as they are spelt out.
fn lines(out: &mut BytesMut, principal: &Principal) {
    let key = &principal.view.identity.key;
    let held = principal.held();
    line(out, "x-auth-guard", principal.guard.name.as_str());
    line(out, "x-auth-model", key.model());
    line(out, "x-auth-id", key.id());
    line(out, "x-auth-key", key.as_str());
    line(
        out,
        "x-auth-tenant",
        principal.tenant.as_ref().map_or("", |tenant| tenant.as_str()),
    );
    line(out, "x-auth-roles", &list(&held.role_names()));
    line(out, "x-auth-permissions", &list(&held.permission_names()));
    line(out, "x-auth-session", &principal.claims.session.to_string());
    for (name, value) in &principal.view.identity.attributes {
        attribute(out, name, value);
    }
}

/// A comma list. One that is too long ends at the last name that fits: fewer rights are told, never other ones.
fn list(names: &[&str]) -> String {
    let mut list = String::new();
    for name in names {
        if list.len() + 1 + name.len() > MAX_VALUE {
            tracing::warn!(
                names = names.len(),
                "a list of rights is too long for a header and was cut"
            );
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    list
}

/// `X-Auth-Attr-<name>`, with `-` for `_`, since servers drop names with `_`; `None` for a name that cannot stand in a header.
pub(crate) fn attribute_header(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!name.is_empty() && name.bytes().all(is_plain))
        .then(|| format!("x-auth-attr-{}", name.to_ascii_lowercase().replace('_', "-")))
}

fn attribute(out: &mut BytesMut, name: &str, value: &Value) {
    let Some(header) = attribute_header(name) else {
        tracing::warn!(attribute = ?name, "an attribute's name cannot stand in a header");
        return;
    };
    match value {
        Value::Null => line(out, &header, ""),
        Value::String(text) => line(out, &header, text),
        other => line(out, &header, &other.to_string()),
    }
}

/// One header line. A value that is too long is left empty: half a value may be somebody else's.
fn line(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if value.len() > MAX_VALUE {
        tracing::warn!(header = name, "a value is too long for its header and was left out");
    } else {
        encode(out, value);
    }
    out.extend_from_slice(b"\r\n");
}

fn encode(out: &mut BytesMut, value: &str) {
    let passes = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    if value.bytes().all(passes) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let is_inner_space = byte == b' ' && at != 0 && at != last;
        if passes(byte) || is_inner_space {
            out.extend_from_slice(&[byte]);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing::principal;

    fn written(principal: &Principal) -> String {
        let mut out = BytesMut::new();
        write(&mut out, principal, None);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn every_header_is_there_and_empty_where_there_is_no_value() {
        let principal = principal(
            &["support", "buyer"],
            &["orders.view"],
            serde_json::json!({"email": null}),
        );
        assert_eq!(
            written(&principal),
            "x-auth-guard: customer\r\nx-auth-model: customer\r\nx-auth-id: 42\r\nx-auth-key: customer:42\r\nx-auth-tenant: \r\n\
             x-auth-roles: buyer,support\r\nx-auth-permissions: orders.view\r\n\
             x-auth-session: 07070707070707070707070707070707\r\nx-auth-attr-email: \r\n"
        );
    }

    #[test]
    fn no_value_can_end_its_header() {
        let attributes = serde_json::json!({
            "full_name": " Zoë\r\nX-Auth-Roles: super 100% ",
            "age": 7,
            "tags": ["a\u{0}", "b"],
            "odd name": "x",
            "long": "x".repeat(MAX_VALUE + 1),
        });
        let text = written(&principal(&[], &[], attributes));
        assert!(text.contains("x-auth-attr-full-name: %20Zo%C3%AB%0D%0AX-Auth-Roles: super 100%25%20\r\n"));
        assert!(text.contains("x-auth-attr-age: 7\r\n"));
        assert!(text.contains("x-auth-attr-tags: [\"a\\u0000\",\"b\"]\r\n"));
        assert!(text.contains("x-auth-attr-long: \r\n"));
        assert!(!text.contains("odd"));
        let names = text.lines().map(|line| line.split(':').next().unwrap());
        assert_eq!(names.filter(|name| *name == "x-auth-roles").count(), 1);
    }

    #[test]
    fn a_list_that_is_too_long_ends_at_a_whole_name() {
        let names: Vec<String> = (0..2_000).map(|n| format!("area{n}.do")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let list = list(&names);
        assert!(list.len() <= MAX_VALUE);
        assert!(list.split(',').all(|name| names.contains(&name)));
    }
}
