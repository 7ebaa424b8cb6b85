//! What can be wrong with a model, a line, an evaluation or a file of expected decisions.

use bekci_core::PolicyLine;

/// A policy that is refused, or that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The model is wrong. Lines are counted from 1.
    #[error("model, line {line}: {reason}")]
    Model {
        /// The line of the model's text; of a continued value, its first.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of the policy is wrong.
    #[error("policy, line {line} ({text}): {reason}")]
    Line {
        /// Its number from 1: in the text where one was read, else among the lines that were given.
        line: usize,
        /// The line, escaped and shortened.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The question could not be decided. Who asks must take it for a denial.
    #[error("the policy cannot be evaluated: {0}")]
    Evaluation(String),
    /// A file of expected decisions is wrong.
    #[error("decisions, line {line}: {reason}")]
    Decisions {
        /// The line of the file, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl PolicyError {
    #[cfg(feature = "casbin")]
    pub(crate) fn model(line: usize, reason: impl Into<String>) -> Self {
        Self::Model {
            line,
            reason: reason.into(),
        }
    }

    pub(crate) fn line(line: usize, given: &PolicyLine, reason: impl Into<String>) -> Self {
        let whole = std::iter::once(&given.kind)
            .chain(&given.values)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        Self::text(line, &whole, reason)
    }

    /// A wrong line of which only the text is known.
    pub(crate) fn text(line: usize, whole: &str, reason: impl Into<String>) -> Self {
        let short: String = whole.chars().take(120).collect();
        Self::Line {
            line,
            text: short.escape_debug().to_string(),
            reason: reason.into(),
        }
    }
}
