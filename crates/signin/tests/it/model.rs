//! A store in memory that judges by the same table as the real one, under a lock, and counts what it is asked.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bekci_core::{
    AccessClaims, AuthGuard, Ban, BoxFuture, GuardName, Identity, IdentitySource, IdentityVersion, IssueError,
    LiveSession, ModelName, Need, PrincipalKey, RefreshOutcome, RoleTable, RoleView, SessionId, SessionState,
    SourceUnavailable, Stamp, TEMPORARY, TenantName, Ticket, TokenIssuer, View, ViewSource,
    identifier::is_same,
    judge_refresh,
    signin::{
        Confirmation, Credential, EndSessions, NewSession, Opened, OpenedTemporary, RefreshRequest, Refreshed,
        SessionEntry, SessionFacts, SessionRecord, SignInStore, SignInTenant, StoreError, Temporary,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Notify;

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) key: PrincipalKey,
    pub(crate) identifiers: Vec<String>,
    pub(crate) hash: Option<String>,
    /// Hashes that come in its place, the last one first, each before the next session is opened.
    pub(crate) next_hashes: Vec<String>,
    pub(crate) ban: Option<Ban>,
    /// The tenants that it belongs to; the first one is that of its column.
    pub(crate) tenants: Vec<TenantName>,
    pub(crate) attributes: serde_json::Map<String, Value>,
    pub(crate) version: u64,
}

impl Account {
    /// Plays what happens between the verification and the opening, then compares as the real stores do.
    fn is_rehashed(&mut self, session: &NewSession) -> bool {
        if let Some(new) = self.next_hashes.pop() {
            self.hash = Some(new);
        }
        let verified = session.verified_hash.as_ref().map(|hash| hash.expose_secret());
        verified.is_some_and(|verified| self.hash.as_deref() != Some(verified))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) new: NewSession,
    pub(crate) tenant: Option<TenantName>,
    pub(crate) state: SessionState,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) accounts: Vec<Account>,
    pub(crate) sessions: BTreeMap<SessionId, Row>,
    /// What the session is to be that comes of a temporary one.
    pub(crate) waiting: BTreeMap<SessionId, NewSession>,
    /// Remember-me series.
    pub(crate) series: BTreeMap<SessionId, crate::series::Series>,
    /// Security cookies that were exchanged: the counter, and when it was given.
    pub(crate) security: BTreeMap<SessionId, (u32, OffsetDateTime)>,
    /// How often each use case was asked for.
    pub(crate) calls: BTreeMap<&'static str, u32>,
    /// What every use case of the store answers, if anything.
    pub(crate) failure: Option<StoreError>,
    /// Whether identities cannot be read.
    pub(crate) blind: bool,
}

#[derive(Default)]
pub(crate) struct Store {
    tables: Mutex<Tables>,
    pub(crate) rehashed: Notify,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store")
    }
}

impl Store {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    pub(crate) fn asked(&self, what: &'static str) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let mut tables = self.tables();
        *tables.calls.entry(what).or_default() += 1;
        tables.failure.clone().map_or(Ok(tables), Err)
    }

    pub(crate) fn calls(&self, what: &str) -> u32 {
        self.tables().calls.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn all_calls(&self) -> u32 {
        self.tables().calls.values().sum()
    }

    pub(crate) fn live(&self) -> Vec<SessionId> {
        let tables = self.tables();
        let live = tables.sessions.iter().filter(|(_, row)| row.state.ended_at.is_none());
        live.map(|(id, _)| *id).collect()
    }

    pub(crate) fn generation(&self, session: SessionId) -> u32 {
        self.tables().sessions[&session].state.generation
    }

    /// Notes, as the gate does, that an access token of this generation was accepted.
    pub(crate) fn used(&self, session: SessionId, generation: u32) {
        self.tables().sessions.get_mut(&session).unwrap().state.used_generation = Some(generation);
    }

    /// Everything that is stored, as text.
    pub(crate) fn dump(&self) -> String {
        let tables = self.tables();
        let mut text = String::new();
        for account in &tables.accounts {
            writeln!(text, "{account:?}").unwrap();
        }
        for row in tables.sessions.values() {
            let device = row.new.device_hash.as_deref().map(String::from_utf8_lossy);
            writeln!(text, "{row:?} {device:?}").unwrap();
        }
        text
    }
}

impl Tables {
    fn account(&mut self, key: &PrincipalKey) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.key == *key)
    }

    pub(crate) fn end(&mut self, which: impl Fn(&SessionId, &Row) -> bool, now: OffsetDateTime) -> Vec<SessionId> {
        let mut ended = Vec::new();
        for (id, row) in &mut self.sessions {
            if row.state.ended_at.is_none() && which(id, row) {
                row.state.ended_at = Some(now);
                ended.push(*id);
            }
        }
        let keys: HashSet<_> = ended.iter().map(|id| self.sessions[id].new.key.clone()).collect();
        for account in self.accounts.iter_mut().filter(|account| keys.contains(&account.key)) {
            account.version += 1;
        }
        ended
    }

    pub(crate) fn facts(&mut self, session: SessionId) -> SessionFacts {
        let row = self.sessions[&session].clone();
        let rules = &row.new.guard.session.refresh;
        SessionFacts {
            version: IdentityVersion(self.account(&row.new.key).unwrap().version),
            key: row.new.key,
            tenant: row.tenant,
            refresh_ends: row.state.rotated_at + rules.ttl,
            series: None,
        }
    }
}

