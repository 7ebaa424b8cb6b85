//! `[server]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::config::schema::{Fallback::Absent, Fallback::Required, Fallback::Toml, Kind, Setting, range, settings};
use crate::config::tree::Node;
use crate::config::values::choice;
use crate::config::values::names::Column;
use crate::config::values::net::Cidr;
use crate::config::values::pattern::HeaderPattern;
use crate::config::values::time::Seconds;
use crate::config::values::url::Origin;

choice! {
    /// The names of the headers by which the decision endpoints tell who acts.
    DecisionPreset {
        /// Bekci's own.
        Bekci = "bekci",
        /// Those of Authelia.
        Authelia = "authelia",
        /// Those of oauth2-proxy.
        Oauth2Proxy = "oauth2-proxy",
        /// Those of authentik.
        Authentik = "authentik",
    }
}

settings! {
    /// Which attribute fills which header of a preset.
    DecisionAttributes {
        /// For the address, as `Remote-Email`. It is told only where it is verified.
        email: Column = Toml("'email'");
        /// For the name of a person, as `Remote-Name`.
        name: Column = Toml("'name'");
        /// For the name of an account, as `X-Auth-Request-Preferred-Username`.
        username: Column = Toml("'username'");
    }
}

#[cfg(test)]
impl DecisionAttributes {
    /// These columns, for email, name and username.
    pub(crate) fn of(columns: [&str; 3]) -> Self {
        use crate::config::values::Parsed as _;
        let [email, name, username] = columns.map(|name| Column::parse(name).unwrap());
        Self { email, name, username }
    }
}

settings! {
    /// The files of a certificate and its key.
    Tls {
        /// The chain in PEM, the listener's own certificate first.
        cert: PathBuf = Required;
        /// The private key in PEM.
        key: PathBuf = Required;
    }
}

impl Setting for Option<Tls> {
    const KIND: Kind = Tls::KIND;

    fn read(node: &Node) -> Option<Self> {
        Tls::read(node).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

settings! {
    /// Where the gateway listens, and what it is called from outside.
    Server {
        /// Address and port of the public traffic.
        listen: SocketAddr = Toml("'127.0.0.1:8080'");
        /// Address and port of `/healthz`, `/readyz` and `/metrics`. Never public.
        ops_listen: SocketAddr = Toml("'127.0.0.1:8081'");
        /// Address and port of the decision endpoints. Where it is set they are there alone, and 404 on `listen`; empty: they are on `listen`.
        decision_listen: Option<SocketAddr> = Toml("''");
        /// Under which names an identity is told, to upstreams and by the decision endpoints: `bekci` (`X-Auth-*`), `authelia` (`Remote-User`, `-Groups`, `-Name`,
        /// `-Email`), `oauth2-proxy` (`X-Auth-Request-User`, `-Groups`, `-Email`, `-Preferred-Username`) or `authentik` (`X-authentik-username`, `-groups`, `-email`,
        /// `-name`, `-uid`). Users are told by their key, as `customer:42`; an address is told only where it is verified. Only `bekci` has `X-Auth-Token`.
        decision_preset: DecisionPreset = Toml("'bekci'");
        /// Which cached attributes fill the headers of a preset, as `{ email = "EmailAddress", name = "FullName" }`.
        decision_attributes: DecisionAttributes = Toml("{}");
        /// The certificate of `listen` and `decision_listen`, which then speak TLS (1.2 and later) alone: `{ cert = "cert.pem", key = "key.pem" }`, the chain with
        /// the listener's own certificate first. A change of the files is taken over while the gateway runs.
        tls: Option<Tls> = Absent;
        /// The origin by which browsers and mails know the gateway. Cookie prefixes, redirect URIs, links in mails and the default issuer come
        /// from it, never from a request.
        public_url: Origin = Toml("'http://127.0.0.1:8080'");
        /// How many threads serve requests; 0: one for each core.
        workers: u16 [range(0, 1_024)] = Toml("0");
        /// Networks of the proxies whose `X-Forwarded-*` are believed. From anyone else they are dropped.
        trusted_proxies: Vec<Cidr> = Toml("[]");
        /// Headers that clients cannot send to upstreams, beside those that name a user or that proxies set (docs/operations.md lists them): names, or
        /// beginnings with `*` at the end, as `x-company-*`. They hold in every spelling, with `_` or `.` for `-` too.
        strip_headers: Vec<HeaderPattern> = Toml("[]");
        /// How long requests under way may take at shutdown.
        shutdown_timeout_seconds: Seconds [range(0, 3_600)] = Toml("30");
    }
}

impl Server {
    /// Whether what this peer says about its client is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}
