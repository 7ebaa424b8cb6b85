//! Accounts that a provider of its own has: listed as the others are, changed where they are.

use bekci_core::{AccountsAsked, Identity, ModelSpec, PrincipalKey, UserProvider};

use super::{AccountPage, AccountQuery, Directory, DirectoryError, bad_mark};
use crate::{
    authority::{Locks, Reach},
    commit::Committed,
    providers,
};

impl Directory {
    /// Refuses to change an account that is not in the database.
    pub(super) fn must_have_table(&self, spec: &ModelSpec) -> Result<(), DirectoryError> {
        Ok(self.store.node.must_have_table(spec)?)
    }

    /// A page of a provider's accounts. A mark is a `t` and the id, as of the ones in a table.
    pub(super) async fn list_provided(
        &self,
        spec: &ModelSpec,
        provider: &dyn UserProvider,
        query: &AccountQuery,
    ) -> Result<AccountPage, DirectoryError> {
        let after = query.after.as_deref();
        let after = after
            .map(|mark| mark.strip_prefix('t').ok_or_else(bad_mark))
            .transpose()?;
        let limit = usize::from(query.limit.max(1));
        let asked = AccountsAsked {
            text: query.text.as_deref(),
            after,
            limit: limit + 1,
        };
        let listed = provider.list(asked).await.map_err(providers::unavailable)?;
        let told = || DirectoryError::Value(format!("the provider of model {} lists no accounts", spec.name));
        let mut listed = listed.ok_or_else(told)?;
        let more = listed.len() > limit;
        listed.truncate(limit);
        let next = listed.last().filter(|_| more).map(|(key, _)| format!("t{}", key.id()));
        let accounts = listed.into_iter().map(|(key, account)| {
            let mut identity = Identity::absent(key);
            providers::fill(&mut identity, spec, &account);
            // As of the others, what the account's row has, and no more.
            identity.rights = Box::default();
            identity
        });
        let mut accounts: Vec<Identity> = accounts.collect();
        self.add_bans(spec, &mut accounts).await?;
        Ok(AccountPage { accounts, next })
    }

    /// Lifts the ban of a provider's account, if its status lets it in and is the one that is asked for; `None`: the account is in a table.
    pub(super) async fn restore_provided(
        &self,
        key: &PrincipalKey,
        status: &str,
    ) -> Result<Option<Committed>, DirectoryError> {
        let given = self.store.node.given(key).await.map_err(providers::unavailable)?;
        let Some(account) = given else { return Ok(None) };
        let account = account.ok_or(DirectoryError::Gone)?;
        let own = account.status.clone().unwrap_or_default();
        self.store.must_be_let_in(key, Some(account))?;
        if own != status {
            let told = format!("its provider gives it status {own:?}: change it there");
            return Err(DirectoryError::Value(told));
        }
        let mut change = self.store.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(&self.store, key, Reach::Management).await?;
        let transaction = change.transaction;
        let lift = "DELETE FROM bekci_bans WHERE model = $1 AND id = $2";
        self.run(&transaction, lift, [key.model().into(), key.id().into()])
            .await?;
        let committed = self.commit(transaction).await;
        let details = serde_json::json!({"status": null});
        self.store.tell("account.restored", Some(key), &committed, &details);
        committed.map(Some)
    }
}
