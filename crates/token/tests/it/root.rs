//! The root secret's file.

use std::fs;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bekci_core::{Purpose, RootSecret};
use bekci_token::{KeyStoreError, OsEntropy, ensure_root, parse_root, read_root};
use secrecy::ExposeSecret;

use crate::{forge::Folder, rotation::close};

fn fingerprint(root: &RootSecret) -> [u8; 32] {
    *root.derive(Purpose::Seal, None).expose_secret()
}

#[test]
fn it_is_made_once_and_read_ever_after() {
    let folder = Folder::new();
    let path = folder.path().join("keys/root");
    let made = ensure_root(&path, &OsEntropy).unwrap();
    assert_eq!(
        fingerprint(&made),
        fingerprint(&ensure_root(&path, &OsEntropy).unwrap())
    );
    assert_eq!(fingerprint(&made), fingerprint(&read_root(&path).unwrap()));
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn processes_that_make_it_at_once_agree() {
    let folder = Folder::new();
    let path = folder.path().join("root");
    let made: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| fingerprint(&ensure_root(&path, &OsEntropy).unwrap())))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|other| *other == made[0]));
}

#[test]
fn its_forms_are_32_bytes_raw_in_base64_or_in_hex() {
    let bytes: [u8; 32] = std::array::from_fn(|at| 0xf8_u8.wrapping_add(u8::try_from(at).unwrap()));
    let expected = fingerprint(&RootSecret::new(&bytes).unwrap());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        hex.clone(),
        hex.to_uppercase(),
        format!(" {hex}\r\n"),
    ] {
        assert_eq!(fingerprint(&parse_root(text.as_bytes()).unwrap()), expected, "{text}");
    }
    assert_eq!(fingerprint(&parse_root(&bytes).unwrap()), expected);
    for bad in [
        &b""[..],
        &bytes[1..],
        &[7; 32],
        b"password",
        &[b'0'; 64],
        &[b'z'; 64],
        &[b'A'; 43],
        &[b'!'; 44],
        &[bytes, bytes].concat(),
    ] {
        assert!(parse_root(bad).is_err(), "{bad:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_open_to_others_or_holds_no_secret_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.path().join("root");
    ensure_root(&path, &OsEntropy).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = ensure_root(&path, &OsEntropy).unwrap_err();
    assert!(matches!(error, KeyStoreError::Exposed { mode: 0o640, .. }), "{error}");
    fs::write(&path, "hunter2").unwrap();
    close(&path);
    let error = ensure_root(&path, &OsEntropy).unwrap_err();
    assert!(
        matches!(error, KeyStoreError::Root { .. }) && !error.to_string().contains("hunter2"),
        "{error}"
    );
}
