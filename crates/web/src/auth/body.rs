//! The bodies that these calls take.

use std::time::Duration;

use actix_web::{HttpRequest, error::PayloadError, http::header::CONTENT_LENGTH, web::Payload};
use bekci_core::ErrorCode;
use bekci_signin::Identifier;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::respond::{Refusal, is_late, json_fault, only};

/// How long a body may take to come. Who sends a byte now and then would else hold a connection and its memory for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the tokens of a sign-in travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Transport {
    /// In the body.
    #[default]
    Body,
    /// As cookies.
    Cookie,
}

/// `POST …/login`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Login {
    email: Option<String>,
    identifier: Option<String>,
    password: Secret,
    #[serde(default)]
    pub(super) remember_me: bool,
    pub(super) device_name: Option<String>,
    pub(super) device_id: Option<String>,
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) transport: Transport,
}

/// A text that does not print, not even while it is read.
pub(super) struct Secret(pub(super) SecretString);

impl Secret {
    /// The text.
    pub(super) fn text(&self) -> &str {
        self.0.expose_secret()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl Login {
    /// Who somebody says they are, and the password.
    pub(super) fn credentials(&self) -> Result<(Identifier, SecretString), Refusal> {
        let named = match (&self.email, &self.identifier) {
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => return Err(invalid("email", "missing")),
            (Some(_), Some(_)) => return Err(invalid("identifier", "stands beside email; give one of them")),
        };
        check_remember(self.remember_me, self.transport)?;
        Ok((Identifier::new(named)?, self.password.0.clone()))
    }
}

/// `POST …/token/refresh`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Refresh {
    pub(super) refresh_token: Option<String>,
    pub(super) device_id: Option<String>,
}

/// `POST …/logout`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Logout {
    pub(super) refresh_token: Option<String>,
    /// Whether this browser is forgotten too; `true` unless it is said.
    pub(super) forget: Option<bool>,
}

/// A remember-me token is a cookie, and goes with the others.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub(super) fn check_remember(remember: bool, transport: Transport) -> Result<(), Refusal> {
    match (remember, transport) {
        (true, Transport::Body) => Err(invalid("rememberMe", "needs \"transport\": \"cookie\"")),
        _ => Ok(()),
    }
}

/// A field that cannot be what it is.
pub(crate) fn invalid(field: &str, rule: &str) -> Refusal {
    Refusal::new(ErrorCode::ValidationFailed, "a field of the body is not good").detail("fields", json!({field: rule}))
}

/// Reads a body that must be there, of at most so many bytes.
pub(crate) async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    most: usize,
) -> Result<T, Refusal> {
    if !is_json(request) {
        return Err(Refusal::new(
            ErrorCode::UnsupportedMediaType,
            "the content type is not application/json",
        ));
    }
    let bytes = collect(request, payload, most).await?;
    parse(&bytes)
}

/// Reads a body that may be left out: where there is no byte, no content type is asked for.
pub(super) async fn read_if_any<T: DeserializeOwned + Default>(
    request: &HttpRequest,
    payload: Payload,
    most: usize,
) -> Result<T, Refusal> {
    let bytes = collect(request, payload, most).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if !is_json(request) {
        return Err(Refusal::new(
            ErrorCode::UnsupportedMediaType,
            "the content type is not application/json",
        ));
    }
    parse(&bytes)
}

/// Reads a form: `application/x-www-form-urlencoded`, of at most so many bytes.
pub(super) async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    most: usize,
) -> Result<actix_web::web::Bytes, Refusal> {
    if !is_of(request, "application/x-www-form-urlencoded") {
        return Err(Refusal::new(
            ErrorCode::UnsupportedMediaType,
            "the content type is not application/x-www-form-urlencoded",
        ));
    }
    collect(request, payload, most).await
}

/// A body is an object. Of an array serde would take the items for the fields in their order, whatever they are.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if !bytes.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(bytes).map_err(|fault| json_fault(&fault, bytes));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|fault| json_fault(&fault, bytes))?;
    Err(invalid("", "is an array; an object is asked for"))
}

/// `application/json`, with whatever parameters (RFC 8259 section 11 knows none).
fn is_json(request: &HttpRequest) -> bool {
    is_of(request, "application/json")
}

/// Whether the body is of this media type, with whatever parameters.
fn is_of(request: &HttpRequest, kind: &str) -> bool {
    let given = only(request.headers(), &actix_web::http::header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(kind)
}

async fn collect(request: &HttpRequest, payload: Payload, most: usize) -> Result<actix_web::web::Bytes, Refusal> {
    let too_large = || Refusal::new(ErrorCode::PayloadTooLarge, format!("more than {most} bytes"));
    let announced = only(request.headers(), &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > most as u64) {
        return Err(too_large());
    }
    let reading = actix_web::rt::time::timeout(PATIENCE, payload.to_bytes_limited(most));
    let in_time = reading.await.map_err(|_| Refusal::late_body())?;
    let read = in_time.map_err(|_| too_large())?;
    read.map_err(|fault| match fault.as_error::<PayloadError>() {
        Some(fault) if is_late(fault) => Refusal::late_body(),
        Some(_) | None => Refusal::new(ErrorCode::MalformedRequest, "the body cannot be read to its end"),
    })
}
