//! The queue of mails: a table that every node sends from.
//!
//! - A mail is queued within the transaction of what causes it, sealed: a dump of the database has neither addresses nor codes.
//! - One conditional statement claims it. Two nodes that see the same row match it once.
//! - A claim lapses. What a node had claimed when it died is sent by another.
//!
//! Every statement is sea-query's, so that each database has its own spelling of it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bekci_core::{
    Entropy, TokenId,
    accounts::CodeAbout,
    mail::{ClaimedMail, Mail, MailQueue},
    sealed,
    signin::StoreError,
};
use sea_orm::{
    ConnectionTrait, DbErr, QueryResult,
    sea_query::{Cond, Expr, ExprTrait as _, Query},
};
use secrecy::SecretBox;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::{
    Store,
    guarded::GuardedTransaction,
    node::Node,
    sql::{from_micros, micros},
};

const TABLE: &str = "bekci_mails";

/// What the queue is kept with.
pub(crate) struct Mails {
    node: Node,
    entropy: Arc<dyn Entropy>,
    seal: SecretBox<[u8; 32]>,
    queued: Notify,
}

impl std::fmt::Debug for Mails {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mails")
    }
}

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// What the row of a secret is called where it is sealed, so that it opens as no mail.
fn of_code(id: &str) -> String {
    format!("code:{id}")
}

/// Claimed by nobody, or by a node that did not come back.
fn unclaimed(now: OffsetDateTime) -> Cond {
    Cond::any()
        .add(Expr::col("claimed_until").is_null())
        .add(Expr::col("claimed_until").lte(micros(now)))
}

impl Mails {
    pub(crate) fn new(node: Node, entropy: Arc<dyn Entropy>, seal: SecretBox<[u8; 32]>) -> Self {
        Self {
            node,
            entropy,
            seal,
            queued: Notify::new(),
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.node.clock().now()
    }

    fn random(&self) -> Result<String, DbErr> {
        let mut bytes = TokenId([0; 16]);
        self.entropy.fill(&mut bytes.0).map_err(DbErr::Custom)?;
        Ok(bytes.to_string())
    }

    /// Queues a mail; it can be sent when the transaction is committed. Then [`Mails::wake`] has it sent at once.
    pub(crate) async fn enqueue(&self, transaction: &GuardedTransaction, mail: &Mail) -> Result<(), DbErr> {
        let (id, now) = (self.random()?, micros(self.now()));
        let text = serde_json::to_vec(mail).map_err(|error| DbErr::Custom(error.to_string()))?;
        let body = sealed::seal(&self.seal, &*self.entropy, id.as_bytes(), &text).map_err(DbErr::Custom)?;
        let insert = Query::insert()
            .into_table(TABLE)
            .columns(["id", "body", "queued_at", "due_at", "attempts"])
            .values([id.into(), body.into(), now.into(), now.into(), 0.into()])
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .take();
        transaction.execute(&insert).await.map(|_| ())
    }

    /// Seals what the row of a mailed secret is about.
    pub(crate) fn seal_about(&self, id: &str, about: &CodeAbout) -> Result<Vec<u8>, DbErr> {
        let text = serde_json::to_vec(about).map_err(|error| DbErr::Custom(error.to_string()))?;
        sealed::seal(&self.seal, &*self.entropy, of_code(id).as_bytes(), &text).map_err(DbErr::Custom)
    }

    /// Opens it; `None`: it was sealed under another root secret, or changed.
    pub(crate) fn open_about(&self, id: &str, about: &[u8]) -> Option<CodeAbout> {
        let text = sealed::open(&self.seal, of_code(id).as_bytes(), about)?;
        serde_json::from_slice(&text).ok()
    }

    /// Has what was queued sent at once, rather than at the next look.
    pub(crate) fn wake(&self) {
        self.queued.notify_one();
    }

    /// The claim of one mail; `None`: another node was first.
    async fn claim_one(&self, id: &str, attempts: i32, until: OffsetDateTime) -> Result<Option<String>, DbErr> {
        let claim = self.random()?;
        let update = Query::update()
            .table(TABLE)
            .value("claim", claim.as_str())
            .value("claimed_until", micros(until))
            .value("attempts", attempts + 1)
            .and_where(Expr::col("id").eq(id))
            .and_where(Expr::col("attempts").eq(attempts))
            .cond_where(unclaimed(self.now()))
            .take();
        let claimed = self.node.db().execute(&update).await?.rows_affected();
        Ok((claimed == 1).then_some(claim))
    }

    fn read(&self, row: &QueryResult, claim: String) -> Result<ClaimedMail, DbErr> {
        let id: String = row.try_get("", "id")?;
        let body: Vec<u8> = row.try_get("", "body")?;
        let text = sealed::open(&self.seal, id.as_bytes(), &body);
        Ok(ClaimedMail {
            mail: text.and_then(|text| serde_json::from_slice(&text).ok()),
            attempt: u32::try_from(row.try_get::<i32>("", "attempts")?)
                .unwrap_or_default()
                .saturating_add(1),
            queued_at: from_micros(row.try_get("", "queued_at")?),
            id,
            claim,
        })
    }

    async fn claim_due(&self, most: u64, lasts: Duration) -> Result<Vec<ClaimedMail>, DbErr> {
        let now = self.now();
        let due = Query::select()
            .columns(["id", "body", "queued_at", "attempts"])
            .from(TABLE)
            .and_where(Expr::col("due_at").lte(micros(now)))
            .cond_where(unclaimed(now))
            .order_by("due_at", sea_orm::Order::Asc)
            .limit(most)
            .take();
        let mut claimed = Vec::new();
        for row in self.node.db().query_all(&due).await? {
            let (id, attempts): (String, i32) = (row.try_get("", "id")?, row.try_get("", "attempts")?);
            if let Some(claim) = self.claim_one(&id, attempts, now + lasts).await? {
                claimed.push(self.read(&row, claim)?);
            }
        }
        Ok(claimed)
    }
}

#[async_trait]
impl MailQueue for Mails {
    async fn claim(&self, most: u64, lasts: Duration) -> Result<Vec<ClaimedMail>, StoreError> {
        self.claim_due(most, lasts).await.map_err(unavailable)
    }

