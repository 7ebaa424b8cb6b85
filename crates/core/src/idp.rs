//! Identity providers (OpenID Connect): what they say of a user, and the ports that verify it and keep links to accounts.
//!
//! 1. An identity is its provider, issuer and subject. An address never identifies it (OpenID Connect Core section 5.7).
//! 2. A link names one account for an identity. An identity without a link enters the account of its address only if the provider says that the address is verified, and the
//!    account's address is verified too.
//! 3. The link, the account and the session are written in one transaction. Of any number of calls at once one makes the account.
//! 4. A provider that cannot be reached decides nothing: that is [`IdpError::Unavailable`], and never a refusal.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    codes::{Entrance, Redeemed},
    key::PrincipalKey,
    mail::EmailAddress,
    name::{IdpName, ModelName, NameError},
    signin::StoreError,
    token::TokenFault,
};

/// The issuer of Google's ID tokens.
const GOOGLE: &str = "https://accounts.google.com";
/// The same as Google's older libraries name it; Google documents both.
const GOOGLE_WITHOUT_SCHEME: &str = "accounts.google.com";

/// An identity provider that a guard accepts.
#[derive(Clone)]
pub struct IdpSettings {
    /// The name, which stands in the path of its calls.
    pub name: IdpName,
    /// The issuer. Its discovery document is at `<issuer>/.well-known/openid-configuration`.
    pub issuer: String,
    /// Every audience that is accepted: the client ids of the web page, of iOS, of Android.
    pub client_ids: Vec<String>,
    /// The secret of the first client id.
    pub client_secret: Option<SecretString>,
    /// The scopes that are requested.
    pub scopes: Vec<String>,
    /// A PEM file with the certificate authorities that are accepted; `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

impl IdpSettings {
    /// A provider by its issuer, with the scopes `openid`, `email` and `profile`.
    ///
    /// # Errors
    /// [`NameError`] for a name that cannot stand in a path.
    pub fn new<T: Into<String>>(
        name: &str,
        issuer: &str,
        client_ids: impl IntoIterator<Item = T>,
    ) -> Result<Self, NameError> {
        Ok(Self::of(IdpName::new(name)?, issuer, client_ids))
    }

    /// Google, under the name `google`.
    pub fn google<T: Into<String>>(client_ids: impl IntoIterator<Item = T>) -> Self {
        Self::of(IdpName::google(), GOOGLE, client_ids)
    }

    fn of<T: Into<String>>(name: IdpName, issuer: &str, client_ids: impl IntoIterator<Item = T>) -> Self {
        Self {
            name,
            issuer: issuer.to_owned(),
            client_ids: client_ids.into_iter().map(Into::into).collect(),
            client_secret: None,
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            ca_file: None,
        }
    }

    /// The values of `iss` that its ID tokens may have.
    #[must_use]
    pub fn issuers(&self) -> Vec<&str> {
        let also = (self.issuer == GOOGLE).then_some(GOOGLE_WITHOUT_SCHEME);
        std::iter::once(self.issuer.as_str()).chain(also).collect()
    }

    fn secret(&self) -> Option<&str> {
        self.client_secret.as_ref().map(|secret| secret.expose_secret())
    }
}

impl PartialEq for IdpSettings {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.issuer, &self.client_ids, &self.scopes, &self.ca_file)
            == (
                &other.name,
                &other.issuer,
                &other.client_ids,
                &other.scopes,
                &other.ca_file,
            )
            && self.secret() == other.secret()
    }
}

impl Eq for IdpSettings {}

impl fmt::Debug for IdpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IdpSettings")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What a provider says of a user, verified.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalIdentity {
    /// The name of the provider.
    pub provider: IdpName,
    /// Its issuer, as configured.
    pub issuer: String,
    /// The user at the provider.
    pub subject: String,
    /// The address, if the provider names one that mails can be sent to.
    pub address: Option<EmailAddress>,
    /// Whether the provider says that the address is verified.
    pub address_verified: bool,
    /// The display name.
    pub name: Option<String>,
}

impl ExternalIdentity {
    /// The address, if the provider says that it is verified.
    #[must_use]
    pub fn verified_address(&self) -> Option<&EmailAddress> {
        self.address.as_ref().filter(|_| self.address_verified)
    }
}

impl fmt::Debug for ExternalIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Subject, address and name are personal data: they are not for logs.
        formatter
            .debug_struct("ExternalIdentity")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// What an ID token must say of the request that it answers.
#[derive(Clone, Copy, Debug)]
pub enum Nonce<'a> {
    /// The client made the request. This is the nonce that it presents with the token, as it is or hashed by SHA-256 in hexadecimal digits; `None`: the token must have none.
    Presented(Option<&'a str>),
    /// This server made the request, with this nonce.
    Sent(&'a str),
}

/// What an ID token is verified against.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedIdToken<'a> {
    /// The issuers, one of which must be its `iss`.
    pub issuers: &'a [&'a str],
    /// The client ids that are accepted as `aud` and `azp`.
    pub audiences: &'a [String],
    /// The nonce.
    pub nonce: Nonce<'a>,
    /// Now.
    pub now: OffsetDateTime,
    /// How far clocks may differ.
    pub leeway: time::Duration,
}

