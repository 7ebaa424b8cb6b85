//! What answers say and carry beside their codes, in an application of one's own.

use actix_web::{
    App, HttpResponse,
    test::{TestRequest, init_service},
    web,
};
use bekci::{Credentials, Language, Messages, core::ErrorCode};
use serde_json::json;

use crate::{
    calls::send,
    house::House,
    models::{admin::Admin, customer::Customer},
};

#[actix_web::test]
async fn messages_of_ones_own_are_in_every_shape_and_in_code() {
    let own = Messages::default()
        .replace(Language::Turkish, ErrorCode::CredentialInvalid, "Bir daha deneyin.")
        .unwrap()
        .replace(Language::English, ErrorCode::TokenMissing, "Who are you?")
        .unwrap();
    let house = House::built("https://example.com", |builder| builder.messages(own)).await;
    let app = App::new()
        .wrap(house.bekci.middleware())
        .configure(house.bekci.mount("/auth"))
        .service(
            web::resource("/mine")
                .wrap(house.bekci.require::<Customer>())
                .to(HttpResponse::Ok),
        );
    let app = init_service(app).await;
    let login = || {
        TestRequest::post()
            .uri("/auth/admin/login")
            .set_json(json!({"email": "nobody@example.com", "password": "whatever it may be"}))
    };
    let answer = send(&app, login().insert_header(("accept-language", "tr"))).await;
    assert_eq!(answer.refusal(), (401, "CREDENTIAL_INVALID"));
    assert_eq!(answer.body["error"]["message"], "Bir daha deneyin.");
    let answer = send(&app, login()).await;
    assert_eq!(
        answer.body["error"]["message"],
        "The identifier or the password is wrong."
    );

    let mine = TestRequest::get()
        .uri("/mine")
        .insert_header(("accept", "application/problem+json"));
    let answer = send(&app, mine).await;
    assert_eq!(
        (&answer.body["code"], &answer.body["detail"]),
        (&json!("TOKEN_MISSING"), &json!("Who are you?"))
    );
    assert_eq!(
        answer.challenge(),
        Some("Bearer realm=\"bekci\""),
        "no sentence is in a header"
    );
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));

    let wrong = Credentials::password("nobody@example.com", "whatever it may be");
    let guard = house.bekci.guard::<Admin>();
    let tried = guard.attempt(&wrong).language(Language::Turkish).await.unwrap();
    assert_eq!(tried.messages, ["Bir daha deneyin."]);
}

#[actix_web::test]
async fn an_application_in_the_clear_says_nothing_of_https_and_one_behind_it_may_say_its_own() {
    for (url, own, told) in [
        ("http://localhost", None, None),
        ("https://example.com", None, Some("max-age=31536000")),
        (
            "https://example.com",
            Some("max-age=5; includeSubDomains"),
            Some("max-age=5; includeSubDomains"),
        ),
    ] {
        let house = House::built(url, |builder| builder).await;
        let page = web::to(move || {
            let mut page = HttpResponse::Ok();
            if let Some(own) = own {
                page.insert_header(("strict-transport-security", own));
            }
            std::future::ready(page.body("page"))
        });
        let app = init_service(App::new().wrap(house.bekci.middleware()).route("/", page)).await;
        let answer = send(&app, TestRequest::get().uri("/")).await;
        assert_eq!(answer.header("strict-transport-security"), told, "{url}");
        let answer = send(&app, TestRequest::get().uri("/a//b")).await;
        assert_eq!(
            answer.header("strict-transport-security").is_some(),
            told.is_some(),
            "{url}"
        );
    }
}
