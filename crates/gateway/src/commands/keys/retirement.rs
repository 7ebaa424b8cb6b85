//! From when on no token of a key can be good.

use bekci_token::{KeyInfo, KeyStatus};
use time::{Duration, OffsetDateTime};

use super::activate_after;
use crate::config::Config;

/// How much later than the files say a node may have begun to sign with the next key: it looks once a second, and clocks differ.
const LATE: Duration = Duration::seconds(5);
/// How long tokens for upstreams live.
const INTERNAL: Duration = Duration::seconds(60);

/// When a key can be retired with no request refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retirement {
    /// It signs.
    NotYet,
    /// It has never signed.
    AtOnce,
    /// Its last token has run out from this moment on.
    From(OffsetDateTime),
}

impl Retirement {
    /// Of one of a guard's keys, which are in the order of their making.
    pub(super) fn of(config: &Config, keys: &[KeyInfo], index: usize) -> Self {
        let (Some(key), next) = (keys.get(index), keys.get(index + 1)) else {
            return Self::NotYet;
        };
        match (key.status, next) {
            (KeyStatus::Waits { .. }, _) => Self::AtOnce,
            (KeyStatus::Verifies, Some(next)) => {
                let section = config.guards.get(&key.guard);
                let lives = section.map_or(3_600, |guard| {
                    guard.access_ttl_seconds.get().max(guard.temporary_ttl_seconds.get())
                });
                let lives = Duration::seconds(i64::from(lives)).max(INTERNAL);
                let leeway = Duration::seconds(i64::from(config.token.leeway_seconds.get()));
                let last_signed = next.created.saturating_add(activate_after(config));
                Self::From(last_signed.saturating_add(lives + leeway + LATE))
            }
            (KeyStatus::Signs | KeyStatus::Verifies, _) => Self::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::GuardName;
    use bekci_token::KeyId;

    use super::*;
    use crate::config;

    fn key(kid: &str, created: i64, status: KeyStatus) -> KeyInfo {
        KeyInfo {
            kid: KeyId::parse(kid).unwrap(),
            guard: GuardName::new("customer").unwrap(),
            algorithm: None,
            created: OffsetDateTime::from_unix_timestamp(created).unwrap(),
            status,
        }
    }

    #[test]
    fn a_key_can_be_retired_when_the_last_token_that_it_signed_has_run_out() {
        let set = [
            ("BEKCI__GUARDS__CUSTOMER__ACCESS_TTL_SECONDS", "900"),
            ("BEKCI__TOKEN__ACTIVATE_AFTER_SECONDS", "60"),
            ("BEKCI__TOKEN__LEEWAY_SECONDS", "5"),
        ];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = config::load(Some("/dev/null".as_ref()), set.into_iter())
            .unwrap()
            .config;
        let until = OffsetDateTime::from_unix_timestamp(20_060).unwrap();
        let keys = [
            key("a", 0, KeyStatus::Verifies),
            key("b", 10_000, KeyStatus::Signs),
            key("c", 20_000, KeyStatus::Waits { until }),
        ];
        let of = |index| Retirement::of(&config, &keys, index);
        // b signs since 10060; a's last token was good for 900 s, 5 s of leeway, and 5 s for a node that was late.
        let moment = OffsetDateTime::from_unix_timestamp(10_060 + 900 + 5 + 5).unwrap();
        assert_eq!(of(0), Retirement::From(moment));
        assert_eq!(of(1), Retirement::NotYet);
        assert_eq!(of(2), Retirement::AtOnce);
    }
}
