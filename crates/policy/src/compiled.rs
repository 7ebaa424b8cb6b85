//! Policies that need no interpreter: those whose matcher is made of comparisons (see [`crate::comparison`]), as that of the shipped model. Any other is left to casbin's
//! evaluator, which answers the same and looks at every line.
//!
//! 1. Lines are kept by their subject, and there by the segments of their path: a question meets the lines that are for its subjects and its path, and no others.
//! 2. A line that denies decides before every line that allows; of several, the first one. So does casbin's effect.

use std::collections::HashMap;

use bekci_core::PolicyLine;
use regex::Regex;

use crate::{
    comparison::{Asked, Comparison, Link},
    error::PolicyError,
    evaluator::Judged,
    functions::{self, Matching},
    paths::{Tree, segments},
    shape::{PatternColumn, Shape},
};

/// A question, its subjects with what they inherit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) subjects: &'a [String],
    pub(crate) tenant: &'a str,
    pub(crate) object: &'a str,
    pub(crate) action: &'a str,
}

impl Question<'_> {
    fn asked(&self, asked: Asked) -> &str {
        match asked {
            Asked::Tenant => self.tenant,
            Asked::Object => self.object,
            Asked::Action => self.action,
        }
    }
}

/// One snapshot of lines.
#[derive(Debug)]
pub(crate) struct Compiled {
    subjects: HashMap<Box<str>, Lines, foldhash::fast::RandomState>,
    lines: Vec<Line>,
    links: Vec<Link>,
    /// The link that a path in the tree has answered.
    paths: Option<usize>,
}

/// The lines for one subject.
#[derive(Debug, Default)]
struct Lines {
    by_path: Tree,
    others: Vec<usize>,
}

#[derive(Debug)]
struct Line {
    values: Vec<String>,
    denies: bool,
    /// For each comparison with a pattern, in the order of the links.
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
pub(crate) enum Pattern {
    /// `*` where that is a word of its own: as a pattern it matches nothing.
    Nothing,
    /// Any of these words.
    Words(Vec<Box<str>>),
    Path(String),
    Regex(Regex),
}

impl Compiled {
    /// Compiles checked lines under the links of a matcher but for the subject's.
    pub(crate) fn new(shape: &Shape, links: Vec<Link>, lines: &[&PolicyLine]) -> Result<Self, PolicyError> {
        let paths = links.iter().position(|link| path_of(link).is_some());
        let mut compiled = Self {
            subjects: HashMap::default(),
            lines: Vec::with_capacity(lines.len()),
            links,
            paths,
        };
        let mut known = HashMap::new();
        for line in lines.iter().filter(|line| line.kind == "p") {
            compiled.add(shape, line, &mut known)?;
        }
        Ok(compiled)
    }

    fn add(&mut self, shape: &Shape, line: &PolicyLine, known: &mut HashMap<String, Regex>) -> Result<(), PolicyError> {
        let value = |at: usize| line.values.get(at).map(String::as_str).unwrap_or_default();
        let patterns = self.links.iter().flatten().filter_map(|comparison| match comparison {
            Comparison::Pattern(column, _) => Some((column, value(column.column))),
            Comparison::With(..) | Comparison::Text(..) => None,
        });
        let patterns = patterns.map(|(column, value)| pattern(shape, column, value, known));
        let patterns = patterns.collect::<Result<_, _>>()?;
        let at = self.lines.len();
        let lines = self.subjects.entry(value(shape.subject).into()).or_default();
        let path = self.paths.and_then(|link| self.links.get(link)).and_then(path_of);
        let path = path.filter(|(column, words)| !words.contains(&value(column.column)));
        match path.and_then(|(column, _)| segments(column.matching, value(column.column))) {
            Some(path) => lines.by_path.insert(path, at),
            None => lines.others.push(at),
        }
        self.lines.push(Line {
            denies: shape.effect.is_some_and(|effect| value(effect) == "deny"),
            values: line.values.clone(),
            patterns,
        });
        Ok(())
    }

