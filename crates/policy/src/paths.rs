//! Path patterns in a tree of segments: a path is looked up by its own segments, whatever the number of patterns.

use std::{borrow::Cow, collections::HashMap};

use crate::functions::Matching;

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// This text.
    Is(Cow<'a, str>),
    /// Any that is not empty.
    Named,
}

/// A pattern as segments, and whether any rest follows them.
pub(crate) type Segments<'a> = (Vec<Segment<'a>>, bool);

/// Reads a pattern that [`crate::pattern::check`] took; `None` for what is no path, and for one with a `*` before its end.
pub(crate) fn segments(matching: Matching, pattern: &str) -> Option<Segments<'_>> {
    let escapes = match matching {
        Matching::Key => false,
        Matching::Key2 | Matching::Key3 => true,
        Matching::Regex => return None,
    };
    let mut read = Vec::new();
    let mut parts = pattern.strip_prefix('/')?.split('/').peekable();
    while let Some(part) = parts.next() {
        match (part, matching) {
            ("*" | "**", _) if parts.peek().is_none() => return Some((read, true)),
            _ if part.contains('*') => return None,
            (_, Matching::Key2) if part.starts_with(':') => read.push(Segment::Named),
            (_, Matching::Key3) if part.starts_with('{') => read.push(Segment::Named),
            _ if escapes && part.contains('\\') => read.push(Segment::Is(part.replace('\\', "").into())),
            _ => read.push(Segment::Is(part.into())),
        }
    }
    Some((read, false))
}

/// Patterns, each with the number of the line that has it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    named: HashMap<Box<str>, Tree, foldhash::fast::RandomState>,
    any: Option<Box<Tree>>,
    /// Those that end here.
    here: Vec<usize>,
    /// Those that any rest follows, an empty segment too.
    below: Vec<usize>,
}

impl Tree {
    pub(crate) fn insert(&mut self, (segments, rest): Segments<'_>, line: usize) {
        let mut tree = self;
        for segment in segments {
            tree = match segment {
                Segment::Is(text) => tree.named.entry(text.into()).or_default(),
                Segment::Named => tree.any.get_or_insert_default(),
            };
        }
        if rest {
            tree.below.push(line);
        } else {
            tree.here.push(line);
        }
    }

    /// Reports each line whose pattern matches a canonical path, or the same path with the other end: with a slash, or without.
    pub(crate) fn find(&self, path: &str, report: &mut impl FnMut(usize, Spelling)) {
        let Some(rest) = path.strip_prefix('/') else { return };
        match rest.strip_suffix('/') {
            // `/` has one spelling.
            None if rest.is_empty() => {
                self.below.iter().for_each(|line| report(*line, Spelling::Bare));
                if let Some(tree) = self.named.get("") {
                    tree.here.iter().for_each(|line| report(*line, Spelling::Bare));
                }
            }
            bare => self.walk(Some(bare.unwrap_or(rest)), report),
        }
    }

    /// Walks a path without a slash at its end. It is as deep as patterns are, at most: they are short.
    fn walk(&self, rest: Option<&str>, report: &mut impl FnMut(usize, Spelling)) {
        let Some(rest) = rest else {
            self.here.iter().for_each(|line| report(*line, Spelling::Bare));
            // With the slash an empty segment follows.
            self.below.iter().for_each(|line| report(*line, Spelling::Slash));
            if let Some(tree) = self.named.get("") {
                tree.here.iter().for_each(|line| report(*line, Spelling::Slash));
            }
            return;
        };
        self.below.iter().for_each(|line| report(*line, Spelling::Both));
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(tree) = self.named.get(segment) {
            tree.walk(rest, report);
        }
        if let Some(tree) = self.any.as_deref().filter(|_| !segment.is_empty()) {
            tree.walk(rest, report);
        }
    }
}

/// Which spelling of a path a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// The one without a slash at its end, or `/`.
    Bare,
    /// The one with a slash at its end.
    Slash,
    Both,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions;

    const PATHS: [&str; 16] = [
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/",
        "/a/b/c",
        "/ab",
        "/v1.0",
        "/v1.0/x",
        "/v1x0",
        "/a/x.json",
        "/a:b",
        "/a/{id}",
        "/a/:id",
        "/%C3%BC",
        "/b/c/d/e",
    ];
    const PATTERNS: [&str; 17] = [
        "/",
        "/*",
        "/**",
        "/a",
        "/a/",
        "/a/*",
        "/a/**",
        "/a/:id",
        "/:x",
        "/:x/b",
        "/:x/:y/*",
        r"/v1\.0",
        r"/v1\.0/**",
        "/%C3%BC",
        "/a/{id}",
        "/{x}/{y}",
        "/b/c/d/e",
    ];

    #[test]
    fn a_tree_finds_what_the_functions_match() {
        for (name, matching) in Matching::ALL
            .into_iter()
            .filter(|(_, matching)| *matching != Matching::Regex)
        {
            let taken = |pattern: &&&str| functions::matches(matching, "/", pattern).is_some();
            let patterns: Vec<&str> = PATTERNS.iter().filter(taken).copied().collect();
            let mut tree = Tree::default();
            for (line, pattern) in patterns.iter().enumerate() {
                // What `keyMatch3` takes for an expression is no pattern of its.
                if crate::pattern::check_path(matching, pattern).is_ok() {
                    tree.insert(segments(matching, pattern).unwrap(), line);
                }
            }
            for path in PATHS {
                let mut found = Vec::new();
                tree.find(path, &mut |line, spelling| found.push((line, spelling)));
                found.sort_unstable_by_key(|(line, _)| *line);
                let bare = if path == "/" { path } else { path.trim_end_matches('/') };
                let slash = format!("{bare}/");
                let matches = |path: &str, pattern: &str| functions::matches(matching, path, pattern) == Some(true);
                let expected: Vec<(usize, Spelling)> = (0..patterns.len())
                    .filter(|line| crate::pattern::check_path(matching, patterns[*line]).is_ok())
                    .filter_map(|line| {
                        let slash = path != "/" && matches(&slash, patterns[line]);
                        match (matches(bare, patterns[line]), slash) {
                            (true, true) => Some((line, Spelling::Both)),
                            (true, false) => Some((line, Spelling::Bare)),
                            (false, true) => Some((line, Spelling::Slash)),
                            (false, false) => None,
                        }
                    })
                    .collect();
                assert_eq!(found, expected, "{name} {path}");
            }
        }
    }

    #[test]
    fn what_a_tree_cannot_hold_is_said() {
        assert_eq!(segments(Matching::Key2, "/a/*/b"), None);
        assert_eq!(segments(Matching::Key2, "/a/*b"), None);
        assert_eq!(segments(Matching::Key2, "*"), None);
        assert_eq!(segments(Matching::Regex, "/a"), None);
        assert_eq!(
            segments(Matching::Key2, r"/v1\.0/:id/**"),
            Some((vec![Segment::Is("v1.0".into()), Segment::Named], true))
        );
        assert_eq!(
            segments(Matching::Key, "/a/:id"),
            Some((vec![Segment::Is("a".into()), Segment::Is(":id".into())], false))
        );
    }
}
