//! The keys by which changes are named in the outbox and in the table of versions.

use std::fmt;

use bekci_core::{GuardName, PrincipalKey, TenantName};

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKey {
    /// An identity: `customer:42`.
    Principal(PrincipalKey),
    /// What roles permit: `@roles:admin`, or `@roles:admin@acme` for a tenant's own roles.
    Roles(GuardName, Option<TenantName>),
    /// The policies: `@policies`.
    Policies,
    /// Everything: `@all`. Its version is the epoch of every entry.
    All,
}

impl ChangeKey {
    /// Reads a key as a trigger wrote it. What cannot be read is taken for [`ChangeKey::All`]: dropping too much is safe.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::All)
    }

    /// The same with the version that it was given. A key that cannot be read has none that says anything of [`ChangeKey::All`]: 0.
    pub(crate) fn numbered(text: &str, version: u64) -> (Self, u64) {
        match Self::parse(text) {
            Some(key) => (key, version),
            None => (Self::All, 0),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "@all" {
            return Some(Self::All);
        }
        if text == "@policies" {
            return Some(Self::Policies);
        }
        if let Some(rest) = text.strip_prefix("@roles:") {
            return match rest.split_once('@') {
                Some((guard, tenant)) => Some(Self::Roles(
                    GuardName::new(guard).ok()?,
                    Some(TenantName::new(tenant).ok()?),
                )),
                None => Some(Self::Roles(GuardName::new(rest).ok()?, None)),
            };
        }
        PrincipalKey::parse(text).ok().map(Self::Principal)
    }
}

impl fmt::Display for ChangeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(key) => fmt::Display::fmt(key, formatter),
            Self::Roles(guard, None) => write!(formatter, "@roles:{guard}"),
            Self::Roles(guard, Some(tenant)) => write!(formatter, "@roles:{guard}@{tenant}"),
            Self::Policies => formatter.write_str("@policies"),
            Self::All => formatter.write_str("@all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_what_cannot_be_read_means_everything() {
        for text in ["customer:42", "@roles:admin", "@roles:admin@acme", "@policies", "@all"] {
            assert_eq!(ChangeKey::read(text).to_string(), text);
        }
        for odd in ["", "customer", "@roles:", "@roles:a@B", "customer:4 2"] {
            assert_eq!(ChangeKey::read(odd), ChangeKey::All, "{odd:?}");
        }
    }
}
