//! Temporary identities: sign-ins that wait for their verification.
//!
//! Each is a session whose way is `temporary`, with its end in `expires_at`, so that all that ends sessions ends it too, on every node and at once: signing out
//! everywhere, a change of the password, the account's deletion. Beside it stands a row with what the session is to have that comes of it. Becoming permanent is one
//! conditional statement (`… WHERE way = 'temporary' AND ended_at IS NULL AND expires_at > now`); whoever comes second matches nothing.

use bekci_core::{
    GuardName, IdentityVersion, PrincipalKey, SessionId, TEMPORARY, TenantName,
    signin::{Confirmation, NewSession, Opened, OpenedTemporary, SignInTenant, StoreError, Temporary},
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, TransactionTrait, Value};
use time::OffsetDateTime;

use super::{Permanent, Sessions, committed_version, lock_principal, rolled_back, unavailable};
use crate::{
    guarded::GuardedTransaction,
    sql::{from_micros, micros, statement},
};

/// One that ends sooner than this is given to nobody any more: a token for it could not last a second.
const LEAST_LEFT: time::Duration = time::Duration::seconds(1);

/// What holding a temporary identity came to, within its transaction.
pub(crate) enum Held {
    /// It may not be held; nothing was written.
    Refused(OpenedTemporary),
    /// One waits already; nothing was written.
    Waits(Temporary),
    /// It is written, for this tenant.
    Begun(Option<TenantName>),
}

/// What a waiting row says of the session that comes of it.
struct Waiting {
    key: PrincipalKey,
    tenant: SignInTenant,
    way: String,
    device_name: Option<String>,
    device_hash: Option<Vec<u8>>,
    replaces: Option<SessionId>,
}

fn read_waiting(row: &QueryResult) -> Result<Waiting, DbErr> {
    let broken = |what: &dyn std::fmt::Display| DbErr::Custom(format!("bekci: a session row cannot be read: {what}"));
    let (model, id): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
    let tenant: String = row.try_get("", "tenant")?;
    Ok(Waiting {
        key: PrincipalKey::parse(&format!("{model}:{id}")).map_err(|error| broken(&error))?,
        tenant: match tenant.as_str() {
            "" => SignInTenant::None,
            name => SignInTenant::Named(TenantName::new(name).map_err(|error| broken(&error))?),
        },
        way: row.try_get("", "intended")?,
        device_name: row.try_get("", "device_name")?,
        device_hash: row.try_get("", "device_hash")?,
        replaces: row
            .try_get::<Option<String>>("", "replaces")?
            .and_then(|text| SessionId::parse(&text)),
    })
}

impl Sessions {
    pub(super) async fn hold_until_verified(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<OpenedTemporary, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let held = self.hold_within(&transaction, session, expires_at).await;
        let tenant = match held.map_err(unavailable)? {
            Held::Refused(refused) => return rolled_back(transaction, refused).await,
            Held::Waits(temporary) => return rolled_back(transaction, OpenedTemporary::Open(temporary)).await,
            Held::Begun(tenant) => tenant,
        };
        Ok(OpenedTemporary::Open(Temporary {
            id: session.id,
            version: committed_version(transaction, &session.key).await?,
            tenant,
            expires_at,
            was_there: false,
        }))
    }

