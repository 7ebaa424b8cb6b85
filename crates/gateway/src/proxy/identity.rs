//! The headers that tell an upstream who acts.
//!
//! All of them are there on every request for which somebody was let in, empty where there is no value, so that none can be taken over from a client. A value has only
//! visible ASCII and single spaces inside: every other byte, and `%`, is percent-encoded (RFC 3986 section 2.1), so that nothing can end a header. Together they stay
//! within a bound (see [`selection`]); `X-Auth-Omitted` names what was left out of.

mod naming;
mod remembered;
mod selection;

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{
    http::header::{HeaderName, HeaderValue},
    web::{Bytes, BytesMut},
};
use bekci_core::Principal;
use secrecy::{ExposeSecret, SecretString};

use self::naming::{Table, Tells};
pub(crate) use self::selection::{Bound, Told};
use crate::config::types::{DecisionAttributes, DecisionPreset};

/// The headers that are told of everybody. Those of attributes are told besides.
const ALWAYS_TOLD: [&str; 9] = [
    "x-auth-guard",
    "x-auth-model",
    "x-auth-id",
    "x-auth-key",
    "x-auth-tenant",
    "x-auth-roles",
    "x-auth-permissions",
    "x-auth-session",
    "x-auth-token",
];
/// Told only where something was left out.
const OMITTED: &str = "x-auth-omitted";
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const NOTHING: HeaderValue = HeaderValue::from_static("");
/// The most bytes that its line takes.
const OMITTED_LINE: usize = "x-auth-omitted: roles,permissions,attributes\r\n".len();

/// How identities are told. Two of them may differ in names and in bounds.
#[derive(Debug)]
pub(crate) struct IdentityHeaders {
    /// Each has its own, so that lines that one wrote are never given by another.
    number: u64,
    preset: Option<Table>,
    attributes: DecisionAttributes,
    /// Every name that is told, in order, but those of attributes that no model has any more.
    names: Vec<HeaderName>,
    bound: Bound,
}

/// An answer's headers, each name once.
type Headers = Vec<(HeaderName, HeaderValue)>;

impl IdentityHeaders {
    /// `cached` are the attributes of all models: a guest's answer overwrites every one of them.
    pub(crate) fn new<'a>(
        preset: DecisionPreset,
        attributes: DecisionAttributes,
        cached: impl IntoIterator<Item = &'a str>,
        bound: Bound,
    ) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let preset = naming::table(preset);
        let mut names: Vec<HeaderName> = Vec::new();
        match preset {
            Some(table) => names.extend(table.iter().map(|(name, _)| HeaderName::from_static(name))),
            None => {
                names.extend(ALWAYS_TOLD.into_iter().map(HeaderName::from_static));
                let cached = cached.into_iter().filter_map(attribute_header);
                for name in cached.filter_map(|name| HeaderName::try_from(name).ok()) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        Self {
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            bound: Bound {
                // Other products' names have no token.
                token: bound.token.filter(|_| preset.is_none()),
                ..bound
            },
            preset,
            attributes,
            names,
        }
    }

    /// What tells these headers from those of other settings.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether `X-Auth-Token` is among them.
    pub(crate) fn has_token(&self) -> bool {
        self.preset.is_none()
    }

    /// What of a principal fits into them.
    pub(crate) fn told<'a>(&self, principal: &'a Principal) -> Told<'a> {
        let mut fixed = BytesMut::with_capacity(512);
        self.fixed(&mut fixed, principal);
        let always: usize = self.names.iter().map(|name| name.as_str().len() + 4).sum();
        match self.preset {
            None => {
                let attributes = principal.view.identity.attributes.keys();
                let empty: usize = attributes.map(|name| selection::empty_line(name)).sum();
                let fixed = always + fixed.len() + empty + OMITTED_LINE;
                selection::select(principal, self.bound, fixed, true, |_| true)
            }
            Some(table) => {
                let is_told = |name: &str| {
                    let mut told = table.iter().filter_map(|(_, tells)| tells.attribute(&self.attributes));
                    told.any(|(_, attribute)| attribute == name)
                };
                let fixed = always + fixed.len() + OMITTED_LINE;
                selection::select(principal, self.bound, fixed, false, is_told)
            }
        }
    }

    /// The values that always fit, without their names but where these are told twice: it only measures.
    fn fixed(&self, out: &mut BytesMut, principal: &Principal) {
        let key = &principal.view.identity.key;
        let keys = self.preset.map_or(1, |table| {
            table.iter().filter(|(_, tells)| *tells == Tells::Key).count()
        });
        for _ in 0..keys {
            encode(out, key.as_str());
        }
        if self.preset.is_none() {
            let tenant = principal.tenant.as_ref().map_or("", |tenant| tenant.as_str());
            for value in [principal.guard.name.as_str(), key.model(), key.id(), tenant] {
                encode(out, value);
            }
            encode(out, &principal.claims.session.to_string());
        }
    }

    /// The header lines, each ended by CR LF: what an upstream receives and a decision endpoint answers, but for the token.
    pub(crate) fn lines(&self, principal: &Principal) -> Bytes {
        remembered::lines_of(self, principal)
    }

    /// Writes the header lines for a principal and, where there is one, the token made for its upstream.
    pub(super) fn write(&self, out: &mut BytesMut, principal: &Principal, token: Option<&SecretString>) {
        out.extend_from_slice(&self.lines(principal));
        if let Some(token) = token.filter(|_| self.has_token()) {
            // Base64url and dots (RFC 7515 section 7.1): nothing of it needs to be encoded.
            for part in ["x-auth-token: ", token.expose_secret(), "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }

    /// All but the token, as they are spelt out.
    fn spell(&self, out: &mut BytesMut, principal: &Principal) {
        let told = self.told(principal);
        match self.preset {
            None => own_lines(out, principal, &told),
            Some(table) => self.preset_lines(out, table, principal, &told),
        }
        if !told.omitted.is_empty() {
            line(out, OMITTED, &told.omitted.join(","));
            selection::report(principal, &told, self.bound.bytes);
        }
    }

    fn preset_lines(&self, out: &mut BytesMut, table: Table, principal: &Principal, told: &Told<'_>) {
        let identity = &principal.view.identity;
        let attribute = |tells: Tells| {
            let (_, wanted) = tells.attribute(&self.attributes)?;
            let found = told.attributes.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| selection::text_of(value))
        };
        for (name, tells) in table {
            match tells {
                Tells::Key => line(out, name, identity.key.as_str()),
                Tells::Roles(separator) => line(out, name, &told.roles.join(&separator.to_string())),
                Tells::VerifiedAddress if !identity.verified => line(out, name, ""),
                Tells::Name | Tells::Username | Tells::VerifiedAddress => {
                    line(out, name, &attribute(*tells).unwrap_or_default());
                }
                Tells::Nothing => line(out, name, ""),
            }
        }
    }

    /// The headers for this principal, with the token that was made for it, or for nobody.
    pub(crate) fn of(&self, principal: Option<&Principal>, token: Option<&SecretString>) -> Headers {
        let mut all: Headers = self.names.iter().map(|name| (name.clone(), NOTHING)).collect();
        if let Some(principal) = principal {
            tell(&mut all, &self.lines(principal));
        }
        if let Some(token) = token.filter(|_| self.has_token())
            && let Ok(value) = HeaderValue::from_str(token.expose_secret())
            && let Some((_, place)) = all.iter_mut().find(|(name, _)| *name == TOKEN)
        {
            *place = value;
        }
        all
    }
}

/// Says which headers of a preset stay empty, since a model has no such attribute. `models`: their names and cached attributes.
pub(crate) fn gaps<'a>(
    preset: DecisionPreset,
    attributes: &DecisionAttributes,
    models: impl Iterator<Item = (&'a str, &'a [String])>,
) -> Vec<String> {
    let table = naming::table(preset).unwrap_or_default();
    let told: Vec<_> = table
        .iter()
        .filter_map(|(header, tells)| Some((header, tells.attribute(attributes)?)))
        .collect();
    let mut gaps = Vec::new();
    for (model, cached) in models {
        for (header, (key, attribute)) in &told {
            if !cached.iter().any(|known| known == attribute) {
                gaps.push(format!(
                    "{header} stays empty for model {model}: models.{model}.cached_attributes has no {attribute:?}; name another attribute by server.decision_attributes.{key}"
                ));
            }
        }
    }
    gaps
}

