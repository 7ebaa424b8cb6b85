//! `bekci principal import`: accounts of another system, with the hashes of their passwords.

mod progress;
mod reader;
mod rights;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use bekci_core::{ErrorCode, GuardName, ModelName, ModelSpec};
use bekci_signin::{FirebaseParameters, PasswordHasher};
use bekci_store::{AccountChange, DirectoryError, ImportRow, Imported, Importer};
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use serde_json::{Value, json};

use self::{
    progress::Progress,
    reader::{Fault, Reader, Record},
    rights::{Fields, Place},
};
use super::super::{Answer, Failure, answer::in_force, desk::Desk, input};

/// How many lines one transaction has.
const BATCH: usize = 500;
/// How many refused lines an answer names.
const MOST_NAMED: usize = 1_000;

/// Names of fields that are no columns.
const HASH: &str = "password_hash";
const SALT: &str = "password_salt";
const VERIFIED: &str = "verified";
const LEFT_OUT: &str = "-";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with the names of the fields in the first line
    Csv,
    /// One JSON object on each line
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; `-` is standard input. Its fields have the names of columns, or `password_hash`, `password_salt`, `verified`, `roles`, `permissions` and `tenant`
    file: PathBuf,
    /// The model
    #[arg(long)]
    model: ModelName,
    /// The format; without it the file's name says it: .csv, .jsonl or .ndjson
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A field of the file and its column, as displayName=name; `-` leaves the field out. May be repeated
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = input::assignment)]
    map: Vec<(String, String)>,
    /// A column and its value for each account whose line has no such field; may be repeated
    #[arg(long = "set", value_name = "COLUMN=VALUE", value_parser = input::assignment)]
    columns: Vec<(String, String)>,
    /// Marks accounts as verified whose line has no field `verified`
    #[arg(long)]
    verified: bool,
    /// The guard in which `roles` and `permissions` count; else the model's only one, else the one of the model's name
    #[arg(long)]
    guard: Option<GuardName>,
    /// The password hash parameters of a Firebase project, as its console shows them, in a file
    #[arg(long, value_name = "FILE")]
    firebase_parameters: Option<PathBuf>,
    /// Does everything and takes it back
    #[arg(long)]
    dry_run: bool,
}

/// What is known before the first line.
struct Plan<'a> {
    spec: &'a ModelSpec,
    map: BTreeMap<&'a str, &'a str>,
    columns: &'a [(String, String)],
    verified: bool,
    firebase: Option<FirebaseParameters>,
    place: Place,
}

#[derive(Default)]
struct Tally {
    lines: u64,
    imported: u64,
    present: u64,
    refused: u64,
    faults: Vec<(u64, Failure)>,
}

impl Tally {
    fn refuse(&mut self, line: u64, fault: Failure) {
        self.refused += 1;
        if self.faults.len() < MOST_NAMED {
            self.faults.push((line, fault));
        }
    }
}

impl Import {
    pub(super) async fn run(&self, desk: &Desk<'_>) -> Result<Answer, Failure> {
        let spec = desk.model(&self.model)?;
        let firebase = self.firebase_parameters.as_deref().map(parameters).transpose()?;
        let map = self.map.iter().map(|(field, column)| (field.as_str(), column.as_str()));
        let plan = Plan {
            spec,
            map: map.collect(),
            columns: &self.columns,
            verified: self.verified,
            firebase,
            place: Place::of(desk, self.guard.as_ref(), &self.model).await?,
        };
        let mut reader = Reader::open(&self.file, self.format()?)?;
        let directory = desk.directory().with_any_column();
        let mut importer = directory.importer(&self.model, self.dry_run).await?;
        let set = self.columns.iter().map(|(column, _)| column);
        for field in reader.fields().iter().chain(set) {
            plan.must_have(&importer, plan.target(field, &importer))?;
        }
        let mut tally = Tally::default();
        let done = self.all(&plan, &mut reader, &mut importer, &mut tally).await;
        done.map_err(|failure| {
            let so_far = match self.dry_run {
                true => String::new(),
                false => format!("; {} accounts are imported, run it again to go on", tally.imported),
            };
            failure.after(format!("stopped after line {}{so_far}", tally.lines))
        })?;
        in_force(&importer.finish().await?)?;
        Ok(self.told(tally))
    }

