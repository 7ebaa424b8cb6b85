//! Other paths of a guard's calls, for clients that know them by another name.
//!
//! An alias is the call itself at another address: the same handler, guard, proof of origin and limits. It takes no places, so a call with an id has none.

use bekci_core::{AnswerShape, AuthGuard, canonical_path};

use super::calls;

/// The calls that can have an alias, as they stand below a guard's path: `login`, `token/refresh`.
#[must_use]
pub fn call_names() -> Vec<&'static str> {
    let operations = calls::operations(false, AnswerShape::Envelope);
    let paths = operations.iter().map(|operation| operation.path());
    let mut names: Vec<_> = paths
        .filter(|path| !path.contains('{'))
        .map(|path| path.trim_start_matches('/'))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a path below a guard's own is one of its calls, so that nothing else can be there.
#[must_use]
pub fn is_call(below: &str) -> bool {
    let below: Vec<&str> = below.trim_start_matches('/').split('/').collect();
    let operations = calls::operations(false, AnswerShape::Envelope);
    operations.iter().any(|operation| {
        let parts: Vec<&str> = operation.path().trim_start_matches('/').split('/').collect();
        let fits = |(part, given): (&&str, &&str)| part == given || part.starts_with('{');
        parts.len() == below.len() && parts.iter().zip(&below).all(fits)
    })
}

/// What is wrong with an alias of a guard.
pub(crate) fn fault(guard: &AuthGuard, path: &str, call: &str) -> Option<&'static str> {
    let is_plain = path.starts_with('/') && !path.ends_with('/') && !path.contains(['{', '}']);
    let is_canonical = canonical_path(path, false).is_ok_and(|canonical| canonical == path);
    let own = path.strip_prefix(guard.auth_path.trim_end_matches('/'));
    if !is_plain || !is_canonical {
        Some("is not a canonical path")
    } else if own.is_some_and(|below| below.starts_with('/') && is_call(below)) {
        Some("is the path of a call already")
    } else if !call_names().contains(&call) {
        Some("names no call that can have another path")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::{GuardName, IdKind, ModelName};

    use super::*;

    #[test]
    fn calls_without_places_have_names() {
        let names = call_names();
        for name in ["login", "logout", "logout-all", "me", "sessions", "token/refresh"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(names.iter().all(|name| !name.contains('{')), "{names:?}");
    }

    #[test]
    fn an_alias_is_a_whole_path_of_its_own_for_a_call_that_there_is() {
        let (name, model) = (GuardName::new("staff").unwrap(), ModelName::new("staff").unwrap());
        let guard = AuthGuard::new(name, model, IdKind::Integer, true);
        assert_eq!(fault(&guard, "/api/auth/refresh-token", "token/refresh"), None);
        assert_eq!(fault(&guard, "/auth/staff/sign-out", "logout"), None);
        for (path, call) in [
            ("logout", "logout"),
            ("/a/", "logout"),
            ("/a//b", "logout"),
            ("/a/../b", "logout"),
            ("/a/%62", "logout"),
            ("/a/{id}", "logout"),
            ("/auth/staff/me", "logout"),
            ("/auth/staff/sessions/all", "logout-all"),
            ("/x", "log-out"),
            ("/x", "/logout"),
            ("/x", "sessions/{id}"),
            ("/x", ""),
        ] {
            assert!(fault(&guard, path, call).is_some(), "{path} = {call}");
        }
    }
}
