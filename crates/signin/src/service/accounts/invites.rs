//! Invitations: made, listed, revoked, and accepted by an account or by a registration.
//!
//! 1. The token of an invitation is its id and a secret of 256 random bits. Only the mail has it; the row holds its keyed hash.
//! 2. What an inviter may give is checked by the store, in the transaction that writes, now and at the acceptance.
//! 3. The answer to an inviter does not depend on whether the address has an account.
//! 4. A token that is unknown, used, revoked, expired, of another guard or address, or no longer the inviter's to give is answered alike.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    AuthGuard, Limit, PrincipalKey, Purpose, Registering, RoleName, TenantName, TokenId,
    accounts::{CodeAbout, CodeProof, CodePurpose, NewCode},
    invites::{Accepted, Acceptor, Invite, Invited, InvitedBy, NewInvite},
    mail::{EmailAddress, Mail, MailKind},
};
use time::{Duration, OffsetDateTime};

use super::{Accounts, Requester};
use crate::{error::SignInError, keyed::keyed, service::limits::Named};

const PREFIX: &str = "bki_";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const TOKEN_BYTES: usize = ID_BYTES + SECRET_BYTES;
/// How long an invitation is good.
const LASTS: Duration = Duration::days(7);

/// An invitation that a principal makes.
#[derive(Clone, Debug)]
pub struct InviteOrder {
    /// The address that may accept it.
    pub address: EmailAddress,
    /// The role that it gives.
    pub role: RoleName,
    /// The tenant in which the role is given; `None`: globally.
    pub tenant: Option<TenantName>,
    /// The caller.
    pub requester: Requester,
    /// By which right the inviter invites; `None`: `invites.create`, at the guard of the invitation.
    pub by: Option<InvitedBy>,
}

/// The id and the secret of a token.
fn parse(token: &str) -> Option<(TokenId, Vec<u8>)> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let (id, secret) = bytes.split_first_chunk::<ID_BYTES>()?;
    (bytes.len() == TOKEN_BYTES).then(|| (TokenId(*id), secret.to_vec()))
}

fn must_be_offered(guard: &AuthGuard) -> Result<(), SignInError> {
    match guard.registering {
        Registering::Open | Registering::Invited => Ok(()),
        Registering::Closed => Err(SignInError::NotOffered),
    }
}

