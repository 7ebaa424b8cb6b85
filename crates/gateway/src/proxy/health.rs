//! Asking servers how they are, so that one that is not well is passed over before a request finds out.

use std::{future::poll_fn, sync::Arc, time::Duration};

use actix_web::{http::Method, web::BytesMut};
use bekci_core::Clock;
use tokio::time::{sleep, timeout};

use super::{
    exchange::Exchange,
    pool,
    upload::Upload,
    upstream::{Target, Upstream},
};

/// How long a server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks each server once, where a health path is configured: one that does not answer 2xx rests, one that does is used again at once.
pub async fn probe(upstream: &Upstream, clock: &dyn Clock) {
    let Some(path) = &upstream.health_path else { return };
    for target in upstream.targets() {
        if is_well(target, path).await {
            target.succeeded();
        } else {
            target.failed(clock.uptime());
        }
    }
}

/// Asks again and again, for as long as anybody else holds the upstream.
pub async fn watch(upstream: Arc<Upstream>, clock: Arc<dyn Clock>, every: Duration) {
    let watched = Arc::downgrade(&upstream);
    drop(upstream);
    while let Some(upstream) = watched.upgrade() {
        probe(&upstream, &*clock).await;
        drop(upstream);
        sleep(every).await;
    }
}

/// Asks each server of an upstream once, for people: its address, and what is wrong with it.
pub async fn examine(upstream: &Upstream) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for target in upstream.targets() {
        let problem = match &upstream.health_path {
            Some(path) if is_well(target, path).await => None,
            Some(path) => Some(format!("GET {path} is not answered with 2xx")),
            None => pool::open(target, PATIENCE).await.err().map(|error| error.to_string()),
        };
        found.push((target.authority.to_string(), problem));
    }
    found
}

async fn is_well(target: &Target, path: &str) -> bool {
    let Ok(connection) = pool::open(target, PATIENCE).await else {
        return false;
    };
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: bekci\r\nconnection: close\r\n\r\n",
        target.authority
    );
    let mut exchange = Exchange::new(connection, Upload::new(BytesMut::from(head.as_bytes()), None));
    let answer = timeout(PATIENCE, poll_fn(|cx| exchange.poll_head(&Method::GET, cx))).await;
    matches!(answer, Ok(Ok(head)) if head.status.is_success())
}
