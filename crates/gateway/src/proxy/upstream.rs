//! The servers that a route leads to. Where they are comes from configuration alone; nothing of a request picks one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::http::Uri;
use rustls::{ClientConfig, pki_types::ServerName};

/// How long a connection to a server may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server that could not be reached is passed over, the first time; twice as long each time after.
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest that a server is passed over.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Which `Host` a server is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The one that the client asked for.
    #[default]
    Original,
    /// The server's own.
    Own,
}

/// The servers of a route, as configured.
#[derive(Clone, Debug)]
pub struct UpstreamSpec {
    /// Their origins, `http://host[:port]` or `https://host[:port]`; one at least.
    pub urls: Vec<String>,
    /// Whom to believe where an origin is https.
    pub tls: Option<Arc<ClientConfig>>,
    /// The path that answers 2xx while a server is well; `None`: it is not asked.
    pub health_path: Option<String>,
    /// How long the head of an answer may take from when the request was sent.
    pub timeout: Duration,
    /// Which `Host` they are told.
    pub host: HostHeader,
}

/// An upstream that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamProblem {
    /// There is no server.
    #[error("an upstream needs one url at least")]
    Empty,
    /// A URL that is no origin of a server that can be spoken to.
    #[error("{url:?} {why}")]
    BadUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One server.
#[derive(Debug)]
pub(super) struct Target {
    /// Its own number in this process: under it each thread keeps its idle connections.
    pub(super) id: u64,
    /// A name or an address, an IPv6 one without brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// How it is spoken to where that is by TLS, and the name that its certificate must have.
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// `host:port` as configured: its name in metrics and in `Host`.
    pub(super) authority: Arc<str>,
    /// Until when, in milliseconds of uptime, it is passed over.
    rests_until: AtomicU64,
    failures: AtomicU32,
}

/// The servers of a route, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    targets: Box<[Arc<Target>]>,
    next: AtomicUsize,
    pub(super) health_path: Option<Box<str>>,
    pub(super) timeout: Duration,
    pub(super) host: HostHeader,
}

impl Upstream {
    /// Checks the servers. Nothing is connected to.
    ///
    /// # Errors
    /// [`UpstreamProblem`].
    pub fn new(spec: UpstreamSpec) -> Result<Arc<Self>, UpstreamProblem> {
        if spec.urls.is_empty() {
            return Err(UpstreamProblem::Empty);
        }
        let targets = spec
            .urls
            .iter()
            .map(|url| Target::new(url, spec.tls.as_ref()).map(Arc::new));
        Ok(Arc::new(Self {
            targets: targets.collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            health_path: spec.health_path.map(Into::into),
            timeout: spec.timeout,
            host: spec.host,
        }))
    }

    /// The servers in the order in which they are tried for one request: in turn, those that rest last.
    pub(super) fn in_turn(&self, uptime: Duration) -> impl Iterator<Item = &Arc<Target>> {
        let start = match self.targets.len() {
            0 | 1 => 0,
            count => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (after, before) = self.targets.split_at(start);
        let turn = move || before.iter().chain(after);
        let well = turn().filter(move |target| !target.rests(uptime));
        well.chain(turn().filter(move |target| target.rests(uptime)))
    }

    /// Whether its servers tell whether they are well.
    #[must_use]
    pub fn is_asked_for_health(&self) -> bool {
        self.health_path.is_some()
    }

    /// All servers.
    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.timeout.min(CONNECT_TIMEOUT)
    }
}

impl Target {
    fn new(url: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Self, UpstreamProblem> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let bad = |why| UpstreamProblem::BadUrl {
            url: url.to_owned(),
            why,
        };
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(tls.ok_or(bad("is https, and it is not said whom to believe"))?),
            _ => return Err(bad("does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or(bad("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("has user information"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("has a path; the upstream receives the path of the request"));
        }
        let host = uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let name = || ServerName::try_from(host.to_owned()).map_err(|_| bad("has a host that no certificate can name"));
        let tls = tls.map(|config| Ok((Arc::clone(config), name()?))).transpose()?;
        Ok(Self {
            id: COUNT.fetch_add(1, Ordering::Relaxed),
            host: host.into(),
            port: authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            tls,
            authority: authority.as_str().into(),
            rests_until: AtomicU64::new(0),
            failures: AtomicU32::new(0),
        })
    }

    pub(super) fn rests(&self, uptime: Duration) -> bool {
        u128::from(self.rests_until.load(Ordering::Relaxed)) > uptime.as_millis()
    }

    /// It could not be reached: it is passed over for a while.
    pub(super) fn failed(&self, uptime: Duration) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = FIRST_REST.saturating_mul(1 << before).min(LONGEST_REST);
        let until = u64::try_from((uptime + rest).as_millis()).unwrap_or(u64::MAX);
        self.rests_until.store(until, Ordering::Relaxed);
    }

    /// It was reached.
    pub(super) fn succeeded(&self) {
        // Read first: a write would take the cache line from the other workers on every connection.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(urls: &[&str]) -> Result<Arc<Upstream>, UpstreamProblem> {
        Upstream::new(UpstreamSpec {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            tls: None,
            health_path: None,
            timeout: Duration::from_secs(30),
            host: HostHeader::Original,
        })
    }

    fn order(upstream: &Upstream, uptime: u64) -> Vec<u16> {
        let turn = upstream.in_turn(Duration::from_secs(uptime));
        turn.map(|target| target.port).collect()
    }

    #[test]
    fn servers_take_turns_and_those_that_failed_come_last_for_a_while() {
        let upstream = upstream(&["http://a:1", "http://a:2", "http://a:3"]).unwrap();
        assert_eq!(order(&upstream, 0), [1, 2, 3]);
        assert_eq!(order(&upstream, 0), [2, 3, 1]);
        assert_eq!(order(&upstream, 0), [3, 1, 2]);
        let first = &upstream.targets()[0];
        first.failed(Duration::from_secs(10));
        assert_eq!(order(&upstream, 10), [2, 3, 1]);
        assert_eq!(order(&upstream, 11), [2, 3, 1]);
        assert_eq!(order(&upstream, 11), [3, 1, 2]);
        first.failed(Duration::from_secs(11));
        assert!(first.rests(Duration::from_millis(12_999)));
        assert!(!first.rests(Duration::from_secs(13)));
        first.succeeded();
        assert!(!first.rests(Duration::from_secs(12)));
        for _ in 0..40 {
            first.failed(Duration::ZERO);
        }
        assert!(!first.rests(LONGEST_REST));
    }

    #[test]
    fn an_upstream_is_an_origin_and_nothing_else() {
        for good in ["http://a", "http://a:80/", "http://127.0.0.1:9000", "http://[::1]:9000"] {
            assert!(upstream(&[good]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "a:80",
            "https://a",
            "ftp://a",
            "http://u@a",
            "http://a/x",
            "http://a/?q",
            "http://{host}/",
        ] {
            assert!(upstream(&[bad]).is_err(), "{bad}");
        }
        assert_eq!(upstream(&[]).unwrap_err(), UpstreamProblem::Empty);
    }
}
