//! Links in mails: a reference, a secret, and the page that they lead to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    AuthGuard, Purpose, SessionId, TokenId,
    accounts::{CodeAbout, CodeProof, CodePurpose, NewCode},
    mail::{EmailAddress, Mail, MailKind},
};
use time::Duration;

use super::{Accounts, Requester};
use crate::{error::SignInError, keyed::keyed};

/// 32 bytes are 256 bits.
const SECRET_BYTES: usize = 32;
/// How long a link that sets a password is good.
const RESET: Duration = Duration::minutes(30);
/// How long a link that confirms an address is good.
const CONFIRM: Duration = Duration::hours(24);

/// What a link is for.
pub(super) struct LinkOrder<'a> {
    pub(super) purpose: CodePurpose,
    pub(super) to: &'a EmailAddress,
    pub(super) session: Option<SessionId>,
}

impl<'a> LinkOrder<'a> {
    pub(super) fn of(purpose: CodePurpose, to: &'a EmailAddress) -> Self {
        Self {
            purpose,
            to,
            session: None,
        }
    }
}

impl Accounts {
    /// A new secret, and the mail that carries it.
    pub(super) fn new_link(
        &self,
        guard: &AuthGuard,
        order: LinkOrder<'_>,
        requester: &Requester,
    ) -> Result<(NewCode, Mail), SignInError> {
        let parts = &self.sign_in.parts;
        let (id, now) = (self.sign_in.random_id()?, parts.clock.now());
        let mut secret = [0; SECRET_BYTES];
        let filled = parts.entropy.fill(&mut secret);
        filled.map_err(|error| SignInError::Internal(error.into()))?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let (kind, lasts) = match order.purpose {
            CodePurpose::VerifyAddress => (MailKind::VerifyAddress, CONFIRM),
            CodePurpose::ChangeAddress => (MailKind::ChangeAddress, CONFIRM),
            CodePurpose::ResetPassword => (MailKind::ResetPassword, RESET),
            CodePurpose::SignIn | CodePurpose::Verification | CodePurpose::Invite => {
                (MailKind::SignInLink, guard.otp.ttl)
            }
        };
        let link = format!(
            "{}#kind={}&ref={id}&code={secret}",
            requester.page,
            order.purpose.as_str()
        );
        let expires_at = now + lasts;
        let code = NewCode {
            id,
            purpose: order.purpose,
            guard: guard.name.clone(),
            hash: self.hash_of(guard, id, &secret),
            about: CodeAbout {
                address: order.to.clone(),
                session: order.session,
                invite: None,
            },
            expires_at,
            now,
        };
        let mail = Mail {
            kind,
            to: order.to.clone(),
            language: requester.language,
            values: [
                ("link".to_owned(), link),
                ("minutes".to_owned(), lasts.whole_minutes().to_string()),
            ]
            .into(),
            expires_at,
        };
        Ok((code, mail))
    }

    /// What was presented, as it is compared. `None`: no reference has this form.
    pub(super) fn proof(
        &self,
        guard: &AuthGuard,
        purpose: CodePurpose,
        (reference, secret): (&str, &str),
    ) -> Result<CodeProof, SignInError> {
        let id = TokenId::parse(reference).ok_or(SignInError::CodeInvalid)?;
        Ok(CodeProof {
            id,
            purpose,
            guard: guard.name.clone(),
            hash: self.hash_of(guard, id, secret),
            now: self.sign_in.parts.clock.now(),
        })
    }

    fn hash_of(&self, guard: &AuthGuard, id: TokenId, secret: &str) -> Vec<u8> {
        let text = format!("{id}\0{secret}");
        let key = (&*self.sign_in.parts.root, Purpose::Code, &guard.name);
        keyed(key, b"link\0", text.as_bytes()).to_vec()
    }
}
