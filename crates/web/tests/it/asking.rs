//! `permissions!`, `#[permission]` and `guard!` on handlers.

use actix_web::{
    App, HttpResponse, delete, post,
    test::{TestRequest, init_service},
    web,
};
use bekci::{Auth, GuardType, permission, permissions};
use serde_json::{Value, json};

use crate::{
    calls::{bearer, send},
    town::{Admin, Town},
};

permissions! {
    pub mod posts {
        view,
        create,
        delete,
        pub mod comments { delete }
    }
}

bekci::guard!(pub Kiosk = "kiosk" on crate::town::CustomerRow);

#[delete("/posts/{id}")]
#[permission(posts::delete)]
async fn delete_post(who: Auth<Admin>, id: web::Path<i64>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"by": who.id(), "deleted": *id}))
}

#[permission(any(posts::create, "posts.write"), role = "editor")]
#[post("/posts")]
async fn create_post(post: web::Json<Value>) -> HttpResponse {
    HttpResponse::Ok().json(post.into_inner())
}

#[delete("/comments")]
#[permission(all(posts::view, posts::comments::delete))]
async fn delete_comments() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[delete("/unwrapped")]
#[permission(posts::delete)]
async fn unwrapped() -> HttpResponse {
    HttpResponse::Ok().finish()
}

macro_rules! app {
    ($town:expr) => {{
        let watch = $town.watch();
        let guarded = web::scope("/admin")
            .wrap(watch.require::<Admin>())
            .service(delete_post)
            .service(create_post)
            .service(delete_comments);
        init_service(App::new().wrap(watch.middleware()).service(guarded).service(unwrapped)).await
    }};
}

#[test]
fn permissions_and_guards_are_named_as_they_are_written() {
    assert_eq!(posts::delete.as_str(), "posts.delete");
    assert_eq!(posts::comments::delete.as_str(), "posts.comments.delete");
    assert_eq!(posts::ALL, [posts::view, posts::create, posts::delete]);
    assert_eq!(posts::comments::ALL, [posts::comments::delete]);
    assert_eq!(Kiosk::NAME, "kiosk");
}

#[actix_web::test]
async fn a_handler_is_called_only_by_who_holds_what_it_asks() {
    let town = Town::new();
    let (editor, reader) = (
        town.signed_in("admin:1", &["editor"], &[]),
        town.signed_in("admin:2", &["reader"], &[]),
    );
    let app = app!(town);
    let delete = |token: &str| bearer(TestRequest::delete().uri("/admin/posts/7"), token);
    let answer = send(&app, delete(&editor)).await;
    assert_eq!((answer.status, answer.body), (200, json!({"by": "1", "deleted": 7})));
    let answer = send(&app, delete(&reader)).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(
        answer.body["error"]["details"],
        json!({"missing": "permission posts.delete"})
    );

    let comments = |token: &str| bearer(TestRequest::delete().uri("/admin/comments"), token);
    assert_eq!(send(&app, comments(&editor)).await.status, 200);
    let answer = send(&app, comments(&reader)).await;
    assert_eq!(
        answer.body["error"]["details"],
        json!({"missing": "permission posts.comments.delete"})
    );
}

#[actix_web::test]
async fn a_missing_right_comes_before_a_broken_body_and_a_missing_token_before_both() {
    let town = Town::new();
    let (editor, reader) = (
        town.signed_in("admin:1", &["editor"], &[]),
        town.signed_in("admin:2", &["reader"], &[]),
    );
    let writer = town.signed_in("admin:3", &[], &["posts.create"]);
    let app = app!(town);
    let broken = || {
        let request = TestRequest::post().uri("/admin/posts");
        request
            .insert_header(("Content-Type", "application/json"))
            .set_payload("{")
    };
    assert_eq!(send(&app, broken()).await.refusal(), (401, "TOKEN_MISSING"));
    let answer = send(&app, bearer(broken(), &reader)).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(
        answer.body["error"]["details"]["missing"],
        "permission posts.create or posts.write"
    );
    let answer = send(&app, bearer(broken(), &writer)).await;
    assert_eq!(answer.body["error"]["details"]["missing"], "role editor");
    assert_eq!(
        send(&app, bearer(broken(), &editor)).await.refusal(),
        (400, "MALFORMED_REQUEST")
    );
}

#[actix_web::test]
async fn a_permission_where_nothing_admitted_the_request_is_500() {
    let town = Town::new();
    let editor = town.signed_in("admin:1", &["editor"], &[]);
    let app = app!(town);
    let answer = send(&app, bearer(TestRequest::delete().uri("/unwrapped"), &editor)).await;
    assert_eq!(answer.refusal(), (500, "INTERNAL"));
}
