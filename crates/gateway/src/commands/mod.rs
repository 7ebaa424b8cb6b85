//! The command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod answer;
mod cache;
mod config;
mod desk;
mod doctor;
mod explain;
mod grant;
mod groups;
mod input;
mod keys;
mod migrate;
mod permission;
mod policy;
mod principal;
mod ready;
#[cfg(test)]
mod reference;
mod role;
mod session;
mod shell;
mod token;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{FromArgMatches, Parser, Subcommand};
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, format::JsonFields},
};

pub(crate) use answer::{Answer, Failure, Output};

use crate::{
    config::{Config, Loaded, Problem, types::LogFormat},
    demo,
    log::{AtTheEnd, RequestFormat, Sink, Style},
    ops::Metrics,
    serve,
};

#[derive(Debug, Parser)]
#[command(
    name = "bekci",
    version,
    about = "Authentication and authorization gateway for HTTP APIs",
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
    /// Roles: what there is to hold
    #[command(
        subcommand,
        after_help = "Example:\n  bekci role allow support tickets.close --guard admin"
    )]
    Role(role::Action),
    /// The permissions that are known
    #[command(subcommand, after_help = "Example:\n  bekci permission list --guard admin")]
    Permission(permission::Action),
    /// Gives a principal roles and permissions
    #[command(
        after_help = "Examples:\n  bekci grant customer:42 --role buyer --permission orders.refund --tenant acme\n  bekci grant --model customer --where country=TR --role buyer --dry-run\n  bekci grant --from keys.txt --role buyer"
    )]
    Grant(grant::Rights),
    /// Takes roles and permissions from a principal; no node decides by them any more when it is done
    #[command(after_help = "Example:\n  bekci revoke customer:42 --role buyer")]
    Revoke(grant::Rights),
    /// Forbids a principal what some role or grant may give it: a denial wins
    #[command(
        after_help = "Examples:\n  bekci deny customer:42 --permission orders.place\n  bekci deny customer:42 --permission orders.place --lift"
    )]
    Deny(grant::Denial),
    /// Why a request is let in or not: which route, which guard, what is asked, what decides
    #[command(
        after_help = "Examples:\n  bekci explain GET https://shop.example.com/api/orders/1 --principal customer:42\n  bekci explain GET /back-office/x --token-stdin < token.txt"
    )]
    Explain(explain::Question),
    /// Looks at everything that the gateway needs, and says what to do about what is wrong
    #[command(after_help = "Example:\n  bekci doctor --config config/bekci.toml")]
    Doctor,
    /// The lines that casbin decides by
    #[command(
        subcommand,
        after_help = "Example:\n  bekci policy add 'p, role:customer:buyer, *, /api/returns/**, GET|POST, allow'"
    )]
    Policy(policy::Action),
    /// The sessions of a principal
    #[command(subcommand, after_help = "Example:\n  bekci session revoke customer:42 --all")]
    Session(session::Action),
    /// What a token is, and one for a test
    #[command(subcommand, after_help = "Example:\n  bekci token inspect < token.txt")]
    Token(token::Action),
    /// An identity as the shared cache has it, beside the database's truth
    #[command(subcommand, after_help = "Example:\n  bekci cache show customer:42")]
    Cache(cache::Action),
    /// Checks whether the gateway of this configuration is ready, or waits until it is
    #[command(after_help = "Example:\n  bekci ready --wait 10s")]
    Ready(ready::Wait),
    /// Prints a completion script for a shell
    #[command(after_help = "Example:\n  bekci completions bash > /etc/bash_completion.d/bekci")]
    Completions(shell::Completions),
    /// Writes the manual pages
    #[command(after_help = "Example:\n  bekci manual --out /usr/local/share/man/man1")]
    Manual(shell::Manual),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let matches = groups::command().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _written = error.print();
            return if error.use_stderr() {
                if wants_json(std::env::args_os()) {
                    answer::tell_usage(&error);
                }
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let output = arguments.output;
    match actix_web::rt::System::new().block_on(dispatch(arguments)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => answer.tell(output),
        Err(failure) => failure.tell(output),
    }
}

/// Whether arguments that could not be read ask for JSON all the same.
fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let pair = words.windows(2).any(|pair| pair == ["--output", "json"]);
    pair || words.iter().any(|word| word == "--output=json")
}

