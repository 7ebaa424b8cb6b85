//! The policy that decides requests.

use std::{fmt, sync::Arc};

use bekci_core::{AccessRequest, Authorizer, Explained, PolicyLine, Verdict, is_canonical_path, other_spelling};

use crate::{
    cache::Decisions,
    compiled::Compiled,
    csv::{NumberedLine, print_line},
    error::PolicyError,
    evaluator::{Evaluator, Judged},
    lines::{Sorted, sort},
    model::PolicyModel,
    roles::Inheritance,
    shape::Shape,
};

/// One snapshot of a policy, ready to decide; it never changes. Any number of threads may ask at once.
///
/// How a request is decided:
///
/// 1. A path that is not canonical and a method that is no token are denied.
/// 2. The subjects are the principal and its roles, as [`AccessRequest::subjects`] names them, and the roles that those inherit by `g` lines. An id never inherits by
///    looking like a role: all subjects have a prefix, and only a role can be inherited.
/// 3. The tenant is the one asked about, else the empty text. A line with the tenant `*` counts everywhere, one with a name in that tenant, one with an empty tenant only
///    where none is asked.
/// 4. The matcher is asked for each line, with the subjects as one list. A denial beats every line that allows, in whatever order they stand. Where the matcher is made of
///    comparisons, lines are looked up by subject and path; else casbin evaluates it line by line. Both answer the same.
/// 5. A slash at the end of a path makes no difference: a line that matches `/a` matches `/a/`, and one that matches `/a/` matches `/a`. Routes match in the same way.
/// 6. `HEAD` is denied by each line that denies `GET`. It is allowed only by a line that names it, or by `*`.
/// 7. What no line allows is denied. What cannot be evaluated is denied, and logged.
pub struct CasbinPolicy {
    engine: Engine,
    rules: usize,
    warnings: Vec<String>,
    decisions: Decisions,
}

/// What evaluates the lines.
enum Engine {
    Compiled(Compiled),
    Casbin(Box<Interpreted>),
}

/// Casbin's evaluator, with what it needs beside the lines.
struct Interpreted {
    evaluator: Evaluator,
    inheritance: Inheritance,
    tenanted: bool,
}

/// Makes a policy of a model and its lines, in the order in which they were given.
///
/// # Errors
/// [`PolicyError::Model`] where the model's shape does not fit requests, [`PolicyError::Line`] for the first line that is wrong (counted from 1), and
/// [`PolicyError::Evaluation`] where casbin cannot evaluate the matcher.
pub fn compile(model: &PolicyModel, lines: &[PolicyLine]) -> Result<Arc<CasbinPolicy>, PolicyError> {
    build(model, lines.iter().enumerate().map(|(at, line)| (at + 1, line)))
}

/// As [`compile`], for lines that were read from text: errors name the lines of the text.
///
/// # Errors
/// As for [`compile`].
pub fn compile_text(model: &PolicyModel, lines: &[NumberedLine]) -> Result<Arc<CasbinPolicy>, PolicyError> {
    build(model, lines.iter().map(|line| (line.number, &line.line)))
}

fn build<'a>(
    model: &PolicyModel,
    lines: impl IntoIterator<Item = (usize, &'a PolicyLine)>,
) -> Result<Arc<CasbinPolicy>, PolicyError> {
    let mut shape = Shape::of(model)?;
    let Sorted {
        judged,
        inheritance,
        rules,
    } = sort(model, &shape, lines)?;
    let warnings = crate::warnings::of(&shape, &judged)?;
    let engine = match shape.comparisons.take() {
        Some(links) => Engine::Compiled(Compiled::new(&shape, links, &judged, &inheritance)?),
        None => {
            let interpreted = Interpreted {
                evaluator: Evaluator::new(model, judged.iter().copied())?,
                inheritance,
                tenanted: shape.tenanted,
            };
            // A matcher that fails on its very first line is found now, not by the first request.
            let first = judged.iter().find(|line| line.kind == "p");
            let subject = first.and_then(|line| line.values.get(shape.subject)).cloned();
            interpreted.judge(subject.into_iter().collect(), "", "/", "GET")?;
            Engine::Casbin(Box::new(interpreted))
        }
    };
    Ok(Arc::new(CasbinPolicy {
        engine,
        rules,
        warnings,
        decisions: Decisions::default(),
    }))
}

