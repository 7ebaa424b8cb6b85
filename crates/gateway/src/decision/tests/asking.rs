//! Who may ask, and how.

use actix_web::{http::Method, test::TestRequest};

use super::scene::{PROXY, STRANGER, Scene, ask, auth_request, forward_auth, signed_in};

#[actix_web::test]
async fn a_stranger_is_refused_whatever_it_says_and_whatever_it_holds() {
    for request in [
        forward_auth("GET", "/public/x"),
        signed_in(forward_auth("GET", "/me/x")),
        auth_request("GET", "https://gw.test/public/x"),
        TestRequest::with_uri("/ext-authz/public/x").insert_header(("Host", "gw.test")),
        TestRequest::with_uri("/forward-auth"),
    ] {
        let answer = Scene::default().ask_from(STRANGER, request).await;
        assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN"));
        assert_eq!(answer.header("x-auth-roles"), None);
    }
    let mapped = Scene::default()
        .ask_from("[::ffff:10.0.0.1]:9", forward_auth("GET", "/public/x"))
        .await;
    assert_eq!(mapped.status, 200);
}

#[actix_web::test]
async fn metadata_that_are_missing_doubled_or_malformed_are_400_and_named() {
    for (name, bad) in [
        ("X-Forwarded-Method", vec![]),
        ("X-Forwarded-Method", vec!["GET", "GET"]),
        ("X-Forwarded-Method", vec!["GET, POST"]),
        ("X-Forwarded-Method", vec![""]),
        ("X-Forwarded-Proto", vec![]),
        ("X-Forwarded-Proto", vec!["https, http"]),
        ("X-Forwarded-Proto", vec!["gopher"]),
        ("X-Forwarded-Host", vec![]),
        ("X-Forwarded-Host", vec!["gw.test", "evil"]),
        ("X-Forwarded-Host", vec!["gw.test, evil"]),
        ("X-Forwarded-Host", vec!["gw.test:80@evil"]),
        ("X-Forwarded-Uri", vec![]),
        ("X-Forwarded-Uri", vec!["/public/x", "/me/x"]),
        ("X-Forwarded-Uri", vec!["https://gw.test/public/x"]),
        ("X-Forwarded-Uri", vec!["public/x"]),
        ("X-Forwarded-Uri", vec!["/public/x#y"]),
        ("X-Forwarded-Uri", vec!["/public/x y"]),
        ("X-Forwarded-Uri", vec!["*"]),
    ] {
        let good = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "gw.test"),
            ("X-Forwarded-Uri", "/public/x"),
        ];
        let mut request = TestRequest::with_uri("/forward-auth");
        for header in good.into_iter().filter(|header| header.0 != name) {
            request = request.append_header(header);
        }
        for value in &bad {
            request = request.append_header((name, *value));
        }
        let answer = ask(signed_in(request)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "MALFORMED_REQUEST"),
            "{name} {bad:?}"
        );
        assert_eq!(answer.body["error"]["details"]["header"], name, "{bad:?}");
    }
}

#[actix_web::test]
async fn other_spellings_and_other_families_are_not_read() {
    let absent = TestRequest::with_uri("/forward-auth")
        .insert_header(("X_Forwarded_Method", "GET"))
        .insert_header(("X_Forwarded_Uri", "/public/x"))
        .insert_header(("X-Original-Method", "GET"))
        .insert_header(("X-Original-URL", "https://gw.test/public/x"));
    assert_eq!(ask(absent).await.status, 400);

    let besides = forward_auth("GET", "/me/x")
        .insert_header(("X_Forwarded_Uri", "/public/x"))
        .insert_header(("X-Original-URL", "https://gw.test/public/x"))
        .insert_header(("X-Original-URI", "/public/x"))
        .insert_header(("X-Rewrite-URL", "/public/x"));
    assert_eq!(ask(besides).await.code(), "TOKEN_MISSING");

    let besides = auth_request("GET", "https://gw.test/me/x").insert_header(("X-Forwarded-Uri", "/public/x"));
    assert_eq!(ask(besides).await.status, 401);
}

#[actix_web::test]
async fn a_path_that_is_not_canonical_is_refused_and_one_that_is_equal_is_judged_alike() {
    for path in [
        "/public/../me/x",
        "/public/./x",
        "//me/x",
        "/public//x",
        "/public/%2e%2e/me/x",
        "/public/..%2fme",
        "/public/a%2fb",
        "/public/a%5cb",
        "/public/a\\b",
        "/public/%00",
        "/public/%ff",
        "/public/%",
        "/public/a;b",
    ] {
        let answer = ask(signed_in(forward_auth("GET", path))).await;
        assert_eq!((answer.status, answer.code()), (400, "BAD_PATH"), "{path}");
        let answer = ask(signed_in(auth_request("GET", &format!("https://gw.test{path}")))).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.header("x-auth-error"), Some("BAD_PATH"), "{path}");
        if path.contains('\\') {
            continue;
        }
        let envoy = TestRequest::with_uri(&format!("/ext-authz{path}")).insert_header(("Host", "gw.test"));
        assert_eq!(ask(signed_in(envoy)).await.status, 400, "{path}");
    }
    assert_eq!(ask(forward_auth("GET", "/%6de/x")).await.code(), "TOKEN_MISSING");
    assert_eq!(ask(forward_auth("GET", "/public/x?a=/../b")).await.status, 200);
}

