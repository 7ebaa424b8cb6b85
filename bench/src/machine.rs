//! On what was measured, and with which peers.

use std::process::Command;

use bekci_test_support::find_program;

use crate::options::Options;

/// Peers that are measured where they are installed: program, and the argument that tells its version.
const PEERS: [(&str, &str); 4] = [("nginx", "-v"), ("haproxy", "-v"), ("caddy", "version"), ("wrk", "-v")];

/// Peers that are named in the documents and that Debian has no package of.
const NOT_MEASURED: &str =
    "Envoy, Traefik, oauth2-proxy, Authelia, Oathkeeper, Pomerium: Debian has no package of them";

/// The first lines of a report: machine, load, versions, and what was not measured.
pub(crate) fn describe(options: &Options) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let busy = load
        .first()
        .and_then(|load| load.parse::<f64>().ok())
        .is_some_and(|load| load > 0.5);
    let warning = if cfg!(debug_assertions) {
        "**A build without optimisation: these figures say nothing.** "
    } else if busy {
        "**The machine was busy with other work: times are too high and swing; ratios within a table are better than figures.** "
    } else {
        ""
    };
    let versions: Vec<String> = PEERS
        .iter()
        .map(|(program, argument)| version(program, argument))
        .collect();
    format!(
        "{warning}Machine: {}, {cores} cores, Linux {}. Load average as it began: {}. Commit {}. {} repetitions, {} s of `wrk` (one thread, 32 connections) each.\n\nPeers: {}. Not measured: \
         {NOT_MEASURED}.\n",
        processor(),
        first_line("uname", &["-r"]),
        load.join(" "),
        first_line("git", &["rev-parse", "--short=12", "HEAD"]),
        options.repetitions,
        options.seconds,
        versions.join(", "),
    )
}

fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.to_owned())
}

fn version(program: &str, argument: &str) -> String {
    match find_program(program) {
        Ok(path) => {
            let line = first_line(&path.display().to_string(), &[argument]);
            let number = line.split([' ', '/']).find(|word| {
                let word = word.trim_start_matches('v');
                word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit())
            });
            format!("{program} {}", number.unwrap_or("of unknown version"))
        }
        Err(_) => format!("**{program} is not installed**"),
    }
}

/// The first line that a program writes, on standard output or error.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(told) = Command::new(program).args(arguments).output() else {
        return String::new();
    };
    let told = [told.stdout, told.stderr].concat();
    String::from_utf8_lossy(&told)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
