//! Any casbin model, asked with plain texts.

use std::fmt;

use bekci_core::PolicyLine;

use crate::{csv::print_line, error::PolicyError, evaluator::Evaluator, model::PolicyModel};

/// Decides by any model, with whatever arguments its request definition has. It is what casbin decides, and what another engine can be compared with;
/// requests are not decided by it, since it takes subjects one at a time.
pub struct RawEnforcer {
    evaluator: Evaluator,
    lines: usize,
}

impl RawEnforcer {
    /// Loads lines under a model.
    ///
    /// # Errors
    /// [`PolicyError::Line`] for a line of a kind that the model does not define, or with too few or too many values.
    pub fn new(model: &PolicyModel, lines: &[PolicyLine]) -> Result<Self, PolicyError> {
        for (at, line) in lines.iter().enumerate() {
            check_width(model, line).map_err(|reason| PolicyError::line(at + 1, line, reason))?;
        }
        Ok(Self {
            evaluator: Evaluator::new(model, lines)?,
            lines: lines.len(),
        })
    }

    /// Decides.
    ///
    /// # Errors
    /// [`PolicyError::Evaluation`] where the number of arguments is not the model's, a pattern does not compile, or the matcher gives no yes or no.
    pub fn enforce(&self, arguments: &[&str]) -> Result<bool, PolicyError> {
        self.explain(arguments).map(|(allowed, _)| allowed)
    }

    /// Decides, and gives the line that did, if one did.
    ///
    /// # Errors
    /// As [`Self::enforce`].
    pub fn explain(&self, arguments: &[&str]) -> Result<(bool, Option<String>), PolicyError> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let judged = self.evaluator.judge(arguments)?;
        Ok((judged.allowed, judged.line.map(|values| print_line("p", &values))))
    }
}

impl fmt::Debug for RawEnforcer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RawEnforcer")
            .field("lines", &self.lines)
            .finish()
    }
}

/// Whether a line has the values that its kind asks for.
pub(crate) fn check_width(model: &PolicyModel, line: &PolicyLine) -> Result<(), String> {
    let width = model
        .width(&line.kind)
        .ok_or_else(|| format!("the model defines no lines of kind {:?}", line.kind))?;
    let has = line.values.len();
    // Casbin lets a line of roles have more than it reads.
    let fits = has == width || (has > width && line.kind.starts_with('g'));
    if fits {
        Ok(())
    } else {
        Err(format!("it has {has} values, where the model asks for {width}"))
    }
}
