//! Roles that roles inherit: the `g` lines.

use std::collections::{HashMap, HashSet, VecDeque};

/// What one subject may inherit at most, through all its roles: a policy with more is refused, so that no question grows without bound and nothing is cut off while
/// deciding.
pub(crate) const MAX_INHERITED: usize = 256;

/// Where a line counts: everywhere (`*`), in one tenant, or only where none is asked (empty).
pub(crate) fn counts_in(line: &str, tenant: &str) -> bool {
    line == "*" || line == tenant
}

/// Who inherits what, and in which tenant.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    parents: HashMap<Box<str>, Vec<Parent>, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Parent {
    role: Box<str>,
    tenant: Box<str>,
}

impl Inheritance {
    /// `child` holds `role` too, where `tenant` says.
    pub(crate) fn add(&mut self, child: &str, role: &str, tenant: &str) {
        self.parents.entry(child.into()).or_default().push(Parent {
            role: role.into(),
            tenant: tenant.into(),
        });
    }

    /// Each link: child, role, tenant.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.parents.iter().flat_map(|(child, parents)| {
            parents
                .iter()
                .map(move |parent| (&**child, &*parent.role, &*parent.tenant))
        })
    }

    /// Finds a subject that would inherit more than [`MAX_INHERITED`] roles, whatever the tenant.
    pub(crate) fn too_much(&self) -> Option<&str> {
        for start in self.parents.keys() {
            let mut seen: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
            let mut open = VecDeque::from([&**start]);
            while let Some(parents) = open.pop_front().map(|role| self.parents.get(role)) {
                for parent in parents.into_iter().flatten() {
                    if seen.insert(&parent.role) {
                        open.push_back(&parent.role);
                    }
                }
                if seen.len() > MAX_INHERITED {
                    return Some(start);
                }
            }
        }
        None
    }

    /// Adds to the subjects all that they inherit in a tenant, each once. Cycles end where they meet themselves.
    pub(crate) fn expand(&self, subjects: &mut Vec<String>, tenant: &str) {
        if self.parents.is_empty() {
            return;
        }
        let mut seen: HashSet<String, foldhash::fast::RandomState> = subjects.iter().cloned().collect();
        let mut at = 0;
        while let Some(parents) = subjects.get(at).map(|subject| self.parents.get(subject.as_str())) {
            for parent in parents.into_iter().flatten() {
                if counts_in(&parent.tenant, tenant) && seen.insert(parent.role.as_ref().to_owned()) {
                    subjects.push(parent.role.as_ref().to_owned());
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(inheritance: &Inheritance, subject: &str, tenant: &str) -> Vec<String> {
        let mut subjects = vec![subject.to_owned()];
        inheritance.expand(&mut subjects, tenant);
        subjects
    }

    #[test]
    fn a_cycle_ends_and_gives_each_role_once() {
        let mut inheritance = Inheritance::default();
        for (child, role) in [("a", "b"), ("b", "a"), ("a", "a"), ("b", "c")] {
            inheritance.add(child, role, "*");
        }
        assert_eq!(inheritance.too_much(), None);
        assert_eq!(expanded(&inheritance, "a", ""), ["a", "b", "c"]);
        assert_eq!(expanded(&inheritance, "c", ""), ["c"]);
    }

    #[test]
    fn a_link_of_one_tenant_is_not_followed_in_another() {
        let mut inheritance = Inheritance::default();
        inheritance.add("a", "b", "acme");
        inheritance.add("b", "c", "*");
        inheritance.add("a", "d", "");
        assert_eq!(expanded(&inheritance, "a", "acme"), ["a", "b", "c"]);
        assert_eq!(expanded(&inheritance, "a", "other"), ["a"]);
        assert_eq!(expanded(&inheritance, "a", ""), ["a", "d"]);
    }

    #[test]
    fn a_chain_that_is_too_long_is_refused_and_many_roles_are_not() {
        let mut chain = Inheritance::default();
        let mut wide = Inheritance::default();
        for at in 0..1_000 {
            chain.add(&format!("r{at}"), &format!("r{}", at + 1), "*");
        }
        for at in 0..10_000 {
            wide.add(&format!("r{at}"), &format!("s{}", at % 100), "*");
        }
        assert!(chain.too_much().is_some());
        assert_eq!(wide.too_much(), None);
    }
}
