//! What is wrong with a configuration, and where it was written.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file; line and column count from 1, the column in characters.
    File {
        /// The file as it was named.
        file: Arc<str>,
        /// The line, from 1.
        line: u32,
        /// The character in the line, from 1.
        column: u32,
    },
    /// In an environment variable of this name.
    Variable(Arc<str>),
    /// Nowhere: it is a default.
    BuiltIn,
}

impl Place {
    /// Whether somebody wrote the value, in the file or in the environment.
    pub(crate) fn is_given(&self) -> bool {
        !matches!(self, Self::BuiltIn)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(out, "{file}:{line}:{column}"),
            Self::Variable(name) => out.write_str(&printable(name)),
            Self::BuiltIn => out.write_str("built-in defaults"),
        }
    }
}

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problem {
    /// Where it was written.
    pub(crate) place: Place,
    /// The dotted key, as `guards.customer.audience`; empty where the file could not be read at all.
    pub(crate) key: String,
    /// What is wrong, and where it helps what to write instead. Never holds the value of a secret.
    pub(crate) message: String,
}

impl Problem {
    /// The file, where the mistake is in one.
    pub(crate) fn file(&self) -> Option<&str> {
        match &self.place {
            Place::File { file, .. } => Some(file),
            Place::Variable(_) | Place::BuiltIn => None,
        }
    }

    /// Line and column, each from 1, where the mistake is in a file.
    pub(crate) fn line_and_column(&self) -> Option<(u32, u32)> {
        match self.place {
            Place::File { line, column, .. } => Some((line, column)),
            Place::Variable(_) | Place::BuiltIn => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", printable(&self.key))?;
        }
        out.write_str(&printable(&self.message))
    }
}

/// The text with control characters escaped, so that no key or value can forge a line of the terminal or the log.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let (plain, escaped) = if c.is_control() {
                (None, Some(c.escape_default()))
            } else {
                (Some(c), None)
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Adds a mistake.
    pub(crate) fn add(&mut self, place: Place, key: &str, message: impl Into<String>) {
        self.found.push(Problem {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Adds a mistake that follows from the values of several keys, unless this key, something in it or something around
    /// it has been refused already: what stands there then is a default, and the finding would mislead.
    pub(crate) fn add_consequence(&mut self, place: Place, key: &str, message: impl Into<String>) {
        let is_known = |other: &Problem| is_within(key, &other.key) || is_within(&other.key, key);
        if !self.found.iter().any(is_known) {
            self.add(place, key, message);
        }
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes in the order in which a reader meets them: the file from its top, then the environment.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| match &problem.place {
            Place::File { line, column, .. } => (0, *line, *column, String::new()),
            Place::Variable(name) => (1, 0, 0, name.to_string()),
            Place::BuiltIn => (2, 0, 0, String::new()),
        });
        self.found.dedup();
        self.found
    }
}

/// Whether `inner` is `outer` or a key below it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_key_are_escaped_in_the_message() {
        let problem = Problem {
            place: Place::BuiltIn,
            key: "a\nb".to_owned(),
            message: "has \u{1b}[31m".to_owned(),
        };
        assert_eq!(problem.to_string(), "built-in defaults: a\\nb: has \\u{1b}[31m");
    }

    #[test]
    fn a_consequence_of_a_refused_key_is_not_told_again() {
        let mut problems = Problems::default();
        problems.add(Place::BuiltIn, "routes.shop.guards[0]", "is no guard's name");
        problems.add_consequence(Place::BuiltIn, "routes.shop.guards", "names no guard");
        problems.add_consequence(Place::BuiltIn, "routes.shopping.guards", "names no guard");
        let keys: Vec<_> = problems.into_sorted().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["routes.shop.guards[0]", "routes.shopping.guards"]);
    }
}
