//! Signing in by password.

use std::sync::Arc;

use bekci_core::{
    CsrfKey, Entropy as _, ErrorCode, GuardName, HashScheme, IdentityVersion, Rate, TenantName, TokenId, Verification,
    signin::{SignInTenant, StoreError},
};
use bekci_signin::{AttemptResult, PasswordAttempt, SignInError, SignedInBy};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::world::{EMAIL, PASSWORD, START, World, attempt, key};

#[tokio::test]
async fn the_right_password_opens_a_session_and_gives_a_pair_of_tokens() {
    let world = World::new().await;
    let signed_in = world.signed_in().await;
    assert_eq!(signed_in.key, key("customer:42"));
    assert_eq!(signed_in.outcome, SignedInBy::Password);
    assert_eq!(signed_in.expires_in_seconds, 900);
    assert_eq!(signed_in.access_expires_at.unix_timestamp(), START + 900);
    assert_eq!(signed_in.refresh_expires_at.unix_timestamp(), START + 30 * 86_400);
    assert_eq!(world.store.live(), [signed_in.session]);

    let claims = world.issuer.last();
    assert_eq!((claims.session, claims.generation), (signed_in.session, 0));
    assert_eq!((claims.issued_at, claims.expires_at), (START, START + 900));
    assert_eq!(claims.version, IdentityVersion(8));
    assert_ne!(claims.id, signed_in.session);
}

#[tokio::test]
async fn a_sign_in_asks_the_store_twice_and_hashes_once() {
    let world = World::new().await;
    let before = world.hasher.stats().computed;
    world.signed_in().await;
    assert_eq!(
        (world.store.calls("credentials"), world.store.calls("open_session")),
        (1, 1)
    );
    assert_eq!(world.store.all_calls(), 2);
    assert_eq!(world.hasher.stats().computed - before, 1);
}

#[tokio::test]
async fn unknown_account_and_wrong_password_and_no_password_do_the_same_work_and_get_the_same_answer() {
    let world = World::patient().await;
    world.add("customer:43", "oauth@example.com", None).await;
    world.add("customer:44", "odd@example.com", None).await;
    world.store.tables().accounts[2].hash = Some("!".into());
    world.add("customer:45", "banned@example.com", Some(PASSWORD)).await;
    world.ban("customer:45", "spam");
    for identifier in [
        EMAIL,
        "nobody@example.com",
        "oauth@example.com",
        "odd@example.com",
        "banned@example.com",
    ] {
        for password in ["wrong", "", &"x".repeat(200)] {
            let (hashed, asked) = (world.hasher.stats().computed, world.store.all_calls());
            let refused = world
                .sign_in
                .password(&world.customer, attempt(identifier, password))
                .await;
            assert_eq!(refused.unwrap_err(), SignInError::CredentialInvalid, "{identifier}");
            assert_eq!(world.hasher.stats().computed - hashed, 1, "{identifier}");
            assert_eq!(world.store.all_calls() - asked, 1, "{identifier}");
        }
    }
}

#[tokio::test]
async fn every_account_costs_as_much_as_the_dearest_hash_of_its_table_known_or_not() {
    let world = World::patient().await;
    let hash = |cost| bcrypt::hash("another password here", cost).unwrap();
    for (n, stored) in [hash(4), hash(6), hash(8), "!".into(), String::new()]
        .into_iter()
        .enumerate()
    {
        world
            .add(&format!("customer:{}", 50 + n), &format!("user{n}@example.com"), None)
            .await;
        world.store.tables().accounts[n + 1].hash = Some(stored);
    }
    let work = async |identifier: &str, password: &str| {
        let before = world.hasher.stats().work;
        let refused = world.sign_in.password(&world.customer, attempt(identifier, password));
        assert_eq!(
            refused.await.unwrap_err(),
            SignInError::CredentialInvalid,
            "{identifier}"
        );
        let after = world.hasher.stats().work;
        (
            after.argon2_kib - before.argon2_kib,
            after.bcrypt_rounds - before.bcrypt_rounds,
        )
    };
    let all = [
        "nobody@example.com",
        EMAIL,
        "user0@example.com",
        "user1@example.com",
        "user2@example.com",
        "user3@example.com",
        "user4@example.com",
    ];
    assert_eq!(
        work("nobody@example.com", "wrong").await,
        (8, 0),
        "nothing is known yet"
    );
    world.sign_in.learn_costs(std::slice::from_ref(&world.customer)).await;
    for identifier in all {
        for password in ["wrong", "", &"x".repeat(200)] {
            assert_eq!(work(identifier, password).await, (8, 1 << 8), "{identifier}");
        }
    }
    // One that comes later is learnt by its first sign-in.
    world.add("customer:60", "late@example.com", None).await;
    world.store.tables().accounts[6].hash = Some(hash(9));
    world
        .sign_in
        .password(&world.customer, attempt("late@example.com", "wrong"))
        .await
        .unwrap_err();
    for identifier in all {
        assert_eq!(work(identifier, "wrong").await, (8, 1 << 9), "{identifier}");
    }
    // The tables of other models cost what their own hashes do.
    let before = world.hasher.stats().work;
    world
        .sign_in
        .password(&world.admin, attempt(EMAIL, "wrong"))
        .await
        .unwrap_err();
    assert_eq!(world.hasher.stats().work.bcrypt_rounds, before.bcrypt_rounds);
}