fn banned(account: &Account, now: OffsetDateTime) -> Option<Ban> {
    let ban = account.ban.clone()?;
    ban.until.is_none_or(|until| now < until).then_some(ban)
}

#[async_trait]
impl SignInStore for Store {
    async fn credentials(&self, model: &ModelName, identifier: &str) -> Result<Vec<Credential>, StoreError> {
        let tables = self.asked("credentials")?;
        let found = tables.accounts.iter().filter(|account| {
            account.key.model() == model.as_str()
                && account.identifiers.iter().any(|one| is_same(one, identifier, true))
        });
        let read = |account: &Account| Credential {
            key: account.key.clone(),
            password_hash: account.hash.clone().map(SecretString::from),
        };
        Ok(found.map(read).collect())
    }

    async fn credential_of(&self, key: &PrincipalKey) -> Result<Option<Credential>, StoreError> {
        let mut tables = self.asked("credential_of")?;
        Ok(tables.account(key).map(|account| Credential {
            key: account.key.clone(),
            password_hash: account.hash.clone().map(SecretString::from),
        }))
    }

    async fn dear_hashes(&self, model: &ModelName) -> Result<Vec<SecretString>, StoreError> {
        let tables = self.asked("dear_hashes")?;
        let of_model = tables
            .accounts
            .iter()
            .filter(|account| account.key.model() == model.as_str());
        Ok(of_model
            .filter_map(|account| account.hash.clone())
            .map(SecretString::from)
            .collect())
    }

    async fn rehash(&self, key: &PrincipalKey, old: &SecretString, new: &SecretString) -> Result<bool, StoreError> {
        let mut tables = self.asked("rehash").inspect_err(|_| self.rehashed.notify_one())?;
        let account = tables.account(key).unwrap();
        let same = account.hash.as_deref() == Some(old.expose_secret());
        if same {
            account.hash = Some(new.expose_secret().to_owned());
        }
        self.rehashed.notify_one();
        Ok(same)
    }