/// What a verified ID token says.
#[derive(Clone, PartialEq, Eq)]
pub struct IdTokenClaims {
    /// `sub`.
    pub subject: String,
    /// `email`.
    pub email: Option<String>,
    /// Whether `email_verified` is `true`, or the text `"true"`.
    pub email_verified: bool,
    /// `name`.
    pub name: Option<String>,
}

impl fmt::Debug for IdTokenClaims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdTokenClaims(..)")
    }
}

/// The public keys of a provider.
pub trait IdpKeys: Send + Sync + fmt::Debug {
    /// Verifies an ID token. Claims are checked before the key is looked up, so [`TokenFault::UnknownKey`] is said only of a token that is good but for its key and signature.
    ///
    /// # Errors
    /// [`TokenFault`].
    fn verify(&self, token: &str, expected: &ExpectedIdToken<'_>) -> Result<IdTokenClaims, TokenFault>;

    /// The `kid` of a token's header, if it has one.
    fn kid(&self, token: &str) -> Option<String>;
}

/// Reads the public keys of a provider.
pub trait IdpKeyReader: Send + Sync + fmt::Debug {
    /// The keys of a JWK set (RFC 7517) that can verify a signature here. Others are left out.
    ///
    /// # Errors
    /// A text for the log: it is no JWK set, or has no such key.
    fn read(&self, jwks: &[u8]) -> Result<Arc<dyn IdpKeys>, String>;
}

/// Why an identity was not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdpError {
    /// What was presented is not good.
    #[error("the ID token is refused: {0}")]
    Refused(TokenFault),
    /// The provider cannot be reached, or answers what cannot be used. It is tried again with the next call.
    #[error("identity provider {provider}: {reason}")]
    Unavailable {
        /// The provider.
        provider: IdpName,
        /// Why, for the log.
        reason: Box<str>,
    },
}

/// An identity provider.
#[async_trait]
pub trait IdentityProvider: Send + Sync + fmt::Debug {
    /// The name.
    fn name(&self) -> &IdpName;

    /// Verifies an ID token of the provider.
    ///
    /// # Errors
    /// [`IdpError`].
    async fn verify(&self, token: &str, nonce: Nonce<'_>) -> Result<ExternalIdentity, IdpError>;
}

/// What a sign-in by a provider came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalEntry {
    /// The account was found or made; whether it has a session now.
    Entered(Redeemed),
    /// No account is linked, and none may be made.
    Unknown,
    /// An account has the address, and is not linked by this sign-in. Nothing was changed.
    AddressInUse,
    /// The guard requires a verified address, and the provider vouches for none.
    Unverified,
}

/// The store as sign-in by providers sees it.
#[async_trait]
pub trait LinkStore: Send + Sync + fmt::Debug {
    /// The account that is linked to an identity.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn linked(&self, model: &ModelName, who: &ExternalIdentity) -> Result<Option<PrincipalKey>, StoreError>;

    /// Finds, links or makes the account of an identity, and opens its session, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enter(&self, who: &ExternalIdentity, entrance: &Entrance) -> Result<ExternalEntry, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_identities_print_no_secret_and_no_personal_data() {
        let mut settings = IdpSettings::google(["client"]);
        settings.client_secret = Some("hush-hush".into());
        assert!(!format!("{settings:?}").contains("hush-hush"));
        let who = ExternalIdentity {
            provider: settings.name.clone(),
            issuer: settings.issuer.clone(),
            subject: "108".into(),
            address: EmailAddress::new("a@b.test").ok(),
            address_verified: false,
            name: Some("Ada".into()),
        };
        let printed = format!("{who:?}");
        assert!(
            !["108", "a@b", "Ada"].iter().any(|text| printed.contains(text)),
            "{printed}"
        );
        assert_eq!(who.verified_address(), None);
    }

    #[test]
    fn settings_with_another_secret_are_other_settings() {
        let one = IdpSettings::google(["client"]);
        let mut other = one.clone();
        assert_eq!(one, other);
        other.client_secret = Some("x".into());
        assert_ne!(one, other);
    }

    #[test]
    fn google_has_two_spellings_of_its_issuer_and_no_other_provider_has() {
        assert_eq!(IdpSettings::google(["c"]).issuers(), [GOOGLE, GOOGLE_WITHOUT_SCHEME]);
        let other = IdpSettings::new("acme", "https://id.acme.test", ["c"]).unwrap();
        assert_eq!(other.issuers(), ["https://id.acme.test"]);
        assert!(IdpSettings::new("Acme", "https://id.acme.test", ["c"]).is_err());
    }
}
