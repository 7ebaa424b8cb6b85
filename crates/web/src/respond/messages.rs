//! What people read: one sentence for each code and language. Programs read the code.

use std::{collections::HashMap, sync::Arc};

use bekci_core::ErrorCode;

/// The longest sentence of one's own, in bytes.
const LONGEST: usize = 500;

/// A language that messages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Turkish.
    Turkish,
}

impl Language {
    /// The language of a primary subtag (RFC 5646 section 2.2.1), if messages are written in it.
    #[must_use]
    pub fn by_tag(primary: &str) -> Option<Self> {
        match primary {
            "en" => Some(Self::English),
            "tr" => Some(Self::Turkish),
            _ => None,
        }
    }

    /// The tag for `Content-Language`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Turkish => "tr",
        }
    }
}

/// Why a sentence of one's own is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMessage {
    /// It is empty, or white space alone.
    #[error("the message is empty")]
    Empty,
    /// It is longer than 500 bytes.
    #[error("the message is longer than {LONGEST} bytes")]
    TooLong,
    /// It has a control character, a separator of lines or a mark that turns the direction of text.
    #[error("the message has a character that is not text")]
    NotText,
}

/// Sentences of one's own in place of the built-in ones. What is not replaced stays as it is, and codes never change. Cheap to clone.
///
/// ```
/// use bekci::{Language, Messages, core::ErrorCode};
///
/// let messages = Messages::default().replace(Language::English, ErrorCode::TokenMissing, "Please sign in.")?;
/// assert_eq!(messages.say(ErrorCode::TokenMissing, Language::English), "Please sign in.");
/// assert_eq!(messages.say(ErrorCode::TokenMissing, Language::Turkish), "Önce oturum açın.");
/// # Ok::<(), bekci::BadMessage>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Messages(Option<Arc<Own>>);

/// Sentences that replace built-in ones.
type Own = HashMap<(ErrorCode, Language), Box<str>>;

impl Messages {
    /// With this sentence for a code in a language. It is plain text and stands as it is: there are no places in it that would be filled.
    ///
    /// # Errors
    /// [`BadMessage`], see [`Messages::check`].
    pub fn replace(mut self, language: Language, code: ErrorCode, text: &str) -> Result<Self, BadMessage> {
        Self::check(text)?;
        let own = Arc::make_mut(self.0.get_or_insert_default());
        own.insert((code, language), text.into());
        Ok(self)
    }

    /// Whether a text can be a sentence: 1 to 500 bytes, no white space alone, no control characters, separators of lines or marks of direction, with which a text could
    /// look like another one.
    ///
    /// # Errors
    /// [`BadMessage`].
    pub fn check(text: &str) -> Result<(), BadMessage> {
        let is_odd = |c: char| {
            c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        if text.trim().is_empty() {
            return Err(BadMessage::Empty);
        }
        if text.len() > LONGEST {
            return Err(BadMessage::TooLong);
        }
        if text.contains(is_odd) {
            return Err(BadMessage::NotText);
        }
        Ok(())
    }

    /// The sentence for a code: one's own, else the built-in one.
    #[must_use]
    pub fn say(&self, code: ErrorCode, language: Language) -> &str {
        match self.0.as_ref().and_then(|own| own.get(&(code, language))) {
            Some(text) => text,
            None => message(code, language),
        }
    }
}

/// The built-in sentence for a code.
#[must_use]
pub fn message(code: ErrorCode, language: Language) -> &'static str {
    let (english, turkish) = both(code);
    match language {
        Language::English => english,
        Language::Turkish => turkish,
    }
}

