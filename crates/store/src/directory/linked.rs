//! Links between accounts and identities at identity providers.
//!
//! 1. A row is named by the SHA-256 of model, provider, issuer and subject. Sign-ins of one identity take turns by that name, before they take the turn of the account.
//! 2. An identity without a link enters the account of its address only if provider and table both say that the address is verified. A table that has no such column does not.
//! 3. Where no account may be made, an address that is in use is answered as one that no account has.
//! 4. The row goes with its account, by the triggers on the account table.

use async_trait::async_trait;
use bekci_core::{
    ModelName, ModelSpec, PrincipalKey,
    accounts::{AccountStore as _, Addressee},
    codes::Entrance,
    identifier::is_same,
    idp::{ExternalEntry, ExternalIdentity, LinkStore},
    signin::StoreError,
};
use sea_orm::{
    ConnectionTrait, DbErr, TransactionSession as _,
    sea_query::{Expr, ExprTrait as _, Query},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    codes::{Done, Newcomer, Undone},
    own::{OwnAccounts, unavailable},
};
use crate::{authority::Locks, guarded::GuardedTransaction, sessions::lock_text, sql::micros};

const LINKS: &str = "bekci_links";
/// The column that a new account gets the provider's display name in, if its users may set it.
const NAME: &str = "name";

/// Why an identity did not enter.
enum Unentered {
    Told(ExternalEntry),
    Error(StoreError),
}

impl From<DbErr> for Unentered {
    fn from(error: DbErr) -> Self {
        Self::Error(unavailable(error))
    }
}

impl From<Undone> for Unentered {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Told(told) => Self::Told(ExternalEntry::Entered(told)),
            Undone::Error(error) => Self::Error(error),
        }
    }
}

