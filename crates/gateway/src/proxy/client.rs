//! Who the client is: the peer of the socket, or whom trusted proxies say they speak for.
//!
//! 1. The peer is believed to be the client unless it is a trusted proxy.
//! 2. From a trusted proxy, `X-Forwarded-For` is read from the right: the first address that is no trusted proxy's is the client. What stands left of it is anybody's
//!    word and is dropped. An entry that is no address ends the reading.
//! 3. `X-Forwarded-Proto`, `-Host` and `-Port` of a trusted proxy count by their last element, which that proxy wrote; a bad one counts as none.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_web::http::header::HeaderMap;
use smallvec::SmallVec;

use crate::routes::Host;

/// Which peers are proxies of ours.
#[derive(Clone)]
pub struct TrustedProxies(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl TrustedProxies {
    /// None: every peer is a client.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| false)
    }

    /// Those for which the function says so; it is given IPv4 addresses as such, also where they came inside IPv6.
    pub fn new(trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(trusts))
    }

    /// Whether the address is a proxy of ours.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        (self.0)(address)
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrustedProxies")
    }
}

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
    /// Reads it from a request that came from `peer` and asks for `host`.
    #[must_use]
    pub fn of(peer: Option<SocketAddr>, host: &Host<'_>, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let mut client = Self {
            hops: peer.into_iter().collect(),
            https: false,
            host: host.to_string(),
            port: host.port().unwrap_or(80),
        };
        if peer.is_some_and(|peer| trusted.has(peer)) {
            client.believe(headers, trusted);
        }
        client
    }

    fn believe(&mut self, headers: &HeaderMap, trusted: &TrustedProxies) {
        let said = |name| last_element(headers, name);
        self.https = said("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
        let host = said("x-forwarded-host").and_then(|host| Host::parse(host).ok());
        let mut port = self.port;
        if let Some(host) = &host {
            self.host = host.to_string();
            port = host.port().unwrap_or(if self.https { 443 } else { 80 });
        }
        let told = said("x-forwarded-port").and_then(|port| port.parse().ok());
        self.port = told.filter(|port| *port > 0).unwrap_or(port);
        for entry in elements(headers, "x-forwarded-for").into_iter().rev() {
            let Some(address) = address_of(entry) else { break };
            self.hops.insert(0, address);
            if !trusted.has(address) {
                break;
            }
        }
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

fn elements<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let texts = headers.get_all(name).map(|value| value.to_str().unwrap_or("?"));
    texts
        .flat_map(|text| text.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .collect()
}

fn last_element<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    elements(headers, name).pop()
}

/// An address, also with a port, as some proxies write it.
fn address_of(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let address: Option<IpAddr> = plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
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
        Client::of(Some(peer), &Host::parse("gw.test:8080").unwrap(), &headers, &trusted)
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
