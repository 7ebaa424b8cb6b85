//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::faults::Kind;

/// Runs several gateways under faults, and checks that no decision is older than a change that has returned.
#[derive(Clone, Debug, Parser)]
#[command(name = "bekci-checker")]
pub(crate) struct Options {
    /// How long readers and writers run.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_000))]
    pub(crate) seconds: u64,
    /// Which database the gateways share.
    #[arg(long, value_enum, default_value_t = DatabaseKind::Postgres)]
    pub(crate) database: DatabaseKind,
    /// Whether they share a Redis.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) redis: Switch,
    /// Which faults: `all`, `none`, `availability` (one after the other, as docs/coherence.md measures them), or names with commas between.
    #[arg(long, default_value = "all")]
    pub(crate) faults: String,
    /// How many gateways.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) nodes: u8,
    /// Which schedule: the same number gives the same operations and faults in the same order.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the table and the picture are written.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How many connections read from each gateway.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) readers: u8,
    /// How often each gateway polls, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) poll_ms: u64,
    /// Another build of the gateway, to compare with; without it this program is the gateway.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// The file system of this run, which this program mounts itself for the fault `disk-full`.
    #[arg(long, hide = true)]
    pub(crate) disk: Option<PathBuf>,
    /// A protocol that is made weak on purpose, to show that this program finds it.
    #[arg(long, value_enum)]
    pub(crate) weak: Option<Weak>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseKind {
    Postgres,
    #[value(name = "mariadb")]
    MariaDb,
    Sqlite,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// What is made weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weak {
    /// Another program acknowledges every position for the nodes, before they have applied it.
    EarlyAcknowledgement,
    /// The triggers on roles and permissions of principals are missing, so that writes from outside are never seen.
    NoTriggers,
}

/// Which faults a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FaultPlan {
    None,
    Chance(Vec<Kind>),
    Availability,
}

impl FaultPlan {
    /// Whether one of its faults is such.
    pub(crate) fn has(&self, such: impl Fn(Kind) -> bool) -> bool {
        matches!(self, Self::Chance(kinds) if kinds.iter().copied().any(such))
    }
}

impl Options {
    /// The faults of this run: those that the database and Redis of the run can have.
    ///
    /// # Errors
    /// A name that is no fault.
    pub(crate) fn plan(&self) -> Result<FaultPlan, String> {
        match self.faults.as_str() {
            "none" => return Ok(FaultPlan::None),
            "availability" => return Ok(FaultPlan::Availability),
            "all" => {}
            names => {
                let kinds: Result<Vec<Kind>, String> = names
                    .split(',')
                    .map(|name| {
                        Kind::from_str(name, true).map_err(|_| format!("{name}: no such fault; {}", Kind::names()))
                    })
                    .collect();
                return Ok(FaultPlan::Chance(kinds?));
            }
        }
        let fits = |kind: &Kind| {
            (self.redis == Switch::On || !kind.needs_redis())
                && (self.database != DatabaseKind::Sqlite || !kind.needs_server())
        };
        Ok(FaultPlan::Chance(
            Kind::value_variants().iter().copied().filter(fits).collect(),
        ))
    }
}
