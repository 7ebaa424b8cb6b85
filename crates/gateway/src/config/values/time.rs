//! Spans of time by their unit, and rates.

use std::time::Duration;

use bekci_core::{BadRate, Rate};

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

impl Parsed for Rate {
    const SYNTAX: Syntax = Syntax::of::<Self>("a rate: N/s, N/min, N/h or N/day, as 10/min")
        .matching("^[1-9][0-9]{0,5}/(s|sec|min|h|hour|day)$");

    fn parse(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|BadRate| Refusal::Malformed)
    }
}
