//! Keyed hashes of what a client says of itself, so that a dump or a log gives none of it away.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, ModelName, PrincipalKey, Purpose, RootSecret, TokenId, identifier::normal_form};
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
    let normal = normal_form(identifier, true);
    let hash = keyed((root, Purpose::Device, guard), b"identifier\0", normal.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.split_at(16).0)
}

/// What refusals for a name are counted under: for an identifier, or a session's id.
///
/// Names that a database may take for one are one: case is folded by way of capitals, which also makes one of `i` and `ı`, of `s` and `ſ`, and the dot that is left of
/// `İ` is dropped. Accounts that differ in that alone share a count; the other way round each spelling would have guesses of its own.
pub(crate) fn name_hash(root: &RootSecret, model: &ModelName, name: &str) -> TokenId {
    let normal = normal_form(name, true);
    let folded = normal.to_uppercase().to_lowercase().replace('\u{307}', "");
    of_model(root, model, b"name\0", &folded)
}

/// What refusals for an account are counted under, or for a name that no account has.
pub(crate) fn account_hash(root: &RootSecret, model: &ModelName, account: Result<&PrincipalKey, &str>) -> TokenId {
    match account {
        Ok(key) => of_model(root, model, b"account\0", key.as_str()),
        Err(name) => of_model(root, model, b"none\0", &normal_form(name, true)),
    }
}

/// What refusals for a session are counted under.
pub(crate) fn session_hash(root: &RootSecret, guard: &GuardName, session: &str) -> TokenId {
    shortened(keyed((root, Purpose::Limit, guard), b"name\0", session.as_bytes()))
}

fn of_model(root: &RootSecret, model: &ModelName, label: &[u8], text: &str) -> TokenId {
    let key = root.derive(Purpose::Limit, None);
    shortened(mac(
        key.expose_secret(),
        &[label, model.as_str().as_bytes(), b"\0", text.as_bytes()],
    ))
}

/// The networks of an address, the smallest first: an IPv4 address by itself, an IPv6 address by its first 64, 56 and 48 bits. A host can have any address in its /64
/// (RFC 4862 section 5.5.3), and one customer is given a /56 or a /48 (RFC 6177).
pub(crate) fn networks(address: IpAddr) -> Vec<Vec<u8>> {
    match address.to_canonical() {
        IpAddr::V4(address) => vec![address.octets().to_vec()],
        IpAddr::V6(address) => [8, 7, 6]
            .map(|bytes| address.octets().split_at(bytes).0.to_vec())
            .to_vec(),
    }
}

/// What refusals for an address are counted under: one for each of its [`networks`].
pub(crate) fn address_hashes(root: &RootSecret, guard: &GuardName, address: IpAddr) -> Vec<TokenId> {
    let hash = |network: Vec<u8>| {
        let label: &[u8] = match network.len() {
            4 => b"ipv4\0",
            8 => b"ipv6\0",
            7 => b"ipv6/56\0",
            _ => b"ipv6/48\0",
        };
        shortened(keyed((root, Purpose::Limit, guard), label, &network))
    };
    networks(address).into_iter().map(hash).collect()
}

fn shortened(hash: [u8; 32]) -> TokenId {
    let mut short = TokenId([0; 16]);
    short.0.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    short
}

pub(crate) fn keyed((root, purpose, guard): (&RootSecret, Purpose, &GuardName), label: &[u8], text: &[u8]) -> [u8; 32] {
    let key = root.derive(purpose, Some(guard));
    mac(key.expose_secret(), &[label, text])
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than a block is padded with zeros (RFC 2104 section 2), so a padded block is the same key, and cannot be refused.
    let mut block = Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
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
        let model = |name: &str| ModelName::new(name).unwrap();
        let hash = |name: &str| name_hash(&root(0), &model("customer"), name);
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
            name_hash(&root(0), &model("admin"), "iris@example.com")
        );
        assert_ne!(
            hash("iris@example.com"),
            name_hash(&root(1), &model("customer"), "iris@example.com")
        );
    }

    #[test]
    fn an_ipv4_address_is_counted_whole_and_an_ipv6_address_by_its_networks() {
        let hash = |address: &str| address_hashes(&root(0), &guard("customer"), address.parse().unwrap());
        assert_eq!(hash("192.0.2.1").len(), 1);
        assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
        assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.1"));
        assert_eq!(hash("2001:db8:1:2::1"), hash("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        let shared = |one: &str, other: &str| {
            let (one, other) = (hash(one), hash(other));
            one.iter().filter(|hash| other.contains(hash)).count()
        };
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:1:3::1"), 2);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:1:ff02::1"), 1);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:2:2::1"), 0);
    }
}
