//! The shape that a model must have to decide requests, and what its matcher does with each column.
//!
//! 1. `r` has three names (subject, object, action) or four (subject, tenant, object, action), in this order; the names are free.
//! 2. The matcher is a chain of `&&`, and one of its links is `p.<column> in r.<subject>`: the subjects are one list, judged together. Nothing goes round it.
//! 3. A tenant that is asked about is asked of the lines too.
//! 4. The effect lets a denial win; without a column `eft` there is none, and a line that allows is enough.
//! 5. A pattern is a line's: `f(r.<name>, p.<column>)`, where text in quotes may stand before and after the column.
//! 6. `g` resolves roles before the evaluation, so a matcher does not call it.

use crate::{
    comparison::{Asked, Link},
    error::PolicyError,
    evaluator::Effect,
    functions::Matching,
    model::{Entry, PolicyModel},
    scan::{Call, Word, calls, scan},
};

/// What the columns of `p` lines mean.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Whether the model asks for the tenant.
    pub(crate) tenanted: bool,
    /// The column of the subject.
    pub(crate) subject: usize,
    /// The column that is compared with the tenant.
    pub(crate) tenant: Option<usize>,
    /// The column of the effect.
    pub(crate) effect: Option<usize>,
    /// The columns in which `*` is a word of its own.
    pub(crate) stars: Vec<usize>,
    /// The columns that hold patterns.
    pub(crate) patterns: Vec<PatternColumn>,
    /// What a line must be like besides its subject, where that is comparisons alone.
    pub(crate) comparisons: Option<Vec<Link>>,
}

/// A column of patterns.
#[derive(Debug)]
pub(crate) struct PatternColumn {
    pub(crate) column: usize,
    pub(crate) matching: Matching,
    /// What the matcher puts before the pattern.
    pub(crate) prefix: String,
    /// What the matcher puts after the pattern.
    pub(crate) suffix: String,
}

impl Shape {
    /// Finds the shape, by the rules in the module's documentation.
    pub(crate) fn of(model: &PolicyModel) -> Result<Self, PolicyError> {
        let (request, policy) = (model.required("r")?, model.required("p")?);
        let (effect, matcher) = (model.required("e")?, model.required("m")?);
        let names = request.names();
        let (subject, tenant, object, action) = match *names {
            [subject, object, action] => (subject, None, object, action),
            [subject, tenant, object, action] => (subject, Some(tenant), object, action),
            _ => {
                return Err(
                    request.refused("a request is `subject, object, action` or `subject, tenant, object, action`")
                );
            }
        };
        let columns = policy.names();
        let eft = columns.iter().position(|name| *name == "eft");
        let fits = match Effect::parse(&effect.value) {
            Some(Effect::AllowAndNotDeny) => true,
            Some(Effect::Allow) => eft.is_none(),
            Some(Effect::NotDeny | Effect::Priority) | None => false,
        };
        if !fits {
            return Err(effect.refused(
                "a denial must beat whatever allows: some(where (p.eft == allow)) && !some(where (p.eft == deny))",
            ));
        }
        let words = scan(&matcher.value).map_err(|reason| matcher.refused(reason))?;
        let reader = Reader {
            matcher,
            columns: &columns,
            words: &words,
            subject: format!("r.{subject}"),
            tenant: tenant.map(|tenant| format!("r.{tenant}")),
            object: format!("r.{object}"),
            action: format!("r.{action}"),
        };
        Ok(Self {
            tenanted: tenant.is_some(),
            subject: reader.subject()?,
            tenant: reader.tenant()?,
            effect: eft,
            stars: reader.stars(),
            patterns: reader.patterns()?,
            comparisons: reader.comparisons(),
        })
    }
}

/// Reads a matcher.
pub(crate) struct Reader<'m, 'w> {
    matcher: &'m Entry,
    columns: &'w [&'m str],
    words: &'w [Word<'m>],
    subject: String,
    tenant: Option<String>,
    object: String,
    action: String,
}

impl Reader<'_, '_> {
    pub(crate) fn column(&self, word: Word<'_>) -> Option<usize> {
        let Word::Name(name) = word else { return None };
        let name = name.strip_prefix("p.")?;
        self.columns.iter().position(|column| *column == name)
    }

