//! `GET …/links`: the page that links in mails lead to where a guard has no page of its own.
//!
//! The reference and the secret are the fragment of the address, which no browser sends: neither a mail scanner nor a log of requests has them. The page asks for a click, and sends
//! them with a POST. It keeps nothing, loads nothing from elsewhere and is in nobody's frame.

use actix_web::{
    HttpResponse,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
        .insert_header((REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(content)
}

pub(super) async fn page() -> HttpResponse {
    file("text/html; charset=utf-8", include_str!("links.html"))
}

pub(super) async fn script() -> HttpResponse {
    file("text/javascript; charset=utf-8", include_str!("links.js"))
}

pub(super) async fn style() -> HttpResponse {
    file("text/css; charset=utf-8", include_str!("links.css"))
}
