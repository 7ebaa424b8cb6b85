//! The configuration as a whole: what loads, what is refused and where, and that the files made from the table of settings are true.

mod contradictions;
mod deployment;
mod environment;
pub(crate) mod files;
mod mistakes;
mod mutations;
mod not_built;

use std::path::Path;

use super::{Config, Loaded, load_text};

/// Loads a text as the file `bekci.toml` with these variables.
fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let env = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_text(Some(Path::new("bekci.toml")), text, env)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The configuration of a text.
#[track_caller]
pub(crate) fn loaded(text: &str) -> Config {
    match load_with(text, &[]) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("refused: {problems:#?}"),
    }
}

/// The mistakes in a text.
#[track_caller]
fn refused(text: &str) -> Vec<String> {
    match load_with(text, &[]) {
        Ok(_) => panic!("taken: {text}"),
        Err(problems) => problems,
    }
}

/// The one mistake in a text.
#[track_caller]
fn mistake(text: &str) -> String {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.concat()
}
