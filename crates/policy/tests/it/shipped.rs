//! The model and the policy that come with Bekci.

use bekci_policy::{parse_csv, parse_decisions, print_csv, run_decisions};

use crate::support::{BUYER, SEED, Who, allows, policy, reason};

const SUPPORT: Who<'static> = Who("admin:7", "admin", &["support"], "");
const SUPER: Who<'static> = Who("admin:1", "admin", &["super-admin"], "");

#[test]
fn the_shipped_policy_gives_what_the_demo_promises() {
    let policy = policy(SEED);
    for path in ["/api/orders", "/api/orders/", "/api/orders/1", "/api/orders/1/items"] {
        for (method, buyer, support) in [
            ("GET", true, true),
            ("POST", true, false),
            ("PUT", false, false),
            ("DELETE", false, false),
        ] {
            assert_eq!(allows(&policy, BUYER, method, path), buyer, "buyer {method} {path}");
            assert_eq!(
                allows(&policy, SUPPORT, method, path),
                support,
                "support {method} {path}"
            );
            assert!(allows(&policy, SUPER, method, path), "super-admin {method} {path}");
        }
    }
    for path in ["/api/invoices", "/api/ordersx", "/api", "/", "/back-office/x"] {
        assert!(!allows(&policy, BUYER, "GET", path), "buyer {path}");
    }
    assert!(allows(&policy, SUPPORT, "GET", "/api/invoices/3"));
    assert!(!allows(&policy, SUPPORT, "GET", "/apix"));
    let nobody = Who("customer:42", "customer", &[], "");
    assert!(!allows(&policy, nobody, "GET", "/api/orders"));
}

#[test]
fn a_role_counts_at_its_own_guard_alone() {
    let policy = policy(SEED);
    for roles in [&["super-admin"][..], &["support"], &["super-admin", "support"]] {
        assert!(!allows(
            &policy,
            Who("customer:42", "customer", roles, ""),
            "GET",
            "/api/orders/1"
        ));
    }
}

#[test]
fn super_admin_passes_by_its_line_and_not_by_its_name() {
    let without: String = SEED
        .lines()
        .filter(|line| !line.contains("super-admin"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(!allows(&policy(&without), SUPER, "GET", "/api/orders/1"));
    let denied = policy(&format!(
        "{SEED}\np, principal:admin:1, *, /api/orders/:id, DELETE, deny\n"
    ));
    assert!(!allows(&denied, SUPER, "DELETE", "/api/orders/1"));
    assert!(allows(&denied, SUPER, "GET", "/api/orders/1"));
}

#[test]
fn the_reason_is_the_line_that_decided() {
    let policy = policy(&format!(
        "{SEED}\np, principal:customer:42, *, /api/orders/9, *, deny\n"
    ));
    assert_eq!(
        reason(&policy, BUYER, "GET", "/api/orders/1"),
        "allowed by policy line: p, role:customer:buyer, *, /api/orders/**, GET|POST, allow"
    );
    assert_eq!(
        reason(&policy, BUYER, "GET", "/api/orders/9"),
        "denied by policy line: p, principal:customer:42, *, /api/orders/9, *, deny"
    );
    assert_eq!(reason(&policy, BUYER, "GET", "/x"), "no policy line allows it");
}

#[test]
fn the_shipped_policy_prints_and_reads_back() {
    let lines: Vec<_> = parse_csv(SEED).unwrap().into_iter().map(|line| line.line).collect();
    let again: Vec<_> = parse_csv(&print_csv(&lines).unwrap())
        .unwrap()
        .into_iter()
        .map(|line| line.line)
        .collect();
    assert_eq!(lines, again);
}

#[test]
fn a_file_of_expected_decisions_tells_what_differs() {
    let file = r#"
[[case]]
subject = "customer:42"
guard = "customer"
roles = ["buyer"]
method = "GET"
path = "/api/orders/1"
expect = "allow"

[[case]]
subject = "customer:42"
guard = "customer"
roles = ["buyer"]
tenant = "acme"
method = "DELETE"
path = "/api/orders/1"
expect = "allow"
"#;
    let cases = parse_decisions(file).unwrap();
    let wrong = run_decisions(&*policy(SEED), &cases);
    assert_eq!(wrong.len(), 1);
    let told = wrong.first().unwrap();
    assert_eq!(told.case.line, 10);
    assert_eq!(
        told.case.to_string(),
        "customer:42 (customer) [buyer] in acme: DELETE /api/orders/1"
    );
}

#[test]
fn a_wrong_file_of_decisions_is_refused_with_its_line() {
    let whole = "[[case]]\nsubject = \"customer:42\"\nguard = \"customer\"\nmethod = \"GET\"\npath = \"/a\"\nexpect = \"deny\"\n";
    assert_eq!(parse_decisions(whole).unwrap().len(), 1);
    for (from, to, line) in [
        ("customer:42", "42", 2),
        ("\"deny\"", "\"maybe\"", 6),
        ("\"/a\"", "\"/a/../b\"", 1),
        ("\"/a\"", "\"/%61\"", 1),
        ("guard =", "gaurd =", 3),
        ("method = \"GET\"\n", "", 1),
        (whole, "", 1),
    ] {
        let error = parse_decisions(&whole.replace(from, to)).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("decisions, line {line}: ")),
            "{from} {to}: {error}"
        );
    }
}
