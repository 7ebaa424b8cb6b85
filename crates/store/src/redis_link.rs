//! The connection to Redis: one server, a cluster, or the master that sentinels name.
//!
//! A connection that was dropped, or that leads to a server that became a replica, is made anew and the command is sent once more: every
//! command of Bekci may run twice. So the first command after an idle connection was closed has its answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::shared::{RedisSettings, SharedCacheError};

/// The name that sentinels give a master unless they are told otherwise.
const MASTER: &str = "mymaster";

enum Servers {
    One(Box<Client>),
    Cluster(Box<ClusterClient>, Vec<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
}

/// A connection that is there; commands of many requests share it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

pub(crate) struct RedisLink {
    servers: Servers,
    config: AsyncConnectionConfig,
    current: Mutex<Option<(u64, Connection)>>,
    made: AtomicU64,
}

impl RedisLink {
    /// A link whose servers may take so long to answer. It connects when it is first used.
    pub(crate) fn new(settings: &RedisSettings, connect: Duration, answer: Duration) -> Result<Self, SharedCacheError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(answer));
        Ok(Self {
            servers: servers(settings, connect, answer)?,
            config,
            current: Mutex::new(None),
            made: AtomicU64::new(0),
        })
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let made = match &self.servers {
            Servers::One(client) => Connection::One(
                client
                    .get_multiplexed_async_connection_with_config(&self.config)
                    .await?,
            ),
            Servers::Cluster(client, _) => Connection::Cluster(client.get_async_connection().await?),
            Servers::Sentinel(client) => {
                let mut client = client.lock().await;
                Connection::One(client.get_async_connection_with_config(&self.config).await?)
            }
        };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        *current = Some((number, made.clone()));
        Ok((number, made))
    }

    async fn forget(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|(held, _)| *held == number) {
            *current = None;
        }
    }

    /// Runs a command; once more on a new connection if the first one was lost. The caller bounds the time.
    pub(crate) async fn run<T, F>(&self, work: impl Fn(Connection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (number, connection) = self.connection().await?;
        match work(connection).await {
            Err(error) if is_lost(&error) => self.forget(number).await,
            answer => return answer,
        }
        let (number, connection) = self.connection().await?;
        let answer = work(connection).await;
        if answer.as_ref().is_err_and(is_lost) {
            self.forget(number).await;
        }
        answer
    }

    /// Names that fit a pattern, and where to go on; `None`: nowhere. In a cluster one of the servers of the URL after the other is asked.
    pub(crate) async fn scan(
        &self,
        place: ScanPlace,
        pattern: String,
        page: usize,
    ) -> RedisResult<(Option<ScanPlace>, Vec<String>)> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(place.cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(page);
        let scan = &scan;
        let (servers, answer): (_, RedisResult<(u64, Vec<String>)>) = match &self.servers {
            Servers::Cluster(_, nodes) => {
                let Some(node) = nodes.get(place.server) else {
                    return Ok((None, Vec::new()));
                };
                let mut connection = node.get_multiplexed_async_connection_with_config(&self.config).await?;
                (nodes.len(), scan.query_async(&mut connection).await)
            }
            Servers::One(_) | Servers::Sentinel(_) => {
                let asked = self.run(move |mut connection| async move { scan.query_async(&mut connection).await });
                (1, asked.await)
            }
        };
        let (cursor, names) = answer?;
        let next = match cursor {
            0 if place.server + 1 >= servers => None,
            0 => Some(ScanPlace {
                server: place.server + 1,
                cursor: 0,
            }),
            cursor => Some(ScanPlace { cursor, ..place }),
        };
        Ok((next, names))
    }

    /// The connection, if there is one now.
    pub(crate) fn at_hand(&self) -> Option<Connection> {
        let current = self.current.try_lock().ok()?;
        current.as_ref().map(|(_, connection)| connection.clone())
    }

    /// A connection of its own that hears channels. In a cluster every server passes on what is published at any of them.
    pub(crate) async fn listen(&self) -> RedisResult<PubSub> {
        match &self.servers {
            Servers::One(client) => client.get_async_pubsub().await,
            Servers::Sentinel(client) => {
                let client = client.lock().await.async_get_client().await?;
                client.get_async_pubsub().await
            }
            Servers::Cluster(_, nodes) => {
                let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "the cluster has no servers"));
                for node in nodes {
                    match node.get_async_pubsub().await {
                        Ok(heard) => return Ok(heard),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

/// Where a walk through all names is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanPlace {
    server: usize,
    cursor: u64,
}

/// Whether an answer says that another connection may have a better one.
fn is_lost(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.kind() == ErrorKind::ClusterConnectionNotFound
}

fn servers(settings: &RedisSettings, connect: Duration, answer: Duration) -> Result<Servers, SharedCacheError> {
    let url = settings.url.expose_secret();
    let wrong = |error: RedisError| SharedCacheError::Url(error.to_string());
    let certificates = certificates(settings)?;
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(SharedCacheError::Url("it has no scheme".to_owned()));
    };
    if !matches!(scheme, "redis-cluster" | "redis-sentinel") {
        let made = match certificates {
            None => Client::open(url),
            Some(certificates) => Client::build_with_tls(url, certificates),
        };
        return made.map(|client| Servers::One(Box::new(client))).map_err(wrong);
    }
    let list = ServerList::parse(rest)?;
    let one = if list.tls { "rediss" } else { "redis" };
    if scheme == "redis-cluster" {
        let urls: Vec<String> = list
            .hosts
            .iter()
            .map(|host| format!("{one}://{}{host}", list.credentials))
            .collect();
        let mut builder = ClusterClientBuilder::new(urls.iter().map(String::as_str))
            .connection_timeout(connect)
            .response_timeout(answer)
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(200);
        if let Some(certificates) = certificates.clone() {
            builder = builder.certs(certificates);
        }
        let nodes = urls.iter().map(|url| match certificates.clone() {
            None => Client::open(url.as_str()),
            Some(certificates) => Client::build_with_tls(url.as_str(), certificates),
        });
        let nodes: RedisResult<Vec<Client>> = nodes.collect();
        let client = builder.build().map_err(wrong)?;
        return Ok(Servers::Cluster(Box::new(client), nodes.map_err(wrong)?));
    }
    let addresses: RedisResult<Vec<ConnectionAddr>> = list
        .hosts
        .iter()
        .map(|host| Ok(format!("{one}://{host}").into_connection_info()?.addr().clone()))
        .collect();
    let credentials = format!("redis://{}localhost", list.credentials)
        .into_connection_info()
        .map_err(wrong)?;
    let (service, number) = match list.path.split_once('/') {
        Some((service, number)) => (service, number),
        None => (list.path.as_str(), ""),
    };
    let service = if service.is_empty() { MASTER } else { service };
    let mut builder =
        SentinelClientBuilder::new(addresses.map_err(wrong)?, service, SentinelServerType::Master).map_err(wrong)?;
    if list.tls {
        builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
    }
    if !number.is_empty() {
        let number = number
            .parse()
            .map_err(|_| SharedCacheError::Url(format!("{number:?} is no number of a database")))?;
        builder = builder.set_client_to_redis_db(number);
    }
    if let Some(user) = credentials.redis_settings().username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = credentials.redis_settings().password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    let client = builder.build().map_err(wrong)?;
    Ok(Servers::Sentinel(Box::new(Mutex::new(client))))
}

fn certificates(settings: &RedisSettings) -> Result<Option<redis::TlsCertificates>, SharedCacheError> {
    let Some(path) = &settings.ca_file else {
        return Ok(None);
    };
    let authorities = std::fs::read(path).map_err(|error| SharedCacheError::Authorities {
        path: path.clone(),
        error,
    })?;
    Ok(Some(redis::TlsCertificates {
        client_tls: None,
        root_cert: Some(authorities),
    }))
}

/// What stands behind the scheme: `user:password@host:port,host:port/path?tls=true`.
#[derive(Debug, PartialEq, Eq)]
struct ServerList {
    /// With the `@`; empty where there are none.
    credentials: String,
    hosts: Vec<String>,
    path: String,
    tls: bool,
}

impl ServerList {
    fn parse(rest: &str) -> Result<Self, SharedCacheError> {
        let (rest, tls) = match rest.split_once('?') {
            None => (rest, false),
            Some((rest, "tls=true")) => (rest, true),
            Some((rest, "tls=false")) => (rest, false),
            Some((_, other)) => {
                return Err(SharedCacheError::Url(format!(
                    "{other:?} is unknown; the only parameter is tls=true"
                )));
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        let has_port = |host: &String| {
            host.rsplit_once(':')
                .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
        };
        if let Some(host) = hosts.iter().find(|host| !has_port(host)) {
            return Err(SharedCacheError::Url(format!("{host:?} is no host with a port")));
        }
        Ok(Self {
            credentials,
            hosts,
            path: path.to_owned(),
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_taken_apart() {
        let parsed = ServerList::parse("app:p%40ss@a:1,[::1]:2/mymaster/3?tls=true").unwrap();
        let expected = ServerList {
            credentials: "app:p%40ss@".to_owned(),
            hosts: vec!["a:1".to_owned(), "[::1]:2".to_owned()],
            path: "mymaster/3".to_owned(),
            tls: true,
        };
        assert_eq!(parsed, expected);
        for wrong in ["", "a", "a:1,b", "a:x", ":1", "a:1?tls=maybe", "a:1,"] {
            assert!(ServerList::parse(wrong).is_err(), "{wrong}");
        }
    }
}
