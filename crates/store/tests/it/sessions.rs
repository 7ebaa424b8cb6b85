//! Sessions at the store's port: what a refresh means, who may end what, and what signing in reads.

mod credentials;
mod ending;
mod opening;
mod races;
mod refresh;
mod remembering;
mod temporary;
mod usage;

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Clock, PrincipalKey, RefreshOutcome, SessionId, SessionRules,
    signin::{NewSession, Opened, RefreshRequest, Refreshed},
};
use bekci_store::{Store, SystemClock};
use sea_orm::{ConnectionTrait, Statement};
use time::{Duration, OffsetDateTime};

use crate::scene::{Ask, Scene};

const DEVICE: &[u8] = b"device";

fn now() -> OffsetDateTime {
    SystemClock.now()
}

/// The customers' guard with other rules.
fn ruled(scene: &Scene, change: impl FnOnce(&mut SessionRules)) -> Arc<AuthGuard> {
    let mut guard = AuthGuard::clone(&scene.customer);
    change(&mut guard.session);
    Arc::new(guard)
}

/// A presented refresh token of the device that signed in, by header, so long from now.
pub(crate) fn presented(
    guard: &Arc<AuthGuard>,
    session: SessionId,
    generation: u32,
    after: Duration,
) -> RefreshRequest {
    RefreshRequest {
        guard: Arc::clone(guard),
        session,
        generation,
        device_hash: Some(DEVICE.to_vec()),
        by_cookie: false,
        now: now() + after,
    }
}

async fn refreshed(store: &Store, request: &RefreshRequest) -> Refreshed {
    store.sign_in_store().refresh(request).await.unwrap()
}

async fn outcome(store: &Store, request: &RefreshRequest) -> RefreshOutcome {
    refreshed(store, request).await.outcome
}

async fn open(store: &Store, session: &NewSession) -> Vec<SessionId> {
    match store.sign_in_store().open_session(session).await.unwrap() {
        Opened::Open { ended, .. } => ended,
        other => panic!("{other:?}"),
    }
}

/// The live sessions by a direct read. What the node decides by from memory may lack one that was just opened elsewhere (its token names the version to ask for),
/// and must not have one that has ended.
async fn live(scene: &Scene, store: &Store, who: &PrincipalKey) -> Vec<SessionId> {
    let ask = || Ask::of(who, &scene.customer);
    let ids = |view: bekci_core::View| -> Vec<SessionId> {
        view.identity.sessions.iter().map(|session| session.id).collect()
    };
    let (memory, direct) = (ids(ask().view(store).await), ids(ask().direct().view(store).await));
    assert!(memory.iter().all(|id| direct.contains(id)), "{memory:?} {direct:?}");
    direct
}

/// A session row as the database has it, as text.
async fn row(scene: &Scene, session: SessionId) -> String {
    let text = "SELECT CAST(generation AS TEXT) || ' ' || coalesce(CAST(previous_generation AS TEXT), '-') || ' ' || CAST(min_generation AS TEXT) || ' ' || \
               CAST(rotated_at AS TEXT) || ' ' || CAST(last_used_at AS TEXT) || ' ' || coalesce(end_reason, 'lives') AS text FROM bekci_sessions WHERE id = $1";
    let db = scene.pool().await;
    let sql = crate::scene::in_words_of(db.get_database_backend(), text);
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [session.to_string().into()]);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "text").unwrap()
}
