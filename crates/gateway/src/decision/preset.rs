//! The headers of an answer that lets a request in: always all of them, empty where there is no value, so that a proxy that copies them overwrites what a client sent.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bekci_core::Principal;
use secrecy::SecretString;

use crate::{
    config::types::DecisionPreset,
    proxy::{ALWAYS_TOLD, attribute_header, identity_lines},
};

/// What a header of another product's naming tells.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The principal's key. No other name will do: an id or an address alone may be somebody else's under another guard.
    Key,
    /// The names of roles, joined by this.
    Roles(char),
    /// A cached attribute.
    Attribute(&'static str),
    /// The address, where it is verified: applications take it for proof.
    VerifiedAddress,
    /// Nothing; it is overwritten all the same.
    Nothing,
}

type Naming = &'static [(&'static str, Told)];

const AUTHELIA: Naming = &[
    ("remote-user", Told::Key),
    ("remote-groups", Told::Roles(',')),
    ("remote-name", Told::Attribute("name")),
    ("remote-email", Told::VerifiedAddress),
];

const OAUTH2_PROXY: Naming = &[
    ("x-auth-request-user", Told::Key),
    ("x-auth-request-groups", Told::Roles(',')),
    ("x-auth-request-email", Told::VerifiedAddress),
    ("x-auth-request-preferred-username", Told::Attribute("username")),
    ("x-auth-request-access-token", Told::Nothing),
];

const AUTHENTIK: Naming = &[
    ("x-authentik-username", Told::Key),
    ("x-authentik-groups", Told::Roles('|')),
    ("x-authentik-email", Told::VerifiedAddress),
    ("x-authentik-name", Told::Attribute("name")),
    ("x-authentik-uid", Told::Key),
    ("x-authentik-entitlements", Told::Nothing),
    ("x-authentik-jwt", Told::Nothing),
];

/// The identity headers of one preset.
#[derive(Debug)]
pub(super) struct IdentityHeaders {
    naming: Option<Naming>,
    /// All of them without a value, in Bekci's own naming.
    empty: HeaderMap,
}

impl IdentityHeaders {
    /// `attributes` are those of all models: a guest's answer overwrites every one of them.
    pub(super) fn new<'a>(preset: DecisionPreset, attributes: impl IntoIterator<Item = &'a str>) -> Self {
        let attributes = attributes.into_iter().filter_map(attribute_header);
        let names = ALWAYS_TOLD.into_iter().map(str::to_owned).chain(attributes);
        let mut empty = HeaderMap::new();
        for name in names.filter_map(|name| HeaderName::try_from(name).ok()) {
            empty.insert(name, HeaderValue::from_static(""));
        }
        Self {
            naming: match preset {
                DecisionPreset::Bekci => None,
                DecisionPreset::Authelia => Some(AUTHELIA),
                DecisionPreset::Oauth2Proxy => Some(OAUTH2_PROXY),
                DecisionPreset::Authentik => Some(AUTHENTIK),
            },
            empty,
        }
    }

    /// The headers for this principal, with the token that was made for it, or for nobody.
    pub(super) fn of(&self, principal: Option<&Principal>, token: Option<&SecretString>) -> HeaderMap {
        let mut own = self.empty.clone();
        if let Some(principal) = principal {
            let lines = identity_lines(principal, token).freeze();
            for line in lines.iter().as_slice().split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                    continue;
                };
                let (name, value) = line.split_at(colon);
                let value = value.strip_prefix(b": ").unwrap_or_default();
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                    own.insert(name, value);
                }
            }
        }
        match self.naming {
            None => own,
            Some(naming) => renamed(naming, &own, principal.is_some_and(|who| who.view.identity.verified)),
        }
    }
}

fn renamed(naming: Naming, own: &HeaderMap, verified: bool) -> HeaderMap {
    let of = |name: &str| own.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let attribute = |name: &str| attribute_header(name).map_or("", |header| of(&header));
    let mut headers = HeaderMap::new();
    for (name, told) in naming {
        let value = match told {
            Told::Key => of("x-auth-key").to_owned(),
            Told::Roles(separator) => of("x-auth-roles").replace(',', &separator.to_string()),
            Told::Attribute(name) => attribute(name).to_owned(),
            Told::VerifiedAddress if verified => attribute("email").to_owned(),
            Told::VerifiedAddress | Told::Nothing => String::new(),
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}
