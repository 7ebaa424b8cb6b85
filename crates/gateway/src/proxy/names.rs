//! Names of headers: which ones a client may not send on, in whatever spelling.
//!
//! Upstreams that read headers from an environment (CGI, WSGI, PHP, Rack) see `X-Auth-Id`, `X_Auth_Id` and `X.Auth.Id` as one variable. So a name is
//! compared with every byte that is no letter or digit taken as `-`.

use std::borrow::Cow;

/// What becomes of a header of a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is forwarded as it is.
    Forward,
    /// It is left out. Where the gateway has a value of its own under that name, that one is sent.
    Drop,
    /// It is forwarded without our cookies.
    Cookie,
}

/// The name as it is compared: `name` is lower case already, as the `http` crate keeps it.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Cow::Borrowed(name);
    }
    let fold = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    Cow::Owned(name.chars().map(fold).collect())
}

/// Headers about one connection alone (RFC 9110 section 7.6.1), and those about credentials for a proxy.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "proxy-authentication-info"
    )
}

/// Headers of which upstreams believe that a proxy made them.
fn is_said_by_proxies(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded"
                | "via"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "x-host"
                | "x-original-host"
                | "x-original-method"
                | "x-original-uri"
                | "x-original-url"
                | "x-rewrite-url"
                | "x-request-id"
                | "traceparent"
                | "tracestate"
        )
}

/// Headers by which frameworks take a request for another than the one that was judged.
fn changes_the_request(name: &str) -> bool {
    matches!(
        name,
        "x-http-method-override" | "x-http-method" | "x-method-override" | "proxy"
    )
}

fn is_identity(name: &str) -> bool {
    name == "x-auth" || name.starts_with("x-auth-")
}

/// What becomes of a request's header of this name (in lower case).
pub(super) fn fate(name: &str) -> Fate {
    let folded = folded(name);
    if folded == "cookie" {
        return if name == "cookie" { Fate::Cookie } else { Fate::Drop };
    }
    let is_ours = matches!(&*folded, "host" | "content-length" | "expect" | "authorization");
    let dropped = is_ours
        || is_identity(&folded)
        || is_hop_by_hop(&folded)
        || is_said_by_proxies(&folded)
        || changes_the_request(&folded);
    if dropped { Fate::Drop } else { Fate::Forward }
}

/// Whether a header of an upstream's answer is left out. `Content-Length` is, since the length is told by how the body is given on.
pub(super) fn is_dropped_from_answers(name: &str) -> bool {
    let folded = folded(name);
    is_identity(&folded) || is_hop_by_hop(&folded) || matches!(&*folded, "content-length" | "x-request-id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_identity_header_passes() {
        for name in [
            "x-auth-id",
            "x_auth_id",
            "x-auth_id",
            "x.auth.id",
            "x_auth-attr-email",
            "x~auth~roles",
            "x-auth",
        ] {
            assert_eq!(fate(name), Fate::Drop, "{name}");
            assert!(is_dropped_from_answers(name), "{name}");
        }
        assert_eq!(fate("x-authority"), Fate::Forward);
    }

    #[test]
    fn what_only_a_gateway_may_say_is_dropped_and_the_rest_passes() {
        for name in [
            "authorization",
            "x_forwarded_for",
            "x-forwarded-anything",
            "forwarded",
            "content_length",
            "transfer_encoding",
            "te",
            "trailer",
            "x_http_method_override",
            "x-method-override",
            "proxy",
            "expect",
            "host",
            "traceparent",
            "tracestate",
            "_cookie",
            "cookie_",
        ] {
            let expected = matches!(name, "_cookie" | "cookie_");
            assert_eq!(fate(name) == Fate::Forward, expected, "{name}");
        }
        assert_eq!(fate("cookie"), Fate::Cookie);
        for name in ["accept", "x-tenant", "x_custom", "sec-websocket-key"] {
            assert_eq!(fate(name), Fate::Forward, "{name}");
        }
    }
}
