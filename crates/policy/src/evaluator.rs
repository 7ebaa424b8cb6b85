//! Casbin's evaluator, which works without waiting and tells the deciding line.

use std::{
    cell::Cell,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bekci_core::PolicyLine;
use casbin::{CoreApi, EffectKind, Effector, EffectorStream, EnforceArgs, Enforcer};

use crate::{error::PolicyError, functions, model::PolicyModel};

/// One snapshot of lines under one model. Deciding takes no lock but casbin's shared one on its role links.
pub(crate) struct Evaluator {
    enforcer: Enforcer,
}

/// What a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) allowed: bool,
    /// The values of the `p` line that decided, if one did.
    pub(crate) line: Option<Vec<String>>,
}

impl Judged {
    /// Whether a line denies.
    pub(crate) fn is_denial(&self) -> bool {
        !self.allowed && self.line.is_some()
    }
}

impl Evaluator {
    /// Has casbin load the model and the lines, in their order.
    pub(crate) fn new<'a>(
        model: &PolicyModel,
        lines: impl IntoIterator<Item = &'a PolicyLine>,
    ) -> Result<Self, PolicyError> {
        let failed = |error: casbin::Error| PolicyError::Evaluation(error.to_string());
        let mut enforcer = at_once(Enforcer::new_raw(model.to_casbin(), ())).map_err(failed)?;
        functions::register(&mut enforcer);
        enforcer.set_effector(Box::new(Effects));
        let inner = enforcer.get_mut_model();
        for line in lines {
            let section = line.kind.get(..1).unwrap_or_default();
            inner.add_policy(section, &line.kind, line.values.clone());
        }
        enforcer.build_role_links().map_err(failed)?;
        Ok(Self { enforcer })
    }

    /// Decides one question, by one evaluation over all lines.
    pub(crate) fn judge(&self, arguments: impl EnforceArgs) -> Result<Judged, PolicyError> {
        DECIDED.set(None);
        let allowed = self
            .enforcer
            .enforce(arguments)
            .map_err(|error| PolicyError::Evaluation(error.to_string()))?;
        Ok(Judged {
            allowed,
            line: DECIDED.get().and_then(|at| self.line(at)),
        })
    }

    fn line(&self, at: usize) -> Option<Vec<String>> {
        let lines = self.enforcer.get_model().get_model().get("p")?.get("p")?.get_policy();
        lines.iter().nth(at).cloned()
    }
}

/// Runs what is asynchronous in name only: nothing that is read here stands outside of memory.
fn at_once<T>(future: impl Future<Output = casbin::Result<T>>) -> casbin::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(std::io::Error::other("casbin waits for something outside").into()),
    }
}

/// What the lines that match come to: casbin's four effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Allowed where a line allows.
    Allow,
    /// Allowed where a line allows and none denies.
    AllowAndNotDeny,
    /// Allowed unless a line denies.
    NotDeny,
    /// As the first line says that matches.
    Priority,
}

impl Effect {
    /// Takes the text of a model, or what casbin makes of it (`p_eft` for `p.eft`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.replace("p.eft", "p_eft").as_str() {
            "some(where (p_eft == allow))" => Some(Self::Allow),
            "some(where (p_eft == allow)) && !some(where (p_eft == deny))" => Some(Self::AllowAndNotDeny),
            "!some(where (p_eft == deny))" => Some(Self::NotDeny),
            "priority(p_eft) || deny" => Some(Self::Priority),
            _ => None,
        }
    }
}

thread_local! {
    /// The position of the line that decided the last question of this thread: casbin's port for effects gives back a yes or no alone, and runs on the thread that asks.
    static DECIDED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Casbin's effects, with the deciding line, and without its panic on an effect that it does not know: that one denies.
struct Effects;

impl Effector for Effects {
    fn new_stream(&self, effect: &str, _lines: usize) -> Box<dyn EffectorStream> {
        let effect = Effect::parse(effect);
        Box::new(Stream {
            effect,
            allowed: effect == Some(Effect::NotDeny),
            decided: None,
            at: 0,
        })
    }
}

struct Stream {
    effect: Option<Effect>,
    allowed: bool,
    decided: Option<usize>,
    at: usize,
}

impl EffectorStream for Stream {
    fn next(&self) -> bool {
        DECIDED.set(self.decided);
        self.allowed
    }

    /// Takes what the next line says; `true`: no later line can change the outcome.
    fn push_effect(&mut self, says: EffectKind) -> bool {
        let at = self.at;
        self.at += 1;
        let (allowed, last) = match (self.effect, says) {
            (None, _) => return true,
            (_, EffectKind::Indeterminate)
            | (Some(Effect::Allow), EffectKind::Deny)
            | (Some(Effect::NotDeny), EffectKind::Allow) => return false,
            (Some(Effect::AllowAndNotDeny), EffectKind::Allow) if self.allowed => return false,
            (Some(Effect::AllowAndNotDeny), EffectKind::Allow) => (true, false),
            (Some(_), EffectKind::Allow) => (true, true),
            (Some(_), EffectKind::Deny) => (false, true),
        };
        self.allowed = allowed;
        self.decided = Some(at);
        last
    }
}
