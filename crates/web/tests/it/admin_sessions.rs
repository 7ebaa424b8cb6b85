//! The management API: sessions ended, tokens blocked.

use serde_json::json;

use crate::{
    admin::{ask, login, office, staffed, staffed_in},
    house::House,
};

#[actix_web::test]
async fn sessions_come_in_pages_and_one_that_ends_between_two_takes_no_other_with_it() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    for _ in 0..5 {
        login(&app, "admin", "ida").await;
        house.clock.advance(std::time::Duration::from_secs(1));
    }
    let call = "GET /principals/admin/5/sessions";
    let whole = ask(&app, &root, call, None).await;
    let ids = |body: &serde_json::Value| -> Vec<String> {
        let items = body["data"]["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&whole.body);
    assert_eq!((all.len(), &whole.body["data"]["next"]), (5, &json!(null)));
    let first = ask(&app, &root, &format!("{call}?limit=2"), None).await;
    assert_eq!(ids(&first.body), all[..2]);
    // The one that the cursor stands at.
    let end = format!("DELETE /principals/admin/5/sessions/{}", all[1]);
    assert_eq!(ask(&app, &root, &end, None).await.status, 200);
    let next = first.body["data"]["next"].as_str().unwrap();
    let second = ask(&app, &root, &format!("{call}?limit=2&after={next}"), None).await;
    assert_eq!(ids(&second.body), all[2..4]);
    let next = second.body["data"]["next"].as_str().unwrap();
    let last = ask(&app, &root, &format!("{call}?limit=2&after={next}"), None).await;
    assert_eq!(
        (ids(&last.body), &last.body["data"]["next"]),
        (all[4..].to_vec(), &json!(null))
    );
    for (query, refusal) in [
        ("limit=0", (422, "VALIDATION_FAILED")),
        ("after=rubbish", (422, "VALIDATION_FAILED")),
        ("after=MTc", (422, "VALIDATION_FAILED")),
        ("limit=1&limit=2", (400, "MALFORMED_REQUEST")),
        ("offset=3", (400, "MALFORMED_REQUEST")),
    ] {
        let answer = ask(&app, &root, &format!("{call}?{query}"), None).await;
        assert_eq!(answer.refusal(), refusal, "{query}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn sessions_are_listed_and_ended_one_or_all_and_those_of_others_are_404() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    house.admin(6, "joe").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let tokens = [
        login(&app, "admin", "ida").await,
        login(&app, "admin", "ida").await,
        login(&app, "admin", "ida").await,
    ];
    let listed = ask(&app, &root, "GET /principals/admin/5/sessions", None).await;
    let items = listed.body["data"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    let me = ask(&app, &tokens[0], "GET //auth/admin/me", None).await;
    let first = me.body["data"]["session"]["id"].as_str().unwrap();
    assert!(
        items
            .iter()
            .any(|item| item["id"] == first && item["guard"] == "admin" && item["way"] == "password")
    );
    for call in [
        format!("DELETE /principals/admin/6/sessions/{first}"),
        "DELETE /principals/admin/5/sessions/x".into(),
    ] {
        assert_eq!(ask(&app, &root, &call, None).await.refusal(), (404, "NOT_FOUND"));
    }
    let end = format!("DELETE /principals/admin/5/sessions/{first}");
    assert_eq!(
        ask(&app, &root, &end, None).await.body["data"]["endedSessions"],
        json!([first])
    );
    assert_eq!(
        ask(&app, &tokens[0], "GET //auth/admin/me", None).await.refusal(),
        (401, "TOKEN_INVALID")
    );
    assert_eq!(ask(&app, &tokens[1], "GET //auth/admin/me", None).await.status, 200);
    assert_eq!(
        ask(&app, &root, &end, None).await.body["data"]["endedSessions"],
        json!([])
    );
    let all = ask(&app, &root, "DELETE /principals/admin/5/sessions", None).await;
    assert_eq!(all.body["data"]["endedSessions"].as_array().unwrap().len(), 2);
    for token in &tokens {
        assert_eq!(
            ask(&app, token, "GET //auth/admin/me", None).await.refusal(),
            (401, "TOKEN_INVALID")
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_blocked_token_or_session_is_told_its_reason_until_the_block_is_lifted() {
    let (house, second) = House::of_two_nodes().await;
    let house = staffed_in(house).await;
    house.admin(5, "ida").await;
    let (app, there) = (office!(house.bekci), office!(second));
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let other = login(&app, "admin", "ida").await;
    let me = ask(&app, &ida, "GET //auth/admin/me", None).await;
    let sid = me.body["data"]["session"]["id"].as_str().unwrap().to_owned();
    for named in [json!({"token": ida}), json!({"principal": "admin:5", "sid": sid})] {
        let mut body = named.clone();
        body["reason"] = json!("phone was stolen");
        let answer = ask(&app, &root, "POST /blocks", Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.body.to_string().contains(&ida), "a token is not repeated");
        for refused in [
            ask(&app, &ida, "GET //auth/admin/me", None).await,
            ask(&there, &ida, "GET //auth/admin/me", None).await,
        ] {
            assert_eq!(refused.refusal(), (401, "TOKEN_BLOCKED"));
            assert_eq!(refused.body["error"]["details"]["reason"], "phone was stolen");
        }
        assert_eq!(ask(&app, &other, "GET //auth/admin/me", None).await.status, 200);
        let lifted = ask(&app, &root, "DELETE /blocks", Some(named.clone())).await;
        assert_eq!(
            (lifted.status, &lifted.body["data"]["lifted"]),
            (200, &json!(1)),
            "{lifted:?}"
        );
        assert_eq!(ask(&app, &ida, "GET //auth/admin/me", None).await.status, 200);
        assert_eq!(
            ask(&app, &root, "DELETE /blocks", Some(named)).await.refusal(),
            (404, "NOT_FOUND")
        );
    }
    second.close().await;
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_block_that_cannot_be_is_422_and_named() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let me = ask(&app, &root, "GET //auth/admin/me", None).await;
    let of_root = me.body["data"]["session"]["id"].as_str().unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    let cases = [
        (json!({"reason": "x"}), "principal"),
        (json!({"principal": "admin:5", "reason": "x"}), "jti"),
        (json!({"principal": "admin:5", "jti": id}), "reason"),
        (
            json!({"principal": "admin:5", "jti": id, "sid": id, "reason": "x"}),
            "sid",
        ),
        (json!({"principal": "admin:5", "jti": "01", "reason": "x"}), "jti"),
        (json!({"principal": "admin:5", "sid": of_root, "reason": "x"}), "sid"),
        (json!({"principal": "admin:05", "jti": id, "reason": "x"}), "principal"),
        (json!({"principal": "pilot:5", "jti": id, "reason": "x"}), "principal"),
        (json!({"principal": "admin:77", "jti": id, "reason": "x"}), "principal"),
        (json!({"principal": "admin:5", "token": ida, "reason": "x"}), "token"),
        (json!({"token": "a.b.c", "reason": "x"}), "token"),
        (json!({"token": ida, "jti": id, "reason": "x"}), "jti"),
    ];
    for (body, field) in cases {
        let answer = ask(&app, &root, "POST /blocks", Some(body.clone())).await;
        assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"), "{body}: {answer:?}");
        assert!(
            answer.body["error"]["details"]["fields"][field].is_string(),
            "{body}: {answer:?}"
        );
    }
    house.bekci.close().await;
}
