//! Hosts, as requests name them.

use std::borrow::Cow;

use actix_web::{
    HttpRequest,
    http::{Uri, header},
};

/// Why a request's host cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host is not good: {0}")]
pub struct BadHost(pub &'static str);

/// The host that a request asks for, in its one spelling: lower case, no dot at the end; what routes are compared with and what an upstream is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `host[:port]` (RFC 9110 section 7.2): a name, an IPv4 address or an IPv6 address in brackets.
    ///
    /// # Errors
    /// [`BadHost`] for user information, a port that is none, empty labels, an odd byte or more than 253 characters.
    pub fn parse(text: &'a str) -> Result<Self, BadHost> {
        let (name, port) = split_port(text)?;
        if name.starts_with('[') {
            let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let address: std::net::Ipv6Addr = address
                .and_then(|text| text.parse().ok())
                .ok_or(BadHost("it is no IPv6 address"))?;
            return Ok(Self {
                name: format!("[{address}]").into(),
                port,
            });
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(is_plain) {
            return Err(BadHost("it is no name"));
        }
        if name.split('.').any(str::is_empty) {
            return Err(BadHost("it has an empty label"));
        }
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        Ok(Self { name, port })
    }

    /// Reads the host that a request asks for: its one `Host` header, and the same again where the target is a whole URI (RFC 9112 section 3.2.2).
    /// A target that names another host than the header is refused: servers disagree on which counts.
    ///
    /// # Errors
    /// [`BadHost`] for none, several or a bad one.
    pub fn of(headers: &'a header::HeaderMap, target: &Uri) -> Result<Self, BadHost> {
        let mut values = headers.get_all(header::HOST);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(BadHost("there is not exactly one Host header"));
        };
        let text = value.to_str().map_err(|_| BadHost("it has a byte that is not ASCII"))?;
        let host = Self::parse(text)?;
        if target.scheme().is_some() || target.authority().is_some() {
            let named = target.authority().map_or("", |authority| authority.as_str());
            let default = match target.scheme_str() {
                Some("https") => 443,
                Some("http") | None => 80,
                Some(_) => return Err(BadHost("the target is of no scheme that is spoken here")),
            };
            let named = Host::parse(named)?;
            if named.name != host.name || named.port.unwrap_or(default) != host.port.unwrap_or(default) {
                return Err(BadHost("the target names another one than the Host header"));
            }
        }
        Ok(host)
    }

    /// Reads the host that an Actix request asks for. Never that of an `X-Forwarded-Host`, which anybody can send.
    ///
    /// # Errors
    /// As [`Host::of`].
    pub fn of_request(request: &'a HttpRequest) -> Result<Self, BadHost> {
        Self::of(request.headers(), request.uri())
    }

    /// The name, without port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, where the request named one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), BadHost> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => return Ok((text, None)),
    };
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number && port > 0 => Ok((name, Some(port))),
        _ => Err(BadHost("its port is none")),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HOST, HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, spelt) in [
            ("gw.test", "gw.test"),
            ("GW.Test.", "gw.test"),
            ("gw.test:8080", "gw.test:8080"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:80", "[::1]:80"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), spelt, "{text}");
        }
    }

    #[test]
    fn a_host_that_servers_may_read_in_two_ways_is_refused() {
        for text in [
            "",
            ".",
            ":80",
            "gw.test:",
            "gw.test:0",
            "gw.test:99999",
            "gw.test:+80",
            "gw.test:80@evil",
            "user@gw.test",
            "gw..test",
            "gw.test..",
            ".gw.test",
            "gw.test/x",
            "gw test",
            "gw.test,evil",
            "gw.test#",
            "[::1",
            "::1",
            "[gw.test]",
            "[::1]x",
            "gẅ.test",
            &"a".repeat(254),
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_target_and_a_header_must_name_the_same_host() {
        let of = |hosts: &[&'static str], target: &str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            Host::of(&headers, &target.parse().unwrap()).map(|host| host.to_string())
        };
        assert_eq!(of(&["GW.test"], "/x").unwrap(), "gw.test");
        assert_eq!(of(&["gw.test"], "http://gw.test:80/x").unwrap(), "gw.test");
        assert!(of(&["gw.test"], "http://evil/x").is_err());
        assert!(of(&["gw.test"], "http://gw.test:81/x").is_err());
        assert!(of(&["gw.test"], "http://u@gw.test/x").is_err());
        assert!(of(&[], "/x").is_err());
        assert!(of(&["gw.test", "gw.test"], "/x").is_err());
    }
}
