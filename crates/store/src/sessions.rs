//! Sessions: opened, refreshed and ended on the row that the database holds.

mod opening;
mod refreshing;
mod remembering;
mod security;
mod temporary;

pub(crate) use opening::Permanent;
pub(crate) use temporary::Held;

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, IdentityVersion, ModelName, PrincipalKey, SessionId,
    signin::{
        Confirmation, Credential, EndSessions, NewSession, Opened, OpenedTemporary, RefreshRequest, Refreshed,
        SessionEntry, SessionRecord, SignInStore, StoreError,
    },
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, TransactionTrait, Value};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::{
    commit::Barrier,
    guarded::{GuardedConnection, GuardedTransaction},
    identifiers, load,
    node::Node,
    providers,
    sql::{as_text, equals, from_micros, mariadb, micros, quoted, quoted_table, statement},
};

/// Sessions and credentials on the database.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) connection: GuardedConnection,
}

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Sessions {
    fn node(&self) -> &Node {
        &self.connection.node
    }

    async fn committed(&self, update: sea_orm::Statement, barrier: Barrier) -> Result<u64, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let changed = transaction
            .execute_raw(update)
            .await
            .map_err(unavailable)?
            .rows_affected();
        transaction.commit_with(barrier).await?.confirmed()?;
        Ok(changed)
    }
}

/// Commits what opened a session of this principal, and gives the identity's version with it.
pub(crate) async fn committed_version(
    transaction: GuardedTransaction,
    key: &PrincipalKey,
) -> Result<IdentityVersion, StoreError> {
    let committed = transaction.commit_with(Barrier::Auto).await?;
    committed.confirmed()?;
    committed.version_of(key).ok_or_else(|| {
        StoreError::Unavailable("the triggers on bekci_sessions are missing; run `bekci migrate up`".to_owned())
    })
}

/// What came out, where nothing is to be changed.
pub(crate) async fn rolled_back<T>(transaction: GuardedTransaction, outcome: T) -> Result<T, StoreError> {
    sea_orm::TransactionSession::rollback(transaction)
        .await
        .map_err(unavailable)?;
    Ok(outcome)
}