    fn format(&self) -> Result<Format, Failure> {
        let extension = self.file.extension().and_then(|extension| extension.to_str());
        match (self.format, extension.map(str::to_ascii_lowercase).as_deref()) {
            (Some(format), _) => Ok(format),
            (None, Some("csv")) => Ok(Format::Csv),
            (None, Some("jsonl" | "ndjson")) => Ok(Format::Jsonl),
            _ => Err(Failure::usage(
                "the file's name does not end in .csv, .jsonl or .ndjson: add --format csv or --format jsonl",
            )),
        }
    }

    async fn all(
        &self,
        plan: &Plan<'_>,
        reader: &mut Reader,
        importer: &mut Importer,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let mut progress = Progress::new(reader.bytes());
        loop {
            let (mut rows, mut last) = (Vec::with_capacity(BATCH), tally.lines);
            while rows.len() < BATCH {
                let Some(record) = reader.next()? else { break };
                last = match record {
                    Ok(record) => {
                        let line = record.line;
                        match plan.row(record, importer) {
                            Ok(row) => rows.push(row),
                            Err(fault) => tally.refuse(line, fault),
                        }
                        line
                    }
                    Err(Fault { line, message }) => {
                        tally.refuse(line, Failure::invalid(message));
                        line
                    }
                };
            }
            if rows.is_empty() {
                tally.lines = last;
                break;
            }
            progress.clear();
            for (row, outcome) in rows.iter().zip(importer.batch(&rows).await?) {
                match outcome {
                    Imported::Added => tally.imported += 1,
                    Imported::Present => tally.present += 1,
                    Imported::Repeats(line) => {
                        let told = format!("line {line} has the same identifier");
                        tally.refuse(row.line, Failure::coded(ErrorCode::Conflict, told));
                    }
                    Imported::Refused(DirectoryError::Taken) => {
                        let told = "another account has this identifier or id";
                        tally.refuse(row.line, Failure::coded(ErrorCode::Conflict, told));
                    }
                    Imported::Refused(error) => tally.refuse(row.line, error.into()),
                }
            }
            tally.lines = last;
            progress.show(tally.lines, reader.bytes_read());
        }
        progress.clear();
        Ok(())
    }

    fn told(&self, mut tally: Tally) -> Answer {
        tally.faults.sort_by_key(|(line, _)| *line);
        let mut text = format!(
            "{} {} accounts of model {}; {} existed already; {} lines were refused",
            if self.dry_run {
                "dry run, would import"
            } else {
                "imported"
            },
            tally.imported,
            self.model,
            tally.present,
            tally.refused
        );
        for (line, fault) in &tally.faults {
            let _ = write!(
                text,
                "\nline {line}: {}",
                super::super::answer::one_line(&fault.to_string())
            );
        }
        let unnamed = tally
            .refused
            .saturating_sub(u64::try_from(tally.faults.len()).unwrap_or(u64::MAX));
        if unnamed > 0 {
            let _ = write!(text, "\nand {unnamed} more");
        }
        let faults = tally.faults.iter().map(|(line, fault)| {
            json!({"line": line, "code": fault.code().map(ErrorCode::as_str), "message": fault.message()})
        });
        let json = json!({
            "model": self.model, "dryRun": self.dry_run, "lastLine": tally.lines, "imported": tally.imported,
            "present": tally.present, "refused": tally.refused, "errors": faults.collect::<Vec<_>>(),
        });
        Answer::new(text, json).refused_if(tally.refused > 0)
    }
}

fn parameters(file: &Path) -> Result<FirebaseParameters, Failure> {
    let place = |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| place(&error))?;
    FirebaseParameters::parse(&text).map_err(|error| place(&error))
}

