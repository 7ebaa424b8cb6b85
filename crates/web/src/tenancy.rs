//! Which tenant a request asks about, by where an application or a gateway looks for it.
//!
//! The rules:
//!
//! 1. What is asked proves nothing: the gate lets in only who belongs to the tenant.
//! 2. One source, the same for every request. A request that does not name a tenant there asks about none, and then global rights alone count.
//! 3. By host: the label that stands before one of the given names. These names themselves, those that are said to be nobody's, and all that are not below them, ask
//!    about none; what is deeper is malformed. The host is the request's own, never an `X-Forwarded-Host`.
//! 4. By header: from a trusted proxy, exactly one. From anybody else it is not believed, and [`Tenancy::strip`] takes it away.
//! 5. By path: one segment of the canonical path. A path that is shorter asks about none. Bekci's own calls have no tenant in their paths.
//! 6. By claim: the tenant that the token was made for, which its sign-in named or its account's tenant column did.
//! 7. A name that breaks the grammar of tenants is malformed, never corrected: `ACME` is not `acme`.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use bekci_core::{AskedTenant, AuthError, TenantName, signin::SignInTenant};

use crate::{TrustedProxies, host::Host};

const NO_NAME: &str = "is no name of a tenant: up to 63 of a-z, 0-9, `-`, not beginning with `-`";

/// What is wrong with where tenants are to be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTenancy {
    /// A name below which tenants have their hosts, or that is nobody's, is no host.
    #[error("{0:?} is no name of a host")]
    Host(String),
    /// No name is given below which tenants have their hosts.
    #[error("tenants by host need a name below which their hosts are")]
    NoHost,
    /// A header that cannot name a tenant.
    #[error("the header {0:?} cannot name a tenant")]
    Header(String),
    /// A segment of the path that there cannot be.
    #[error("the segments of a path are counted from 1")]
    Segment,
}

/// Where a request says which tenant it asks about. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tenancy(Arc<Source>);

#[derive(Debug, Default)]
enum Source {
    #[default]
    None,
    Host(Hosts),
    Header {
        name: HeaderName,
        trusted: TrustedProxies,
    },
    Path(usize),
    Claim,
}

/// Names of hosts, in their one spelling.
#[derive(Debug)]
struct Hosts {
    /// With a leading dot, the longest first.
    below: Vec<String>,
    nobodys: HashSet<String>,
}

/// What of a request can say which tenant it asks about.
#[derive(Clone, Copy, Debug)]
pub struct Clues<'a> {
    /// The host that it asks for; `None` where it cannot be read.
    pub host: Option<&'a Host<'a>>,
    /// The canonical path; `None` for a call of Bekci's own.
    pub path: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Whom the connection comes from.
    pub peer: Option<IpAddr>,
}

/// Which tenant a request asks about, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// None.
    #[default]
    None,
    /// This one.
    Named(TenantName),
    /// The one that its token was made for.
    Claimed,
}

impl Asked {
    /// The same, as the gate takes it.
    #[must_use]
    pub fn tenant(&self) -> AskedTenant<'_> {
        match self {
            Self::None => AskedTenant::None,
            Self::Named(tenant) => AskedTenant::Named(tenant),
            Self::Claimed => AskedTenant::Claimed,
        }
    }
}

impl Tenancy {
    /// There are no tenants: global rights alone count.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// By host: `acme` for `acme.example.com`, where `below` has `example.com`. The hosts in `nobodys` are no tenant's although they are below such a name, as
    /// `www.example.com`.
    ///
    /// # Errors
    /// [`BadTenancy::Host`], [`BadTenancy::NoHost`].
    pub fn host<'a>(
        below: impl IntoIterator<Item = &'a str>,
        nobodys: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadTenancy> {
        let name = |text: &str| match Host::parse(text) {
            Ok(host) if host.port().is_none() => Ok(host.name().to_owned()),
            _ => Err(BadTenancy::Host(text.to_owned())),
        };
        let below: Vec<String> = below.into_iter().map(name).collect::<Result<_, _>>()?;
        if below.is_empty() {
            return Err(BadTenancy::NoHost);
        }
        let nobodys = nobodys.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let nobodys = nobodys.into_iter().chain(below.iter().cloned()).collect();
        let mut below: Vec<String> = below.into_iter().map(|name| format!(".{name}")).collect();
        below.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Ok(Self(Arc::new(Source::Host(Hosts { below, nobodys }))))
    }

