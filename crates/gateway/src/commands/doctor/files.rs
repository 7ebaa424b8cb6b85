//! Files that must be there, and closed to others.

use std::{os::unix::fs::PermissionsExt, path::Path};

use bekci_core::{Clock, GuardName};
use bekci_store::SystemClock;
use bekci_token::{KeyStatus, KeyStore, KeyStoreError};

use super::finding::Finding;
use crate::{
    assemble,
    config::{Config, types::Root},
    serve,
};

/// The bits by which others than the owner may do something.
fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Whether nothing would be made, or missed, by putting the parts together.
pub(super) fn are_complete(config: &Config) -> bool {
    let root = matches!(config.secrets.root(), Root::Ready(_));
    let symmetric = config.token.algorithm.is_symmetric();
    let store = KeyStore::new(&config.token.keys_dir);
    let has_key = |guard: &GuardName| store.list(guard, &SystemClock).is_ok_and(|keys| !keys.is_empty());
    root && (symmetric || config.guards.keys().all(has_key))
}

/// On SQLite the first start makes what is missing.
fn missing(check: &'static str, found: String, config: &Config) -> Finding {
    match assemble::makes_keys(config) {
        true => Finding::warning(check, found, "the first start makes it, or `bekci key generate` now"),
        false => Finding::failed(
            check,
            found,
            "`bekci key generate` makes it, once: every node needs the same one",
        ),
    }
}

pub(super) fn root_secret(config: &Config) -> Vec<Finding> {
    match config.secrets.root() {
        Root::Missing(path) => vec![missing(
            "root secret",
            format!("there is no {}", path.display()),
            config,
        )],
        Root::Ready(_) => {
            let Some(path) = config.secrets.root.file() else {
                return vec![Finding::ok("root secret", "32 bytes, not from a file")];
            };
            vec![match open_to_others(path) {
                None => Finding::ok("root secret", format!("{}, closed to others", path.display())),
                Some(mode) => Finding::failed(
                    "root secret",
                    format!("{} is open to others (mode {mode:04o})", path.display()),
                    &format!("chmod 600 {}", path.display()),
                ),
            }]
        }
    }
}

/// The certificate of the listeners, where they have one.
pub(super) fn certificate(config: &Config) -> Option<Finding> {
    let files = config.server.tls.as_ref()?;
    let named = format!("{} with {}", files.cert.display(), files.key.display());
    Some(match serve::certificate(config) {
        Err(error) => Finding::failed("tls", error, "correct server.tls, or renew its files"),
        Ok(_) => match open_to_others(&files.key).filter(|mode| mode & 0o007 != 0) {
            None => Finding::ok("tls", named),
            // A group may be the one that renews it.
            Some(mode) => Finding::failed(
                "tls",
                format!("{} is open to everybody (mode {mode:04o})", files.key.display()),
                &format!("chmod o= {}", files.key.display()),
            ),
        },
    })
}

pub(super) fn signing_keys(config: &Config) -> Vec<Finding> {
    if config.token.algorithm.is_symmetric() {
        return vec![Finding::ok("keys", "derived from secrets.jwt")];
    }
    let delay = time::Duration::seconds(i64::from(config.token.activate_after_seconds.get()));
    let store = KeyStore::new(&config.token.keys_dir).activate_after(delay);
    config
        .guards
        .keys()
        .map(|guard| keys_of(guard, &store, config))
        .collect()
}

fn keys_of(guard: &GuardName, store: &KeyStore, config: &Config) -> Finding {
    let keys = match store.list(guard, &SystemClock) {
        Ok(keys) => keys,
        Err(error) => {
            let advice = match &error {
                KeyStoreError::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
                _ => "restore the file from a backup, or move it away and run `bekci key generate`".to_owned(),
            };
            return Finding::failed("keys", format!("guard {guard}: {error}"), &advice);
        }
    };
    if keys.is_empty() {
        return missing("keys", format!("guard {guard} has none"), config);
    }
    let now = SystemClock.now();
    if let Some(key) = keys.iter().find(|key| key.created > now) {
        return Finding::failed(
            "keys",
            format!("guard {guard}: key {} was made in the future", key.kid),
            "set this machine's clock, or that of the machine which made the key",
        );
    }
    let signs = keys.iter().find(|key| key.status == KeyStatus::Signs);
    match signs {
        Some(key) => Finding::ok(
            "keys",
            format!("guard {guard}: {} signs, {} in all", key.kid, keys.len()),
        ),
        None => Finding::failed(
            "keys",
            format!("guard {guard} has {}, and none signs yet", keys.len()),
            "wait token.activate_after_seconds, or correct this machine's clock",
        ),
    }
}