    async fn open_session(&self, session: &NewSession) -> Result<Opened, StoreError> {
        let mut tables = self.asked("open_session")?;
        let Some(account) = tables.account(&session.key) else {
            return Ok(Opened::Gone);
        };
        if account.is_rehashed(session) {
            return Ok(Opened::HashChanged);
        }
        if let Some(ban) = banned(account, session.now) {
            return Ok(Opened::Banned(Some(ban)));
        }
        let tenant = match &session.tenant {
            SignInTenant::None => None,
            SignInTenant::OfAccount => account.tenants.first().cloned(),
            SignInTenant::Named(named) if account.tenants.contains(named) => Some(named.clone()),
            SignInTenant::Named(named) => return Ok(Opened::NotInTenant(named.clone())),
        };
        let guard = Arc::clone(&session.guard);
        let ended = tables.end(
            |id, row| {
                let same = row.new.key == session.key && row.new.guard.name == guard.name;
                Some(*id) == session.replaces || (guard.session.unique && same)
            },
            session.now,
        );
        let state = SessionState {
            generation: 0,
            previous_generation: None,
            min_generation: 0,
            used_generation: None,
            rotated_at: session.now,
            device_hash: session.device_hash.clone(),
            ended_at: None,
            expires_at: guard.session.max_age.map(|age| session.now + age),
        };
        let row = Row {
            new: session.clone(),
            tenant: tenant.clone(),
            state,
        };
        tables.sessions.insert(session.id, row);
        let series = session.series.map(|begun| {
            tables
                .series
                .insert(begun.id, crate::series::Series::new(begun, session));
            bekci_core::remember::SeriesToken {
                series: begun.id,
                generation: 0,
                expires_at: begun.expires_at,
            }
        });
        let account = tables.account(&session.key).unwrap();
        account.version += 1;
        let version = IdentityVersion(account.version);
        Ok(Opened::Open {
            version,
            tenant,
            ended,
            series,
        })
    }

    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<OpenedTemporary, StoreError> {
        let mut tables = self.asked("open_temporary")?;
        let Some(account) = tables.account(&session.key).cloned() else {
            return Ok(OpenedTemporary::Gone);
        };
        if tables.account(&session.key).unwrap().is_rehashed(session) {
            return Ok(OpenedTemporary::HashChanged);
        }
        if let Some(ban) = banned(&account, session.now) {
            return Ok(OpenedTemporary::Banned(Some(ban)));
        }
        let waits = tables.sessions.values().find(|row| {
            row.new.key == session.key
                && row.new.way == TEMPORARY
                && row.state.ended_at.is_none()
                && row.state.expires_at > Some(session.now)
        });
        let there = waits.map(|row| (row.new.id, row.state.expires_at.unwrap()));
        if there.is_none() {
            let mut row = Row {
                new: session.clone(),
                tenant: None,
                state: SessionState {
                    generation: 0,
                    previous_generation: None,
                    min_generation: 0,
                    used_generation: None,
                    rotated_at: session.now,
                    device_hash: session.device_hash.clone(),
                    ended_at: None,
                    expires_at: Some(expires_at),
                },
            };
            row.new.way = TEMPORARY.into();
            tables.sessions.insert(session.id, row);
            tables.waiting.insert(session.id, session.clone());
            tables.account(&session.key).unwrap().version += 1;
        }
        let (id, ends) = there.unwrap_or((session.id, expires_at));
        Ok(OpenedTemporary::Open(Temporary {
            id,
            version: IdentityVersion(tables.account(&session.key).unwrap().version),
            tenant: None,
            expires_at: ends,
            was_there: there.is_some(),
        }))
    }

    async fn confirm_temporary(&self, order: &Confirmation) -> Result<Option<(PrincipalKey, Opened)>, StoreError> {
        let session = {
            let mut tables = self.asked("confirm_temporary")?;
            let taken = |id: &SessionId, row: &Row| {
                *id == order.temporary
                    && row.new.way == TEMPORARY
                    && row.new.guard.name == order.guard.name
                    && row.state.expires_at > Some(order.now)
            };
            let key = tables.sessions.get(&order.temporary).map(|row| row.new.key.clone());
            let refused = key.and_then(|key| Some((key.clone(), banned(tables.account(&key)?, order.now)?)));
            if let Some((key, ban)) = refused {
                return Ok(Some((key, Opened::Banned(Some(ban)))));
            }
            if tables.end(taken, order.now).is_empty() {
                return Ok(None);
            }
            tables.waiting.remove(&order.temporary).unwrap()
        };
        let session = NewSession {
            id: order.id,
            now: order.now,
            verified_hash: None,
            ..session
        };
        let opened = self.open_session(&session).await?;
        Ok(Some((session.key, opened)))
    }

    async fn refresh(&self, request: &RefreshRequest) -> Result<Refreshed, StoreError> {
        let mut tables = self.asked("refresh")?;
        let refused = |outcome| Refreshed {
            outcome,
            session: None,
            banned: None,
            inactive: false,
        };
        let Some(row) = tables.sessions.get_mut(&request.session) else {
            return Ok(refused(RefreshOutcome::Invalid));
        };
        let same_device = row.state.device_hash.is_some() && row.state.device_hash == request.device_hash;
        let mut rules = request.guard.session.refresh.clone();
        if request.by_cookie {
            rules.lost_response = time::Duration::ZERO;
        }
        let outcome = judge_refresh(&row.state, request.generation, same_device, &rules, request.now);
        let key = row.new.key.clone();
        let ban = tables.account(&key).and_then(|account| banned(account, request.now));
        let row = tables.sessions.get_mut(&request.session).unwrap();
        match outcome {
            RefreshOutcome::Invalid | RefreshOutcome::Expired => return Ok(refused(outcome)),
            RefreshOutcome::Reused => {
                tables.end(|id, _| *id == request.session, request.now);
                return Ok(refused(outcome));
            }
            _ if ban.is_some() => {
                return Ok(Refreshed {
                    banned: ban,
                    ..refused(outcome)
                });
            }
            RefreshOutcome::Rotated { next } => {
                row.state.previous_generation = Some(row.state.generation);
                row.state.generation = next;
                row.state.rotated_at = request.now;
            }
            RefreshOutcome::Recovered { next } => {
                row.state.generation = next;
                row.state.min_generation = next;
                row.state.rotated_at = request.now;
            }
            RefreshOutcome::Replayed { .. } => {}
        }
        Ok(Refreshed {
            session: Some(tables.facts(request.session)),
            ..refused(outcome)
        })
    }