    /// Decides a question.
    pub(crate) fn judge(&self, question: &Question<'_>) -> Judged {
        let (mut denies, mut allows) = (None, None);
        for lines in question
            .subjects
            .iter()
            .filter_map(|subject| self.subjects.get(subject.as_str()))
        {
            let mut look_at = |at: usize, in_tree: bool| {
                let Some(line) = self.lines.get(at) else { return };
                let first = if line.denies { &mut denies } else { &mut allows };
                if first.is_none_or(|first| at < first) && self.holds(line, question, in_tree) {
                    *first = Some(at);
                }
            };
            lines.by_path.find(question.object, &mut |at| look_at(at, true));
            lines.others.iter().for_each(|at| look_at(*at, false));
        }
        Judged {
            allowed: denies.is_none() && allows.is_some(),
            line: denies
                .or(allows)
                .and_then(|at| self.lines.get(at))
                .map(|line| line.values.clone()),
        }
    }

    fn holds(&self, line: &Line, question: &Question<'_>, in_tree: bool) -> bool {
        let mut patterns = line.patterns.iter();
        self.links.iter().enumerate().all(|(at, link)| {
            let known = in_tree && self.paths == Some(at);
            // Each comparison takes its pattern, also where an earlier one was enough.
            link.iter().fold(known, |holds, comparison| {
                let is = |column: &usize, text: &str| line.values.get(*column).is_some_and(|value| value == text);
                match comparison {
                    Comparison::With(column, asked) => holds || is(column, question.asked(*asked)),
                    Comparison::Text(column, text) => holds || is(column, text),
                    Comparison::Pattern(column, asked) => {
                        let pattern = patterns.next();
                        holds || pattern.is_some_and(|pattern| pattern.matches(column, question.asked(*asked)))
                    }
                }
            })
        })
    }
}

impl Pattern {
    pub(crate) fn matches(&self, column: &PatternColumn, text: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Words(words) => words.iter().any(|word| &**word == text),
            Self::Path(pattern) => functions::matches(column.matching, text, pattern) == Some(true),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Where a link compares the path with a pattern and with texts alone: that, and the texts, which as values match every path.
fn path_of(link: &Link) -> Option<(&PatternColumn, Vec<&str>)> {
    let mut path = None;
    let mut texts = Vec::new();
    for comparison in link {
        match comparison {
            Comparison::Pattern(column, Asked::Object) if path.is_none() && column.matching != Matching::Regex => {
                path = Some(column);
            }
            Comparison::Text(column, text) => texts.push((*column, text.as_str())),
            Comparison::Pattern(..) | Comparison::With(..) => return None,
        }
    }
    let path = path?;
    let of_it = texts.iter().all(|(column, _)| *column == path.column);
    of_it.then(|| (path, texts.into_iter().map(|(_, text)| text).collect()))
}

pub(crate) fn pattern(
    shape: &Shape,
    column: &PatternColumn,
    value: &str,
    known: &mut HashMap<String, Regex>,
) -> Result<Pattern, PolicyError> {
    if value == "*" && shape.stars.contains(&column.column) {
        return Ok(Pattern::Nothing);
    }
    if column.matching != Matching::Regex {
        return Ok(Pattern::Path(value.to_owned()));
    }
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if column.prefix == "^(?:" && column.suffix == ")$" && value.split('|').all(is_word) {
        return Ok(Pattern::Words(value.split('|').map(Into::into).collect()));
    }
    let whole = format!("{}{value}{}", column.prefix, column.suffix);
    if let Some(regex) = known.get(&whole) {
        return Ok(Pattern::Regex(regex.clone()));
    }
    let regex = functions::compile(&whole).map_err(PolicyError::Evaluation)?;
    known.insert(whole, regex.clone());
    Ok(Pattern::Regex(regex))
}
