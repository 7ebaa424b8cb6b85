//! Which tenant the middleware asks about, and what a handler then sees.

use actix_web::{
    App, HttpRequest, HttpResponse,
    test::{TestRequest, init_service},
    web,
};
use bekci::{
    AnyAuth, Tenancy,
    core::{GuardName, Permission, ScopedRights, TenantName},
};
use serde_json::{Value, json};

use crate::{
    calls::{Answer, bearer, send},
    town::{Customer, Town},
};

fn in_tenant(tenant: &str, granted: &[&str], denied: &[&str]) -> ScopedRights {
    let permissions = |texts: &[&str]| texts.iter().map(|text| Permission::new(text).unwrap()).collect();
    ScopedRights {
        guard: GuardName::new("customer").unwrap(),
        tenant: TenantName::new(tenant).ok(),
        roles: Box::default(),
        granted: permissions(granted),
        denied: permissions(denied),
    }
}

async fn whoami(who: AnyAuth, request: HttpRequest) -> HttpResponse {
    let header = |name: &str| request.headers().contains_key(name);
    HttpResponse::Ok().json(json!({
        "tenant": who.tenant().map(|tenant| tenant.as_str()),
        "may": who.can("posts.delete"),
        "header": header("x-tenant") || header("x_tenant"),
    }))
}

async fn open(request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(json!({"header": request.headers().contains_key("x-tenant")}))
}

/// Somebody who may delete posts in acme, not in globex, and nowhere else; the answer to a request of hers.
async fn asked(tenancy: Tenancy, made_for: Option<&str>, request: TestRequest) -> Answer {
    let town = Town::new();
    let token = town.signed_in("customer:1", &[], &["posts.view"]);
    town.change("customer:1", |identity| {
        let mut rights = identity.rights.to_vec();
        rights.push(in_tenant("acme", &["posts.delete"], &[]));
        rights.push(in_tenant("globex", &["posts.*"], &["posts.delete"]));
        identity.rights = rights.into();
    });
    if let Some(tenant) = made_for {
        town.made_for(&token, tenant);
    }
    let watch = town.watch().with_tenancy(tenancy);
    let app = init_service(
        App::new()
            .wrap(watch.middleware())
            .route("/open", web::get().to(open))
            .service(
                web::scope("/t/{tenant}")
                    .wrap(watch.require::<Customer>())
                    .route("/me", web::get().to(whoami)),
            )
            .service(
                web::scope("")
                    .wrap(watch.require::<Customer>())
                    .route("/me", web::get().to(whoami)),
            ),
    )
    .await;
    send(&app, bearer(request, &token)).await
}

fn me() -> TestRequest {
    TestRequest::with_uri("/me").peer_addr("127.0.0.1:9".parse().unwrap())
}

fn seen(tenant: Option<&str>, may: bool) -> Value {
    json!({"tenant": tenant, "may": may, "header": false})
}

#[actix_web::test]
async fn a_header_is_believed_from_a_trusted_proxy_alone_and_a_strangers_is_taken_away() {
    let trusting = || Tenancy::header("X-Tenant", |peer| peer.is_loopback()).unwrap();
    let by = |value: &'static str| me().insert_header(("X-Tenant", value));
    let answer = asked(trusting(), None, by("acme")).await;
    assert_eq!(answer.body, json!({"tenant": "acme", "may": true, "header": true}));
    assert_eq!(
        asked(trusting(), None, by("globex")).await.body["may"],
        false,
        "denied there"
    );
    let foreign = asked(trusting(), None, by("other")).await;
    assert_eq!(foreign.refusal(), (403, "FORBIDDEN"));
    assert_eq!(foreign.body["error"]["details"], json!({"tenant": "other"}));
    assert_eq!(
        asked(trusting(), None, by("ACME")).await.refusal(),
        (400, "MALFORMED_REQUEST")
    );

    for value in ["acme", "other", "ACME"] {
        let stranger = || by(value).peer_addr("192.0.2.7:9".parse().unwrap());
        let answer = asked(trusting(), None, stranger().insert_header(("X_Tenant", "acme"))).await;
        assert_eq!(answer.body, seen(None, false), "{value}");
        let public = asked(trusting(), None, stranger().uri("/open")).await;
        assert_eq!(public.body, json!({"header": false}));
    }
    let nobody = TestRequest::with_uri("/me").insert_header(("X-Tenant", "acme"));
    assert_eq!(
        asked(trusting(), None, nobody).await.body,
        seen(None, false),
        "no peer is known"
    );
}

