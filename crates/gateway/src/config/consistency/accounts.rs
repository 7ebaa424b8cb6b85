//! What users do with their own accounts needs an address, a table, and a column for what is verified.

use super::Findings;
use crate::config::sections::{
    Config,
    guard::{Guard, Register, Source, Verification, Way},
};

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    for (name, guard) in &config.guards {
        let name = name.as_str();
        let Some(model) = config.models.get(&guard.model) else {
            continue;
        };
        let registers = guard.register != Register::Closed;
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
        if guard.sign_in == [Way::EmailLink]
            && !guard.sources.contains(&Source::Cookie)
            && guard.redirect_uris.is_empty()
        {
            let message = "names email_link alone: its page can give no tokens without `cookie` among sources; name a page in redirect_uris";
            findings.add(&["guards", name, "sign_in"], message);
        }
        let key = match guard.require_verified_email {
            true => "require_verified_email",
            false if signs_in_by_mail(guard) => "sign_in",
            false if guard.verification == Verification::Email => "verification",
            false if registers => "register",
            false => continue,
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
        } else if registers && guard.sign_in.contains(&Way::Password) && model.password_column.is_none() {
            findings.add(
                &["guards", name, "register"],
                format!("needs models.{}.password_column", guard.model),
            );
        }
    }
}

/// Whether a guard signs in by a mailed code or link.
fn signs_in_by_mail(guard: &Guard) -> bool {
    [Way::EmailOtp, Way::EmailLink]
        .iter()
        .any(|way| guard.sign_in.contains(way))
}

/// Guards where a mail is all that it takes to sign in.
pub(in crate::config) fn warnings(config: &Config) -> Vec<String> {
    let by_mail_alone = |(_, guard): &(&bekci_core::GuardName, &Guard)| {
        guard
            .sign_in
            .iter()
            .all(|way| matches!(way, Way::EmailOtp | Way::EmailLink))
    };
    config
        .guards
        .iter()
        .filter(by_mail_alone)
        .map(|(name, _)| {
            format!(
                "guards.{name}.sign_in: a mail is all that it takes to sign in; NIST SP 800-63B-4 (section 3.1.3.1) accepts no e-mail as an authenticator"
            )
        })
        .collect()
}
