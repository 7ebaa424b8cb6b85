//! Policies as text: one line each, values between commas.
//!
//! 1. An empty line, and one whose first character is `#`, says nothing.
//! 2. Blanks round a value do not count. A value with a comma, a quote or such blanks stands between double quotes, a quote within doubled (RFC 4180 section 2).
//! 3. A value never goes on in the next line, and has no control characters: so that nothing that is stored can become a second line.

use bekci_core::PolicyLine;

use crate::error::PolicyError;

/// A line of a policy, and where in a text it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedLine {
    /// The number of its line, from 1.
    pub number: usize,
    /// The line.
    pub line: PolicyLine,
}

/// Reads a policy from text.
///
/// # Errors
/// [`PolicyError::Line`] for the first line that breaks the rules in the module's documentation or names no kind.
pub fn parse_csv(text: &str) -> Result<Vec<NumberedLine>, PolicyError> {
    let mut lines = Vec::new();
    for (at, raw) in text.lines().enumerate() {
        let raw = raw.trim();
        if raw.is_empty() || raw.starts_with('#') {
            continue;
        }
        let refused = |reason: &str| PolicyError::text(at + 1, raw, reason);
        let mut values = split(raw).map_err(refused)?.into_iter();
        let kind = values
            .next()
            .filter(|kind| is_kind(kind))
            .ok_or_else(|| refused("it does not begin with p, g, or one of them and a number"))?;
        lines.push(NumberedLine {
            number: at + 1,
            line: PolicyLine {
                kind,
                values: values.collect(),
            },
        });
    }
    Ok(lines)
}

/// `p`, `g`, `p2`, `g2` and so on.
pub(crate) fn is_kind(text: &str) -> bool {
    text.strip_prefix(['p', 'g'])
        .is_some_and(|number| number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn split(raw: &str) -> Result<Vec<String>, &'static str> {
    if raw.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    let mut values = Vec::new();
    let mut rest = raw;
    loop {
        let (value, after) = next_value(rest.trim_start())?;
        values.push(value);
        match after.trim_start().strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(values),
        }
    }
}

fn next_value(rest: &str) -> Result<(String, &str), &'static str> {
    let Some(mut quoted) = rest.strip_prefix('"') else {
        let (value, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
        return if value.contains('"') {
            Err("a quote stands within a value that is not quoted")
        } else {
            Ok((value.trim_end().to_owned(), after))
        };
    };
    let mut value = String::new();
    loop {
        let (before, after) = quoted.split_once('"').ok_or("a quoted value does not end")?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                quoted = more;
            }
            None if after.is_empty() || after.trim_start().starts_with(',') => return Ok((value, after)),
            None => return Err("something follows a quoted value"),
        }
    }
}

/// Prints lines so that [`parse_csv`] reads them back.
///
/// # Errors
/// [`PolicyError::Line`] for a line that no text can stand for: a control character, or no kind.
pub fn print_csv<'a>(lines: impl IntoIterator<Item = &'a PolicyLine>) -> Result<String, PolicyError> {
    let mut text = String::new();
    for (at, line) in lines.into_iter().enumerate() {
        if !is_kind(&line.kind) || line.values.iter().any(|value| value.chars().any(char::is_control)) {
            return Err(PolicyError::line(at + 1, line, "it cannot be printed as one line"));
        }
        text.push_str(&print_line(&line.kind, &line.values));
        text.push('\n');
    }
    Ok(text)
}

pub(crate) fn print_line(kind: &str, values: &[String]) -> String {
    let mut text = kind.to_owned();
    for value in values {
        let plain = !value.contains(['"', ',']) && value.trim() == value;
        text.push_str(", ");
        if plain {
            text.push_str(value);
        } else {
            text.push_str(&format!("\"{}\"", value.replace('"', "\"\"")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, values: &[&str]) -> PolicyLine {
        PolicyLine {
            kind: kind.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn lines_keep_their_numbers_and_comments_say_nothing() {
        let read = parse_csv("# seed\n\np, a, , \"x, y\" , \"q\"\"q\"\r\n  # more\ng2, a,b\n").unwrap();
        assert_eq!(read[0].number, 3);
        assert_eq!(read[0].line, line("p", &["a", "", "x, y", "q\"q"]));
        assert_eq!(read[1].number, 5);
        assert_eq!(read[1].line, line("g2", &["a", "b"]));
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        for (text, number) in [
            ("p, a\nq, b", 2),
            ("p, \"a", 1),
            ("\n\np, a\"b", 3),
            ("p, \"a\" b", 1),
            ("p, a\u{0}", 1),
            ("p, a\rg, b", 1),
            (", a", 1),
            ("px, a", 1),
        ] {
            let error = parse_csv(text).unwrap_err();
            assert!(
                matches!(error, PolicyError::Line { line, .. } if line == number),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn what_is_printed_reads_back_and_never_becomes_a_second_line() {
        let odd = [
            "", " ", "a, b", "\"", "\"\"", "#", " a", "a{1,2}", "ü", "\\", ",", "',\"",
        ];
        let lines: Vec<PolicyLine> = odd
            .iter()
            .flat_map(|first| odd.iter().map(|second| line("p", &[first, second])))
            .collect();
        let text = print_csv(&lines).unwrap();
        let read: Vec<PolicyLine> = parse_csv(&text).unwrap().into_iter().map(|line| line.line).collect();
        assert_eq!(read, lines);
        let injected = line("p", &["a, b\np, principal:customer:1, *, /**, *, allow"]);
        assert!(print_csv([&injected]).is_err());
    }
}
