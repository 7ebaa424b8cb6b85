//! What an attacker would ask.

use std::thread;

use bekci_core::Verdict;
use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter};

use crate::support::{BUYER, Dice, MODEL, SEED, Who, allows, policy, reason, verdict};

#[test]
fn an_empty_policy_denies_everything() {
    let empty = policy("");
    for who in [BUYER, Who("admin:1", "admin", &["super-admin"], "acme")] {
        assert_eq!(reason(&empty, who, "GET", "/"), "no policy line allows it");
    }
}

#[test]
fn an_id_that_looks_like_a_role_is_not_one() {
    let policy = policy(
        "p, role:admin:admin, *, /**, *, allow\ng, role:admin:admin, role:admin:admin\ng, role:customer:vip, role:admin:admin",
    );
    for key in [
        "customer:admin",
        "admin:admin",
        "role:admin",
        "role:vip",
        "principal:admin",
    ] {
        for guard in ["admin", "customer", "role"] {
            assert!(
                !allows(&policy, Who(key, guard, &[], ""), "GET", "/x"),
                "{key} at {guard}"
            );
        }
    }
    // Were such a role to come in, it would still be one of its guard.
    for role in ["admin:admin", "role:admin:admin", "admin\u{0}", "Admin", "*", ""] {
        assert!(
            !allows(&policy, Who("customer:1", "customer", &[role], ""), "GET", "/x"),
            "{role:?}"
        );
    }
    assert!(allows(&policy, Who("admin:1", "admin", &["admin"], ""), "GET", "/x"));
}

#[test]
fn a_denial_beats_what_allows_in_every_order() {
    let lines = [
        "p, role:customer:a, *, /x, *, allow",
        "p, role:customer:b, *, /x, GET, deny",
        "p, principal:customer:1, *, /**, *, allow",
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let text = order.map(|at| lines[at]).join("\n");
        let policy = policy(&text);
        for roles in [&["a", "b"][..], &["b", "a"], &["b"]] {
            let who = Who("customer:1", "customer", roles, "");
            assert!(!allows(&policy, who, "GET", "/x"), "{text} {roles:?}");
            assert!(allows(&policy, who, "POST", "/x"), "{text} {roles:?}");
        }
        assert!(allows(&policy, Who("customer:1", "customer", &["a"], ""), "GET", "/x"));
    }
}

#[tokio::test]
async fn asking_for_each_subject_by_itself_would_let_a_role_through_what_its_holder_is_denied() {
    let lines =
        "p, role:customer:buyer, *, /api/orders/**, GET, allow\np, principal:customer:42, *, /api/orders/**, GET, deny";
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let casbin = Enforcer::new(model, StringAdapter::new(lines)).await.unwrap();
    let subjects = ["principal:customer:42", "role:customer:buyer"];
    let a_loop = subjects
        .iter()
        .any(|subject| casbin.enforce((vec![*subject], "", "/api/orders/1", "GET")).unwrap());
    assert!(a_loop, "the loop is wrong: it allows");
    assert!(!casbin.enforce((subjects.to_vec(), "", "/api/orders/1", "GET")).unwrap());
    assert!(!allows(&policy(lines), BUYER, "GET", "/api/orders/1"));
}

#[test]
fn a_denial_is_inherited_too() {
    let policy = policy(
        "g, role:customer:buyer, role:customer:limited\np, role:customer:buyer, *, /**, *, allow\np, role:customer:limited, *, /secret, *, deny",
    );
    assert!(allows(&policy, BUYER, "GET", "/open"));
    assert!(!allows(&policy, BUYER, "GET", "/secret"));
}

#[test]
fn a_line_of_one_tenant_counts_in_no_other() {
    let policy = policy(
        "p, role:customer:buyer, acme, /acme, GET, allow\np, role:customer:buyer, *, /all, GET, allow\np, role:customer:buyer, , /none, GET, allow\n\
         p, role:customer:buyer, acme, /all, POST, deny\np, role:customer:buyer, *, /all, POST, allow\n\
         g, role:customer:buyer, role:customer:vip, acme\np, role:customer:vip, *, /vip, GET, allow",
    );
    let at = |tenant| Who("customer:42", "customer", &["buyer"], tenant);
    for (tenant, expected) in [
        ("acme", [true, true, false, false, true]),
        ("other", [false, true, false, true, false]),
        ("", [false, true, true, true, false]),
    ] {
        let asked = [
            ("GET", "/acme"),
            ("GET", "/all"),
            ("GET", "/none"),
            ("POST", "/all"),
            ("GET", "/vip"),
        ];
        assert_eq!(
            asked.map(|(method, path)| allows(&policy, at(tenant), method, path)),
            expected,
            "{tenant:?}"
        );
    }
}

#[test]
fn paths_that_are_not_canonical_are_denied_to_everybody() {
    let policy = policy("p, role:customer:buyer, *, /public/*, GET, allow\np, role:customer:buyer, *, /**, GET, allow");
    for path in [
        "",
        "/public/../admin/x",
        "/public/%2e%2e/admin",
        "/public/..",
        "//public/x",
        "/public//x",
        "/public/x\n",
        "/public/%2fx",
        "/public/1?x",
        "/public/%c3%bc",
        "/public/\u{fc}",
        "public/x",
        "/public/x\u{0}",
        "/public/%",
        "/public/./x",
        "*",
    ] {
        assert_eq!(
            reason(&policy, BUYER, "GET", path),
            "the path is not canonical",
            "{path:?}"
        );
    }
    assert!(allows(&policy, BUYER, "GET", "/public/x"));
}

