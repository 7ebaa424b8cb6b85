//! What stands before every answer.

use bekci::{BadCors, BadMessage, Cors, CorsSettings, Language, Messages};

use crate::{
    config::{Config, types},
    decision,
};

/// The sentences of the configuration, in place of built-in ones.
pub(crate) fn messages(config: &Config) -> Result<Messages, BadMessage> {
    let mut messages = Messages::default();
    for (language, sentences) in &config.messages {
        let language = match language {
            types::Language::English => Language::English,
            types::Language::Turkish => Language::Turkish,
        };
        for (code, text) in sentences {
            messages = messages.replace(language, code.0, text.as_str())?;
        }
    }
    Ok(messages)
}

/// What pages of other origins may do; `None`: the upstreams say so themselves. Not at the decision endpoints: those who ask there ask for a request that may be a
/// preflight, and have to be told what the gate says.
pub(crate) fn cors(config: &Config) -> Result<Option<Cors>, BadCors> {
    let section = &config.cors;
    if section.origins.is_empty() {
        return Ok(None);
    }
    let names = |names: &[types::PageHeader]| names.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
    let mut settings = CorsSettings::new(section.origins.iter().map(types::Origin::as_str));
    settings.methods = section
        .methods
        .iter()
        .map(|method| method.as_str().to_owned())
        .collect();
    settings.headers = names(&section.headers);
    settings.exposed_headers = names(&section.exposed_headers);
    settings.credentials = section.credentials;
    settings.max_age = section.max_age_seconds.duration();
    Ok(Some(Cors::new(settings)?.except(decision::PATHS)))
}
