//! The words of a matcher, as far as its shape must be known.

/// One word of a matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// A name with its dots, or a number.
    Name(&'a str),
    /// What stands between double quotes.
    Text(&'a str),
    /// An operator or a bracket.
    Sign(&'a str),
}

const SIGNS: [&str; 6] = ["&&", "||", "==", "!=", "<=", ">="];

/// Splits a matcher into words.
pub(crate) fn scan(matcher: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut rest = matcher.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, len) = if is_name(first) {
            let len = rest.find(|c| !is_name(c) && c != '.').unwrap_or(rest.len());
            (Word::Name(rest.get(..len).unwrap_or_default()), len)
        } else if first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let len = inner.find('"').ok_or("a text in quotes does not end")?;
            let text = inner.get(..len).unwrap_or_default();
            if text.contains('\\') {
                return Err("a text in quotes has a backslash".to_owned());
            }
            (Word::Text(text), len + 2)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Word::Sign(sign), sign.len())
        } else if "()[],!+-*/%<>".contains(first) {
            (Word::Sign(rest.get(..1).unwrap_or_default()), 1)
        } else {
            return Err(format!("{first:?} may not stand in a matcher"));
        };
        words.push(word);
        rest = rest.get(len..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// One call of a function: its name, and the words of each argument.
pub(crate) struct Call<'w, 'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<&'w [Word<'a>]>,
}

/// The calls in a matcher, outer and inner ones.
pub(crate) fn calls<'w, 'a>(words: &'w [Word<'a>]) -> Vec<Call<'w, 'a>> {
    let mut found = Vec::new();
    for (at, pair) in words.windows(2).enumerate() {
        if let [Word::Name(name), Word::Sign("(")] = pair
            && *name != "in"
        {
            found.push(Call {
                name,
                arguments: arguments(words.get(at + 2..).unwrap_or_default()),
            });
        }
    }
    found
}

fn arguments<'w, 'a>(words: &'w [Word<'a>]) -> Vec<&'w [Word<'a>]> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, word) in words.iter().enumerate() {
        let ends = match word {
            Word::Sign("(" | "[") => {
                depth += 1;
                false
            }
            Word::Sign(")" | "]") if depth == 0 => {
                found.push(words.get(start..at).unwrap_or_default());
                return found;
            }
            Word::Sign(")" | "]") => {
                depth -= 1;
                false
            }
            Word::Sign(",") => depth == 0,
            _ => false,
        };
        if ends {
            found.push(words.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_splits_into_its_words() {
        let words = scan(r#"p.sub in r.sub&&(p.act=="*"|| !f(r.act, "^(" + p.act))"#).unwrap();
        assert_eq!(words.len(), 19);
        let calls = calls(&words);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].name, "f");
        assert_eq!(calls[0].arguments[0], [Word::Name("r.act")]);
        assert_eq!(
            calls[0].arguments[1],
            [Word::Text("^("), Word::Sign("+"), Word::Name("p.act")]
        );
        for bad in ["`x`", "\"x", "r.sub ; 1", "'a'", "r.ü"] {
            assert!(scan(bad).is_err(), "{bad}");
        }
    }
}