impl CasbinPolicy {
    /// The number of `p` lines.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules
    }

    /// Lines that load and probably do not say what was meant, one text for each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The verdict, and whether it may be stored.
    fn evaluate(&self, request: &AccessRequest<'_>) -> (Verdict, bool) {
        if let Some(reason) = unaskable(request) {
            return (deny(reason), false);
        }
        match &self.engine {
            Engine::Compiled(compiled) => {
                let verdict = compiled.verdict(compiled.judge(request));
                (verdict.unwrap_or_else(|| deny(NO_LINE)), true)
            }
            Engine::Casbin(interpreted) => match interpreted.judge_request(request) {
                Ok(judged) => (verdict(&judged), true),
                Err(error) => {
                    tracing::error!(principal = %request.principal, object = request.object, %error, "policy evaluation failed, request denied");
                    (deny(error.to_string()), false)
                }
            },
        }
    }
}

impl Interpreted {
    fn judge(
        &self,
        mut subjects: Vec<String>,
        tenant: &str,
        object: &str,
        action: &str,
    ) -> Result<Judged, PolicyError> {
        self.inheritance.expand(&mut subjects, tenant);
        if self.tenanted {
            self.evaluator.judge((subjects, tenant, object, action))
        } else {
            self.evaluator.judge((subjects, object, action))
        }
    }

    fn judge_request(&self, request: &AccessRequest<'_>) -> Result<Judged, PolicyError> {
        let tenant = request.tenant.map(|tenant| tenant.as_str()).unwrap_or_default();
        let other = other_spelling(request.object);
        let judge = |object, action| self.judge(request.subjects().collect(), tenant, object, action);
        let mut judged = judge(request.object, request.action)?;
        if let Some(other) = other.as_deref().filter(|_| !judged.is_denial()) {
            let says = judge(other, request.action)?;
            if says.is_denial() || !judged.allowed {
                judged = says;
            }
        }
        // What is not allowed needs no further line that denies it.
        if request.action == "HEAD" && judged.allowed {
            for object in std::iter::once(request.object).chain(other.as_deref()) {
                let get = judge(object, "GET")?;
                if get.is_denial() {
                    return Ok(get);
                }
            }
        }
        Ok(judged)
    }
}

/// The reason if no line matches.
const NO_LINE: &str = "no policy line allows it";

fn deny(reason: impl Into<Arc<str>>) -> Verdict {
    Verdict::Deny { reason: reason.into() }
}

fn verdict(judged: &Judged) -> Verdict {
    let line = judged.line.as_ref().map(|values| print_line("p", values));
    match (judged.allowed, line) {
        (true, Some(line)) => Verdict::Allow {
            reason: format!("allowed by policy line: {line}").into(),
        },
        (false, Some(line)) => deny(format!("denied by policy line: {line}")),
        (false, None) => deny(NO_LINE),
        // None of the effects that are accepted allows without a line.
        (true, None) => deny("no policy line decided it"),
    }
}

/// Whether the question is one that lines are written for.
fn unaskable(request: &AccessRequest<'_>) -> Option<&'static str> {
    if !is_canonical_path(request.object) {
        return Some("the path is not canonical");
    }
    // RFC 9110 section 9.1: a method is a token.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let method = !request.action.is_empty() && request.action.bytes().all(is_token);
    (!method).then_some("the method is not a token")
}

impl Authorizer for CasbinPolicy {
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict {
        self.decisions.get_or(request, || self.evaluate(request))
    }

    fn explain(&self, request: &AccessRequest<'_>) -> Explained {
        let explained = |verdict, values: Option<&[String]>| Explained {
            verdict,
            line: values.map(|values| PolicyLine {
                kind: "p".to_owned(),
                values: values.to_vec(),
            }),
        };
        if let Some(reason) = unaskable(request) {
            return explained(deny(reason), None);
        }
        match &self.engine {
            Engine::Compiled(compiled) => {
                let ruling = compiled.judge(request);
                let verdict = compiled.verdict(ruling).unwrap_or_else(|| deny(NO_LINE));
                explained(verdict, compiled.values(ruling))
            }
            Engine::Casbin(interpreted) => match interpreted.judge_request(request) {
                Ok(judged) => explained(verdict(&judged), judged.line.as_deref()),
                Err(error) => explained(deny(error.to_string()), None),
            },
        }
    }
}

impl fmt::Debug for CasbinPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CasbinPolicy")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
