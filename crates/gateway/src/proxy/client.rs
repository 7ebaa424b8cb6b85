//! Who the client is and how it reached us.
//!
//! 1. Its address is what [`TrustedProxies::hops`] says.
//! 2. `X-Forwarded-Proto`, `-Host` and `-Port` of a trusted proxy count by their last element, which that proxy wrote; a bad one counts as none.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderMap;
pub use bekci::TrustedProxies;
use smallvec::SmallVec;

use crate::routes::Host;

/// A request's client and how it reached the outermost trusted proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// From the client, over the trusted proxies, to the peer; empty where the peer is not known.
    hops: SmallVec<[IpAddr; 2]>,
    /// Whether it spoke https.
    pub https: bool,
    /// The host that it asked for, with the port where there is one.
    pub host: String,
    /// The port that it reached.
    pub port: u16,
}

impl Client {
    /// Reads it from a request that came from a peer, in the clear or by TLS, and asks for `host`.
    #[must_use]
    pub fn of(
        (peer, https): (Option<SocketAddr>, bool),
        host: &Host<'_>,
        headers: &HeaderMap,
        trusted: &TrustedProxies,
    ) -> Self {
        let mut client = Self {
            hops: trusted.hops(peer, headers),
            https,
            host: host.to_string(),
            port: host.port().unwrap_or(if https { 443 } else { 80 }),
        };
        if peer.is_some_and(|peer| trusted.has(peer.ip().to_canonical())) {
            client.believe(headers);
        }
        client
    }

    fn believe(&mut self, headers: &HeaderMap) {
        let said = |name| last_element(headers, name);
        if let Some(proto) = said("x-forwarded-proto") {
            self.https = proto.eq_ignore_ascii_case("https");
        }
        let host = said("x-forwarded-host").and_then(|host| Host::parse(host).ok());
        let mut port = self.port;
        if let Some(host) = &host {
            self.host = host.to_string();
            port = host.port().unwrap_or(if self.https { 443 } else { 80 });
        }
        let told = said("x-forwarded-port").and_then(|port| port.parse().ok());
        self.port = told.filter(|port| *port > 0).unwrap_or(port);
    }

    /// Its address: what limits, bans and the audit log go by.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.hops.first().copied()
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// From the client, over the trusted proxies, to the peer.
    #[must_use]
    pub fn hops(&self) -> &[IpAddr] {
        &self.hops
    }
}

fn last_element<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(name).map(|value| value.to_str().unwrap_or("?"));
    texts
        .flat_map(|text| text.split(','))
        .last()
        .map(|element| element.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn client(peer: &str, said: &[(&'static str, &str)]) -> Client {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let trusted = TrustedProxies::new(|address| address.to_string().starts_with("10."));
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        Client::of(
            (Some(peer), false),
            &Host::parse("gw.test:8080").unwrap(),
            &headers,
            &trusted,
        )
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        let said = [
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
        ];
        let stranger = client("192.0.2.1", &said);
        assert_eq!(stranger.address().unwrap().to_string(), "192.0.2.1");
        assert_eq!(
            (stranger.scheme(), &*stranger.host, stranger.port),
            ("http", "gw.test:8080", 8080)
        );
        let proxied = client("::ffff:10.0.0.1", &said);
        assert_eq!(proxied.address().unwrap().to_string(), "9.9.9.9");
        assert_eq!((proxied.scheme(), &*proxied.host, proxied.port), ("https", "evil", 1));
    }

    #[test]
    fn the_client_is_the_rightmost_hop_that_is_not_trusted() {
        let hops = |value: &str| {
            let client = client("10.0.0.1", &[("x-forwarded-for", value)]);
            client.hops().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(hops("1.1.1.1, 2.2.2.2, 10.0.0.2"), ["2.2.2.2", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(hops("1.1.1.1, junk, 10.0.0.2"), ["10.0.0.2", "10.0.0.1"]);
        assert_eq!(hops("[2001:db8::1]:99"), ["2001:db8::1", "10.0.0.1"]);
        assert_eq!(hops("unknown"), ["10.0.0.1"]);
    }

    #[test]
    fn the_last_word_counts_and_a_bad_one_is_none() {
        let proto = |value: &str| client("10.0.0.1", &[("x-forwarded-proto", value)]).scheme();
        assert_eq!(proto("https"), "https");
        assert_eq!(proto("https, http"), "http");
        assert_eq!(proto("gopher"), "http");
        let odd = client(
            "10.0.0.1",
            &[("x-forwarded-host", "a@b"), ("x-forwarded-port", "99999")],
        );
        assert_eq!((&*odd.host, odd.port), ("gw.test:8080", 8080));
    }
}
