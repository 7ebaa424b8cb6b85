//! The policy model of a configuration, and what an empty database begins with.

use bekci_policy::{NumberedLine, PolicyModel, parse_csv};

use super::AssembleError;
use crate::config::Config;

fn policy_file(path: &std::path::Path) -> Result<String, AssembleError> {
    std::fs::read_to_string(path).map_err(|error| AssembleError::Policy(format!("{}: {error}", path.display())))
}

fn said(path: &std::path::Path, error: bekci_policy::PolicyError) -> AssembleError {
    AssembleError::Policy(format!("{}: {error}", path.display()))
}

/// The policy model of the configuration.
pub(crate) fn policy_model(config: &Config) -> Result<PolicyModel, AssembleError> {
    PolicyModel::parse(&policy_file(&config.policy.model)?).map_err(|error| said(&config.policy.model, error))
}

/// The lines that an empty database begins with, which load with the model.
pub(crate) fn policy_seed(config: &Config, model: &PolicyModel) -> Result<Vec<NumberedLine>, AssembleError> {
    let seed = parse_csv(&policy_file(&config.policy.seed)?).map_err(|error| said(&config.policy.seed, error))?;
    bekci_policy::compile_text(model, &seed).map_err(|error| said(&config.policy.seed, error))?;
    Ok(seed)
}

/// The policy model and the seed, where a route asks policies.
pub(super) fn policy(config: &Config) -> Result<Option<(PolicyModel, Vec<NumberedLine>)>, AssembleError> {
    if !config.routes.iter().any(|route| route.policy) {
        return Ok(None);
    }
    let model = policy_model(config)?;
    let seed = policy_seed(config, &model)?;
    Ok(Some((model, seed)))
}
