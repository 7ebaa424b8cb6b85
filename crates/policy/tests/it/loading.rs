//! Models and lines that are refused, and where they say it is.

use bekci_policy::{PolicyError, PolicyModel, compile};

use crate::support::{BUYER, MODEL, SEED, Who, allows, line, model, policy, try_policy};

const PLAIN: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = p.sub in r.sub && keyMatch(r.obj, p.obj) && r.act == p.act\n";

fn refused_at(text: &str) -> (usize, String) {
    match PolicyModel::parse(text) {
        Err(PolicyError::Model { line, reason }) => (line, reason),
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn a_model_that_does_not_load_says_line_and_reason() {
    for (from, to, line) in [
        ("[request_definition]", "[request_definitions]", 1),
        ("[policy_definition]", "[policy_definition", 3),
        ("p = sub, obj, act\n", "p = sub, obj, act\np = sub, obj\n", 5),
        ("r = sub, obj, act", "r sub, obj, act", 2),
        ("r = sub, obj, act", "r = sub, sub, act", 2),
        ("r = sub, obj, act", "r = sub, , act", 2),
        ("r = sub, obj, act", "r =  # nothing", 2),
        ("p.eft == allow", "p.eft == maybe", 6),
        ("[policy_effect]\ne = some(where (p.eft == allow))\n", "", 6),
        ("[policy_effect]", "[role_definition]\ng = _\n[policy_effect]", 6),
        ("keyMatch(", "ipMatch(", 8),
        ("keyMatch(", "keyMatch4(", 8),
        ("r.act == p.act", "eval(p.act)", 8),
        ("r.act == p.act", "(r.act == p.act", 8),
        ("r.act == p.act", "r.act == `${p.act}`", 8),
        ("r.act == p.act", "r.act == \"x", 8),
        ("m = ", "m3 = ", 8),
        (PLAIN, "", 1),
        (PLAIN, "x = 1", 1),
    ] {
        let (told, reason) = refused_at(&PLAIN.replace(from, to));
        assert_eq!(told, line, "{from} -> {to}: {reason}");
        assert!(!reason.is_empty());
    }
}

#[test]
fn a_model_whose_shape_lets_something_round_is_refused_for_requests() {
    for (from, to, line) in [
        ("m = p.sub in r.sub &&", "m =", 8),
        ("p.sub in r.sub", "r.sub == p.sub", 8),
        ("p.sub in r.sub", "!(p.sub in r.sub)", 8),
        ("r.act == p.act", "r.act == p.act || r.sub == \"root\"", 8),
        ("r.act == p.act", "r.act == p.act || r.act == \"GET\"", 8),
        ("r.act == p.act", "(r.act == p.act || p.obj in r.sub)", 8),
        ("keyMatch(r.obj, p.obj)", "keyMatch(r.act, p.obj)", 8),
        ("keyMatch(r.obj, p.obj)", "keyMatch(p.obj, r.obj)", 8),
        ("keyMatch(r.obj, p.obj)", "regexMatch(r.obj, r.act)", 8),
        ("keyMatch(r.obj, p.obj)", "regexMatch(r.obj, \".*\")", 8),
        ("some(where (p.eft == allow))", "!some(where (p.eft == deny))", 6),
        ("some(where (p.eft == allow))", "priority(p.eft) || deny", 6),
        ("p = sub, obj, act", "p = sub, obj, act, eft", 6),
        ("r = sub, obj, act", "r = sub, act", 2),
        ("r = sub, obj, act", "r = sub, dom, obj, act", 8),
        (
            "[matchers]\nm = p.sub in r.sub",
            "[role_definition]\ng = _, _\n[matchers]\nm = g(r.sub, p.sub)",
            10,
        ),
        (
            "[matchers]\nm = p.sub in r.sub",
            "[role_definition]\ng = _, _\n[matchers]\nm = p.sub in r.sub && g(p.obj, r.act)",
            10,
        ),
    ] {
        let text = PLAIN.replace(from, to);
        let model = PolicyModel::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        match compile(&model, &[]) {
            Err(PolicyError::Model { line: told, .. }) => assert_eq!(told, line, "{from} -> {to}"),
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
}

#[test]
fn a_model_without_tenants_and_effects_decides_too() {
    let model = PolicyModel::parse(PLAIN).unwrap();
    let policy = compile(&model, &[line("p", &["role:customer:buyer", "/v1.0/*", "GET"])]).unwrap();
    assert!(allows(&policy, BUYER, "GET", "/v1.0/x"));
    assert!(allows(
        &policy,
        Who("customer:42", "customer", &["buyer"], "acme"),
        "GET",
        "/v1.0/x"
    ));
    assert!(!allows(&policy, BUYER, "GET", "/v1x0/x"));
}

#[test]
fn a_matcher_that_fails_is_found_while_loading() {
    let model = PolicyModel::parse(&PLAIN.replace("r.act == p.act", "r.act.name == p.act")).unwrap();
    let error = compile(&model, &[line("p", &["role:customer:buyer", "/", "GET"])]).unwrap_err();
    assert!(matches!(error, PolicyError::Evaluation(_)), "{error}");
}

#[test]
fn a_wrong_line_refuses_the_whole_with_its_number() {
    let good = "# a comment\np, role:customer:buyer, *, /a, GET, allow\n\n";
    for bad in [
        "p, buyer, *, /a, GET, allow",
        "p, *, *, /a, GET, allow",
        "p, role:buyer, *, /a, GET, allow",
        "p, role:customer:Buyer, *, /a, GET, allow",
        "p, role:customer:buyer:x, *, /a, GET, allow",
        "p, principal:42, *, /a, GET, allow",
        "p, customer:42, *, /a, GET, deny",
        "p, role:customer:buyer, Acme, /a, GET, allow",
        "p, role:customer:buyer, *, a, GET, allow",
        "p, role:customer:buyer, *, *, GET, allow",
        "p, role:customer:buyer, *, /a*, GET, allow",
        "p, role:customer:buyer, *, [, GET, allow",
        "p, role:customer:buyer, *, /(?, GET, allow",
        "p, role:customer:buyer, *, /a/../b, GET, deny",
        "p, role:customer:buyer, *, /%61, GET, deny",
        "p, role:customer:buyer, *, /a, GET, Allow",
        "p, role:customer:buyer, *, /a, GET, Deny",
        "p, role:customer:buyer, *, /a, GET,",
        "p, role:customer:buyer, *, /a, GET",
        "p, role:customer:buyer, *, /a, GET, allow, x",
        "p, role:customer:buyer, *, /a, [, allow",
        "p, role:customer:buyer, *, /a, (?, allow",
        "p, role:customer:buyer, *, /a, GET)|(.*, allow",
        "p, role:customer:buyer, *, /a, \"(?:a{1000}){1000}\", allow",
        "p, role:customer:buyer, *, /a, , allow",
        "p2, role:customer:buyer, *, /a, GET, allow",
        "g2, role:customer:buyer, role:customer:b",
        "g, role:customer:buyer",
        "g, role:customer:buyer, principal:customer:42",
        "g, principal:customer:42, principal:customer:42",
        "g, customer:42, role:customer:buyer",
        "g, role:customer:buyer, role:customer:b, Acme",
        "q, a",
        "p, \"a",
    ] {
        match try_policy(&format!("{good}{bad}\n")) {
            Err(PolicyError::Line { line, reason, .. }) => assert_eq!(line, 4, "{bad}: {reason}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    assert!(try_policy(good).is_ok());
}

#[test]
fn values_that_would_be_a_second_line_or_are_too_long_are_refused() {
    let long = "G".repeat(1_025);
    let megabyte = "a".repeat(1 << 20);
    for value in [
        "GET\np, principal:customer:1, *, /**, *, allow",
        "GET\u{0}",
        " GET",
        &long,
        &megabyte,
    ] {
        let lines = [
            line("p", &["role:customer:buyer", "*", "/a", "GET", "allow"]),
            line("p", &["role:customer:buyer", "*", "/a", value, "allow"]),
        ];
        match compile(&model(), &lines) {
            Err(PolicyError::Line { line, text, .. }) => {
                assert_eq!(line, 2);
                assert!(text.len() < 400 && !text.contains('\n'), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_refused_policy_leaves_the_one_in_use_as_it_was() {
    let used = policy(SEED);
    for bad in ["p, role:customer:buyer, *, [, *, allow", "nonsense"] {
        assert!(try_policy(&format!("{SEED}\n{bad}")).is_err());
        assert!(allows(&used, BUYER, "GET", "/api/orders/1"));
        assert!(!allows(&used, BUYER, "DELETE", "/api/orders/1"));
    }
}

#[test]
fn patterns_that_ruin_other_engines_do_no_harm() {
    let policy = policy(
        "p, role:customer:buyer, *, /a, (a+)+b, allow\np, role:customer:buyer, *, /b, (a|aa)*c, allow\np, role:customer:buyer, *, /*/*/*/*/*/x, GET, allow",
    );
    let long = "a".repeat(20_000);
    assert!(!allows(&policy, BUYER, &long, "/a"));
    assert!(!allows(&policy, BUYER, &long, "/b"));
    let deep = format!("/{}y", "a/".repeat(4_000));
    assert!(!allows(&policy, BUYER, "GET", &deep));
}

#[test]
fn role_graphs_of_any_form_end() {
    let chain: String = (0..1_000)
        .map(|at| format!("g, role:a:r{at}, role:a:r{}\n", at + 1))
        .collect();
    let error = try_policy(&chain).unwrap_err();
    assert!(matches!(error, PolicyError::Line { .. }), "{error}");
    let cycle: String = (0..200)
        .map(|at| format!("g, role:a:r{at}, role:a:r{}\n", (at + 1) % 200))
        .collect();
    let cycle = policy(&format!("{cycle}p, role:a:r150, *, /x, GET, allow"));
    assert!(allows(&cycle, Who("a:1", "a", &["r151"], ""), "GET", "/x"));
    let wide: String = (0..10_000).map(|at| format!("g, role:a:r{at}, role:a:top\n")).collect();
    let wide = policy(&format!("{wide}p, role:a:top, *, /x, GET, allow"));
    assert!(allows(&wide, Who("a:1", "a", &["r9999"], ""), "GET", "/x"));
}

#[test]
fn ten_thousand_lines_load_and_decide() {
    let lines: Vec<_> = (0..10_000)
        .map(|at| {
            line(
                "p",
                &[
                    &format!("role:customer:r{at}"),
                    "*",
                    &format!("/api/r{at}/:id"),
                    "GET|POST",
                    "allow",
                ],
            )
        })
        .collect();
    let policy = compile(&PolicyModel::parse(MODEL).unwrap(), &lines).unwrap();
    assert_eq!(policy.rules(), 10_000);
    let who = Who("customer:1", "customer", &["r9999"], "");
    assert!(allows(&policy, who, "GET", "/api/r9999/1"));
    assert!(!allows(&policy, who, "GET", "/api/r1/1"));
}
