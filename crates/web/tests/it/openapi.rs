//! The OpenAPI document says what is mounted, all of it and nothing else; the page needs nothing from anywhere else.

use std::path::Path;

use actix_web::{
    App, HttpResponse,
    body::to_bytes,
    http::Method,
    test::{TestRequest, call_service, init_service},
    web,
};
use bekci::{AsIs, MailSettings, Sender, Transport};
use serde_json::{Map, Value};

use crate::{admin::office, calls::send, house::House};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// A path of the document with something in each of its places.
fn filled(path: &str) -> String {
    let part = |part: &str| match part {
        "{model}" => "admin".to_owned(),
        "{sid}" => "0123456789abcdef0123456789abcdef".to_owned(),
        part if part.starts_with('{') => "1".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

#[actix_web::test]
async fn every_call_of_the_document_is_mounted_and_every_other_method_of_its_path_is_405() {
    // Without mails the calls that send them have nothing to do, and say so.
    let mails = MailSettings::new(Transport::log(), Sender::new("no-reply@example.com").unwrap());
    let house = House::built("http://localhost", |builder| builder.mail(mails)).await;
    let app = office!(house.bekci);
    let document = send(&app, TestRequest::get().uri("/openapi.json")).await;
    assert_eq!((document.status, &document.body["openapi"]), (200, &"3.1.0".into()));
    let paths = object(&document.body["paths"]);
    assert!(paths.len() > 30, "{}", paths.len());
    for (path, item) in paths {
        let described: Vec<String> = object(item).keys().map(|method| method.to_uppercase()).collect();
        let head = send(&app, TestRequest::default().method(Method::HEAD).uri(&filled(path))).await;
        assert_eq!(
            head.status != 405,
            described.iter().any(|known| known == "GET"),
            "{path}"
        );
        for method in METHODS {
            let request = TestRequest::default()
                .method(method.parse::<Method>().unwrap())
                .uri(&filled(path));
            let answer = send(&app, request).await;
            if described.iter().any(|known| known == method) {
                assert!(![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
                continue;
            }
            assert_eq!(answer.refusal(), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
            let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
            allowed.sort_unstable();
            let mut wanted: Vec<&str> = described.iter().map(String::as_str).collect();
            if wanted.contains(&"GET") {
                wanted.push("HEAD");
            }
            wanted.sort_unstable();
            assert_eq!(allowed, wanted, "{path}");
        }
    }
    house.bekci.close().await;
}

/// The files below a folder.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn nothing_is_mounted_beside_the_tables_that_the_document_is_made_of() {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    let mounts = [
        "web::resource(",
        ".route(\"",
        "web::get()",
        "web::post()",
        "web::method(",
    ];
    let code = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let beside: Vec<&String> = found
        .iter()
        // What tests call is mounted by tests.
        .filter(|(path, _)| !path.contains("/src/testing/"))
        .filter(|(_, text)| mounts.iter().any(|mount| code(text).contains(mount)))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    assert!(beside[0].ends_with("openapi/mod.rs"), "{beside:?}");
}

#[actix_web::test]
async fn names_are_in_camel_case_and_each_operation_has_one_of_its_own() {
    let house = House::new().await;
    let _app = office!(house.bekci);
    let document = house.bekci.openapi();
    let mut ids = Vec::new();
    for item in object(&document["paths"]).values() {
        for call in object(item).values() {
            ids.push(call["operationId"].as_str().unwrap().to_owned());
            assert!(!call["summary"].as_str().unwrap().is_empty());
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // What a standard names is named as the standard does.
    let mut ours = document;
    for standard in ["/.well-known/openid-configuration", "/auth/introspect", "/auth/revoke"] {
        ours["paths"].as_object_mut().unwrap().remove(standard).unwrap();
    }
    let schemas = ours.pointer_mut("/components/schemas").unwrap();
    schemas.as_object_mut().unwrap().remove("OAuthError").unwrap();
    look_at_properties(&ours);
    house.bekci.close().await;
}

fn look_at_properties(value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                for name in properties.keys() {
                    assert!(!name.contains(['_', '-']), "{name}");
                    assert!(name.starts_with(|first: char| first.is_ascii_lowercase()), "{name}");
                }
            }
            fields.values().for_each(look_at_properties);
        }
        Value::Array(items) => items.iter().for_each(look_at_properties),
        _ => {}
    }
}

#[actix_web::test]
async fn the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() {
    let house = House::new().await;
    let app = office!(house.bekci);
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/page.js", "text/javascript; charset=utf-8"),
        ("/docs/page.css", "text/css; charset=utf-8"),
    ] {
        let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers.get("content-type").unwrap(), kind);
        assert_eq!(headers.get("x-content-type-options").unwrap(), "nosniff");
        let policy = headers.get("content-security-policy").unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let body = to_bytes(answer.into_body()).await.ok().unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        for foreign in [
            "http://",
            "https://",
            "//cdn",
            " style=\"",
            " onclick",
            "<script>",
            "innerHTML",
            "eval(",
        ] {
            assert!(!text.contains(foreign), "{path}: {foreign}");
        }
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_answer_that_is_passed_on_keeps_its_emptiness() {
    let house = House::new().await;
    let app = App::new()
        .wrap(house.bekci.middleware())
        .route(
            "/upstream",
            web::get().to(async || {
                let mut answer = HttpResponse::MethodNotAllowed().insert_header(("x-own", "1")).finish();
                answer.extensions_mut().insert(AsIs);
                answer
            }),
        )
        .route(
            "/own",
            web::get().to(async || HttpResponse::MethodNotAllowed().finish()),
        );
    let app = init_service(app).await;
    let passed = send(&app, TestRequest::get().uri("/upstream")).await;
    assert_eq!((passed.status, passed.header("x-own")), (405, Some("1")));
    assert_eq!(passed.body, Value::String(String::new()));
    let told = send(&app, TestRequest::get().uri("/own")).await;
    assert_eq!(told.refusal(), (405, "METHOD_NOT_ALLOWED"));
    house.bekci.close().await;
}
