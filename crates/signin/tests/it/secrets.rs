//! What must never be seen: in the store, in Debug.

use secrecy::ExposeSecret as _;

use crate::world::{DEVICE, EMAIL, PASSWORD, World, attempt};

#[tokio::test]
async fn no_secret_reaches_the_store_but_as_a_hash() {
    let world = World::new().await;
    let mut secrets = vec![PASSWORD.to_owned(), DEVICE.to_owned()];
    for _ in 0..100 {
        let first = world.signed_in().await;
        let second = world.refresh(&first).await.unwrap();
        for signed_in in [&first, &second] {
            secrets.push(signed_in.access.expose_secret().to_owned());
            let refresh = signed_in.refresh.expose_secret();
            secrets.push(refresh.to_owned());
            // Its MAC alone would do as well.
            secrets.push(refresh[refresh.len() - 80..].to_owned());
        }
    }
    let dump = world.store.dump();
    assert!(dump.contains("$argon2id$"));
    for secret in secrets {
        assert!(!dump.contains(&secret), "{secret} is stored");
    }
}

#[tokio::test]
async fn no_secret_prints() {
    let world = World::new().await;
    let tried = attempt(EMAIL, PASSWORD);
    let mut printed = format!("{tried:?} {tried:#?}");
    let granted = world.sign_in.password(&world.customer, tried).await.unwrap();
    printed += &format!("{granted:?}");
    let signed_in = granted.full().unwrap();
    printed += &format!("{signed_in:?} {signed_in:#?} {:?} {:?}", world.sign_in, world.hasher);
    let wrong = attempt(EMAIL, "not my password");
    let refused = world.sign_in.password(&world.customer, wrong).await.unwrap_err();
    printed += &format!("{refused} {refused:?}");
    for secret in [
        PASSWORD,
        "not my password",
        signed_in.access.expose_secret(),
        signed_in.refresh.expose_secret(),
        EMAIL,
    ] {
        assert!(!printed.contains(secret), "{secret} prints");
    }
}
