//! What people read: one sentence for each code and language. Programs read the code.

use bekci_core::ErrorCode;

/// A language that messages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// The sentence for a code.
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
        ErrorCode::RegistrationClosed => ("Registration is closed.", "Kayıt kapalı."),
        ErrorCode::NotFound => ("There is nothing here.", "Burada bir şey yok."),
        ErrorCode::GuardUnknown => ("There is no guard of this name.", "Bu adda bir giriş yok."),
        ErrorCode::Conflict => (
            "It is there already, or somebody else has changed it.",
            "Zaten var ya da bir başkası değiştirmiş.",
        ),
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
    fn another_guards_token_reads_like_none_at_all() {
        for language in [Language::English, Language::Turkish] {
            assert_eq!(
                message(ErrorCode::GuardMismatch, language),
                message(ErrorCode::TokenMissing, language)
            );
        }
    }
}
