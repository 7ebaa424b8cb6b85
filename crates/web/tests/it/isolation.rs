//! `assert_guard_isolation`: says nothing of an application that is wired right, and names guard and route of one that is not.

use actix_web::{App, HttpResponse, web};
use bekci::{
    AnyAuth, Auth, Bekci,
    testing::{self, TestApp, TestBekci},
};
use futures_util::FutureExt as _;

use crate::models::{admin::Admin, customer::Customer};

async fn bekci() -> TestBekci {
    testing::bekci(|bekci| bekci.guard::<Admin>().guard::<Customer>()).await
}

/// The application of these routes beside those of Bekci.
async fn app(bekci: &Bekci, routes: impl FnOnce(&mut web::ServiceConfig)) -> TestApp {
    let app = App::new()
        .wrap(bekci.middleware())
        .configure(bekci.mount("/auth"))
        .configure(bekci.mount_admin("/admin/v1", "admin"))
        .configure(routes);
    bekci.test_app(app).await
}

async fn hello() -> HttpResponse {
    HttpResponse::Ok().body("hello")
}

async fn any(who: AnyAuth) -> HttpResponse {
    HttpResponse::Ok().body(who.key().to_string())
}

/// What the check says.
async fn told(app: &TestApp) -> String {
    let result = std::panic::AssertUnwindSafe(app.assert_guard_isolation())
        .catch_unwind()
        .await;
    let panicked = result.unwrap_err();
    *panicked.downcast::<String>().unwrap()
}

#[actix_web::test]
async fn an_application_that_is_wired_right_passes() {
    let bekci = bekci().await;
    let (admins, customers) = (bekci.require::<Admin>(), bekci.require::<Customer>());
    let (both, inner) = (bekci.require::<Admin>().or::<Customer>(), bekci.require::<Admin>());
    let app = app(&bekci, |config| {
        config
            .service(
                web::scope("/back-office")
                    .wrap(admins)
                    .route("/posts/{id}", web::delete().to(any)),
            )
            .service(
                web::resource("/shop")
                    .wrap(customers)
                    .route(web::post().to(async |_: Auth<Customer>| "")),
            )
            .service(
                web::scope("/files")
                    .wrap(both)
                    .route("/{name}", web::get().to(any))
                    .service(web::resource("/secret/list").wrap(inner).route(web::get().to(any))),
            )
            .route("/health", web::get().to(hello));
    });
    let app = app
        .await
        .public("/health")
        .shared("/files/**")
        .only::<Admin>("/files/secret/**");
    app.assert_guard_isolation().await;
    bekci.close().await;
}

#[actix_web::test]
async fn a_route_that_lets_in_another_guard_is_named_with_it() {
    let bekci = bekci().await;
    let (both, wrong) = (bekci.require::<Admin>().or::<Customer>(), bekci.require::<Customer>());
    let app = app(&bekci, |config| {
        config
            .service(
                web::scope("/back-office")
                    .wrap(both)
                    .route("/posts/{id}", web::delete().to(any)),
            )
            .service(web::scope("/staff").wrap(wrong).route("/payroll", web::get().to(any)));
    });
    let told = told(&app.await.only::<Admin>("/staff/**")).await;
    let shared = "DELETE /back-office/posts/{id}: lets in tokens of guard admin and of guard customer";
    assert!(told.contains(shared), "{told}");
    let strange = "GET /staff/payroll: lets in tokens of guard customer, and is for guard admin alone";
    assert!(told.contains(strange), "{told}");
    bekci.close().await;
}

#[actix_web::test]
async fn a_route_that_nobody_guards_is_named_and_one_whose_handler_asks_who_acts() {
    let bekci = bekci().await;
    let wrong = bekci.require::<Customer>();
    let app = app(&bekci, |config| {
        config
            .route("/back-office/report", web::get().to(hello))
            .route("/forgotten", web::get().to(async |_: Auth<Admin>| ""))
            .route(
                "/maybe",
                web::get().to(async |who: Option<Auth<Admin>>| who.is_some().to_string()),
            )
            .service(
                web::scope("/staff")
                    .wrap(wrong)
                    .route("/payroll", web::get().to(async |_: Auth<Admin>| "")),
            );
    });
    let told = told(&app.await).await;
    for finding in [
        "GET /back-office/report: no guard (admin, customer) stands before it: without a token it answered 200",
        "GET /forgotten: nothing admitted /forgotten for Admin: wrap it in bekci.require::<Admin>()",
        "GET /maybe: nothing admitted /maybe for Admin",
        "GET /staff/payroll: guard customer: nothing admitted /staff/payroll for Admin",
    ] {
        assert!(told.contains(finding), "{finding}\nnot in\n{told}");
    }
    assert!(told.starts_with("guards are not isolated; 4 found"), "{told}");
    bekci.close().await;
}
