//! Keyed hashes of what a client says of itself, so that a dump or a log gives none of it away.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, Purpose, RootSecret, TokenId};
use hmac::{Hmac, Mac as _, digest::Key};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

/// 22 characters of base64url are 128 bits; a shorter `deviceId` can be guessed.
pub const MIN_DEVICE_ID_CHARS: usize = 22;

/// Longer ones are not taken: nobody needs them.
pub const MAX_DEVICE_ID_CHARS: usize = 256;

/// The hash under which a `deviceId` is kept with its session.
///
/// `None` for one that is too short to be 128 bits, or longer than [`MAX_DEVICE_ID_CHARS`]: such a client is treated as one without a device id. It
/// signs in and refreshes all the same; only a lost answer is not recovered for it, since that rests on nobody else knowing the id.
#[must_use]
pub fn device_hash(root: &RootSecret, guard: &GuardName, device_id: &str) -> Option<Vec<u8>> {
    let fits = (MIN_DEVICE_ID_CHARS..=MAX_DEVICE_ID_CHARS).contains(&device_id.chars().count());
    fits.then(|| keyed((root, Purpose::Device, guard), b"device\0", device_id.as_bytes()).to_vec())
}

/// A short name for an identifier in the audit log: equal for equal ones, telling nothing without the root secret. Case is folded, so that
/// tries against one account are seen as such.
pub(crate) fn identifier_mark(root: &RootSecret, guard: &GuardName, identifier: &str) -> String {
    let hash = keyed(
        (root, Purpose::Device, guard),
        b"identifier\0",
        identifier.to_lowercase().as_bytes(),
    );
    URL_SAFE_NO_PAD.encode(hash.split_at(16).0)
}

/// What refusals for a name are counted under: for an identifier, or a session's id.
///
/// Names that a database may take for one are one: case is folded by way of capitals, which also makes one of `i` and `ı`, of `s` and `ſ`, and the dot that is left of
/// `İ` is dropped. Accounts that differ in that alone share a count; the other way round each spelling would have guesses of its own.
pub(crate) fn limit_hash(root: &RootSecret, guard: &GuardName, name: &str) -> TokenId {
    let folded = name.to_lowercase().to_uppercase().to_lowercase().replace('\u{307}', "");
    shortened(keyed((root, Purpose::Limit, guard), b"name\0", folded.as_bytes()))
}

/// What refusals for an address are counted under: for an IPv6 address, that of its first 64 bits, since a host can have any address in its network
/// (RFC 4862 section 5.5.3).
pub(crate) fn address_hash(root: &RootSecret, guard: &GuardName, address: IpAddr) -> TokenId {
    let place = (root, Purpose::Limit, guard);
    shortened(match address.to_canonical() {
        IpAddr::V4(address) => keyed(place, b"ipv4\0", &address.octets()),
        IpAddr::V6(address) => keyed(place, b"ipv6\0", address.octets().split_at(8).0),
    })
}

fn shortened(hash: [u8; 32]) -> TokenId {
    let mut short = TokenId([0; 16]);
    short.0.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    short
}

pub(crate) fn keyed((root, purpose, guard): (&RootSecret, Purpose, &GuardName), label: &[u8], text: &[u8]) -> [u8; 32] {
    let key = root.derive(purpose, Some(guard));
    // A key shorter than a block is padded with zeros (RFC 2104 section 2), so a padded block is the same key, and cannot be refused.
    let mut block = Key::<Hmac<Sha256>>::default();
    block
        .iter_mut()
        .zip(key.expose_secret())
        .for_each(|(to, from)| *to = *from);
    Hmac::<Sha256>::new(&block)
        .chain_update(label)
        .chain_update(text)
        .finalize()
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdefghijkl";

    fn root(first: u8) -> RootSecret {
        RootSecret::new(&(first..first + 32).collect::<Vec<u8>>()).unwrap()
    }

    fn guard(name: &str) -> GuardName {
        GuardName::new(name).unwrap()
    }

    #[test]
    fn a_device_hash_depends_on_id_guard_and_root() {
        let hash = device_hash(&root(0), &guard("customer"), ID).unwrap();
        assert_eq!(hash.len(), 32);
        assert_eq!(device_hash(&root(0), &guard("customer"), ID), Some(hash.clone()));
        assert_ne!(device_hash(&root(0), &guard("admin"), ID), Some(hash.clone()));
        assert_ne!(device_hash(&root(1), &guard("customer"), ID), Some(hash.clone()));
        assert_ne!(
            device_hash(&root(0), &guard("customer"), &ID.replace('0', "1")),
            Some(hash)
        );
    }

    #[test]
    fn a_device_id_under_128_bits_is_none() {
        assert_eq!(device_hash(&root(0), &guard("customer"), &ID[1..]), None);
        assert_eq!(device_hash(&root(0), &guard("customer"), &"x".repeat(257)), None);
    }

    #[test]
    fn a_mark_is_no_device_hash_and_does_not_tell_the_identifier() {
        let mark = identifier_mark(&root(0), &guard("customer"), ID);
        assert_eq!(mark, identifier_mark(&root(0), &guard("customer"), &ID.to_uppercase()));
        let device = device_hash(&root(0), &guard("customer"), ID).unwrap();
        assert_ne!(URL_SAFE_NO_PAD.decode(mark).unwrap(), device[..16]);
    }

    #[test]
    fn spellings_that_a_database_takes_for_one_are_counted_as_one() {
        let hash = |name: &str| limit_hash(&root(0), &guard("customer"), name);
        for other in [
            "IRIS@Example.com",
            "ırıs@example.com",
            "İRİS@example.com",
            "iri\u{17f}@example.com",
        ] {
            assert_eq!(hash("iris@example.com"), hash(other), "{other}");
        }
        assert_ne!(hash("iris@example.com"), hash("irisa@example.com"));
        assert_ne!(
            hash("iris@example.com"),
            limit_hash(&root(0), &guard("admin"), "iris@example.com")
        );
        assert_ne!(
            hash("iris@example.com"),
            limit_hash(&root(1), &guard("customer"), "iris@example.com")
        );
    }

    #[test]
    fn an_ipv4_address_is_counted_whole_and_an_ipv6_address_by_its_first_64_bits() {
        let hash = |address: &str| address_hash(&root(0), &guard("customer"), address.parse().unwrap());
        assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
        assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.1"));
        assert_eq!(hash("2001:db8:1:2::1"), hash("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(hash("2001:db8:1:2::1"), hash("2001:db8:1:3::1"));
    }
}
