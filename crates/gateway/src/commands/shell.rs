//! What a shell and `man` read about the commands: completions and manual pages, made from the definitions of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::{Answer, Arguments, Failure};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// The folder for the pages, as /usr/local/share/man/man1; it must exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn completions(wanted: &Completions) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Arguments::command(), "bekci", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Answer::new(
        script.clone(),
        json!({"shell": wanted.shell.to_string(), "script": script}),
    )
}

/// Writes one page for each command, `bekci.1`, `bekci-serve.1`, ….
pub(crate) fn manual(wanted: &Manual) -> Result<Answer, Failure> {
    clap_mangen::generate_to(Arguments::command(), &wanted.out).map_err(|error| cannot(&wanted.out, &error))?;
    let mut pages: Vec<String> = std::fs::read_dir(&wanted.out)
        .map_err(|error| cannot(&wanted.out, &error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("bekci") && name.ends_with(".1"))
        .collect();
    pages.sort();
    let text = format!("wrote {} pages to {}", pages.len(), wanted.out.display());
    Ok(Answer::new(text, json!({"folder": wanted.out, "pages": pages})))
}

fn cannot(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::of(format!(
        "manual pages cannot be written to {}: {error}",
        folder.display()
    ))
}
