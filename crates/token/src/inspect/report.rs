//! What a look at a token found.

use std::fmt::{self, Write};

use bekci_core::{GuardName, TokenFault};
use serde::Serialize;
use serde_json::Value;

/// One check, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// What was looked at.
    pub check: &'static str,
    /// Whether it is as it must be.
    pub passed: bool,
    /// What is wrong, and what it would have to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a token holds, and why it is accepted or refused. The signature is not in it, so that it can be shown; prints as text, serialises as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// Whether it passed every check.
    pub accepted: bool,
    /// The guard whose key its `kid` names.
    pub guard: Option<GuardName>,
    /// Its kind, by its `typ`.
    pub typ: Option<&'static str>,
    /// Its `kid`.
    pub kid: Option<String>,
    /// The header, as far as it can be read. Not believed.
    pub header: Option<Value>,
    /// The claims, as far as they can be read. Not believed.
    pub claims: Option<Value>,
    /// The checks, in the order in which verifying asks them. What could not be asked is missing, and then the last one says why.
    pub checks: Vec<CheckLine>,
}

impl Inspection {
    /// Notes a check, and hands on what it gave.
    pub(super) fn keep<T>(&mut self, check: &'static str, result: Result<T, TokenFault>) -> Option<T> {
        self.checks.push(CheckLine {
            check,
            passed: result.is_ok(),
            reason: result.as_ref().err().map(ToString::to_string),
        });
        result.ok()
    }

    /// Notes a check; where it failed, with what would have passed.
    pub(super) fn ask(
        &mut self,
        check: &'static str,
        result: Result<(), TokenFault>,
        expected: impl FnOnce() -> String,
    ) {
        let reason = result.err().map(|fault| format!("{fault}; {}", expected()));
        self.checks.push(CheckLine {
            check,
            passed: reason.is_none(),
            reason,
        });
    }

    pub(super) fn conclude(mut self) -> Self {
        self.accepted = !self.checks.is_empty() && self.checks.iter().all(|line| line.passed);
        self
    }
}

/// Terminals obey some characters, and others turn the writing round: what a stranger wrote is shown in ASCII.
fn in_ascii(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            ' '..='~' | '\n' => formatter.write_char(character)?,
            _ => write!(formatter, "\\u{{{:x}}}", u32::from(character))?,
        }
    }
    Ok(())
}

impl fmt::Display for Inspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", if self.accepted { "accepted" } else { "refused" })?;
        if let Some(guard) = &self.guard {
            writeln!(formatter, "guard {guard}")?;
        }
        for (name, value) in [("header", &self.header), ("claims", &self.claims)] {
            if let Some(value) = value {
                write!(formatter, "{name} ")?;
                in_ascii(formatter, &format!("{value:#}"))?;
                writeln!(formatter)?;
            }
        }
        for line in &self.checks {
            write!(
                formatter,
                "{} {}",
                if line.passed { "ok  " } else { "FAIL" },
                line.check
            )?;
            if let Some(reason) = &line.reason {
                formatter.write_str(": ")?;
                in_ascii(formatter, reason)?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
