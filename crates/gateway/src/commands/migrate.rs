//! `bekci migrate`.

use std::path::Path;

use bekci::migration;
use clap::Subcommand;
use serde_json::json;

use super::{Answer, Failure};
use crate::{
    assemble,
    config::{Config, types::DatabaseKind},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Makes what is missing of the schema and its triggers; a second time it does nothing
    #[command(after_help = "Example:\n  bekci migrate up --config config/bekci.toml")]
    Up {
        /// Prints the statements instead of running them
        #[arg(long)]
        sql: bool,
        /// Makes account tables also where the database has tables of an application, or one of a similar name
        #[arg(long)]
        create_tables: bool,
    },
    /// Removes everything of Bekci but account tables: sessions, roles and bans are lost
    #[command(after_help = "Example:\n  bekci migrate down --yes")]
    Down {
        /// Says that the loss is meant
        #[arg(long)]
        yes: bool,
    },
    /// Gives the database another epoch, after a restore or a failover that lost commits: no earlier entry of Redis or memory is used any more
    #[command(after_help = "Example:\n  bekci migrate epoch")]
    Epoch,
    /// Says what is missing
    #[command(after_help = "Example:\n  bekci migrate status --output json")]
    Status,
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    let tables = assemble::tables(config);
    if let Action::Up { sql: true, .. } = action {
        let backend = match config.database.kind() {
            DatabaseKind::Sqlite => migration::sea_orm_migration::sea_orm::DbBackend::Sqlite,
            DatabaseKind::MariaDb => migration::sea_orm_migration::sea_orm::DbBackend::MySql,
            DatabaseKind::Postgres => migration::sea_orm_migration::sea_orm::DbBackend::Postgres,
        };
        let text = migration::sql(backend, &tables).map_err(Failure::of)?;
        let json = json!({"sql": text});
        return Ok(Answer::new(text, json));
    }
    if let Action::Down { yes: false } = action {
        return Err(Failure::of("sessions, roles and bans would be lost; say --yes"));
    }
    if let (Action::Status, Some(path)) = (action, config.database.sqlite_path().filter(|path| !path.exists())) {
        return nothing_there(&path, &tables).await;
    }
    let missing = config.database.sqlite_path().filter(|path| !path.exists());
    let db = assemble::database(config).await.map_err(Failure::of)?;
    match action {
        Action::Up { create_tables, .. } => {
            let report = assemble::migrate(config, &db, *create_tables)
                .await
                .map_err(Failure::of)?;
            let text = if report == migration::Report::default() {
                "nothing to do".to_owned()
            } else {
                format!(
                    "applied: {}\nmade: {}\nwatched: {}",
                    listed(&report.applied),
                    listed(&report.created),
                    listed(&report.watched)
                )
            };
            let text = match missing {
                Some(path) => format!("made database {}\n{text}", path.display()),
                None => text,
            };
            let json = json!({"applied": report.applied, "created": report.created, "watched": report.watched});
            Ok(Answer::new(text, json))
        }
        Action::Down { .. } => {
            migration::down(&db).await.map_err(Failure::of)?;
            Ok(Answer::new("removed", json!({"removed": true})))
        }
        Action::Epoch => {
            migration::change_epoch(&db).await.map_err(Failure::of)?;
            Ok(Answer::new("the database has a new epoch", json!({"changed": true})))
        }
        Action::Status => {
            let status = migration::status(&db, &tables).await.map_err(Failure::of)?;
            Ok(told(&status, None))
        }
    }
}

/// What is missing where there is no database yet. Asking makes none: opening it would leave an empty file behind.
async fn nothing_there(path: &Path, tables: &[migration::ModelTable]) -> Result<Answer, Failure> {
    let empty = bekci::connect(&"sqlite::memory:".into(), 1)
        .await
        .map_err(Failure::of)?;
    let status = migration::status(&empty, tables).await.map_err(Failure::of)?;
    let said = format!(
        "there is no database yet: no file {}; `bekci migrate up` makes it",
        path.display()
    );
    Ok(told(&status, Some(said)))
}

/// `absent`: what is said where there is no database.
fn told(status: &migration::Status, absent: Option<String>) -> Answer {
    let json = json!({
        "database": absent.is_none(), "current": status.is_current(), "pending": status.pending,
        "missingTables": status.missing_tables, "missingTriggers": status.missing_watches,
    });
    if status.is_current() {
        return Answer::new("up to date", json);
    }
    let missing = format!(
        "pending: {}\nmissing tables: {}\nmissing triggers on: {}",
        listed(&status.pending),
        listed(&status.missing_tables),
        listed(&status.missing_watches)
    );
    let lines: Vec<String> = absent.into_iter().chain([missing]).collect();
    Answer::new(lines.join("\n"), json)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
