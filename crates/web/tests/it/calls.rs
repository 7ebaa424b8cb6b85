//! Calling a service in memory and looking at what it says.

use actix_http::Request;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::header::HeaderMap,
    test::{self, TestRequest},
};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Status and error code.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["error"]["code"].as_str().unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn challenge(&self) -> Option<&str> {
        self.header("www-authenticate")
    }

    pub fn cookies(&self) -> Vec<&str> {
        let set = self.headers.get_all("set-cookie");
        set.map(|value| value.to_str().unwrap()).collect()
    }
}

/// Sends the request; an error of the service itself is turned into its answer, as a server does.
pub async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let (status, headers, bytes) = match test::try_call_service(app, request.to_request()).await {
        Ok(answer) => (answer.status(), answer.headers().clone(), test::read_body(answer).await),
        Err(error) => {
            let answer = error.error_response();
            let (status, headers) = (answer.status(), answer.headers().clone());
            (status, headers, answer.into_body().try_into_bytes().unwrap())
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    Answer {
        status: status.as_u16(),
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(text.into_owned())),
    }
}

pub fn bearer(request: TestRequest, token: &str) -> TestRequest {
    request.insert_header(("Authorization", format!("Bearer {token}")))
}