/// Takes the values over from header lines, whose bytes they share.
fn tell(all: &mut Headers, lines: &Bytes) {
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
        match all.iter_mut().find(|(known, _)| known.as_str().as_bytes() == name) {
            Some((_, place)) => *place = value,
            // No model caches it any more, but this identity was cached when one did.
            None => all.extend(HeaderName::from_bytes(name).ok().map(|name| (name, value))),
        }
    }
}

fn own_lines(out: &mut BytesMut, principal: &Principal, told: &Told<'_>) {
    let key = &principal.view.identity.key;
    line(out, "x-auth-guard", principal.guard.name.as_str());
    line(out, "x-auth-model", key.model());
    line(out, "x-auth-id", key.id());
    line(out, "x-auth-key", key.as_str());
    line(
        out,
        "x-auth-tenant",
        principal.tenant.as_ref().map_or("", |tenant| tenant.as_str()),
    );
    line(out, "x-auth-roles", &told.roles.join(","));
    line(out, "x-auth-permissions", &told.permissions.join(","));
    line(out, "x-auth-session", &principal.claims.session.to_string());
    for name in principal.view.identity.attributes.keys() {
        let Some(header) = attribute_header(name) else {
            tracing::warn!(attribute = ?name, "an attribute's name cannot stand in a header");
            continue;
        };
        let value = told.attributes.iter().find(|(told, _)| told == name);
        line(
            out,
            &header,
            &value.map_or_else(Default::default, |(_, value)| selection::text_of(value)),
        );
    }
}

/// `X-Auth-Attr-<name>`, with `-` for `_`, since servers drop names with `_`; `None` for a name that cannot stand in a header.
fn attribute_header(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!name.is_empty() && name.bytes().all(is_plain))
        .then(|| format!("x-auth-attr-{}", name.to_ascii_lowercase().replace('_', "-")))
}

fn line(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    encode(out, value);
    out.extend_from_slice(b"\r\n");
}

/// How long a value is once it is encoded.
fn encoded_length(value: &str) -> usize {
    let mut out = BytesMut::new();
    encode(&mut out, value);
    out.len()
}

fn encode(out: &mut BytesMut, value: &str) {
    let passes = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    if value.bytes().all(passes) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let is_inner_space = byte == b' ' && at != 0 && at != last;
        if passes(byte) || is_inner_space {
            out.extend_from_slice(&[byte]);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
