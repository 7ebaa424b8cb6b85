//! Tokens made by chance of good ones: nothing passes but what was issued, and what is signed is taken only where it says what it must.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{BearerToken, TokenKind, TokenVerifier};
use bekci_test_support::{Chance, Mutator, by_chance};
use bekci_token::Algorithm;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::forge::{ISSUER, NOW, World};

/// The names of an object's members in the order in which they stand, each as often as it stands.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        from.deserialize_map(Reader)
    }
}

fn each_name_once(json: &[u8]) -> bool {
    let Names(mut names) = serde_json::from_slice(json).unwrap();
    let all = names.len();
    names.sort();
    names.dedup();
    names.len() == all
}

#[test]
fn no_text_but_the_one_that_was_issued_is_accepted() {
    for (algorithm, trials) in [
        (Algorithm::EdDsa, 400),
        (Algorithm::Es256, 60),
        (Algorithm::Es384, 20),
        (Algorithm::Hs256, 200),
        (Algorithm::Hs512, 200),
    ] {
        let world = World::with(algorithm);
        let (good, foreign) = (world.good(), world.issue("admin", TokenKind::Access));
        assert!(world.judge(&good).is_ok());
        let mutator = Mutator::new(
            [good.as_str(), &good, foreign.as_str(), "..", "a.b.c"],
            &[
                ".",
                "..",
                "=",
                "-",
                "_",
                "A",
                "AA",
                "e30",
                "bnVsbA",
                "eyJhbGciOiJub25lIn0",
            ],
        );
        by_chance(trials, |chance| {
            let text = mutator.make_text(chance);
            let judged = world.judge(&text);
            assert_eq!(judged.is_ok(), text == good, "{algorithm}: {text}");
            if let Ok(token) = BearerToken::new(&text) {
                let _named_without_a_panic = world.ring.guard_of(token);
            }
            let _explained_without_a_panic = world.ring.inspect(&text);
        });
    }
}

#[test]
fn every_character_of_a_token_counts() {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
    for algorithm in [Algorithm::EdDsa, Algorithm::Hs256] {
        let world = World::with(algorithm);
        let good = world.good();
        // Every third, and the last of each part.
        let ends = good.match_indices('.').map(|(dot, _)| dot - 1).chain([good.len() - 1]);
        for at in (0..good.len()).step_by(3).chain(ends) {
            let mut bytes = good.clone().into_bytes();
            // The neighbours in the alphabet differ in the lowest bits: those that the last character of a part may leave unused.
            let place = LETTERS.iter().position(|letter| *letter == bytes[at]).unwrap();
            for other in [place ^ 1, place ^ 2] {
                bytes[at] = LETTERS[other % LETTERS.len()];
                let text = std::str::from_utf8(&bytes).unwrap();
                assert!(
                    text == good || world.judge(text).is_err(),
                    "{algorithm}, character {at}: {text}"
                );
            }
        }
    }
}

/// An object with a word set in at its start, or one of the mutator's.
fn changed(good: &str, words: &[&str], mutator: &Mutator, chance: &mut Chance) -> Vec<u8> {
    if chance.once_in(2) {
        return mutator.make(chance);
    }
    let word = chance.one(words);
    good.replacen('{', &format!("{{{word}"), 1).into_bytes()
}

/// What must be true of claims that are accepted for guard `customer`, read by another reader.
fn check_claims(payload: &[u8]) {
    let told = String::from_utf8_lossy(payload);
    let claims: Value = serde_json::from_slice(payload).unwrap();
    assert!(each_name_once(payload), "{told}");
    for (claim, value) in [
        ("iss", ISSUER),
        ("aud", "customer"),
        ("guard", "customer"),
        ("model", "customer"),
    ] {
        assert_eq!(claims[claim], value, "{told}");
    }
    let id = claims["sub"].as_str().unwrap().strip_prefix("customer:").unwrap();
    assert_eq!(id.parse::<u64>().unwrap().to_string(), id, "{told}");
    for name in ["jti", "sid"] {
        let text = claims[name].as_str().unwrap();
        assert!(
            text.len() == 32 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
            "{told}"
        );
    }
    let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(
        issued <= NOW + 60 && ends > NOW - 60 && ends > issued && ends - issued <= 900,
        "{told}"
    );
    assert!(
        claims["gen"].as_u64().is_some_and(|gen_| u32::try_from(gen_).is_ok()),
        "{told}"
    );
    assert!(claims["ver"].is_u64() && claims.get("cnf").is_none(), "{told}");
    assert!(
        claims
            .get("nbf")
            .is_none_or(|start| start.as_i64().unwrap() <= NOW + 60),
        "{told}"
    );
    assert!(
        claims
            .get("tenant")
            .is_none_or(|tenant| !tenant.as_str().unwrap().is_empty()),
        "{told}"
    );
}