#[async_trait]
impl SignInStore for Sessions {
    async fn credentials(&self, model: &ModelName, identifier: &str) -> Result<Vec<Credential>, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(model.as_str()) else {
            return Ok(Vec::new());
        };
        // PostgreSQL holds no such text, and answers with an error.
        if identifier.contains('\0') {
            return Ok(Vec::new());
        }
        if let Some(finding) = node.providers().finding(model.as_str()) {
            return providers::find(finding, spec, identifier).await;
        }
        let found = identifiers::credentials(node.db(), spec, identifier).await;
        found.map_err(unavailable)
    }

    async fn credential_of(&self, key: &PrincipalKey) -> Result<Option<Credential>, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(key.model()) else {
            return Ok(None);
        };
        if let Some(account) = node.given(key).await.map_err(providers::unavailable)? {
            return Ok(account.map(|account| Credential {
                key: key.clone(),
                password_hash: account.password_hash.filter(|hash| !hash.expose_secret().is_empty()),
            }));
        }
        let Some((condition, values)) = load::by_id(node.backend(), spec, key.id()) else {
            return Ok(None);
        };
        let hash = spec
            .password_column
            .as_ref()
            .map_or_else(|| "NULL".to_owned(), |column| as_text(column));
        let sql = format!(
            "SELECT {hash} AS hash FROM {} WHERE {condition}",
            quoted_table(&spec.table)
        );
        let row = node
            .db()
            .query_one_raw(statement(node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        let read = |row: QueryResult| -> Result<Credential, DbErr> {
            let hash: Option<String> = row.try_get("", "hash")?;
            Ok(Credential {
                key: key.clone(),
                password_hash: hash.filter(|hash| !hash.is_empty()).map(SecretString::from),
            })
        };
        row.map(read).transpose().map_err(unavailable)
    }

    async fn dear_hashes(&self, model: &ModelName) -> Result<Vec<SecretString>, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(model.as_str()) else {
            return Ok(Vec::new());
        };
        if let Some(provider) = node.providers().of(model.as_str()) {
            return providers::hashes(&**provider).await;
        }
        identifiers::dear_hashes(node.db(), spec).await.map_err(unavailable)
    }

    async fn rehash(&self, key: &PrincipalKey, old: &SecretString, new: &SecretString) -> Result<bool, StoreError> {
        let node = self.node();
        let Some(spec) = node.model(key.model()) else {
            return Ok(false);
        };
        if let Some(provider) = node.providers().of(key.model()) {
            return provider.rehash(key, old, new).await.map_err(providers::unavailable);
        }
        let Some(column) = &spec.password_column else {
            return Ok(false);
        };
        let Some((condition, mut values)) = load::by_id(node.backend(), spec, key.id()) else {
            return Ok(false);
        };
        let (new_at, old_at) = (values.len() + 1, values.len() + 2);
        values.extend([new.expose_secret().into(), old.expose_secret().into()]);
        let is_old = equals(node.backend(), column, old_at);
        let sql = format!(
            "UPDATE {} SET {} = ${new_at} WHERE {condition} AND {is_old}",
            quoted_table(&spec.table),
            quoted(column)
        );
        Ok(self
            .committed(statement(node.backend(), sql, values), Barrier::Auto)
            .await?
            > 0)
    }

    async fn open_session(&self, session: &NewSession) -> Result<Opened, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        let opened = self.open_within(&transaction, session).await.map_err(unavailable)?;
        match opened {
            Ok(permanent) => {
                let version = committed_version(transaction, &session.key).await?;
                Ok(permanent.opened(version))
            }
            Err(refused) => rolled_back(transaction, refused).await,
        }
    }

    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<OpenedTemporary, StoreError> {
        self.hold_until_verified(session, expires_at).await
    }

    async fn confirm_temporary(&self, order: &Confirmation) -> Result<Option<(PrincipalKey, Opened)>, StoreError> {
        self.make_permanent(order).await
    }

    async fn refresh(&self, request: &RefreshRequest) -> Result<Refreshed, StoreError> {
        self.move_on(request).await
    }

    async fn end_sessions(
        &self,
        key: &PrincipalKey,
        guard: Option<&AuthGuard>,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let transaction = self.connection.begin().await.map_err(unavailable)?;
        lock_principal(&transaction, key).await.map_err(unavailable)?;
        let ended = end_within(&transaction, key, guard, (which, now)).await?;
        if (which, guard.is_none()) == (&EndSessions::All, true) {
            // What was mailed before would open a session after.
            let codes = "DELETE FROM bekci_codes WHERE model = $1 AND principal_id = $2 AND purpose IN ('sign_in', 'verification')";
            let values = [key.model().into(), key.id().into()];
            let ended = transaction
                .execute_raw(statement(self.node().backend(), codes, values))
                .await;
            ended.map_err(unavailable)?;
        }
        transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(ended)
    }

    async fn session_owner(&self, session: SessionId) -> Result<Option<(PrincipalKey, bool)>, StoreError> {
        Ok(self
            .row(session)
            .await?
            .map(|row| (row.key, row.state.ended_at.is_none())))
    }

    async fn session_record(&self, session: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.row(session).await?.map(SessionRecord::from))
    }

    async fn sessions(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, StoreError> {
        let sql = "SELECT id, guard, device_name, way, created_at, last_used_at FROM bekci_sessions \
                   WHERE model = $1 AND principal_id = $2 AND ended_at IS NULL AND way <> 'temporary' AND (expires_at IS NULL OR expires_at > $3) \
                   ORDER BY created_at DESC, id";
        let node = self.node();
        let now = micros(node.clock().now());
        let rows = node
            .db()
            .query_all_raw(statement(
                node.backend(),
                sql,
                [key.model().into(), key.id().into(), now.into()],
            ))
            .await;
        let read = |row: QueryResult| -> Result<Option<SessionEntry>, DbErr> {
            let Some(id) = SessionId::parse(&row.try_get::<String>("", "id")?) else {
                return Ok(None);
            };
            Ok(Some(SessionEntry {
                id,
                guard: row.try_get("", "guard")?,
                device_name: row.try_get("", "device_name")?,
                way: row.try_get("", "way")?,
                created_at: from_micros(row.try_get("", "created_at")?),
                last_used_at: from_micros(row.try_get("", "last_used_at")?),
            }))
        };
        let entries: Result<Vec<_>, DbErr> = rows.map_err(unavailable)?.into_iter().map(read).collect();
        Ok(entries.map_err(unavailable)?.into_iter().flatten().collect())
    }
}

