//! `bekci policy`: the lines that casbin decides by, in the database.

use std::path::{Path, PathBuf};

use bekci_core::{ErrorCode, PolicyLine, Verdict, signin::StoreError};
use bekci_policy::{CasbinPolicy, compile, compile_text, parse_csv, parse_decisions, print_csv, run_decisions};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    answer::in_force,
    desk::{Desk, at_desk},
};
use crate::{assemble, config::Config, users};

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Says whether the lines load with the model, and which probably do not say what was meant: those of the database, or of a file
    #[command(after_help = "Example:\n  bekci policy check --file config/casbin_policy.csv")]
    Check {
        /// The lines of this file instead of those of the database
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// The lines of the database, in the order in which they were added
    #[command(after_help = "Example:\n  bekci policy list > policy.csv")]
    List,
    /// Adds lines; one that is there already is no error. What does not load with the others changes nothing
    #[command(
        after_help = "Example:\n  bekci policy add 'p, role:customer:buyer, *, /api/returns/**, GET|POST, allow'"
    )]
    Add(Lines),
    /// Removes lines; no node decides by them any more when it is done
    #[command(
        after_help = "Example:\n  bekci policy remove 'p, role:customer:buyer, *, /api/returns/**, GET|POST, allow'"
    )]
    Remove(Lines),
    /// Asks every question of a file of expected decisions, and tells the answers that are not the expected ones
    #[command(
        after_help = "Example:\n  bekci policy test decisions.toml --file config/casbin_policy.csv\n\nA question of the file:\n  [[case]]\n  subject = \"customer:42\"\n  guard = \"customer\"\n  roles = [\"buyer\"]\n  method = \"GET\"\n  path = \"/api/orders/1\"\n  expect = \"allow\""
    )]
    Test {
        /// The expected decisions
        decisions: PathBuf,
        /// The policy of this file instead of that of the database
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

/// Lines as they would stand in a file.
#[derive(Debug, Args)]
pub(crate) struct Lines {
    /// A line, as 'p, role:admin:support, *, /api/**, GET, allow'; may be repeated
    #[arg(required_unless_present = "file")]
    lines: Vec<String>,
    /// A file of lines
    #[arg(long, conflicts_with = "lines")]
    file: Option<PathBuf>,
}

impl Lines {
    fn read(&self) -> Result<Vec<PolicyLine>, Failure> {
        let text = match &self.file {
            Some(path) => read(path)?,
            None => self.lines.join("\n"),
        };
        let lines: Vec<PolicyLine> = parse_csv(&text)
            .map_err(Failure::invalid)?
            .into_iter()
            .map(|numbered| numbered.line)
            .collect();
        match lines.is_empty() {
            true => Err(Failure::invalid("there is no line that says anything")),
            false => Ok(lines),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    match action {
        Action::Check { file } => check(file.as_deref(), config).await,
        Action::List => at_desk(config, list).await,
        Action::Add(lines) => {
            let lines = lines.read()?;
            at_desk(config, async |desk| add(desk, &lines).await).await
        }
        Action::Remove(lines) => {
            let lines = lines.read()?;
            at_desk(config, async |desk| remove(desk, &lines).await).await
        }
        Action::Test { decisions, file } => test(decisions, file.as_deref(), config).await,
    }
}

/// The policy of a file, else that of the database, as it would decide.
async fn compiled(file: Option<&Path>, config: &Config) -> Result<std::sync::Arc<CasbinPolicy>, Failure> {
    let model = assemble::policy_model(config).map_err(Failure::invalid)?;
    if let Some(path) = file {
        let said = |error| Failure::invalid(format!("{}: {error}", path.display()));
        return compile_text(&model, &parse_csv(&read(path)?).map_err(said)?).map_err(said);
    }
    let lines = at_desk(config, async |desk| Ok(desk.bekci.store().policies().lines().await?)).await?;
    compile(&model, &lines).map_err(|error| Failure::invalid(format!("the policy of the database: {error}")))
}

fn whence(file: Option<&Path>) -> String {
    file.map_or_else(|| "the database".to_owned(), |path| path.display().to_string())
}

async fn check(file: Option<&Path>, config: &Config) -> Result<Answer, Failure> {
    let policy = compiled(file, config).await?;
    let notes = match file {
        // A file may be written for another database.
        Some(_) => policy.warnings().to_vec(),
        None => at_desk(config, async |desk| Ok(notes(&policy, desk).await?)).await?,
    };
    let (rules, whence) = (policy.rules(), whence(file));
    let told: String = notes.iter().map(|note| format!("\nwarning: {note}")).collect();
    Ok(Answer::new(
        format!("{whence}: good, {rules} rules{told}"),
        json!({"policy": whence, "rules": rules, "warnings": notes}),
    ))
}

/// What probably does not say what was meant: of the lines themselves, and of the names in those of the database.
async fn notes(policy: &CasbinPolicy, desk: &Desk<'_>) -> Result<Vec<String>, StoreError> {
    let mut notes = policy.warnings().to_vec();
    // The roles of a users file are not in the database.
    let files = users::files(desk.config);
    let of_file = |name: &str| {
        let mut guards = desk.config.guards.iter();
        guards.any(|(guard, section)| files.contains_key(&section.model) && name.starts_with(&format!("role:{guard}:")))
    };
    let dangling = desk.bekci.store().policies().dangling().await?;
    for (name, lines) in dangling.into_iter().filter(|(name, _)| !of_file(name)) {
        let what = match name.starts_with("role:") {
            true => "there is no such role",
            false => "there is no such account",
        };
        notes.push(format!(
            "{what}: {name}; a new one of this name would come under these lines: {}",
            lines.join("; ")
        ));
    }
    Ok(notes)
}

/// The line as it would stand in a file; one that raw SQL made unprintable is told as it is.
fn text(line: &PolicyLine) -> String {
    print_csv([line]).map_or_else(|_| format!("{line:?}"), |text| text.trim_end().to_owned())
}

fn shown(line: &PolicyLine) -> Value {
    json!({"kind": line.kind, "values": line.values, "line": text(line)})
}

async fn list(desk: &Desk<'_>) -> Result<Answer, Failure> {
    let lines = desk.bekci.store().policies().lines().await?;
    let texts: Vec<String> = lines.iter().map(text).collect();
    let items: Vec<Value> = lines.iter().map(shown).collect();
    Ok(Answer::new(texts.join("\n"), json!({"items": items})))
}

fn must_have_model(desk: &Desk<'_>) -> Result<(), Failure> {
    match desk.bekci.store().policies().have_model() {
        true => Ok(()),
        false => Err(Failure::coded(
            ErrorCode::Conflict,
            "no route has `policy = true`, so that nothing would be decided by these lines",
        )),
    }
}

async fn add(desk: &Desk<'_>, lines: &[PolicyLine]) -> Result<Answer, Failure> {
    must_have_model(desk)?;
    let policies = desk.store().policies();
    in_force(&policies.add(lines).await?)?;
    let texts: Vec<String> = lines.iter().map(text).collect();
    Ok(Answer::new(
        format!("in force on every node:\n{}", texts.join("\n")),
        json!({"lines": texts}),
    ))
}

async fn remove(desk: &Desk<'_>, lines: &[PolicyLine]) -> Result<Answer, Failure> {
    must_have_model(desk)?;
    let (removed, committed) = desk.store().policies().remove(lines).await?;
    in_force(&committed)?;
    if removed == 0 {
        return Err(Failure::not_found(
            "none of these lines is there; `bekci policy list` shows those that are",
        ));
    }
    let texts: Vec<String> = lines.iter().map(text).collect();
    Ok(Answer::new(
        format!("removed {removed}; no node decides by them"),
        json!({"lines": texts, "removed": removed}),
    ))
}

async fn test(decisions: &Path, file: Option<&Path>, config: &Config) -> Result<Answer, Failure> {
    let said = |error| Failure::invalid(format!("{}: {error}", decisions.display()));
    let cases = parse_decisions(&read(decisions)?).map_err(said)?;
    let policy = compiled(file, config).await?;
    let wrong = run_decisions(&*policy, &cases);
    let mut text = String::new();
    let mut mismatches = Vec::new();
    for mismatch in &wrong {
        let (answer, reason) = match &mismatch.verdict {
            Verdict::Allow { reason } => ("allow", reason),
            Verdict::Deny { reason } => ("deny", reason),
        };
        let case = &mismatch.case;
        text.push_str(&format!(
            "{}:{}: {case}\n  expected {}, the policy says {answer}: {reason}\n",
            decisions.display(),
            case.line,
            case.expect
        ));
        mismatches.push(json!({
            "line": case.line, "case": case.to_string(), "expected": case.expect.to_string(),
            "answer": answer, "reason": reason,
        }));
    }
    text.push_str(&format!(
        "{} of {} decisions are the expected ones",
        cases.len().saturating_sub(wrong.len()),
        cases.len()
    ));
    let json = json!({"policy": whence(file), "decisions": cases.len(), "mismatches": mismatches});
    Ok(Answer::new(text, json).refused_if(!wrong.is_empty()))
}
