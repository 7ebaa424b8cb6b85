//! Guessing passwords and refresh tokens through the calls: from one address, from many, behind a proxy, and by those who forge one.

use actix_web::{
    App,
    test::{TestRequest, init_service},
};
use bekci::{Bekci, TrustedProxies};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};

use crate::{
    calls::{Answer, send},
    house::{House, PASSWORD},
};

macro_rules! app {
    ($bekci:expr) => {{
        let bekci: &Bekci = &$bekci;
        init_service(App::new().wrap(bekci.middleware()).configure(bekci.mount("/auth"))).await
    }};
}

fn guess(from: &str, email: &str, password: &str) -> TestRequest {
    let peer = SocketAddr::new(from.parse().unwrap(), 40_000);
    TestRequest::post()
        .uri("/auth/admin/login")
        .peer_addr(peer)
        .set_json(json!({"email": email, "password": password}))
}

fn limited(answer: &Answer) -> bool {
    answer.refusal() == (429, "RATE_LIMITED")
}

const WRONG: (u16, &str) = (401, "CREDENTIAL_INVALID");

#[actix_web::test]
async fn one_address_guesses_over_many_accounts_until_its_limit() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    for n in 0..10 {
        let answer = send(&app, guess("192.0.2.1", &format!("a{n}@example.com"), "wrong")).await;
        assert_eq!(answer.refusal(), WRONG);
    }
    let answer = send(&app, guess("192.0.2.1", "ann@example.com", PASSWORD)).await;
    assert!(limited(&answer), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.body["error"]["details"]["result"],
        json!({"name": "FAILURE_UNCATEGORIZED", "code": -3})
    );
    let elsewhere = send(&app, guess("192.0.2.2", "ann@example.com", PASSWORD)).await;
    assert_eq!(elsewhere.status, 200);
    house.clock.advance(Duration::from_secs(60));
    let later = send(&app, guess("192.0.2.1", "ann@example.com", PASSWORD)).await;
    assert_eq!(later.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn many_addresses_guess_one_account_until_its_limit_and_strangers_cannot_lock_it_for_longer_than_the_window() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    for n in 0..10 {
        let answer = send(&app, guess(&format!("192.0.2.{n}"), "ann@example.com", "wrong")).await;
        assert_eq!(answer.refusal(), WRONG);
        house.clock.advance(Duration::from_secs(3));
    }
    // Spelled as another, it is the same account; and what is turned away does not count.
    for n in 0..50 {
        let answer = send(&app, guess(&format!("198.51.100.{n}"), " ANN@Example.com ", "wrong")).await;
        assert!(limited(&answer), "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("30"));
    }
    let owner = || guess("203.0.113.9", "ann@example.com", PASSWORD);
    assert!(limited(&send(&app, owner()).await));
    house.clock.advance(Duration::from_secs(30));
    assert_eq!(send(&app, owner()).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_account_over_its_limit_is_answered_like_one_that_there_is_not() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    let mut answers = Vec::new();
    for (email, net) in [("ann@example.com", "192.0.2"), ("nobody@example.com", "198.51.100")] {
        for n in 0..11 {
            let mut answer = send(&app, guess(&format!("{net}.{n}"), email, "wrong")).await;
            assert_eq!(limited(&answer), n == 10, "{answer:?}");
            answer.body["error"]["requestId"].take();
            if n == 10 {
                answers.push((answer.body.clone(), answer.header("retry-after").map(str::to_owned)));
            }
        }
    }
    assert_eq!(answers[0], answers[1]);
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_ipv6_host_does_not_escape_by_taking_other_addresses_of_its_network() {
    let house = House::new().await;
    let app = app!(house.bekci);
    for n in 0..10 {
        let answer = send(
            &app,
            guess(&format!("2001:db8:1:2::{n}"), &format!("a{n}@b.c"), "wrong"),
        )
        .await;
        assert_eq!(answer.refusal(), WRONG);
    }
    assert!(limited(
        &send(&app, guess("2001:db8:1:2:ffff::1", "x@b.c", "wrong")).await
    ));
    assert_eq!(
        send(&app, guess("2001:db8:1:3::1", "x@b.c", "wrong")).await.refusal(),
        WRONG
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_forged_address_is_not_believed_and_a_proxys_word_is() {
    let mut house = House::new().await;
    let app = app!(house.bekci);
    let said = |from: &str, client: String, n: u8| {
        guess(from, &format!("{from}-{n}@b.c"), "wrong").insert_header(("X-Forwarded-For", client))
    };
    for n in 0..10 {
        let answer = send(&app, said("192.0.2.1", format!("203.0.113.{n}"), n)).await;
        assert_eq!(answer.refusal(), WRONG);
    }
    assert!(limited(
        &send(&app, said("192.0.2.1", "203.0.113.99".to_owned(), 99)).await
    ));
    house.bekci.close().await;

    house = House::with_settings(|settings| {
        settings.trusted_proxies = TrustedProxies::new(|peer| peer.to_string().starts_with("10."));
    })
    .await;
    let app = app!(house.bekci);
    for n in 0..30 {
        let answer = send(&app, said("10.0.0.1", format!("203.0.113.{n}"), n)).await;
        assert_eq!(answer.refusal(), WRONG, "each client has a count of its own");
    }
    // What a client puts in front of what the proxy adds is nobody's word.
    for n in 0..10 {
        let forged = format!("198.51.100.{n}, 203.0.113.200");
        assert_eq!(send(&app, said("10.0.0.2", forged, n)).await.refusal(), WRONG);
    }
    let forged = "198.51.100.77, 203.0.113.200".to_owned();
    assert!(limited(&send(&app, said("10.0.0.2", forged, 77)).await));
    house.bekci.close().await;
}

#[actix_web::test]
async fn of_64_wrong_passwords_at_once_no_more_than_the_limit_are_hashed() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    let before = house.bekci.passwords().stats().computed;
    let guesses = (0..64).map(|n| send(&app, guess(&format!("192.0.2.{n}"), "ann@example.com", "wrong")));
    let answers = futures_util::future::join_all(guesses).await;
    let refused = answers.iter().filter(|answer| answer.refusal() == WRONG).count();
    let turned_away = answers.iter().filter(|answer| limited(answer)).count();
    assert_eq!((refused, turned_away), (10, 54));
    assert_eq!(house.bekci.passwords().stats().computed - before, 10);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_guard_has_counts_and_limits_of_its_own() {
    let house = House::built("http://localhost", |builder| {
        builder.with(|customer| customer.limits.sign_in = "1/h".parse().unwrap())
    })
    .await;
    let app = app!(house.bekci);
    let at = |guard: &str| {
        let path = format!("/auth/{guard}/login");
        guess("192.0.2.1", "a@b.c", "wrong").uri(&path)
    };
    assert_eq!(send(&app, at("customer")).await.refusal(), WRONG);
    assert!(limited(&send(&app, at("customer")).await));
    assert_eq!(send(&app, at("admin")).await.refusal(), WRONG);
    house.bekci.close().await;
}

#[actix_web::test]
async fn refused_refreshes_are_limited_by_address() {
    let house = House::new().await;
    let app = app!(house.bekci);
    let refresh = |from: &str| {
        TestRequest::post()
            .uri("/auth/admin/token/refresh")
            .peer_addr(SocketAddr::new(from.parse().unwrap(), 1))
            .set_json(json!({"refreshToken": "bkr_guessed"}))
    };
    for _ in 0..30 {
        let answer = send(&app, refresh("192.0.2.1")).await;
        assert_eq!(answer.refusal(), (401, "REFRESH_TOKEN_INVALID"));
    }
    let answer = send(&app, refresh("192.0.2.1")).await;
    assert!(limited(&answer) && answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(send(&app, refresh("192.0.2.2")).await.status, 401);
    house.bekci.close().await;
}
