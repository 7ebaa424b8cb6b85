//! The discovery document of a provider (OpenID Connect Discovery 1.0 section 3).

use bekci_core::idp::IdpSettings;
use serde::Deserialize;

use crate::url::{Reach, Url};

/// What is read of the document.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// Where a provider has what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) jwks: Url,
}

/// Where the document of a provider is.
pub(crate) fn address(settings: &IdpSettings) -> Result<Url, &'static str> {
    let text = format!(
        "{}/.well-known/openid-configuration",
        settings.issuer.trim_end_matches('/')
    );
    Url::parse(&text, Reach::LoopbackToo)
}

/// Reads the document. Its issuer must be the configured one, byte for byte.
pub(crate) fn read(settings: &IdpSettings, body: &[u8]) -> Result<Metadata, String> {
    let document: Document =
        serde_json::from_slice(body).map_err(|error| format!("its discovery document cannot be read: {error}"))?;
    if document.issuer != settings.issuer {
        return Err("its discovery document names another issuer".to_owned());
    }
    let reach = Url::reach_of(&settings.issuer);
    let url = |name: &str, text: &str| Url::parse(text, reach).map_err(|why| format!("its {name} {why}"));
    Ok(Metadata {
        jwks: url("jwks_uri", &document.jwks_uri)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_at(issuer: &str, document: &str) -> Result<Metadata, String> {
        read(&IdpSettings::new("acme", issuer, ["c"]).unwrap(), document.as_bytes())
    }

    #[test]
    fn a_document_of_another_issuer_is_refused() {
        let document = r#"{"issuer": "https://id.test", "jwks_uri": "https://keys.test/k"}"#;
        assert!(read_at("https://id.test", document).is_ok());
        for issuer in [
            "https://id.test/",
            "http://127.0.0.1",
            "https://ID.test",
            "https://id.test.evil",
        ] {
            assert!(read_at(issuer, document).is_err(), "{issuer}");
        }
    }

    #[test]
    fn keys_are_fetched_by_https_unless_the_issuer_itself_is_on_this_machine() {
        let at =
            |issuer: &str, jwks: &str| read_at(issuer, &format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{jwks}"}}"#));
        assert!(at("http://127.0.0.1:9", "http://127.0.0.1:10/k").is_ok());
        for jwks in ["http://127.0.0.1/k", "http://keys.test/k", "file:///k", "/k", ""] {
            assert!(at("https://id.test", jwks).is_err(), "{jwks}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for document in [
            "",
            "[]",
            "{}",
            r#"{"issuer": "https://id.test"}"#,
            r#"{"issuer": 1, "jwks_uri": 2}"#,
        ] {
            assert!(read_at("https://id.test", document).is_err(), "{document}");
        }
    }
}
