//! Casbin models as text.
//!
//! The text is that of casbin's own models: the sections `[request_definition]`, `[policy_definition]`, `[role_definition]`, `[policy_effect]` and
//! `[matchers]`, each with `key = value`; `#` begins a comment, `;` one at the start of a line; `\` at the end of a line joins the next. Beyond casbin's
//! reading, a section or key that means nothing, a key given twice, an effect that is not one of casbin's four and a function that is not known
//! are refused here, not passed over or met while deciding.

use casbin::{DefaultModel, Model};

use crate::{
    error::PolicyError,
    evaluator::{Effect, Evaluator},
    functions::Matching,
    scan,
};

const SECTIONS: [(&str, &str); 5] = [
    ("request_definition", "r"),
    ("policy_definition", "p"),
    ("role_definition", "g"),
    ("policy_effect", "e"),
    ("matchers", "m"),
];

/// A model that loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyModel {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    section: &'static str,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) line: usize,
}

impl Entry {
    /// The names between commas.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.value.split(',').map(str::trim).collect()
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> PolicyError {
        PolicyError::model(self.line, reason)
    }
}

impl PolicyModel {
    /// Reads a model and has casbin compile it.
    ///
    /// # Errors
    /// [`PolicyError::Model`] with the line of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let model = Self { entries: read(text)? };
        for (section, key) in SECTIONS.iter().filter(|(_, key)| *key != "g") {
            if model.entry(key).is_none() {
                let end = text.lines().count().max(1);
                return Err(PolicyError::model(end, format!("[{section}] has no {key}")));
            }
        }
        model.entries.iter().try_for_each(|entry| model.check(entry))?;
        let matcher = model.required("m")?;
        Evaluator::new(&model, [])
            .map(|_| ())
            .map_err(|error| matcher.refused(error.to_string()))?;
        Ok(model)
    }

    /// What stands under a key: `r`, `p2`, `g`.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// What stands under a key without which no model is made.
    pub(crate) fn required(&self, key: &str) -> Result<&Entry, PolicyError> {
        self.entry(key)
            .ok_or_else(|| PolicyError::model(1, format!("the model has no {key}")))
    }

    /// How many values a line of this kind has at least; `None` where the model knows no such kind.
    pub(crate) fn width(&self, kind: &str) -> Option<usize> {
        self.entry(kind)
            .filter(|entry| matches!(entry.section, "p" | "g"))
            .map(|entry| entry.names().len())
    }

    /// The model as casbin has it.
    pub(crate) fn to_casbin(&self) -> DefaultModel {
        let mut model = DefaultModel::default();
        for entry in &self.entries {
            model.add_def(entry.section, &entry.key, &entry.value);
        }
        model
    }

    fn check(&self, entry: &Entry) -> Result<(), PolicyError> {
        match entry.section {
            "r" | "p" => check_names(&entry.names()).map_err(|reason| entry.refused(reason)),
            "g" if matches!(*entry.names(), ["_", "_"] | ["_", "_", "_"]) => Ok(()),
            "g" => Err(entry.refused("a role definition is `_, _`, or `_, _, _` with a domain")),
            "e" => Effect::parse(&entry.value)
                .map(|_| ())
                .ok_or_else(|| entry.refused(format!("casbin has no effect `{}`", entry.value))),
            _ => {
                let words = scan::scan(&entry.value).map_err(|reason| entry.refused(reason))?;
                let unknown = scan::calls(&words)
                    .into_iter()
                    .find(|call| Matching::of(call.name).is_none() && self.width(call.name).is_none());
                unknown.map_or(Ok(()), |call| {
                    let known: Vec<&str> = Matching::ALL.iter().map(|(name, _)| *name).collect();
                    let known = known.join(", ");
                    let reason = format!(
                        "function {} is not supported; there are {known} and those that [role_definition] defines",
                        call.name
                    );
                    Err(entry.refused(reason))
                })
            }
        }
    }
}

fn check_names(names: &[&str]) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            return Err(format!("{name:?} is not a name"));
        }
        if seen.contains(name) {
            return Err(format!("{name} is there twice"));
        }
        seen.push(name);
    }
    Ok(())
}

fn read(text: &str) -> Result<Vec<Entry>, PolicyError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section: Option<&'static str> = None;
    let mut lines = text.lines().enumerate();
    while let Some((at, raw)) = lines.next() {
        let raw = raw.trim();
        let refused = |reason: String| PolicyError::model(at + 1, reason);
        if raw.is_empty() || raw.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = raw.strip_prefix('[') {
            let name = name
                .strip_suffix(']')
                .ok_or_else(|| refused("a section's name does not end with ]".to_owned()))?;
            let known = SECTIONS.iter().find(|(known, _)| *known == name);
            section = Some(
                known
                    .ok_or_else(|| refused(format!("a model has no section [{name}]")))?
                    .1,
            );
            continue;
        }
        let mut whole = raw.to_owned();
        while let Some(begun) = whole.strip_suffix('\\') {
            let next = lines.next().map_or("", |(_, next)| next.trim());
            whole = format!("{} {next}", begun.trim_end());
        }
        let section = section.ok_or_else(|| refused("it stands before every section".to_owned()))?;
        let (key, value) = whole
            .split_once('=')
            .ok_or_else(|| refused("it is no `key = value`".to_owned()))?;
        let key = key.trim();
        let value = value.split_once('#').map_or(value, |(value, _)| value).trim();
        check_key(section, key, value, &entries).map_err(refused)?;
        entries.push(Entry {
            section,
            key: key.to_owned(),
            value: value.to_owned(),
            line: at + 1,
        });
    }
    Ok(entries)
}

/// Keys of a section are its letter, then the letter with 2, 3 and so on, none left out: casbin reads no further than the first that is missing.
fn check_key(section: &str, key: &str, value: &str, entries: &[Entry]) -> Result<(), String> {
    let before = entries.iter().filter(|entry| entry.section == section).count();
    let expected = if before == 0 {
        section.to_owned()
    } else {
        format!("{section}{}", before + 1)
    };
    if key != expected {
        return Err(format!("{key:?} stands where {expected} must"));
    }
    if value.is_empty() {
        return Err(format!("{key} has no value"));
    }
    Ok(())
}
