//! The names under which an identity is told: Bekci's own, or those of another product.

use crate::config::types::{DecisionAttributes, DecisionPreset};

/// What a header of another product's naming tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// The principal's key. No other name will do: an id or an address alone may be another account under another guard.
    Key,
    /// The names of roles, joined by this.
    Roles(char),
    /// The name of a person.
    Name,
    /// The name that an account has beside its address.
    Username,
    /// The address, if it is verified: applications take it for proof.
    VerifiedAddress,
    /// Nothing; it is overwritten all the same.
    Nothing,
}

pub(crate) type Table = &'static [(&'static str, Tells)];

const AUTHELIA: Table = &[
    ("remote-user", Tells::Key),
    ("remote-groups", Tells::Roles(',')),
    ("remote-name", Tells::Name),
    ("remote-email", Tells::VerifiedAddress),
];

const OAUTH2_PROXY: Table = &[
    ("x-auth-request-user", Tells::Key),
    ("x-auth-request-groups", Tells::Roles(',')),
    ("x-auth-request-email", Tells::VerifiedAddress),
    ("x-auth-request-preferred-username", Tells::Username),
    ("x-auth-request-access-token", Tells::Nothing),
];

const AUTHENTIK: Table = &[
    ("x-authentik-username", Tells::Key),
    ("x-authentik-groups", Tells::Roles('|')),
    ("x-authentik-email", Tells::VerifiedAddress),
    ("x-authentik-name", Tells::Name),
    ("x-authentik-uid", Tells::Key),
    ("x-authentik-entitlements", Tells::Nothing),
    ("x-authentik-jwt", Tells::Nothing),
];

/// The headers of a preset; `None`: Bekci's own.
pub(crate) fn table(preset: DecisionPreset) -> Option<Table> {
    match preset {
        DecisionPreset::Bekci => None,
        DecisionPreset::Authelia => Some(AUTHELIA),
        DecisionPreset::Oauth2Proxy => Some(OAUTH2_PROXY),
        DecisionPreset::Authentik => Some(AUTHENTIK),
    }
}

impl Tells {
    /// The attribute that fills it, with its key in `server.decision_attributes`.
    pub(crate) fn attribute(self, attributes: &DecisionAttributes) -> Option<(&'static str, &str)> {
        match self {
            Self::Name => Some(("name", attributes.name.as_str())),
            Self::Username => Some(("username", attributes.username.as_str())),
            Self::VerifiedAddress => Some(("email", attributes.email.as_str())),
            Self::Key | Self::Roles(_) | Self::Nothing => None,
        }
    }
}
