//! Signatures that are not the key's over these bytes, and bytes that are another text's.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bekci_core::{BearerToken, TokenFault, TokenKind};
use bekci_token::Algorithm;
use jsonwebtoken::EncodingKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding, spki::SubjectPublicKeyInfoRef};
use serde_json::json;

use crate::forge::{World, decoded, is_built};

fn with_signature(good: &str, signature: &[u8]) -> String {
    let (message, _) = good.rsplit_once('.').unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A header that names HS256 and the asymmetric key's `kid`, and a MAC under these bytes.
fn confused(world: &World, alg: &str, secret: &[u8]) -> String {
    let header = json!({ "alg": alg, "typ": "at+jwt", "kid": world.kid("customer") });
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(world.claims("customer").to_string())
    );
    let key = EncodingKey::from_secret(secret);
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{mac}")
}

/// What is public of the customer's key, in every form that a confused verifier might take for a secret.
fn public_forms(world: &World) -> Vec<Vec<u8>> {
    let set = world.ring.jwks();
    let jwk = &set["keys"][0];
    let field = |name: &str| jwk[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
    let mut forms: Vec<Vec<u8>> = ["x", "y", "n"].into_iter().filter_map(field).collect();
    for name in ["x", "n", "kid"] {
        forms.extend(jwk[name].as_str().map(|text| text.as_bytes().to_vec()));
    }
    forms.push(jwk.to_string().into_bytes());
    forms.push(Vec::new());
    let der = match jwk["kty"].as_str().unwrap() {
        "OKP" => {
            let key = ed25519_dalek::VerifyingKey::try_from(field("x").unwrap().as_slice()).unwrap();
            key.to_public_key_der().unwrap()
        }
        "EC" => {
            let point = [vec![4], field("x").unwrap(), field("y").unwrap()].concat();
            p256::PublicKey::from_sec1_bytes(&point)
                .unwrap()
                .to_public_key_der()
                .unwrap()
        }
        _ => {
            let number = |name| rsa::BigUint::from_bytes_be(&field(name).unwrap());
            rsa::RsaPublicKey::new(number("n"), number("e"))
                .unwrap()
                .to_public_key_der()
                .unwrap()
        }
    };
    let info = SubjectPublicKeyInfoRef::try_from(der.as_bytes()).unwrap();
    let inner = info.subject_public_key.raw_bytes();
    for (label, bytes) in [("PUBLIC KEY", der.as_bytes()), ("RSA PUBLIC KEY", inner)] {
        let document = rsa::pkcs8::der::pem::encode_string(label, LineEnding::LF, bytes).unwrap();
        forms.extend([bytes.to_vec(), document.trim_end().into(), document.into()]);
    }
    forms
}

#[test]
fn a_public_key_is_no_mac_secret_in_any_form_of_it() {
    let algorithms = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];
    for algorithm in algorithms.into_iter().filter(|algorithm| is_built(*algorithm)) {
        let world = World::with(algorithm);
        let forms = public_forms(&world);
        assert!(forms.len() >= 9, "{}", forms.len());
        for secret in forms {
            for alg in ["HS256", algorithm.as_str()] {
                assert!(
                    world.judge(&confused(&world, alg, &secret)).is_err(),
                    "{algorithm} {alg}"
                );
            }
        }
    }
}

#[test]
fn trivial_signatures_are_refused() {
    // Orders of the groups of P-256 and of Ed25519 (little-endian).
    const P256: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let one = {
        let mut one = [0; 32];
        one[31] = 1;
        one
    };
    let identity = {
        let mut point = [0; 32];
        point[0] = 1;
        point
    };
    let zero = [0; 32];
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Hs256] {
        let world = World::with(algorithm);
        let good = world.good();
        let halves = [
            (zero, zero),
            ([0xff; 32], [0xff; 32]),
            (zero, one),
            (one, zero),
            (one, one),
            (P256, one),
            (one, P256),
            (P256, P256),
            (identity, zero),
            (zero, identity),
            ([0x42; 32], [0x17; 32]),
        ];
        for (first, second) in halves {
            assert_eq!(
                world.judge(&with_signature(&good, &[first, second].concat())),
                Err(TokenFault::Signature),
                "{algorithm}"
            );
        }
        for length in [1, 31, 32, 48, 63, 65, 96, 128, 512] {
            assert_eq!(
                world.judge(&with_signature(&good, &vec![0; length])),
                Err(TokenFault::Signature),
                "{algorithm} {length}"
            );
        }
        assert_eq!(
            world.judge(&with_signature(&good, &[])),
            Err(TokenFault::Malformed("no signature"))
        );
    }
}

