//! Keyed hashes of what a client says of itself, so that a dump or a log gives none of it away.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, Purpose, RootSecret};
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
    fits.then(|| keyed(root, guard, b"device\0", device_id).to_vec())
}

/// A short name for an identifier in the audit log: equal for equal ones, telling nothing without the root secret. Case is folded, so that
/// tries against one account are seen as such.
pub(crate) fn identifier_mark(root: &RootSecret, guard: &GuardName, identifier: &str) -> String {
    let hash = keyed(root, guard, b"identifier\0", &identifier.to_lowercase());
    URL_SAFE_NO_PAD.encode(hash.split_at(16).0)
}

fn keyed(root: &RootSecret, guard: &GuardName, label: &[u8], text: &str) -> [u8; 32] {
    let key = root.derive(Purpose::Device, Some(guard));
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