    /// The same within a transaction.
    pub(crate) async fn hold_within(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<Held, DbErr> {
        let tenant = match self.let_open(transaction, session).await? {
            Ok((_, tenant)) => tenant,
            Err(refused) => {
                let refused = match refused {
                    Opened::Banned(ban) => OpenedTemporary::Banned(ban),
                    Opened::Inactive => OpenedTemporary::Inactive,
                    Opened::NotInTenant(tenant) => OpenedTemporary::NotInTenant(tenant),
                    Opened::Unverified => OpenedTemporary::Unverified,
                    Opened::HashChanged => OpenedTemporary::HashChanged,
                    Opened::Gone | Opened::Open { .. } => OpenedTemporary::Gone,
                };
                return Ok(Held::Refused(refused));
            }
        };
        if let Some(waiting) = self.waiting(transaction, session, tenant.as_ref()).await? {
            return Ok(Held::Waits(waiting));
        }
        self.begin_waiting(transaction, session, tenant.as_ref(), expires_at)
            .await?;
        Ok(Held::Begun(tenant))
    }

    /// The one that waits already.
    async fn waiting(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
        tenant: Option<&TenantName>,
    ) -> Result<Option<Temporary>, DbErr> {
        let backend = self.node().backend();
        let sql = "SELECT s.id AS id, s.expires_at AS expires_at, v.version AS version \
                   FROM bekci_sessions s JOIN bekci_temporaries t ON t.session_id = s.id JOIN identity_versions v ON v.key = $1 \
                   WHERE s.model = $2 AND s.principal_id = $3 AND s.guard = $4 AND s.tenant = $5 AND s.way = $6 AND s.ended_at IS NULL AND s.expires_at > $7 \
                   ORDER BY s.created_at DESC, s.id LIMIT 1";
        let values: [Value; 7] = [
            session.key.as_str().into(),
            session.key.model().into(),
            session.key.id().into(),
            session.guard.name.as_str().into(),
            tenant.map(TenantName::as_str).unwrap_or_default().into(),
            TEMPORARY.into(),
            micros(session.now + LEAST_LEFT).into(),
        ];
        let row = transaction.query_one_raw(statement(backend, sql, values)).await?;
        let Some(row) = row else { return Ok(None) };
        let Some(id) = SessionId::parse(&row.try_get::<String>("", "id")?) else {
            return Ok(None);
        };
        Ok(Some(Temporary {
            id,
            version: IdentityVersion(u64::try_from(row.try_get::<i64>("", "version")?).unwrap_or_default()),
            tenant: tenant.cloned(),
            expires_at: from_micros(row.try_get("", "expires_at")?),
            was_there: true,
        }))
    }

    /// Writes the session that waits, and takes away what waited in vain: everybody's rows beside it, and the principal's own sessions of the kind.
    async fn begin_waiting(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
        tenant: Option<&TenantName>,
        expires_at: OffsetDateTime,
    ) -> Result<(), DbErr> {
        let backend = self.node().backend();
        let run = async |sql: &str, values: Vec<Value>| {
            let done = transaction.execute_raw(statement(backend, sql, values)).await;
            done.map(|_| ())
        };
        let now = micros(session.now);
        run(
            "UPDATE bekci_sessions SET ended_at = $1, end_reason = 'not_verified' WHERE model = $2 AND principal_id = $3 AND way = $4 \
             AND ended_at IS NULL AND expires_at <= $1",
            vec![now.into(), session.key.model().into(), session.key.id().into(), TEMPORARY.into()],
        )
        .await?;
        run("DELETE FROM bekci_temporaries WHERE expires_at <= $1", vec![now.into()]).await?;
        let waits = NewSession {
            way: TEMPORARY.into(),
            ..session.clone()
        };
        self.insert(transaction, &waits, tenant, Some(expires_at)).await?;
        run(
            "INSERT INTO bekci_temporaries (session_id, way, replaces, expires_at) VALUES ($1, $2, $3, $4)",
            vec![
                session.id.to_string().into(),
                session.way.as_ref().into(),
                session.replaces.map(|id| id.to_string()).into(),
                micros(expires_at).into(),
            ],
        )
        .await?;
        self.begin_series(transaction, session).await.map(|_| ())
    }

    pub(super) async fn make_permanent(
        &self,
        order: &Confirmation,
    ) -> Result<Option<(PrincipalKey, Opened)>, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let confirmed = self.confirm_within(&transaction, order).await.map_err(unavailable)?;
        match confirmed {
            None => rolled_back(transaction, None).await,
            Some((key, Ok(permanent))) => {
                let version = committed_version(transaction, &key).await?;
                Ok(Some((key, permanent.opened(version))))
            }
            Some((key, Err(refused))) => rolled_back(transaction, Some((key, refused))).await,
        }
    }

