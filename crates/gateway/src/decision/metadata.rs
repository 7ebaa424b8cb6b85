//! What the proxy in front says about the request that it asks about.
//!
//! Each family of headers has its own endpoint and nothing else is read there: a client can always send the family that its proxy does not overwrite.

use actix_web::{
    HttpRequest,
    http::{Method, header::HeaderMap},
};

use crate::{routes::Host, sign_in::Wanted};

/// How a proxy says what it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri`: Traefik, Caddy, HAProxy.
    Forwarded,
    /// `X-Original-Method`, `X-Original-URL`: nginx.
    Original,
    /// The request itself, under a prefix, and `X-Forwarded-Proto` where it is sent: Envoy.
    Prefixed,
}

/// Where Envoy's `path_prefix` leads.
pub(super) const PREFIX: &str = "/ext-authz";

/// The request that is asked about. Nothing of it is canonical yet but the host.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    /// `http` or `https`; `None` where the proxy does not say.
    pub(super) scheme: Option<&'static str>,
    pub(super) host: Host<'a>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

/// A header that cannot be believed even from a proxy of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header} {why}")]
pub(super) struct BadMetadata {
    /// Its name.
    pub(super) header: &'static str,
    /// What is wrong with it.
    pub(super) why: &'static str,
}

impl<'a> Asked<'a> {
    /// The address of it, as a browser has it.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            scheme: self.scheme,
            host: &self.host,
            path: self.path,
            query: self.query,
        }
    }

    /// Reads the metadata of one family.
    pub(super) fn of(family: Family, request: &'a HttpRequest) -> Result<Self, BadMetadata> {
        match family {
            Family::Forwarded => Self::forwarded(request.headers()),
            Family::Original => Self::original(request.headers()),
            Family::Prefixed => Self::prefixed(request),
        }
    }

    fn forwarded(headers: &'a HeaderMap) -> Result<Self, BadMetadata> {
        let method = method(headers, "X-Forwarded-Method")?;
        let scheme = scheme(headers)?;
        let host = host("X-Forwarded-Host", only(headers, "X-Forwarded-Host")?)?;
        let (path, query) = target("X-Forwarded-Uri", only(headers, "X-Forwarded-Uri")?)?;
        Ok(Self {
            method,
            scheme: Some(scheme),
            host,
            path,
            query,
        })
    }

    fn original(headers: &'a HeaderMap) -> Result<Self, BadMetadata> {
        const URL: &str = "X-Original-URL";
        let bad = |why| BadMetadata { header: URL, why };
        let method = method(headers, "X-Original-Method")?;
        let (scheme, rest) = only(headers, URL)?.split_once("://").ok_or(bad("is no absolute URL"))?;
        let scheme = named_scheme(scheme).ok_or(bad("is neither of http nor of https"))?;
        let slash = rest.find('/').ok_or(bad("has no path"))?;
        let (authority, rest) = rest.split_at(slash);
        let host = host(URL, authority)?;
        let (path, query) = target(URL, rest)?;
        Ok(Self {
            method,
            scheme: Some(scheme),
            host,
            path,
            query,
        })
    }

    fn prefixed(request: &'a HttpRequest) -> Result<Self, BadMetadata> {
        let headers = request.headers();
        let host = Host::of(headers, request.uri()).map_err(|bad| BadMetadata {
            header: "Host",
            why: bad.0,
        })?;
        let has_scheme = headers.contains_key("x-forwarded-proto");
        let scheme = has_scheme.then(|| scheme(headers)).transpose()?;
        Ok(Self {
            method: request.method().clone(),
            scheme,
            host,
            path: request.path().strip_prefix(PREFIX).unwrap_or_default(),
            query: request.uri().query(),
        })
    }
}

/// The value of a header that must be there once and be visible ASCII, as all that is read here is.
fn only<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<&'a str, BadMetadata> {
    let bad = |why| BadMetadata { header, why };
    let mut values = headers.get_all(header);
    let value = values.next().ok_or(bad("is missing"))?;
    if values.next().is_some() {
        return Err(bad("stands more than once"));
    }
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("is empty or has a byte that may not be there"));
    }
    Ok(text)
}

fn method(headers: &HeaderMap, header: &'static str) -> Result<Method, BadMetadata> {
    let why = "is no method";
    Method::from_bytes(only(headers, header)?.as_bytes()).map_err(|_| BadMetadata { header, why })
}

fn scheme(headers: &HeaderMap) -> Result<&'static str, BadMetadata> {
    const PROTO: &str = "X-Forwarded-Proto";
    let why = "is neither http nor https";
    named_scheme(only(headers, PROTO)?).ok_or(BadMetadata { header: PROTO, why })
}

/// Some proxies name the scheme of a WebSocket by its own name (RFC 6455 section 3).
fn named_scheme(name: &str) -> Option<&'static str> {
    match name {
        "http" | "ws" => Some("http"),
        "https" | "wss" => Some("https"),
        _ => None,
    }
}

fn host<'a>(header: &'static str, text: &'a str) -> Result<Host<'a>, BadMetadata> {
    Host::parse(text).map_err(|bad| BadMetadata { header, why: bad.0 })
}

/// Path and query. A fragment is never sent to a server (RFC 9110 section 7.1), so that servers differ on what it is.
fn target<'a>(header: &'static str, text: &'a str) -> Result<(&'a str, Option<&'a str>), BadMetadata> {
    if !text.starts_with('/') || text.contains('#') {
        let why = "is no path with perhaps a query";
        return Err(BadMetadata { header, why });
    }
    Ok(text
        .split_once('?')
        .map_or((text, None), |(path, query)| (path, Some(query))))
}