#[tokio::test]
async fn a_guard_that_leaves_hashes_alone_replaces_none() {
    let world = World::with(|guard| guard.password_rehash = false).await;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    world.set_hash(old.clone());
    for _ in 0..3 {
        world.signed_in().await;
    }
    // A job that was queued would have its turn before this one.
    world.hasher.hash(PASSWORD.into()).await.unwrap();
    assert_eq!(world.store.calls("rehash"), 0);
    assert_eq!(world.store.tables().accounts[0].hash.as_deref(), Some(old.as_str()));
}

#[tokio::test]
async fn a_guard_of_bcrypt_replaces_a_cheaper_hash_by_one_that_php_verifies_and_no_argon2() {
    let world = World::with(|guard| guard.password_hash = Some(HashScheme::Bcrypt { cost: 5 })).await;
    world.signed_in().await;
    world.set_hash(bcrypt::hash(PASSWORD, 4).unwrap());
    world.signed_in().await;
    world.store.rehashed.notified().await;
    let new = world.store.tables().accounts[0].hash.clone().unwrap();
    assert!(new.starts_with("$2y$05$"), "{new}");
    world.signed_in().await;
    assert_eq!(world.store.calls("rehash"), 1);
}

/// A password and its hash as other systems store it: Django's hashers, and the example that Firebase publishes.
const OF_OTHERS: [(&str, &str); 4] = [
    (
        "lètmein",
        "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=",
    ),
    (
        "user1password",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,\
         sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==\
         $42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
    ),
    (
        "U*U",
        "bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ),
    // The test vector of Argon2's reference implementation for version 1.3, as Django's hasher would write it.
    (
        "password",
        "argon2$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
];

#[tokio::test]
async fn hashes_of_django_and_firebase_sign_in_and_are_replaced_unless_the_guard_leaves_them_alone() {
    for (password, stored) in OF_OTHERS {
        let world = World::new().await;
        world.set_hash(stored.to_owned());
        let sign_in = |entered: &str| world.sign_in.password(&world.customer, attempt(EMAIL, entered));
        for wrong in ["wrong", &format!("{password} "), &format!("{password}\0")] {
            assert_eq!(
                sign_in(wrong).await.unwrap_err(),
                SignInError::CredentialInvalid,
                "{stored}"
            );
        }
        sign_in(password).await.unwrap();
        if stored.starts_with("argon2$") {
            // It costs more than this world's new hashes.
            continue;
        }
        world.store.rehashed.notified().await;
        let new = world.store.tables().accounts[0].hash.clone().unwrap();
        assert!(new.starts_with("$argon2id$"), "{new}");
        sign_in(password).await.unwrap();
        assert_eq!(world.store.calls("rehash"), 1);
    }
    for (password, stored) in OF_OTHERS {
        let world = World::with(|guard| guard.password_rehash = false).await;
        world.set_hash(stored.to_owned());
        world
            .sign_in
            .password(&world.customer, attempt(EMAIL, password))
            .await
            .unwrap();
        world.hasher.hash(PASSWORD.into()).await.unwrap();
        assert_eq!(world.store.calls("rehash"), 0, "{stored}");
    }
}

#[tokio::test]
async fn beside_hashes_of_django_and_firebase_an_unknown_account_does_the_work_of_the_dearest() {
    let world = World::patient().await;
    for (n, (_, stored)) in OF_OTHERS.into_iter().enumerate() {
        world
            .add(&format!("customer:{}", 50 + n), &format!("user{n}@example.com"), None)
            .await;
        world.store.tables().accounts[n + 1].hash = Some(stored.to_owned());
    }
    world.sign_in.learn_costs(std::slice::from_ref(&world.customer)).await;
    let mut first = None;
    for identifier in [
        "nobody@example.com",
        EMAIL,
        "user0@example.com",
        "user1@example.com",
        "user2@example.com",
    ] {
        let before = world.hasher.stats().work;
        let refused = world
            .sign_in
            .password(&world.customer, attempt(identifier, "wrong"))
            .await;
        assert_eq!(refused.unwrap_err(), SignInError::CredentialInvalid, "{identifier}");
        let after = world.hasher.stats().work;
        let work = [
            after.bcrypt_rounds - before.bcrypt_rounds,
            after.pbkdf2_rounds - before.pbkdf2_rounds,
            after.scrypt_blocks - before.scrypt_blocks,
        ];
        assert_eq!(work, *first.get_or_insert(work), "{identifier}");
        assert_eq!(work, [1 << 5, 1_000, 8 << 14], "{identifier}");
    }
}

#[tokio::test]
async fn a_password_that_phps_bcrypt_has_cut_signs_in_and_its_hash_stays() {
    let world = World::new().await;
    let set = "geese ".repeat(20);
    let old = bcrypt::hash(&set, 4).unwrap().replacen("2b", "2y", 1);
    world.set_hash(old.clone());
    for entered in [set.clone(), format!("{}mistyped", &set[..72])] {
        world
            .sign_in
            .password(&world.customer, attempt(EMAIL, &entered))
            .await
            .unwrap();
    }
    world.hasher.hash(PASSWORD.into()).await.unwrap();
    assert_eq!(world.store.tables().accounts[0].hash.as_deref(), Some(old.as_str()));
}

#[tokio::test]
async fn a_ban_is_told_only_after_the_right_password() {
    let world = World::new().await;
    world.ban("customer:42", "spam");
    let told = |password| world.sign_in.password(&world.customer, attempt(EMAIL, password));
    assert_eq!(told("wrong").await.unwrap_err(), SignInError::CredentialInvalid);
    let banned = told(PASSWORD).await.unwrap_err();
    assert_eq!(
        banned,
        SignInError::Banned {
            reason: Some("spam".into()),
            until: None
        }
    );
    assert_eq!(
        (banned.code(), banned.told()),
        (ErrorCode::AccountBanned, AttemptResult::Failure)
    );
    assert_eq!(world.store.live(), []);
    assert!(world.issuer.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_ban_ends_at_its_time() {
    let world = World::new().await;
    world.ban("customer:42", "spam");
    let until = OffsetDateTime::from_unix_timestamp(START + 60).unwrap();
    world.store.tables().accounts[0].ban.as_mut().unwrap().until = Some(until);
    let refused = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
    assert!(matches!(refused.unwrap_err(), SignInError::Banned { until: Some(end), .. } if end == until));
    world.advance(Duration::seconds(60));
    world.signed_in().await;
}

#[tokio::test]
async fn an_account_of_another_model_does_not_come_in_here() {
    let world = World::new().await;
    let refused = world.sign_in.password(&world.admin, attempt(EMAIL, PASSWORD)).await;
    assert_eq!(refused.unwrap_err(), SignInError::CredentialInvalid);
}

#[tokio::test]
async fn an_identifier_of_two_accounts_is_refused_and_told_only_to_who_knows_its_password() {
    let world = World::new().await;
    world.add("customer:41", EMAIL, Some("another password here")).await;
    let before = world.hasher.stats().computed;
    let guess = world
        .sign_in
        .password(&world.customer, attempt(EMAIL, "wrong"))
        .await
        .unwrap_err();
    assert_eq!(guess, SignInError::IdentityAmbiguous { proven: false });
    assert_eq!(world.hasher.stats().computed - before, 1);
    assert_eq!(guess.code(), ErrorCode::CredentialInvalid);
    assert_eq!(guess.told().number(), -2);
    assert_eq!(guess.result().number(), -1);
    let known = attempt(EMAIL, "another password here");
    let known = world.sign_in.password(&world.customer, known).await.unwrap_err();
    assert_eq!(known.code(), ErrorCode::IdentityAmbiguous);
    assert_eq!(world.store.live(), []);
}

#[tokio::test]
async fn the_session_that_was_presented_ends_and_the_new_one_has_another_id() {
    let world = World::new().await;
    let old = world.signed_in().await;
    let mut again = attempt(EMAIL, PASSWORD);
    again.replaces = Some(old.session);
    let new = world.sign_in.password(&world.customer, again).await.unwrap();
    assert_ne!(new.session(), old.session);
    assert_eq!(world.store.live(), [new.session()]);
    assert_eq!(world.refresh(&old).await.unwrap_err(), SignInError::RefreshInvalid);
}

#[tokio::test]
async fn a_unique_guard_keeps_the_newest_session_alone() {
    let world = World::with(|guard| guard.session.unique = true).await;
    let first = world.signed_in().await;
    let second = world.signed_in().await;
    assert_eq!(world.store.live(), [second.session]);
    assert_eq!(world.refresh(&first).await.unwrap_err(), SignInError::RefreshInvalid);
    assert!(world.refresh(&second).await.is_ok());
}

#[tokio::test]
async fn an_outdated_hash_is_replaced_and_the_password_still_works() {
    let world = World::new().await;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    world.set_hash(old.clone());
    world.signed_in().await;
    world.store.rehashed.notified().await;
    let new = world.store.tables().accounts[0].hash.clone().unwrap();
    assert!(new.starts_with("$argon2id$"), "{new}");
    world.signed_in().await;
    assert_eq!(world.store.calls("rehash"), 1);
}

/// The hash that another sign-in, or another application on the table, writes before this one opens its session.
async fn hash_of(world: &World, password: &str) -> String {
    let hash = world.hasher.hash(password.into()).await.unwrap();
    hash.expose_secret().to_owned()
}

#[tokio::test]
async fn a_password_hashed_anew_during_the_sign_in_still_signs_in_and_counts_as_no_guess() {
    for verification in [Verification::Off, Verification::Custom] {
        let world = World::with(|guard| {
            guard.limits.sign_in = Rate::per_minute(1);
            guard.verification = verification;
        })
        .await;
        world.set_hash(bcrypt::hash(PASSWORD, 4).unwrap());
        for _ in 0..3 {
            let new = hash_of(&world, PASSWORD).await;
            world.store.tables().accounts[0].next_hashes.push(new);
            let granted = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
            assert!(granted.is_ok(), "{verification:?}: {granted:?}");
        }
    }
}

#[tokio::test]
async fn a_password_changed_during_the_sign_in_opens_no_session() {
    let world = World::new().await;
    let new = hash_of(&world, "another password here").await;
    world.store.tables().accounts[0].next_hashes.push(new);
    let refused = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
    assert_eq!(refused.unwrap_err(), SignInError::CredentialInvalid);
    assert_eq!(world.store.live(), []);
}

#[tokio::test]
async fn a_hash_that_never_stands_still_is_busy_after_a_bounded_number_of_verifications() {
    let world = World::with(|guard| guard.limits.sign_in = Rate::per_minute(1)).await;
    for _ in 0..10 {
        let new = hash_of(&world, PASSWORD).await;
        world.store.tables().accounts[0].next_hashes.push(new);
    }
    let before = world.hasher.stats().computed;
    let refused = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
    assert_eq!(refused.unwrap_err(), SignInError::Busy);
    assert_eq!(world.hasher.stats().computed - before, 4);
    world.store.tables().accounts[0].next_hashes.clear();
    world.signed_in().await;
}

#[tokio::test]
async fn a_wrong_password_replaces_no_hash() {
    let world = World::new().await;
    world.set_hash(bcrypt::hash(PASSWORD, 4).unwrap());
    let refused = world.sign_in.password(&world.customer, attempt(EMAIL, "wrong")).await;
    assert_eq!(refused.unwrap_err(), SignInError::CredentialInvalid);
    assert_eq!(world.store.calls("rehash"), 0);
}

#[tokio::test]
async fn a_store_out_of_reach_is_503_and_no_refusal_of_the_password() {
    let world = World::new().await;
    world.store.tables().failure = Some(StoreError::Unavailable("gone".into()));
    let failed = world
        .sign_in
        .password(&world.customer, attempt(EMAIL, PASSWORD))
        .await
        .unwrap_err();
    assert_eq!(
        (failed.code(), failed.told().number()),
        (ErrorCode::StoreUnavailable, -3)
    );
    world.store.tables().failure = None;
    world.store.tables().blind = true;
    let failed = world
        .sign_in
        .password(&world.customer, attempt(EMAIL, PASSWORD))
        .await
        .unwrap_err();
    assert_eq!(failed.code(), ErrorCode::StoreUnavailable);
    assert!(world.issuer.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_guards_own_claims_come_from_the_identity() {
    let own = [
        "uid=id",
        "sub2=key",
        "email=email",
        "Name=name",
        "none=missing",
        "null=nothing",
    ];
    let world = World::with(|guard| {
        let pair = |text: &str| {
            text.split_once('=')
                .map(|(claim, from)| (claim.to_owned(), from.to_owned()))
        };
        guard.claims = own.into_iter().filter_map(pair).collect();
    })
    .await;
    let attributes = json!({"email": EMAIL, "name": "Ada", "secret": "x", "nothing": null});
    let Value::Object(attributes) = attributes else {
        unreachable!()
    };
    world.store.tables().accounts[0].attributes = attributes;
    world.signed_in().await;
    let extra = Value::Object(world.issuer.last().extra);
    assert_eq!(
        extra,
        json!({"uid": 42, "sub2": "customer:42", "email": EMAIL, "Name": "Ada"})
    );
}

#[tokio::test]
async fn the_tenant_goes_into_the_token_and_stays_with_the_session() {
    let world = World::new().await;
    let tenant = TenantName::new("acme").unwrap();
    world.belongs_to(&["acme"]);
    let to_acme = attempt_in(SignInTenant::Named(tenant.clone()));
    let granted = world.sign_in.password(&world.customer, to_acme).await.unwrap();
    let signed_in = granted.full().unwrap();
    assert_eq!(world.issuer.last().tenant, Some(tenant.clone()));
    world.refresh(&signed_in).await.unwrap();
    assert_eq!(world.issuer.last().tenant, Some(tenant));
}

#[tokio::test]
async fn nobody_signs_in_to_a_tenant_that_it_does_not_belong_to_and_only_who_knows_the_password_is_told() {
    let world = World::new().await;
    world.belongs_to(&["acme"]);
    let other = TenantName::new("other").unwrap();
    let refused = world
        .sign_in
        .password(&world.customer, attempt_in(SignInTenant::Named(other.clone())))
        .await
        .unwrap_err();
    assert_eq!(refused, SignInError::NotInTenant(other.clone()));
    assert_eq!(
        (refused.code(), refused.told()),
        (ErrorCode::Forbidden, AttemptResult::Failure)
    );
    assert!(world.store.tables().sessions.is_empty(), "no session was opened");

    let mut guessed = attempt_in(SignInTenant::Named(other));
    guessed.password = "another password".into();
    let refused = world.sign_in.password(&world.customer, guessed).await.unwrap_err();
    assert_eq!(refused, SignInError::CredentialInvalid);
}

#[tokio::test]
async fn a_sign_in_for_the_accounts_own_tenant_is_for_none_where_it_has_none() {
    let world = World::new().await;
    let own = async || {
        let attempt = attempt_in(SignInTenant::OfAccount);
        let granted = world.sign_in.password(&world.customer, attempt).await.unwrap();
        let signed_in = granted.full().unwrap();
        assert_eq!(world.issuer.last().tenant, signed_in.tenant);
        signed_in.tenant.map(|tenant| tenant.to_string())
    };
    assert_eq!(own().await, None);
    world.belongs_to(&["acme", "other"]);
    assert_eq!(own().await.as_deref(), Some("acme"));
}

fn attempt_in(tenant: SignInTenant) -> PasswordAttempt {
    PasswordAttempt {
        tenant,
        ..attempt(EMAIL, PASSWORD)
    }
}

#[tokio::test]
async fn the_first_refresh_token_ends_when_the_session_would() {
    let ends = async |change: fn(&mut bekci_core::SessionRules)| {
        let world = World::with(|guard| change(&mut guard.session)).await;
        (world.signed_in().await.refresh_expires_at.unix_timestamp() - START) / 3600
    };
    assert_eq!(ends(|rules| rules.refresh.idle = Some(Duration::hours(5))).await, 5);
    assert_eq!(ends(|rules| rules.max_age = Some(Duration::hours(3))).await, 3);
    assert_eq!(ends(|rules| rules.refresh.ttl = Duration::hours(2)).await, 2);
}

#[tokio::test]
async fn a_hundred_thousand_ids_and_tokens_come_once_each() {
    let entropy = Machine;
    let csrf = CsrfKey::new(&crate::world::root(), &GuardName::new("customer").unwrap());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100_000 {
        let mut id = [0; 16];
        entropy.fill(&mut id).unwrap();
        assert!(seen.insert(csrf.token(TokenId(id)).unwrap()));
    }
    let world = World::new().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..500 {
        let signed_in = world.signed_in().await;
        assert!(ids.insert(signed_in.session) && ids.insert(world.issuer.last().id));
        assert!(seen.insert(signed_in.refresh.expose_secret().to_owned()));
    }
    assert_eq!(Arc::strong_count(&world.customer), 501);
}

/// The machine's own chance.
#[derive(Debug)]
struct Machine;

impl bekci_core::Entropy for Machine {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        getrandom::fill(buffer).map_err(|error| error.to_string())
    }
}
