//! Calling a service in memory and looking at what it says.

use std::sync::OnceLock;

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
    let request = request.to_request();
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let answer = answer_of(app, request).await;
    if let Some(document) = document(app).await {
        check(document, &method, &path, &answer);
    }
    answer
}

/// The document of the first application that had one: the calls are described alike wherever they are mounted.
async fn document<S, B>(app: &S) -> Option<&'static Value>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    if let Some(document) = DOCUMENT.get() {
        return Some(document);
    }
    let answer = answer_of(app, TestRequest::get().uri("/openapi.json").to_request()).await;
    let calls = answer.body["paths"]
        .as_object()
        .filter(|paths| paths.contains_key("/admin/v1/roles"))?;
    assert!(!calls.is_empty());
    Some(DOCUMENT.get_or_init(|| answer.body))
}

/// Whatever the tests provoke, its status and its code are in the document.
fn check(document: &Value, method: &str, path: &str, answer: &Answer) {
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        let each = wanted
            .by_ref()
            .zip(given.by_ref())
            .all(|(wanted, given)| wanted == given || wanted.starts_with('{'));
        each && template.split('/').count() == path.split('/').count()
    };
    let paths = document["paths"].as_object().unwrap();
    // A path that is written out goes before one with places.
    let exact = paths.get(path).map(|item| (path.to_owned(), item));
    let found = exact.or_else(|| {
        paths
            .iter()
            .find(|(template, _)| fits(template))
            .map(|(at, item)| (at.clone(), item))
    });
    let Some((template, call)) = found.and_then(|(at, item)| Some((at, item.get(method.to_ascii_lowercase())?))) else {
        return;
    };
    // An application that mounts less than the one that was described answers so itself.
    let not_mounted = answer.status == 404 && !template.contains('{');
    if not_mounted || answer.status == 405 {
        return;
    }
    let told = &call["responses"][answer.status.to_string()];
    assert!(
        told.is_object(),
        "{method} {template}: {} is not in the document: {answer:?}",
        answer.status
    );
    if let Some(code) = answer.body["error"]["code"].as_str() {
        let pointer = told["$ref"].as_str().unwrap().trim_start_matches('#').to_owned();
        let shared = document.pointer(&pointer).unwrap();
        let about = shared["description"].as_str().unwrap();
        assert!(
            about.contains(&format!("`{code}`")),
            "{method} {template}: {code} is not in the document"
        );
    }
}

async fn answer_of<S, B>(app: &S, request: Request) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let (status, headers, bytes) = match test::try_call_service(app, request).await {
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
