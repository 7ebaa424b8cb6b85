//! `[server]`.

use std::net::{IpAddr, SocketAddr};

use crate::config::schema::{Fallback::Toml, range, settings};
use crate::config::values::choice;
use crate::config::values::net::Cidr;
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
    /// Where the gateway listens, and what it is called from outside.
    Server {
        /// Address and port of the public traffic.
        listen: SocketAddr = Toml("'127.0.0.1:8080'");
        /// Address and port of `/healthz`, `/readyz` and `/metrics`. Never public.
        ops_listen: SocketAddr = Toml("'127.0.0.1:8081'");
        /// Address and port of the decision endpoints. Where it is set they are there alone, and 404 on `listen`; empty: they are on `listen`.
        decision_listen: Option<SocketAddr> = Toml("''");
        /// Under which names the decision endpoints tell who acts: `bekci` (`X-Auth-*`), `authelia` (`Remote-User`, `-Groups`, `-Name`, `-Email`), `oauth2-proxy`
        /// (`X-Auth-Request-User`, `-Groups`, `-Email`, `-Preferred-Username`) or `authentik` (`X-authentik-username`, `-groups`, `-email`, `-name`, `-uid`).
        /// Users are told by their key, as `customer:42`; an address is told only where it is verified.
        decision_preset: DecisionPreset = Toml("'bekci'");
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
