//! Secrets that can be guessed although they are long enough.

/// How long a part is that counts as repeated.
const REPEATED: usize = 4;

/// Why a secret of 32 bytes or more is none, if it is plainly not random: few different bytes, parts that come again, runs as `0123` and `abcd`, words. Random bytes, and
/// random text in hexadecimal, base32 or base64, are never refused by chance that matters: less than once in 10,000.
#[must_use]
pub fn guessable(secret: &[u8]) -> Option<&'static str> {
    let mut seen = [false; 256];
    for byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    if seen.iter().filter(|seen| **seen).count() < 8 {
        return Some("has fewer than 8 different characters");
    }
    if repeated(secret) * 4 > secret.len() {
        return Some("repeats itself");
    }
    let steps = secret.windows(2).filter(|pair| match pair {
        [one, other] => one.abs_diff(*other) <= 1,
        _ => false,
    });
    if steps.count() * 2 > secret.len() {
        return Some("counts up or down");
    }
    is_of_words(secret).then_some("is made of words")
}

/// How many bytes stand in parts that came before.
fn repeated(secret: &[u8]) -> usize {
    let mut covered = 0;
    let mut at = 0;
    while at + REPEATED <= secret.len() {
        let part = secret.get(at..at + REPEATED).unwrap_or_default();
        let before = secret.get(..at + REPEATED - 1).unwrap_or_default();
        if before.windows(REPEATED).any(|other| other.eq_ignore_ascii_case(part)) {
            covered += REPEATED;
            at += REPEATED;
        } else {
            at += 1;
        }
    }
    covered
}

/// Whether it is text that can be spoken: letters with vowels among them, never many consonants together, and few changes between kinds of characters.
fn is_of_words(secret: &[u8]) -> bool {
    if !secret.iter().all(|byte| (b' '..=b'~').contains(byte)) || secret.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let is_vowel = |byte: u8| matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let (mut letters, mut vowels, mut together, mut longest) = (0_usize, 0_usize, 0_usize, 0_usize);
    for byte in secret {
        if !byte.is_ascii_alphabetic() {
            together = 0;
            continue;
        }
        letters += 1;
        if is_vowel(*byte) {
            vowels += 1;
            together = 0;
        } else {
            together += 1;
            longest = longest.max(together);
        }
    }
    let kind = |byte: u8| {
        (
            byte.is_ascii_lowercase(),
            byte.is_ascii_uppercase(),
            byte.is_ascii_digit(),
        )
    };
    let changes = secret.windows(2).filter(|pair| match pair {
        [one, other] => kind(*one) != kind(*other),
        _ => false,
    });
    let digits = secret.iter().filter(|byte| byte.is_ascii_digit()).count();
    letters * 2 > secret.len()
        && vowels * 100 >= letters * 33
        && longest <= 5
        && digits * 10 <= secret.len()
        && changes.count() * 2 < secret.len()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha512};

    use super::*;

    #[test]
    fn what_people_write_in_place_of_a_secret_is_refused() {
        for text in [
            "x".repeat(64),
            "ab".repeat(40),
            "changeme".repeat(8),
            "ChangeMe".repeat(8),
            "0123456789abcdef".repeat(4),
            "qwertyuiopasdfghjklzxcvbnm1234567890qwertyuiopasdfghjklzxcvbnm12".to_owned(),
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/".to_owned(),
            "this is my very secret key for signing tokens, nobody will guess it".to_owned(),
            "your-256-bit-secret-should-be-long-enough-so-here-is-another-part".to_owned(),
            "CorrectHorseBatteryStapleAndAnotherHandfulOfWordsToMakeItLongEnough".to_owned(),
            "supersecretsupersecret1supersecretsupersecret2supersecretsupersecret".to_owned(),
            "geese wander at dawn while lanterns orbit a meadow of seven rivers".to_owned(),
        ] {
            assert!(guessable(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn random_secrets_in_every_usual_writing_are_taken() {
        const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut refused = [0; 4];
        for n in 0..4_000_u32 {
            let random = Sha512::digest(n.to_be_bytes());
            let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let letters = |alphabet: &[u8]| -> Vec<u8> {
                random
                    .iter()
                    .filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()))
                    .copied()
                    .collect()
            };
            let writings = [
                random.to_vec(),
                hex.into_bytes(),
                letters(BASE64),
                letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
            ];
            for (refused, secret) in refused.iter_mut().zip(&writings) {
                *refused += u32::from(guessable(secret).is_some());
            }
        }
        assert_eq!(refused, [0, 0, 0, refused[3]]);
        assert!(refused[3] <= 2, "{refused:?}");
    }
}
