//! The gate over little models of its ports: who decides, what moves in between, and what cannot be told.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test has nothing better to do with an error"
)]

mod inputs;
mod lasting;
mod ports;
mod remembered;
mod tenants;
mod unverified;

use std::sync::Arc;

use bekci_core::{
    AskedTenant, AuthError, AuthGuard, Challenge, Consistency, ErrorCode, GuardChain, HeaderCredential, Permission,
    RequestHead, RouteKind, RouteRule, ViewSource,
};

use crate::ports::{House, block_on, csrf_of};

fn rule(guards: &[&Arc<AuthGuard>]) -> RouteRule {
    RouteRule::guarded("shop", GuardChain::new(guards.iter().map(|guard| Arc::clone(guard))))
}

fn head<'a>(method: &'a str, authorization: &'a [&'a [u8]], cookies: &'a [&'a [u8]]) -> RequestHead<'a> {
    RequestHead {
        method,
        path: "/orders/7",
        tenant: AskedTenant::None,
        authorization: HeaderCredential::read(authorization),
        cookies,
        fetch_site: None,
        csrf_token: None,
        secured: None,
    }
}

fn admitted(house: &House, head: &RequestHead<'_>, rule: &RouteRule) -> Result<String, AuthError> {
    let admission = block_on(house.gate.admit(head, rule))?;
    Ok(admission.principal.map_or_else(
        || "nobody".to_owned(),
        |principal| principal.view.identity.key.to_string(),
    ))
}

#[test]
fn a_decision_whose_ground_moved_is_made_again_on_the_new_state() {
    let house = House::new();
    let rule = RouteRule {
        permissions: vec![Permission::new("orders.view").unwrap()],
        ..rule(&[&house.customer])
    };
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    assert_eq!(
        admitted(&house, &head("GET", &bearer, &[]), &rule).unwrap(),
        "customer:1"
    );
    // The right is taken between the look at memory and the look at the counters.
    house.source.take_rights_during_the_next_look();
    assert_eq!(
        admitted(&house, &head("GET", &bearer, &[]), &rule).unwrap_err().code(),
        ErrorCode::Forbidden
    );
    assert_eq!(house.source.reads(), 0, "memory answered, twice");
}

#[test]
fn memory_that_moves_all_the_time_gives_way_to_a_read() {
    let house = House::new();
    house.source.move_always();
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    assert_eq!(
        admitted(&house, &head("GET", &bearer, &[]), &rule(&[&house.customer])).unwrap(),
        "customer:1"
    );
    assert_eq!(house.source.reads(), 1);
}

#[test]
fn a_direct_route_never_looks_at_memory() {
    let house = House::new();
    let rule = RouteRule {
        consistency: Consistency::Direct,
        ..rule(&[&house.customer])
    };
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    let admission = block_on(house.gate.admit(&head("GET", &bearer, &[]), &rule)).unwrap();
    assert_eq!(admission.principal.unwrap().view.source, ViewSource::Database);
    assert_eq!((house.source.looks(), house.source.reads()), (0, 1));
}

#[test]
fn where_nobody_can_tell_the_answer_is_503_and_never_anonymous() {
    let house = House::new();
    house.source.go_away();
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    for kind in [RouteKind::Authorized, RouteKind::Guest] {
        let rule = RouteRule {
            kind,
            ..rule(&[&house.customer])
        };
        assert_eq!(
            admitted(&house, &head("GET", &bearer, &[]), &rule).unwrap_err().code(),
            ErrorCode::StoreUnavailable
        );
    }
    let unreadable: [&[u8]; 1] = [b"Bearer u.customer.1"];
    let refused = admitted(&house, &head("GET", &unreadable, &[]), &rule(&[&house.customer])).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StoreUnavailable, "keys that cannot be read");
}

#[test]
fn the_header_is_judged_by_the_guard_that_its_key_names_alone() {
    let house = House::new();
    let both = rule(&[&house.admin, &house.customer]);
    let cases: [(&[u8], Result<&str, ErrorCode>); 4] = [
        (b"Bearer c.customer.1", Ok("customer:1")),
        (b"Bearer a.admin.1", Ok("admin:1")),
        (b"Bearer x.partner.1", Err(ErrorCode::GuardMismatch)),
        (b"Bearer bad.customer.1", Err(ErrorCode::TokenInvalid)),
    ];
    for (header, expected) in cases {
        let admin_cookie: [&[u8]; 1] = [b"bekci_admin_at=a.admin.1"];
        let cookies: &[&[u8]] = if expected == Ok("admin:1") { &[] } else { &admin_cookie };
        let got = admitted(&house, &head("GET", &[header], cookies), &both).map_err(|error| error.code());
        assert_eq!(got, expected.map(str::to_owned), "{}", String::from_utf8_lossy(header));
    }
    let customers_token: [&[u8]; 1] = [b"Bearer c.customer.1"];
    let refused = admitted(&house, &head("GET", &customers_token, &[]), &rule(&[&house.admin])).unwrap_err();
    assert_eq!(
        (refused.code(), refused.challenge()),
        (ErrorCode::GuardMismatch, Challenge::Bare),
        "answered like no token at all"
    );
}

