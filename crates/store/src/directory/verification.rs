//! Codes of temporary identities.
//!
//! 1. The identity, the row of its code and the mail are written in one transaction.
//! 2. The row has the id of the session that stands for the identity. So a code belongs to one sign-in.
//! 3. A row is bound to the address. If the account gets another address, the code is worth nothing.
//! 4. One transaction spends the code, ends the temporary session and opens the permanent one.

use bekci_core::{
    ModelSpec, PrincipalKey,
    accounts::CodeProof,
    codes::{FoundCode, Redeemed, VerificationCode},
    identifier::is_same,
    signin::{Confirmation, NewSession, Opened, OpenedTemporary, StoreError, Temporary},
};
use sea_orm::DbErr;
use time::OffsetDateTime;

use super::{
    AccountChange,
    codes::{Done, Entered, Undone},
    own::{OwnAccounts, unavailable},
};
use crate::{
    authority::Locks,
    guarded::GuardedTransaction,
    sessions::{Held, committed_version, rolled_back},
};

impl OwnAccounts {
    /// The model of an account in a table.
    fn table_of(&self, key: &PrincipalKey) -> Option<ModelSpec> {
        let is_in_a_table = self.0.providers().of(key.model()).is_none();
        self.0.node.model(key.model()).filter(|_| is_in_a_table).cloned()
    }

    pub(super) async fn hold_with_code(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
        code: &dyn VerificationCode,
    ) -> Result<OpenedTemporary, StoreError> {
        let Some(spec) = self.table_of(&session.key) else {
            let why = format!(
                "a code is mailed to accounts in a table alone, and {} has none",
                session.key.model()
            );
            return Err(StoreError::Refused(why));
        };
        let begun = self.0.begin_change(Locks::Principal, Some(&session.key)).await?;
        let transaction = begun.transaction;
        let held = self.0.sessions().hold_within(&transaction, session, expires_at).await;
        let tenant = match held.map_err(unavailable)? {
            Held::Refused(refused) => return rolled_back(transaction, refused).await,
            Held::Waits(temporary) => return rolled_back(transaction, OpenedTemporary::Open(temporary)).await,
            Held::Begun(tenant) => tenant,
        };
        let mailed = self.mail_code(&transaction, (&spec, &session.key), (code, expires_at));
        if !mailed.await.map_err(unavailable)? {
            tracing::warn!(
                principal = session.key.as_str(),
                "the account has no e-mail address, so its sign-in cannot be verified"
            );
        }
        let version = committed_version(transaction, &session.key).await?;
        self.0.mails.wake();
        Ok(OpenedTemporary::Open(Temporary {
            id: session.id,
            version,
            tenant,
            expires_at,
            was_there: false,
        }))
    }

    /// Writes the row of a code and queues its mail. `false`: the account has no address.
    async fn mail_code(
        &self,
        transaction: &GuardedTransaction,
        (spec, key): (&ModelSpec, &PrincipalKey),
        (code, ends): (&dyn VerificationCode, OffsetDateTime),
    ) -> Result<bool, DbErr> {
        let own = self.addressee_in(transaction, spec, key).await?;
        let Some(address) = own.and_then(|own| own.address) else {
            return Ok(false);
        };
        let (row, mail) = code.to(&address, ends);
        self.keep_code(transaction, (key.model(), key.id()), &row).await?;
        self.0.mails.enqueue(transaction, &mail).await?;
        Ok(true)
    }

    pub(super) async fn mail_again(&self, proof: &CodeProof, code: &dyn VerificationCode) -> Result<bool, StoreError> {
        // A sign-in that is verified in another way has no row, and gets none.
        let Some((_, key, spec)) = self.owned_code(proof).await? else {
            return Ok(false);
        };
        let begun = self.0.begin_change(Locks::Principal, Some(&key)).await?;
        let transaction = begun.transaction;
        let named = (proof.id, &proof.guard);
        let ends = self.0.sessions().waits_until(&transaction, named, proof.now).await;
        let Some(ends) = ends.map_err(unavailable)? else {
            return rolled_back(transaction, false).await;
        };
        let mailed = self.mail_code(&transaction, (&spec, &key), (code, ends)).await;
        if !mailed.map_err(unavailable)? {
            return rolled_back(transaction, false).await;
        }
        transaction.commit_with(crate::Barrier::Auto).await?;
        self.0.mails.wake();
        Ok(true)
    }

    /// The row of a reference, with the account that it belongs to.
    async fn owned_code(&self, proof: &CodeProof) -> Result<Option<(FoundCode, PrincipalKey, ModelSpec)>, StoreError> {
        use bekci_core::codes::CodeStore as _;
        let Some(found) = self.find_code(proof).await? else {
            return Ok(None);
        };
        let Some(key) = found.account.clone() else {
            return Ok(None);
        };
        Ok(self.table_of(&key).map(|spec| (found, key, spec)))
    }

    pub(super) async fn confirm_by_code(
        &self,
        proof: &CodeProof,
        order: &Confirmation,
    ) -> Result<Redeemed, StoreError> {
        let Some((found, key, spec)) = self.owned_code(proof).await? else {
            return Ok(Redeemed::Dead);
        };
        let begun = self.0.begin_change(Locks::Principal, Some(&key)).await?;
        let transaction = begun.transaction;
        let done = self
            .confirm_code_within(&transaction, (&spec, &key), (&found, proof, order))
            .await;
        self.ended(transaction, &spec, done).await
    }

    async fn confirm_code_within(
        &self,
        transaction: &GuardedTransaction,
        (spec, key): (&ModelSpec, &PrincipalKey),
        (found, proof, order): (&FoundCode, &CodeProof, &Confirmation),
    ) -> Result<Done, Undone> {
        let dead = || Undone::Told(Redeemed::Dead);
        if !Self::spend_live(transaction, proof).await? {
            return Err(dead());
        }
        let before = self.addressee_in(transaction, spec, key).await?.ok_or_else(dead)?;
        let held = before.address.as_ref().ok_or_else(dead)?;
        if !is_same(held.as_str(), found.address.as_str(), true) {
            return Err(dead());
        }
        let confirmed = self.0.sessions().confirm_within(transaction, order).await?;
        let (owner, opened) = confirmed.ok_or(Undone::Told(Redeemed::Ended))?;
        if owner != *key {
            return Err(Undone::Told(Redeemed::Ended));
        }
        let permanent = match opened {
            Ok(permanent) => permanent,
            // An account that was deleted has ended its temporary identity.
            Err(Opened::Gone) => return Err(Undone::Told(Redeemed::Ended)),
            Err(refused) => return Err(Undone::Told(Redeemed::Session(owner, refused))),
        };
        let mut change = AccountChange::default();
        // A guard that requires a verified address has opened a session only if it is verified.
        if !before.verified && spec.verified_column.is_some() {
            change.verified = Some(true);
            self.directory().update_within(transaction, spec, key, &change).await?;
        }
        Ok(Done {
            key: owner,
            is_new: false,
            change,
            ended: Vec::new(),
            entered: Entered::Session(permanent),
            linked: None,
        })
    }
}
