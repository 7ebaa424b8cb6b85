//! URLs of a provider: https, or http on this machine for development and tests.

use std::net::IpAddr;

/// The longest URL that is taken from a provider.
const MAX_URL: usize = 2_048;

/// Which URLs are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// https alone.
    Https,
    /// Also http to a loopback address: the issuer has one itself.
    LoopbackToo,
}

/// An absolute URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_https: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as they stand in the `Host` header.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Url {
    /// Reads a URL without user, password and fragment.
    pub(crate) fn parse(text: &str, reach: Reach) -> Result<Self, &'static str> {
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\\#<>\"".contains(&byte));
        if text.len() > MAX_URL || !is_plain {
            return Err("is no URL that can be called");
        }
        let (scheme, rest) = text.split_once("://").ok_or("is no absolute URL")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or("is no absolute URL")?;
        if authority.contains('@') {
            return Err("has a user");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.parse().map_err(|_| "has no good port")?)),
            _ => (authority, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err("has no host");
        }
        let is_https = match scheme {
            "https" => true,
            "http" if reach == Reach::LoopbackToo && is_loopback(&host) => false,
            "http" => return Err("is not https"),
            _ => return Err("is neither https nor http"),
        };
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            target => target.to_owned(),
        };
        Ok(Self {
            is_https,
            host,
            port: port.unwrap_or(if is_https { 443 } else { 80 }),
            authority: authority.to_owned(),
            target,
        })
    }

    /// What the other URLs of a provider with this issuer may be.
    pub(crate) fn reach_of(issuer: &str) -> Reach {
        match Self::parse(issuer, Reach::LoopbackToo) {
            Ok(url) if !url.is_https => Reach::LoopbackToo,
            _ => Reach::Https,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_or_http_on_this_machine_where_that_is_accepted() {
        let url = Url::parse("https://ID.example.com:8443/a/b?c=d", Reach::Https).unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.target.as_str()),
            ("id.example.com", 8443, "/a/b?c=d")
        );
        assert_eq!(Url::parse("https://a.b", Reach::Https).unwrap().target, "/");
        assert_eq!(Url::parse("https://a.b?x", Reach::Https).unwrap().target, "/?x");
        assert_eq!(Url::parse("https://[::1]:7/x", Reach::Https).unwrap().host, "::1");
        for good in [
            "http://127.0.0.1:9/x",
            "http://localhost/x",
            "http://[::1]:9/x",
            "https://a.b/x",
        ] {
            assert!(Url::parse(good, Reach::LoopbackToo).is_ok(), "{good}");
        }
        for bad in [
            "http://a.b/x",
            "http://127.0.0.1.a.b/x",
            "http://10.0.0.1/x",
            "http://localhost.a.b/",
            "http://u@localhost/",
            "https://u:p@a.b/",
            "https://a.b/#x",
            "https://a.b\\@c/",
            "https://a b/",
            "https://a.b/\r\nX: y",
            "https:///x",
            "https://a.b:99999/",
            "file:///etc/passwd",
            "ftp://a.b/",
            "//a.b/",
            "",
        ] {
            assert!(Url::parse(bad, Reach::LoopbackToo).is_err(), "{bad:?}");
        }
        assert!(Url::parse("http://127.0.0.1/x", Reach::Https).is_err());
    }

    #[test]
    fn only_an_issuer_on_this_machine_may_name_others_on_it_without_tls() {
        assert_eq!(Url::reach_of("http://127.0.0.1:9"), Reach::LoopbackToo);
        for issuer in ["https://127.0.0.1", "https://a.b", "http://a.b", "x"] {
            assert_eq!(Url::reach_of(issuer), Reach::Https, "{issuer}");
        }
    }
}
