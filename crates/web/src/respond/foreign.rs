//! Errors that are not ours: Actix's own, told with the contract's codes.

use actix_web::{
    Error,
    error::{
        ContentTypeError, InternalError, JsonPayloadError, PathError, PayloadError, QueryPayloadError, ReadlinesError,
        UrlencodedError,
    },
    http::StatusCode,
};
use bekci_core::ErrorCode;
use serde_json::error::Category;

use super::Refusal;

/// What one of Actix's own errors, or a refusal, is told as; `None` for an application's own error, which tells itself.
pub(crate) fn translated(error: &Error) -> Option<Refusal> {
    if let Some(json) = error.as_error::<JsonPayloadError>() {
        return Some(json_refusal(json));
    }
    if error.as_error::<PayloadError>().is_some_and(is_late) {
        return Some(Refusal::late_body());
    }
    // What `web::Path` gives where nobody configured it: "not found", round the fault.
    let ours = error.as_error::<InternalError<serde::de::value::Error>>().is_some()
        || error.as_error::<PathError>().is_some()
        || error.as_error::<QueryPayloadError>().is_some()
        || error.as_error::<UrlencodedError>().is_some()
        || error.as_error::<PayloadError>().is_some()
        || error.as_error::<ReadlinesError>().is_some()
        || error.as_error::<ContentTypeError>().is_some();
    ours.then(|| by_status(error.as_response_error().status_code(), error.to_string()))
}

/// Whether a body did not come within the time that the server grants it.
pub(crate) fn is_late(fault: &PayloadError) -> bool {
    matches!(fault, PayloadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

fn by_status(status: StatusCode, reason: String) -> Refusal {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        status if status.is_server_error() => ErrorCode::Internal,
        _ => ErrorCode::MalformedRequest,
    };
    Refusal::new(code, reason)
}

fn json_refusal(error: &JsonPayloadError) -> Refusal {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            Refusal::new(ErrorCode::PayloadTooLarge, error.to_string())
        }
        JsonPayloadError::ContentType => Refusal::new(ErrorCode::UnsupportedMediaType, "the content type is not JSON"),
        JsonPayloadError::Deserialize(fault) => json_fault(fault, &[]),
        JsonPayloadError::Payload(fault) if is_late(fault) => Refusal::late_body(),
        JsonPayloadError::Payload(fault) => by_status(
            actix_web::ResponseError::status_code(fault),
            format!("the body cannot be read: {fault}"),
        ),
        _ => Refusal::new(ErrorCode::Internal, error.to_string()),
    }
}

/// What is wrong with a JSON body: text that is no JSON, and a field that nobody asked for or that stands twice, are malformed requests; a field
/// that is missing or of the wrong type is a failed validation, named in the details. `json` is the body; without it a wrong type has no name.
pub(crate) fn json_fault(fault: &serde_json::Error, json: &[u8]) -> Refusal {
    let text = fault.to_string();
    let field = text.split('`').nth(1).map(str::to_owned);
    // serde gives these three kinds no type of their own, only their words; a test keeps watch over them.
    let unasked = text.starts_with("unknown field") || text.starts_with("duplicate field");
    if fault.classify() != Category::Data || unasked {
        // The words of serde may repeat what the client sent, so they stay out of the log; only the place is told.
        let place = format!("line {}, column {}", fault.line(), fault.column());
        return Refusal::new(
            ErrorCode::MalformedRequest,
            format!("the JSON body is refused at {place}"),
        )
        .detail_if("unexpected", field.filter(|_| unasked));
    }
    let missing = text.starts_with("missing field");
    let fields = match field {
        Some(name) if missing => serde_json::json!({name: "missing"}),
        _ => serde_json::json!({field_at(fault, json).unwrap_or_default(): rule_of(&text)}),
    };
    Refusal::new(ErrorCode::ValidationFailed, "a field of the JSON body is not good").detail("fields", fields)
}

