//! Admissions that a thread remembers, over the real keys and the real store: each decision by them is the one that would be made without them.

use std::{sync::Arc, time::Duration};

use bekci::{
    BanOrder, Bekci,
    core::{
        AskedTenant, AuthError, Consistency, GuardChain, HeaderCredential, PrincipalKey, Remembered, RequestHead,
        RouteRule,
    },
};
use bekci_signin::SignedIn;
use bekci_token::{Algorithm, KeyStore, OsEntropy};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use crate::{
    admin::{global, role},
    house::{House, NOW},
    models::admin::Admin,
};

/// Somebody who is signed in, and a route that asks a role of them.
struct Scene {
    house: House,
    key: PrincipalKey,
    signed_in: SignedIn,
    bearer: String,
    rule: Arc<RouteRule>,
    direct: RouteRule,
}

impl Scene {
    async fn new() -> Self {
        let house = House::new().await;
        let key = house.admin(7, "ann").await;
        let rights = house.bekci.store().rights();
        rights.put_role(&global("admin"), &role("clerk"), &[]).await.unwrap();
        rights
            .assign_role(&key, &global("admin"), &[role("clerk")])
            .await
            .unwrap();
        let rule = RouteRule {
            roles: vec![role("clerk")],
            ..RouteRule::guarded("desk", GuardChain::new([Arc::clone(house.guard("admin"))]))
        };
        let direct = RouteRule {
            consistency: Consistency::Direct,
            ..rule.clone()
        };
        let signed_in = house.bekci.guard::<Admin>().issue(&key).await.unwrap();
        let scene = Self {
            bearer: format!("Bearer {}", signed_in.access.expose_secret()),
            house,
            key,
            signed_in,
            rule: Arc::new(rule),
            direct,
        };
        scene.until_remembered().await;
        scene
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: "GET",
            path: "/desk",
            tenant: AskedTenant::None,
            authorization: HeaderCredential::read(&[self.bearer.as_bytes()]),
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
            secured: None,
        }
    }

    async fn again(&self) -> Result<(), AuthError> {
        let decided = self.house.bekci.gate().decide_again(&self.head(), &self.rule).await;
        decided.map(drop).map_err(|denial| denial.error)
    }

    /// The decision by what this thread remembers, which is the one that the database's truth makes.
    async fn decision(&self) -> Option<&'static str> {
        let again = self.again().await;
        let truth = self.house.bekci.gate().admit(&self.head(), &self.direct).await;
        let code = |decided: Result<(), AuthError>| decided.err().map(|error| error.code().as_str());
        let (again, truth) = (code(again), code(truth.map(drop)));
        assert_eq!(again, truth);
        again
    }

    /// Asks until an answer is a remembered one.
    async fn until_remembered(&self) {
        let hits = Remembered::by_this_thread().hits;
        for _ in 0..3_000 {
            self.again().await.unwrap();
            if Remembered::by_this_thread().hits > hits {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing is remembered");
    }
}

#[actix_web::test]
async fn what_takes_an_admission_away_takes_a_remembered_one() {
    let scene = Scene::new().await;
    let bekci: &Bekci = &scene.house.bekci;
    let (rights, clerk) = (bekci.store().rights(), [role("clerk")]);
    let scope = global("admin");
    let ban = BanOrder {
        status: "banned".to_owned(),
        ..BanOrder::default()
    };

    bekci.store().ban(&scene.key, &ban).await.unwrap().confirmed().unwrap();
    assert_eq!(scene.decision().await, Some("ACCOUNT_BANNED"));
    bekci.store().unban(&scene.key).await.unwrap().confirmed().unwrap();
    scene.until_remembered().await;

    rights.remove_role(&scene.key, &scope, &clerk).await.unwrap();
    assert_eq!(scene.decision().await, Some("FORBIDDEN"));
    rights.assign_role(&scene.key, &scope, &clerk).await.unwrap();
    scene.until_remembered().await;

    bekci.sessions().end(&scene.key, scene.signed_in.session).await.unwrap();
    assert_eq!(scene.decision().await, Some("TOKEN_INVALID"));
    bekci.close().await;
}

#[actix_web::test]
async fn the_end_of_a_token_counts_at_its_second_and_a_clock_set_back_too() {
    let scene = Scene::new().await;
    let end = scene.signed_in.access_expires_at.unix_timestamp();
    let seconds = [
        NOW,
        end - 1,
        end,
        end + 1,
        end + 29,
        end + 30,
        end + 31,
        end + 59,
        end + 60,
        end + 61,
    ];
    let early = [NOW - 61, NOW - 60, NOW - 59, NOW - 31, NOW - 30, NOW - 29, NOW - 1, NOW];
    let mut seen = Vec::new();
    for second in seconds.into_iter().chain(early) {
        scene.house.clock.set_wall(NOW);
        scene.until_remembered().await;
        scene.house.clock.set_wall(second);
        seen.push(scene.decision().await);
    }
    assert!(seen.contains(&None) && seen.contains(&Some("TOKEN_EXPIRED")) && seen.contains(&Some("TOKEN_INVALID")));
    scene.house.bekci.close().await;
}

#[actix_web::test]
async fn a_ban_that_has_ended_counts_again_when_the_clock_is_set_back() {
    let scene = Scene::new().await;
    let ban = BanOrder {
        status: "banned".to_owned(),
        until: Some(OffsetDateTime::from_unix_timestamp(NOW + 60).unwrap()),
        ..BanOrder::default()
    };
    let store = scene.house.bekci.store();
    store.ban(&scene.key, &ban).await.unwrap().confirmed().unwrap();
    assert_eq!(scene.decision().await, Some("ACCOUNT_BANNED"));
    scene.house.clock.set_wall(NOW + 60);
    scene.until_remembered().await;
    assert_eq!(scene.decision().await, None);
    scene.house.clock.set_wall(NOW + 59);
    assert_eq!(scene.decision().await, Some("ACCOUNT_BANNED"));
    scene.house.bekci.close().await;
}

#[actix_web::test]
async fn a_key_that_is_gone_and_a_node_that_is_gone_end_it() {
    let scene = Scene::new().await;
    let bekci = &scene.house.bekci;
    let hits = || Remembered::by_this_thread().hits;
    let guards = ["admin", "customer"].map(|name| (scene.house.guard(name).name.clone(), Algorithm::EdDsa));
    let folder = scene.house.keys();
    std::fs::remove_dir_all(&folder).unwrap();
    KeyStore::new(&folder)
        .ensure(&guards, &*scene.house.clock, &OsEntropy)
        .unwrap();
    // The node looks by itself, too, and may have been first.
    bekci.keys().poll().unwrap();
    let before = hits();
    assert!(scene.decision().await.is_some());
    assert_eq!(hits(), before);
    bekci.close().await;

    let scene = Scene::new().await;
    scene.house.bekci.close().await;
    let before = hits();
    let _by_the_database_or_not_at_all = scene.again().await;
    assert_eq!(hits(), before, "its lease is given back");
}