    /// By this header, from peers that are trusted to have set it: IPv4 addresses are given as such, also where they come inside IPv6.
    ///
    /// # Errors
    /// [`BadTenancy::Header`] for no name of a header, or one that says something else to Bekci.
    pub fn header(name: &str, trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Result<Self, BadTenancy> {
        let bad = || BadTenancy::Header(name.to_owned());
        let parsed = HeaderName::try_from(name).map_err(|_| bad())?;
        let folded = fold(parsed.as_str());
        let is_taken = matches!(folded.as_str(), "authorization" | "cookie" | "host" | "x-csrf-token")
            || folded.starts_with("x-auth-");
        if is_taken || folded != parsed.as_str() {
            return Err(bad());
        }
        let trusted = TrustedProxies::new(trusted);
        Ok(Self(Arc::new(Source::Header { name: parsed, trusted })))
    }

    /// By a segment of the path, the first being 1: with 2, `acme` for `/t/acme/orders`.
    ///
    /// # Errors
    /// [`BadTenancy::Segment`] for 0.
    pub fn path(segment: usize) -> Result<Self, BadTenancy> {
        if segment == 0 {
            return Err(BadTenancy::Segment);
        }
        Ok(Self(Arc::new(Source::Path(segment))))
    }

    /// By the `tenant` claim of the token.
    #[must_use]
    pub fn claim() -> Self {
        Self(Arc::new(Source::Claim))
    }

    /// Whether the tenant is the one that the token was made for, so that a sign-in has to say which.
    #[must_use]
    pub fn is_by_claim(&self) -> bool {
        matches!(*self.0, Source::Claim)
    }

    /// The tenant of a sign-in that names none, and whose request asks about none.
    #[must_use]
    pub fn unnamed(&self) -> SignInTenant {
        match self.is_by_claim() {
            true => SignInTenant::OfAccount,
            false => SignInTenant::None,
        }
    }

    /// Which tenant a request asks about.
    ///
    /// # Errors
    /// [`AuthError::BadTenant`].
    pub fn asked(&self, clues: &Clues<'_>) -> Result<Asked, AuthError> {
        let named = |text: &str| {
            let tenant = TenantName::new(text).map_err(|_| AuthError::BadTenant(NO_NAME))?;
            Ok(Asked::Named(tenant))
        };
        match &*self.0 {
            Source::None => Ok(Asked::None),
            Source::Claim => Ok(Asked::Claimed),
            Source::Host(hosts) => match clues.host {
                None => Err(AuthError::BadTenant("is in a host that cannot be read")),
                Some(host) => hosts.label(host.name()).map_or(Ok(Asked::None), named),
            },
            Source::Header { name, trusted } => {
                if !is_trusted(trusted, clues.peer) {
                    return Ok(Asked::None);
                }
                let mut values = clues.headers.get_all(name);
                match (values.next(), values.next()) {
                    (None, _) => Ok(Asked::None),
                    (Some(value), None) => named(value.to_str().unwrap_or_default()),
                    (Some(_), Some(_)) => Err(AuthError::BadTenant("stands in more than one header")),
                }
            }
            Source::Path(segment) => {
                let path = clues.path.unwrap_or_default();
                let found = path.split('/').nth(*segment).unwrap_or_default();
                if found.is_empty() {
                    Ok(Asked::None)
                } else {
                    named(found)
                }
            }
        }
    }

    /// Which tenant an Actix request asks about; `path` is its canonical path, or `None` for a call of Bekci's own.
    ///
    /// # Errors
    /// [`AuthError::BadTenant`].
    pub fn asked_by(&self, request: &HttpRequest, path: Option<&str>) -> Result<Asked, AuthError> {
        let host = match *self.0 {
            Source::Host(_) => Host::of_request(request).ok(),
            _ => None,
        };
        self.asked(&Clues {
            host: host.as_ref(),
            path,
            headers: request.headers(),
            peer: request.peer_addr().map(|peer| peer.ip()),
        })
    }

    /// Whether a request's header of this name (in lower case) is to be left out, since it would say which tenant is asked about and nobody who is believed said it. An
    /// upstream that reads headers from an environment sees `x-tenant` and `x_tenant` as one, so all spellings but the one that was read go in any case.
    #[must_use]
    pub fn forbids(&self, header: &str, peer: Option<IpAddr>) -> bool {
        let Source::Header { name, trusted } = &*self.0 else {
            return false;
        };
        let is_it = header == name.as_str();
        (is_it || fold(header) == name.as_str()) && !(is_it && is_trusted(trusted, peer))
    }

    /// Takes away every header that [`Tenancy::forbids`].
    pub fn strip(&self, headers: &mut HeaderMap, peer: Option<IpAddr>) {
        if !matches!(*self.0, Source::Header { .. }) {
            return;
        }
        let forbidden: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.forbids(name.as_str(), peer))
            .cloned()
            .collect();
        for name in forbidden {
            headers.remove(name);
        }
    }
}

fn is_trusted(trusted: &TrustedProxies, peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| trusted.has(peer.to_canonical()))
}

impl Hosts {
    /// What stands before a name below which tenants have their hosts; more than one label is no tenant's name, and refused as such.
    fn label<'a>(&self, host: &'a str) -> Option<&'a str> {
        if self.nobodys.contains(host) {
            return None;
        }
        self.below.iter().find_map(|below| host.strip_suffix(below.as_str()))
    }
}

