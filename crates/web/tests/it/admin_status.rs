//! The management API: bans, suspensions and their end; and that each change is told to the audit log.

use std::sync::{Arc, LazyLock, Mutex};

use bekci_store::Actor;
use serde_json::{Value, json};
use time::Duration;
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

use crate::admin::{ask, clerk, global, login, office, permissions, role, staffed};

#[actix_web::test]
async fn a_ban_answers_the_next_request_with_its_reason_and_ends_no_session() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let path = "PUT /principals/admin/5/status";
    for round in 0..5 {
        let status = if round % 2 == 0 { "banned" } else { "suspended" };
        let body = json!({"status": status, "reason": "misuse\u{2028}of cards", "until": "2100-01-01T00:00:00Z"});
        let answer = ask(&app, &root, path, Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let refused = ask(&app, &ida, "GET //auth/admin/me", None).await;
        assert_eq!(refused.refusal(), (403, "ACCOUNT_BANNED"));
        let details = &refused.body["error"]["details"];
        assert_eq!(details["reason"], "misuse\u{2028}of cards");
        assert_eq!(details["until"], "2100-01-01T00:00:00Z");
        let shown = ask(&app, &root, "GET /principals/admin/5", None).await;
        assert_eq!(shown.body["data"]["ban"]["reason"], "misuse\u{2028}of cards");
        let answer = ask(&app, &root, path, Some(json!({"status": "active"}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(ask(&app, &ida, "GET //auth/admin/me", None).await.status, 200);
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_ban_ends_by_itself_at_its_time() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let until = bekci::core::Clock::now(&*house.clock) + Duration::minutes(1);
    let until = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({"status": "banned", "until": until});
    assert_eq!(
        ask(&app, &root, "PUT /principals/admin/5/status", Some(body))
            .await
            .status,
        200
    );
    assert_eq!(
        ask(&app, &ida, "GET //auth/admin/me", None).await.refusal(),
        (403, "ACCOUNT_BANNED")
    );
    let shown = ask(&app, &root, "GET /principals/admin/5", None).await;
    assert_eq!(shown.body["data"]["banned"], true);
    house.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(ask(&app, &ida, "GET //auth/admin/me", None).await.status, 200);
    for call in ["GET /principals/admin/5", "GET /principals/admin?q=ida"] {
        let shown = ask(&app, &root, call, None).await;
        let data = &shown.body["data"];
        let account = data.pointer("/items/0").unwrap_or(data);
        assert_eq!(
            (&account["key"], &account["banned"]),
            (&json!("admin:5"), &json!(false))
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_status_that_cannot_be_is_422_and_named() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let carl = house.customer("carl").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let path = "PUT /principals/admin/5/status".to_owned();
    let without = format!("PUT /principals/customer/{}/status", carl.id());
    let cases = [
        (&path, json!({}), "status"),
        (&path, json!({"status": ""}), "status"),
        (&path, json!({"status": "two words"}), "status"),
        (&path, json!({"status": "bannd"}), "status"),
        (&path, json!({"status": "active", "reason": "none"}), "reason"),
        (
            &path,
            json!({"status": "active", "until": "2100-01-01T00:00:00Z"}),
            "until",
        ),
        (
            &path,
            json!({"status": "banned", "until": "2000-01-01T00:00:00Z"}),
            "until",
        ),
        (&path, json!({"status": "banned", "until": "tomorrow"}), "until"),
        (&path, json!({"status": "banned", "reason": ""}), "reason"),
        (&path, json!({"status": "banned", "reason": "a\nb"}), "reason"),
        (&path, json!({"status": "banned", "reason": "x".repeat(501)}), "reason"),
        (&without, json!({"status": "banned"}), "status"),
    ];
    for (call, body, field) in cases {
        let answer = ask(&app, &root, call, Some(body.clone())).await;
        assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"), "{body}: {answer:?}");
        assert!(
            !answer.body["error"]["details"]["fields"][field].is_null(),
            "{body}: {answer:?}"
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn nobody_bans_itself() {
    let house = staffed().await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let answer = ask(
        &app,
        &root,
        "PUT /principals/admin/1/status",
        Some(json!({"status": "banned"})),
    )
    .await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(
        ask(&app, &root, "DELETE /principals/admin/1", None).await.refusal(),
        (403, "FORBIDDEN")
    );
    house.bekci.close().await;
}

/// Keeps the audit events of this thread, each as `name=value` pairs.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

/// While there is one listener alone, tracing asks whichever thread comes to an event first whether anybody wants it, and keeps a "no" for all threads. With a second
/// one, which nobody drops, it asks them all.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Listener::default()));

impl Listener {
    fn start() -> (Self, DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let heard = Self::default();
        let listening = tracing::subscriber::set_default(heard.clone());
        (heard, listening)
    }
}

#[derive(Default)]
struct Pairs(String);

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push_str(&format!("{}={value} ", field.name()));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "bekci::audit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        self.0.lock().unwrap().push(pairs.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[actix_web::test]
async fn each_change_is_one_event_with_the_callers_key_and_a_refusal_is_none() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    clerk(&house, 6, "clerk", &["bekci.principals.status"]).await;
    let app = office!(house.bekci);
    let (root, clerk) = (login(&app, "admin", "root").await, login(&app, "admin", "clerk").await);
    let sid = "0123456789abcdef0123456789abcdef";
    let changes = [
        (
            "PUT /principals/admin/5/status",
            Some(json!({"status": "banned", "reason": "x y"})),
            "account.banned",
        ),
        (
            "PUT /principals/admin/5/status",
            Some(json!({"status": "active"})),
            "account.restored",
        ),
        (
            "PUT /principals/admin/5/roles",
            Some(json!({"roles": ["support"]})),
            "rights.changed",
        ),
        (
            "PUT /principals/admin/5/permissions",
            Some(json!({"granted": [], "denied": ["a"]})),
            "rights.changed",
        ),
        (
            "POST /roles",
            Some(json!({"guard": "admin", "name": "fresh"})),
            "rights.changed",
        ),
        (
            "POST /blocks",
            Some(json!({"principal": "admin:5", "jti": sid, "reason": "lost"})),
            "token.blocked",
        ),
        (
            "PATCH /principals/admin/5",
            Some(json!({"name": "Ida"})),
            "identity.refreshed",
        ),
        (
            "PATCH /principals/admin/5",
            Some(json!({"password": "quite another long password"})),
            "password.changed",
        ),
        (
            "PATCH /principals/admin/5",
            Some(json!({"email": "ida2@example.com"})),
            "email.changed",
        ),
        ("DELETE /principals/admin/5", None, "account.deleted"),
    ];
    let (heard, listening) = Listener::start();
    let refused = ask(
        &app,
        &clerk,
        "PUT /principals/admin/1/status",
        Some(json!({"status": "banned"})),
    )
    .await;
    assert_eq!(refused.status, 403);
    for (call, body, event) in changes {
        let answer = ask(&app, &root, call, body).await;
        assert_eq!(answer.status, 200, "{call}: {answer:?}");
        let events: Vec<String> = heard.0.lock().unwrap().drain(..).collect();
        assert_eq!(events.len(), 1, "{call}: {events:?}");
        for part in [
            format!("event={event} "),
            "actor=admin:1 ".into(),
            "outcome=effective ".into(),
            "request_id=".into(),
        ] {
            assert!(events[0].contains(&part), "{part} in {}", events[0]);
        }
    }
    drop(listening);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_change_of_rights_is_told_the_same_by_whatever_way_it_came() {
    let house = staffed().await;
    let ida = house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let (heard, listening) = Listener::start();
    let told = || -> Vec<String> { heard.0.lock().unwrap().drain(..).collect() };
    let part = |event: &str, name: &str| {
        let (_, rest) = event.split_once(&format!("{name}=")).unwrap();
        rest.split_once(' ').unwrap().0.to_owned()
    };

    let path = "PUT /principals/admin/5/roles";
    let answer = ask(&app, &root, path, Some(json!({"roles": ["support"]}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let by_management = told();
    assert_eq!(by_management.len(), 1, "{by_management:?}");
    let library = house.bekci.store().rights();
    library.sync_roles(&ida, &global("admin"), &[]).await.unwrap();
    let taken = told();
    library
        .assign_role(&ida, &global("admin"), &[role("support")])
        .await
        .unwrap();
    let by_library = told();
    library
        .assign_role(&ida, &global("admin"), &[role("support")])
        .await
        .unwrap();
    assert_eq!(told(), Vec::<String>::new(), "nothing changed");
    library
        .remove_role(&ida, &global("admin"), &[role("support")])
        .await
        .unwrap();
    told();
    let command = house.bekci.store().by(Actor::named("command-line:0")).rights();
    command
        .assign_role(&ida, &global("admin"), &[role("support")])
        .await
        .unwrap();
    let by_command = told();

    let roles = json!({"before": 0, "after": 1, "added": ["support"], "removed": []});
    let details = json!({"guard": "admin", "tenant": null, "roles": roles});
    for (events, actor) in [
        (&by_management, "admin:1"),
        (&by_library, "application"),
        (&by_command, "command-line:0"),
    ] {
        let event = &events[0];
        assert_eq!(part(event, "event"), "rights.changed");
        assert_eq!(part(event, "actor"), actor);
        assert_eq!(part(event, "principal"), "admin:5");
        assert_eq!(part(event, "outcome"), "effective");
        let told: Value = serde_json::from_str(&part(event, "details")).unwrap();
        assert_eq!(told, details);
        assert!(part(event, "position").parse::<i64>().unwrap() > 0, "{event}");
    }
    assert!(taken[0].contains(r#""removed":["support"]"#), "{taken:?}");

    library
        .give(&ida, &global("admin"), &permissions(&["a.b"]))
        .await
        .unwrap();
    library
        .deny(&ida, &global("admin"), &permissions(&["a.b"]))
        .await
        .unwrap();
    let events = told();
    let details = |event: &str| -> Value { serde_json::from_str(&part(event, "details")).unwrap() };
    assert_eq!(details(&events[0])["granted"]["added"], json!(["a.b"]), "{events:?}");
    // A denial takes the grant's place.
    assert_eq!(details(&events[1])["denied"]["added"], json!(["a.b"]), "{events:?}");
    assert_eq!(details(&events[1])["granted"]["removed"], json!(["a.b"]), "{events:?}");
    drop(listening);
    house.bekci.close().await;
}
