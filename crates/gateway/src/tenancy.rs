//! `[tenancy]`: where the gateway looks for the tenant that a request asks about.
//!
//! By host, the tenants' hosts are those of the routes' wildcards: with `*.example.com` anywhere among them, `acme.example.com` asks about `acme`, whichever route it
//! takes. A host that some route names in full, and that of `server.public_url`, is nobody's.

use bekci::{BadTenancy, Tenancy};

use crate::config::types::{Config, HostPattern, TenantSource};

/// What of routes and source a tenancy is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantsFrom {
    source: TenantSource,
    /// The routes' hosts, where they count.
    hosts: Vec<HostPattern>,
}

impl TenantsFrom {
    pub(crate) fn of(config: &Config) -> Self {
        let source = config.tenancy.source.clone();
        let hosts = match source {
            TenantSource::Host => config.routes.iter().flat_map(|route| &route.hosts).cloned().collect(),
            TenantSource::None | TenantSource::Header(_) | TenantSource::Path(_) | TenantSource::Claim => Vec::new(),
        };
        Self { source, hosts }
    }
}

/// The tenancy of a configuration.
///
/// # Errors
/// [`BadTenancy`].
pub(crate) fn of(config: &Config) -> Result<Tenancy, BadTenancy> {
    match &config.tenancy.source {
        TenantSource::None => Ok(Tenancy::none()),
        TenantSource::Claim => Ok(Tenancy::claim()),
        TenantSource::Path(segment) => Tenancy::path(usize::from(*segment)),
        TenantSource::Header(name) => {
            let server = config.server.clone();
            Tenancy::header(name.as_str(), move |peer| server.trusts(peer))
        }
        TenantSource::Host => {
            let hosts = || config.routes.iter().flat_map(|route| &route.hosts);
            let below = hosts().filter_map(|host| match host {
                HostPattern::Below(names) => Some(names.trim_start_matches('.')),
                HostPattern::Any | HostPattern::Exact(_) => None,
            });
            let in_full = hosts().filter_map(|host| match host {
                HostPattern::Exact(name) => Some(name.as_str()),
                HostPattern::Any | HostPattern::Below(_) => None,
            });
            Tenancy::host(below, in_full.chain([config.server.public_url.host()]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::loaded;

    #[test]
    fn a_change_of_routes_is_one_of_tenants_where_their_hosts_name_them_alone() {
        let of = |source: &str, host: &str| {
            let text = format!(
                "[server]\ntrusted_proxies = ['10.0.0.1']\n[tenancy]\nsource = '{source}'\n[[routes]]\nid = 'a'\npaths = ['/**']\nhosts = ['{host}']\npublic = true\n"
            );
            TenantsFrom::of(&loaded(&text))
        };
        assert_ne!(of("host", "*.a.test"), of("host", "*.b.test"));
        for other in ["header:X-Tenant", "claim", "path:1"] {
            assert_eq!(of(other, "*.a.test"), of(other, "*.b.test"), "{other}");
        }
        assert_ne!(of("path:1", "*.a.test"), of("path:2", "*.a.test"));
    }
}