    async fn end_sessions(
        &self,
        key: &PrincipalKey,
        guard: Option<&AuthGuard>,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut tables = self.asked("end_sessions")?;
        let chosen = |id: &SessionId, row: &Row| {
            let here = row.new.key == *key && guard.is_none_or(|guard| guard.name == row.new.guard.name);
            here && match which {
                EndSessions::One(one) => id == one,
                EndSessions::All => true,
                EndSessions::Others(kept) => id != kept,
            }
        };
        Ok(tables.end(chosen, now))
    }

    async fn session_owner(&self, session: SessionId) -> Result<Option<(PrincipalKey, bool)>, StoreError> {
        let tables = self.asked("session_owner")?;
        let row = tables.sessions.get(&session);
        Ok(row.map(|row| (row.new.key.clone(), row.state.ended_at.is_none())))
    }

    async fn session_record(&self, session: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let tables = self.asked("session_record")?;
        let row = tables.sessions.get(&session);
        Ok(row.map(|row| SessionRecord {
            key: row.new.key.clone(),
            guard: row.new.guard.name.to_string(),
            tenant: None,
            state: row.state.clone(),
        }))
    }

    async fn sessions(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, StoreError> {
        let tables = self.asked("sessions")?;
        let live = tables
            .sessions
            .values()
            .filter(|row| row.new.key == *key && row.state.ended_at.is_none());
        let mut entries: Vec<_> = live
            .map(|row| SessionEntry {
                id: row.new.id,
                guard: row.new.guard.name.to_string(),
                device_name: row.new.device_name.clone(),
                way: row.new.way.clone().into_owned(),
                created_at: row.new.now,
                last_used_at: row.state.rotated_at,
            })
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.created_at));
        Ok(entries)
    }
}

impl IdentitySource for Store {
    fn ticket(&self) -> Ticket {
        Ticket(0)
    }

    fn warm(&self, _: &Need<'_>) -> Option<View> {
        None
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, _: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(async move {
            let mut tables = self.tables();
            if tables.blind {
                return Err(SourceUnavailable("the database is gone".into()));
            }
            let account = tables.account(need.key).unwrap().clone();
            assert!(IdentityVersion(account.version) >= need.at_least);
            let live = tables.sessions.values().filter(|row| row.new.key == account.key);
            let live = live.filter(|row| row.state.ended_at.is_none()).map(|row| LiveSession {
                id: row.new.id,
                guard: row.new.guard.name.clone(),
                min_generation: row.state.min_generation,
                authenticated_at: row.new.now.unix_timestamp(),
                expires_at: None,
                way: row.new.way.as_ref().into(),
                remembered: row.new.remembered,
            });
            let identity = Identity {
                exists: true,
                verified: true,
                attributes: account.attributes.clone(),
                sessions: live.collect(),
                ..Identity::absent(account.key.clone())
            };
            Ok(View {
                identity: Arc::new(identity),
                version: IdentityVersion(account.version),
                roles: RoleView {
                    global: Arc::new(RoleTable::default()),
                    tenant: None,
                },
                policy: None,
                stamp: Stamp::default(),
                source: ViewSource::Database,
            })
        })
    }

    fn unmoved(&self, _: &Stamp) -> bool {
        true
    }

    fn used(&self, _: &View, session: SessionId, generation: u32) {
        Self::used(self, session, generation);
    }
}

/// Signs nothing: the token's text is its id, and what it was asked to say is kept.
#[derive(Debug, Default)]
pub(crate) struct Issuer(pub(crate) Mutex<Vec<(GuardName, AccessClaims)>>);

impl Issuer {
    pub(crate) fn last(&self) -> AccessClaims {
        self.0.lock().unwrap().last().unwrap().1.clone()
    }
}

impl TokenIssuer for Issuer {
    fn issue(&self, guard: &GuardName, claims: &AccessClaims) -> Result<SecretString, IssueError> {
        self.0.lock().unwrap().push((guard.clone(), claims.clone()));
        Ok(format!("access-{}-{}", guard, claims.id).into())
    }
}
