//! The links of a matcher that are comparisons alone, which need no interpreter.

use crate::{
    functions::Matching,
    scan::{Word, calls},
    shape::{PatternColumn, Reader},
};

/// What of the question a column is compared with. Its subjects are a list, and stand in a link of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Tenant,
    Object,
    Action,
}

/// One comparison.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// `p.<column> == r.<name>`.
    With(usize, Asked),
    /// `p.<column> == "text"`.
    Text(usize, String),
    /// `f(r.<name>, p.<column>)`.
    Pattern(PatternColumn, Asked),
}

/// Any of these.
pub(crate) type Link = Vec<Comparison>;

impl Reader<'_, '_> {
    /// The links of the chain but for the subject's; `None` where one is anything else than comparisons, alone or in brackets joined by `||`.
    pub(crate) fn comparisons(&self) -> Option<Vec<Link>> {
        let links = self.links().ok()?;
        let others = links.into_iter().filter(|link| self.subject_of(link).is_none());
        others.map(|link| self.link(link)).collect()
    }

    fn link(&self, words: &[Word<'_>]) -> Option<Link> {
        let [Word::Sign("("), inner @ .., Word::Sign(")")] = words else {
            return Some(vec![self.comparison(words)?]);
        };
        let mut depth = 0_usize;
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, word) in inner.iter().enumerate() {
            match word {
                Word::Sign("(") => depth += 1,
                // The bracket at the beginning ends before the end.
                Word::Sign(")") => depth = depth.checked_sub(1)?,
                Word::Sign("||") if depth == 0 => {
                    parts.push(inner.get(start..at)?);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(inner.get(start..)?);
        parts.into_iter().map(|part| self.comparison(part)).collect()
    }

    fn comparison(&self, words: &[Word<'_>]) -> Option<Comparison> {
        match *words {
            [left, Word::Sign("=="), right] => self.equal(left, right).or_else(|| self.equal(right, left)),
            [Word::Name(_), Word::Sign("("), ref inner @ .., Word::Sign(")")] => {
                // One call, and nothing else in its brackets or after them.
                if inner.iter().any(|word| matches!(word, Word::Sign("(" | ")"))) {
                    return None;
                }
                let call = calls(words).pop()?;
                let matching = Matching::of(call.name)?;
                let [[asked], _] = *call.arguments else { return None };
                Some(Comparison::Pattern(
                    self.pattern(&call, matching).ok()?,
                    self.asked(*asked)?,
                ))
            }
            _ => None,
        }
    }

    fn equal(&self, column: Word<'_>, with: Word<'_>) -> Option<Comparison> {
        let column = self.column(column)?;
        match with {
            Word::Text(text) => Some(Comparison::Text(column, text.to_owned())),
            _ => Some(Comparison::With(column, self.asked(with)?)),
        }
    }
}
