//! Opening a session, within the transaction that ends what it replaces.

use bekci_core::{
    Account, Identity, IdentityVersion, SessionId, TenantName,
    principal::is_banned,
    remember::SeriesToken,
    signin::{NewSession, Opened},
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::{Sessions, ids, lock_principal};
use crate::{
    guarded::GuardedTransaction,
    load, providers,
    sql::{as_text, micros, quoted_table, statement},
};

/// A session that is open within its transaction.
pub(crate) struct Permanent {
    /// The tenant that it is for.
    pub(crate) tenant: Option<TenantName>,
    /// The sessions that ended for it.
    pub(crate) ended: Vec<SessionId>,
    /// The token of its remember-me series.
    pub(crate) series: Option<SeriesToken>,
}

impl Permanent {
    /// What is told of it, committed with this version.
    pub(crate) fn opened(self, version: IdentityVersion) -> Opened {
        Opened::Open {
            version,
            tenant: self.tenant,
            ended: self.ended,
            series: self.series,
        }
    }
}

/// Whether a provider's account still has the password that was verified. It was read while sign-ins and sign-outs of the principal take turns, so that who changes a password
/// there and ends the sessions afterwards ends this one as well.
fn is_of(account: &Account, session: &NewSession) -> bool {
    let held = account.password_hash.as_ref().map(ExposeSecret::expose_secret);
    let verified = session.verified_hash.as_ref().map(ExposeSecret::expose_secret);
    verified.is_none_or(|verified| held == Some(verified))
}

impl Sessions {
    /// Inner error: why no session is opened.
    pub(crate) async fn open_within(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
    ) -> Result<Result<Permanent, Opened>, DbErr> {
        let (identity, tenant) = match self.let_open(transaction, session).await? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(Err(refused)),
        };
        let ended = self.make_room(transaction, session, &identity).await?;
        let expires_at = session.guard.session.max_age.map(|age| session.now + age);
        self.insert(transaction, session, tenant.as_ref(), expires_at).await?;
        let series = self.begin_series(transaction, session).await?;
        Ok(Ok(Permanent { tenant, ended, series }))
    }

    /// Takes the principal's turn, and gives its identity and the tenant that the session is for; inner error: why it may have none.
    pub(super) async fn let_open(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
    ) -> Result<Result<(Identity, Option<TenantName>), Opened>, DbErr> {
        let node = self.node();
        lock_principal(transaction, &session.key).await?;
        let given = node.given(&session.key).await.map_err(providers::failed)?;
        let identity = load::identity_of(node, transaction, &session.key, &given).await?;
        if !identity.exists {
            return Ok(Err(Opened::Gone));
        }
        if is_banned(&identity, session.now) {
            return Ok(Err(Opened::Banned(identity.ban)));
        }
        if identity.inactive {
            return Ok(Err(Opened::Inactive));
        }
        if session.guard.require_verified_email && !identity.verified {
            return Ok(Err(Opened::Unverified));
        }
        let is_same = match given.flatten() {
            Some(account) => is_of(&account, session),
            None => self.same_password(transaction, session).await?,
        };
        if !is_same {
            return Ok(Err(Opened::HashChanged));
        }
        match identity.tenant_of_sign_in(&session.tenant) {
            Ok(tenant) => Ok(Ok((identity, tenant))),
            Err(foreign) => Ok(Err(Opened::NotInTenant(foreign))),
        }
    }

    /// Whether the account still has the password that was verified.
    async fn same_password(&self, transaction: &GuardedTransaction, session: &NewSession) -> Result<bool, DbErr> {
        let node = self.node();
        let Some(verified) = &session.verified_hash else {
            return Ok(true);
        };
        let spec = node.model(session.key.model());
        let Some((spec, column)) = spec.and_then(|spec| Some((spec, spec.password_column.as_ref()?))) else {
            return Ok(false);
        };
        let Some((condition, values)) = load::by_id(node.backend(), spec, session.key.id()) else {
            return Ok(false);
        };
        // Held until the session is committed: a change of the password waits for it, and then ends it.
        let held = match node.backend() {
            DbBackend::Postgres => " FOR SHARE",
            DbBackend::MySql => " LOCK IN SHARE MODE",
            _ => "",
        };
        let sql = format!(
            "SELECT {} AS hash FROM {} WHERE {condition}{held}",
            as_text(column),
            quoted_table(&spec.table)
        );
        let row = transaction
            .query_one_raw(statement(node.backend(), sql, values))
            .await?;
        let held = row
            .map(|row| row.try_get::<Option<String>>("", "hash"))
            .transpose()?
            .flatten();
        Ok(held.as_deref() == Some(verified.expose_secret()))
    }

    /// Ends what the new session replaces: the one presented with the sign-in, the others of a unique guard, the oldest over the limit.
    async fn make_room(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
        identity: &Identity,
    ) -> Result<Vec<SessionId>, DbErr> {
        let backend = self.node().backend();
        let rules = &session.guard.session;
        let replaced = session
            .replaces
            .filter(|id| identity.session(*id, &session.guard.name).is_some());
        let mut live = Vec::new();
        // What waits for its verification takes up no room, and makes none.
        if rules.unique || identity.open_sessions().count() >= rules.max_sessions as usize {
            let sql = "SELECT id FROM bekci_sessions WHERE model = $1 AND principal_id = $2 AND guard = $3 AND ended_at IS NULL AND way <> 'temporary' ORDER BY created_at DESC, id";
            let values = [
                session.key.model().into(),
                session.key.id().into(),
                session.guard.name.as_str().into(),
            ];
            live = ids(&transaction.query_all_raw(statement(backend, sql, values)).await?)?;
        }
        live.retain(|id| Some(*id) != replaced);
        let keep = if rules.unique {
            0
        } else {
            (rules.max_sessions.max(1) - 1) as usize
        };
        let mut ended = live.split_off(keep.min(live.len()));
        let reason = if rules.unique {
            "unique_session"
        } else {
            "too_many_sessions"
        };
        self.end_listed(transaction, &ended, reason, session.now).await?;
        if let Some(replaced) = replaced {
            self.end_listed(transaction, &[replaced], "replaced", session.now)
                .await?;
            ended.push(replaced);
        }
        Ok(ended)
    }

    pub(super) async fn end_listed(
        &self,
        transaction: &GuardedTransaction,
        ids: &[SessionId],
        reason: &str,
        now: OffsetDateTime,
    ) -> Result<(), DbErr> {
        let sql = "UPDATE bekci_sessions SET ended_at = $1, end_reason = $2 WHERE id = $3 AND ended_at IS NULL";
        for id in ids {
            let values = [micros(now).into(), reason.into(), id.to_string().into()];
            transaction
                .execute_raw(statement(self.node().backend(), sql, values))
                .await?;
        }
        Ok(())
    }

    pub(super) async fn insert(
        &self,
        transaction: &GuardedTransaction,
        session: &NewSession,
        tenant: Option<&TenantName>,
        expires_at: Option<OffsetDateTime>,
    ) -> Result<(), DbErr> {
        let sql = "INSERT INTO bekci_sessions (id, model, principal_id, guard, tenant, way, remembered, device_name, device_hash, generation, \
                   min_generation, rotated_at, created_at, authenticated_at, last_used_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, $10, $10, $10, $11)";
        let values: [Value; 11] = [
            session.id.to_string().into(),
            session.key.model().into(),
            session.key.id().into(),
            session.guard.name.as_str().into(),
            tenant.map(TenantName::as_str).unwrap_or_default().into(),
            session.way.as_ref().into(),
            session.remembered.into(),
            session.device_name.clone().into(),
            session.device_hash.clone().into(),
            micros(session.now).into(),
            expires_at.map(micros).into(),
        ];
        transaction
            .execute_raw(statement(self.node().backend(), sql, values))
            .await
            .map(|_| ())
    }
}
