//! What a look found, and the report of all looks.

use serde_json::{Value, json};

use super::super::Answer;

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// The gateway works, and somebody should know.
    Warning,
    Failed,
    /// It could not be looked at.
    Skipped,
}

/// What one look found.
#[derive(Debug)]
pub(super) struct Finding {
    check: &'static str,
    state: State,
    found: String,
    advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl std::fmt::Display) -> Self {
        Self {
            check,
            state: State::Ok,
            found: found.to_string(),
            advice: None,
        }
    }

    pub(super) fn skipped(check: &'static str, why: &str) -> Self {
        Self {
            check,
            state: State::Skipped,
            found: format!("not looked at: {why}"),
            advice: None,
        }
    }

    pub(super) fn warning(check: &'static str, found: impl std::fmt::Display, advice: &str) -> Self {
        Self {
            check,
            state: State::Warning,
            found: found.to_string(),
            advice: Some(advice.to_owned()),
        }
    }

    pub(super) fn failed(check: &'static str, found: impl std::fmt::Display, advice: &str) -> Self {
        Self {
            state: State::Failed,
            ..Self::warning(check, found, advice)
        }
    }
}

impl State {
    /// The word for machines, and the mark for people.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("ok", "ok     "),
            Self::Warning => ("warning", "warning"),
            Self::Failed => ("failed", "FAILED "),
            Self::Skipped => ("skipped", "-      "),
        }
    }
}

/// All findings, in the order in which they were looked at.
pub(super) fn report(findings: Vec<Finding>) -> Answer {
    let failed = findings.iter().filter(|finding| finding.state == State::Failed).count();
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for finding in &findings {
        let (_, mark) = finding.state.words();
        text.push_str(&format!("{mark}  {:<width$}  {}\n", finding.check, finding.found));
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("         {:<width$}  -> {advice}\n", ""));
        }
    }
    text.push_str(&match failed {
        0 => "nothing is wrong".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        count => format!("{count} things are wrong"),
    });
    let checks: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let (state, _) = finding.state.words();
            json!({"check": finding.check, "state": state, "found": finding.found, "advice": finding.advice})
        })
        .collect();
    Answer::new(text, json!({"ok": failed == 0, "checks": checks})).refused_if(failed > 0)
}
