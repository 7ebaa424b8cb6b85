//! The management API: accounts added, shown, found, changed and removed.

use std::collections::BTreeMap;

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::{
    admin::{ask, clerk, login, office, staffed, staffed_in},
    calls::send,
    house::{House, PASSWORD},
};

/// One that may be set; the house's own is too common for that.
const NEW_PASSWORD: &str = "quite another long password";

#[actix_web::test]
async fn an_account_is_added_shown_changed_and_removed() {
    let house = staffed().await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let body = json!({"email": " Eve@example.com ", "name": "Eve", "password": NEW_PASSWORD, "verified": true});
    let added = ask(&app, &root, "POST /principals/admin", Some(body)).await;
    assert_eq!(added.status, 200, "{added:?}");
    let id = added.body["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/principals/admin/{id}");
    let shown = ask(&app, &root, &format!("GET {path}"), None).await;
    let data = &shown.body["data"];
    assert_eq!(data["key"], format!("admin:{id}"));
    assert_eq!(
        (&data["status"], &data["banned"], &data["verified"]),
        (&json!("active"), &json!(false), &json!(true))
    );
    assert_eq!(data["attributes"], json!({"email": "Eve@example.com", "name": "Eve"}));
    assert_eq!(
        (&data["rights"], &data["blocks"], &data["ban"]),
        (&json!([]), &json!([]), &Value::Null)
    );
    let body = json!({"email": "eve@example.com", "password": NEW_PASSWORD});
    let eve = send(&app, TestRequest::post().uri("/auth/admin/login").set_json(body)).await;
    let eve = eve.body["data"]["accessToken"].as_str().unwrap();

    let changed = ask(&app, &root, &format!("PATCH {path}"), Some(json!({"name": "Eve B."}))).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.body["data"]["endedSessions"], 0);
    let me = ask(&app, eve, "GET //auth/admin/me", None).await;
    assert_eq!(me.body["data"]["attributes"]["name"], "Eve B.");

    let removed = ask(&app, &root, &format!("DELETE {path}"), None).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(ask(&app, eve, "GET //auth/admin/me", None).await.status, 401);
    for call in [format!("GET {path}"), format!("DELETE {path}")] {
        assert_eq!(ask(&app, &root, &call, None).await.refusal(), (404, "NOT_FOUND"));
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn no_answer_holds_a_password_or_its_hash() {
    let house = staffed().await;
    house.customer("carl").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let body = json!({"email": "eve@example.com", "password": NEW_PASSWORD});
    let mut said = vec![ask(&app, &root, "POST /principals/admin", Some(body)).await];
    let weak = json!({"email": "kim@example.com", "password": "hunter2 hunter2", "nope": 1});
    said.push(ask(&app, &root, "POST /principals/admin", Some(weak)).await);
    for model in ["admin", "customer"] {
        let listed = ask(&app, &root, &format!("GET /principals/{model}"), None).await;
        for item in listed.body["data"]["items"].as_array().unwrap() {
            let path = format!("GET /principals/{model}/{}", item["id"].as_str().unwrap());
            said.push(ask(&app, &root, &path, None).await);
        }
        said.push(listed);
    }
    for answer in said {
        let text = answer.body.to_string();
        for secret in ["argon2", "$2b$", NEW_PASSWORD, "hunter2", "password_hash", "secret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_identifier_of_another_account_is_taken_whatever_its_case_or_column() {
    let house = staffed().await;
    house.customer("carl").await;
    let dora = house.customer("dora").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let taken = json!({"email": "ROOT@example.com"});
    let answer = ask(&app, &root, "POST /principals/admin", Some(taken)).await;
    assert_eq!(answer.refusal(), (409, "CONFLICT"));
    let customer = format!("PATCH /principals/customer/{}", dora.id());
    // Carl signs in with either; Dora's login must not be Carl's address.
    for body in [
        json!({"email": "carl@example.com"}),
        json!({"login": "carl@example.com"}),
        json!({"email": "carl"}),
    ] {
        let answer = ask(&app, &root, &customer, Some(body.clone())).await;
        assert_eq!(answer.refusal(), (409, "CONFLICT"), "{body}");
    }
    let own = json!({"email": "dora@example.com", "login": "dora2"});
    assert_eq!(ask(&app, &root, &customer, Some(own)).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn fields_that_cannot_be_are_422_and_named() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let cases = [
        ("POST /principals/admin", json!({"name": "x"}), "email"),
        ("POST /principals/admin", json!({"email": ""}), "email"),
        ("POST /principals/admin", json!({"email": 7}), "email"),
        ("POST /principals/admin", json!({"email": "a\u{0}b"}), "email"),
        (
            "POST /principals/admin",
            json!({"email": "a@b", "name": {"a": 1}}),
            "name",
        ),
        (
            "POST /principals/admin",
            json!({"email": "a@b", "name": "x".repeat(1001)}),
            "name",
        ),
        (
            "POST /principals/admin",
            json!({"email": "a@b", "verified": "yes"}),
            "verified",
        ),
        (
            "POST /principals/admin",
            json!({"email": "a@b", "password": "short"}),
            "password",
        ),
        (
            "POST /principals/admin",
            json!({"email": "a@b", "password": null}),
            "password",
        ),
        (
            "PATCH /principals/admin/5",
            json!({"password": "passwordpassword"}),
            "password",
        ),
        ("PATCH /principals/admin/5", json!({"email": null}), "email"),
        ("PATCH /principals/admin/5", json!({}), ""),
        // The table wants both, and a password.
        ("POST /principals/customer", json!({"email": "a@b"}), ""),
    ];
    for (call, body, field) in cases {
        let answer = ask(&app, &root, call, Some(body.clone())).await;
        assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"), "{body}: {answer:?}");
        assert!(
            answer.body["error"]["details"]["fields"][field].is_string(),
            "{body}: {answer:?}"
        );
    }
    for (field, value) in [
        ("id", json!("7")),
        ("status", json!("active")),
        ("password_hash", json!("x")),
        ("tenant", json!("acme")),
    ] {
        let answer = ask(&app, &root, "PATCH /principals/admin/5", Some(json!({field: value}))).await;
        assert_eq!(answer.refusal(), (400, "MALFORMED_REQUEST"), "{field}");
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "after=%20",
        "after=eHl6",
        "q=",
        "q=%00",
    ] {
        let answer = ask(&app, &root, &format!("GET /principals/admin?{query}"), None).await;
        assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"), "{query}");
    }
    for query in ["limit=1&limit=2", "offset=3"] {
        let answer = ask(&app, &root, &format!("GET /principals/admin?{query}"), None).await;
        assert_eq!(answer.refusal(), (400, "MALFORMED_REQUEST"), "{query}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_new_password_ends_the_sessions_and_is_the_one_that_counts() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let new = NEW_PASSWORD;
    let changed = ask(&app, &root, "PATCH /principals/admin/5", Some(json!({"password": new}))).await;
    assert_eq!(
        (changed.status, &changed.body["data"]["endedSessions"]),
        (200, &json!(1)),
        "{changed:?}"
    );
    assert_eq!(
        ask(&app, &ida, "GET //auth/admin/me", None).await.refusal(),
        (401, "TOKEN_INVALID")
    );
    for (password, status) in [(PASSWORD, 401), (new, 200)] {
        let body = json!({"email": "ida@example.com", "password": password});
        let answer = send(&app, TestRequest::post().uri("/auth/admin/login").set_json(body)).await;
        assert_eq!(answer.status, status);
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn credentials_and_tenants_ask_more_than_writing() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    clerk(&house, 6, "clerk", &["bekci.principals.write"]).await;
    let app = office!(house.bekci);
    let clerk = login(&app, "admin", "clerk").await;
    assert_eq!(
        ask(&app, &clerk, "PATCH /principals/admin/5", Some(json!({"name": "I"})))
            .await
            .status,
        200
    );
    for body in [
        json!({"password": "a long enough phrase"}),
        json!({"email": "mine@example.com"}),
        json!({"verified": true}),
    ] {
        let answer = ask(&app, &clerk, "PATCH /principals/admin/5", Some(body.clone())).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{body}");
        assert_eq!(
            answer.body["error"]["details"]["missing"],
            "permission bekci.principals.credentials"
        );
    }
    house.bekci.close().await;
}

/// Walks all pages of so many, running `between` after each; gives how often each id was seen.
macro_rules! walk {
    ($app:expr, $token:expr, $path:expr, $limit:expr, $between:expr) => {{
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut after = String::new();
        loop {
            let answer = ask(&$app, $token, &format!("GET {}?limit={}{after}", $path, $limit), None).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let data = &answer.body["data"];
            let items = data["items"].as_array().unwrap();
            assert!(items.len() <= $limit);
            for item in items {
                *seen.entry(item["id"].to_string()).or_default() += 1;
            }
            $between;
            match data["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break seen,
            }
        }
    }};
}

#[actix_web::test]
async fn paging_walks_every_account_exactly_once_while_rows_are_added() {
    let house = staffed().await;
    let mut before = Vec::new();
    for n in 10..33 {
        before.push(house.admin(n, &format!("a{n}")).await);
    }
    for letter in b'a'..=b'w' {
        before.push(house.customer(&format!("{}x", char::from(letter))).await);
    }
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let mut next = 100;
    let admins = walk!(app, &root, "/principals/admin", 7, {
        next -= 1;
        if next > 96 {
            house.admin(next, &format!("late{next}")).await;
        }
    });
    let mut letters = (b'a'..=b'e').map(char::from);
    let customers = walk!(app, &root, "/principals/customer", 5, {
        if let Some(letter) = letters.next() {
            house.customer(&format!("{letter}late")).await;
        }
    });
    for key in before {
        let seen = if key.model() == "admin" { &admins } else { &customers };
        assert_eq!(seen.get(&json!(key.id()).to_string()), Some(&1), "{key}");
    }
    assert!(admins.values().chain(customers.values()).all(|times| *times == 1));
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_search_looks_at_identifiers_attributes_and_the_id_and_takes_no_wildcards() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    house.admin(51, "per_cent").await;
    let carl = house.customer("carl").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let cases = [
        ("admin", "IDA@EXAMPLE", vec!["5"]),
        ("admin", "r_c", vec!["51"]),
        ("admin", "r%25c", vec![]),
        ("admin", "5", vec!["5"]),
        ("admin", "%27%20OR%201=1", vec![]),
        ("customer", "carl", vec![carl.id()]),
        ("customer", carl.id(), vec![carl.id()]),
    ];
    for (model, text, expected) in cases {
        let answer = ask(&app, &root, &format!("GET /principals/{model}?q={text}"), None).await;
        let items = answer.body["data"]["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer:?}"));
        let found: Vec<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{model} {text}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_new_password_is_as_long_as_the_guard_of_its_model_asks_that_asks_most() {
    let longer = House::built("http://localhost", |builder| {
        builder.with(|guard| guard.password_min_length = 20)
    });
    let house = staffed_in(longer.await).await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let account = |name: &str, password: &str| {
        Some(json!({"email": format!("{name}@example.com"), "login": name, "password": password}))
    };
    let (of_18, of_20) = ("seven wooden boats", "seven wooden boats a");
    let refused = ask(&app, &root, "POST /principals/customer", account("kim", of_18)).await;
    assert_eq!(
        refused.body["error"]["details"]["fields"],
        json!({"password": "must have at least 20 characters"})
    );
    let taken = ask(&app, &root, "POST /principals/customer", account("kim", of_20)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let admin = Some(json!({"email": "kay@example.com", "password": of_18}));
    let taken = ask(&app, &root, "POST /principals/admin", admin).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    house.bekci.close().await;
}
