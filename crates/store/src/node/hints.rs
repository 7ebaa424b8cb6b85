//! Hints: what wakes the node loop before its next poll. A lost hint costs the rest of a poll's interval and nothing else.

use std::time::Duration;

use sea_orm::{
    DbBackend,
    sqlx::postgres::{PgListener, PgPoolOptions},
};
use tokio::{sync::watch, task::JoinHandle};

use super::Node;

const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Starts listening for what the database and the shared cache can say.
pub(crate) fn hints(node: &Node, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let mut listeners = Vec::new();
    if node.backend() == DbBackend::Postgres {
        listeners.push(tokio::spawn(until_stopped(
            stop.clone(),
            node.clone(),
            |node| async move { from_postgres(&node).await },
        )));
    }
    if node.shared().is_some() {
        listeners.push(tokio::spawn(until_stopped(
            stop.clone(),
            node.clone(),
            |node| async move { from_redis(&node).await },
        )));
    }
    listeners
}

async fn until_stopped<F: Future<Output = ()>>(
    mut stop: watch::Receiver<bool>,
    node: Node,
    listen: impl Fn(Node) -> F,
) {
    while !*stop.borrow() {
        tokio::select! {
            () = listen(node.clone()) => {}
            _ = stop.changed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn from_postgres(node: &Node) {
    // A connection of its own: the pool would miss one for as long as the node runs, and two where a reload opens a node beside it.
    let options = node.db().get_postgres_connection_pool().connect_options();
    let own = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options.as_ref().clone());
    let Ok(mut listener) = PgListener::connect_with(&own).await else {
        return;
    };
    if listener.listen("bekci").await.is_err() {
        return;
    }
    while listener.recv().await.is_ok() {
        node.wake();
    }
}

async fn from_redis(node: &Node) {
    if let Some(shared) = node.shared() {
        let _lost = shared.listen(|| node.wake()).await;
    }
}
