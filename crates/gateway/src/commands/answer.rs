//! What commands answer, and what they fail with.

use std::{io::Write, process::ExitCode};

use bekci_core::{ErrorCode, signin::StoreError};
use bekci_store::{Committed, DirectoryError};
use clap::ValueEnum;
use serde_json::json;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON value.
    Json,
}

/// What a command failed with, for people; with the code of the contract where there is one.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Option<ErrorCode>,
    message: String,
    /// Whether the command was called in a way that cannot be: 2 then, and not 1.
    is_usage: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(formatter, "{}: {}", code.as_str(), self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl Failure {
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self {
            code: None,
            message: error.to_string(),
            is_usage: false,
        }
    }

    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// It was called in a way that cannot be.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self {
            is_usage: true,
            ..Self::of(message)
        }
    }

    pub(crate) fn coded(code: ErrorCode, message: impl std::fmt::Display) -> Self {
        Self {
            code: Some(code),
            ..Self::of(message)
        }
    }

    /// The same, with what comes before it: a place, or what was done.
    pub(crate) fn after(mut self, place: impl std::fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub(crate) fn not_found(message: impl std::fmt::Display) -> Self {
        Self::coded(ErrorCode::NotFound, message)
    }

    pub(crate) fn invalid(message: impl std::fmt::Display) -> Self {
        Self::coded(ErrorCode::ValidationFailed, message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Refused(_) => ErrorCode::ValidationFailed,
            StoreError::NamedByPolicy { .. } => ErrorCode::Conflict,
            StoreError::MissingRight(_) => ErrorCode::Forbidden,
            StoreError::Unavailable(_) | StoreError::CommitUnknown(_) | StoreError::Pending { .. } => {
                ErrorCode::StoreUnavailable
            }
        };
        let advice = match &error {
            StoreError::CommitUnknown(_) => "; run it again, which is safe",
            StoreError::Pending { .. } => "; run it again to wait for every node",
            StoreError::Refused(_) | StoreError::Unavailable(_) | StoreError::MissingRight(_) => "",
            StoreError::NamedByPolicy { .. } => "; `bekci policy remove` takes a line out",
        };
        // The store says who refuses, for those who read it among a driver's errors; here it is the command that says so.
        let told = error.to_string();
        let told = told.strip_prefix("bekci: ").unwrap_or(&told);
        Self::coded(code, format!("{told}{advice}"))
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Gone => Self::not_found(error),
            DirectoryError::Taken | DirectoryError::InUse => Self::coded(ErrorCode::Conflict, error),
            DirectoryError::Value(_) => Self::invalid(error),
            DirectoryError::Store(error) => error.into(),
        }
    }
}

/// Nothing, where every node decides by the change; only then has a command done its work.
pub(crate) fn in_force(committed: &Committed) -> Result<(), Failure> {
    committed.confirmed().map_err(|error| StoreError::from(error).into())
}

/// What a command answers, in both forms.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: serde_json::Value,
    /// Whether what it was asked about is refused: told as an answer, and the exit code is 1.
    refused: bool,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, json: serde_json::Value) -> Self {
        Self {
            text: text.into(),
            json,
            refused: false,
        }
    }

    pub(crate) fn refused_if(mut self, refused: bool) -> Self {
        self.refused = refused;
        self
    }

    /// Writes it, and gives the exit code.
    pub(super) fn tell(&self, output: Output) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let written = match output {
            Output::Text => writeln!(out, "{}", harmless(self.text.trim_end())),
            Output::Json => writeln!(out, "{}", self.json),
        };
        if written.is_ok() && !self.refused {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Failure {
    /// Writes it for people to standard error, and for machines to standard output, where they look.
    pub(super) fn tell(&self, output: Output) -> ExitCode {
        let _written = writeln!(std::io::stderr().lock(), "bekci: {}", harmless(&self.to_string()));
        if output == Output::Json {
            let code = self.code.map(ErrorCode::as_str);
            let json = json!({"error": {"code": code, "message": self.message}});
            let _written = writeln!(std::io::stdout().lock(), "{json}");
        }
        if self.is_usage {
            ExitCode::from(2)
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Tells machines on standard output that they use the command line wrongly; people have read it on standard error.
pub(super) fn tell_usage(error: &clap::Error) {
    let told = error.to_string();
    let told = told.lines().next().unwrap_or_default();
    let json = json!({"error": {"code": null, "message": told.strip_prefix("error: ").unwrap_or(told)}});
    let _written = writeln!(std::io::stdout().lock(), "{json}");
}

/// Terminals obey some characters, and others turn the writing round: what a stranger wrote into a name must do neither.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let turns =
            matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if (letter.is_control() && letter != '\n') || turns {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// What a stranger wrote, in one line: it cannot pass for a line of ours.
pub(crate) fn one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// Columns under their names, as wide as they must be. A cell is one line, whatever it holds.
pub(crate) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    let cells: Vec<[String; N]> = std::iter::once(names.map(str::to_owned))
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))))
        .collect();
    let mut widths = [0; N];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &cells {
        let padded = widths.iter().zip(row).map(|(width, cell)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names with commas between them, or a dash for none.
pub(crate) fn listed<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_neither_moves_the_cursor_nor_turns_the_writing() {
        assert_eq!(harmless("Ayşe\u{1b}[2J\u{202e}\r"), "Ayşe\\u{1b}[2J\\u{202e}\\u{d}");
    }

    #[test]
    fn a_cell_cannot_begin_a_line_of_its_own() {
        let rows = [["customer:1".to_owned(), "Ann\nadmin:1".to_owned()]];
        assert_eq!(
            table(["key", "name"], &rows),
            "key         name\ncustomer:1  Ann\\nadmin:1\n"
        );
    }
}