/// The name of an identity's row.
fn link_id(model: &ModelName, who: &ExternalIdentity) -> String {
    let text = [model.as_str(), who.provider.as_str(), &who.issuer, &who.subject].join("\0");
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The account of a row.
async fn account_of<C: ConnectionTrait>(db: &C, id: &str) -> Result<Option<PrincipalKey>, DbErr> {
    let read = Query::select()
        .columns(["model", "principal_id"])
        .from(LINKS)
        .and_where(Expr::col("id").eq(id))
        .take();
    let Some(row) = db.query_one(&read).await? else {
        return Ok(None);
    };
    let (model, owner): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
    Ok(PrincipalKey::parse(&format!("{model}:{owner}")).ok())
}

/// The account that an identity enters, and how.
struct Found {
    key: PrincipalKey,
    is_new: bool,
    is_linked: bool,
}

impl OwnAccounts {
    /// The one account that has the address of an identity; the error is the answer if there are several.
    fn of_address(who: &ExternalIdentity, found: Vec<Addressee>) -> Result<Option<Addressee>, ExternalEntry> {
        let Some(address) = &who.address else { return Ok(None) };
        let has_it = |one: &Addressee| {
            let held = one.address.as_ref();
            held.is_some_and(|held| is_same(held.as_str(), address.as_str(), true))
        };
        let mut holders = found.into_iter().filter(has_it);
        match (holders.next(), holders.next()) {
            (Some(_), Some(_)) => Err(ExternalEntry::AddressInUse),
            (one, _) => Ok(one),
        }
    }

    /// Rule 2.
    async fn entered_by_address(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (who, entrance, found): (&ExternalIdentity, &Entrance, Vec<Addressee>),
    ) -> Result<Found, Unentered> {
        let verified = who.verified_address();
        if verified.is_none() && entrance.guard.require_verified_email {
            return Err(Unentered::Told(ExternalEntry::Unverified));
        }
        // Rule 3.
        let told = |entry| match entrance.makes_account {
            true => Unentered::Told(entry),
            false => Unentered::Told(ExternalEntry::Unknown),
        };
        let holder = Self::of_address(who, found).map_err(told)?;
        if let Some(holder) = holder {
            // As it is now, in this transaction.
            let now = self.addressee_in(transaction, spec, &holder.key).await?;
            let is_verified = spec.verified_column.is_some() && now.as_ref().is_some_and(|now| now.verified);
            let is_unmoved = now.is_some_and(|now| now.address == holder.address);
            if verified.is_none() || !is_verified || !is_unmoved {
                return Err(told(ExternalEntry::AddressInUse));
            }
            return Ok(Found {
                key: holder.key,
                is_new: false,
                is_linked: false,
            });
        }
        if !entrance.makes_account {
            return Err(Unentered::Told(ExternalEntry::Unknown));
        }
        let own = &entrance.guard.own_attributes;
        let name = who.name.as_ref().filter(|_| own.iter().any(|column| column == NAME));
        let newcomer = Newcomer {
            address: who.address.as_ref(),
            is_verified: verified.is_some(),
            columns: name.map(|name| (NAME.to_owned(), json!(name))).into_iter().collect(),
        };
        Ok(Found {
            key: self.make_account(transaction, spec, newcomer).await?,
            is_new: true,
            is_linked: false,
        })
    }

    async fn enter_within(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (who, entrance, found): (&ExternalIdentity, &Entrance, Vec<Addressee>),
    ) -> Result<Done, Unentered> {
        let id = link_id(&spec.name, who);
        lock_text(transaction, &format!("@link:{id}")).await?;
        let found = match account_of(transaction, &id).await? {
            Some(key) => Found {
                key,
                is_new: false,
                is_linked: true,
            },
            None => {
                self.entered_by_address(transaction, spec, (who, entrance, found))
                    .await?
            }
        };
        let entered = self.open_for(transaction, &found.key, entrance).await?;
        let now = micros(entrance.now);
        let address = who.address.as_ref().map(|address| address.as_str().to_owned());
        if found.is_linked {
            let used = Query::update()
                .table(LINKS)
                .value("used_at", now)
                .value("address", address)
                .and_where(Expr::col("id").eq(id))
                .take();
            transaction.execute(&used).await?;
        } else {
            let made = Query::insert()
                .into_table(LINKS)
                .columns([
                    "id",
                    "model",
                    "principal_id",
                    "provider",
                    "issuer",
                    "subject",
                    "address",
                    "created_at",
                    "used_at",
                ])
                .values([
                    id.into(),
                    found.key.model().into(),
                    found.key.id().into(),
                    who.provider.as_str().into(),
                    who.issuer.as_str().into(),
                    who.subject.as_str().into(),
                    address.into(),
                    now.into(),
                    now.into(),
                ])
                .map_err(|error| DbErr::Custom(error.to_string()))?
                .take();
            transaction.execute(&made).await?;
        }
        Ok(Done {
            key: found.key,
            is_new: found.is_new,
            change: Default::default(),
            ended: Vec::new(),
            entered,
            linked: (!found.is_linked).then(|| who.provider.clone()),
        })
    }
}

#[async_trait]
impl LinkStore for OwnAccounts {
    async fn linked(&self, model: &ModelName, who: &ExternalIdentity) -> Result<Option<PrincipalKey>, StoreError> {
        let found = account_of(self.0.node.db(), &link_id(model, who)).await;
        found.map_err(unavailable)
    }

    async fn enter(&self, who: &ExternalIdentity, entrance: &Entrance) -> Result<ExternalEntry, StoreError> {
        let model = &entrance.guard.model;
        let spec = self.0.node.model(model.as_str()).cloned();
        let Some(spec) = spec.filter(|_| self.0.providers().of(model.as_str()).is_none()) else {
            return Ok(ExternalEntry::Unknown);
        };
        let found = match &who.address {
            Some(address) if self.linked(model, who).await?.is_none() => {
                self.addressees(model, address.as_str()).await?
            }
            _ => Vec::new(),
        };
        let transaction = self.0.begin_change(Locks::Principal, None).await?.transaction;
        let entered = self.enter_within(&transaction, &spec, (who, entrance, found)).await;
        match entered {
            Ok(done) => self
                .redeemed(transaction, &spec, done)
                .await
                .map(ExternalEntry::Entered),
            Err(unentered) => {
                transaction.rollback().await.map_err(unavailable)?;
                match unentered {
                    Unentered::Told(told) => Ok(told),
                    Unentered::Error(error) => Err(error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::IdpName;

    use super::*;

    #[test]
    fn an_identity_is_its_model_provider_issuer_and_subject_and_not_its_address() {
        let model = |name| ModelName::new(name).unwrap();
        let who = |provider, issuer: &str, subject: &str| ExternalIdentity {
            provider: IdpName::new(provider).unwrap(),
            issuer: issuer.into(),
            subject: subject.into(),
            address: None,
            address_verified: false,
            name: None,
        };
        let first = link_id(&model("customer"), &who("google", "https://g", "123"));
        let others = [
            link_id(&model("admin"), &who("google", "https://g", "123")),
            link_id(&model("customer"), &who("apple", "https://g", "123")),
            link_id(&model("customer"), &who("google", "https://a", "123")),
            link_id(&model("customer"), &who("google", "https://g", "124")),
            link_id(&model("customer"), &who("google", "https://g1", "23")),
        ];
        assert!(others.iter().all(|other| *other != first));
        let named = ExternalIdentity {
            address: bekci_core::mail::EmailAddress::new("a@b.test").ok(),
            ..who("google", "https://g", "123")
        };
        assert_eq!(link_id(&model("customer"), &named), first);
    }
}