#[test]
fn methods_match_whole_and_in_their_case() {
    let policy = policy("p, role:customer:buyer, *, /a, GET|POST, allow\np, role:customer:buyer, *, /b, *, allow");
    for method in [
        "get", "GETX", "XGET", "GET|POST", "PO", "", "GET\n", "GET ", "*", "DELETE",
    ] {
        assert!(!allows(&policy, BUYER, method, "/a"), "{method:?}");
    }
    for method in ["", "GET\n", "G ET", "G\u{0}", "GÉT"] {
        assert_eq!(
            reason(&policy, BUYER, method, "/b"),
            "the method is not a token",
            "{method:?}"
        );
    }
    assert!(allows(&policy, BUYER, "PURGE", "/b"));
}

#[test]
fn a_pattern_never_matches_beyond_its_segment() {
    let policy =
        policy("p, role:customer:buyer, *, /public/:id, GET, allow\np, role:customer:buyer, *, /v1\\.0/x, GET, allow");
    for (path, expected) in [
        ("/public/1", true),
        ("/public/1/2", false),
        ("/public/", false),
        ("/x/public/1", false),
        ("/v1.0/x", true),
        ("/v1x0/x", false),
    ] {
        assert_eq!(allows(&policy, BUYER, "GET", path), expected, "{path}");
    }
}

#[test]
fn head_is_denied_wherever_get_is_and_allowed_by_its_own_name() {
    let policy = policy(
        "p, role:customer:buyer, *, /**, *, allow\np, role:customer:buyer, *, /secret, GET, deny\np, role:customer:buyer, *, /form, POST, deny",
    );
    for method in ["GET", "HEAD"] {
        assert!(!allows(&policy, BUYER, method, "/secret"), "{method}");
        assert_eq!(
            reason(&policy, BUYER, method, "/secret/"),
            "denied by policy line: p, role:customer:buyer, *, /secret, GET, deny"
        );
        assert!(allows(&policy, BUYER, method, "/form"), "{method}");
    }
    assert!(allows(&policy, BUYER, "POST", "/secret"));
    let warned = policy.warnings();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("/secret, GET, deny") && warned[0].contains("GET|HEAD"),
        "{warned:?}"
    );
    let reading =
        crate::support::policy("p, role:customer:buyer, *, /a, GET, allow\np, role:customer:buyer, *, /b, HEAD, allow");
    assert!(!allows(&reading, BUYER, "HEAD", "/a"));
    assert!(allows(&reading, BUYER, "HEAD", "/b") && !allows(&reading, BUYER, "GET", "/b"));
    assert_eq!(reading.warnings(), [""; 0]);
}

#[test]
fn a_slash_at_the_end_gets_past_no_denial_and_needs_no_line_of_its_own() {
    for pattern in ["/a/secret", "/a/secret/", "/a/:name", "/a/secret/**", "/a/secret/*"] {
        let text = format!("p, role:customer:buyer, *, /**, *, allow\np, role:customer:buyer, *, {pattern}, GET, deny");
        let (denying, allowing) = (
            policy(&text),
            policy(&format!("p, role:customer:buyer, *, {pattern}, GET, allow")),
        );
        for path in ["/a/secret", "/a/secret/"] {
            assert!(!allows(&denying, BUYER, "GET", path), "{pattern}: {path}");
            assert!(allows(&allowing, BUYER, "GET", path), "{pattern}: {path}");
        }
        assert!(allows(&denying, BUYER, "GET", "/a") && !allows(&allowing, BUYER, "GET", "/a"));
    }
}

#[test]
fn many_threads_get_the_answers_of_one() {
    let policy = policy(SEED);
    let paths: Vec<String> = (0..200)
        .map(|at| format!("/api/{}/{at}", ["orders", "invoices"][at % 2]))
        .collect();
    let expected: Vec<bool> = paths.iter().map(|path| allows(&policy, BUYER, "GET", path)).collect();
    thread::scope(|scope| {
        for seed in 1..=4 {
            let (policy, paths, expected) = (&policy, &paths, &expected);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                for _ in 0..1_000 {
                    let at = dice.below(paths.len());
                    assert_eq!(allows(policy, BUYER, "GET", &paths[at]), expected[at]);
                }
            });
        }
    });
}

#[test]
fn a_change_of_snapshot_shows_at_once_and_the_old_one_stays_as_it_was() {
    let old = policy(SEED);
    assert!(allows(&old, BUYER, "GET", "/api/orders/1"));
    let new = policy("p, role:customer:buyer, *, /api/orders/**, GET, deny");
    assert!(matches!(
        verdict(&new, BUYER, "GET", "/api/orders/1"),
        Verdict::Deny { .. }
    ));
    assert!(allows(&old, BUYER, "GET", "/api/orders/1"));
}
