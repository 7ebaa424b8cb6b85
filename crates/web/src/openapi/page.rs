//! What belongs to no guard: `/openapi.json`, `/docs` with the script and the style that it needs and nothing else, the public keys, and where they are.

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    web::{Data, ServiceConfig},
};
use bekci_token::Algorithm;
use serde_json::json;

use super::{Answers, Operation, Standing, mount_at_root, schema};
use crate::Bekci;

/// How long others may keep the public keys: less than a new key waits before it signs.
const KEYS_MAX_AGE: &str = "public, max-age=30";

/// Nothing from anywhere else, nothing inline, in nobody's frame: somebody pastes a token here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What these answer from. A type of its own, so that it is not taken for the application's data.
#[derive(Clone, Debug)]
struct Source {
    bekci: Bekci,
    /// Where the calls of clients are mounted.
    prefix: String,
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/.well-known/jwks.json", |route| route.to(keys))
            .named("keys", "The public keys of every guard (RFC 7517).")
            .answers(Answers::Json(|| {
                let key = json!({"type": "object", "required": ["kty", "kid"], "properties": {"kty": schema::text(), "kid": schema::text()}});
                schema::exactly(&[("keys", schema::list(key))])
            })),
        Operation::new(Method::GET, "/.well-known/openid-configuration", |route| route.to(discovery))
            .named("discovery", "Who issues tokens, and where its public keys are (OpenID Connect Discovery 1.0; RFC 8414).")
            .answers(Answers::Json(|| {
                let required = [
                    "issuer",
                    "jwks_uri",
                    "id_token_signing_alg_values_supported",
                    "response_types_supported",
                    "subject_types_supported",
                ];
                let described = [
                    ("issuer", schema::text()),
                    ("jwks_uri", schema::text()),
                    ("id_token_signing_alg_values_supported", schema::list(schema::text())),
                    ("response_types_supported", schema::list(schema::text())),
                    ("subject_types_supported", schema::list(schema::text())),
                    ("introspection_endpoint", schema::text()),
                    ("introspection_endpoint_auth_methods_supported", schema::list(schema::text())),
                    ("revocation_endpoint", schema::text()),
                    ("revocation_endpoint_auth_methods_supported", schema::list(schema::text())),
                ];
                schema::among(&required, &described)
            })),
        Operation::new(Method::GET, "/openapi.json", |route| route.to(document))
            .named("openapi", "This document.")
            .answers(Answers::Json(schema::open)),
        Operation::new(Method::GET, "/docs", |route| route.to(page))
            .named("docs", "A page to try the calls at.")
            .answers(Answers::Other("text/html; charset=utf-8")),
        Operation::new(Method::GET, "/docs/page.js", |route| route.to(script))
            .named("docsScript", "The page's script.")
            .answers(Answers::Other("text/javascript; charset=utf-8")),
        Operation::new(Method::GET, "/docs/page.css", |route| route.to(style))
            .named("docsStyle", "The page's style.")
            .answers(Answers::Other("text/css; charset=utf-8")),
    ]
}

/// Where they stand.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    operations().into_iter().map(|operation| operation.path().to_owned())
}

/// Mounts them.
pub(crate) fn mount(bekci: &Bekci, prefix: &str, config: &mut ServiceConfig) {
    let operations = operations();
    let standing = Standing {
        prefix: "",
        family: "public",
        guard: None,
    };
    bekci.described().add(standing, &operations);
    config.app_data(Data::new(Source {
        bekci: bekci.clone(),
        prefix: prefix.to_owned(),
    }));
    mount_at_root(config, &operations);
}

async fn keys(source: Data<Source>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, HeaderValue::from_static(KEYS_MAX_AGE)));
    answer.json(source.bekci.keys().jwks())
}

/// What a library asks for that verifies our tokens. There is no endpoint to sign in at for other sites, so none is named, and the one response type is that which
/// gives nothing (OAuth 2.0 Multiple Response Type Encoding Practices, section 4).
async fn discovery(source: Data<Source>) -> HttpResponse {
    let bekci = &source.bekci;
    let mut algorithms: Vec<&str> = bekci
        .keys()
        .keys()
        .iter()
        .filter_map(|key| key.algorithm.map(Algorithm::as_str))
        .collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, HeaderValue::from_static(KEYS_MAX_AGE)));
    let mut described = json!({
        "issuer": bekci.keys().issuer(),
        "jwks_uri": format!("{}/.well-known/jwks.json", bekci.public_url()),
        "id_token_signing_alg_values_supported": algorithms,
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
    });
    if let Some(described) = described.as_object_mut().filter(|_| !bekci.clients().is_empty()) {
        for (call, name) in [("introspection", "introspect"), ("revocation", "revoke")] {
            let url = format!("{}{}/{name}", bekci.public_url(), source.prefix);
            described.insert(format!("{call}_endpoint"), url.into());
            let methods = json!(["client_secret_basic", "client_secret_post"]);
            described.insert(format!("{call}_endpoint_auth_methods_supported"), methods);
        }
    }
    answer.json(described)
}

async fn document(source: Data<Source>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    answer.json(source.bekci.openapi())
}

fn file(kind: &'static str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
        .insert_header((REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(content)
}

async fn page() -> HttpResponse {
    file("text/html; charset=utf-8", include_str!("page.html"))
}

async fn script() -> HttpResponse {
    file("text/javascript; charset=utf-8", include_str!("page.js"))
}

async fn style() -> HttpResponse {
    file("text/css; charset=utf-8", include_str!("page.css"))
}
