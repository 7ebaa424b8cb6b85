//! Verification of a sign-in by a mailed code, at a guard with [`Verification::Email`].
//!
//! 1. The right password opens a temporary identity, and a code is mailed in the same transaction.
//! 2. A wrong code counts as one that signs in does: in the row, as a failed sign-in, and for the account's budget of wrong codes.
//! 3. The right code makes the identity permanent, once. No password is verified again.
//! 4. A code of sign-in by mail does not verify, and the reverse: the purpose is part of the hash and of the row.

use std::{net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, Limit, SessionId, Verification,
    accounts::{CodeProof, CodePurpose},
    codes::{CodeTry, FoundCode, Redeemed},
    signin::Confirmation,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, Requester};
use crate::{
    attempt::SignedIn,
    error::SignInError,
    service::{known, limits::Named},
};

/// The code of a temporary identity, as it is presented.
#[derive(Clone, Debug)]
pub struct VerificationAttempt {
    /// The reference that the sign-in was answered with.
    pub reference: String,
    /// The code.
    pub code: SecretString,
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
}

impl Accounts {
    /// Makes a temporary identity permanent by the code that was mailed for it.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`] at a guard that verifies in another way; [`SignInError::VerificationInvalid`]; [`SignInError::Field`] for what has not the form of a code;
    /// [`SignInError::OtpInvalid`] and [`SignInError::OtpExpired`]; as [`SignIn::confirm_verified`](crate::SignIn::confirm_verified) where the code is right and no session
    /// is opened; [`SignInError::RateLimited`].
    pub async fn confirm_verification(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: VerificationAttempt,
    ) -> Result<SignedIn, SignInError> {
        must_verify_by_mail(guard)?;
        let result = self.try_verification(guard, &attempt).await;
        self.sign_in.tell_verified(guard, &result);
        result
    }

    async fn try_verification(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: &VerificationAttempt,
    ) -> Result<SignedIn, SignInError> {
        let order = self.sign_in.confirmation(guard, &attempt.reference)?;
        let code = attempt.code.expose_secret();
        if code.len() != guard.otp.length as usize || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SignInError::Field {
                field: "code",
                rule: "is not a code of this guard",
            });
        }
        let proof = self.verification_proof(guard, order.temporary);
        let Some(found) = self.codes.store.find_code(&proof).await? else {
            // The reference is good, so the code was mailed and has ended since, or the account has no address.
            let counted = self.sign_in.counted(guard, Limit::SignIn, attempt.client, None)?;
            let refused = async { Err(SignInError::OtpInvalid) };
            return self.sign_in.within(guard, &counted, refused).await;
        };
        let proof = CodeProof {
            hash: self.codes.hash(guard, proof.purpose, (proof.id, &found.address), code),
            ..proof
        };
        let tried = self.try_code(guard, (&found, &proof, &order), attempt.client);
        self.under_limits(guard, &found, attempt.client, tried).await
    }

    async fn try_code(
        &self,
        guard: &Arc<AuthGuard>,
        (found, proof, order): (&FoundCode, &CodeProof, &Confirmation),
        client: Option<IpAddr>,
    ) -> Result<SignedIn, SignInError> {
        let sign_in = &self.sign_in;
        let marks = known::marks(&sign_in.parts.root, guard, found.address.as_str(), (client, None));
        match self.tried(guard, (found, proof), &marks).await? {
            CodeTry::Right => {}
            CodeTry::Expired => return Err(SignInError::OtpExpired),
            CodeTry::Wrong | CodeTry::Dead => return Err(SignInError::OtpInvalid),
        }
        let signed_in = match self.codes.store.confirm(proof, order).await? {
            Redeemed::Session(key, opened) => sign_in.permanent(order, (key, opened)).await?,
            Redeemed::Ended => return Err(SignInError::VerificationInvalid),
            Redeemed::Refused(why) => return Err(SignInError::Refused(why.into())),
            Redeemed::Dead | Redeemed::Taken | Redeemed::Waiting(..) => return Err(SignInError::OtpInvalid),
        };
        sign_in.known.add_all(&marks);
        Ok(signed_in)
    }

    /// Mails a new code for a temporary identity. The one before ends.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`]; [`SignInError::VerificationInvalid`]; [`SignInError::RateLimited`]; [`SignInError::StoreUnavailable`].
    pub async fn resend_verification(
        &self,
        guard: &Arc<AuthGuard>,
        reference: &str,
        requester: &Requester,
    ) -> Result<(), SignInError> {
        must_verify_by_mail(guard)?;
        let session = self.sign_in.confirmation(guard, reference)?.temporary;
        let proof = self.verification_proof(guard, session);
        let found = self.codes.store.find_code(&proof).await?;
        let found = found.ok_or(SignInError::VerificationInvalid)?;
        let name = Named::Identifier(found.address.as_str());
        self.sign_in
            .count_call(guard, Limit::OtpStart, requester.client, name)
            .await?;
        let entropy = &*self.sign_in.parts.entropy;
        let named = (session, proof.now);
        let code = self.codes.for_temporary(entropy, guard, named, requester.language)?;
        match self.codes.store.resend(&proof, &code).await? {
            true => Ok(()),
            false => Err(SignInError::VerificationInvalid),
        }
    }

    /// The row of a temporary identity's code. What it is compared with is not known yet.
    fn verification_proof(&self, guard: &AuthGuard, session: SessionId) -> CodeProof {
        CodeProof {
            id: session,
            purpose: CodePurpose::Verification,
            guard: guard.name.clone(),
            hash: Vec::new(),
            now: self.sign_in.parts.clock.now(),
        }
    }
}

fn must_verify_by_mail(guard: &AuthGuard) -> Result<(), SignInError> {
    match guard.verification {
        Verification::Email => Ok(()),
        Verification::Off | Verification::Custom => Err(SignInError::NotOffered),
    }
}
