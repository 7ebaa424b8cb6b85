//! A model as the store's compiler of policies.

use std::sync::Arc;

use bekci_core::{Authorizer, PolicyCompiler, PolicyLine};

use crate::{PolicyModel, compile};

impl PolicyCompiler for PolicyModel {
    fn compile(&self, lines: &[PolicyLine]) -> Result<Arc<dyn Authorizer>, String> {
        match compile(self, lines) {
            Ok(policy) => Ok(policy),
            Err(error) => Err(error.to_string()),
        }
    }
}
