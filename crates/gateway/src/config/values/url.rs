//! Addresses in the web, and of servers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Parsed, require, text_type};
use crate::config::schema::{Refusal, Syntax};

/// The parts of `scheme://user:password@host:port/rest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// The scheme, as written.
    pub(crate) scheme: &'a str,
    /// User and password, still percent-encoded.
    pub(crate) user_info: Option<&'a str>,
    /// The host; an IPv6 address has its brackets.
    pub(crate) host: &'a str,
    /// The port, where one is given.
    pub(crate) port: Option<u16>,
    /// What follows: path, query, fragment.
    pub(crate) rest: &'a str,
}

impl<'a> Parts<'a> {
    /// The parts of a URL, or nothing where it is none.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        let (scheme, after) = url.split_once("://")?;
        let end = after.find(['/', '?', '#', '\\']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (user_info, place) = match authority.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, authority),
        };
        let port_at = place
            .rfind(':')
            .filter(|at| !place.get(*at..).unwrap_or_default().contains(']'));
        let (host, port) = place.split_at(port_at.unwrap_or(place.len()));
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        is_host(host).then_some(Self {
            scheme,
            user_info,
            host,
            port,
            rest,
        })
    }

    /// The user, still percent-encoded; empty where there is none.
    pub(crate) fn user(&self) -> &'a str {
        self.user_info
            .map_or("", |info| info.split_once(':').map_or(info, |(user, _)| user))
    }

    /// The password, still percent-encoded, where there is one.
    pub(crate) fn password(&self) -> Option<&'a str> {
        self.user_info
            .and_then(|info| info.split_once(':'))
            .map(|(_, password)| password)
    }
}

/// Whether a text is a host: a name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone is an address to every client (WHATWG URL, host parsing), so it has to be one.
    let is_numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(is_label) && (!is_numeric || text.parse::<Ipv4Addr>().is_ok())
}

/// Scheme, host and port (RFC 6454), in the one form in which browsers send it: small letters, no default port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    text: String,
    host: String,
    port: u16,
    is_https: bool,
}

impl Origin {
    /// The origin of an http or https URL, where it is one.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let parts = web_url(url)?;
        let end = url.len().saturating_sub(parts.rest.len());
        Self::parse(url.get(..end)?).ok()
    }

    /// The origin as a text, as `https://example.com`.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`: then cookies are Secure and have their prefix.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host, an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where it is the scheme's default.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Parsed for Origin {
    const SYNTAX: Syntax =
        Syntax::of::<Self>("an origin: http or https, a host and perhaps a port, as https://example.com")
            .matching("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+$");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = Parts::of(text).ok_or(Refusal::Malformed)?;
        let scheme = parts.scheme.to_ascii_lowercase();
        require(scheme == "http" || scheme == "https")?;
        if parts.user_info.is_some() {
            return Err(Refusal::Because("must have no user or password"));
        }
        if !parts.rest.is_empty() {
            return Err(Refusal::Because(
                "must end after the host or port, without a path or a slash",
            ));
        }
        let (host, is_https) = (parts.host.to_ascii_lowercase(), scheme == "https");
        let default = if is_https { 443 } else { 80 };
        let port = parts.port.unwrap_or(default);
        require(port != 0)?;
        let shown_port = if port == default {
            String::new()
        } else {
            format!(":{port}")
        };
        Ok(Self {
            text: format!("{scheme}://{host}{shown_port}"),
            host,
            port,
            is_https,
        })
    }
}

text_type! {
    /// An absolute http or https URL without query and fragment, as an issuer is (RFC 8414 section 2).
    HttpUrl: "a URL with http or https, without query and fragment", Some("^https?://[^?#]+$"), |text| {
        let parts = web_url(text).ok_or(Refusal::Malformed)?;
        require(!parts.rest.contains(['?', '#']))
    }
}

