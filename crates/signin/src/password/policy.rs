//! Which passwords may be set. At sign-in none of this is asked.

use std::{collections::HashSet, sync::LazyLock};

use secrecy::{ExposeSecret as _, SecretString};

use super::MAX_PASSWORD_CHARS;

/// No policy asks for less (NIST SP 800-63B-4 section 3.1.1.2: 8 where a second factor is asked too).
pub const MIN_POLICY_CHARS: usize = 8;

/// Lower case, one a line, sorted; each of at least [`MIN_POLICY_CHARS`].
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// Words that say something of their owner are looked for from this length on.
const MIN_PERSONAL_CHARS: usize = 4;

/// A password that may not be set. It does not say the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// It has fewer characters than the policy asks.
    #[error("must have at least {min} characters")]
    TooShort {
        /// How many are asked.
        min: usize,
    },
    /// It has more characters than are ever verified.
    #[error("must have at most {max} characters")]
    TooLong {
        /// How many may be.
        max: usize,
    },
    /// It is one of the first that anybody tries.
    #[error("is too common")]
    Common,
    /// It is the account's own address or name, or the service's.
    #[error("must not be the account's own name or address")]
    Personal,
}

/// What is asked of a new password: a length, and that it is not one of the first to be tried. No rules of composition (NIST SP 800-63B-4
/// section 3.1.1.2): they make passwords alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    min_chars: usize,
}

impl PasswordPolicy {
    /// A policy that asks for this many characters, but for no fewer than [`MIN_POLICY_CHARS`].
    #[must_use]
    pub fn new(min_chars: usize) -> Self {
        Self {
            min_chars: min_chars.clamp(MIN_POLICY_CHARS, MAX_PASSWORD_CHARS),
        }
    }

    /// Judges a new password. `about`: the account's identifier and name, the guard's and the service's name.
    ///
    /// # Errors
    /// The first [`WeakPassword`] that applies.
    pub fn check(&self, password: &SecretString, about: &[&str]) -> Result<(), WeakPassword> {
        let password = password.expose_secret();
        let chars = password.chars().count();
        if chars < self.min_chars {
            return Err(WeakPassword::TooShort { min: self.min_chars });
        }
        if chars > MAX_PASSWORD_CHARS {
            return Err(WeakPassword::TooLong {
                max: MAX_PASSWORD_CHARS,
            });
        }
        let folded = password.to_lowercase();
        if is_common(&folded) {
            return Err(WeakPassword::Common);
        }
        if about.iter().any(|word| is_personal(&folded, word)) {
            return Err(WeakPassword::Personal);
        }
        Ok(())
    }
}

impl Default for PasswordPolicy {
    /// 15 characters, where a password is all that is asked.
    fn default() -> Self {
        Self::new(15)
    }
}

/// In the list, or a thing of the list, or of at most four characters, over and over: `passwordpassword`, `aaaaaaaaaaaaaaa`, `abcabcabcabcabc`.
fn is_common(folded: &str) -> bool {
    if COMMON.contains(folded) {
        return true;
    }
    let ends = folded.char_indices().map(|(at, _)| at).skip(1);
    ends.filter(|end| end * 2 <= folded.len()).any(|end| {
        let (unit, rest) = folded.split_at(end);
        let trivial = unit.chars().count() <= 4 || COMMON.contains(unit);
        // The last round need not be whole: `12341234123`.
        trivial
            && (0..)
                .zip(rest.bytes())
                .all(|(at, byte)| unit.as_bytes().get(at % unit.len()) == Some(&byte))
    })
}

/// The word itself, or what stands before the `@` of an address, alone or over and over.
fn is_personal(folded: &str, word: &str) -> bool {
    let word = word.trim().to_lowercase();
    let local = word.split('@').next().unwrap_or_default();
    [word.as_str(), local]
        .into_iter()
        .any(|word| word.chars().count() >= MIN_PERSONAL_CHARS && folded.replace(word, "").is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(min: usize, password: &str, about: &[&str]) -> Result<(), WeakPassword> {
        PasswordPolicy::new(min).check(&password.into(), about)
    }

    #[test]
    fn the_list_is_sorted_lower_case_without_doubles_and_long_enough_to_matter() {
        let lines: Vec<&str> = include_str!("common.txt").lines().collect();
        assert!(lines.len() >= 1000, "{}", lines.len());
        assert!(lines.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(lines.iter().all(|line| line.chars().count() >= MIN_POLICY_CHARS));
        assert!(lines.iter().all(|line| *line == line.to_lowercase().trim()));
    }

    #[test]
    fn length_is_counted_in_characters_and_never_asked_under_eight() {
        assert_eq!(check(15, "korrekt-pferd-1", &[]), Ok(()));
        assert_eq!(
            check(15, "korrekt-pferd-", &[]),
            Err(WeakPassword::TooShort { min: 15 })
        );
        assert_eq!(check(8, "şğıöçüİâ", &[]), Ok(()));
        assert_eq!(check(1, "abc-xyz", &[]), Err(WeakPassword::TooShort { min: 8 }));
        let long: String = ('a'..='z').cycle().step_by(7).take(128).collect();
        assert_eq!(check(15, &long, &[]), Ok(()));
        assert_eq!(
            check(15, &format!("{long}x"), &[]),
            Err(WeakPassword::TooLong { max: 128 })
        );
    }

    #[test]
    fn common_passwords_are_refused_whatever_their_case() {
        for common in [
            "password1",
            "Iloveyou1",
            "QWERTYUIOP",
            "123456789",
            "Passw0rd!",
            "galatasaray",
        ] {
            assert_eq!(check(8, common, &[]), Err(WeakPassword::Common), "{common}");
        }
        for common in [
            "qwertyuiopasdfghjklzxcvbnm",
            "123456789012345",
            "thisismypassword",
            "PasswordPassword",
        ] {
            assert_eq!(check(15, common, &[]), Err(WeakPassword::Common), "{common}");
        }
    }

    #[test]
    fn something_short_over_and_over_is_common_too() {
        for common in [
            "aaaaaaaaaaaaaaa",
            "abcabcabcabcabcab",
            "1234123412341234",
            "şşşşşşşşşşşşşşşşş",
        ] {
            assert_eq!(check(15, common, &[]), Err(WeakPassword::Common), "{common}");
        }
    }

    #[test]
    fn a_password_is_not_its_owners_name() {
        let about = ["margarethe.kowalski@example.com", "customer"];
        for own in [
            "margarethe.kowalski@example.com",
            "Margarethe.Kowalski",
            "customercustomer",
        ] {
            assert_eq!(check(15, own, &about), Err(WeakPassword::Personal), "{own}");
        }
        assert_eq!(check(15, "margarethe-likes-kites", &about), Ok(()));
    }

    #[test]
    fn no_composition_is_asked() {
        assert_eq!(check(15, "seventeen geese wander", &[]), Ok(()));
    }
}
