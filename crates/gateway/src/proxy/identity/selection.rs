//! What an upstream is told of a principal where not all of it fits.
//!
//! Headers and `X-Auth-Token` are filled by this one rule, so that they never differ:
//!
//! 1. Guard, model, id, key, tenant and session always fit.
//! 2. Then, as long as there is room: the roles, short attributes, the permissions, long attributes, each in order of name.
//! 3. A list ends before the first name that does not fit. An attribute that does not fit is left out whole. So fewer rights are told, never other ones.
//! 4. What was left out of is named: `roles`, `permissions`, `attributes`.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{LazyLock, Mutex},
};

use bekci_core::Principal;
use serde_json::Value;

use super::{attribute_header, encoded_length};
use crate::internal_token;

/// The most bytes of a token that verifiers read.
const MAX_TOKEN: usize = 8 * 1024;
/// The names of what can be left out of.
pub(crate) const ROLES: &str = "roles";
pub(crate) const PERMISSIONS: &str = "permissions";
pub(crate) const ATTRIBUTES: &str = "attributes";
/// An attribute of at most so many bytes is short.
const SHORT: usize = 256;
/// A header line without name and value: colon, space, CR, LF.
const LINE: usize = 4;
/// After so many principals the log may name one again.
const MOST_REPORTED: usize = 4_096;

/// How many bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// For all identity headers together.
    pub(crate) bytes: usize,
    /// What the token takes before a right or an attribute is in it; `None` where there is no token.
    pub(crate) token: Option<usize>,
}

/// What is told of a principal.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) roles: Vec<&'a str>,
    pub(crate) permissions: Vec<&'a str>,
    pub(crate) attributes: Vec<(&'a str, &'a Value)>,
    /// What was left out of, each of [`ROLES`], [`PERMISSIONS`] and [`ATTRIBUTES`] once.
    pub(crate) omitted: Vec<&'static str>,
}

/// The room that is left.
struct Room {
    bytes: usize,
    /// `None` where there is no token.
    token: Option<usize>,
}

impl Room {
    /// Takes room for a header's value, and for as many bytes of JSON in the token.
    fn take(&mut self, header: usize, json: usize) -> bool {
        let in_token = self.token.map_or(0, |_| (json * 4).div_ceil(3));
        let fits = header + in_token <= self.bytes && self.token.is_none_or(|token| in_token <= token);
        if fits {
            self.bytes -= header + in_token;
            self.token = self.token.map(|token| token - in_token);
        }
        fits
    }

    /// The names that fit, from the first.
    fn names<'a>(
        &mut self,
        mut names: Vec<&'a str>,
        what: &'static str,
        omitted: &mut Vec<&'static str>,
    ) -> Vec<&'a str> {
        // A comma in the header; quotes and a comma in the token.
        let fitting = names
            .iter()
            .take_while(|name| self.take(name.len() + 1, name.len() + 3))
            .count();
        if fitting < names.len() {
            names.truncate(fitting);
            omitted.push(what);
        }
        names
    }
}

/// Chooses what is told. `fixed`: the bytes of all lines before a role, a permission or an attribute is in them. `tells`: whether an attribute is told at all.
pub(super) fn select<'a>(
    principal: &'a Principal,
    bound: Bound,
    fixed: usize,
    tells_permissions: bool,
    tells: impl Fn(&str) -> bool,
) -> Told<'a> {
    let held = principal.held();
    let mut room = Room {
        bytes: bound.bytes.saturating_sub(fixed + bound.token.unwrap_or_default()),
        token: bound.token.map(|token| MAX_TOKEN.saturating_sub(token)),
    };
    let mut omitted = Vec::new();
    let told = principal.view.identity.attributes.iter();
    let told = told
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, _)| tells(name));
    let (short, long): (Vec<_>, Vec<_>) = told.partition(|(_, value)| text_length(value) <= SHORT);
    let mut left_out = false;
    let mut attributes = Vec::new();
    let mut add = |room: &mut Room, of: Vec<(&'a str, &'a Value)>| {
        for (name, value) in of {
            if room.take(header_cost(name, value), token_cost(name, value)) {
                attributes.push((name, value));
            } else {
                left_out = true;
            }
        }
    };
    let roles = room.names(held.role_names(), ROLES, &mut omitted);
    add(&mut room, short);
    let permissions = if tells_permissions {
        held.permission_names()
    } else {
        Vec::new()
    };
    let permissions = room.names(permissions, PERMISSIONS, &mut omitted);
    add(&mut room, long);
    if left_out {
        omitted.push(ATTRIBUTES);
    }
    attributes.sort_unstable_by_key(|(name, _)| *name);
    Told {
        roles,
        permissions,
        attributes,
        omitted,
    }
}

/// What the line of an attribute takes while it is empty.
pub(super) fn empty_line(name: &str) -> usize {
    attribute_header(name).map_or(0, |header| header.len() + LINE)
}

/// An attribute's value as a header has it.
pub(super) fn text_of(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

fn text_length(value: &Value) -> usize {
    text_of(value).len()
}

fn header_cost(name: &str, value: &Value) -> usize {
    attribute_header(name).map_or(0, |_| encoded_length(&text_of(value)))
}

fn token_cost(name: &str, value: &Value) -> usize {
    if !internal_token::may_claim(name) {
        return 0;
    }
    // Quotes, colon and comma.
    Value::from(name).to_string().len() + value.to_string().len() + 2
}

/// Logs that something was left out, once for what a principal holds.
pub(super) fn report(principal: &Principal, told: &Told<'_>, bytes: usize) {
    static REPORTED: LazyLock<(RandomState, Mutex<HashSet<u64>>)> = LazyLock::new(Default::default);
    let (state, reported) = &*REPORTED;
    let key = &principal.view.identity.key;
    let what = state.hash_one((key.as_str(), principal.view.version.0, &told.omitted, bytes));
    let Ok(mut reported) = reported.lock() else { return };
    if reported.len() >= MOST_REPORTED {
        reported.clear();
    }
    if reported.insert(what) {
        tracing::warn!(
            principal = key.as_str(),
            omitted = told.omitted.join(","),
            bytes,
            "identity headers do not fit; X-Auth-Omitted names what was cut: raise limits.identity_header_bytes or limits.decision_header_bytes, or hold fewer rights"
        );
    }
}
