//! Cookies that another host plants, and sign-ins that another site begins.

use actix_web::{
    App,
    test::{TestRequest, init_service},
};
use serde_json::json;

use crate::{
    calls::{Answer, send},
    house::{House, PASSWORD},
};

/// The value of a cookie that the answer sets.
fn cookie<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let set = answer
        .cookies()
        .into_iter()
        .find_map(|set| set.strip_prefix(&format!("{name}=")));
    set.and_then(|set| set.split(';').next()).unwrap()
}

#[actix_web::test]
async fn what_a_sibling_host_plants_refreshes_nothing_and_signs_nobody_in() {
    let house = House::built("https://example.com", |builder| builder).await;
    house.admin(7, "ann").await;
    house.admin(8, "mallory").await;
    let bekci = &house.bekci;
    let app = init_service(App::new().wrap(bekci.middleware()).configure(bekci.mount("/auth"))).await;
    let sign_in = |who: &str| {
        let request = json!({"email": format!("{who}@example.com"), "password": PASSWORD, "transport": "cookie"});
        TestRequest::post().uri("/auth/admin/login").set_json(request)
    };
    let (mine, planted) = (send(&app, sign_in("ann")).await, send(&app, sign_in("mallory")).await);
    let refresh = |jar: String| {
        let refresh = TestRequest::post().uri("/auth/admin/token/refresh");
        refresh
            .insert_header(("Cookie", jar))
            .insert_header(("Sec-Fetch-Site", "same-origin"))
    };
    let (rt, csrf) = ("__Secure-bekci_admin_rt", "__Host-bekci_admin_csrf");
    // A sibling can set the cookie of the refresh token, whose name begins with `__Secure-`; it cannot set the other one.
    for jar in [
        format!("{rt}={}", cookie(&planted, rt)),
        format!("{rt}={}; {csrf}={}", cookie(&planted, rt), cookie(&mine, csrf)),
    ] {
        for path in ["/auth/admin/token/refresh", "/auth/admin/logout"] {
            let refused = send(&app, refresh(jar.clone()).uri(path)).await;
            assert_eq!(refused.refusal(), (403, "CSRF_REJECTED"), "{path} {jar}");
        }
    }
    let both = format!(
        "{rt}={}; {rt}={}; {csrf}={}",
        cookie(&mine, rt),
        cookie(&planted, rt),
        cookie(&mine, csrf)
    );
    assert_eq!(
        send(&app, refresh(both)).await.refusal(),
        (400, "AMBIGUOUS_CREDENTIALS")
    );
    let own = format!("{rt}={}; {csrf}={}", cookie(&mine, rt), cookie(&mine, csrf));
    assert_eq!(send(&app, refresh(own)).await.status, 200);
    // Nor does a page of another site sign its visitor in to an account of its own.
    let foreign = sign_in("mallory").insert_header(("Sec-Fetch-Site", "cross-site"));
    assert_eq!(send(&app, foreign).await.refusal(), (403, "CSRF_REJECTED"));
    for site in ["same-origin", "same-site", "none"] {
        assert_eq!(
            send(&app, sign_in("ann").insert_header(("Sec-Fetch-Site", site)))
                .await
                .status,
            200,
            "{site}"
        );
    }
    house.bekci.close().await;
}
