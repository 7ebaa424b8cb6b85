//! What the audit log is told.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use time::Duration;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{DEVICE, EMAIL, PASSWORD, World, attempt, from, key};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// While there is one listener alone, tracing asks whichever thread comes to an event first whether anybody wants it, and keeps a "no" for all threads. With a second
/// one, which nobody drops, it asks them all.
static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| Log::default().dispatch());

impl Log {
    /// Everything that this thread logs from now on, down to TRACE, one line of JSON each.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let listening = tracing::dispatcher::set_default(&log.dispatch());
        (log, listening)
    }

    fn dispatch(&self) -> tracing::Dispatch {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .finish();
        tracing::Dispatch::new(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The fields of the audit events.
    fn events(&self) -> Vec<Value> {
        let lines = self.text();
        let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let audit = all.filter(|event| event["target"] == "bekci::audit");
        audit.map(|event| event["fields"].clone()).collect()
    }

    fn names(&self) -> Vec<String> {
        let name = |event: &Value| event["event"].as_str().unwrap().to_owned();
        self.events().iter().map(name).collect()
    }
}

#[tokio::test]
async fn each_thing_that_happens_is_one_event_with_the_contracts_name() {
    let world = World::new().await;
    let (log, _guard) = Log::start();
    let first = world.signed_in().await;
    let second = world.refresh(&first).await.unwrap();
    world.refresh(&first).await.unwrap();
    world.advance(Duration::hours(1));
    world.refresh(&first).await.unwrap();
    world.refresh(&second).await.unwrap_err();
    world.signed_in().await;
    world
        .sign_in
        .sign_out_everywhere(&world.customer, &key("customer:42"))
        .await
        .unwrap();
    assert_eq!(
        log.names(),
        [
            "sign_in.attempt",
            "refresh.rotated",
            "refresh.replayed",
            "refresh.recovered",
            "refresh.reused",
            "session.ended",
            "sign_in.attempt",
            "session.ended",
            "sign_out",
        ]
    );
}

#[tokio::test]
async fn an_attempt_is_told_with_its_classic_number() {
    let world = World::new().await;
    let (log, _guard) = Log::start();
    world.signed_in().await;
    world
        .sign_in
        .password(&world.customer, attempt(EMAIL, "wrong"))
        .await
        .unwrap_err();
    world
        .sign_in
        .password(&world.customer, attempt("nobody", "wrong"))
        .await
        .unwrap_err();
    world.ban("customer:42", "spam");
    world
        .sign_in
        .password(&world.customer, attempt(EMAIL, PASSWORD))
        .await
        .unwrap_err();
    let events = log.events();
    let numbers: Vec<_> = events.iter().map(|event| event["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, -2, -2, 0]);
    assert_eq!(events[0]["result"], "SUCCESS");
    assert_eq!(events[0]["principal"], "customer:42");
    assert_eq!(events[1]["result"], "FAILURE_CREDENTIAL_INVALID");
    assert_eq!(events[1].get("principal"), None);
    // Tries against one account are seen as such.
    assert_eq!(events[1]["identifier_hash"], events[0]["identifier_hash"]);
    assert_ne!(events[1]["identifier_hash"], events[2]["identifier_hash"]);
}

#[tokio::test]
async fn a_recalled_sign_in_is_an_event_and_so_is_a_copy() {
    let world = World::new().await;
    let (log, _listening) = Log::start();
    let attempt = bekci_signin::PasswordAttempt {
        remember: true,
        ..attempt(EMAIL, PASSWORD)
    };
    let granted = world.sign_in.password(&world.customer, attempt).await.unwrap();
    let remember = granted.full().unwrap().remember.unwrap();
    let recall = bekci_signin::RecallAttempt {
        token: remember.token.expose_secret(),
        client: None,
    };
    world.sign_in.recall(&world.customer, recall).await.unwrap();
    world.advance(Duration::minutes(1));
    world.sign_in.recall(&world.customer, recall).await.unwrap_err();
    let unknown = bekci_signin::RecallAttempt {
        token: "bkm_",
        client: None,
    };
    world.sign_in.recall(&world.customer, unknown).await.unwrap_err();
    assert_eq!(
        log.names(),
        [
            "sign_in.attempt",
            "session.ended",
            "sign_in.recalled",
            "remember_me.theft",
            "session.ended"
        ]
    );
    assert!(!log.text().contains(remember.token.expose_secret()));
}

#[tokio::test]
async fn a_copied_security_cookie_is_an_event_and_ends_its_session_once() {
    use bekci_core::security::SecurityCookie;
    let mut world = World::new().await;
    let mut guard = bekci_core::AuthGuard::clone(&world.customer);
    guard.security = bekci_core::security::SecurityKey::new(&crate::world::root(), &guard.name);
    world.customer = Arc::new(guard);
    let signed_in = world.signed_in().await;
    let first = SecurityCookie {
        session: signed_in.session,
        generation: 0,
        issued_at: 0,
    };
    let (log, _listening) = Log::start();
    let next = world.sign_in.exchange_security(&world.customer, &first).await.unwrap();
    let next = world.customer.security.read(&next).unwrap();
    world.sign_in.exchange_security(&world.customer, &next).await.unwrap();
    for _ in 0..2 {
        let copied = world.sign_in.exchange_security(&world.customer, &first).await;
        assert_eq!(copied.unwrap_err(), bekci_signin::SignInError::SecurityTokenInvalid);
    }
    assert_eq!(log.names(), ["security_token.invalid", "session.ended"]);
    assert_eq!(world.store.live(), []);
}

#[tokio::test]
async fn a_verified_sign_in_is_three_events_and_a_forged_reference_one() {
    let world = World::with(|guard| guard.verification = bekci_core::Verification::Custom).await;
    let (log, _guard) = Log::start();
    let tried = attempt(EMAIL, PASSWORD);
    let granted = world.sign_in.password(&world.customer, tried.clone()).await.unwrap();
    world.sign_in.password(&world.customer, tried).await.unwrap();
    let temporary = granted.temporary().unwrap();
    let reference = temporary.verification_ref.expose_secret();
    let forged = &reference[..reference.len() - 1];
    let confirm = async |text: &str| world.sign_in.confirm_verified(&world.customer, text).await;
    confirm(forged).await.unwrap_err();
    confirm(reference).await.unwrap();
    assert_eq!(
        log.names(),
        [
            "sign_in.attempt",
            "sign_in.temporary",
            "sign_in.attempt",
            "sign_in.attempt",
            "sign_in.verified",
        ]
    );
    let events = log.events();
    let numbers: Vec<_> = events.iter().filter_map(|event| event["number"].as_i64()).collect();
    assert_eq!(numbers, [-4, -5, 0]);
    assert_eq!(events[4]["principal"], "customer:42");
    let text = log.text();
    assert!(!text.contains(&reference[30..]) && !text.contains(temporary.token.expose_secret()));
}

#[tokio::test]
async fn no_secret_and_no_identifier_is_logged_at_any_level() {
    let world = World::new().await;
    let (log, _guard) = Log::start();
    world.set_hash(bcrypt::hash(PASSWORD, 4).unwrap());
    let first = world.signed_in().await;
    world.store.rehashed.notified().await;
    let second = world.refresh(&first).await.unwrap();
    // Somebody types the password into the wrong field.
    world
        .sign_in
        .password(&world.customer, attempt(PASSWORD, "typed twice"))
        .await
        .unwrap_err();
    let token = second.refresh.expose_secret();
    world
        .sign_in
        .refresh(&world.customer, from(&token[..50], Some(DEVICE)))
        .await
        .unwrap_err();
    world
        .sign_in
        .sign_out(&world.customer, None, Some(token))
        .await
        .unwrap();
    let text = log.text();
    assert!(!text.is_empty());
    let mut secrets = vec![
        PASSWORD,
        "typed twice",
        EMAIL,
        DEVICE,
        "$argon2id$",
        "$2b$",
        &token[..50],
    ];
    for signed_in in [&first, &second] {
        secrets.extend([signed_in.access.expose_secret(), signed_in.refresh.expose_secret()]);
    }
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is logged");
    }
}
