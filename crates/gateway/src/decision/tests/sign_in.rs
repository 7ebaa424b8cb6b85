//! Where browsers are sent.

use super::scene::{Answer, Scene, ask, auth_request, forward_auth, navigating, signed_in};

const BACK: &str = "https://gw.test/sign-in?return_to=https%3A%2F%2Fgw.test%2Fme%2Fx%3Fa%3D1%26b%3D2";

fn sent(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("location"))
}

#[actix_web::test]
async fn a_browser_without_a_session_is_sent_to_sign_in_and_back() {
    let answer = ask(navigating(forward_auth("GET", "/me/x?a=1&b=2"))).await;
    assert_eq!(sent(&answer), (302, Some(BACK)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("www-authenticate"), None);
    let answer = ask(navigating(forward_auth("POST", "/me/x?a=1&b=2"))).await;
    assert_eq!(sent(&answer), (303, Some(BACK)));
    let expired = forward_auth("GET", "/me/x?a=1&b=2").insert_header(("Authorization", "Bearer old"));
    assert_eq!(sent(&ask(navigating(expired)).await), (302, Some(BACK)));
    let nginx = ask(navigating(auth_request("GET", "https://gw.test/me/x?a=1&b=2"))).await;
    assert_eq!(sent(&nginx), (401, Some(BACK)));
}

#[actix_web::test]
async fn anything_else_is_told_what_is_wrong() {
    let none = |answer: Answer, status: u16| assert_eq!(sent(&answer), (status, None));
    none(ask(forward_auth("GET", "/me/x")).await, 401);
    let fetch = navigating(forward_auth("GET", "/me/x")).insert_header(("Sec-Fetch-Mode", "cors"));
    none(ask(fetch).await, 401);
    let json = navigating(forward_auth("GET", "/me/x")).insert_header(("Accept", "application/json"));
    none(ask(json).await, 401);
    let refused = navigating(forward_auth("GET", "/me/x")).insert_header(("Accept", "text/html;q=0"));
    none(ask(refused).await, 401);
    none(ask(navigating(signed_in(forward_auth("GET", "/manage/x")))).await, 403);
    none(ask(navigating(forward_auth("GET", "/nowhere"))).await, 404);
    let nowhere = Scene {
        sign_in_url: "",
        ..Scene::default()
    };
    none(nowhere.ask(navigating(forward_auth("GET", "/me/x"))).await, 401);
}

#[actix_web::test]
async fn a_return_address_has_an_origin_that_is_allowed_or_there_is_none() {
    let scene = Scene {
        returns: vec!["https://app.test/callback"],
        ..Scene::default()
    };
    let plain = Some("https://gw.test/sign-in");
    for (proto, host, allowed) in [
        ("https", "gw.test", true),
        ("https", "GW.test:443", true),
        ("https", "app.test", true),
        ("http", "gw.test", false),
        ("https", "gw.test:8443", false),
        ("https", "evil.test", false),
        ("https", "gw.test.evil.test", false),
        ("https", "evil.test.", false),
    ] {
        let request = forward_auth("GET", "/me/x")
            .insert_header(("X-Forwarded-Proto", proto))
            .insert_header(("X-Forwarded-Host", host));
        let answer = scene.ask(navigating(request)).await;
        assert_eq!(answer.status, 302, "{host}");
        assert_eq!(answer.header("location") != plain, allowed, "{proto} {host}");
    }
    let long = forward_auth("GET", &format!("/me/x?{}", "a".repeat(3_000)));
    assert_eq!(sent(&ask(navigating(long)).await), (302, plain));
}

#[actix_web::test]
async fn a_page_keeps_its_own_query_and_fragment() {
    let scene = Scene {
        sign_in_url: "https://id.test/in?app=shop#top",
        ..Scene::default()
    };
    let answer = scene.ask(navigating(forward_auth("GET", "/me/x"))).await;
    assert_eq!(
        answer.header("location"),
        Some("https://id.test/in?app=shop&return_to=https%3A%2F%2Fgw.test%2Fme%2Fx#top")
    );
}
