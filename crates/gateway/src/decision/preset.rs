//! The headers of an answer that lets a request in: always all of them, empty where there is no value, so that a proxy that copies them overwrites what a client sent.

use actix_web::{
    http::header::{HeaderName, HeaderValue},
    web::Bytes,
};
use bekci_core::Principal;
use secrecy::{ExposeSecret, SecretString};

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
    /// Every one of Bekci's own names, in the order in which an identity is told.
    names: Vec<HeaderName>,
}

/// An answer's headers, each name once.
type Headers = Vec<(HeaderName, HeaderValue)>;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const NOTHING: HeaderValue = HeaderValue::from_static("");

impl IdentityHeaders {
    /// `attributes` are those of all models: a guest's answer overwrites every one of them.
    pub(super) fn new<'a>(preset: DecisionPreset, attributes: impl IntoIterator<Item = &'a str>) -> Self {
        let attributes = attributes.into_iter().filter_map(attribute_header);
        let names = ALWAYS_TOLD.into_iter().map(HeaderName::from_static);
        let mut names: Vec<HeaderName> = names.collect();
        for name in attributes.filter_map(|name| HeaderName::try_from(name).ok()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self {
            naming: match preset {
                DecisionPreset::Bekci => None,
                DecisionPreset::Authelia => Some(AUTHELIA),
                DecisionPreset::Oauth2Proxy => Some(OAUTH2_PROXY),
                DecisionPreset::Authentik => Some(AUTHENTIK),
            },
            names,
        }
    }

    /// The headers for this principal, with the token that was made for it, or for nobody.
    pub(super) fn of(&self, principal: Option<&Principal>, token: Option<&SecretString>) -> Headers {
        let mut own: Headers = self.names.iter().map(|name| (name.clone(), NOTHING)).collect();
        if let Some(principal) = principal {
            tell(&mut own, &identity_lines(principal));
        }
        if let Some(token) = token
            && let Ok(value) = HeaderValue::from_str(token.expose_secret())
        {
            set(&mut own, &TOKEN, value);
        }
        match self.naming {
            None => own,
            Some(naming) => renamed(naming, &own, principal.is_some_and(|who| who.view.identity.verified)),
        }
    }
}

/// Takes the values over from header lines, whose bytes they share.
fn tell(own: &mut Headers, lines: &Bytes) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = lines.slice_ref(value.strip_prefix(b": ").unwrap_or_default());
        let Ok(value) = HeaderValue::from_maybe_shared(value) else {
            continue;
        };
        match own.iter_mut().find(|(known, _)| known.as_str().as_bytes() == name) {
            Some((_, place)) => *place = value,
            // No model caches it any more, but this identity was cached when one did.
            None => own.extend(HeaderName::from_bytes(name).ok().map(|name| (name, value))),
        }
    }
}

fn set(own: &mut Headers, name: &HeaderName, value: HeaderValue) {
    if let Some((_, place)) = own.iter_mut().find(|(known, _)| known == name) {
        *place = value;
    }
}

fn renamed(naming: Naming, own: &Headers, verified: bool) -> Headers {
    let of = |name: &str| {
        let found = own.iter().find(|(known, _)| known.as_str() == name);
        found.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
    };
    let attribute = |name: &str| attribute_header(name).map_or("", |header| of(&header));
    let told = naming.iter().filter_map(|(name, told)| {
        let value = match told {
            Told::Key => of("x-auth-key").to_owned(),
            Told::Roles(separator) => of("x-auth-roles").replace(',', &separator.to_string()),
            Told::Attribute(name) => attribute(name).to_owned(),
            Told::VerifiedAddress if verified => attribute("email").to_owned(),
            Told::VerifiedAddress | Told::Nothing => String::new(),
        };
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    told.collect()
}