    /// The links of the chain: the words between the `&&` that stand in no bracket.
    pub(crate) fn links(&self) -> Result<Vec<&[Word<'_>]>, PolicyError> {
        let mut depth = 0_usize;
        let outside = |word: &Word<'_>| {
            match word {
                Word::Sign("(" | "[") => depth += 1,
                Word::Sign(")" | "]") => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        };
        let marks: Vec<bool> = self.words.iter().map(outside).collect();
        let mut links = vec![];
        let mut start = 0;
        for (at, (word, outside)) in self.words.iter().zip(marks).enumerate() {
            match word {
                Word::Sign("||") if outside => {
                    return Err(self.matcher.refused("a || outside of brackets goes round the subjects"));
                }
                Word::Sign("&&") if outside => {
                    links.push(self.words.get(start..at).unwrap_or_default());
                    start = at + 1;
                }
                _ => {}
            }
        }
        links.push(self.words.get(start..).unwrap_or_default());
        Ok(links)
    }

    fn subject(&self) -> Result<usize, PolicyError> {
        let found = self.links()?.into_iter().find_map(|link| self.subject_of(link));
        let once = self.words.iter().filter(|word| self.is_subject(word)).count() == 1;
        found.filter(|_| once).ok_or_else(|| {
            let subject = &self.subject;
            self.matcher.refused(format!(
                "{subject} is a list: the matcher asks `p.<column> in {subject}`, once and in a link of its own; roles are resolved before, g is not called"
            ))
        })
    }

    fn is_subject(&self, word: &Word<'_>) -> bool {
        matches!(word, Word::Name(name) if *name == self.subject)
    }

    /// The column of a link that asks for the subject.
    pub(crate) fn subject_of(&self, link: &[Word<'_>]) -> Option<usize> {
        match link {
            [column, Word::Name("in"), asked] if self.is_subject(asked) => self.column(*column),
            _ => None,
        }
    }

    /// What a name of the request stands for.
    pub(crate) fn asked(&self, word: Word<'_>) -> Option<Asked> {
        let Word::Name(name) = word else { return None };
        match name {
            _ if self.tenant.as_deref() == Some(name) => Some(Asked::Tenant),
            _ if self.object == name => Some(Asked::Object),
            _ if self.action == name => Some(Asked::Action),
            _ => None,
        }
    }

    fn tenant(&self) -> Result<Option<usize>, PolicyError> {
        let Some(tenant) = &self.tenant else {
            return Ok(None);
        };
        let is_tenant = |word: Word<'_>| matches!(word, Word::Name(name) if name == tenant);
        let found = self.words.windows(3).find_map(|three| match *three {
            [left, Word::Sign("=="), right] if is_tenant(right) => self.column(left),
            [left, Word::Sign("=="), right] if is_tenant(left) => self.column(right),
            _ => None,
        });
        found.map(Some).ok_or_else(|| {
            self.matcher.refused(format!(
                "the matcher compares no column with {tenant}: each line would count in every tenant"
            ))
        })
    }

    fn stars(&self) -> Vec<usize> {
        let found = self.words.windows(3).filter_map(|three| match *three {
            [left, Word::Sign("=="), Word::Text("*")] => self.column(left),
            [Word::Text("*"), Word::Sign("=="), right] => self.column(right),
            _ => None,
        });
        found.collect()
    }

    fn patterns(&self) -> Result<Vec<PatternColumn>, PolicyError> {
        let mut found = Vec::new();
        for call in calls(self.words) {
            match Matching::of(call.name) {
                Some(matching) => found.push(self.pattern(&call, matching)?),
                None if call.name == "g" => {
                    return Err(self
                        .matcher
                        .refused("g resolves roles before the evaluation; a matcher does not call it"));
                }
                None => {}
            }
        }
        Ok(found)
    }

    pub(crate) fn pattern(&self, call: &Call<'_, '_>, matching: Matching) -> Result<PatternColumn, PolicyError> {
        let refused = |reason: &str| self.matcher.refused(format!("{}: {reason}", call.name));
        let [[Word::Name(asked)], pattern] = *call.arguments else {
            return Err(refused("it is asked with a name of the request and a column"));
        };
        let (prefix, column, suffix) = match *pattern {
            [column] => ("", column, ""),
            [Word::Text(prefix), Word::Sign("+"), column] => (prefix, column, ""),
            [column, Word::Sign("+"), Word::Text(suffix)] => ("", column, suffix),
            [
                Word::Text(prefix),
                Word::Sign("+"),
                column,
                Word::Sign("+"),
                Word::Text(suffix),
            ] => (prefix, column, suffix),
            _ => return Err(refused("its pattern is not a column of the line")),
        };
        if !asked.starts_with("r.") {
            return Err(refused("what it compares is not of the request"));
        }
        let path = matching != Matching::Regex;
        if path && (*asked != self.object || !prefix.is_empty() || !suffix.is_empty()) {
            return Err(refused(
                "it compares the request's object with a column, and nothing else",
            ));
        }
        Ok(PatternColumn {
            column: self
                .column(column)
                .ok_or_else(|| refused("its pattern is not a column of the line"))?,
            matching,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        })
    }
}
