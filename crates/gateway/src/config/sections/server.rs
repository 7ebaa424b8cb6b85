//! `[server]`.

use std::net::{IpAddr, SocketAddr};

use crate::config::schema::{Fallback::Toml, range, settings};
use crate::config::values::net::Cidr;
use crate::config::values::time::Seconds;
use crate::config::values::url::Origin;

settings! {
    /// Where the gateway listens, and what it is called from outside.
    Server {
        /// Address and port of the public traffic.
        listen: SocketAddr = Toml("'127.0.0.1:8080'");
        /// Address and port of `/healthz`, `/readyz` and `/metrics`. Never public.
        ops_listen: SocketAddr = Toml("'127.0.0.1:8081'");
        /// Address and port of the decision endpoints. Where it is set they are there alone, and 404 on `listen`; empty: they are on `listen`.
        decision_listen: Option<SocketAddr> = Toml("''");
        /// The origin by which browsers and mails know the gateway. Cookie prefixes, redirect URIs, links in mails and the default issuer come
        /// from it, never from a request.
        public_url: Origin = Toml("'http://127.0.0.1:8080'");
        /// How many threads serve requests; 0: one for each core.
        workers: u16 [range(0, 1_024)] = Toml("0");
        /// Networks of the proxies whose `X-Forwarded-*` are believed. From anyone else they are dropped.
        trusted_proxies: Vec<Cidr> = Toml("[]");
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
