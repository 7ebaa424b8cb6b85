//! What goes on after its request was let in.

use std::sync::Arc;

use bekci_core::{ErrorCode, GuardChain, Lasting, Permission, RouteKind, RouteRule};

use crate::{
    head,
    ports::{House, block_on},
};

/// A connection that a customer was let in for by a route that asks `orders.view` and a fresh sign-in.
fn opened(house: &House) -> Lasting {
    let rule = Arc::new(RouteRule {
        permissions: vec![Permission::new("orders.view").unwrap()],
        kind: RouteKind::Fresh(1_000),
        ..RouteRule::guarded("shop", GuardChain::new([Arc::clone(&house.customer)]))
    });
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    let admission = block_on(house.gate.admit(&head("GET", &bearer, &[]), &rule)).unwrap();
    Lasting::new(
        house.gate.clone(),
        admission.principal.unwrap(),
        rule,
        "GET",
        "/orders/7",
    )
}

fn code(result: Result<(), bekci_core::AuthError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

#[test]
fn while_nothing_moves_it_goes_on_and_nothing_is_read() {
    let house = House::new();
    let lasting = opened(&house);
    let looks = house.source.looks();
    for _ in 0..100 {
        assert_eq!(lasting.at_a_glance(&house.gate).map(code), Some(None));
    }
    assert_eq!((house.source.looks(), house.source.reads()), (looks, 0));
}

#[test]
fn a_change_is_looked_at_once_and_what_is_taken_ends_it() {
    let house = House::new();
    let mut lasting = opened(&house);
    house.source.take_rights_during_the_next_look();
    let _other = opened_by_nobody(&house);
    assert!(lasting.at_a_glance(&house.gate).is_none(), "something moved");
    assert_eq!(code(block_on(lasting.look(&house.gate))), Some(ErrorCode::Forbidden));
    assert_eq!(house.source.reads(), 1);
}

/// Moves the source as a request of somebody else does.
fn opened_by_nobody(house: &House) -> Option<ErrorCode> {
    let rule = RouteRule::guarded("other", GuardChain::new([Arc::clone(&house.customer)]));
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    code(block_on(house.gate.admit(&head("GET", &bearer, &[]), &rule)).map(|_| ()))
}

#[test]
fn where_it_cannot_be_told_it_does_not_go_on() {
    let house = House::new();
    let mut lasting = opened(&house);
    house.source.move_always();
    house.source.go_away();
    assert!(lasting.at_a_glance(&house.gate).is_none());
    assert_eq!(
        code(block_on(lasting.look(&house.gate))),
        Some(ErrorCode::StoreUnavailable)
    );
}

#[test]
fn a_sign_in_that_is_not_fresh_any_more_ends_nothing() {
    let house = House::new();
    let mut lasting = opened(&house);
    house.clock.advance(std::time::Duration::from_secs(86_400));
    assert_eq!(lasting.at_a_glance(&house.gate).map(code), Some(None));
    assert_eq!(code(block_on(lasting.look(&house.gate))), None);
}

#[test]
fn another_gate_looks_for_itself() {
    let (house, next) = (House::new(), House::new());
    let mut lasting = opened(&house);
    assert!(lasting.at_a_glance(&next.gate).is_none(), "its counters are others");
    assert_eq!(code(block_on(lasting.look(&next.gate))), None);
    assert_eq!(lasting.at_a_glance(&next.gate).map(code), Some(None));
    assert_eq!((house.source.reads(), next.source.reads()), (0, 1));
}
