//! The reference of a sign-in that waits for its verification: made from the session that stands for it by a keyed hash, so that it can be made again for the next right
//! attempt, and is stored nowhere.
//!
//! `bkv_`, then in base64url without padding: version (1 byte), session (16), HMAC-SHA-256 (32) under the guard's own key. Who knows the session's id alone, as from a
//! temporary token, cannot make it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{GuardName, Purpose, RootSecret, SessionId, TokenId};
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use crate::keyed::keyed;

const PREFIX: &str = "bkv_";
const VERSION: u8 = 1;
/// Version, session.
const HEAD_BYTES: usize = 1 + 16;
const MAC_BYTES: usize = 32;
const REF_BYTES: usize = HEAD_BYTES + MAC_BYTES;

fn mac(root: &RootSecret, guard: &GuardName, head: &[u8]) -> [u8; MAC_BYTES] {
    keyed((root, Purpose::Verification, guard), b"verification\0", head)
}

/// The reference of this session; the same each time.
pub(crate) fn make(root: &RootSecret, guard: &GuardName, session: SessionId) -> SecretString {
    let mut bytes = Vec::with_capacity(REF_BYTES);
    bytes.push(VERSION);
    bytes.extend(session.0);
    let mac = mac(root, guard, &bytes);
    bytes.extend(mac);
    let mut text = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text.into()
}

/// The session that a reference of this guard names; `None` for anything else, whatever is wrong with it.
pub(crate) fn parse(root: &RootSecret, guard: &GuardName, text: &str) -> Option<SessionId> {
    let encoded = text.strip_prefix(PREFIX)?;
    if encoded.len() != (REF_BYTES * 4).div_ceil(3) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (head, given) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    if !bool::from(mac(root, guard, head).ct_eq(given)) {
        return None;
    }
    let ([version], session) = head.split_first_chunk::<1>()?;
    (*version == VERSION).then_some(TokenId(session.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const SESSION: TokenId = TokenId([0xA5; 16]);

    fn root(first: u8) -> RootSecret {
        RootSecret::new(&(first..first + 32).collect::<Vec<u8>>()).unwrap()
    }

    fn guard(name: &str) -> GuardName {
        GuardName::new(name).unwrap()
    }

    #[test]
    fn a_reference_names_its_session_at_its_own_guard_and_root_alone() {
        let made = make(&root(0), &guard("customer"), SESSION);
        let text = made.expose_secret();
        assert_eq!(text, make(&root(0), &guard("customer"), SESSION).expose_secret());
        assert_eq!(parse(&root(0), &guard("customer"), text), Some(SESSION));
        assert_eq!(parse(&root(0), &guard("admin"), text), None);
        assert_eq!(parse(&root(1), &guard("customer"), text), None);
    }

    #[test]
    fn no_character_of_it_can_be_another() {
        let made = make(&root(0), &guard("customer"), SESSION);
        let text = made.expose_secret();
        for at in 0..text.len() {
            for other in ["A", "b", "_", "=", "", "AA"] {
                let mut changed = text.to_owned();
                changed.replace_range(at..=at, other);
                if changed != text {
                    assert_eq!(parse(&root(0), &guard("customer"), &changed), None, "{changed}");
                }
            }
        }
        for text in ["", "bkv_", "bkr_", &SESSION.to_string(), &format!("bkv_{SESSION}")] {
            assert_eq!(parse(&root(0), &guard("customer"), text), None, "{text}");
        }
    }
}
