//! The configuration of the gateway.
//!
//! 1. The file is read into a tree that knows the line and column of every value ([`tree`]).
//! 2. `BEKCI__SECTION__KEY` variables take the place of what the file has ([`mod@environment`]).
//! 3. The tree is checked against the table of settings, and defaults are filled in ([`check`], [`sections`]).
//! 4. The typed configuration is made, and checked for contradictions between keys ([`consistency`]).
//! 5. What this version does not do is refused, where somebody asked for it ([`not_built`]).
//!
//! Every mistake of a step is reported, with its place. There is one list of keys, in [`sections`]: the typed configuration, the checks, the
//! variables, `config show`, the JSON Schema ([`json_schema`]) and the reference ([`mod@reference`]) are made from it.
#![expect(
    dead_code,
    reason = "sections are typed as a whole, also where the gateway reads a part of them"
)]

mod check;
mod consistency;
mod environment;
mod json_schema;
mod not_built;
mod path;
mod problem;
mod reference;
mod schema;
mod sections;
mod show;
mod suggest;
mod tree;
pub(crate) mod users;
mod values;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

pub(crate) use problem::{Place, Problem};
/// The types of sections and values, by which the gateway names what it reads.
#[expect(unused_imports, reason = "the gateway names those that it needs")]
pub(crate) mod types {
    pub(crate) use super::sections::Config;
    pub(crate) use super::sections::guard::{
        AnswerShape, Guard, PasswordHash, RateLimits, Register, Source, Verification, Way,
    };
    pub(crate) use super::sections::limits::{Cors, Limits, Policy, Tenancy, TenantSource};
    pub(crate) use super::sections::mail::{Client, Idp, Mail, MailLanguage, MailTls, MailTransport, Mailbox};
    pub(crate) use super::sections::model::{IdKind, Model, Provider, ProviderKind};
    pub(crate) use super::sections::redis::{Host, Redis, RedisScheme};
    pub(crate) use super::sections::route::{Consistency, Route, RouteKind, Upstream};
    pub(crate) use super::sections::server::{DecisionAttributes, DecisionPreset, Server};
    pub(crate) use super::sections::store::{Database, DatabaseKind, IdentityCache, IdentityConsistency};
    pub(crate) use super::sections::telemetry::{Log, LogFilter, LogFormat, Otel};
    pub(crate) use super::sections::token::{Algorithm, Secrets, Token};
    pub(crate) use super::values::names::{
        Audience, Call, ClaimName, Column, Filter, Identifier, Language, Message, MessageCode, Name, RedisPrefix,
        Right, RouteId, Sentence, Status, TableName,
    };
    pub(crate) use super::values::net::Cidr;
    pub(crate) use super::values::pattern::{
        HeaderName, HeaderPattern, HostPattern, Method, PageHeader, PageMethod, PathPattern, Segment, UrlPath,
    };
    pub(crate) use super::values::secret::{Root, Secret, SecretSource};
    pub(crate) use super::values::time::{Days, Hours, Millis, Seconds};
    pub(crate) use super::values::url::{HttpUrl, Origin, PageUrl, RedirectUri};
    pub(crate) use bekci_core::Rate;
}

use check::{Checker, Variables};
use problem::Problems;
use schema::{Kind, Setting};
pub(crate) use sections::Config;
use tree::{Node, Value};
pub(crate) use values::url::percent_encoded;

/// Where the configuration is looked for without `--config`, in this order.
pub(crate) const DISCOVERED: [&str; 2] = ["config/bekci.toml", "bekci.toml"];

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A configuration that has passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The typed configuration.
    pub(crate) config: Config,
    /// The file it was read from; none where it is the defaults and the environment alone.
    pub(crate) file: Option<PathBuf>,
    /// What is accepted and probably not meant.
    pub(crate) warnings: Vec<String>,
    effective: Node,
}

impl Loaded {
    /// The configuration in force as TOML, secrets masked. What somebody gave has its place in a comment.
    pub(crate) fn show(&self) -> String {
        show::as_toml(&self.effective)
    }

    /// Where a key was written, or the nearest table around it.
    pub(crate) fn place_of(&self, key: &[&str]) -> Place {
        consistency::place_of(&self.effective, key)
    }

    /// The configuration in force as JSON, secrets masked.
    pub(crate) fn show_json(&self) -> serde_json::Value {
        show::as_json(&self.effective)
    }

    /// The keys whose value differs in another configuration, as `guards.customer.audience`, each with whether it is one that a running gateway takes over.
    pub(crate) fn changes_in(&self, newer: &Self) -> Vec<Change> {
        show::changes(&self.effective, &newer.effective)
    }
}

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The key.
    pub(crate) key: String,
    /// Whether a reload takes it over; else the process has to be started anew.
    pub(crate) is_live: bool,
}

