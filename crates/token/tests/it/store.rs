//! Key files: how they are written, and which are refused.

use std::{fs, path::PathBuf};

use bekci_core::{Clock, testing::FakeClock};
use bekci_token::{Algorithm, KeyRing, KeyStore, KeyStoreError, OsEntropy, RingError, RingSettings};
use time::OffsetDateTime;

use crate::{
    forge::{Folder, NOW, World, is_built, name, ring_guard},
    rotation::close,
};

fn only_file(folder: &Folder, guard: &str) -> PathBuf {
    let mut files = fs::read_dir(folder.path().join(guard)).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    path
}

fn load(world: &World) -> Result<KeyRing, RingError> {
    KeyRing::load(world.settings.clone(), world.clock.clone())
}

#[test]
fn ensure_makes_what_is_missing_for_every_guard_and_nothing_twice() {
    let (folder, clock) = (Folder::new(), FakeClock::at(NOW));
    let store = KeyStore::new(folder.path().join("deep/keys"));
    let guards = [
        (name("customer"), Algorithm::EdDsa),
        (name("admin"), Algorithm::Es256),
        (name("kiosk"), Algorithm::Hs256),
    ];
    let made = store.ensure(&guards, &clock, &OsEntropy).unwrap();
    assert_eq!(
        made.iter().map(|key| key.guard.as_str()).collect::<Vec<_>>(),
        ["customer", "admin"]
    );
    assert!(made.iter().all(|key| key.created == clock.now()));
    assert!(store.ensure(&guards, &clock, &OsEntropy).unwrap().is_empty());
    assert_eq!(store.list(&name("customer"), &clock).unwrap(), made[..1]);
    assert!(store.list(&name("nobody"), &clock).unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn keys_and_their_directories_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = only_file(&world.folder, "customer");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for open in [0o644, 0o640, 0o604, 0o660, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = load(&world).unwrap_err();
        assert!(
            matches!(error, RingError::Keys(KeyStoreError::Exposed { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(load(&world).is_ok());
}

#[test]
fn a_copied_key_keeps_its_time_and_algorithm() {
    let world = World::new();
    let other = Folder::new();
    for guard in ["customer", "admin"] {
        let from = only_file(&world.folder, guard);
        let to = other.path().join(guard).join(from.file_name().unwrap());
        fs::create_dir(to.parent().unwrap()).unwrap();
        fs::write(&to, fs::read(&from).unwrap()).unwrap();
        close(&to);
    }
    let settings = RingSettings {
        keys_dir: other.path().into(),
        ..world.settings.clone()
    };
    let copy = KeyRing::load(settings, world.clock.clone()).unwrap();
    assert_eq!(copy.keys(), world.ring.keys());
    assert_eq!(
        copy.keys()[0].created,
        OffsetDateTime::from_unix_timestamp(NOW).unwrap()
    );
}

#[test]
fn a_key_that_was_made_elsewhere_is_taken_for_the_guards_algorithm() {
    let world = World::new();
    let path = only_file(&world.folder, "customer");
    let text = fs::read_to_string(&path).unwrap();
    let bare = &text[text.find("-----BEGIN").unwrap()..];
    assert!(
        text.starts_with("Bekci-Key: 1\nAlgorithm: EdDSA\nCreated: 2026-01-01T00:00:00Z\n"),
        "before the key"
    );
    fs::write(&path, bare).unwrap();
    let ring = load(&world).unwrap();
    assert_eq!(ring.keys()[0].created, OffsetDateTime::UNIX_EPOCH);
    assert!(world.ring.poll().unwrap());
    assert!(world.judge(&world.good()).is_ok());
}

#[test]
fn a_key_of_another_algorithm_is_refused() {
    for (made, asked) in [
        (Algorithm::EdDsa, Algorithm::Es256),
        (Algorithm::Es256, Algorithm::EdDsa),
        (Algorithm::Es256, Algorithm::Es384),
        (Algorithm::Rs256, Algorithm::Ps256),
    ]
    .into_iter()
    .filter(|(made, _)| is_built(*made))
    {
        let mut world = World::with(made);
        world.settings.guards.truncate(1);
        world.settings.guards[0].algorithm = asked;
        let named = load(&world).unwrap_err();
        assert!(
            matches!(named, RingError::Keys(KeyStoreError::WrongAlgorithm { .. })),
            "{made} {asked}: {named}"
        );
        // Where the file does not say what it is for, the key itself does, but for the two of RSA.
        let path = only_file(&world.folder, "customer");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[text.find("-----BEGIN").unwrap()..]).unwrap();
        let bare = load(&world);
        if made == Algorithm::Rs256 {
            assert!(bare.is_ok());
        } else {
            assert!(
                matches!(bare, Err(RingError::Keys(KeyStoreError::BadKey { .. }))),
                "{made} {asked}"
            );
        }
    }
}

#[test]
fn a_guard_without_a_key_refuses_the_start() {
    let mut world = World::new();
    world.settings.guards.push(ring_guard("partner", Algorithm::EdDsa));
    let error = load(&world).unwrap_err();
    assert!(
        matches!(&error, RingError::Keys(KeyStoreError::NoKeys(guard)) if *guard == name("partner")),
        "{error}"
    );
    assert!(error.to_string().contains("bekci key generate"));
}

#[test]
fn two_guards_with_one_key_or_one_kid_are_refused() {
    let world = World::new();
    let (from, admin) = (only_file(&world.folder, "customer"), world.folder.path().join("admin"));
    for (file, what) in [
        ("another.pem", "key"),
        (from.file_name().unwrap().to_str().unwrap(), "kid"),
    ] {
        let to = admin.join(file);
        if what == "kid" {
            // Another key under the same name.
            fs::copy(only_file(&world.folder, "admin"), &to).unwrap();
        } else {
            fs::copy(&from, &to).unwrap();
        }
        close(&to);
        let error = load(&world).unwrap_err();
        assert!(
            matches!(error, RingError::Shared { what: shared, .. } if shared == what),
            "{error}"
        );
        fs::remove_file(to).unwrap();
    }
}

#[test]
fn files_whose_names_are_no_kid_are_passed_over() {
    let world = World::new();
    let folder = world.folder.path().join("customer");
    for odd in [
        "README",
        ".hidden.pem",
        "a b.pem",
        "é.pem",
        "x.pem.bak",
        ".pem",
        &format!("{}.pem", "a".repeat(65)),
        ".x.tmp",
    ] {
        fs::write(folder.join(odd), "not a key").unwrap();
    }
    fs::create_dir(folder.join("..data")).unwrap();
    assert_eq!(load(&world).unwrap().keys().len(), 2);
}

#[test]
fn files_that_hold_no_private_key_are_refused_with_their_place() {
    let world = World::new();
    let path = world.folder.path().join("customer/odd.pem");
    let good = fs::read_to_string(only_file(&world.folder, "customer")).unwrap();
    let texts = [
        String::new(),
        "text".into(),
        good.replace("PRIVATE KEY", "PUBLIC KEY"),
        good.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        good.replace("2026-01-01T00:00:00Z", "yesterday"),
        good.replace("Algorithm: EdDSA", "Algorithm: none"),
        good.replace("Bekci-Key: 1", "Bekci-Key: 2"),
        good.replace("-----END", "----END"),
        "x".repeat(100_000),
    ];
    for text in texts {
        fs::write(&path, &text).unwrap();
        close(&path);
        let error = load(&world).unwrap_err();
        assert!(
            matches!(error, RingError::Keys(KeyStoreError::BadKey { .. })),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("odd.pem"), "{error}");
    }
}

#[cfg(not(feature = "rsa"))]
#[test]
fn rsa_that_is_not_built_in_names_its_feature() {
    let needs = |algorithm: Algorithm| format!("{algorithm} needs the cargo feature `rsa` of bekci, which is off");
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let mut world = World::new();
        world.settings.guards.truncate(1);
        world.settings.guards[0].algorithm = algorithm;
        let guard = (world.settings.guards[0].name.clone(), algorithm);
        let other = Folder::new();
        let refused = KeyStore::new(other.path()).ensure(&[guard], &*world.clock, &OsEntropy);
        assert_eq!(refused.unwrap_err().to_string(), needs(algorithm));
        // A key that is there already, made elsewhere.
        let path = only_file(&world.folder, "customer");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[text.find("-----BEGIN").unwrap()..]).unwrap();
        let refused = load(&world).unwrap_err().to_string();
        assert!(refused.contains(&needs(algorithm)), "{refused}");
    }
}

#[cfg(feature = "rsa")]
#[test]
fn an_rsa_key_under_3072_bits_is_refused() {
    use rsa::pkcs8::{EncodePrivateKey, LineEnding};
    let mut world = World::new();
    world.settings.guards.truncate(1);
    world.settings.guards[0].algorithm = Algorithm::Rs256;
    let path = only_file(&world.folder, "customer");
    let weak = rsa::RsaPrivateKey::new(&mut SystemRng, 1024).unwrap();
    fs::write(&path, weak.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    let error = load(&world).unwrap_err().to_string();
    assert!(error.contains("1024 bits"), "{error}");
}

#[cfg(feature = "rsa")]
struct SystemRng;

#[cfg(feature = "rsa")]
impl rsa::rand_core::CryptoRng for SystemRng {}

#[cfg(feature = "rsa")]
impl rsa::rand_core::RngCore for SystemRng {
    fn next_u32(&mut self) -> u32 {
        rsa::rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rsa::rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).unwrap();
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

#[test]
fn nothing_secret_prints() {
    let world = World::with(Algorithm::Hs256);
    let shown = format!("{:?} {:?}", world.ring, world.settings);
    assert!(!shown.contains(crate::forge::JWT_SECRET));
    let world = World::new();
    let shown = format!("{:?} {:?}", world.ring, world.store);
    let pem = fs::read_to_string(only_file(&world.folder, "customer")).unwrap();
    let body = pem.lines().nth(4).unwrap();
    assert!(!shown.contains(body) && body.len() > 40);
}
