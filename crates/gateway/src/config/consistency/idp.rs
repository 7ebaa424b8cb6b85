//! `[idp.<name>]`: what an issuer may be, and where a provider can be used.

use super::Findings;
use crate::config::{
    sections::{Config, guard::Way},
    values::url::Parts,
};

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    let calls = bekci::call_names();
    for (name, idp) in &config.idp {
        let name = name.as_str();
        if calls.iter().any(|call| call.split('/').next() == Some(name)) {
            findings.add(&["idp", name], "has the name of one of the guards' own calls");
        }
        let issuer = Parts::of(idp.issuer.as_str());
        let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if issuer.is_some_and(|issuer| issuer.scheme == "http" && !is_here(issuer.host)) {
            let message = "is reached without TLS on another machine; use https";
            findings.add(&["idp", name, "issuer"], message);
        }
    }
    for (name, guard) in &config.guards {
        let by_provider = guard.sign_in.iter().any(|way| matches!(way, Way::Idp(_)));
        if by_provider && guard.provider.as_str() != "database" {
            let message = "names an identity provider, which needs accounts in the database";
            findings.add(&["guards", name.as_str(), "sign_in"], message);
        }
    }
}
