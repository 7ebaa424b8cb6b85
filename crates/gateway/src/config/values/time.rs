//! Spans of time by their unit, and rates.

use std::time::Duration;

use super::Parsed;
use crate::config::schema::{Kind, Refusal, Setting, Syntax, number, range};
use crate::config::tree::Node;

macro_rules! span {
    ($(#[doc = $about:literal])+ $name:ident: $unit:literal milliseconds) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl $name {
            /// The number as it was written.
            pub(crate) fn get(self) -> u32 {
                self.0
            }

            /// The span of time.
            pub(crate) fn duration(self) -> Duration {
                Duration::from_millis(u64::from(self.0) * $unit)
            }

            /// The span of time, or nothing where 0 was written.
            pub(crate) fn unless_zero(self) -> Option<Duration> {
                (self.0 != 0).then(|| self.duration())
            }
        }

        impl Setting for $name {
            const KIND: Kind = range(0, u32::MAX as i64);

            fn read(node: &Node) -> Option<Self> {
                number(node).map(Self)
            }
        }
    };
}

span! {
    /// Milliseconds.
    Millis: 1 milliseconds
}
span! {
    /// Seconds.
    Seconds: 1_000 milliseconds
}
span! {
    /// Hours.
    Hours: 3_600_000 milliseconds
}
span! {
    /// Days.
    Days: 86_400_000 milliseconds
}

/// So many in so much time, as `10/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many, 1 at least.
    pub(crate) count: u32,
    /// In how much time.
    pub(crate) period: Duration,
}

impl Parsed for Rate {
    const SYNTAX: Syntax = Syntax::of::<Self>("a rate: N/sec, N/min, N/hour or N/day, as 10/min")
        .matching("^[1-9][0-9]{0,5}/(sec|min|hour|day)$");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let (count, unit) = text.split_once('/').ok_or(Refusal::Malformed)?;
        let seconds = match unit {
            "sec" => 1,
            "min" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return Err(Refusal::Malformed),
        };
        let is_plain = count.len() <= 6 && !count.starts_with('0') && count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse().ok().filter(|_| is_plain).ok_or(Refusal::Malformed)?;
        Ok(Self {
            count,
            period: Duration::from_secs(seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_unit() {
        assert_eq!(
            Rate::parse("10/min"),
            Ok(Rate {
                count: 10,
                period: Duration::from_secs(60)
            })
        );
        assert_eq!(
            Rate::parse("1/day"),
            Ok(Rate {
                count: 1,
                period: Duration::from_secs(86_400)
            })
        );
        for bad in [
            "",
            "10",
            "/min",
            "0/min",
            "01/min",
            "+1/min",
            "-1/min",
            "10/minute",
            "10 / min",
            "1/min/min",
            "9999999/sec",
        ] {
            assert_eq!(Rate::parse(bad), Err(Refusal::Malformed), "{bad}");
        }
    }
}