/// Ends sessions of a principal in a transaction that holds its lock.
pub(crate) async fn end_within(
    transaction: &GuardedTransaction,
    key: &PrincipalKey,
    guard: Option<&AuthGuard>,
    (which, now): (&EndSessions, OffsetDateTime),
) -> Result<Vec<SessionId>, StoreError> {
    let (condition, id, reason) = match which {
        EndSessions::One(id) => ("id = $4", id.to_string(), "signed_out"),
        EndSessions::All => ("id <> $4", String::new(), "signed_out_everywhere"),
        EndSessions::Others(id) => ("id <> $4", id.to_string(), "signed_out_elsewhere"),
    };
    let guard_name = guard.map(|guard| guard.name.as_str()).unwrap_or_default();
    let sql = format!(
        "UPDATE bekci_sessions SET ended_at = $1, end_reason = '{reason}' WHERE model = $2 AND principal_id = $3 AND {condition} \
         AND ($5 = '' OR guard = $5) AND ended_at IS NULL"
    );
    let values = vec![
        micros(now).into(),
        key.model().into(),
        key.id().into(),
        id.into(),
        guard_name.into(),
    ];
    end_where(transaction, &sql, values).await.map_err(unavailable)
}

/// Makes sign-ins and sign-outs of a principal take turns, so that a unique session stays one, and nobody waits for rows in an order that meets another's. SQLite
/// has one writer anyway.
pub(crate) async fn lock_principal(transaction: &GuardedTransaction, key: &PrincipalKey) -> Result<(), DbErr> {
    lock_text(transaction, key.as_str()).await
}

/// Takes turns with everybody who locks the same text, until the transaction ends. SQLite has one writer.
pub(crate) async fn lock_text(transaction: &GuardedTransaction, text: &str) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    match backend {
        DbBackend::Postgres => {
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            transaction.execute_raw(statement(backend, lock, [text.into()])).await?;
        }
        DbBackend::MySql => mariadb::lock_text(transaction, text).await?,
        _ => {}
    }
    Ok(())
}

/// The same for many texts, in their order, so that two that lock the same ones in one order cannot wait for each other.
pub(crate) async fn lock_texts(transaction: &GuardedTransaction, texts: &[String]) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DbBackend::MySql {
        for text in texts {
            lock_text(transaction, text).await?;
        }
    }
    if backend != DbBackend::Postgres || texts.is_empty() {
        return Ok(());
    }
    let places: Vec<String> = (1..=texts.len()).map(|at| format!("(${at})")).collect();
    let lock = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended(held.name, 0)) FROM (VALUES {}) AS held(name)",
        places.join(", ")
    );
    let values = texts.iter().map(|text| text.as_str().into());
    transaction
        .execute_raw(statement(backend, lock, values))
        .await
        .map(|_| ())
}

/// The expression that gives an account's id as canonical text.
pub(crate) fn id_as_text(backend: DbBackend, spec: &bekci_core::ModelSpec) -> String {
    match (backend, spec.id_kind) {
        (DbBackend::Sqlite, bekci_core::IdKind::Uuid) => sqlite_uuid(&spec.id_column),
        (DbBackend::MySql, bekci_core::IdKind::Uuid) => mariadb::uuid_text(&quoted(&spec.id_column)),
        _ => as_text(&spec.id_column),
    }
}

/// A UUID column of SQLite as canonical text, whether it holds 16 bytes or text.
fn sqlite_uuid(column: &str) -> String {
    let column = quoted(column);
    let part = |from: u32, count: u32| format!("substr(lower(hex({column})), {from}, {count})");
    let bytes = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)].join(" || '-' || ");
    format!("CASE typeof({column}) WHEN 'blob' THEN {bytes} ELSE {column} END")
}

/// Runs an update that ends sessions, and gives which. MariaDB tells no rows of an update: they are read under lock before.
pub(crate) async fn end_where(
    transaction: &GuardedTransaction,
    update: &str,
    values: Vec<Value>,
) -> Result<Vec<SessionId>, DbErr> {
    let backend = transaction.get_database_backend();
    if backend != DbBackend::MySql {
        let update = statement(backend, format!("{update} RETURNING id"), values);
        return ids(&transaction.query_all_raw(update).await?);
    }
    let condition = update.split_once(" WHERE ").map_or("", |(_, condition)| condition);
    let read = format!("SELECT id FROM bekci_sessions WHERE {condition} ORDER BY id FOR UPDATE");
    let rows = transaction
        .query_all_raw(statement(backend, read, values.clone()))
        .await?;
    transaction.execute_raw(statement(backend, update, values)).await?;
    ids(&rows)
}

pub(crate) fn ids(rows: &[QueryResult]) -> Result<Vec<SessionId>, DbErr> {
    let texts: Result<Vec<String>, DbErr> = rows.iter().map(|row| row.try_get("", "id")).collect();
    Ok(texts?.iter().filter_map(|text| SessionId::parse(text)).collect())
}
