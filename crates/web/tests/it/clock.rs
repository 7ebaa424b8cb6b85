//! A wall clock that goes back: what was taken away stays so.

use std::time::Duration;

use actix_web::test::TestRequest;
use serde_json::json;

use crate::{
    admin::{ask, login, office, staffed},
    calls::send,
    house::{NOW, PASSWORD},
};

#[actix_web::test]
async fn what_had_ended_stays_ended_when_the_clock_goes_back() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    house.admin(6, "eve").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let (left, banned) = (login(&app, "admin", "ida").await, login(&app, "admin", "eve").await);
    let body = json!({"email": "ida@example.com", "password": PASSWORD});
    let signed_in = send(&app, TestRequest::post().uri("/auth/admin/login").set_json(body)).await;
    let refresh = json!({"refreshToken": signed_in.body["data"]["refreshToken"]});
    let over = login(&app, "admin", "ida").await;

    assert_eq!(ask(&app, &left, "POST //auth/admin/logout", None).await.status, 200);
    let out = TestRequest::post().uri("/auth/admin/logout").set_json(&refresh);
    assert_eq!(send(&app, out).await.status, 200);
    let ban = json!({"status": "banned", "reason": "fraud"});
    let call = "PUT /principals/admin/6/status";
    assert_eq!(ask(&app, &root, call, Some(ban)).await.status, 200);
    house.clock.advance(Duration::from_secs(24 * 3_600));
    let me = |token: String| {
        let app = &app;
        async move { ask(app, &token, "GET //auth/admin/me", None).await }
    };
    assert_eq!(me(over.clone()).await.refusal(), (401, "TOKEN_EXPIRED"));

    for back in [0, 60, 3_600, 30 * 86_400] {
        house.clock.set_wall(NOW - back);
        for token in [&left, &banned] {
            let answer = me(token.clone()).await;
            assert!(matches!(answer.status, 401 | 403), "{back} s before: {answer:?}");
        }
        let request = TestRequest::post().uri("/auth/admin/token/refresh").set_json(&refresh);
        let answer = send(&app, request).await;
        assert_eq!(answer.status, 401, "{back} s before: {answer:?}");
    }
    house.clock.set_wall(NOW);
    assert_eq!(me(left).await.refusal(), (401, "TOKEN_INVALID"));
    assert_eq!(me(banned).await.refusal(), (403, "ACCOUNT_BANNED"));
    assert_eq!(me(over).await.status, 200, "what runs out is judged by the clock alone");
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_token_of_the_time_to_come_is_refused() {
    let house = staffed().await;
    let app = office!(house.bekci);
    house.clock.advance(Duration::from_secs(3_600));
    let root = login(&app, "admin", "root").await;
    assert_eq!(ask(&app, &root, "GET //auth/admin/me", None).await.status, 200);
    house.clock.set_wall(NOW);
    assert_eq!(
        ask(&app, &root, "GET //auth/admin/me", None).await.refusal(),
        (401, "TOKEN_INVALID")
    );
    house.bekci.close().await;
}
