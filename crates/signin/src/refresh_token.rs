//! The text of a refresh token: made from a session and a generation by a keyed hash, so that it can be made again and is stored nowhere.
//!
//! `bkr_`, then in base64url without padding: version (1 byte), key id (4), session (16), generation (4, big-endian), HMAC-SHA-512 (64).
//! The MAC is over a label, the guard's name and all that stands before it, under the guard's own refresh key.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, Purpose, RootSecret, SessionId, TokenId};
use hmac::{Hmac, Mac as _, digest::Key};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "bkr_";
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
/// Version, key id, session, generation.
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + 16 + 4;
const MAC_BYTES: usize = 64;
const TOKEN_BYTES: usize = HEAD_BYTES + MAC_BYTES;

/// What was presented is no refresh token of this guard. It does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of this guard")]
pub struct NotARefreshToken;

/// Makes and reads the refresh tokens of one guard.
pub struct RefreshTokens {
    guard: GuardName,
    key: SecretBox<[u8; 32]>,
    key_id: [u8; KEY_ID_BYTES],
}

impl RefreshTokens {
    /// The refresh tokens of a guard under a root secret.
    #[must_use]
    pub fn new(root: &RootSecret, guard: &GuardName) -> Self {
        let key = root.derive(Purpose::Refresh, Some(guard));
        let digest = Sha256::new()
            .chain_update(b"bekci/refresh/key-id\0")
            .chain_update(key.expose_secret())
            .finalize();
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            guard: guard.clone(),
            key,
            key_id,
        }
    }

    /// The token of this generation; the same each time.
    #[must_use]
    pub fn make(&self, session: SessionId, generation: u32) -> SecretString {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.key_id);
        bytes.extend(session.0);
        bytes.extend(generation.to_be_bytes());
        let mac = self.mac(&bytes);
        bytes.extend(mac);
        let mut text = String::with_capacity(PREFIX.len() + TOKEN_BYTES.div_ceil(3) * 4);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text.into()
    }

    /// The session and the generation that a token names.
    ///
    /// # Errors
    /// [`NotARefreshToken`], whatever is wrong with it.
    pub fn parse(&self, text: &str) -> Result<(SessionId, u32), NotARefreshToken> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotARefreshToken)?;
        if encoded.len() != (TOKEN_BYTES * 4).div_ceil(3) {
            return Err(NotARefreshToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotARefreshToken)?;
        let (head, mac) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(NotARefreshToken)?;
        if !bool::from(self.mac(head).ct_eq(mac)) {
            return Err(NotARefreshToken);
        }
        let ([version], rest) = head.split_first_chunk::<1>().ok_or(NotARefreshToken)?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(NotARefreshToken)?;
        let (session, generation) = rest.split_first_chunk::<16>().ok_or(NotARefreshToken)?;
        let generation = generation.try_into().map_err(|_| NotARefreshToken)?;
        if *version != VERSION || *key_id != self.key_id {
            return Err(NotARefreshToken);
        }
        Ok((TokenId(*session), u32::from_be_bytes(generation)))
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
            .chain_update(b"bekci/refresh/1\0")
            .chain_update(self.guard.as_str())
            .chain_update([0])
            .chain_update(head)
            .finalize()
            .into_bytes()
            .into()
    }
}

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RefreshTokens({})", self.guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: TokenId = TokenId([0xA5; 16]);

    fn tokens(root: u8, guard: &str) -> RefreshTokens {
        let root = RootSecret::new(&(0..32).map(|byte| byte ^ root).collect::<Vec<u8>>()).unwrap();
        RefreshTokens::new(&root, &GuardName::new(guard).unwrap())
    }

    #[test]
    fn a_token_names_its_session_and_generation_and_is_the_same_each_time() {
        let customer = tokens(0, "customer");
        for generation in [0, 1, 77, u32::MAX] {
            let token = customer.make(SESSION, generation);
            assert_eq!(customer.parse(token.expose_secret()), Ok((SESSION, generation)));
            let again = tokens(0, "customer").make(SESSION, generation);
            assert_eq!(token.expose_secret(), again.expose_secret());
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let customer = tokens(0, "customer");
        let token = customer.make(SESSION, 3);
        let token = token.expose_secret();
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(flipped));
            assert_eq!(customer.parse(&text), Err(NotARefreshToken), "bit {bit}");
        }
        // And of the text, where the last character has bits that stand for nothing.
        for (at, bit) in (0..token.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut flipped = token.as_bytes().to_vec();
            flipped[at] ^= 1 << bit;
            let text = String::from_utf8(flipped).unwrap();
            assert_eq!(
                customer.parse(&text),
                Err(NotARefreshToken),
                "character {at}, bit {bit}"
            );
        }
    }

    #[test]
    fn other_lengths_prefixes_and_alphabets_are_refused() {
        let customer = tokens(0, "customer");
        let token = customer.make(SESSION, 3);
        let token = token.expose_secret();
        let mut bad = vec![
            String::new(),
            PREFIX.to_owned(),
            token.replacen("bkr_", "bkr", 1),
            token.replacen("bkr_", "BKR_", 1),
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
            format!("{token}\n"),
            "bkr_ğğğğ".repeat(20),
            "A".repeat(100_000),
        ];
        bad.extend((0..token.len()).map(|end| token[..end].to_owned()));
        for text in bad {
            assert_eq!(customer.parse(&text), Err(NotARefreshToken), "{text}");
        }
    }

    #[test]
    fn another_guard_or_another_root_has_other_tokens() {
        let token = tokens(0, "customer").make(SESSION, 3);
        for other in [tokens(0, "admin"), tokens(1, "customer")] {
            assert_eq!(other.parse(token.expose_secret()), Err(NotARefreshToken));
        }
        assert_ne!(tokens(0, "customer").key_id, tokens(1, "customer").key_id);
    }

    #[test]
    fn nothing_of_the_key_prints() {
        assert_eq!(format!("{:?}", tokens(0, "customer")), "RefreshTokens(customer)");
    }
}
