//! How identities are told, by the configuration.

use super::{algorithm, models};
use crate::{
    config::Config,
    internal_token,
    proxy::{self, Bound, IdentityHeaders},
};

/// The identity headers within so many bytes.
pub(crate) fn identity_headers(config: &Config, bytes: u32) -> IdentityHeaders {
    let models = models(config);
    let attributes = models.iter().flat_map(|model| &model.cached_attributes);
    let bound = Bound {
        bytes: usize::try_from(bytes).unwrap_or_default(),
        token: Some(internal_token::empty_bytes(
            algorithm(config),
            config.token.issuer.as_str(),
        )),
    };
    IdentityHeaders::new(
        config.server.decision_preset,
        config.server.decision_attributes.clone(),
        attributes.map(String::as_str),
        bound,
    )
}

/// Which headers of the preset stay empty, since a model has no attribute for them.
pub(crate) fn identity_gaps(config: &Config) -> Vec<String> {
    let models = models(config);
    let cached = models
        .iter()
        .map(|model| (model.name.as_str(), model.cached_attributes.as_slice()));
    proxy::gaps(
        config.server.decision_preset,
        &config.server.decision_attributes,
        cached,
    )
}
