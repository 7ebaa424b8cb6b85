//! At rest: memory, and the time from start to ready.

use bekci_store::SystemClock;
use bekci_test_support::Server;

use crate::{gateway::Gateway, options::Options, peers::Peer, table};

pub(crate) fn measure(options: &Options) -> String {
    let upstream = Peer::application("serve-plain");
    let address = upstream.server.address();
    let gateway = Gateway::start(address, 1);
    let (nginx, haproxy, caddy) = (Peer::nginx(address), Peer::haproxy(address, None), Peer::caddy(address));
    let mut rows: Vec<Vec<String>> = [
        ("Bekci, one worker, one sign-in behind it", &gateway.server),
        ("nginx, one process", &nginx.server),
        ("HAProxy, one thread", &haproxy.server),
        ("Caddy", &caddy.server),
        ("Actix: a handler that returns 200", &upstream.server),
    ]
    .map(|(name, server)| {
        vec![
            format!("memory (RSS), MiB: {name}"),
            format!("{:.1}", resident(server) / 1024.0),
            String::new(),
            String::new(),
        ]
    })
    .to_vec();
    let starts = (0..options.repetitions).map(|_| gateway.restart(&SystemClock).as_secs_f64() * 1e3);
    let (median, least, most) = table::spread(starts.collect());
    rows.push(vec![
        "start to ready, ms: Bekci, on an existing SQLite database".to_owned(),
        format!("{median:.0}"),
        format!("{least:.0}"),
        format!("{most:.0}"),
    ]);
    table::table("At rest", &["what", "median", "least", "most"], &rows)
}

/// `VmRSS` of proc_pid_status(5), in KiB.
fn resident(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
