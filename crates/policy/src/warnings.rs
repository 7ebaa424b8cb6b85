//! Warnings about lines that load and probably do not say what was meant.

use std::collections::HashMap;

use bekci_core::PolicyLine;
use regex::Regex;

use crate::{
    comparison::{Asked, Comparison, Link},
    compiled::pattern,
    csv::print_line,
    error::PolicyError,
    shape::Shape,
};

/// The warnings about `p` lines under a matcher that is made of comparisons; any other matcher is not read for them.
pub(crate) fn of(shape: &Shape, lines: &[&PolicyLine]) -> Result<Vec<String>, PolicyError> {
    let (Some(links), Some(effect)) = (&shape.comparisons, shape.effect) else {
        return Ok(Vec::new());
    };
    let mut known = HashMap::new();
    let mut warnings = Vec::new();
    let denies = |line: &PolicyLine| line.values.get(effect).is_some_and(|effect| effect == "deny");
    for line in lines.iter().filter(|line| line.kind == "p" && denies(line)) {
        if is_for(shape, links, line, "GET", &mut known)? && !is_for(shape, links, line, "HEAD", &mut known)? {
            let line = print_line("p", &line.values);
            warnings.push(format!(
                "this line denies GET and does not name HEAD, which is denied with it; write GET|HEAD: {line}"
            ));
        }
    }
    Ok(warnings)
}

/// Whether the comparisons of a line with the method hold for this one.
fn is_for(
    shape: &Shape,
    links: &[Link],
    line: &PolicyLine,
    method: &str,
    known: &mut HashMap<String, Regex>,
) -> Result<bool, PolicyError> {
    let asks_method = |link: &&Link| {
        link.iter().any(|comparison| {
            matches!(
                comparison,
                Comparison::With(_, Asked::Action) | Comparison::Pattern(_, Asked::Action)
            )
        })
    };
    for link in links.iter().filter(asks_method) {
        let mut holds = false;
        for comparison in link {
            let value = |column: usize| line.values.get(column).map(String::as_str).unwrap_or_default();
            holds |= match comparison {
                Comparison::Text(column, text) => value(*column) == text.as_str(),
                Comparison::With(column, Asked::Action) => value(*column) == method,
                Comparison::Pattern(column, Asked::Action) => {
                    pattern(shape, column, value(column.column), known)?.matches(column, method)
                }
                Comparison::With(..) | Comparison::Pattern(..) => true,
            };
        }
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}
