//! `bekci ready`: whether the gateway of this configuration serves.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bekci_core::Clock;
use bekci_store::SystemClock;
use clap::Args;
use serde_json::json;

use super::{Answer, Failure, input::span};
use crate::{
    config::Config,
    proxy::{HostHeader, Upstream, UpstreamSpec, examine},
};

/// How often `/readyz` is requested while waiting.
const EVERY: Duration = Duration::from_millis(100);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Waits until the gateway is ready, at most this long, as 10s; without it, one look
    #[arg(long, value_name = "DURATION", value_parser = span)]
    wait: Option<Duration>,
}

/// The address at which this machine reaches a listener: an unspecified one is reached by loopback.
pub(in crate::commands) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

pub(crate) async fn run(wait: &Wait, config: &Config) -> Result<Answer, Failure> {
    let url = format!("http://{}", reachable(config.server.ops_listen));
    let ops = Upstream::new(UpstreamSpec {
        urls: vec![url.clone()],
        tls: None,
        health_path: Some("/readyz".to_owned()),
        timeout: PATIENCE,
        host: HostHeader::Own,
    })
    .map_err(Failure::of)?;
    let began = SystemClock.uptime();
    loop {
        let is_ready = examine(&ops).await.iter().all(|(_, problem)| problem.is_none());
        let waited = SystemClock.uptime().saturating_sub(began);
        if is_ready {
            let json = json!({"ready": true, "url": config.server.public_url.as_str(), "waitedMs": waited.as_millis()});
            return Ok(Answer::new(
                format!("ready: {}", config.server.public_url.as_str()),
                json,
            ));
        }
        if wait.wait.is_none_or(|most| waited >= most) {
            return Err(Failure::of(format!(
                "not ready: {url}/readyz does not answer 200; is `bekci serve` running with this configuration? \
                 The answer of {url}/readyz names what is missing"
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}
