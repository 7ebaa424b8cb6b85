//! `bekci config`.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{Answer, Failure, load};
use crate::{assemble, config::Loaded, routes::RouteProblem, serve, users};

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Says every mistake with its place, and routes that can never be reached
    #[command(after_help = "Example:\n  bekci config check --config config/bekci.toml")]
    Check,
    /// The configuration in force, secrets masked
    #[command(after_help = "Example:\n  BEKCI__SERVER__LISTEN=0.0.0.0:80 bekci config show")]
    Show,
}

pub(crate) fn run(action: &Action, file: Option<&Path>) -> Result<Answer, Failure> {
    let loaded = load(file)?;
    if let Action::Show = action {
        return Ok(Answer::new(loaded.show(), loaded.show_json()));
    }
    let guards: Vec<_> = assemble::guards(&loaded.config)
        .into_iter()
        .map(std::sync::Arc::new)
        .collect();
    bekci_core::check_guards(guards.iter().map(AsRef::as_ref)).map_err(Failure::of)?;
    let users = users::read(&loaded.config, &assemble::models(&loaded.config)).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::invalid(format!("a users file is at fault:\n{}", told.join("\n")))
    })?;
    let (routes, unreachable) = assemble::routes(&loaded.config, &guards).map_err(Failure::of)?;
    files(&loaded)?;
    let read = loaded
        .file
        .as_ref()
        .map_or_else(|| "the built-in defaults".to_owned(), |file| file.display().to_string());
    let warning = |problem: &RouteProblem| format!("{}: {problem}", loaded.place_of(&["routes", problem.route()]));
    let warnings: Vec<String> = loaded
        .warnings
        .iter()
        .cloned()
        .chain(unreachable.iter().map(warning))
        .chain(assemble::identity_gaps(&loaded.config))
        .collect();
    let mut text = format!(
        "{read}: good, {} guards, {} routes",
        guards.len(),
        routes.iter().count()
    );
    for users in &users {
        text.push_str(&format!(
            "\n{} accounts of model {} in its users file",
            users.len(),
            users.model()
        ));
    }
    for warning in &warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    let json = json!({"file": read, "guards": guards.len(), "routes": routes.iter().count(), "warnings": warnings});
    Ok(Answer::new(text, json))
}

/// Reads the files without which nothing starts.
fn files(loaded: &Loaded) -> Result<(), Failure> {
    let at = |section: &str, key: &str, error: &dyn std::fmt::Display| {
        let place = loaded.place_of(&[section, key]);
        Failure::invalid(format!(
            "the configuration is at fault:\n{place}: {section}.{key}: {error}"
        ))
    };
    if loaded.config.routes.iter().any(|route| route.policy) {
        let model = assemble::policy_model(&loaded.config).map_err(|error| at("policy", "model", &error))?;
        assemble::policy_seed(&loaded.config, &model).map_err(|error| at("policy", "seed", &error))?;
    }
    serve::certificate(&loaded.config).map_err(|error| at("server", "tls", &error))?;
    Ok(())
}