impl<'a> Plan<'a> {
    /// Where a field of the file goes. A column of the table is meant before anything else of its name.
    fn target<'b>(&self, field: &'b str, importer: &Importer) -> &'b str
    where
        'a: 'b,
    {
        let mapped = self.map.get(field).copied();
        mapped.unwrap_or_else(|| match importer.has_column(field) {
            true => field,
            false => rights::target(field).unwrap_or(field),
        })
    }

    fn is_hash(&self, target: &str) -> bool {
        target == HASH || self.spec.password_column.as_deref() == Some(target)
    }

    fn is_id(&self, target: &str) -> bool {
        target == self.spec.id_column
    }

    /// Refuses a field that goes nowhere, before the first line.
    fn must_have(&self, importer: &Importer, target: &str) -> Result<(), Failure> {
        let is_special = [SALT, VERIFIED, LEFT_OUT].contains(&target) || self.is_hash(target) || self.is_id(target);
        if is_special || rights::is_target(target) || importer.has_column(target) {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "table {} has no column {target}; --map {target}=COLUMN names the column, --map {target}=- leaves the field out",
            self.spec.table
        )))
    }

    /// The account of a line.
    fn row(&self, record: Record, importer: &Importer) -> Result<ImportRow, Failure> {
        let mut row = ImportRow {
            line: record.line,
            ..ImportRow::default()
        };
        let (mut hash, mut salt, mut rights) = (None, None, Fields::default());
        let mut account = AccountChange {
            verified: self.verified.then_some(true),
            ..AccountChange::default()
        };
        for (field, value) in record.fields {
            let target = self.target(&field, importer);
            if value.is_null() || target == LEFT_OUT {
                continue;
            }
            if self.is_hash(target) {
                hash = Some(text(&field, value)?);
            } else if target == SALT {
                salt = Some(text(&field, value)?);
            } else if target == VERIFIED {
                account.verified = Some(truth(&field, &value)?);
            } else if rights::is_target(target) {
                rights.take(&field, target, &value)?;
            } else if self.is_id(target) {
                row.id = Some(match value {
                    Value::Number(number) => number.to_string(),
                    value => text(&field, value)?,
                });
            } else {
                self.must_have(importer, target)?;
                if account.columns.iter().any(|(column, _)| column == target) {
                    return Err(Failure::invalid(format!("column {target} has two values")));
                }
                account.columns.push((target.to_owned(), value));
            }
        }
        for (column, value) in self.columns {
            let target = self.target(column, importer);
            if rights::is_target(target) {
                if !rights.has(target) {
                    rights.take(column, target, &value.as_str().into())?;
                }
            } else if account.columns.iter().all(|(named, _)| named != column) {
                account.columns.push((column.clone(), value.as_str().into()));
            }
        }
        // An unverified account has nothing in the column.
        account.verified = account.verified.filter(|verified| *verified);
        account.password_hash = hash.map(|hash| self.stored(hash, salt)).transpose()?;
        row.account = account;
        row.rights = rights.rights(&self.place)?;
        Ok(row)
    }

    /// The hash as it is stored, if it can be verified at a sign-in.
    fn stored(&self, hash: String, salt: Option<String>) -> Result<SecretString, Failure> {
        let is_whole = hash.contains('$');
        let stored = match (&self.firebase, salt) {
            (Some(firebase), Some(salt)) if !is_whole => firebase
                .stored(&hash, &salt)
                .ok_or_else(|| Failure::invalid("the hash or salt of Firebase is malformed"))?,
            (None, Some(_)) if !is_whole => {
                return Err(Failure::invalid(
                    "the hash has a salt beside it, as Firebase's do: --firebase-parameters FILE says how it was made",
                ));
            }
            _ => hash,
        };
        match PasswordHasher::can_verify(&stored) {
            true => Ok(stored.into()),
            false => Err(Failure::invalid(
                "the hash is of no kind that can be verified, or costs more than it may",
            )),
        }
    }
}

fn text(field: &str, value: Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Failure::invalid(format!("field {field} is no text"))),
    }
}

fn truth(field: &str, value: &Value) -> Result<bool, Failure> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if ["true", "1", "yes"].contains(&text.to_ascii_lowercase().as_str()) => Ok(true),
        Value::String(text) if ["false", "0", "no"].contains(&text.to_ascii_lowercase().as_str()) => Ok(false),
        _ => Err(Failure::invalid(format!("field {field} is neither true nor false"))),
    }
}
