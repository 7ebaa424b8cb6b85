//! Who the client is: the peer of the socket, or whom trusted proxies say they speak for.
//!
//! 1. The peer is believed to be the client unless it is a trusted proxy.
//! 2. From a trusted proxy, `X-Forwarded-For` is read from the right: the first address that is no trusted proxy's is the client. What stands left of it is anybody's
//!    word and is dropped. An entry that is no address ends the reading.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use smallvec::SmallVec;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        (self.0)(address)
    }

    /// From the client, over the trusted proxies, to the peer; empty where the peer is not known.
    #[must_use]
    pub fn hops(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> SmallVec<[IpAddr; 2]> {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let mut hops: SmallVec<[IpAddr; 2]> = peer.into_iter().collect();
        if !peer.is_some_and(|peer| self.has(peer)) {
            return hops;
        }
        let texts = headers
            .get_all(&FORWARDED_FOR)
            .map(|value| value.to_str().unwrap_or("?"));
        let entries: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
        for entry in entries.into_iter().rev() {
            let Some(address) = address_of(entry.trim_matches([' ', '\t'])) else {
                break;
            };
            hops.insert(0, address);
            if !self.has(address) {
                break;
            }
        }
        hops
    }

    /// The address that the request's client is believed to have: what limits go by.
    #[must_use]
    pub fn client_of(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.hops(request.peer_addr(), request.headers()).first().copied()
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrustedProxies")
    }
}

/// An address, also with a port, as some proxies write it.
fn address_of(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let address: Option<IpAddr> = plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}