#[actix_web::test]
async fn a_host_asks_about_the_label_before_the_name_and_no_forwarded_header_does() {
    let by = |host: &'static str| me().insert_header(("Host", host));
    let hosts = || Tenancy::host(["shop.test"], ["www.shop.test"]).unwrap();
    assert_eq!(
        asked(hosts(), None, by("acme.shop.test:80")).await.body,
        seen(Some("acme"), true)
    );
    for bare in ["shop.test", "www.shop.test"] {
        let forged = by(bare)
            .insert_header(("X-Forwarded-Host", "acme.shop.test"))
            .insert_header(("Forwarded", "host=acme.shop.test"));
        assert_eq!(asked(hosts(), None, forged).await.body, seen(None, false), "{bare}");
    }
    assert_eq!(
        asked(hosts(), None, by("other.shop.test")).await.refusal(),
        (403, "FORBIDDEN")
    );
    assert_eq!(
        asked(hosts(), None, by("a.b.shop.test")).await.refusal(),
        (400, "MALFORMED_REQUEST")
    );
    let two = by("acme.shop.test").append_header(("Host", "globex.shop.test"));
    assert_eq!(asked(hosts(), None, two).await.refusal(), (400, "MALFORMED_REQUEST"));
}

#[actix_web::test]
async fn a_segment_of_the_path_is_read_in_its_canonical_form() {
    let by = |path: &'static str| me().uri(path);
    let second = || Tenancy::path(2).unwrap();
    assert_eq!(
        asked(second(), None, by("/t/acme/me")).await.body,
        seen(Some("acme"), true)
    );
    assert_eq!(
        asked(second(), None, by("/t/%61cme/me")).await.body,
        seen(Some("acme"), true)
    );
    assert_eq!(asked(second(), None, by("/me")).await.body, seen(None, false));
    assert_eq!(
        asked(second(), None, by("/t/other/me")).await.refusal(),
        (403, "FORBIDDEN")
    );
    assert_eq!(
        asked(second(), None, by("/t/Acme/me")).await.refusal(),
        (400, "MALFORMED_REQUEST")
    );
    assert_eq!(
        asked(second(), None, by("/t/acme/../globex/me")).await.refusal(),
        (400, "BAD_PATH")
    );
}

#[actix_web::test]
async fn a_token_made_for_a_tenant_is_good_in_that_one_alone() {
    let by_claim = asked(Tenancy::claim(), Some("acme"), me()).await;
    assert_eq!(by_claim.body, seen(Some("acme"), true));
    assert_eq!(asked(Tenancy::claim(), None, me()).await.body, seen(None, false));
    let hosts = || Tenancy::host(["shop.test"], []).unwrap();
    let at_globex = me().insert_header(("Host", "globex.shop.test"));
    let refused = asked(hosts(), Some("acme"), at_globex).await;
    assert_eq!(refused.refusal(), (403, "FORBIDDEN"));
    assert_eq!(refused.body["error"]["details"], json!({"tenant": "globex"}));
}

#[actix_web::test]
async fn without_tenants_nothing_of_a_request_names_one() {
    let request = me()
        .uri("/t/acme/me")
        .insert_header(("Host", "acme.shop.test"))
        .insert_header(("X-Tenant", "acme"));
    let answer = asked(Tenancy::none(), Some("acme"), request).await;
    assert_eq!(answer.body, json!({"tenant": null, "may": false, "header": true}));
}
