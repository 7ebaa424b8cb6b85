//! The text of a token that is made from an id and a counter by a keyed hash, so that it can be made again and is stored nowhere.
//!
//! A prefix, then in base64url without padding: version (1 byte), key id (4), id (16), counter (4, big-endian), HMAC-SHA-512 (64).
//! The MAC is over a label, the guard's name and all that stands before it, under the guard's own key for this kind of token.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, Purpose, RootSecret, TokenId};
use hmac::{Hmac, Mac as _, digest::Key};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
/// Version, key id, id, counter.
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + 16 + 4;
const MAC_BYTES: usize = 64;
const TOKEN_BYTES: usize = HEAD_BYTES + MAC_BYTES;

/// A kind of token.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) prefix: &'static str,
    pub(crate) label: &'static [u8],
    pub(crate) key_id_label: &'static [u8],
    pub(crate) purpose: Purpose,
}

/// Makes and reads the tokens of one guard and kind.
pub(crate) struct GenerationTokens {
    kind: Kind,
    guard: GuardName,
    key: SecretBox<[u8; 32]>,
    pub(crate) key_id: [u8; KEY_ID_BYTES],
}

impl GenerationTokens {
    pub(crate) fn new(kind: Kind, root: &RootSecret, guard: &GuardName) -> Self {
        let key = root.derive(kind.purpose, Some(guard));
        let digest = Sha256::new()
            .chain_update(kind.key_id_label)
            .chain_update(key.expose_secret())
            .finalize();
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            kind,
            guard: guard.clone(),
            key,
            key_id,
        }
    }

    /// The token of this counter; the same each time.
    pub(crate) fn make(&self, id: TokenId, generation: u32) -> SecretString {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.key_id);
        bytes.extend(id.0);
        bytes.extend(generation.to_be_bytes());
        let mac = self.mac(&bytes);
        bytes.extend(mac);
        let mut text = String::with_capacity(self.kind.prefix.len() + TOKEN_BYTES.div_ceil(3) * 4);
        text.push_str(self.kind.prefix);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text.into()
    }

    /// The id and the counter that a token names; `None`, whatever is wrong with it.
    pub(crate) fn parse(&self, text: &str) -> Option<(TokenId, u32)> {
        let encoded = text.strip_prefix(self.kind.prefix)?;
        if encoded.len() != (TOKEN_BYTES * 4).div_ceil(3) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (head, mac) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        if !bool::from(self.mac(head).ct_eq(mac)) {
            return None;
        }
        let ([version], rest) = head.split_first_chunk::<1>()?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
        let (id, generation) = rest.split_first_chunk::<16>()?;
        let generation = generation.try_into().ok()?;
        let is_ours = *version == VERSION && *key_id == self.key_id;
        is_ours.then(|| (TokenId(*id), u32::from_be_bytes(generation)))
    }

    fn mac(&self, head: &[u8]) -> [u8; MAC_BYTES] {
        // A key shorter than a block is padded with zeros (RFC 2104 section 2), so a padded block is the same key, and cannot be refused.
        let mut block = Key::<Hmac<Sha512>>::default();
        block
            .iter_mut()
            .zip(self.key.expose_secret())
            .for_each(|(to, from)| *to = *from);
        // The guard's name ends with a byte that no name can hold, so that no two inputs are equal.
        Hmac::<Sha512>::new(&block)
            .chain_update(self.kind.label)
            .chain_update(self.guard.as_str())
            .chain_update([0])
            .chain_update(head)
            .finalize()
            .into_bytes()
            .into()
    }
}

impl fmt::Debug for GenerationTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.guard.as_str())
    }
}
