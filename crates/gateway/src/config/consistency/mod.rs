//! What no key says alone: names that lead nowhere, two guards that cannot be told apart, routes that ask for nothing.

mod accounts;
mod guards;
mod idp;
mod mail;
mod routes;
mod stores;

pub(super) use accounts::warnings;

use super::path;
use super::problem::{Place, Problems};
use super::sections::Config;
use super::suggest;
use super::tree::Node;

/// Reports every contradiction between the keys of a configuration.
pub(super) fn check(config: &Config, tree: &Node, problems: &mut Problems) {
    let mut findings = Findings { tree, problems };
    stores::check(config, &mut findings);
    guards::check(config, &mut findings);
    routes::check(config, &mut findings);
    mail::check(config, &mut findings);
    accounts::check(config, &mut findings);
    idp::check(config, &mut findings);
}

/// The place of a key if somebody gave it, else of the nearest table around it that somebody wrote.
pub(super) fn place_of(tree: &Node, key: &[&str]) -> Place {
    let mut place = Place::BuiltIn;
    let mut node = Some(tree);
    for segment in key {
        node = node.and_then(|node| node.get(segment));
        if let Some(node) = node.filter(|node| node.place.is_given()) {
            place = node.place.clone();
        }
    }
    place
}

/// Adds contradictions at the place of their key.
struct Findings<'a> {
    tree: &'a Node,
    problems: &'a mut Problems,
}

impl Findings<'_> {
    /// Reports a contradiction at a key.
    fn add(&mut self, key: &[&str], message: impl Into<String>) {
        let place = place_of(self.tree, key);
        let key = key.iter().fold(String::new(), |table, name| path::key(&table, name));
        self.problems.add_consequence(place, &key, message);
    }

    /// Reports a name that leads nowhere.
    fn add_unknown<'a>(&mut self, key: &[&str], what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) {
        let hint = suggest::hint(name, known);
        self.add(key, format!("there is no {what} {name:?}{hint}"));
    }

    /// Whether somebody gave the key.
    fn is_given(&self, key: &[&str]) -> bool {
        let node = key.iter().try_fold(self.tree, |node, segment| node.get(segment));
        node.is_some_and(|node| node.place.is_given())
    }
}
