//! Policies that need no interpreter: those whose matcher is made of comparisons (see [`crate::comparison`]), as that of the shipped model. Any other is left to casbin's
//! evaluator, which answers the same and looks at every line.
//!
//! 1. Lines are stored by their subject, and there by the segments of their path. A question looks only at lines of its subjects and its path.
//! 2. A line that denies wins over every line that allows. Of several, the first one is reported. Casbin's effect does the same.
//! 3. Both spellings of a path, with a slash at its end and without, are looked up at once.
//! 4. A decision allocates nothing: names are written into a buffer of the thread, subjects are numbers, and the verdict of a line is made once.

use std::{cell::RefCell, collections::HashMap, sync::OnceLock};

use bekci_core::{AccessRequest, PolicyLine, Verdict};
use regex::Regex;

use crate::{
    comparison::{Asked, Comparison, Link},
    csv::print_line,
    error::PolicyError,
    functions::{self, Matching},
    paths::{Spelling, Tree, segments},
    roles::{Inheritance, counts_in},
    shape::{PatternColumn, Shape},
};

/// A question without its subjects, in one spelling of its path.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    tenant: &'a str,
    object: &'a str,
    action: &'a str,
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

/// A question in both spellings of its path.
#[derive(Clone, Copy, Debug)]
struct Spellings<'a> {
    bare: Question<'a>,
    /// None for the path `/`.
    slash: Option<Question<'a>>,
    sent_with_slash: bool,
}

/// The line that decides, if one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed(usize),
    Denied(usize),
    NoLine,
}

/// One snapshot of lines.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The number of each subject that a line names or that inherits a role.
    numbers: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    subjects: Vec<Subject>,
    lines: Vec<Line>,
    links: Vec<Link>,
    /// The link that a path in the tree has answered.
    paths: Option<usize>,
}

