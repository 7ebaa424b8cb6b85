//! Headers that ask for something else than the key's one algorithm and the kind's one type.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{BearerToken, TokenFault, TokenVerifier};
use bekci_token::Algorithm;
use serde_json::{Value, json};

use crate::forge::{World, is_built};

/// The good header with some members set; `null` is set too.
fn header_with(world: &World, members: Value) -> String {
    let mut header = world.header("customer");
    for (name, value) in members.as_object().unwrap() {
        header[name] = value.clone();
    }
    header.to_string()
}

#[test]
fn a_good_token_of_every_algorithm_is_accepted() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| is_built(*algorithm)) {
        let world = World::with(algorithm);
        assert_eq!(
            world
                .judge(&world.good())
                .map(|claims| claims.key.to_string())
                .as_deref(),
            Ok("customer:1"),
            "{algorithm}"
        );
        assert!(
            world
                .judge(&world.issue("customer", bekci_core::TokenKind::Access))
                .is_ok(),
            "{algorithm}"
        );
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm_with_or_without_signature() {
    let world = World::new();
    let spellings = [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!("none "),
        json!(" none"),
        json!(""),
        json!("null"),
        json!(null),
        json!(0),
        json!(true),
        json!(["none"]),
        json!({ "a": 1 }),
        json!(["EdDSA"]),
        json!("eddsa"),
        json!("EDDSA"),
        json!("EdDSA "),
        json!("Ed25519"),
        json!("HS256"),
        json!("ES256"),
        json!("RS256"),
        json!("PBES2-HS256+A128KW"),
        json!("dir"),
    ];
    let mut headers: Vec<String> = spellings
        .into_iter()
        .map(|alg| header_with(&world, json!({ "alg": alg, "p2c": 2_147_483_647 })))
        .collect();
    let kid = world.kid("customer");
    headers.push(format!(r#"{{"alg":"\u006eone","typ":"at+jwt","kid":"{kid}"}}"#));
    headers.push(format!(r#"{{"typ":"at+jwt","kid":"{kid}"}}"#));
    let before = world.ring.stats().signature_checks;
    for header in headers {
        let signed = world.with_header(&header);
        let (message, _) = signed.rsplit_once('.').unwrap();
        for token in [
            signed.clone(),
            format!("{message}."),
            format!("{message}.{}", URL_SAFE_NO_PAD.encode([7; 64])),
        ] {
            assert!(world.judge(&token).is_err(), "{header}");
        }
    }
    assert_eq!(
        world.ring.stats().signature_checks,
        before,
        "a header that is refused costs no signature"
    );
}

#[test]
fn an_algorithm_that_another_key_has_is_refused_for_this_key() {
    for own in [Algorithm::EdDsa, Algorithm::Hs256, Algorithm::Hs512, Algorithm::Es256] {
        let world = World::with(own);
        for other in Algorithm::ALL.into_iter().filter(|other| *other != own) {
            let token = world.with_header(header_with(&world, json!({ "alg": other.as_str() })));
            assert_eq!(
                world.judge(&token),
                Err(TokenFault::Header("alg is not the key's")),
                "{own} {other}"
            );
        }
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_in_any_order_and_spelling() {
    let world = World::new();
    let kid = world.kid("customer");
    let rest = format!(r#""typ":"at+jwt","kid":"{kid}""#);
    for header in [
        format!(r#"{{"alg":"none","alg":"EdDSA",{rest}}}"#),
        format!(r#"{{"alg":"EdDSA","alg":"none",{rest}}}"#),
        format!(r#"{{"alg":"EdDSA","alg":"EdDSA",{rest}}}"#),
        format!(r#"{{"alg":"EdDSA","\u0061lg":"none",{rest}}}"#),
        format!(r#"{{"alg":"EdDSA",{rest},"kid":"x"}}"#),
        format!(r#"{{"alg":"EdDSA",{rest},"k\u0069d":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA",{rest},"typ":"bekci-temp+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA",{rest},"x":{{"a":1,"a":2}}}}"#),
    ] {
        assert!(
            matches!(world.judge(&world.with_header(&header)), Err(TokenFault::Malformed(_))),
            "{header}"
        );
    }
}

#[test]
fn extensions_foreign_keys_and_wrappings_are_never_followed() {
    let world = World::new();
    for members in [
        json!({ "crit": ["x"], "x": 1 }),
        json!({ "crit": [] }),
        json!({ "crit": "exp" }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "crit": ["alg"] }),
        json!({ "crit": [1] }),
        json!({ "crit": null }),
        json!({ "b64": false }),
        json!({ "b64": true }),
        json!({ "jku": "http://127.0.0.1:1/jwks" }),
        json!({ "jku": "file:///etc/passwd" }),
        json!({ "x5u": "http://[::1]/" }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "x5t": "AAAA" }),
        json!({ "x5t#S256": "AAAA" }),
        json!({ "zip": "DEF" }),
        json!({ "cty": "JWT" }),
        json!({ "enc": "A128GCM" }),
    ] {
        let token = world.with_header(header_with(&world, members.clone()));
        assert!(matches!(world.judge(&token), Err(TokenFault::Header(_))), "{members}");
    }
    let unknown = world.with_header(header_with(&world, json!({ "x-own": [1] })));
    assert!(
        world.judge(&unknown).is_ok(),
        "RFC 7515 section 4: what is not understood is passed over"
    );
}

#[test]
fn the_type_is_that_of_an_access_token_in_any_case_with_or_without_application() {
    let world = World::new();
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let token = world.with_header(header_with(&world, json!({ "typ": typ })));
        assert!(world.judge(&token).is_ok(), "{typ}");
    }
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!(""),
        json!(null),
        json!(["at+jwt"]),
        json!(1),
        json!("at+jwt "),
        json!("text/at+jwt"),
        json!("application/application/at+jwt"),
        json!("dpop+jwt"),
        json!("bekci-temp+jwt"),
        json!("bekci-internal+jwt"),
    ] {
        let token = world.with_header(header_with(&world, json!({ "typ": typ })));
        assert_eq!(
            world.judge(&token),
            Err(TokenFault::Header("typ is not this kind's")),
            "{typ}"
        );
    }
    let kid = world.kid("customer");
    let without = world.with_header(format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#));
    assert!(world.judge(&without).is_err());
}

#[test]
fn a_kid_with_odd_bytes_names_no_key_and_reads_no_file() {
    let world = World::new();
    let readings = world.ring.stats().readings;
    for kid in [
        "x' UNION SELECT 'AAAA' -- ",
        "a1\r\nSET pwn 1\r\n",
        "*",
        "{a1}",
        "a1\0",
        "../admin/x",
        "/etc/passwd",
        "",
        ".",
        "..",
        "\u{202e}",
        "%2e%2e",
        &"a".repeat(65),
    ] {
        let token = world.with_header(header_with(&world, json!({ "kid": kid })));
        assert_eq!(world.judge(&token), Err(TokenFault::UnknownKey), "{kid:?}");
        assert_eq!(
            world.ring.guard_of(BearerToken::new(&token).unwrap()),
            Err(TokenFault::UnknownKey),
            "{kid:?}"
        );
    }
    for kid in [json!(null), json!(1), json!([world.kid("customer")]), json!({})] {
        let token = world.with_header(header_with(&world, json!({ "kid": kid })));
        assert_eq!(
            world.judge(&token),
            Err(TokenFault::Header("kid is not one string")),
            "{kid}"
        );
        assert!(world.ring.guard_of(BearerToken::new(&token).unwrap()).is_err(), "{kid}");
    }
    assert_eq!(world.ring.stats().readings, readings);
}

#[test]
fn header_bytes_that_are_no_utf_8_json_object_are_refused() {
    let world = World::new();
    let good = world.header("customer").to_string();
    let utf_16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nested = header_with(
        &world,
        serde_json::from_str(&format!(r#"{{"x":{}1{}}}"#, "[".repeat(100), "]".repeat(100))).unwrap(),
    );
    let long = header_with(&world, json!({ "x": "y".repeat(2000) }));
    let refused: [Vec<u8>; 11] = [
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        good.trim_end_matches('}').into(),
        format!("{good}x").into(),
        format!("{good}{good}").into(),
        format!("\u{feff}{good}").into(),
        utf_16,
        [b"{\"a\":\"\xff\",".as_slice(), &good.as_bytes()[1..]].concat(),
        nested.into(),
        long.into(),
    ];
    for header in refused {
        let token = world.with_header(&header);
        assert!(
            matches!(world.judge(&token), Err(TokenFault::Malformed(_))),
            "{:?}",
            String::from_utf8_lossy(&header)
        );
    }
    let surrogate = format!(r#"{{"a":"\ud800",{}"#, &good[1..]);
    assert!(world.judge(&world.with_header(surrogate)).is_err());
}

#[test]
fn only_three_parts_in_compact_form_are_a_token() {
    let world = World::new();
    let good = world.good();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let json =
        format!(r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#);
    let flat = format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#);
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!("{header}..{payload}.{signature}.x"),
        json,
        flat,
        format!("{header}.{payload}.{signature}{{}}"),
        format!("Bearer {good}"),
        format!(" {good}"),
        format!("{good}\n"),
    ] {
        assert!(world.judge(&token).is_err(), "{token}");
    }
}
