//! Claims that are missing, of another type, or not what they must be. Every token here has a good header and a good signature.

use bekci_core::{AuthGuard, IdKind, IdentityVersion, ModelName, TenantName, TokenFault};
use bekci_token::{Algorithm, KeyRing, RingGuard};
use serde_json::{Value, json};

use crate::forge::{ISSUER, NOW, World, name};

pub(crate) const REQUIRED: [&str; 11] = [
    "iss", "aud", "sub", "iat", "exp", "jti", "sid", "gen", "ver", "guard", "model",
];

#[test]
fn a_good_token_says_what_it_says() {
    let world = World::new();
    let claims = world.judge(&world.with_claim("tenant", Some(json!("acme")))).unwrap();
    assert_eq!(claims.guard, name("customer"));
    assert_eq!(claims.key.as_str(), "customer:1");
    assert_eq!(claims.generation, 3);
    assert_eq!(claims.version, IdentityVersion(4));
    assert_eq!(claims.tenant, Some(TenantName::new("acme").unwrap()));
    assert_eq!((claims.issued_at, claims.expires_at), (NOW, NOW + 900));
    assert_eq!(claims.session.to_string(), "0".repeat(31) + "2");
    assert_eq!(claims.id.to_string(), "0".repeat(31) + "1");
}

#[test]
fn a_missing_claim_never_means_yes() {
    let world = World::new();
    for claim in REQUIRED {
        assert!(
            matches!(world.judge(&world.with_claim(claim, None)), Err(TokenFault::Claim(_))),
            "{claim}"
        );
    }
}

#[test]
fn a_claim_of_another_type_is_refused() {
    let world = World::new();
    let good = world.claims("customer");
    let others = [
        json!(null),
        json!(true),
        json!(false),
        json!(1.5),
        json!([]),
        json!({}),
        json!([1]),
    ];
    for claim in REQUIRED.into_iter().chain(["tenant", "nbf", "cnf"]) {
        let mut values = others.to_vec();
        if let Some(value) = good.get(claim) {
            values.push(json!([value]));
            values.push(json!({ "value": value }));
            values.push(if value.is_string() {
                json!(1)
            } else {
                json!(value.to_string())
            });
        }
        for value in values {
            let judged = world.judge(&world.with_claim(claim, Some(value.clone())));
            assert!(
                matches!(judged, Err(TokenFault::Claim(_))),
                "{claim} {value} {judged:?}"
            );
        }
    }
}

pub(crate) fn refuses(world: &World, claim: &str, values: impl IntoIterator<Item = Value>) {
    for value in values {
        let judged = world.judge(&world.with_claim(claim, Some(value.clone())));
        assert!(
            matches!(judged, Err(TokenFault::Claim(_))),
            "{claim} {value} {judged:?}"
        );
    }
}

#[test]
fn the_issuer_and_the_audience_are_one_string_each() {
    let world = World::new();
    refuses(
        &world,
        "iss",
        [
            json!("https://evil.test"),
            json!("https://gw.test/"),
            json!("HTTPS://GW.TEST"),
            json!(""),
            json!(["https://evil.test", ISSUER]),
            json!([ISSUER]),
        ],
    );
    refuses(
        &world,
        "aud",
        [
            json!("admin"),
            json!("Customer"),
            json!(""),
            json!(["customer"]),
            json!(["customer", "admin"]),
            json!("customer "),
        ],
    );
}

#[test]
fn guard_and_model_agree_with_the_key() {
    let world = World::new();
    for claim in ["guard", "model"] {
        refuses(
            &world,
            claim,
            [json!("admin"), json!("Customer"), json!(""), json!("customer\u{0}")],
        );
    }
}

#[test]
fn a_subject_that_is_not_the_canonical_key_of_the_guards_model_is_refused() {
    let world = World::new();
    let ids = [
        "",
        "01",
        "+1",
        "1.0",
        " 1",
        "1 ",
        "1\u{0}",
        "\u{ff11}",
        "1e0",
        "0x1",
        "-1",
        "9223372036854775808",
        "1:roles",
        "*",
        "a",
        "1\n",
        "../1",
    ];
    let keys = ids.into_iter().map(|id| json!(format!("customer:{id}")));
    let others = [
        "",
        "1",
        "customer",
        ":1",
        "admin:1",
        "Customer:1",
        " customer:1",
        "customer:customer:1",
        "customer:1:1",
        "custome:r1",
    ];
    refuses(&world, "sub", keys.chain(others.map(|text| json!(text))));
    assert!(
        world
            .judge(&world.with_claim("sub", Some(json!("customer:9223372036854775807"))))
            .is_ok()
    );
}