/// A header's name with every byte that is no letter or digit as `-`.
fn fold(name: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn by_host(host: &str) -> Result<Asked, AuthError> {
        let tenancy = Tenancy::host(
            ["example.com", "eu.example.com"],
            ["www.example.com", "ADMIN.Example.com."],
        )
        .unwrap();
        let host = Host::parse(host).ok();
        tenancy.asked(&Clues {
            host: host.as_ref(),
            path: Some("/globex/x"),
            headers: &HeaderMap::new(),
            peer: None,
        })
    }

    fn named(name: &str) -> Result<Asked, AuthError> {
        Ok(Asked::Named(TenantName::new(name).unwrap()))
    }

    #[test]
    fn the_label_before_the_name_is_the_tenant_in_whatever_spelling_the_host_came() {
        for host in [
            "acme.example.com",
            "ACME.example.com",
            "acme.example.com.",
            "acme.example.com:8443",
        ] {
            assert_eq!(by_host(host), named("acme"), "{host}");
        }
        assert_eq!(by_host("acme.eu.example.com"), named("acme"), "the longest name counts");
    }

    #[test]
    fn a_bare_host_and_one_that_is_nobodys_ask_about_no_tenant() {
        for host in [
            "example.com",
            "eu.example.com",
            "www.example.com",
            "admin.example.com",
            "example.org",
            "acmeexample.com",
            "acme.example.com.evil.org",
            "[::1]",
            "127.0.0.1",
        ] {
            assert_eq!(by_host(host), Ok(Asked::None), "{host}");
        }
    }

    #[test]
    fn a_host_that_could_be_two_tenants_or_none_is_malformed() {
        for host in [
            "a.b.example.com",
            "acme.www.example.com",
            "_acme.example.com",
            "-acme.example.com",
            "acme_x.example.com",
            "acme.example.com:80@evil",
            "acme..example.com",
        ] {
            assert!(matches!(by_host(host), Err(AuthError::BadTenant(_))), "{host}");
        }
    }

    fn by_header(peer: &str, headers: &[(&'static str, &'static str)]) -> Result<Asked, AuthError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        tenants_by_header().asked(&Clues {
            host: None,
            path: None,
            headers: &map,
            peer: peer.parse().ok(),
        })
    }

    fn tenants_by_header() -> Tenancy {
        Tenancy::header("X-Tenant", |peer| peer == IpAddr::from([10, 0, 0, 1])).unwrap()
    }

    #[test]
    fn a_header_counts_from_a_trusted_proxy_alone_and_only_where_there_is_one() {
        assert_eq!(by_header("10.0.0.1", &[("x-tenant", "acme")]), named("acme"));
        assert_eq!(by_header("::ffff:10.0.0.1", &[("x-tenant", "acme")]), named("acme"));
        assert_eq!(by_header("10.0.0.1", &[]), Ok(Asked::None));
        assert_eq!(by_header("10.0.0.1", &[("x_tenant", "acme")]), Ok(Asked::None));
        for stranger in ["10.0.0.2", "127.0.0.1", "::1", "none"] {
            assert_eq!(
                by_header(stranger, &[("x-tenant", "acme")]),
                Ok(Asked::None),
                "{stranger}"
            );
        }
        let bad = |values: &[(&'static str, &'static str)]| {
            matches!(by_header("10.0.0.1", values), Err(AuthError::BadTenant(_)))
        };
        assert!(bad(&[("x-tenant", "acme"), ("x-tenant", "acme")]));
        for value in ["", "ACME", "acme, other", "acme;other", "../acme", "*", " acme", "a_b"] {
            assert!(bad(&[("x-tenant", value)]), "{value:?}");
        }
    }

    #[test]
    fn what_nobody_is_believed_is_taken_away_in_every_spelling() {
        let tenancy = tenants_by_header();
        let left = |peer: [u8; 4]| {
            let mut headers = HeaderMap::new();
            for name in ["x-tenant", "x_tenant", "x.tenant", "x-tenants", "accept"] {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static("acme"));
            }
            tenancy.strip(&mut headers, Some(peer.into()));
            let mut left: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            left.sort();
            left
        };
        assert_eq!(left([10, 0, 0, 1]), ["accept", "x-tenant", "x-tenants"]);
        assert_eq!(left([10, 0, 0, 2]), ["accept", "x-tenants"]);
        for bad in [
            "",
            "X Tenant",
            "X_Tenant",
            "Cookie",
            "authorization",
            "Host",
            "X-Auth-Tenant",
        ] {
            assert!(Tenancy::header(bad, |_| true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_segment_of_the_path_is_counted_from_one_and_may_be_missing() {
        let by_path = |segment: usize, path: Option<&str>| {
            Tenancy::path(segment).unwrap().asked(&Clues {
                host: None,
                path,
                headers: &HeaderMap::new(),
                peer: None,
            })
        };
        assert_eq!(by_path(1, Some("/acme/orders")), named("acme"));
        assert_eq!(by_path(2, Some("/t/acme")), named("acme"));
        for short in ["/", "/t", "/t/"] {
            assert_eq!(by_path(2, Some(short)), Ok(Asked::None), "{short}");
        }
        assert_eq!(by_path(1, None), Ok(Asked::None), "a call of Bekci's own");
        for bad in ["/ACME/x", "/acme.x/y", "/%C3%A9/x", "/*/x"] {
            assert!(matches!(by_path(1, Some(bad)), Err(AuthError::BadTenant(_))), "{bad}");
        }
        assert_eq!(Tenancy::path(0).unwrap_err(), BadTenancy::Segment);
    }
}
