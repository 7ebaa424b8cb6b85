//! Admissions that a thread remembers: when one is used again, and when it must not be.

use std::{sync::Arc, time::Duration};

use bekci_core::{
    AskedTenant, AuthError, Consistency, ErrorCode, GuardChain, HeaderCredential, Permission, Remembered, RequestHead,
    RouteKind, RouteRule, TenantName,
};

use crate::{
    head,
    ports::{Holdings, House, block_on},
    rule,
};

const BEARER: [&[u8]; 1] = [b"Bearer c.customer.1"];

fn ask(house: &House, head: &RequestHead<'_>, rule: &Arc<RouteRule>) -> Result<(), AuthError> {
    let decided = block_on(house.gate.decide_again(head, rule));
    decided.map(drop).map_err(|denial| denial.error)
}

/// Whether a remembered admission answers, which has to be a good one.
fn is_remembered(house: &House, head: &RequestHead<'_>, rule: &Arc<RouteRule>) -> bool {
    let (hits, looks, uses) = (
        Remembered::by_this_thread().hits,
        house.source.looks(),
        house.source.uses(),
    );
    ask(house, head, rule).unwrap();
    assert_eq!(house.source.uses(), uses + 1, "each use is noted");
    let hit = Remembered::by_this_thread().hits - hits;
    assert_eq!(hit + house.source.looks() - looks, 1, "it is remembered or looked up");
    hit == 1
}

fn orders(house: &House) -> RouteRule {
    RouteRule {
        permissions: vec![Permission::new("orders.view").unwrap()],
        ..rule(&[&house.customer])
    }
}

#[test]
fn the_same_question_is_answered_from_memory_and_its_use_is_noted() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    assert!(!is_remembered(&house, &get, &rule));
    for _ in 0..3 {
        assert!(is_remembered(&house, &get, &rule));
    }
    let elsewhere = RequestHead {
        path: "/orders/8",
        ..head("DELETE", &BEARER, &[])
    };
    assert!(
        is_remembered(&house, &elsewhere, &rule),
        "no part of this rule is about a path"
    );
}

#[test]
fn another_question_is_not_answered_by_it() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    assert!(!is_remembered(&house, &get, &rule));
    assert!(is_remembered(&house, &get, &rule));
    let acme = TenantName::new("acme").unwrap();
    let of_tenant = |tenant| RequestHead { tenant, ..get };
    house.source.hold(Holdings {
        own: Some(acme.clone()),
        rights: vec![],
        ..Holdings::default()
    });
    // The source drops what it held and moves no counter: only a new look finds it.
    for other in [of_tenant(AskedTenant::Named(&acme)), of_tenant(AskedTenant::Claimed)] {
        assert_eq!(ask(&house, &other, &rule).unwrap_err().code(), ErrorCode::Forbidden);
    }
    let cookies: [&[u8]; 1] = [b"a=b"];
    let with_cookie = head("GET", &BEARER, &cookies);
    assert_eq!(
        ask(&house, &with_cookie, &rule).unwrap_err().code(),
        ErrorCode::Forbidden
    );
    let another: [&[u8]; 1] = [b"Bearer c.customer.2"];
    let of_another = head("GET", &another, &[]);
    assert_eq!(
        ask(&house, &of_another, &rule).unwrap_err().code(),
        ErrorCode::Forbidden
    );
    let alike = Arc::new(orders(&house));
    assert_eq!(ask(&house, &get, &alike).unwrap_err().code(), ErrorCode::Forbidden);
    let (two, none): ([&[u8]; 2], [&[u8]; 0]) = ([b"Bearer c.customer.1", b"Bearer c.customer.2"], []);
    for (headers, code) in [
        (&two[..], ErrorCode::AmbiguousCredentials),
        (&none[..], ErrorCode::TokenMissing),
    ] {
        assert_eq!(ask(&house, &head("GET", headers, &[]), &rule).unwrap_err().code(), code);
    }
    assert!(is_remembered(&house, &get, &rule), "the question itself still is");
}

#[test]
fn a_cookie_beside_the_header_is_judged_each_time() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    assert!(!is_remembered(&house, &head("GET", &BEARER, &[]), &rule));
    let name = house.customer.cookies.access.clone();
    let other = format!("{name}=c.customer.2");
    let cookies = [other.as_bytes()];
    let refused = ask(&house, &head("GET", &BEARER, &cookies), &rule).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AmbiguousCredentials);
    let own = format!("{name}=c.customer.1");
    let cookies = [own.as_bytes()];
    for headers in [&BEARER[..], &[]] {
        assert!(!is_remembered(&house, &head("GET", headers, &cookies), &rule));
        assert!(!is_remembered(&house, &head("GET", headers, &cookies), &rule));
    }
}

#[test]
fn what_moved_is_decided_anew() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    ask(&house, &get, &rule).unwrap();
    assert!(is_remembered(&house, &get, &rule));
    house.source.take();
    assert_eq!(ask(&house, &get, &rule).unwrap_err().code(), ErrorCode::Forbidden);
    assert_eq!(ask(&house, &get, &rule).unwrap_err().code(), ErrorCode::Forbidden);
}

#[test]
fn without_trust_nothing_is_remembered() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    ask(&house, &get, &rule).unwrap();
    assert!(is_remembered(&house, &get, &rule));
    // The lease has ended, and the database is out of reach.
    house.source.move_always();
    house.source.go_away();
    assert_eq!(
        ask(&house, &get, &rule).unwrap_err().code(),
        ErrorCode::StoreUnavailable
    );
}

