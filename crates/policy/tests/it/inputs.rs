//! Policies and models of chance load or are refused with their line; none panics, and a refused one leaves the snapshot in use alone.

use std::sync::Arc;

use bekci_core::PolicyLine;
use bekci_policy::{CasbinPolicy, PolicyError, PolicyModel, compile, parse_csv, print_csv};
use bekci_test_support::{Mutator, by_chance, corpus};

use crate::support::{BUYER, MODEL, SEED, Who, allows, policy, try_policy};

const POLICIES: &str = include_str!("../corpus/policies.txt");
const WORDS: &[&str] = &[
    "\n",
    ", ",
    "\"",
    "p, ",
    "g, ",
    "role:customer:buyer",
    "role:",
    "principal:customer:1",
    "*",
    "/**",
    "/api/**",
    ":id",
    "GET",
    "allow",
    "deny",
    "(",
    ")",
    "[",
    "|.*",
    "(?",
    "{1000}",
    "\\",
    "..",
    "%2e",
    "#",
    "\r",
    "\u{0}",
];

fn inputs() -> Mutator {
    let mut all = corpus(POLICIES);
    all.push(SEED.as_bytes().to_vec());
    Mutator::new(all, WORDS)
}

/// A line of the text is named, or nothing but the policy as a whole can be meant.
fn check_error(text: &str, error: &PolicyError) {
    match error {
        PolicyError::Line { line, text: shown, .. } => {
            assert!((1..=text.lines().count()).contains(line), "{text:?}: {error}");
            assert!(
                !shown.chars().any(char::is_control) && shown.chars().count() < 2_000,
                "{error}"
            );
        }
        PolicyError::Evaluation(_) => {}
        other => panic!("{text:?}: {other}"),
    }
}

/// What everybody was allowed stays so while bad policies come and are refused.
#[test]
fn a_bad_policy_is_refused_by_its_line_and_the_one_in_use_stays() {
    let mut in_use: Arc<CasbinPolicy> = policy(SEED);
    let inputs = inputs();
    let (mut loaded, mut refused) = (0, 0);
    let mut heed = |text: &str| {
        match try_policy(text) {
            Ok(next) => {
                loaded += 1;
                // Whatever loads decides, and nobody who has no subject in it is let in.
                assert!(!allows(
                    &next,
                    Who("nobody:0", "nobody", &[], ""),
                    "GET",
                    "/api/orders/1"
                ));
                in_use = policy(SEED);
            }
            Err(error) => {
                refused += 1;
                check_error(text, &error);
            }
        }
        assert!(allows(&in_use, BUYER, "GET", "/api/orders/1") && !allows(&in_use, BUYER, "DELETE", "/api/orders/1"));
    };
    let whole: Vec<String> = inputs
        .corpus()
        .map(|input| String::from_utf8_lossy(input).into_owned())
        .collect();
    whole.iter().for_each(|text| heed(text));
    by_chance(400, |chance| heed(&inputs.make_text(chance)));
    assert!(
        loaded > 20 && refused > 100,
        "{loaded} loaded, {refused} refused: the inputs try too little"
    );
}

#[test]
fn a_policy_of_lines_is_that_of_the_text_that_they_print() {
    let model = PolicyModel::parse(MODEL).unwrap();
    by_chance(400, |chance| {
        let lines: Vec<PolicyLine> = (0..1 + chance.below(3))
            .map(|_| PolicyLine {
                kind: chance.one(&["p", "g", "p2"]).to_owned(),
                values: (0..chance.below(7))
                    .map(|_| chance.text("ab:/*,\" #\\|()\n", 8))
                    .collect(),
            })
            .collect();
        let of_lines = compile(&model, &lines).is_ok();
        match print_csv(&lines) {
            Err(_) => assert!(!of_lines, "{lines:?} cannot be printed, and loads"),
            Ok(text) => {
                let read = parse_csv(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
                let read: Vec<PolicyLine> = read.into_iter().map(|line| line.line).collect();
                assert_eq!(read, lines, "{text:?}");
            }
        }
    });
}

#[test]
fn a_model_of_chance_is_refused_by_a_line_of_its_own_or_decides() {
    let words = [
        "\n",
        "[",
        "]",
        "=",
        "[matchers]",
        "m = ",
        "r.sub",
        "p.sub",
        "p.eft",
        " == ",
        "&&",
        "||",
        "(",
        ")",
        "keyMatch2",
        "regexMatch",
        "eval",
        "\"",
        "\\",
        "_",
        ",",
        "some(where (p.eft == allow))",
        "true",
        "#",
        "in",
        "loop {}",
        "fn f() { f() }",
    ];
    let inputs = Mutator::new([MODEL, MODEL], &words);
    let (mut taken, mut refused) = (0, 0);
    by_chance(300, |chance| {
        let text = inputs.make_text(chance);
        match PolicyModel::parse(&text) {
            Ok(model) => {
                taken += 1;
                let lines: Vec<PolicyLine> = parse_csv(SEED).unwrap().into_iter().map(|line| line.line).collect();
                if let Ok(policy) = compile(&model, &lines) {
                    let _decided_without_a_panic = allows(&policy, BUYER, "GET", "/api/orders/1");
                }
            }
            Err(PolicyError::Model { line, .. }) => {
                refused += 1;
                assert!(
                    (1..=text.lines().count() + 1).contains(&line),
                    "line {line} of {text:?}"
                );
            }
            Err(other) => panic!("{text:?}: {other}"),
        }
    });
    assert!(
        taken > 10 && refused > 10,
        "{taken} taken, {refused} refused: the inputs try too little"
    );
}
