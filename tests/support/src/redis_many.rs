//! A Redis Cluster, and a Redis with sentinels: six processes each.

use std::time::Duration;

use crate::failure::or_fail;
use crate::folder::TempDir;
use crate::port::free_port;
use crate::redis::{Redis, says_pong};
use crate::server::{Server, Service};

/// For how long a cluster may take to agree.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

/// Waits until something holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !holds() {
        assert!(waited < PATIENCE, "{what} did not come to be");
        std::thread::sleep(STEP);
        waited += STEP;
    }
}

/// Three masters, each with a replica.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts six servers and joins them.
    #[track_caller]
    pub fn start() -> Self {
        let mut buses = Vec::new();
        let nodes: Vec<Redis> = (0..6)
            .map(|_| {
                let bus = free_port().to_string();
                let node = Redis::start_with(&[
                    "--repl-diskless-sync-delay",
                    "0",
                    "--cluster-enabled",
                    "yes",
                    "--cluster-config-file",
                    "nodes.conf",
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-replica-validity-factor",
                    "0",
                    "--cluster-port",
                    &bus,
                ]);
                buses.push(bus);
                node
            })
            .collect();
        let cluster = Self { nodes };
        for (at, slots) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")]
            .iter()
            .enumerate()
        {
            cluster.node(at).cli(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        }
        for (node, bus) in cluster.nodes.iter().zip(&buses).skip(1) {
            let port = node.server().port().to_string();
            cluster.node(0).cli(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        let know = |count: usize| {
            let said = format!("cluster_known_nodes:{count}");
            cluster
                .nodes
                .iter()
                .all(|node| node.cli(&["CLUSTER", "INFO"]).contains(&said))
        };
        until("the acquaintance of all servers", || know(6));
        for at in 3..6 {
            let master = cluster.node(at - 3).cli(&["CLUSTER", "MYID"]);
            let replicate = || {
                cluster
                    .node(at)
                    .try_cli(&["CLUSTER", "REPLICATE", master.trim()])
                    .is_ok()
            };
            until("a replica", replicate);
        }
        until("a cluster that is well", || {
            let is_well = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            let replicas = cluster.node(0).cli(&["CLUSTER", "NODES"]).matches("slave").count();
            replicas == 3 && cluster.nodes.iter().all(is_well) && (3..6).all(|at| cluster.node(at).follows())
        });
        cluster
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a mistake of the test")]
    fn node(&self, at: usize) -> &Redis {
        self.nodes.get(at).unwrap_or_else(|| panic!("there is no server {at}"))
    }

    /// Its servers: three masters, then their replicas.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// `redis-cluster://127.0.0.1:1,127.0.0.1:2`
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.server().address().to_string())
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }
}

/// A master with two replicas, and three sentinels that watch it.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<(Server, TempDir)>,
    servers: Vec<Redis>,
}

impl RedisSentinels {
    /// Starts six processes; the master is called `mymaster`.
    #[track_caller]
    pub fn start() -> Self {
        let master = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.server().port();
        let mut servers = vec![master];
        servers.extend((0..2).map(|_| Redis::start_with(&["--replicaof", "127.0.0.1", &port.to_string()])));
        until("replicas that follow", || servers.iter().skip(1).all(Redis::follows));
        let sentinels = (0..3).map(|_| or_fail(sentinel(port))).collect();
        let all = Self { sentinels, servers };
        until("sentinels that know each other", || {
            all.sentinels.iter().all(|(server, _)| {
                let said = crate::redis::cli_at(server.port(), &["SENTINEL", "MASTER", "mymaster"]).unwrap_or_default();
                let value = |field: &str| {
                    let mut lines = said.lines().skip_while(|line| line.trim() != field);
                    lines.nth(1).and_then(|value| value.trim().parse::<u32>().ok())
                };
                value("num-other-sentinels") == Some(2) && value("num-slaves") == Some(2)
            })
        });
        all
    }

    /// The servers: the first master, then its replicas.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// `redis-sentinel://127.0.0.1:1,127.0.0.1:2/mymaster`
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|(server, _)| server.address().to_string())
            .collect();
        format!("redis-sentinel://{}/mymaster", hosts.join(","))
    }
}

fn sentinel(master: u16) -> Result<(Server, TempDir), crate::Failure> {
    let folder = TempDir::try_new("sentinel")?;
    let server = Server::try_on_free_port(|port| {
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor mymaster 127.0.0.1 {master} 2\nsentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 2000\nsentinel parallel-syncs mymaster 2\n"
        );
        // A file that cannot be written fails the start, which says so.
        let _written = std::fs::write(&config, text);
        let _open = std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Service::new("redis-server", port, &folder)
            .args([config.as_os_str(), std::ffi::OsStr::new("--sentinel")])
            .ready_when(says_pong)
    })?;
    Ok((server, folder))
}