/// What serde asks for, without what the client sent: that comes first in its words, and the place last.
fn rule_of(text: &str) -> String {
    let wanted = text.rsplit_once(", expected ").map(|(_, wanted)| wanted);
    let wanted = wanted.and_then(|wanted| wanted.split(" at line ").next());
    match wanted {
        Some("a string") => "must be a text".to_owned(),
        Some("a sequence") => "must be a list".to_owned(),
        Some("a boolean") => "must be true or false".to_owned(),
        // The choices of a list of ours, in backquotes.
        Some(choices) if choices.starts_with('`') || choices.starts_with("one of `") => {
            format!("must be {}", choices.replace('`', ""))
        }
        Some(_) | None => "has a wrong type or value".to_owned(),
    }
}

/// The field of the outermost object whose value a fault lies in: serde tells lines and columns alone.
fn field_at(fault: &serde_json::Error, json: &[u8]) -> Option<String> {
    let lines = json.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(fault.line().checked_sub(1)?).map(<[u8]>::len).sum();
    let end = before.checked_add(fault.column())?.min(json.len());
    let (mut depth, mut text, mut escaped) = (0_usize, None, false);
    let (mut last, mut field) = (None, None);
    for (at, byte) in json.get(..end)?.iter().enumerate() {
        match (text, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(start), b'"') => {
                last = json.get(start..=at);
                text = None;
            }
            (Some(_), _) => {}
            (None, b'"') => text = Some(at),
            (None, b'{' | b'[') => depth += 1,
            (None, b'}' | b']') => depth = depth.saturating_sub(1),
            (None, b':') if depth == 1 => field = last,
            (None, _) => {}
        }
    }
    serde_json::from_slice(field?).ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only read by the deserializer")]
        email: String,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read by the deserializer")]
    struct Wide {
        name: Option<String>,
        roles: Option<Vec<String>>,
        verified: Option<bool>,
        way: Option<Way>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Way {
        Body,
        Cookie,
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_and_what_the_client_sent_is_not_repeated() {
        let told = |text: &str| {
            let fault = serde_json::from_str::<Wide>(text).unwrap_err();
            let field = field_at(&fault, text.as_bytes()).unwrap_or_default();
            format!("{field}: {}", rule_of(&fault.to_string()))
        };
        assert_eq!(told(r#"{"name": 5}"#), "name: must be a text");
        assert_eq!(
            told("{\n\"name\":\n\"a\", \"verified\": \"so\" }"),
            "verified: must be true or false"
        );
        assert_eq!(told(r#"{"roles": "a", "name": "b"}"#), "roles: must be a list");
        assert_eq!(
            told(r#"{"name": "\"roles\": ", "roles": ["a", 5]}"#),
            "roles: must be a text"
        );
        assert_eq!(told(r#"{"name": {"verified": true}}"#), "name: must be a text");
        assert_eq!(
            told(r#"{"way": "x, expected `secret` at line "}"#),
            "way: must be body or cookie"
        );
        assert_eq!(
            told(r#"{"verified": "x, expected a string at line 1"}"#),
            "verified: must be true or false"
        );
        assert_eq!(told("5"), ": has a wrong type or value");
    }

    #[test]
    fn json_faults_are_told_apart() {
        let code = |text: &str| json_fault(&serde_json::from_str::<Body>(text).unwrap_err(), text.as_bytes()).code();
        assert_eq!(code("{"), ErrorCode::MalformedRequest);
        assert_eq!(code("{\"email\": \"a\"} x"), ErrorCode::MalformedRequest);
        assert_eq!(code(r#"{"email": "a", "model": "admin"}"#), ErrorCode::MalformedRequest);
        assert_eq!(code(r#"{"email": "a", "email": "b"}"#), ErrorCode::MalformedRequest);
        assert_eq!(code("{}"), ErrorCode::ValidationFailed);
        assert_eq!(code(r#"{"email": 1}"#), ErrorCode::ValidationFailed);
        assert_eq!(code("[]"), ErrorCode::ValidationFailed);
    }
}
