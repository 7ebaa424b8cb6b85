//! How a request wants to be answered: under which id, in which language, in which shape.

use std::{fmt, rc::Rc};

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName, HeaderValue},
};
use bekci_core::TokenId;

use super::messages::{Language, Messages};

/// The header that carries a request's id, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An id taken over from a client or proxy may be this long.
const MAX_REQUEST_ID: usize = 128;

/// What a request is called in its answer and in the log. Only `A-Z a-z 0-9 - _ .`, so that it can forge no log line.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Rc<str>);

impl RequestId {
    /// The id that the request came with, if it has exactly one of at most 128 harmless characters; else a new one.
    #[must_use]
    pub fn taken_or_made(headers: &HeaderMap) -> Self {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let given = only(headers, &REQUEST_ID)
            .filter(|text| (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(harmless));
        given.map_or_else(Self::made, |text| Self(text.into()))
    }

    fn made() -> Self {
        Self(TokenId(crate::chance::bytes()).digits().as_str().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a request wants to be answered.
#[derive(Clone, Debug)]
pub struct Voice {
    /// What the request is called.
    pub request_id: RequestId,
    /// The language of messages, by `Accept-Language`.
    pub language: Language,
    /// Whether failures are told as RFC 9457 has it, by `Accept: application/problem+json`.
    pub problem: bool,
    /// The sentences of answers.
    pub messages: Messages,
}

impl Voice {
    /// Reads the headers of a request.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        Self {
            request_id: RequestId::taken_or_made(headers),
            language: language(headers),
            problem: wants_problem(headers),
            messages: Messages::default(),
        }
    }

    /// With these sentences.
    #[must_use]
    pub fn saying(mut self, messages: &Messages) -> Self {
        self.messages = messages.clone();
        self
    }

    /// The voice that [`Front`](crate::Front) noted for this request, else one read now and noted, so that a request has one id.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        if let Some(voice) = request.extensions().get::<Self>() {
            return voice.clone();
        }
        let voice = Self::read(request.headers());
        request.extensions_mut().insert(voice.clone());
        voice
    }
}

/// The value of a header, if there is exactly one and it is visible ASCII.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

/// The items of a list header with their weights (RFC 9110 section 12.4.2), in lower case. A weight that cannot be read counts as 0.
fn weighted<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = (String, f32)> + 'a {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let (what, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
        (what.trim().to_ascii_lowercase(), weight)
    })
}

fn wants_problem(headers: &HeaderMap) -> bool {
    let weight_of = |wanted: &str| {
        weighted(headers, &ACCEPT)
            .find(|(what, _)| what == wanted)
            .map(|(_, weight)| weight)
    };
    let problem = weight_of("application/problem+json").unwrap_or(0.0);
    problem > 0.0 && problem >= weight_of("application/json").unwrap_or(0.0)
}

fn language(headers: &HeaderMap) -> Language {
    named_language(headers).unwrap_or_default()
}

/// The language that is spoken here among those that `Accept-Language` names.
pub(crate) fn named_language(headers: &HeaderMap) -> Option<Language> {
    let mut best = (None, 0.0);
    for (tag, weight) in weighted(headers, &ACCEPT_LANGUAGE) {
        let primary = tag.split('-').next().unwrap_or_default();
        if let Some(language) = Language::by_tag(primary)
            && weight > best.1
        {
            best = (Some(language), weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_sane_request_id_is_taken_over_and_any_other_is_replaced() {
        let id = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|value| (REQUEST_ID, *value)).collect();
            RequestId::taken_or_made(&headers(&pairs)).as_str().to_owned()
        };
        assert_eq!(id(&["a-1_b.C"]), "a-1_b.C");
        let long = "a".repeat(129);
        for odd in [&[][..], &["a b"], &["a\"b"], &["a", "b"], &[""], &[&long]] {
            let made = id(odd);
            assert_eq!(made.len(), 32, "{odd:?}");
            assert_ne!(made, id(odd), "{odd:?}");
        }
    }

    #[test]
    fn the_heaviest_language_that_is_spoken_is_used() {
        let speaks = |value: &str| language(&headers(&[(ACCEPT_LANGUAGE, value)]));
        assert_eq!(speaks("tr"), Language::Turkish);
        assert_eq!(speaks("tr-TR,en;q=0.8"), Language::Turkish);
        assert_eq!(speaks("de, en;q=0.5, tr;q=0.7"), Language::Turkish);
        assert_eq!(speaks("tr;q=0, en"), Language::English);
        assert_eq!(speaks("de"), Language::English);
        assert_eq!(speaks("tr;q=x"), Language::English);
    }

    #[test]
    fn a_problem_is_told_where_it_is_asked_for_by_name() {
        let problem = |value: &str| wants_problem(&headers(&[(ACCEPT, value)]));
        assert!(problem("application/problem+json"));
        assert!(problem("text/html, Application/Problem+JSON;q=0.5"));
        assert!(problem("application/problem+json, application/json"));
        assert!(!problem("application/problem+json;q=0"));
        assert!(!problem("application/json, application/problem+json;q=0.5"));
        assert!(!problem("*/*"));
    }
}
