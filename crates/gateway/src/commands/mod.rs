//! The command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod config;
mod keys;
mod migrate;
mod principal;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Config, Loaded, types::LogFormat},
    demo, serve,
};

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON value.
    Json,
}

#[derive(Debug, Parser)]
#[command(
    name = "bekci",
    version,
    about = "Stands in front of an API, and lets in who may come in",
    propagate_version = true
)]
struct Arguments {
    /// The configuration; without it config/bekci.toml, then bekci.toml, then the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on the embedded default, in a temporary folder, with accounts to try
    #[command(after_help = "Example:\n  bekci demo --listen 127.0.0.1:8080")]
    Demo {
        /// Where it listens; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// The gateway
    #[command(after_help = "Example:\n  bekci serve --config config/bekci.toml")]
    Serve,
    /// The schema and its triggers
    #[command(subcommand, after_help = "Example:\n  bekci migrate up --sql > schema.sql")]
    Migrate(migrate::Action),
    /// The configuration
    #[command(subcommand, after_help = "Example:\n  bekci config check --config config/bekci.toml")]
    Config(config::Action),
    /// Signing keys and the root secret
    #[command(subcommand, after_help = "Example:\n  bekci key generate")]
    Key(keys::Action),
    /// Accounts
    #[command(
        subcommand,
        after_help = "Example:\n  bekci principal add --model admin --email ada@example.com --role super-admin --password-stdin < password.txt"
    )]
    Principal(principal::Action),
}

/// What a command failed with, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What a command answers, in both forms.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: serde_json::Value,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _written = error.print();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let output = arguments.output;
    match actix_web::rt::System::new().block_on(dispatch(arguments)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => tell(output, &answer),
        Err(failure) => {
            let _written = writeln!(std::io::stderr().lock(), "bekci: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn tell(output: Output, answer: &Answer) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = match output {
        Output::Text => writeln!(out, "{}", answer.text.trim_end()),
        Output::Json => writeln!(out, "{}", answer.json),
    };
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn dispatch(arguments: Arguments) -> Result<Option<Answer>, Failure> {
    let Arguments {
        config,
        output,
        command,
    } = arguments;
    match command {
        Command::Demo { listen } => {
            log_to_stderr("warn", LogFormat::Human);
            demo::run(listen, output == Output::Json)
                .await
                .map(|()| None)
                .map_err(Failure::of)
        }
        Command::Serve => {
            let config = load(config.as_deref())?.config;
            log_to_stderr(&config.log.level.to_string(), config.log.format);
            serve_it(&config).await.map(|()| None)
        }
        Command::Config(action) => config::run(&action, config.as_deref()).map(Some),
        Command::Migrate(action) => migrate::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Key(action) => keys::run(&action, &quietly(config.as_deref())?).map(Some),
        Command::Principal(action) => principal::run(&action, &quietly(config.as_deref())?).await.map(Some),
    }
}

/// The configuration for a command that does its work and ends: only warnings are logged.
fn quietly(file: Option<&std::path::Path>) -> Result<Config, Failure> {
    log_to_stderr("warn", LogFormat::Human);
    Ok(load(file)?.config)
}

pub(crate) fn load(file: Option<&std::path::Path>) -> Result<Loaded, Failure> {
    crate::config::load(file, crate::config::environment()).map_err(|problems| {
        Failure(format!(
            "the configuration is at fault:\n{}",
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        ))
    })
}

async fn serve_it(config: &Config) -> Result<(), Failure> {
    let running = serve::start(config).await.map_err(Failure::of)?;
    tracing::info!(listen = %running.address, ops = %running.ops_address, "bekci is on watch");
    running.until_stopped().await.map_err(Failure::of)
}

fn log_to_stderr(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _set = match format {
        LogFormat::Human => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