#[test]
fn a_decision_that_the_database_made_is_not_remembered() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    house.source.move_always();
    let get = head("GET", &BEARER, &[]);
    let before = Remembered::by_this_thread();
    for _ in 0..3 {
        ask(&house, &get, &rule).unwrap();
    }
    assert_eq!((Remembered::by_this_thread(), house.source.reads()), (before, 3));
}

#[test]
fn other_keys_and_the_end_of_the_token_end_it() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    ask(&house, &get, &rule).unwrap();
    assert!(is_remembered(&house, &get, &rule));
    house.keys.read_again();
    assert!(!is_remembered(&house, &get, &rule), "it is verified by the new keys");
    assert!(is_remembered(&house, &get, &rule));
    house.keys.accept_before(1_060);
    house.keys.read_again();
    assert!(!is_remembered(&house, &get, &rule));
    house.clock.advance(Duration::from_secs(59));
    assert!(is_remembered(&house, &get, &rule));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&house, &get, &rule).unwrap_err().code(), ErrorCode::TokenExpired);
}

#[test]
fn routes_that_ask_more_than_a_sign_in_are_not_remembered() {
    let house = House::new();
    let get = head("GET", &BEARER, &[]);
    let of_kind = |kind| {
        Arc::new(RouteRule {
            kind,
            ..rule(&[&house.customer])
        })
    };
    let direct = Arc::new(RouteRule {
        consistency: Consistency::Direct,
        ..rule(&[&house.customer])
    });
    let before = Remembered::by_this_thread();
    for rule in [
        of_kind(RouteKind::Fresh(100_000)),
        of_kind(RouteKind::Unverified),
        of_kind(RouteKind::Public),
        direct,
    ] {
        for _ in 0..2 {
            ask(&house, &get, &rule).unwrap();
        }
    }
    let guests = of_kind(RouteKind::Guest);
    assert_eq!(ask(&house, &get, &guests).unwrap_err().code(), ErrorCode::Forbidden);
    ask(&house, &head("GET", &[], &[]), &guests).unwrap();
    assert_eq!(Remembered::by_this_thread(), before);
}

#[test]
fn a_gate_finds_nothing_of_another_one_and_empties_it() {
    let mut house = House::new();
    let rule = Arc::new(orders(&house));
    let get = head("GET", &BEARER, &[]);
    for number in 0..20 {
        let bearer = format!("Bearer c.customer.{number}");
        ask(&house, &head("GET", &[bearer.as_bytes()], &[]), &rule).unwrap();
    }
    ask(&house, &get, &rule).unwrap();
    assert!(is_remembered(&house, &get, &rule));
    house.gate = house.gate.anew();
    assert!(!is_remembered(&house, &get, &rule));
    assert_eq!(Remembered::by_this_thread().admissions, 1);
    assert!(is_remembered(&house, &get, &rule));
}

#[test]
fn they_are_bounded_in_number_and_in_bytes() {
    let house = House::new();
    let rule = Arc::new(orders(&house));
    let mut most = Remembered::default();
    for number in 0..20_000 {
        let bearer = format!("Bearer c.customer.{number}");
        ask(&house, &head("GET", &[bearer.as_bytes()], &[]), &rule).unwrap();
        let now = Remembered::by_this_thread();
        most.admissions = most.admissions.max(now.admissions);
        most.bytes = most.bytes.max(now.bytes);
    }
    assert!((500..=1_024).contains(&most.admissions), "{most:?}");
    assert!((500 * 500..=4 << 20).contains(&most.bytes), "{most:?}");
    let long = format!("Bearer c.customer.1_{}", "x".repeat(2_048));
    let before = Remembered::by_this_thread();
    ask(&house, &head("GET", &[long.as_bytes()], &[]), &rule).unwrap();
    assert_eq!(Remembered::by_this_thread(), before, "a longer token is not remembered");
}

#[test]
fn a_policy_is_asked_for_each_method_and_path() {
    let house = House::new();
    let policy = Arc::new(OnlyGet);
    house.source.hold(Holdings {
        policy: Some(policy),
        ..Holdings::default()
    });
    let rule = Arc::new(RouteRule {
        policy: true,
        guards: GuardChain::new([Arc::clone(&house.customer)]),
        ..RouteRule::default()
    });
    let at = |method, path| RequestHead {
        method,
        path,
        authorization: HeaderCredential::read(&BEARER),
        ..head("GET", &[], &[])
    };
    assert!(!is_remembered(&house, &at("GET", "/a"), &rule));
    assert!(is_remembered(&house, &at("GET", "/a"), &rule));
    assert_eq!(
        ask(&house, &at("PUT", "/a"), &rule).unwrap_err().code(),
        ErrorCode::PolicyDenied
    );
    assert_eq!(
        ask(&house, &at("GET", "/b"), &rule).unwrap_err().code(),
        ErrorCode::PolicyDenied
    );
    assert!(is_remembered(&house, &at("GET", "/a"), &rule));
}

/// Allows `GET /a`.
#[derive(Debug)]
struct OnlyGet;

impl bekci_core::Authorizer for OnlyGet {
    fn decide(&self, request: &bekci_core::AccessRequest<'_>) -> bekci_core::Verdict {
        if (request.action, request.object) == ("GET", "/a") {
            bekci_core::Verdict::Allow {
                reason: "a line".into(),
            }
        } else {
            bekci_core::Verdict::Deny {
                reason: "no line".into(),
            }
        }
    }
}
