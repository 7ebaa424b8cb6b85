//! Guards: what they name, and what tells them apart.

use bekci_core::{GuardName, ModelName};

use super::Findings;
use crate::config::suggest;
use crate::config::types::{Column, Config, Guard, Model, Name, ProviderKind, Way};

/// Paths of the gateway's own that no guard can have (contract, sections 4 and 6).
const OWN_PATHS: [&str; 9] = [
    "/.well-known",
    "/admin/v1",
    "/auth-request",
    "/auth/introspect",
    "/auth/revoke",
    "/docs",
    "/ext-authz",
    "/forward-auth",
    "/openapi.json",
];

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    let mut before: Vec<(&GuardName, &Guard)> = Vec::new();
    for (name, guard) in &config.guards {
        apart(name.as_str(), guard, &before, findings);
        paths(name.as_str(), guard, config, findings);
        leads_somewhere(name.as_str(), guard, config, findings);
        claims(name.as_str(), guard, config, findings);
        lifetimes(name.as_str(), guard, findings);
        sign_in(name.as_str(), guard, config, findings);
        one_provider(name.as_str(), guard, &before, findings);
        password_hash(name.as_str(), guard, &before, findings);
        before.push((name, guard));
    }
}

/// A token, a cookie and a call must belong to one guard alone. Cookies are told apart by the guard's name, which is unique.
fn apart(name: &str, guard: &Guard, before: &[(&GuardName, &Guard)], findings: &mut Findings<'_>) {
    for (other_name, other) in before {
        if other.audience == guard.audience {
            findings.add(
                &["guards", name, "audience"],
                format!(
                    "{:?} is the audience of guards.{other_name} too: their tokens could not be told apart",
                    guard.audience.as_str()
                ),
            );
        }
        if other.auth_path == guard.auth_path {
            let message = format!(
                "{:?} is the auth_path of guards.{other_name} too",
                guard.auth_path.as_str()
            );
            findings.add(&["guards", name, "auth_path"], message);
        }
        for alias in guard.aliases.keys().filter(|alias| other.aliases.contains_key(alias)) {
            findings.add(
                &["guards", name, "aliases", alias.as_str()],
                format!("is an alias of guards.{other_name} too"),
            );
        }
    }
}

fn paths(name: &str, guard: &Guard, config: &Config, findings: &mut Findings<'_>) {
    let own = |path: &str| OWN_PATHS.into_iter().find(|own| is_at_or_below(path, own));
    if let Some(own) = own(guard.auth_path.as_str()) {
        findings.add(
            &["guards", name, "auth_path"],
            format!("lies in {own}, which is the gateway's own"),
        );
    }
    for (alias, call) in &guard.aliases {
        let key = ["guards", name, "aliases", alias.as_str()];
        let another = config
            .guards
            .iter()
            .find(|(_, other)| is_at_or_below(alias.as_str(), other.auth_path.as_str()));
        if let Some(own) = own(alias.as_str()) {
            findings.add(&key, format!("lies in {own}, which is the gateway's own"));
        } else if let Some((other, _)) = another.filter(|(other, _)| other.as_str() != name) {
            findings.add(&key, format!("lies in the auth_path of guards.{other}"));
        } else if below(alias.as_str(), guard.auth_path.as_str())
            .is_some_and(|call| call.is_empty() || bekci::is_call(call))
        {
            findings.add(&key, "is the path of one of the guard's own calls");
        }
        let calls = bekci::call_names();
        if !calls.contains(&call.as_str()) {
            findings.add_unknown(&key, "call", call.as_str(), calls);
        }
    }
}

/// What of a path is below another one; empty where it is that one.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    path.strip_prefix(parent)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn is_at_or_below(path: &str, parent: &str) -> bool {
    below(path, parent).is_some()
}

fn leads_somewhere(name: &str, guard: &Guard, config: &Config, findings: &mut Findings<'_>) {
    if !config.models.contains_key(&guard.model) {
        let known = config.models.keys().map(ModelName::as_str);
        findings.add_unknown(&["guards", name, "model"], "model", guard.model.as_str(), known);
    }
    if guard.provider.as_str() != "database" && !config.providers.contains_key(&guard.provider) {
        let known = config.providers.keys().map(Name::as_str).chain(["database"]);
        findings.add_unknown(
            &["guards", name, "provider"],
            "provider",
            guard.provider.as_str(),
            known,
        );
    }
}