#[test]
fn a_uuid_has_one_spelling() {
    let mut world = World::new();
    let guard = AuthGuard::new(
        name("customer"),
        ModelName::new("customer").unwrap(),
        IdKind::Uuid,
        true,
    );
    world.settings.guards[0] = RingGuard::new(&guard, Algorithm::EdDsa);
    world.ring = KeyRing::load(world.settings.clone(), world.clock.clone()).unwrap();
    let id = "0b0c1f3e-94b6-4d0a-9d8e-0d1d5f9a1b2c";
    let with = |id: &str| world.judge(&world.with_claim("sub", Some(json!(format!("customer:{id}")))));
    assert!(with(id).is_ok());
    for other in [
        id.to_uppercase(),
        format!("{{{id}}}"),
        format!("urn:uuid:{id}"),
        id.replace('-', ""),
        "1".into(),
    ] {
        assert_eq!(with(&other), Err(TokenFault::Claim("sub")), "{other}");
    }
}

#[test]
fn ids_are_32_lower_case_hex_digits() {
    let world = World::new();
    for claim in ["jti", "sid"] {
        let texts = [
            "".to_owned(),
            "0".repeat(31),
            "0".repeat(33),
            "A".repeat(32),
            "g".repeat(32),
            "0b0c1f3e-94b6-4d0a-9d8e-0d1d5f9a1b2c".into(),
        ];
        refuses(&world, claim, texts.map(|text| json!(text)));
    }
}

#[test]
fn counters_are_whole_numbers_within_their_bounds() {
    let world = World::new();
    refuses(
        &world,
        "gen",
        [
            json!(-1),
            json!(1.0),
            json!(u64::from(u32::MAX) + 1),
            json!(u64::MAX),
            json!("3"),
        ],
    );
    refuses(&world, "ver", [json!(-1), json!(1.0), json!(1e300), json!("4")]);
    assert!(world.judge(&world.with_claim("gen", Some(json!(u32::MAX)))).is_ok());
    assert!(world.judge(&world.with_claim("ver", Some(json!(u64::MAX)))).is_ok());
}

#[test]
fn a_tenant_is_a_tenants_name() {
    let world = World::new();
    refuses(
        &world,
        "tenant",
        [
            json!(""),
            json!("*"),
            json!("Acme"),
            json!("a:b"),
            json!("-a"),
            json!(null),
            json!(["acme"]),
        ],
    );
}

#[test]
fn a_token_that_is_bound_to_a_key_of_its_holder_is_refused() {
    let world = World::new();
    refuses(
        &world,
        "cnf",
        [
            json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }),
            json!({}),
            json!(null),
        ],
    );
}

#[test]
fn a_claim_that_stands_twice_is_refused_in_any_spelling() {
    let world = World::new();
    let good = world.claims("customer").to_string();
    let doubled = REQUIRED.into_iter().chain(["tenant", "own"]).flat_map(|claim| {
        let value = world.claims("customer").get(claim).cloned().unwrap_or(json!("acme"));
        let escaped = format!("\\u{:04x}{}", u32::from(claim.as_bytes()[0]), &claim[1..]);
        [
            (claim.to_owned(), value.clone()),
            (escaped, value),
            (claim.to_owned(), json!("admin")),
        ]
    });
    for (spelling, value) in doubled {
        let before = good.replacen('{', &format!(r#"{{"{spelling}":{value},"own":1,"tenant":"acme","#), 1);
        let after = format!(
            r#"{},"own":1,"tenant":"acme","{spelling}":{value}}}"#,
            good.trim_end_matches('}')
        );
        for payload in [before, after] {
            let token = world.sign("customer", world.header("customer").to_string(), &payload);
            assert!(
                matches!(world.judge(&token), Err(TokenFault::Malformed(_))),
                "{payload}"
            );
        }
    }
    let nested = good.replacen('{', r#"{"own":{"a":1,"a":2},"#, 1);
    let token = world.sign("customer", world.header("customer").to_string(), nested);
    assert!(matches!(world.judge(&token), Err(TokenFault::Malformed(_))));
}

#[test]
fn a_payload_that_is_no_json_object_is_refused() {
    let world = World::new();
    let good = world.claims("customer").to_string();
    let payloads = [
        String::new(),
        "null".into(),
        "[]".into(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        good.trim_end_matches('}').into(),
    ];
    for payload in payloads {
        let token = world.sign("customer", world.header("customer").to_string(), &payload);
        assert!(
            matches!(world.judge(&token), Err(TokenFault::Malformed(_))),
            "{payload}"
        );
    }
}

#[test]
fn claims_of_the_developers_own_are_not_looked_at() {
    let world = World::new();
    for (claim, value) in [
        ("roles", json!(["super"])),
        ("__proto__", json!({ "guard": "admin" })),
        ("uid", json!(-0.5)),
    ] {
        let judged = world.judge(&world.with_claim(claim, Some(value))).unwrap();
        assert_eq!(judged.guard, name("customer"));
    }
}
