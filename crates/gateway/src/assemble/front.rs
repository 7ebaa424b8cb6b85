//! What stands before every answer.

use bekci::{BadMessage, Language, Messages};

use crate::config::{Config, types};

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
