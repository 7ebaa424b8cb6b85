//! The endpoints in the OpenAPI document.

use bekci::Bekci;
use serde_json::{Map, Value, json};

/// Every status that a decision can have, and what it says. nginx gets 200, 401, 403 and the 5xx alone.
const STATUSES: [(u16, &str); 13] = [
    (200, "Let in; the identity as headers, empty where there is no value."),
    (302, "A browser without a session is sent to sign in, after GET."),
    (303, "The same after another method."),
    (
        400,
        "What is asked about is missing, stands twice or cannot be read; or a credential does.",
    ),
    (401, "Nobody is signed in who may come in."),
    (403, "Not allowed, or the peer is not in `server.trusted_proxies`."),
    (404, "No route."),
    (405, "A method that is never served."),
    (421, "A host that no route knows."),
    (429, "Too many; `Retry-After`."),
    (500, "Something was not set up."),
    (501, "A method that nobody knows."),
    (503, "It cannot be told now."),
];

/// Adds the endpoints to the document of what is mounted.
pub(crate) fn describe(bekci: &Bekci) {
    let forwarded = &[
        "X-Forwarded-Method",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Uri",
    ];
    let endpoints: [(&str, &str, &str, &[&str]); 3] = [
        (
            "/forward-auth",
            "forwardAuth",
            "The decision alone, for Traefik, Caddy and HAProxy.",
            forwarded,
        ),
        (
            "/auth-request",
            "authRequest",
            "The same for nginx.",
            &["X-Original-Method", "X-Original-URL"],
        ),
        (
            "/ext-authz/{path}",
            "extAuthz",
            "The same for Envoy's HTTP ext_authz; the path is the one that is asked about.",
            &[],
        ),
    ];
    for (path, id, summary, headers) in endpoints {
        bekci.describe(path, "get", operation(path, id, summary, headers));
    }
}

/// What a header of the proxy must be like at least.
fn header_of(name: &str) -> Value {
    match name {
        "X-Forwarded-Proto" => json!({"type": "string", "enum": ["http", "https"]}),
        "X-Forwarded-Uri" => json!({"type": "string", "pattern": "^/"}),
        "X-Original-URL" => json!({"type": "string", "pattern": "^https?://[^/?#]+/"}),
        "X-Forwarded-Host" => json!({"type": "string", "pattern": "^[A-Za-z0-9.:-]+$"}),
        _ => json!({"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]}),
    }
}

/// Refusals have the body of every other refusal.
fn response(status: u16, about: &str) -> Value {
    if status < 400 {
        return json!({"description": about});
    }
    let of = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    json!({
        "description": about,
        "content": {"application/json": of("Failure"), "application/problem+json": of("Problem")},
    })
}

fn operation(path: &str, id: &str, summary: &str, headers: &[&str]) -> Value {
    let text = json!({"type": "string"});
    let header = |name: &&str| json!({"name": name, "in": "header", "required": true, "schema": header_of(name)});
    let in_path = path.contains('{');
    let in_path = in_path.then(|| json!({"name": "path", "in": "path", "required": true, "schema": text}));
    let parameters: Vec<Value> = in_path.into_iter().chain(headers.iter().map(header)).collect();
    let nginx = path == "/auth-request";
    let known = |status: u16| !nginx || matches!(status, 200 | 401 | 403 | 500 | 503);
    let told = STATUSES.iter().filter(|(status, _)| known(*status));
    let responses: Map<String, Value> = told
        .map(|(status, about)| (status.to_string(), response(*status, about)))
        .collect();
    json!({
        "operationId": format!("decisions.{id}"),
        "summary": summary,
        "description": "Answers any method alike. Only a peer of `server.trusted_proxies` is answered about another request than its own.",
        "tags": ["decisions"],
        "security": [],
        "parameters": parameters,
        "responses": responses,
    })
}