    /// The same within a transaction. `None`: it does not wait. Inner error: why there is no session.
    pub(crate) async fn confirm_within(
        &self,
        transaction: &GuardedTransaction,
        order: &Confirmation,
    ) -> Result<Option<(PrincipalKey, Result<Permanent, Opened>)>, DbErr> {
        let Some(waiting) = self.take_waiting(transaction, order).await? else {
            return Ok(None);
        };
        let session = NewSession {
            guard: order.guard.clone(),
            key: waiting.key,
            id: order.id,
            way: waiting.way.into(),
            remembered: false,
            verified_hash: None,
            device_name: waiting.device_name,
            device_hash: waiting.device_hash,
            replaces: waiting.replaces,
            tenant: waiting.tenant,
            series: None,
            now: order.now,
        };
        let mut opened = self.open_within(transaction, &session).await?;
        if let Ok(permanent) = &mut opened {
            permanent.series = self.keep_series(transaction, order).await?;
        }
        Ok(Some((session.key, opened)))
    }

    /// When the temporary identity of this session ends; `None`: it does not wait at this guard.
    pub(crate) async fn waits_until(
        &self,
        transaction: &GuardedTransaction,
        (id, guard): (SessionId, &GuardName),
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, DbErr> {
        let sql = "SELECT expires_at FROM bekci_sessions WHERE id = $1 AND guard = $2 AND way = $3 AND ended_at IS NULL AND expires_at > $4";
        let values: [Value; 4] = [
            id.to_string().into(),
            guard.as_str().into(),
            TEMPORARY.into(),
            micros(now).into(),
        ];
        let row = transaction
            .query_one_raw(statement(self.node().backend(), sql, values))
            .await?;
        row.map(|row| Ok(from_micros(row.try_get("", "expires_at")?)))
            .transpose()
    }

    /// Ends the one that waits, if it does still, and gives what it waited for.
    async fn take_waiting(
        &self,
        transaction: &GuardedTransaction,
        order: &Confirmation,
    ) -> Result<Option<Waiting>, DbErr> {
        let backend = self.node().backend();
        let sql = "SELECT s.model AS model, s.principal_id AS principal_id, s.tenant AS tenant, s.device_name AS device_name, s.device_hash AS device_hash, \
                   t.way AS intended, t.replaces AS replaces FROM bekci_sessions s JOIN bekci_temporaries t ON t.session_id = s.id \
                   WHERE s.id = $1 AND s.model = $2";
        let id = order.temporary.to_string();
        let values = [Value::from(id.as_str()), order.guard.model.as_str().into()];
        let row = transaction.query_one_raw(statement(backend, sql, values)).await?;
        let Some(waiting) = row.map(|row| read_waiting(&row)).transpose()? else {
            return Ok(None);
        };
        // In turn with sign-ins and sign-outs, and before the row itself, as everybody who takes both.
        lock_principal(transaction, &waiting.key).await?;
        let end = "UPDATE bekci_sessions SET ended_at = $1, end_reason = 'verified' \
                   WHERE id = $2 AND guard = $3 AND way = $4 AND ended_at IS NULL AND expires_at > $1";
        let values: [Value; 4] = [
            micros(order.now).into(),
            id.as_str().into(),
            order.guard.name.as_str().into(),
            TEMPORARY.into(),
        ];
        let ended = transaction.execute_raw(statement(backend, end, values)).await?;
        if ended.rows_affected() == 0 {
            return Ok(None);
        }
        let gone = "DELETE FROM bekci_temporaries WHERE session_id = $1";
        transaction.execute_raw(statement(backend, gone, [id.into()])).await?;
        Ok(Some(waiting))
    }
}
