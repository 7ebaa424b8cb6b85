//! What a line must be to count in a policy that decides requests.
//!
//! A line that could never count is refused like a wrong one: a misspelt denial would deny nobody, and nobody would see it.

use std::collections::HashSet;

use bekci_core::{GuardName, PolicyLine, PrincipalKey, RoleName, TenantName};

use crate::{
    error::PolicyError,
    model::PolicyModel,
    pattern,
    raw::check_width,
    roles::{Inheritance, MAX_INHERITED},
    shape::Shape,
};

/// Bytes of one value.
const LONGEST_VALUE: usize = 1_024;

/// Lines as the evaluator and the inheritance take them.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    /// The `p` lines, and the `g2`, `g3` and so on that a matcher calls.
    pub(crate) judged: Vec<&'a PolicyLine>,
    pub(crate) inheritance: Inheritance,
    /// The number of `p` lines.
    pub(crate) rules: usize,
}

/// Checks lines, each with its number, and sorts them.
pub(crate) fn sort<'a>(
    model: &PolicyModel,
    shape: &Shape,
    lines: impl IntoIterator<Item = (usize, &'a PolicyLine)>,
) -> Result<Sorted<'a>, PolicyError> {
    let mut sorted = Sorted::default();
    let mut links = Vec::new();
    let mut checked = Checked::default();
    for (number, line) in lines {
        let refused = |reason: String| PolicyError::line(number, line, reason);
        check_values(line).map_err(refused)?;
        match line.kind.as_str() {
            "p" => {
                check_width(model, line)
                    .and_then(|()| check_rule(shape, line, &mut checked))
                    .map_err(refused)?;
                sorted.judged.push(line);
                sorted.rules += 1;
            }
            "g" => {
                let (child, role, tenant) = link(model, line).map_err(refused)?;
                sorted.inheritance.add(child, role, tenant);
                links.push((number, line));
            }
            kind if kind.starts_with('g') => {
                check_width(model, line).map_err(refused)?;
                sorted.judged.push(line);
            }
            kind => {
                return Err(refused(format!(
                    "lines of kind {kind:?} are not asked when requests are decided"
                )));
            }
        }
    }
    let too_much = sorted.inheritance.too_much();
    let of_it = |(_, line): &&(usize, &PolicyLine)| line.values.first().map(String::as_str) == too_much;
    match links.iter().find(of_it) {
        Some((number, line)) => {
            let reason = format!("the subject inherits more than {MAX_INHERITED} roles");
            Err(PolicyError::line(*number, line, reason))
        }
        None => Ok(sorted),
    }
}

fn check_values(line: &PolicyLine) -> Result<(), String> {
    for value in &line.values {
        if value.len() > LONGEST_VALUE {
            return Err(format!("a value is longer than {LONGEST_VALUE} bytes"));
        }
        if value.chars().any(char::is_control) || value.trim() != value {
            return Err("a value has a control character, or a blank at an end".to_owned());
        }
    }
    Ok(())
}

/// The patterns that were found good, each with its place among the matcher's: many lines share a few.
type Checked<'a> = HashSet<(usize, &'a str), foldhash::fast::RandomState>;

fn check_rule<'a>(shape: &Shape, line: &'a PolicyLine, checked: &mut Checked<'a>) -> Result<(), String> {
    let value = |at: usize| line.values.get(at).map(String::as_str).unwrap_or_default();
    check_subject(value(shape.subject))?;
    if let Some(at) = shape.tenant {
        check_tenant(value(at), shape.stars.contains(&at))?;
    }
    if let Some(at) = shape.effect
        && !matches!(value(at), "allow" | "deny")
    {
        return Err(format!("{:?} is not an effect: allow or deny", value(at)));
    }
    for (at, column) in shape.patterns.iter().enumerate() {
        let value = value(column.column);
        let star = value == "*" && shape.stars.contains(&column.column);
        if !star && !checked.contains(&(at, value)) {
            pattern::check(column, value)?;
            checked.insert((at, value));
        }
    }
    Ok(())
}

fn check_subject(text: &str) -> Result<(), String> {
    let fits = match text.split_once(':') {
        Some(("principal", key)) => PrincipalKey::parse(key).is_ok(),
        _ => is_role(text),
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no subject: role:<guard>:<name> or principal:<model>:<id>"
        ))
    }
}

fn is_role(text: &str) -> bool {
    let parts = text.strip_prefix("role:").and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(guard, role)| GuardName::new(guard).is_ok() && RoleName::new(role).is_ok())
}

fn check_tenant(text: &str, star: bool) -> Result<(), String> {
    if text.is_empty() || (text == "*" && star) {
        return Ok(());
    }
    TenantName::new(text).map(|_| ()).map_err(|error| error.to_string())
}

/// Who inherits which role where. Without a tenant the line counts everywhere.
fn link<'a>(model: &PolicyModel, line: &'a PolicyLine) -> Result<(&'a str, &'a str, &'a str), String> {
    let width = model.width("g").ok_or("the model has no role definition g")?;
    let values: Vec<&str> = line.values.iter().map(String::as_str).collect();
    let (child, role, tenant) = match *values {
        [child, role] => (child, role, "*"),
        [child, role, tenant] if width == 3 => (child, role, tenant),
        _ => {
            return Err(format!(
                "it has {} values, where the model asks for {width}",
                values.len()
            ));
        }
    };
    check_subject(child)?;
    if !is_role(role) {
        return Err(format!("{role:?} is inherited, and is no role:<guard>:<name>"));
    }
    check_tenant(tenant, true)?;
    Ok((child, role, tenant))
}
