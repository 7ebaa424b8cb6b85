//! What was answered.

use std::fmt;

use actix_web::http::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::done;

/// An answer, read to its end.
pub struct TestAnswer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl TestAnswer {
    /// The status: 200, 403.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The error code of a refusal: `FORBIDDEN`. Empty where there is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = body.pointer("/error/code").or_else(|| body.get("code"));
        code.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A header's first value, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body read as JSON: `answer.json::<serde_json::Value>()`.
    ///
    /// # Panics
    /// Where it is none of this type.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        done(
            serde_json::from_slice(&self.body),
            &format!("the body is not what was asked for: {self:?}"),
        )
    }
}

impl fmt::Debug for TestAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.text())
    }
}