async fn dispatch(arguments: Arguments) -> Result<Option<Answer>, Failure> {
    let Arguments {
        config,
        output,
        command,
    } = arguments;
    match command {
        Command::Demo { listen } => {
            let metrics = Arc::new(Metrics::default());
            let _log = log_through_a_sink("warn", LogFormat::Human, &metrics);
            demo::run(listen, output == Output::Json, metrics)
                .await
                .map(|()| None)
                .map_err(Failure::of)
        }
        Command::Serve => {
            let loaded = load(config.as_deref())?;
            let metrics = Arc::new(Metrics::default());
            let _log = log_through_a_sink(&loaded.config.log.level.to_string(), loaded.config.log.format, &metrics);
            serve_it(loaded, metrics, output).await.map(|()| None)
        }
        Command::Ready(wait) => ready::run(&wait, &quietly(config.as_deref())?).await.map(Some),
        Command::Completions(wanted) => Ok(Some(shell::completions(&wanted))),
        Command::Manual(wanted) => shell::manual(&wanted).map(Some),
        Command::Config(action) => config::run(&action, config.as_deref()).map(Some),
        Command::Migrate(action) => migrate::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Key(action) => keys::run(&action, &quietly(config.as_deref())?).map(Some),
        Command::Principal(action) => principal::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Role(action) => role::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Permission(action) => permission::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Grant(rights) => grant::grant(&rights, &quietly(config.as_deref())?).await.map(Some),
        Command::Revoke(rights) => grant::revoke(&rights, &quietly(config.as_deref())?).await.map(Some),
        Command::Doctor => {
            log_to_stderr("error", LogFormat::Human);
            Ok(Some(doctor::run(config.as_deref()).await))
        }
        Command::Policy(action) => policy::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Session(action) => session::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Token(action) => token::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Cache(action) => cache::run(&action, &quietly(config.as_deref())?).await.map(Some),
        Command::Explain(question) => explain::run(&question, &quietly(config.as_deref())?).await.map(Some),
        Command::Deny(denial) => grant::deny(&denial, &quietly(config.as_deref())?).await.map(Some),
    }
}

/// The configuration for a command that does its work and ends: warnings are logged, and what it changed.
fn quietly(file: Option<&std::path::Path>) -> Result<Config, Failure> {
    log_to_stderr("warn,bekci::audit=info", LogFormat::Human);
    let loaded = load(file)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}

/// The configuration of a file, or what there is without one, and of this process's variables.
fn read(file: Option<&std::path::Path>) -> Result<Loaded, Vec<Problem>> {
    crate::config::load(file, crate::config::environment())
}

pub(crate) fn load(file: Option<&std::path::Path>) -> Result<Loaded, Failure> {
    read(file).map_err(|problems| {
        Failure::invalid(format!(
            "the configuration is at fault:\n{}",
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        ))
    })
}

async fn serve_it(loaded: Loaded, metrics: Arc<Metrics>, output: Output) -> Result<(), Failure> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let logs_json = loaded.config.log.format == LogFormat::Json;
    let running = serve::start(loaded, read, metrics).await.map_err(Failure::of)?;
    tracing::info!(listen = %running.address, ops = %running.ops_address, "listening");
    if logs_json && output == Output::Text {
        // Both streams are read as JSON lines then, and the event says the same.
        return running.until_stopped().await.map_err(Failure::of);
    }
    let (url, ops) = (running.url(), format!("http://{}", running.ops_address));
    let text = format!("Listening on {url} (API page {url}/docs), operations on {ops}/readyz and {ops}/metrics");
    let json = serde_json::json!({"url": url, "docsUrl": format!("{url}/docs"), "opsUrl": ops});
    // A closed standard output keeps no gateway from serving.
    let _code = Answer::new(text, json).tell(output);
    running.until_stopped().await.map_err(Failure::of)
}

/// For what serves: no request waits for who reads the log, see [`Sink`].
fn log_through_a_sink(level: &str, format: LogFormat, metrics: &Metrics) -> AtTheEnd {
    let sink = Sink::to_stderr(metrics.log_lost.with([]), Arc::clone(&metrics.log_refuses));
    let at_the_end = sink.until_the_end();
    log_to(sink, level, format);
    at_the_end
}

/// For a command, which ends.
fn log_to_stderr(level: &str, format: LogFormat) {
    log_to(std::io::stderr, level, format);
}

pub(crate) fn log_to<W>(writer: W, level: &str, format: LogFormat)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let _set = match format {
        LogFormat::Human => {
            let format = RequestFormat::new(tracing_subscriber::fmt::format(), Style::Human);
            builder.with_ansi(false).event_format(format).try_init()
        }
        LogFormat::Json => {
            let others = tracing_subscriber::fmt::format().json().flatten_event(true);
            let format = RequestFormat::new(others, Style::Json);
            builder.fmt_fields(JsonFields::new()).event_format(format).try_init()
        }
    };
}