impl Accounts {
    /// Makes an invitation on behalf of a principal, and mails it.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`] at a guard with closed registration; [`SignInError::MissingRight`]; [`SignInError::Field`] for an unknown role;
    /// [`SignInError::RateLimited`]; [`SignInError::StoreUnavailable`].
    pub async fn invite(
        &self,
        guard: &Arc<AuthGuard>,
        inviter: &PrincipalKey,
        order: InviteOrder,
    ) -> Result<Invite, SignInError> {
        must_be_offered(guard)?;
        let name = Named::Identifier(order.address.as_str());
        self.sign_in
            .count_call(guard, Limit::OtpStart, order.requester.client, name)
            .await?;
        let parts = &self.sign_in.parts;
        let (id, now) = (self.sign_in.random_id()?, parts.clock.now());
        let mut secret = [0; SECRET_BYTES];
        let filled = parts.entropy.fill(&mut secret);
        filled.map_err(|error| SignInError::Internal(error.into()))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&id.0[..], &secret].concat()));
        let kind = CodePurpose::Invite.as_str();
        let link = format!("{}#kind={kind}&ref={id}&code={token}", order.requester.page);
        let expires_at = now + LASTS;
        let order = NewInvite {
            inviter: inviter.clone(),
            by: order.by,
            role: order.role,
            tenant: order.tenant,
            mail: Mail {
                kind: MailKind::Invitation,
                to: order.address.clone(),
                language: order.requester.language,
                values: [
                    ("link".to_owned(), link),
                    ("days".to_owned(), LASTS.whole_days().to_string()),
                ]
                .into(),
                expires_at,
            },
            code: NewCode {
                id,
                purpose: CodePurpose::Invite,
                guard: guard.name.clone(),
                hash: self.invite_hash(guard, id, &secret),
                about: CodeAbout {
                    address: order.address,
                    session: None,
                    invite: None,
                },
                expires_at,
                now,
            },
        };
        match self.invites.invite(&order).await? {
            Invited::Made(invite) => Ok(invite),
            Invited::Missing(right) => Err(SignInError::MissingRight(right)),
            Invited::NoSuchRole => Err(SignInError::Field {
                field: "role",
                rule: "is not a role of this guard",
            }),
        }
    }

    /// The pending invitations that a principal has made at a guard, the newest first.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn invites(&self, guard: &AuthGuard, inviter: &PrincipalKey) -> Result<Vec<Invite>, SignInError> {
        must_be_offered(guard)?;
        let now = self.sign_in.parts.clock.now();
        Ok(self.invites.pending(inviter, &guard.name, now).await?)
    }

    /// Revokes a pending invitation that the principal has made.
    ///
    /// # Errors
    /// [`SignInError::NotFound`]; [`SignInError::StoreUnavailable`].
    pub async fn revoke_invite(
        &self,
        guard: &AuthGuard,
        inviter: &PrincipalKey,
        id: TokenId,
    ) -> Result<(), SignInError> {
        must_be_offered(guard)?;
        match self.invites.revoke(inviter, &guard.name, id).await? {
            true => Ok(()),
            false => Err(SignInError::NotFound),
        }
    }

    /// Pending invitations of every inviter at a guard, the newest first, from behind the one that was made then with this id.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`]; [`SignInError::StoreUnavailable`].
    pub async fn invites_at(
        &self,
        guard: &AuthGuard,
        after: Option<(OffsetDateTime, TokenId)>,
        limit: u16,
    ) -> Result<Vec<Invite>, SignInError> {
        must_be_offered(guard)?;
        let now = self.sign_in.parts.clock.now();
        Ok(self.invites.pending_at(&guard.name, after, limit, now).await?)
    }

    /// Revokes a pending invitation of any inviter at a guard.
    ///
    /// # Errors
    /// [`SignInError::NotFound`]; [`SignInError::StoreUnavailable`].
    pub async fn revoke_invite_at(&self, guard: &AuthGuard, id: TokenId) -> Result<(), SignInError> {
        must_be_offered(guard)?;
        match self.invites.revoke_at(&guard.name, id).await? {
            true => Ok(()),
            false => Err(SignInError::NotFound),
        }
    }

    /// Gives an account that is signed in what its invitation says.
    ///
    /// # Errors
    /// [`SignInError::CodeInvalid`]; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`].
    pub async fn accept_invite(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
        token: &str,
    ) -> Result<(), SignInError> {
        must_be_offered(guard)?;
        let proof = self.invite_proof(guard, token)?;
        let _turn = self.turn().await?;
        match self.accepted(guard, &proof, Acceptor::Account(key)).await? {
            (_, None) => Ok(()),
            (_, Some(position)) => Err(SignInError::Pending { position }),
        }
    }

    /// Spends an invitation. Returns the account, and the position of the change if it is not confirmed on every node yet.
    pub(super) async fn accepted(
        &self,
        guard: &AuthGuard,
        proof: &CodeProof,
        acceptor: Acceptor<'_>,
    ) -> Result<(PrincipalKey, Option<i64>), SignInError> {
        match self.invites.accept(&guard.model, proof, acceptor).await? {
            Accepted::Done { key, pending } => Ok((key, pending)),
            Accepted::Invalid => Err(SignInError::CodeInvalid),
            Accepted::Taken => Err(SignInError::Taken),
            Accepted::Refused(why) => Err(SignInError::Refused(why.into())),
        }
    }

    /// What is presented with a registration, if it is good for this address now.
    pub(super) async fn invited(
        &self,
        guard: &AuthGuard,
        (token, address): (&str, &EmailAddress),
    ) -> Result<CodeProof, SignInError> {
        let proof = self.invite_proof(guard, token)?;
        let invited = self.invites.invited_address(&proof).await?;
        let is_theirs =
            |invited: &EmailAddress| bekci_core::identifier::is_same(invited.as_str(), address.as_str(), true);
        match invited.as_ref().is_some_and(is_theirs) {
            true => Ok(proof),
            false => Err(SignInError::CodeInvalid),
        }
    }

    fn invite_proof(&self, guard: &AuthGuard, token: &str) -> Result<CodeProof, SignInError> {
        let (id, secret) = parse(token).ok_or(SignInError::CodeInvalid)?;
        Ok(CodeProof {
            id,
            purpose: CodePurpose::Invite,
            guard: guard.name.clone(),
            hash: self.invite_hash(guard, id, &secret),
            now: self.sign_in.parts.clock.now(),
        })
    }

    fn invite_hash(&self, guard: &AuthGuard, id: TokenId, secret: &[u8]) -> Vec<u8> {
        let key = (&*self.sign_in.parts.root, Purpose::Code, &guard.name);
        keyed(key, b"invite\0", &[&id.0[..], secret].concat()).to_vec()
    }
}
