//! `[[routes]]`.

use std::{path::PathBuf, time::Duration};

use bekci_core::{GuardName, Permission, RoleName};

use crate::config::schema::{
    Fallback::Absent, Fallback::Required, Fallback::Toml, Kind, Refusal, Setting, Syntax, range, settings, some,
};
use crate::config::tree::{Node, Value};
use crate::config::values::names::{Right, RouteId};
use crate::config::values::pattern::{HostPattern, Method, PathPattern, UrlPath};
use crate::config::values::time::Millis;
use crate::config::values::url::Origin;
use crate::config::values::{Parsed, choice};

/// What kind of identity a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteKind {
    /// Whoever is signed in.
    Authorized,
    /// Whoever is signed in, and those whose sign-in still waits for its verification.
    Unverified,
    /// Whoever has signed in not longer ago than so many seconds.
    Fresh(u32),
    /// Whoever is not signed in.
    Guest,
}

impl Parsed for RouteKind {
    const SYNTAX: Syntax = Syntax::of::<Self>("authorized, unverified, guest or fresh:SECONDS with 1 to 86400 seconds")
        .matching("^(authorized|unverified|guest|fresh:[1-9][0-9]{0,4})$");

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "authorized" => Ok(Self::Authorized),
            "unverified" => Ok(Self::Unverified),
            "guest" => Ok(Self::Guest),
            _ => {
                let digits = text.strip_prefix("fresh:").ok_or(Refusal::Malformed)?;
                let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
                let seconds = digits
                    .parse()
                    .ok()
                    .filter(|seconds| is_plain && (1..=86_400).contains(seconds));
                seconds.map(Self::Fresh).ok_or(Refusal::Malformed)
            }
        }
    }
}

choice! {
    /// Where the decision on a route takes the identity from.
    Consistency {
        /// As `identity_cache.consistency` says.
        Inherit = "inherit",
        /// From the process's own cache.
        L1 = "l1",
        /// From the database.
        Direct = "direct",
    }
}

settings! {
    /// The servers that a route leads to.
    UpstreamTable {
        /// Their origins.
        urls: Vec<Origin> [some::<Origin>()] = Required;
        /// A PEM file with the certificate authorities that are believed where an origin is https. Left out: the system's.
        ca_file: Option<PathBuf> = Absent;
        /// The path that answers 2xx while a server is well; empty: it is not asked.
        health_path: Option<UrlPath> = Toml("''");
        /// How long the head of the answer may take.
        timeout_ms: Millis [range(1, 600_000)] = Toml("30000");
    }
}

/// The servers that a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// Their origins; one at least.
    pub(crate) urls: Vec<Origin>,
    /// Whom to believe where an origin is https; `None`: whom the system believes.
    pub(crate) ca_file: Option<PathBuf>,
    /// The path that answers 2xx while a server is well.
    pub(crate) health_path: Option<UrlPath>,
    /// How long the head of the answer may take.
    pub(crate) timeout: Duration,
}

impl Setting for Option<Upstream> {
    const KIND: Kind = Kind::Either {
        text: &Origin::KIND,
        table: UpstreamTable::KEYS,
    };

    fn read(node: &Node) -> Option<Self> {
        if let Value::Text(url) = &node.value {
            let urls = vec![Origin::parse(url).ok()?];
            return Some(Some(Upstream {
                urls,
                ca_file: None,
                health_path: None,
                timeout: Duration::from_secs(30),
            }));
        }
        let UpstreamTable {
            urls,
            ca_file,
            health_path,
            timeout_ms,
        } = UpstreamTable::read(node)?;
        Some(Some(Upstream {
            urls,
            ca_file,
            health_path,
            timeout: timeout_ms.duration(),
        }))
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

settings! {
    /// A rule of the gateway: what it matches, whom it lets in, what they must hold, and where it leads.
    Route {
        /// Its name, in logs and metrics and as the audience of the token for its upstream.
        id: RouteId = Required;
        /// The hosts that it is for: `api.example.com`, `*.example.com` or `*`.
        hosts: Vec<HostPattern> [some::<HostPattern>()] = Toml("['*']");
        /// The paths that it is for: `*` stands for one segment, `**` for the rest. A slash at the end makes no difference.
        paths: Vec<PathPattern> [some::<PathPattern>()] = Required;
        /// The methods that it is for; `GET` brings `HEAD` along, unless another route with the same path lists `HEAD`.
        methods: Vec<Method> [some::<Method>()] = Toml("['*']");
        /// The guards whose principals may come in. Required, but for `public`.
        guards: Vec<GuardName> = Toml("[]");
        /// Whether anyone may come in, without a credential.
        public: bool = Toml("false");
        /// Roles, of which a principal must hold one.
        roles: Vec<RoleName> = Toml("[]");
        /// Permissions, of which a principal must hold one.
        any_permission: Vec<Permission> = Toml("[]");
        /// Permissions, all of which a principal must hold.
        permissions: Vec<Permission> = Toml("[]");
        /// Roles and permissions, of which a principal must hold one.
        role_or_permission: Vec<Right> = Toml("[]");
        /// `authorized`; `unverified`: also before the verification; `fresh:300`: signed in not longer than 300 s ago; `guest`: not signed in.
        kind: RouteKind = Toml("'authorized'");
        /// Whether casbin is asked as well, about subject, tenant, path and method.
        policy: bool = Toml("false");
        /// Whether a dot, slash or backslash may stand in a path encoded twice, as `%252e`. Elsewhere that is 400 `BAD_PATH`: an upstream that decodes twice
        /// reads another path than the one that was judged.
        double_encoding: bool = Toml("false");
        /// `inherit`, `l1` or `direct`.
        consistency: Consistency = Toml("'inherit'");
        /// Where the request goes: an origin, or `{ urls = [..], health_path = "/healthz", timeout_ms = 30000 }`. Left out, the route is for the decision endpoints
        /// alone.
        upstream: Option<Upstream> = Absent;
    }
}
