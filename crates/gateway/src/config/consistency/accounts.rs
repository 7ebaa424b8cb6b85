//! What users do with their own accounts needs an address, a table, and a column for what is verified.

use super::Findings;
use crate::config::sections::{Config, guard::Register};

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    for (name, guard) in &config.guards {
        let name = name.as_str();
        let Some(model) = config.models.get(&guard.model) else {
            continue;
        };
        let registers = guard.register == Register::Open;
        if findings.is_given(&["guards", name, "own_attributes"]) {
            let known = || model.cached_attributes.iter().map(|column| column.as_str());
            for own in guard.own_attributes.iter().map(|column| column.as_str()) {
                let key = ["guards", name, "own_attributes"];
                if !known().any(|column| column == own) {
                    findings.add_unknown(&key, "cached attribute", own, known());
                } else if model
                    .identifiers
                    .iter()
                    .any(|identifier| identifier.column.as_str() == own)
                {
                    findings.add(
                        &key,
                        format!("{own:?} identifies accounts; it is changed by `me/email`"),
                    );
                }
            }
        }
        let key = match (guard.require_verified_email, registers) {
            (true, _) => "require_verified_email",
            (false, true) => "register",
            (false, false) => continue,
        };
        let key = ["guards", name, key];
        let is_address = |column: &str| column.to_ascii_lowercase().contains("mail");
        if guard.provider.as_str() != "database" {
            findings.add(
                &key,
                "needs accounts in the database; those of a users file are changed in the file",
            );
        } else if !model
            .identifiers
            .iter()
            .any(|identifier| is_address(identifier.column.as_str()))
        {
            findings.add(
                &key,
                format!(
                    "needs an e-mail address among the identifiers of models.{}",
                    guard.model
                ),
            );
        } else if guard.require_verified_email && model.verified_column.is_none() {
            findings.add(&key, format!("needs models.{}.verified_column", guard.model));
        } else if registers && model.password_column.is_none() {
            findings.add(
                &["guards", name, "register"],
                format!("needs models.{}.password_column", guard.model),
            );
        }
    }
}