#[actix_web::test]
async fn the_original_method_host_and_path_decide() {
    assert_eq!(ask(forward_auth("OPTIONS", "/me/x")).await.code(), "TOKEN_MISSING");
    assert_eq!(ask(forward_auth("TRACE", "/public/x")).await.status, 405);
    assert_eq!(ask(forward_auth("get", "/public/x")).await.status, 501);
    assert_eq!(ask(forward_auth("GET", "/nowhere")).await.status, 404);
    let elsewhere = forward_auth("GET", "/only").insert_header(("X-Forwarded-Host", "APP.test.:443"));
    assert_eq!(ask(signed_in(elsewhere)).await.status, 200);
    assert_eq!(ask(signed_in(forward_auth("GET", "/only"))).await.status, 404);

    let envoy = |method: Method, uri: &str| {
        TestRequest::with_uri(uri)
            .method(method)
            .insert_header(("Host", "gw.test"))
    };
    assert_eq!(ask(envoy(Method::GET, "/ext-authz/public/x?y=z")).await.status, 200);
    assert_eq!(
        ask(envoy(Method::POST, "/ext-authz/me/x")).await.code(),
        "TOKEN_MISSING"
    );
    assert_eq!(
        ask(signed_in(envoy(Method::DELETE, "/ext-authz/me/x"))).await.status,
        200
    );
    assert_eq!(ask(envoy(Method::GET, "/ext-authz")).await.code(), "BAD_PATH");
    assert_eq!(
        ask(TestRequest::with_uri("/ext-authz/public/x").insert_header(("Host", "a b")))
            .await
            .status,
        400
    );
}

#[actix_web::test]
async fn nginx_gets_nothing_but_200_401_403_and_what_cannot_be_told() {
    for (method, url, status, code) in [
        ("GET", "https://gw.test/public/x", 200, None),
        ("GET", "https://gw.test/me/x", 401, Some("TOKEN_MISSING")),
        ("GET", "https://gw.test/nowhere", 403, Some("NOT_FOUND")),
        ("TRACE", "https://gw.test/public/x", 403, Some("METHOD_NOT_ALLOWED")),
        ("PROPFIND", "https://gw.test/public/x", 403, Some("MALFORMED_REQUEST")),
        ("get", "https://gw.test/me/x", 403, Some("MALFORMED_REQUEST")),
        ("GET", "https://gw.test/me/%252e%252e/x", 403, Some("BAD_PATH")),
        ("GET", "https://gw.test", 403, Some("MALFORMED_REQUEST")),
        ("GET", "/public/x", 403, Some("MALFORMED_REQUEST")),
        ("GET", "ftp://gw.test/public/x", 403, Some("MALFORMED_REQUEST")),
        ("GET", "https://u@gw.test/public/x", 403, Some("MALFORMED_REQUEST")),
        ("GET", "https:///public/x", 403, Some("MALFORMED_REQUEST")),
    ] {
        let answer = ask(auth_request(method, url)).await;
        assert_eq!((answer.status, answer.header("x-auth-error")), (status, code), "{url}");
    }
    let away = Scene {
        reachable: false,
        ..Scene::default()
    };
    let answer = away.ask(signed_in(auth_request("GET", "https://gw.test/me/x"))).await;
    assert_eq!(
        (answer.status, answer.header("x-auth-error")),
        (503, Some("STORE_UNAVAILABLE"))
    );
    let answer = away.ask_from(PROXY, signed_in(forward_auth("GET", "/me/x"))).await;
    assert_eq!((answer.status, answer.code()), (503, "STORE_UNAVAILABLE"));
}

/// The route below lists `GET` alone, and a broader one is public.
#[actix_web::test]
async fn head_is_judged_by_the_route_of_get_at_every_endpoint() {
    let at_envoy = |method: &str| {
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
        TestRequest::with_uri("/ext-authz/public/for-get/x")
            .method(method)
            .insert_header(("X-Forwarded-Proto", "https"))
            .insert_header(("Host", "gw.test"))
    };
    for method in ["GET", "HEAD"] {
        let url = "https://gw.test/public/for-get/x";
        assert_eq!(
            ask(forward_auth(method, "/public/for-get/x")).await.status,
            401,
            "{method}"
        );
        assert_eq!(ask(auth_request(method, url)).await.status, 401, "{method}");
        assert_eq!(ask(at_envoy(method)).await.status, 401, "{method}");
        assert_eq!(ask(forward_auth(method, "/public/x")).await.status, 200, "{method}");
        assert_eq!(
            ask(signed_in(forward_auth(method, "/public/for-get/x"))).await.status,
            200,
            "{method}"
        );
    }
}
