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

/// Headers of which upstreams believe that a proxy made them: who the client is, and what it asked for.
fn is_said_by_proxies(name: &str) -> bool {
    const FAMILIES: [&str; 9] = [
        "x-forwarded-",
        "x-original-",
        "x-envoy-",
        "x-accel-",
        "x-sendfile",
        "x-middleware-",
        "x-client-cert",
        "x-ssl-",
        "ssl-client-",
    ];
    FAMILIES.iter().any(|family| name.starts_with(family))
        || matches!(
            name,
            "forwarded"
                | "via"
                | "x-forwarded"
                | "forwarded-for"
                | "x-forward-for"
                | "x-real-ip"
                | "x-real-port"
                | "x-client-ip"
                | "client-ip"
                | "x-remote-ip"
                | "x-remote-addr"
                | "x-originating-ip"
                | "x-cluster-client-ip"
                | "x-azure-clientip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "client-cert"
                | "client-cert-chain"
                | "front-end-https"
                | "x-scheme"
                | "x-url-scheme"
                | "x-host"
                | "x-script-name"
                | "script-name"
                | "x-path-info"
                | "path-info"
                | "x-rewrite-url"
                | "x-request-id"
                | "traceparent"
                | "tracestate"
        )
}

/// Headers by which frameworks take a request for another than the one that was judged.
fn changes_the_request(name: &str) -> bool {
    matches!(name, "x-http-method" | "proxy") || name.ends_with("-override")
}

/// Headers of which applications believe that they say who acts: those of each preset, and those that other products set.
fn is_identity(name: &str) -> bool {
    const FAMILIES: [&str; 16] = [
        "x-auth-",
        "remote-",
        "x-remote-",
        "x-authentik-",
        "x-webauth-",
        "x-authenticated-",
        "x-consumer-",
        "x-vouch-",
        "x-pomerium-",
        "x-goog-authenticated-",
        "x-goog-iap-",
        "x-ms-client-principal",
        "x-amzn-oidc-",
        "cf-access-",
        "tailscale-user-",
        "impersonate-",
    ];
    FAMILIES.iter().any(|family| name.starts_with(family)) || matches!(name, "x-auth" | "x-anonymous-consumer")
}

/// Headers that a client may not send on, beside those that are known: names, and beginnings of names that end in `*`.
#[derive(Clone, Debug, Default)]
pub struct StrippedHeaders {
    names: Box<[Box<str>]>,
    families: Box<[Box<str>]>,
}

impl StrippedHeaders {
    /// These, as `x-company-user` or `x-company-*`, in any case.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let patterns = patterns.into_iter().map(str::to_ascii_lowercase);
        let (families, names): (Vec<String>, Vec<String>) = patterns.partition(|pattern| pattern.ends_with('*'));
        let fold = |name: &str| folded(name.trim_end_matches('*')).into();
        Self {
            names: names.iter().map(|name| fold(name)).collect(),
            families: families.iter().map(|name| fold(name)).collect(),
        }
    }

    /// Whether a name (in lower case) is among them, in whatever spelling.
    pub(super) fn has(&self, name: &str) -> bool {
        if self.names.is_empty() && self.families.is_empty() {
            return false;
        }
        let name = folded(name);
        self.names.iter().any(|own| **own == *name) || self.families.iter().any(|family| name.starts_with(&**family))
    }
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
    folded == "x-auth"
        || folded.starts_with("x-auth-")
        || is_hop_by_hop(&folded)
        || matches!(&*folded, "content-length" | "x-request-id")
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
    fn what_other_products_take_for_identity_or_for_a_proxys_word_is_dropped() {
        for name in [
            "remote-user",
            "remote_user",
            "remote-groups",
            "remote.email",
            "remote-name",
            "x-auth-request-user",
            "x-auth-request-access-token",
            "x-authentik-username",
            "x_authentik_jwt",
            "x-authentik-meta-outpost",
            "x-webauth-user",
            "x-webauth-groups",
            "x-forwarded",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-groups",
            "x-forwarded-prefix",
            "x-original-forwarded-for",
            "x-client-cert",
            "x-ssl-client-cert",
            "x-ssl-client-verify",
            "ssl-client-cert",
            "client-cert",
            "x-envoy-external-address",
            "x-envoy-original-path",
            "x-accel-redirect",
            "x-accel-mapping",
            "x-sendfile-type",
            "x-http-host-override",
            "x-host-override",
            "front-end-https",
            "x-script-name",
            "x-middleware-subrequest",
            "x_middleware_subrequest",
            "x-goog-authenticated-user-email",
            "x-ms-client-principal-name",
            "x-amzn-oidc-identity",
            "cf-access-authenticated-user-email",
            "tailscale-user-login",
            "x-remote-user",
            "x-consumer-username",
            "impersonate-user",
        ] {
            assert_eq!(fate(name), Fate::Drop, "{name}");
        }
        for name in [
            "remote",
            "x-user-agent",
            "x-client-version",
            "x-authority",
            "accept",
            "x-override-me",
        ] {
            assert_eq!(fate(name), Fate::Forward, "{name}");
        }
    }

    #[test]
    fn a_list_of_ones_own_holds_in_every_spelling() {
        let own = StrippedHeaders::new(["X-Company-User", "X-Legacy-*"]);
        for name in ["x-company-user", "x_company_user", "x-legacy-id", "x.legacy_role"] {
            assert!(own.has(name), "{name}");
        }
        for name in ["x-company-user-id", "x-legacy", "accept"] {
            assert!(!own.has(name), "{name}");
        }
        assert!(!StrippedHeaders::default().has("accept"));
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