/// The environment of the process, for [`load`]. What is not UTF-8 has U+FFFD in its place, and is refused where it is used.
#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

/// The file that `bekci` reads without `--config`: the first of [`DISCOVERED`] that is there.
pub(crate) fn discover() -> Option<&'static Path> {
    DISCOVERED.into_iter().map(Path::new).find(|file| file.exists())
}

/// Loads the configuration: from this file, or without one from the first of [`DISCOVERED`] that is there, or from the built-in defaults; with
/// the `BEKCI__...` variables of the environment over it. Relative paths are relative to the working directory.
///
/// # Errors
/// Every mistake, in the order of the file, then of the environment.
pub(crate) fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Vec<Problem>> {
    let file = match file {
        Some(file) => Some(file),
        None => discover(),
    };
    let text = match file.map(|file| read(file, MAX_BYTES)).transpose() {
        Ok(text) => text,
        Err(message) => {
            let mut problems = Problems::default();
            let name = file.map_or_else(String::new, |file| file.display().to_string());
            problems.add(
                Place::File {
                    file: name.into(),
                    line: 1,
                    column: 1,
                },
                "",
                message,
            );
            return Err(problems.into_sorted());
        }
    };
    load_text(file, text.as_deref().unwrap_or_default(), env)
}

/// Loads the configuration from the text of a file that has been read already.
fn load_text(
    file: Option<&Path>,
    text: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Problems::default();
    let name = file.map_or_else(String::new, |file| file.display().to_string());
    let Some(mut written) = tree::parse_file(&name, text, &mut problems) else {
        return Err(problems.into_sorted());
    };
    if file.is_none() {
        written.place = Place::BuiltIn;
    }
    let variables: Variables = env.collect();
    environment::apply(&mut written, Config::KEYS, &variables, &mut problems);
    add_built_in_models(&mut written);
    let effective = Checker::new(&variables, &mut problems).check(&Kind::Table(Config::KEYS), "", written);
    let config = effective.as_ref().and_then(Config::read);
    match effective.zip(config) {
        Some((effective, config)) => {
            consistency::check(&config, &effective, &mut problems);
            not_built::refuse(&effective, &mut problems);
            if problems.is_empty() {
                let mut warnings = environment::probable_mistakes(&variables, Config::KEYS);
                warnings.extend(consistency::warnings(&config));
                return Ok(Loaded {
                    config,
                    file: file.map(Path::to_owned),
                    warnings,
                    effective,
                });
            }
        }
        None if problems.is_empty() => problems.add(Place::BuiltIn, "", "the defaults do not make a configuration"),
        None => {}
    }
    Err(problems.into_sorted())
}

/// `[models.admin]` and `[models.customer]` are there where a guard names them, so that a guard alone needs no model written out; and so is the model of a guard whose
/// accounts are in a users file, since it has no table that would have to be described.
fn add_built_in_models(root: &mut Node) {
    let built_in = ["admin", "customer"];
    let in_a_file = models_in_files(root);
    let is_named = |model: &str| match root.get("guards") {
        None => true,
        Some(guards) => guards.entries().iter().any(|guard| {
            let named = guard.node.get("model");
            named.map_or(Some(guard.key.as_str()), Node::text) == Some(model)
        }),
    };
    let named: Vec<&str> = built_in.into_iter().filter(|model| is_named(model)).collect();
    let named: Vec<String> = named.into_iter().map(str::to_owned).chain(in_a_file).collect();
    let empty = || Node::built_in(Value::Table(Vec::new()));
    if let Some(models) = root.entry("models", empty) {
        for model in named {
            models.entry(&model, empty);
        }
    }
}

/// The models of guards whose provider is a users file.
fn models_in_files(root: &Node) -> Vec<String> {
    let is_file = |name: &str| {
        let provider = root.get("providers").and_then(|providers| providers.get(name));
        provider.and_then(|provider| provider.get("kind")).and_then(Node::text) == Some("file")
    };
    let guards = root.get("guards").map(Node::entries).unwrap_or_default().iter();
    let in_a_file = guards.filter(|guard| guard.node.get("provider").and_then(Node::text).is_some_and(is_file));
    let model = |guard: &tree::Entry| guard.node.get("model").and_then(Node::text).map(str::to_owned);
    in_a_file
        .map(|guard| model(guard).unwrap_or_else(|| guard.key.clone()))
        .collect()
}

fn read(file: &Path, most: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    open.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(format!("is longer than {most} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        format!("is not valid UTF-8 in line {line}")
    })
}
