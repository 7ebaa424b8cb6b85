//! `bekci permission`: the permissions that are known, for those who choose from a list.

use bekci_core::{GuardName, Permission};
use bekci_store::DirectoryError;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    answer::{in_force, table},
    desk::{Desk, at_desk},
};
use crate::config::Config;

const PAGE: u16 = 200;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The permissions that are known
    #[command(after_help = "Example:\n  bekci permission list --guard admin")]
    List {
        /// Of this guard alone
        #[arg(long)]
        guard: Option<GuardName>,
    },
    /// Makes a permission known; it gives nobody anything
    #[command(after_help = "Example:\n  bekci permission add orders.refund --guard admin")]
    Add {
        /// The permission
        name: Permission,
        /// The guard; may be left out where there is only one
        #[arg(long)]
        guard: Option<GuardName>,
    },
    /// Forgets a permission, and takes it from every role of its guard and everybody whom it was granted; denials stay
    #[command(after_help = "Example:\n  bekci permission remove orders.refund --guard admin --yes")]
    Remove {
        /// The permission
        name: Permission,
        /// The guard; may be left out where there is only one
        #[arg(long)]
        guard: Option<GuardName>,
        /// Says that the loss is meant
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| match action {
        Action::List { guard } => {
            let guard = guard.as_ref().map(|guard| desk.known_guard(guard)).transpose()?;
            let known = known(desk, guard.as_ref()).await?;
            let row = |(_, guard, name): &(i64, GuardName, Permission)| [guard.to_string(), name.to_string()];
            let rows: Vec<[String; 2]> = known.iter().map(row).collect();
            let json: Vec<Value> = known.iter().map(shown).collect();
            Ok(Answer::new(
                table(["guard", "permission"], &rows),
                json!({"items": json}),
            ))
        }
        Action::Add { name, guard } => {
            let guard = desk.guard(guard.as_ref())?;
            let added = desk.directory().add_permission(&guard, name).await;
            let (id, committed) = added.map_err(|error| match error {
                DirectoryError::Taken => Failure::coded(
                    bekci_core::ErrorCode::Conflict,
                    format!("guard {guard} knows permission {name} already"),
                ),
                error => error.into(),
            })?;
            in_force(&committed)?;
            Ok(Answer::new(
                format!("guard {guard} knows permission {name}"),
                shown(&(id, guard, name.clone())),
            ))
        }
        Action::Remove { yes: false, .. } => {
            Err(Failure::of("roles and principals would lose the permission; say --yes"))
        }
        Action::Remove { name, guard, yes: true } => {
            let guard = desk.guard(guard.as_ref())?;
            let known = known(desk, Some(&guard)).await?;
            let found = known.into_iter().find(|(_, _, known)| known == name);
            let found = found.ok_or_else(|| Failure::not_found(format!("guard {guard} knows no permission {name}")))?;
            in_force(&desk.directory().remove_permission(found.0).await?)?;
            Ok(Answer::new(
                format!("guard {guard} has forgotten permission {name}"),
                shown(&found),
            ))
        }
    })
    .await
}

fn shown((id, guard, name): &(i64, GuardName, Permission)) -> Value {
    json!({"id": id, "guard": guard, "name": name})
}

async fn known(desk: &Desk<'_>, guard: Option<&GuardName>) -> Result<Vec<(i64, GuardName, Permission)>, Failure> {
    let (mut known, mut after) = (Vec::new(), Some(0));
    while let Some(mark) = after {
        let (page, next) = desk.directory().permissions(guard, mark, PAGE).await?;
        known.extend(page);
        after = next;
    }
    Ok(known)
}
