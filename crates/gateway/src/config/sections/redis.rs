//! `[redis]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::store::with_credentials;
use crate::config::schema::{Fallback::Absent, Fallback::Toml, Kind, Refusal, Setting, number, range, settings};
use crate::config::tree::Node;
use crate::config::values::names::{RedisPrefix, Sentence};
use crate::config::values::secret::{self, Secret};
use crate::config::values::text_type;
use crate::config::values::url::{is_host, percent_encoded};

text_type! {
    /// The name or address of a machine; an IPv6 address in brackets.
    Host: "a host: a name, an IPv4 address or an IPv6 address in brackets", None,
    |text| if is_host(text) { Ok(()) } else { Err(Refusal::Malformed) }
}

impl Setting for Option<u16> {
    const KIND: Kind = range(1, 65_535);

    fn read(node: &Node) -> Option<Self> {
        number(node).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

settings! {
    /// Redis, where several processes share cache, limits and on-line lists. Without it they are kept in the process: several nodes
    /// keep their promises all the same, limits are then per node.
    Redis {
        /// Whether Redis is used.
        enabled: bool = Toml("false");
        /// `redis://`, `rediss://` (TLS), `redis-cluster://host:port,host:port` or `redis-sentinel://host:port,host:port/service/number`, where the ports are
        /// those of sentinels, `service` is `mymaster` where it is left out, and `number` is the database's. The last two take `?tls=true`.
        url: Secret [Kind::Secret(&secret::REDIS_URL)] = Toml("'redis://127.0.0.1:6379'");
        /// The host, in place of the one in the URL.
        host: Option<Host> = Absent;
        /// The port, in place of the one in the URL.
        port: Option<u16> = Absent;
        /// The user, in place of the one in the URL.
        user: Option<Sentence> = Absent;
        /// The password, in place of the one in the URL.
        password: Option<Secret> = Absent;
        /// A PEM file with the certificate authorities that are believed with `rediss://`. Left out: the system's.
        ca_file: Option<PathBuf> = Absent;
        /// What every key begins with; empty for the bare `customer:42`.
        prefix: RedisPrefix = Toml("'bekci:'");
    }
}

/// How Redis is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisScheme {
    /// One server.
    Plain,
    /// One server, by TLS.
    Tls,
    /// A cluster.
    Cluster,
    /// A server that sentinels name.
    Sentinel,
}

impl Redis {
    /// How the URL says that Redis is reached.
    pub(crate) fn scheme(&self) -> RedisScheme {
        if self.url.starts_with("redis-cluster:") {
            RedisScheme::Cluster
        } else if self.url.starts_with("redis-sentinel:") {
            RedisScheme::Sentinel
        } else if self.url.starts_with("rediss:") {
            RedisScheme::Tls
        } else {
            RedisScheme::Plain
        }
    }

    /// The URL with `host`, `port`, `user` and `password` put in; nothing where Redis is off.
    pub(crate) fn effective_url(&self) -> Option<SecretString> {
        if matches!(self.scheme(), RedisScheme::Cluster | RedisScheme::Sentinel) {
            return self.enabled.then(|| self.with_list_credentials());
        }
        let user = self.user.as_ref().map(Sentence::as_str);
        let host = self.host.as_ref().map(Host::as_str);
        self.enabled
            .then(|| with_credentials(&self.url.text(), user, self.password.as_ref(), host, self.port))
    }

    /// The URL of several servers with `user` and `password` put in.
    fn with_list_credentials(&self) -> SecretString {
        let url = self.url.text();
        let Some((scheme, rest)) = url.expose_secret().split_once("://") else {
            return url;
        };
        let (given, servers) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = given.split_once(':').unwrap_or((given, ""));
        let user = self
            .user
            .as_ref()
            .map_or_else(|| user.to_owned(), |user| percent_encoded(user.as_str()));
        let password = match &self.password {
            Some(password) => percent_encoded(password.text().expose_secret()),
            None => password.to_owned(),
        };
        let credentials = match (user.is_empty(), password.is_empty()) {
            (true, true) => String::new(),
            (_, true) => format!("{user}@"),
            _ => format!("{user}:{password}@"),
        };
        SecretString::from(format!("{scheme}://{credentials}{servers}"))
    }
}