#[test]
fn without_a_header_the_first_cookie_in_the_routes_order_decides_and_a_bad_one_is_final() {
    let house = House::new();
    let both = rule(&[&house.admin, &house.customer]);
    let two: [&[u8]; 1] = [b"bekci_customer_at=c.customer.1; bekci_admin_at=a.admin.1"];
    assert_eq!(admitted(&house, &head("GET", &[], &two), &both).unwrap(), "admin:1");
    let bad: [&[u8]; 1] = [b"bekci_customer_at=c.customer.1; bekci_admin_at=bad.admin.1"];
    assert_eq!(
        admitted(&house, &head("GET", &[], &bad), &both).unwrap_err().code(),
        ErrorCode::TokenInvalid
    );
    let foreign: [&[u8]; 1] = [b"bekci_admin_at=c.customer.1"];
    assert_eq!(
        admitted(&house, &head("GET", &[], &foreign), &both).unwrap_err().code(),
        ErrorCode::GuardMismatch,
        "another guard's token in the cookie"
    );
}

#[test]
fn two_credentials_for_the_guard_that_decides_are_ambiguous_unless_they_are_the_same() {
    let house = House::new();
    let route = rule(&[&house.customer]);
    let header: [&[u8]; 1] = [b"Bearer c.customer.1"];
    let same: [&[u8]; 1] = [b"bekci_customer_at=c.customer.1"];
    assert!(admitted(&house, &head("GET", &header, &same), &route).is_ok());
    let other: [&[u8]; 1] = [b"bekci_customer_at=c.customer.2"];
    assert_eq!(
        admitted(&house, &head("GET", &header, &other), &route)
            .unwrap_err()
            .code(),
        ErrorCode::AmbiguousCredentials
    );
    let headers: [&[u8]; 2] = [b"Bearer c.customer.1", b"Bearer c.customer.2"];
    assert_eq!(
        admitted(&house, &head("GET", &headers, &[]), &route)
            .unwrap_err()
            .code(),
        ErrorCode::AmbiguousCredentials
    );
    let another_guards: [&[u8]; 1] = [b"bekci_admin_at=a.admin.1"];
    assert!(
        admitted(&house, &head("GET", &header, &another_guards), &route).is_ok(),
        "it does not decide here"
    );
}

#[test]
fn an_unsafe_request_by_cookie_proves_where_it_comes_from() {
    let house = House::new();
    let route = rule(&[&house.customer]);
    let (csrf, others) = (&*csrf_of("customer"), &*csrf_of("admin"));
    let pair = format!("bekci_customer_at=c.customer.1; bekci_customer_csrf={csrf}");
    let cookies: [&[u8]; 1] = [pair.as_bytes()];
    let post = |fetch_site, csrf_token| RequestHead {
        fetch_site,
        csrf_token,
        ..head("POST", &[], &cookies)
    };
    assert!(admitted(&house, &head("GET", &[], &cookies), &route).is_ok());
    for refused in [
        post(None, None),
        post(Some("cross-site"), Some(csrf)),
        post(Some("same-site"), Some(csrf)),
        post(None, Some("0")),
        post(None, Some(others)),
    ] {
        assert_eq!(
            admitted(&house, &refused, &route).unwrap_err().code(),
            ErrorCode::CsrfRejected
        );
    }
    assert!(admitted(&house, &post(Some("same-origin"), None), &route).is_ok());
    assert!(admitted(&house, &post(None, Some(csrf)), &route).is_ok());
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    assert!(
        admitted(&house, &head("POST", &bearer, &[]), &route).is_ok(),
        "a header is proof enough"
    );
}

#[test]
fn a_route_for_guests_lets_in_those_without_a_credential_alone() {
    let house = House::new();
    let guests = RouteRule {
        kind: RouteKind::Guest,
        ..rule(&[&house.customer])
    };
    assert_eq!(admitted(&house, &head("GET", &[], &[]), &guests).unwrap(), "nobody");
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    assert_eq!(
        admitted(&house, &head("GET", &bearer, &[]), &guests)
            .unwrap_err()
            .code(),
        ErrorCode::Forbidden
    );
}