    async fn finish(&self, mail: &ClaimedMail) -> Result<(), StoreError> {
        let delete = Query::delete()
            .from_table(TABLE)
            .and_where(Expr::col("id").eq(mail.id.as_str()))
            .and_where(Expr::col("claim").eq(mail.claim.as_str()))
            .take();
        self.node.db().execute(&delete).await.map(|_| ()).map_err(unavailable)
    }

    async fn defer(&self, mail: &ClaimedMail, wait: Duration) -> Result<(), StoreError> {
        let update = Query::update()
            .table(TABLE)
            .value("claim", Option::<String>::None)
            .value("claimed_until", Option::<i64>::None)
            .value("due_at", micros(self.now() + wait))
            .and_where(Expr::col("id").eq(mail.id.as_str()))
            .and_where(Expr::col("claim").eq(mail.claim.as_str()))
            .take();
        self.node.db().execute(&update).await.map(|_| ()).map_err(unavailable)
    }

    async fn wait(&self, at_most: Duration) {
        // Late is as good as woken: the queue is looked at either way.
        let _late = tokio::time::timeout(at_most, self.queued.notified()).await;
    }
}

impl Store {
    /// The queue of mails.
    #[must_use]
    pub fn mail_queue(&self) -> Arc<dyn MailQueue> {
        Arc::clone(&self.mails) as _
    }

    /// Queues a mail in a transaction of its own: for what causes a mail and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queue_mail(&self, mail: &Mail) -> Result<(), StoreError> {
        use sea_orm::TransactionTrait as _;
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        self.mails.enqueue(&transaction, mail).await.map_err(unavailable)?;
        transaction.commit_with(crate::Barrier::Auto).await?;
        self.mails.wake();
        Ok(())
    }
}
