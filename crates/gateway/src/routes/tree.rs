//! The paths of one host pattern, as a tree by segments: a look-up costs by the depth of the path, not by the number of routes.

use std::collections::HashMap;

use bekci_core::canonical_path;
use smallvec::SmallVec;

use super::method::{Verb, VerbSet};

/// Which route, by its place in the table.
pub(super) type RouteIndex = usize;

/// One segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// This text.
    Literal(&'a str),
    /// `*`: any one segment that is not empty.
    One,
    /// `**`: what is left, also nothing; only as the last.
    Rest,
}

/// The segments of a pattern.
///
/// # Errors
/// What is wrong with it, as it completes "the pattern ...".
pub(super) fn segments(pattern: &str) -> Result<Vec<Segment<'_>>, &'static str> {
    let rest = pattern.strip_prefix('/').ok_or("does not begin with a slash")?;
    // A slash at the end makes no difference.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let last = rest.split('/').count() - 1;
    let segments: Vec<Segment<'_>> = rest
        .split('/')
        .enumerate()
        .map(|(at, text)| match text {
            "**" if at == last => Ok(Segment::Rest),
            "**" => Err("has ** before its end"),
            "*" => Ok(Segment::One),
            text if text.contains('*') => Err("has a star that is not a whole segment"),
            text => Ok(Segment::Literal(text)),
        })
        .collect::<Result<_, _>>()?;
    match canonical_path(pattern, true) {
        Ok(canonical) if canonical == pattern => Ok(segments),
        _ => Err("is not canonical, so that it could never match"),
    }
}

/// The routes at one place, by their verbs.
#[derive(Debug, Default)]
struct Entries {
    /// Those with a list of verbs.
    listed: SmallVec<[(VerbSet, RouteIndex); 1]>,
    /// The one for `*`.
    every: Option<RouteIndex>,
}

impl Entries {
    /// A route that lists `GET` also takes `HEAD`, unless another of this pattern lists it: what may not be got is not probed by way of a broader route.
    fn pick(&self, verb: Verb) -> Option<RouteIndex> {
        let named = |verb| self.listed.iter().find(move |(verbs, _)| verbs.has(verb));
        let listed = named(verb).or_else(|| named(Verb::Get).filter(|_| verb == Verb::Head));
        listed.map(|(_, route)| *route).or(self.every)
    }

    /// The verbs that a listed route takes, `HEAD` with `GET`.
    fn listed_verbs(&self) -> VerbSet {
        let verbs = self
            .listed
            .iter()
            .fold(VerbSet::default(), |verbs, (more, _)| verbs.or(*more));
        if verbs.has(Verb::Get) {
            verbs.with(Verb::Head)
        } else {
            verbs
        }
    }

    fn verbs(&self) -> VerbSet {
        if self.every.is_some() {
            VerbSet::all()
        } else {
            self.listed_verbs()
        }
    }

    /// Adds a route, or names the one that it would stand in the way of, and for which verbs.
    fn add(&mut self, verbs: Option<VerbSet>, route: RouteIndex) -> Result<(), (RouteIndex, VerbSet)> {
        let Some(verbs) = verbs else {
            return match self.every {
                Some(other) if other != route => Err((other, VerbSet::all())),
                _ => {
                    self.every = Some(route);
                    Ok(())
                }
            };
        };
        let clash = self
            .listed
            .iter()
            .find(|(other, index)| *index != route && !other.and(verbs).is_empty());
        if let Some((other, index)) = clash {
            return Err((*index, other.and(verbs)));
        }
        self.listed.push((verbs, route));
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, foldhash::fast::RandomState>,
    one: Option<Box<Node>>,
    /// Routes whose pattern ends here.
    here: Entries,
    /// Routes whose pattern goes on with `**` from here.
    rest: Entries,
}

/// The tree. Literal before `*` before `**`, segment by segment from the left: the first that also has the verb is the most specific.
#[derive(Debug, Default)]
pub(super) struct Tree(Node);

impl Tree {
    /// Adds a route; `verbs` is `None` for all of them.
    pub(super) fn add(
        &mut self,
        pattern: &[Segment<'_>],
        verbs: Option<VerbSet>,
        route: RouteIndex,
    ) -> Result<(), (RouteIndex, VerbSet)> {
        let mut node = &mut self.0;
        for segment in pattern {
            node = match segment {
                Segment::Literal(text) => node.literals.entry((*text).into()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Rest => return node.rest.add(verbs, route),
            };
        }
        node.here.add(verbs, route)
    }

    /// The route for a canonical path. A slash at its end makes no difference.
    pub(super) fn find(&self, path: &str, verb: Verb) -> Option<RouteIndex> {
        let path = path.strip_prefix('/');
        self.0
            .find(path.map(|path| path.strip_suffix('/').unwrap_or(path)), verb)
    }

    /// The routes that at least one request can reach.
    pub(super) fn reachable(&self, into: &mut Vec<RouteIndex>) {
        self.0.reachable(into);
    }
}

impl Node {
    /// Each node is looked at once at most, since a tree has one way to each.
    fn find(&self, left: Option<&str>, verb: Verb) -> Option<RouteIndex> {
        let Some(left) = left else {
            return self.here.pick(verb).or_else(|| self.rest.pick(verb));
        };
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        let literal = self.literals.get(segment).and_then(|node| node.find(after, verb));
        let one = || self.one.as_ref().filter(|_| !segment.is_empty());
        literal
            .or_else(|| one().and_then(|node| node.find(after, verb)))
            .or_else(|| self.rest.pick(verb))
    }

    fn reachable(&self, into: &mut Vec<RouteIndex>) {
        reachable_of(&self.here, VerbSet::default(), into);
        reachable_of(&self.rest, self.shadow(), into);
        for node in self.literals.values().chain(self.one.as_deref()) {
            node.reachable(into);
        }
    }

    /// The verbs for which nothing is left for `**` here: paths that end here and paths that go on are all taken by more specific patterns.
    fn shadow(&self) -> VerbSet {
        let deeper = self.one.as_ref().map_or(VerbSet::default(), |node| node.rest.verbs());
        self.here.verbs().and(deeper)
    }
}

fn reachable_of(entries: &Entries, taken: VerbSet, into: &mut Vec<RouteIndex>) {
    into.extend(
        entries
            .listed
            .iter()
            .filter(|(verbs, _)| !taken.covers(*verbs))
            .map(|(_, route)| *route),
    );
    let left = !taken.or(entries.listed_verbs()).covers(VerbSet::all());
    into.extend(entries.every.filter(|_| left));
}
