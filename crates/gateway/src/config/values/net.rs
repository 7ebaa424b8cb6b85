//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Parsed;
use crate::config::schema::{Refusal, Syntax};

impl Parsed for SocketAddr {
    const SYNTAX: Syntax = Syntax::of::<Self>("an address and port, as 127.0.0.1:8080 or [::1]:8080");

    fn parse(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| Refusal::Malformed)
    }
}

/// A network: an address and how many of its bits count (RFC 4632, RFC 4291).
///
/// IPv4 addresses inside IPv6 (`::ffff:10.0.0.1`) are IPv4 here, in the network as in the address that is asked about, so that the same peer
/// is judged alike on a socket of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    /// Whether the address is in the network.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = mask_of(self.prefix, 32) as u32;
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = mask_of(self.prefix, 128);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The first `prefix` of `width` bits, in the lowest `width` bits.
fn mask_of(prefix: u32, width: u32) -> u128 {
    let host_bits = width.saturating_sub(prefix);
    let all = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    all & u128::MAX.checked_shl(host_bits).unwrap_or(0)
}

/// An address that was written inside IPv6, as the IPv4 address it stands for, with the bits that count.
fn canonical(network: Ipv6Addr, prefix: u32) -> (IpAddr, u32) {
    match network.to_ipv4_mapped() {
        Some(inner) if prefix >= 96 => (IpAddr::V4(inner), prefix - 96),
        _ => (IpAddr::V6(network), prefix),
    }
}

impl Parsed for Cidr {
    const SYNTAX: Syntax = Syntax::of::<Self>("a network, as 10.0.0.0/8, 192.0.2.7 or fd00::/8");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| Refusal::Malformed)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match bits {
            None => width,
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or(Refusal::Malformed)?,
            Some(_) => return Err(Refusal::Malformed),
        };
        let (network, prefix) = match address {
            IpAddr::V4(_) => (address, prefix),
            IpAddr::V6(address) => canonical(address, prefix),
        };
        let cidr = Self { network, prefix };
        if prefix == 0 {
            return Err(Refusal::Because(
                "is everyone: then any client could write its own X-Forwarded-For",
            ));
        }
        if !cidr.is_network() {
            return Err(Refusal::Because(
                "has bits set behind its prefix; write the network's first address",
            ));
        }
        Ok(cidr)
    }
}

impl Cidr {
    fn is_network(&self) -> bool {
        match self.network {
            IpAddr::V4(network) => network.to_bits() & !(mask_of(self.prefix, 32) as u32) == 0,
            IpAddr::V6(network) => network.to_bits() & !mask_of(self.prefix, 128) == 0,
        }
    }
}

impl Cidr {
    /// `IPv4` or `IPv6`, where the networks together hold every address of that family.
    pub(crate) fn family_of_everyone(networks: &[Self]) -> Option<&'static str> {
        let of = |v4: bool| networks.iter().filter(move |network| network.network.is_ipv4() == v4);
        // No peer has one of these: it is an IPv4 address here.
        let mapped = Self {
            network: IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()),
            prefix: 96,
        };
        if is_gapless(of(true).map(Self::range), u32::MAX.into()) {
            Some("IPv4")
        } else if is_gapless(of(false).chain([&mapped]).map(Self::range), u128::MAX) {
            Some("IPv6")
        } else {
            None
        }
    }

    /// Its first address and its last.
    fn range(&self) -> (u128, u128) {
        let (first, width) = match self.network {
            IpAddr::V4(network) => (u128::from(network.to_bits()), 32),
            IpAddr::V6(network) => (network.to_bits(), 128),
        };
        let all = mask_of(width, width);
        (first, first | (all & !mask_of(self.prefix, width)))
    }
}

/// Whether the ranges together hold every number from 0 to `last`.
fn is_gapless(ranges: impl Iterator<Item = (u128, u128)>, last: u128) -> bool {
    let mut ranges: Vec<(u128, u128)> = ranges.collect();
    ranges.sort_unstable();
    // The lowest number that is not held yet.
    let mut open = 0;
    for (first, end) in ranges {
        if first > open {
            return false;
        }
        if end >= last {
            return true;
        }
        open = open.max(end + 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(cidr: &str, address: &str) -> bool {
        Cidr::parse(cidr).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_own_addresses_alone() {
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.7", "192.0.2.7"));
        assert!(!has("192.0.2.7", "192.0.2.6"));
        assert!(has("fd00::/8", "fdff::1"));
        assert!(!has("fd00::/8", "fe00::1"));
        assert!(has("::1/128", "::1"));
        assert!(!has("::1", "127.0.0.1"));
    }

    #[test]
    fn an_ipv4_address_inside_ipv6_is_that_ipv4_address() {
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(has("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!has("10.0.0.0/8", "::ffff:11.1.2.3"));
    }

    #[test]
    fn a_network_of_everyone_is_refused_in_every_spelling() {
        for everyone in [
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
            "0:0:0:0:0:0:0:0/0",
            "10.0.0.0/0",
        ] {
            assert!(matches!(Cidr::parse(everyone), Err(Refusal::Because(_))), "{everyone}");
        }
    }

    #[test]
    fn networks_that_are_everyone_together_are_found_and_no_others() {
        let of = |networks: &[&str]| {
            let networks: Vec<Cidr> = networks.iter().map(|text| Cidr::parse(text).unwrap()).collect();
            Cidr::family_of_everyone(&networks)
        };
        assert_eq!(of(&["0.0.0.0/1", "128.0.0.0/1"]), Some("IPv4"));
        assert_eq!(
            of(&["128.0.0.0/1", "10.0.0.0/8", "64.0.0.0/2", "0.0.0.0/2"]),
            Some("IPv4")
        );
        assert_eq!(of(&["::ffff:0.0.0.0/97", "128.0.0.0/1"]), Some("IPv4"));
        assert_eq!(of(&["8000::/1", "::/1"]), Some("IPv6"));
        // All of IPv6 but the addresses that stand for IPv4, in the prefixes beside ::ffff:0:0/96.
        let inner = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().to_bits();
        let beside = (1..=96_u32).map(|prefix| {
            let bits = (inner ^ (1 << (128 - prefix))) & mask_of(prefix, 128);
            format!("{}/{prefix}", Ipv6Addr::from_bits(bits))
        });
        let beside: Vec<String> = beside.collect();
        let beside: Vec<&str> = beside.iter().map(String::as_str).collect();
        assert_eq!(of(&beside), Some("IPv6"));
        for some in [
            &[][..],
            &["0.0.0.0/1"],
            &["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3", "224.0.0.0/4", "240.0.0.0/5"],
            &["0.0.0.1/32", "0.0.0.2/31", "128.0.0.0/1"],
            &["::/1", "128.0.0.0/1"],
            &["10.0.0.0/8", "fd00::/8", "::1"],
            &beside[1..],
        ] {
            assert_eq!(of(some), None, "{some:?}");
        }
    }

    #[test]
    fn a_malformed_network_is_refused() {
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "host/8",
            "10.0.0.1/8",
            "fd00::1/8",
        ] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
    }
}
