//! The hosts that routes are for.

use bekci::Host;

/// The hosts that a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum HostPattern {
    /// One host.
    Exact(Box<str>),
    /// `*.example.com`: every name below this one, at any depth; kept with its leading dot.
    Below(Box<str>),
    /// `*`.
    Any,
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let below = text.strip_prefix("*.");
        let host = Host::parse(below.unwrap_or(text)).ok()?;
        if host.port().is_some() || (below.is_some() && host.name().starts_with('[')) {
            return None;
        }
        Some(match below {
            Some(_) => Self::Below(format!(".{}", host.name()).into()),
            None => Self::Exact(host.name().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_is_one_host_all_below_a_name_or_all() {
        assert_eq!(HostPattern::parse("*"), Some(HostPattern::Any));
        assert_eq!(HostPattern::parse("*.A.b"), Some(HostPattern::Below(".a.b".into())));
        assert_eq!(HostPattern::parse("A.b"), Some(HostPattern::Exact("a.b".into())));
        for bad in ["", "*.", "*a.b", "a.*", "a.b:80", "*.[::1]"] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }
}