text_type! {
    /// Where a client may be sent with a code: an https URL, an http URL of the machine itself (RFC 8252 section 7.3), or the scheme of an app, with a dot
    /// in it (section 7.1). Never with a fragment (RFC 6749 section 3.1.2).
    RedirectUri: "a redirect URI: https://.., http:// on this machine, or com.example.app:/..; without a fragment", None, is_redirect_uri
}

text_type! {
    /// A page: a URL with http or https, or a path of the public origin.
    PageUrl: "a URL with http or https, or a path that begins with one /", Some("^(https?://|/([^/\\\\]|$))"), |text| {
        let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\') && is_printable(text);
        require(is_path || web_url(text).is_some())
    }
}

fn is_printable(text: &str) -> bool {
    text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The parts of an http or https URL without user and password.
fn web_url(text: &str) -> Option<Parts<'_>> {
    let parts = Parts::of(text)?;
    let is_web = matches!(parts.scheme, "http" | "https") && parts.user_info.is_none();
    (is_web && is_printable(text) && !text.contains('\\')).then_some(parts)
}

fn is_redirect_uri(text: &str) -> Result<(), Refusal> {
    let (scheme, _) = text.split_once(':').ok_or(Refusal::Malformed)?;
    require(is_printable(text) && !text.contains(['#', '\\', '*']))?;
    match scheme {
        "https" => require(web_url(text).is_some()),
        "http" => {
            let host = web_url(text).ok_or(Refusal::Malformed)?.host;
            if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
                return Ok(());
            }
            Err(Refusal::Because(
                "sends a code without TLS to another machine; use https",
            ))
        }
        app => {
            let is_scheme = app.starts_with(|c: char| c.is_ascii_lowercase())
                && app
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'+'));
            require(is_scheme && app.contains('.'))
        }
    }
}

/// A part of a URL with every byte but the unreserved ones (RFC 3986 section 2.3) percent-encoded.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        let text = |url: &str| Origin::parse(url).map(|origin| origin.text);
        assert_eq!(text("https://Example.COM:443"), Ok("https://example.com".to_owned()));
        assert_eq!(text("http://127.0.0.1:8080"), Ok("http://127.0.0.1:8080".to_owned()));
        assert_eq!(text("http://[::1]:80"), Ok("http://[::1]".to_owned()));
    }

    #[test]
    fn a_url_has_the_origin_that_a_browser_goes_to() {
        let of = |url: &str| Origin::of_url(url).map(|origin| origin.text);
        assert_eq!(of("https://A.b:443/c?d=//e").as_deref(), Some("https://a.b"));
        assert_eq!(of("http://a.b:8080").as_deref(), Some("http://a.b:8080"));
        for none in [
            "https://a.b@evil/",
            "https://a.b\\@evil/",
            "com.example.app:/x",
            "//a.b/",
            "/x",
            "ftp://a.b/",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for bad in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "http://",
            "http://example.com/",
            "http://example.com/x",
            "http://a?b",
            "http://a#b",
            "http://u:p@a",
            "http://a b",
            "http://a:99999",
            "http://a:x",
            "http://a:0",
            "http://[::1",
            "http://1.2.3",
            "http://a\\b",
            "https://exa%6dple.com",
            "http://a:1:2",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_uri_is_https_this_machine_or_an_app() {
        for good in [
            "https://a.b/c?d=e",
            "http://localhost:3000/x",
            "http://127.0.0.1/x",
            "com.example.app:/callback",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/x",
            "http://a.b/c",
            "https://a.b/#c",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/x",
            "https://u@a.b/",
            "https://*.a.b/",
            "https://a.b\\@c",
            "https://a b",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_a_url_or_a_path_but_no_other_host_in_disguise() {
        for good in ["/sign-in", "/", "https://a.b/sign-in?x=y"] {
            assert!(PageUrl::parse(good).is_ok(), "{good}");
        }
        for bad in ["//a.b", "/\\a.b", "sign-in", "javascript:x", "https://a.b\\c"] {
            assert!(PageUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