/// What the policy says of one subject.
#[derive(Debug, Default)]
struct Subject {
    lines: Lines,
    /// Roles that it inherits, by number, each with its tenant.
    parents: Vec<(usize, Box<str>)>,
}

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    name: String,
    slash: String,
    subjects: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
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
    /// Made by the first request that this line decides.
    verdict: OnceLock<Verdict>,
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
    pub(crate) fn new(
        shape: &Shape,
        links: Vec<Link>,
        lines: &[&PolicyLine],
        inheritance: &Inheritance,
    ) -> Result<Self, PolicyError> {
        let paths = links.iter().position(|link| path_of(link).is_some());
        let mut compiled = Self {
            numbers: HashMap::default(),
            subjects: Vec::new(),
            lines: Vec::with_capacity(lines.len()),
            links,
            paths,
        };
        let mut known = HashMap::new();
        for line in lines.iter().filter(|line| line.kind == "p") {
            compiled.add(shape, line, &mut known)?;
        }
        for (child, role, tenant) in inheritance.links() {
            let (child, role) = (compiled.number(child), compiled.number(role));
            if let Some(subject) = compiled.subjects.get_mut(child) {
                subject.parents.push((role, tenant.into()));
            }
        }
        Ok(compiled)
    }

    /// The number of a subject, which is added if it is new.
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.subjects.len();
        self.numbers.insert(name.into(), number);
        self.subjects.push(Subject::default());
        number
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
        let subject = self.number(value(shape.subject));
        let path = self.paths.and_then(|link| self.links.get(link)).and_then(path_of);
        let path = path.filter(|(column, words)| !words.contains(&value(column.column)));
        let path = path.and_then(|(column, _)| segments(column.matching, value(column.column)));
        if let Some(subject) = self.subjects.get_mut(subject) {
            match path {
                Some(path) => subject.lines.by_path.insert(path, at),
                None => subject.lines.others.push(at),
            }
        }
        self.lines.push(Line {
            denies: shape.effect.is_some_and(|effect| value(effect) == "deny"),
            verdict: OnceLock::new(),
            values: line.values.clone(),
            patterns,
        });
        Ok(())
    }

    /// Decides a request. Its path is canonical.
    pub(crate) fn judge(&self, request: &AccessRequest<'_>) -> Ruling {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => self.judge_with(request, &mut scratch),
            // Borrowed already only if deciding asked a question itself, which it does not.
            Err(_) => self.judge_with(request, &mut Scratch::default()),
        })
    }

    fn judge_with(&self, request: &AccessRequest<'_>, scratch: &mut Scratch) -> Ruling {
        let tenant = request.tenant.map(|tenant| tenant.as_str()).unwrap_or_default();
        self.subjects_of(request, tenant, scratch);
        let bare = match request.object.strip_suffix('/') {
            None | Some("") => request.object,
            Some(bare) => bare,
        };
        scratch.slash.clear();
        scratch.slash.push_str(bare);
        scratch.slash.push('/');
        let ask = |action| {
            let of = |object| Question { tenant, object, action };
            let paths = Spellings {
                bare: of(bare),
                slash: (request.object != "/").then(|| of(scratch.slash.as_str())),
                sent_with_slash: bare.len() < request.object.len(),
            };
            self.look_up(&scratch.subjects, &paths)
        };
        let ruling = ask(request.action);
        // `HEAD` is denied wherever `GET` is. A request that is not allowed needs no further denial.
        if request.action == "HEAD"
            && matches!(ruling, Ruling::Allowed(_))
            && let denied @ Ruling::Denied(_) = ask("GET")
        {
            return denied;
        }
        ruling
    }

    /// The subjects of a request and all that they inherit, each once. A subject without a number has no lines.
    fn subjects_of(&self, request: &AccessRequest<'_>, tenant: &str, scratch: &mut Scratch) {
        let Scratch { name, subjects, .. } = scratch;
        subjects.clear();
        let mut add = |name: &str| {
            if let Some(number) = self.numbers.get(name).filter(|number| !subjects.contains(number)) {
                subjects.push(*number);
            }
        };
        name.clear();
        name.push_str("principal:");
        name.push_str(request.principal.as_str());
        add(name);
        name.clear();
        name.push_str("role:");
        name.push_str(request.guard.as_str());
        name.push(':');
        let prefix = name.len();
        for role in request.roles {
            name.truncate(prefix);
            name.push_str(role);
            add(name);
        }
        let mut at = 0;
        while let Some(subject) = subjects.get(at).and_then(|number| self.subjects.get(*number)) {
            for (role, counts) in &subject.parents {
                if counts_in(counts, tenant) && !subjects.contains(role) {
                    subjects.push(*role);
                }
            }
            at += 1;
        }
    }

    /// The ruling for these subjects and a path in its two spellings. A line that matches the path as it was sent is reported before one that matches the other spelling.
    fn look_up(&self, subjects: &[usize], paths: &Spellings<'_>) -> Ruling {
        let (mut denies, mut allows) = (None, None);
        let mut look_at = |at: usize, spelling: Spelling, in_tree: bool| {
            let Some(line) = self.lines.get(at) else { return };
            let first = if line.denies { &mut denies } else { &mut allows };
            let mut try_in = |other: bool, question: Option<&Question<'_>>| {
                let better = first.is_none_or(|first| (other, at) < first);
                if better && question.is_some_and(|question| self.holds(line, question, in_tree)) {
                    *first = Some((other, at));
                }
            };
            if spelling != Spelling::Slash {
                try_in(paths.sent_with_slash, Some(&paths.bare));
            }
            if spelling != Spelling::Bare {
                try_in(!paths.sent_with_slash, paths.slash.as_ref());
            }
        };
        for subject in subjects.iter().filter_map(|subject| self.subjects.get(*subject)) {
            let lines = &subject.lines;
            let found = &mut |at, spelling| look_at(at, spelling, true);
            lines.by_path.find(paths.bare.object, found);
            lines.others.iter().for_each(|at| look_at(*at, Spelling::Both, false));
        }
        match (denies, allows) {
            (Some((_, at)), _) => Ruling::Denied(at),
            (None, Some((_, at))) => Ruling::Allowed(at),
            (None, None) => Ruling::NoLine,
        }
    }

    /// The values of a line.
    pub(crate) fn values(&self, ruling: Ruling) -> Option<&[String]> {
        match ruling {
            Ruling::Allowed(at) | Ruling::Denied(at) => self.lines.get(at).map(|line| line.values.as_slice()),
            Ruling::NoLine => None,
        }
    }

    /// The verdict, which names the line.
    pub(crate) fn verdict(&self, ruling: Ruling) -> Option<Verdict> {
        let (at, says) = match ruling {
            Ruling::Allowed(at) => (at, "allowed by policy line"),
            Ruling::Denied(at) => (at, "denied by policy line"),
            Ruling::NoLine => return None,
        };
        let line = self.lines.get(at)?;
        let made = line.verdict.get_or_init(|| {
            let reason = format!("{says}: {}", print_line("p", &line.values)).into();
            match line.denies {
                true => Verdict::Deny { reason },
                false => Verdict::Allow { reason },
            }
        });
        Some(made.clone())
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
