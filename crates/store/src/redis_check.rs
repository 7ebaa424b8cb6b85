//! Whether Redis does what Bekci uses it for, found by doing it.

use std::{fmt, time::Duration};

#[cfg(feature = "redis")]
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisProblem {
    /// It does not answer, or not now.
    Silent(String),
    /// It answers, and refuses what Bekci needs: it is a replica, or the user or the server does not have the commands.
    Refuses {
        /// The commands, with the keys or channels.
        commands: String,
        /// What it answered.
        answer: String,
    },
}

impl fmt::Display for RedisProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => write!(formatter, "Redis does not answer: {why}"),
            Self::Refuses { commands, answer } => write!(formatter, "Redis refuses {commands}: {answer}"),
        }
    }
}

#[cfg(feature = "redis")]
impl RedisProblem {
    /// What an error says, of commands that were tried.
    pub(crate) fn of(commands: impl Into<String>, error: &RedisError) -> Self {
        let lasts = match error.kind() {
            ErrorKind::AuthenticationFailed => true,
            ErrorKind::Server(kind) => matches!(
                kind,
                ServerErrorKind::ResponseError
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::NoPerm
                    | ServerErrorKind::CrossSlot
            ),
            ErrorKind::Extension => !matches!(error.code(), Some("BUSY" | "OOM" | "MISCONF" | "NOREPLICAS")),
            _ => false,
        };
        match lasts {
            true => Self::Refuses {
                commands: commands.into(),
                answer: error.to_string(),
            },
            false => Self::Silent(error.to_string()),
        }
    }

    pub(crate) fn late() -> Self {
        Self::Silent("there is no answer in time".to_owned())
    }
}

/// What was found by trying everything that Redis is used for.
#[derive(Clone, Debug)]
pub struct RedisReport {
    /// How long it took.
    pub took: Duration,
    /// Why attempts cannot be counted, so that sign-in is closed, or identities cannot be shared.
    pub problem: Option<RedisProblem>,
    /// Why changes are not announced, so that nodes see them at their next poll.
    pub hints: Option<RedisProblem>,
}
