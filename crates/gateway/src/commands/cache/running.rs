//! What the running gateway of this machine has counted.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::commands::ready::reachable;

/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer answers are none of a gateway's.
const MOST_BYTES: u64 = 8 << 20;

/// What its nodes found by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeDrift {
    pub(super) compared: u64,
    pub(super) drifting: u64,
}

/// The counters of the gateway whose ops listener is here; `None` where none answers.
pub(super) async fn drift(ops: SocketAddr) -> Option<NodeDrift> {
    let text = timeout(PATIENCE, metrics(reachable(ops))).await.ok()?.ok()?;
    read(&text)
}

async fn metrics(ops: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(ops).await?;
    // The answer of HTTP/1.0 ends with the connection, and is in one piece.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {ops}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut text).await?;
    Ok(text)
}

fn read(text: &str) -> Option<NodeDrift> {
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    };
    // A counter that nothing has moved yet may be missing; the answer of another program has neither.
    text.contains("# TYPE bekci_cache_drift_total").then(|| NodeDrift {
        compared: value("bekci_cache_drift_checks_total").unwrap_or_default(),
        drifting: value("bekci_cache_drift_total").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_metrics_and_from_nothing_else() {
        let text = "HTTP/1.0 200 OK\r\n\r\n# TYPE bekci_cache_drift_total counter\nbekci_cache_drift_total 2\nbekci_cache_drift_checks_total 31\n";
        let found = NodeDrift {
            compared: 31,
            drifting: 2,
        };
        assert_eq!(read(text), Some(found));
        assert_eq!(read("HTTP/1.0 404 Not Found\r\n\r\n"), None);
    }
}