#[test]
fn claims_of_chance_are_taken_only_where_they_say_what_they_must() {
    let world = World::new();
    let good = world.claims("customer").to_string();
    let words = [
        ",",
        ":",
        "{",
        "}",
        "[",
        "]",
        "null",
        "true",
        "-1",
        "1e3",
        "1.5",
        "\"",
        "\"x\":1,",
        "\"aud\":\"admin\",",
        "\"aud\":[\"customer\"],",
        "\"guard\":\"admin\",",
        "\"sub\":\"admin:1\",",
        "\"sub\":\"customer:01\",",
        "\"exp\":99999999999,",
        "\"iat\":1,",
        "\"nbf\":0,",
        "\"cnf\":{},",
        "\"tenant\":\"acme\",",
        "\"\\u0061ud\":\"admin\",",
        " ",
        "\n",
        "\u{feff}",
    ];
    let mutator = Mutator::new([good.as_bytes(), world.claims("admin").to_string().as_bytes()], &words);
    let mut taken = 0;
    by_chance(400, |chance| {
        let payload = changed(&good, &words, &mutator, chance);
        let token = world.sign("customer", world.header("customer").to_string(), &payload);
        if world.judge(&token).is_ok() {
            taken += 1;
            check_claims(&payload);
        }
    });
    assert!(taken > 5, "only {taken} were taken: the inputs try too little");
}

#[test]
fn headers_of_chance_are_taken_only_where_they_ask_for_nothing_else() {
    let world = World::new();
    let (kid, good) = (world.kid("customer"), world.header("customer").to_string());
    let words = [
        ",",
        ":",
        "{",
        "}",
        "null",
        "\"",
        "\"x\":1,",
        "\"alg\":\"none\",",
        "\"alg\":\"HS256\",",
        "\"crit\":[],",
        "\"jku\":\"https://evil.test\",",
        "\"jwk\":{},",
        "\"typ\":\"JWT\",",
        "\"b64\":false,",
        "\"zip\":\"DEF\",",
        "\"\\u0061lg\":\"none\",",
        "\"kid\":\"../x\",",
        " ",
        "\u{feff}",
    ];
    let mutator = Mutator::new(
        [
            good.as_bytes(),
            good.as_bytes(),
            world.header("admin").to_string().as_bytes(),
        ],
        &words,
    );
    let mut taken = 0;
    by_chance(400, |chance| {
        let header = changed(&good, &words, &mutator, chance);
        let token = world.with_header(&header);
        if world.judge(&token).is_err() {
            return;
        }
        taken += 1;
        let told = String::from_utf8_lossy(&header);
        let header_read: Value = serde_json::from_slice(&header).unwrap();
        assert!(each_name_once(&header), "{told}");
        assert_eq!(
            (&header_read["alg"], &header_read["kid"]),
            (&"EdDSA".into(), &Value::from(kid.as_str())),
            "{told}"
        );
        let typ = header_read["typ"].as_str().unwrap().to_ascii_lowercase();
        assert!(matches!(&*typ, "at+jwt" | "application/at+jwt"), "{told}");
        for refused in [
            "crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "zip", "cty", "enc",
        ] {
            assert!(header_read.get(refused).is_none(), "{told}");
        }
    });
    assert!(taken > 5, "only {taken} were taken: the inputs try too little");
}

#[test]
fn three_parts_of_noise_are_refused_before_any_signature_is_checked() {
    let world = World::new();
    let before = world.ring.stats().signature_checks;
    by_chance(2_000, |chance| {
        let mut part = || {
            let length = chance.below(200);
            URL_SAFE_NO_PAD.encode((0..length).map(|_| chance.byte()).collect::<Vec<u8>>())
        };
        let token = format!("{}.{}.{}", part(), part(), part());
        assert!(world.judge(&token).is_err());
    });
    assert_eq!(world.ring.stats().signature_checks, before);
}