/// A claim is taken from what a sign-in has at hand; from anything else it would be missing in every token, and nobody would be told.
fn claims(name: &str, guard: &Guard, config: &Config, findings: &mut Findings<'_>) {
    let Some(model) = config.models.get(&guard.model) else {
        return;
    };
    let cached = model.cached_attributes.iter().map(Column::as_str);
    let known: Vec<&str> = ["id", "key"].into_iter().chain(cached).collect();
    for (claim, source) in &guard.claims {
        if !known.contains(&source.as_str()) {
            let hint = suggest::hint(source.as_str(), known.iter().copied());
            let message = format!(
                "takes {:?}, which is none of {}: id, key and models.{}.cached_attributes{hint}",
                source.as_str(),
                known.join(", "),
                guard.model
            );
            findings.add(&["guards", name, "claims", claim.as_str()], message);
        }
    }
}

/// Two guards of a model have the same accounts.
fn one_provider(name: &str, guard: &Guard, before: &[(&GuardName, &Guard)], findings: &mut Findings<'_>) {
    let differs = |(_, other): &&(&GuardName, &Guard)| other.model == guard.model && other.provider != guard.provider;
    if let Some((other, _)) = before.iter().find(differs) {
        let told = format!(
            "is not the provider of guards.{other}, which is for the same model: its accounts come from one place"
        );
        findings.add(&["guards", name, "provider"], told);
    }
}

fn lifetimes(name: &str, guard: &Guard, findings: &mut Findings<'_>) {
    let access = guard.access_ttl_seconds;
    if guard.refresh_ttl_seconds <= access {
        findings.add(
            &["guards", name, "refresh_ttl_seconds"],
            "must be more than access_ttl_seconds",
        );
    }
    for (key, limit) in [
        ("session_max_seconds", guard.session_max_seconds),
        ("session_idle_seconds", guard.session_idle_seconds),
    ] {
        if limit.unless_zero().is_some() && limit < access {
            findings.add(&["guards", name, key], "must not be less than access_ttl_seconds");
        }
    }
}

fn sign_in(name: &str, guard: &Guard, config: &Config, findings: &mut Findings<'_>) {
    let model = config.models.get(&guard.model);
    let has_table = guard.provider.as_str() == "database"
        || config
            .providers
            .get(&guard.provider)
            .is_some_and(|provider| provider.kind == ProviderKind::Database);
    let lacks = |column: fn(&Model) -> bool| has_table && model.is_some_and(column);
    for way in &guard.sign_in {
        let key = ["guards", name, "sign_in"];
        match way {
            Way::Password if lacks(|model| model.password_column.is_none()) => {
                findings.add(
                    &key,
                    format!("names password, and models.{}.password_column is empty", guard.model),
                );
            }
            Way::Idp(idp) if !config.idp.contains_key(idp) => {
                let known = config
                    .idp
                    .keys()
                    .map(Name::as_str)
                    .chain(["password", "email_otp", "email_link"]);
                let hint = suggest::hint(idp.as_str(), known);
                findings.add(&key, format!("names {idp}, and there is no section [idp.{idp}]{hint}"));
            }
            Way::Password | Way::EmailOtp | Way::EmailLink | Way::Idp(_) => {}
        }
    }
    if guard.require_verified_email && lacks(|model| model.verified_column.is_none()) {
        let message = format!("needs models.{}.verified_column, which is empty", guard.model);
        findings.add(&["guards", name, "require_verified_email"], message);
    }
}

fn password_hash(name: &str, guard: &Guard, before: &[(&GuardName, &Guard)], findings: &mut Findings<'_>) {
    let other = before.iter().find(|(_, other)| other.model == guard.model);
    if let Some((other_name, other)) = other {
        let differing = [
            ("password_hash", other.password_hash != guard.password_hash),
            ("password_rehash", other.password_rehash != guard.password_rehash),
        ];
        for (key, _) in differing.into_iter().filter(|(_, differs)| *differs) {
            let message = format!(
                "is not what guards.{other_name} has, which is for model {} too: one table has one way to hash",
                guard.model
            );
            findings.add(&["guards", name, key], message);
        }
    }
    let key = |part| ["guards", name, "password_hash", part];
    let has_argon2 = ["memory_kib", "iterations", "lanes"]
        .into_iter()
        .any(|part| findings.is_given(&key(part)));
    if has_argon2 && findings.is_given(&key("bcrypt")) {
        findings.add(
            &key("bcrypt"),
            "stands beside the cost of Argon2id; a password is hashed by one of them",
        );
    }
}