#[test]
fn other_encodings_of_a_good_signature_are_refused() {
    let world = World::with(Algorithm::Es256);
    let good = world.good();
    let raw = decoded(&good).remove(2);
    let der = p256::ecdsa::Signature::from_slice(&raw).unwrap().to_der();
    assert_eq!(
        world.judge(&with_signature(&good, der.as_bytes())),
        Err(TokenFault::Signature)
    );

    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Hs256, Algorithm::Hs512] {
        let world = World::with(algorithm);
        let good = world.good();
        let raw = decoded(&good).remove(2);
        let padded_halves = [
            vec![0],
            raw[..raw.len() / 2].to_vec(),
            vec![0],
            raw[raw.len() / 2..].to_vec(),
        ]
        .concat();
        for other in [
            [vec![0], raw.clone()].concat(),
            [raw.clone(), vec![0]].concat(),
            raw[1..].to_vec(),
            raw[..raw.len() - 1].to_vec(),
            padded_halves,
            raw[..raw.len() / 2].to_vec(),
        ] {
            assert_eq!(
                world.judge(&with_signature(&good, &other)),
                Err(TokenFault::Signature),
                "{algorithm}"
            );
        }
        assert!(world.judge(&good).is_ok());
    }
}

#[test]
fn an_eddsa_signature_with_the_order_added_to_its_scalar_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let world = World::new();
    let good = world.good();
    let mut raw = decoded(&good).remove(2);
    let mut carry = 0_u16;
    for (byte, order) in raw[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    assert_eq!(world.judge(&with_signature(&good, &raw)), Err(TokenFault::Signature));
}

#[test]
fn another_text_for_the_same_bytes_is_refused() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let world = World::new();
    let good = world.good();
    let parts: Vec<String> = good.split('.').map(ToOwned::to_owned).collect();
    let mut others = 0;
    for at in 0..3 {
        let spellings = {
            let (part, last) = parts[at].split_at(parts[at].len() - 1);
            // All symbols whose used bits are those of the last one, where it has unused bits.
            let unused = match parts[at].len() % 4 {
                2 => 4,
                3 => 2,
                _ => 0,
            };
            let value = ALPHABET
                .iter()
                .position(|symbol| *symbol == last.as_bytes()[0])
                .unwrap();
            let symbols = (0..64).filter(move |other| *other != value && other >> unused == value >> unused);
            let mut spellings: Vec<String> = symbols
                .map(|other| format!("{part}{}", char::from(ALPHABET[other])))
                .collect();
            spellings.extend(["=", "==", "%3D", "\n", " ", "A", "\t"].map(|more| format!("{}{more}", parts[at])));
            spellings.push(STANDARD.encode(URL_SAFE_NO_PAD.decode(&parts[at]).unwrap()) + "=");
            spellings.push(parts[at].to_uppercase());
            spellings
        };
        for spelling in spellings {
            let mut other = parts.clone();
            other[at] = spelling;
            let token = other.join(".");
            assert!(world.judge(&token).is_err(), "{token}");
            others += 1;
        }
    }
    assert!(others > 27, "{others}");
}

#[test]
fn no_single_byte_of_a_good_token_can_be_another() {
    // The signatures of the one are slow to check: one flip, that of a letter's case.
    for (algorithm, flips) in [
        (Algorithm::EdDsa, [32].as_slice()),
        (Algorithm::Hs256, &[1, 2, 4, 8, 16, 32, 64]),
    ] {
        let world = World::with(algorithm);
        let good = world.issue("customer", TokenKind::Access);
        assert!(world.judge(&good).is_ok());
        for at in 0..good.len() {
            for flip in flips {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= flip;
                let token = String::from_utf8(bytes).unwrap();
                assert!(world.judge(&token).is_err(), "byte {at} flipped by {flip}");
            }
        }
        for at in 0..good.len() {
            assert!(world.judge(&good[..at]).is_err(), "cut at {at}");
            assert!(
                world.judge(&format!("{}{}", &good[..at], &good[at + 1..])).is_err(),
                "without byte {at}"
            );
        }
    }
}

#[test]
fn what_one_guard_signed_is_not_another_guards_even_under_its_kid() {
    let world = World::new();
    let payload = world.claims("customer").to_string();
    let token = world.sign("admin", world.header("customer").to_string(), payload);
    assert_eq!(world.judge(&token), Err(TokenFault::Signature));
}

#[test]
fn oversized_input_costs_no_signature() {
    let world = World::new();
    let mut claims = world.claims("customer");
    claims["roles"] = json!(vec!["r"; 100_000]);
    let huge = world.sign("customer", world.header("customer").to_string(), claims.to_string());
    claims["roles"] = json!("x".repeat(64 * 1024));
    let large = world.sign("customer", world.header("customer").to_string(), claims.to_string());
    let nested = world.claims("customer").to_string().replacen(
        '{',
        &format!(r#"{{"x":{}{},"#, "[".repeat(200), "]".repeat(200)),
        1,
    );
    let nested = world.sign("customer", world.header("customer").to_string(), nested);
    assert!(BearerToken::new(&huge).is_err() && BearerToken::new(&large).is_err());
    for token in [huge, large, nested] {
        assert!(matches!(world.judge(&token), Err(TokenFault::Malformed(_))));
    }
    assert_eq!(world.ring.stats().signature_checks, 0);
}
