//! Temporary identities: where their tokens count, by which sessions they live, and that they hold nothing.

use std::sync::Arc;

use bekci_core::{
    AuthError, AuthGuard, ErrorCode, Permission, Principal, RequestHead, RouteKind, RouteRule, TokenFault, Verification,
};

use crate::{
    admitted, head,
    ports::{House, block_on},
    rule,
};

const TEMPORARY: [&[u8]; 1] = [b"Bearer t.customer.1"];
const FULL: [&[u8]; 1] = [b"Bearer c.customer.1"];

fn unverified(guards: &[&Arc<AuthGuard>]) -> RouteRule {
    RouteRule {
        kind: RouteKind::Unverified,
        ..rule(guards)
    }
}

fn principal(house: &House, head: &RequestHead<'_>, rule: &RouteRule) -> Result<Principal, AuthError> {
    block_on(house.gate.admit(head, rule)).map(|admission| admission.principal.unwrap())
}

#[test]
fn a_temporary_token_is_no_good_at_all_where_a_route_does_not_ask_for_unverified() {
    let house = House::new();
    house.source.wait_for_verification(true);
    let rejected = AuthError::TokenInvalid(TokenFault::Header("typ is not this kind's"));
    for kind in [RouteKind::Authorized, RouteKind::Fresh(300), RouteKind::Guest] {
        let rule = RouteRule {
            kind,
            ..rule(&[&house.customer, &house.admin])
        };
        assert_eq!(
            admitted(&house, &head("GET", &TEMPORARY, &[]), &rule),
            Err(rejected.clone())
        );
    }
    let elsewhere = admitted(&house, &head("GET", &TEMPORARY, &[]), &rule(&[&house.admin])).unwrap_err();
    assert_eq!(elsewhere.code(), ErrorCode::GuardMismatch);
    let elsewhere = admitted(&house, &head("GET", &TEMPORARY, &[]), &unverified(&[&house.admin])).unwrap_err();
    assert_eq!(elsewhere.code(), ErrorCode::GuardMismatch);
    assert_eq!(house.source.looks() + house.source.reads(), 0, "nobody was asked for");
}

#[test]
fn its_cookie_is_looked_at_on_routes_for_the_unverified_alone_and_before_the_access_cookie() {
    let house = House::new();
    let both: [&[u8]; 1] = [b"bekci_customer_at=c.customer.1; bekci_customer_tt=t.customer.2"];
    let alone: [&[u8]; 1] = [b"bekci_customer_tt=t.customer.2"];
    let customers = rule(&[&house.customer]);
    assert_eq!(
        admitted(&house, &head("GET", &[], &both), &customers).unwrap(),
        "customer:1"
    );
    assert_eq!(
        admitted(&house, &head("GET", &[], &alone), &customers),
        Err(AuthError::TokenMissing)
    );
    house.source.wait_for_verification(true);
    let open = unverified(&[&house.customer]);
    for cookies in [&both, &alone] {
        assert_eq!(
            admitted(&house, &head("GET", &[], cookies), &open).unwrap(),
            "customer:2"
        );
    }
    // It comes by itself, like any cookie.
    assert_eq!(
        admitted(&house, &head("POST", &[], &alone), &open),
        Err(AuthError::CsrfRejected)
    );
    let other: [&[u8]; 1] = [b"Bearer t.customer.3"];
    assert_eq!(
        admitted(&house, &head("GET", &other, &alone), &open),
        Err(AuthError::AmbiguousCredentials)
    );
    let twice: [&[u8]; 1] = [b"bekci_customer_tt=t.customer.2; bekci_customer_tt=t.customer.3"];
    assert_eq!(
        admitted(&house, &head("GET", &[], &twice), &open),
        Err(AuthError::AmbiguousCredentials)
    );
}

#[test]
fn a_route_for_the_unverified_lets_in_who_is_signed_in_too() {
    let house = House::new();
    let open = unverified(&[&house.customer]);
    let full = principal(&house, &head("GET", &FULL, &[]), &open).unwrap();
    assert!(!full.is_temporary() && full.can(&Permission::new("orders.view").unwrap()));
    assert_eq!(
        admitted(&house, &head("GET", &[], &[]), &open),
        Err(AuthError::TokenMissing)
    );
    let bad: [&[u8]; 1] = [b"Bearer bad.customer.1"];
    assert_eq!(
        admitted(&house, &head("GET", &bad, &[]), &open),
        Err(AuthError::TokenInvalid(TokenFault::Signature))
    );
}

#[test]
fn a_temporary_token_lives_by_a_session_that_waits_and_an_access_token_by_one_that_does_not() {
    let house = House::new();
    let open = unverified(&[&house.customer]);
    for waits in [true, false] {
        house.source.wait_for_verification(waits);
        let temporary = admitted(&house, &head("GET", &TEMPORARY, &[]), &open);
        let full = admitted(&house, &head("GET", &FULL, &[]), &open);
        let (good, refused) = if waits { (temporary, full) } else { (full, temporary) };
        assert_eq!(good.unwrap(), "customer:1");
        assert_eq!(refused, Err(AuthError::SessionEnded));
    }
}

#[test]
fn a_temporary_identity_holds_nothing_and_is_never_fresh() {
    let house = House::new();
    house.source.wait_for_verification(true);
    let open = unverified(&[&house.customer]);
    let who = principal(&house, &head("GET", &TEMPORARY, &[]), &open).unwrap();
    let view = Permission::new("orders.view").unwrap();
    assert!(who.is_temporary() && !who.can(&view) && !who.held().explain(&view).is_held());
    assert!(who.held().permission_names().is_empty() && who.held().role_names().is_empty());
    assert!(!who.is_fresh(time::Duration::days(36_500), time::OffsetDateTime::UNIX_EPOCH));
    let refused = AuthError::PolicyDenied("who is not verified yet has no rights".into());
    assert_eq!(who.ask_policy("/orders", "GET"), Err(refused));
    let asking = RouteRule {
        permissions: vec![view],
        ..open
    };
    assert_eq!(
        admitted(&house, &head("GET", &TEMPORARY, &[]), &asking)
            .unwrap_err()
            .code(),
        ErrorCode::Forbidden
    );
}

#[test]
fn a_guard_verifies_nothing_unless_it_is_told_to() {
    let house = House::new();
    assert_eq!(house.customer.verification, Verification::Off);
    assert_eq!(house.customer.temporary_ttl, time::Duration::seconds(300));
    assert_eq!(house.customer.cookies.temporary, "bekci_customer_tt");
}
