//! The policy: whether it loads, and whether the roles that its lines name are there.

use std::collections::BTreeSet;

use bekci::Bekci;
use bekci_core::PolicyLine;

use super::{super::answer::listed, finding::Finding};
use crate::{assemble, config::Config, users};

const UNREAD: &str = "may the database user read bekci_policies, bekci_roles and bekci_principal_roles?";

pub(super) async fn look(config: &Config, bekci: &Bekci) -> Vec<Finding> {
    let asking: Vec<&str> = config
        .routes
        .iter()
        .filter(|route| route.policy)
        .map(|route| route.id.as_str())
        .collect();
    if asking.is_empty() {
        return vec![Finding::ok("policy", "no route asks it")];
    }
    let advice = "`bekci policy check` says which line; until then the routes that ask it are denied";
    let lines = match bekci.store().policies().lines().await {
        Ok(lines) => lines,
        Err(error) => return vec![Finding::failed("policy", error, UNREAD)],
    };
    match assemble::policy_model(config) {
        Err(error) => vec![Finding::failed("policy", error, advice)],
        Ok(model) => match bekci_policy::compile(&model, &lines) {
            Ok(policy) => {
                let found = format!("{} rules, asked by {}", policy.rules(), listed(asking));
                let mut findings = named_roles(config, bekci, &lines, found).await;
                findings.extend(unheeded(policy.warnings(), bekci).await);
                findings
            }
            Err(error) => vec![Finding::failed("policy", error, advice)],
        },
    }
}

/// Lines that probably do not say what was meant, and lines whose account is missing: a new one with its id would come under them.
async fn unheeded(warnings: &[String], bekci: &Bekci) -> Vec<Finding> {
    let advice = "`bekci policy add` and `bekci policy remove` change lines";
    let warned = |warning: &String| Finding::warning("policy", warning, advice);
    let mut findings: Vec<Finding> = warnings.iter().map(warned).collect();
    match bekci.store().policies().dangling().await {
        Err(error) => findings.push(Finding::failed("policy", error, UNREAD)),
        Ok(names) => findings.extend(names.iter().filter(|(name, _)| name.starts_with("principal:")).map(
            |(name, lines)| {
                let found = format!("lines name an account that does not exist: {name} ({})", lines.len());
                Finding::warning("policy", found, advice)
            },
        )),
    }
    findings
}

/// `role:<guard>:<name>` as guard and name.
fn role_of(value: &str) -> Option<(String, String)> {
    let (guard, name) = value.strip_prefix("role:")?.split_once(':')?;
    Some((guard.to_owned(), name.to_owned()))
}

/// What a policy that loads is told as, and the lines whose role is missing: they decide nothing.
async fn named_roles(config: &Config, bekci: &Bekci, lines: &[PolicyLine], mut found: String) -> Vec<Finding> {
    let known = match bekci.store().policies().known_roles().await {
        Ok(known) => known,
        Err(error) => return vec![Finding::failed("policy", error, UNREAD)],
    };
    let named: Vec<_> = lines
        .iter()
        .flat_map(|line| line.values.iter().filter_map(|value| role_of(value)))
        .collect();
    // The roles of a users file are not in the database.
    let files = users::files(config);
    let in_file = |guard: &str| {
        config
            .guards
            .iter()
            .any(|(name, section)| name.as_str() == guard && files.contains_key(&section.model))
    };
    let (mut missing, mut unheld) = (Vec::new(), Vec::new());
    for role in named.iter().collect::<BTreeSet<_>>() {
        let count = named.iter().filter(|other| *other == role).count();
        let told = format!("{}:{} ({count})", role.0, role.1);
        match known.get(role) {
            _ if in_file(&role.0) => {}
            None => missing.push((role, told)),
            Some(false) => unheld.push(told),
            Some(true) => {}
        }
    }
    if !unheld.is_empty() {
        found.push_str(&format!(
            "; roles of lines that no account holds: {}; `bekci grant` gives them",
            listed(unheld)
        ));
    }
    let mut findings = vec![Finding::ok("policy", found)];
    findings.extend(missing.into_iter().map(|((guard, name), told)| {
        let advice = format!(
            "`bekci role add {name} --guard {guard}` makes the role; `bekci policy list` shows the lines and `bekci policy remove` takes them out"
        );
        Finding::warning("policy", format!("lines name a role that does not exist: {told}"), &advice)
    }));
    findings
}