fn both(code: ErrorCode) -> (&'static str, &'static str) {
    match code {
        ErrorCode::MalformedRequest => ("The request cannot be understood.", "İstek anlaşılamadı."),
        ErrorCode::AmbiguousCredentials => (
            "The request carries two different credentials.",
            "İstek birbirinden farklı iki kimlik bilgisi taşıyor.",
        ),
        ErrorCode::BadPath => ("The path is not in its canonical form.", "Yol kurallı biçimde değil."),
        ErrorCode::TokenMissing => ("Sign in first.", "Önce oturum açın."),
        ErrorCode::TokenInvalid => ("The token is not valid.", "Erişim anahtarı geçerli değil."),
        ErrorCode::TokenExpired => ("The token has expired.", "Erişim anahtarının süresi doldu."),
        ErrorCode::TokenBlocked => ("The token is blocked.", "Erişim anahtarı engellendi."),
        ErrorCode::GuardMismatch => ("Sign in first.", "Önce oturum açın."),
        ErrorCode::IdentityNotFound => ("The account does not exist any more.", "Hesap artık yok."),
        ErrorCode::CredentialInvalid => (
            "The identifier or the password is wrong.",
            "Kullanıcı bilgisi ya da parola yanlış.",
        ),
        ErrorCode::IdentityAmbiguous => (
            "This identifier stands for more than one account.",
            "Bu bilgi birden çok hesaba ait.",
        ),
        ErrorCode::RefreshTokenInvalid => ("The refresh token is not valid.", "Yenileme anahtarı geçerli değil."),
        ErrorCode::RefreshTokenExpired => ("The refresh token has expired.", "Yenileme anahtarının süresi doldu."),
        ErrorCode::SecurityTokenInvalid => (
            "The browser's security cookie does not fit its session. Please sign in again.",
            "Tarayıcının güvenlik çerezi oturumuna uymuyor. Lütfen yeniden giriş yapın.",
        ),
        ErrorCode::RefreshTokenReused => (
            "The refresh token was used before; its session has ended.",
            "Yenileme anahtarı daha önce kullanılmış; oturum sonlandırıldı.",
        ),
        ErrorCode::Forbidden => ("You may not do this.", "Bunu yapma yetkiniz yok."),
        ErrorCode::PolicyDenied => ("A policy does not allow this.", "Bir kural buna izin vermiyor."),
        ErrorCode::AccountBanned => ("The account is banned.", "Hesap yasaklandı."),
        ErrorCode::AccountInactive => ("The account is not active.", "Hesap etkin değil."),
        ErrorCode::Unverified => ("Confirm your address first.", "Önce adresinizi doğrulayın."),
        ErrorCode::CsrfRejected => (
            "The request could not be told from one of another site.",
            "İsteğin başka bir siteden gelmediği anlaşılamadı.",
        ),
        ErrorCode::CodeInvalid => (
            "This code or link is not valid any more.",
            "Bu kod ya da bağlantı artık geçerli değil.",
        ),
        ErrorCode::OtpInvalid => ("The code is not valid.", "Kod geçerli değil."),
        ErrorCode::OtpExpired => (
            "The code has expired. Request a new one.",
            "Kodun süresi doldu. Yeni bir kod isteyin.",
        ),
        ErrorCode::RegistrationClosed => ("Registration is closed.", "Kayıt kapalı."),
        ErrorCode::NotFound => ("There is nothing here.", "Burada bir şey yok."),
        ErrorCode::GuardUnknown => ("There is no guard of this name.", "Bu adda bir giriş yok."),
        ErrorCode::Conflict => (
            "It is there already, or somebody else has changed it.",
            "Zaten var ya da bir başkası değiştirmiş.",
        ),
        ErrorCode::MethodNotAllowed => ("This method is not allowed here.", "Bu yöntem burada kullanılamaz."),
        ErrorCode::PayloadTooLarge => ("The body is too large.", "Gövde çok büyük."),
        ErrorCode::UnsupportedMediaType => ("The body must be JSON.", "Gövde JSON olmalı."),
        ErrorCode::ValidationFailed => (
            "A field is missing or not allowed.",
            "Bir alan eksik ya da uygun değil.",
        ),
        ErrorCode::RateLimited => ("Too many tries; wait a while.", "Çok fazla deneme; biraz bekleyin."),
        ErrorCode::Internal => ("Something went wrong on our side.", "Bizim tarafta bir sorun oldu."),
        ErrorCode::UpstreamUnavailable => ("The service cannot be reached.", "Hizmete ulaşılamıyor."),
        ErrorCode::StoreUnavailable => (
            "It cannot be told now whether this is allowed; try again.",
            "Buna izin olup olmadığı şu an bilinemiyor; yeniden deneyin.",
        ),
        ErrorCode::UpstreamTimeout => ("The service did not answer in time.", "Hizmet zamanında yanıt vermedi."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_ones_own_takes_the_place_of_one_and_of_no_other() {
        let own = Messages::default();
        let own = own
            .replace(Language::Turkish, ErrorCode::Forbidden, "Olmaz \"{x}\" <b>.")
            .unwrap();
        let kept = own.clone();
        let own = own.replace(Language::Turkish, ErrorCode::Forbidden, "Hayır.").unwrap();
        assert_eq!(own.say(ErrorCode::Forbidden, Language::Turkish), "Hayır.");
        assert_eq!(
            kept.say(ErrorCode::Forbidden, Language::Turkish),
            "Olmaz \"{x}\" <b>.",
            "nothing is filled in"
        );
        for code in ErrorCode::ALL {
            assert_eq!(own.say(*code, Language::English), message(*code, Language::English));
            if *code != ErrorCode::Forbidden {
                assert_eq!(own.say(*code, Language::Turkish), message(*code, Language::Turkish));
            }
        }
    }

    #[test]
    fn a_sentence_is_text_and_not_long() {
        let longest = "a".repeat(LONGEST);
        for good in ["Sign in.", "Önce “oturum” açın – lütfen 🙂", longest.as_str()] {
            assert_eq!(Messages::check(good), Ok(()), "{good}");
        }
        let long = "ö".repeat(LONGEST / 2 + 1);
        for (text, why) in [
            ("", BadMessage::Empty),
            (" \u{a0}", BadMessage::Empty),
            (long.as_str(), BadMessage::TooLong),
            ("a\nb", BadMessage::NotText),
            ("a\0", BadMessage::NotText),
            ("a\u{7f}", BadMessage::NotText),
            ("a\u{85}b", BadMessage::NotText),
            ("a\u{2028}b", BadMessage::NotText),
            ("a\u{202e}b", BadMessage::NotText),
            ("\u{feff}a", BadMessage::NotText),
        ] {
            assert_eq!(Messages::check(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn every_code_is_found_by_its_text() {
        for (code, text) in ErrorCode::ALL.iter().zip(ErrorCode::TEXTS) {
            assert_eq!(ErrorCode::by_text(text), Some(*code));
            assert_eq!(code.as_str(), *text);
        }
        assert_eq!(ErrorCode::by_text("token_missing"), None);
    }

    #[test]
    fn another_guards_token_reads_like_none_at_all() {
        for language in [Language::English, Language::Turkish] {
            assert_eq!(
                message(ErrorCode::GuardMismatch, language),
                message(ErrorCode::TokenMissing, language)
            );
        }
    }
}
