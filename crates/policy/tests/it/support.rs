//! A policy in two lines, a question in one.

use std::sync::Arc;

use bekci_core::{AccessRequest, Authorizer, GuardName, PolicyLine, PrincipalKey, TenantName, Verdict};
use bekci_policy::{CasbinPolicy, PolicyError, PolicyModel, compile_text, parse_csv};

pub(crate) const MODEL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/casbin_model.conf"));
pub(crate) const SEED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/casbin_policy.csv"));

pub(crate) fn model() -> PolicyModel {
    PolicyModel::parse(MODEL).unwrap()
}

pub(crate) fn try_policy(csv: &str) -> Result<Arc<CasbinPolicy>, PolicyError> {
    compile_text(&model(), &parse_csv(csv)?)
}

pub(crate) fn policy(csv: &str) -> Arc<CasbinPolicy> {
    try_policy(csv).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn line(kind: &str, values: &[&str]) -> PolicyLine {
    PolicyLine {
        kind: kind.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// Who asks: key, guard, roles, tenant (none if empty).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a>(
    pub(crate) &'a str,
    pub(crate) &'a str,
    pub(crate) &'a [&'a str],
    pub(crate) &'a str,
);

pub(crate) const BUYER: Who<'static> = Who("customer:42", "customer", &["buyer"], "");

pub(crate) fn verdict(policy: &CasbinPolicy, who: Who<'_>, action: &str, object: &str) -> Verdict {
    let (principal, guard) = (PrincipalKey::parse(who.0).unwrap(), GuardName::new(who.1).unwrap());
    let tenant = (!who.3.is_empty()).then(|| TenantName::new(who.3).unwrap());
    policy.decide(&AccessRequest {
        principal: &principal,
        guard: &guard,
        roles: who.2,
        tenant: tenant.as_ref(),
        object,
        action,
    })
}

pub(crate) fn allows(policy: &CasbinPolicy, who: Who<'_>, action: &str, object: &str) -> bool {
    matches!(verdict(policy, who, action, object), Verdict::Allow { .. })
}

pub(crate) fn reason(policy: &CasbinPolicy, who: Who<'_>, action: &str, object: &str) -> String {
    match verdict(policy, who, action, object) {
        Verdict::Allow { reason } | Verdict::Deny { reason } => reason.to_string(),
    }
}

/// Numbers that look random and are the same each time (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % end
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap()
    }
}
