//! Refresh tokens.

use std::{collections::HashSet, net::SocketAddr};

use bekci_test_support::rounds;
use serde_json::json;

use crate::{
    house::{House, on_every_store},
    http::{Answer, post},
    people::{Tokens, call},
};

on_every_store!(
    refreshes_at_once_all_get_the_same_token_and_a_live_access_token,
    an_old_refresh_token_ends_its_session_on_both_nodes_at_once,
    a_refresh_token_at_another_guard_changes_nothing,
    a_refresh_token_that_was_tampered_with_changes_nothing,
    no_refresh_outlives_a_sign_out_everywhere,
    no_refresh_outlives_a_sign_out,
);

const AT_ONCE: usize = 64;

/// The node for the nth of many requests.
fn node(house: &House, number: usize) -> SocketAddr {
    house.nodes[number % house.nodes.len()].address
}

fn refreshes_at_once_all_get_the_same_token_and_a_live_access_token(house: &House) {
    let tokens = house.signed_in();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let refresh = |number| {
            let ask = tokens.refresh();
            move || ask.to(node(house, number))
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(refresh(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let given: Vec<Tokens> = answers.iter().map(|answer| Tokens::of("customer", answer)).collect();
    let refreshes: HashSet<&str> = given.iter().map(|tokens| tokens.refresh.as_str()).collect();
    assert_eq!(refreshes.len(), 1);
    assert!(!refreshes.contains(tokens.refresh.as_str()));
    for (number, tokens) in given.iter().enumerate() {
        assert_eq!(tokens.verdict(node(house, number / 2)), "200");
    }
    let one = house.sql(&format!(
        "SELECT generation FROM bekci_sessions WHERE id = '{}'",
        tokens.session
    ));
    assert_eq!(one, "1", "one of them rotated");
}

fn an_old_refresh_token_ends_its_session_on_both_nodes_at_once(house: &House) {
    let first = house.signed_in();
    let second = Tokens::of("customer", &first.refresh().to(node(house, 0)));
    let third = Tokens::of("customer", &second.refresh().to(node(house, 1)));
    for number in 0..2 {
        assert_eq!(third.verdict(node(house, number)), "200");
    }
    let reused = first.refresh().to(node(house, 0));
    assert_eq!(reused.verdict(), "401 REFRESH_TOKEN_REUSED");
    for number in 0..2 {
        assert_eq!(third.verdict(node(house, number)), "401 TOKEN_INVALID");
        assert_eq!(
            third.refresh().to(node(house, number)).verdict(),
            "401 REFRESH_TOKEN_INVALID"
        );
    }
}

fn a_refresh_token_at_another_guard_changes_nothing(house: &House) {
    let tokens = house.signed_in();
    let body = json!({"refreshToken": tokens.refresh});
    for guard in ["admin", "shop"] {
        let answer = post(&call(guard, "token/refresh")).json(&body).to(node(house, 1));
        assert_eq!(answer.verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    assert_eq!(tokens.verdict(node(house, 0)), "200");
    assert_eq!(tokens.refresh().to(node(house, 0)).verdict(), "200");
}

fn a_refresh_token_that_was_tampered_with_changes_nothing(house: &House) {
    let tokens = house.signed_in();
    let mut bytes = tokens.refresh.clone().into_bytes();
    let middle = bytes.len() / 2;
    for at in [middle, bytes.len() - 3] {
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let body = json!({"refreshToken": String::from_utf8(bytes.clone()).unwrap()});
        let answer = post(&call("customer", "token/refresh")).json(&body).to(node(house, 0));
        assert_eq!(answer.verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    for text in ["", "bkr_", "bkr_AAAA", &tokens.access] {
        let answer = post(&call("customer", "token/refresh")).json(&json!({"refreshToken": text}));
        assert_eq!(answer.to(node(house, 0)).status, 401, "{text}");
    }
    assert_eq!(tokens.refresh().to(node(house, 0)).verdict(), "200");
}

fn no_refresh_outlives_a_sign_out_everywhere(house: &House) {
    against_a_refresh(house, "logout-all");
}

fn no_refresh_outlives_a_sign_out(house: &House) {
    against_a_refresh(house, "logout");
}

/// A refresh on one node and this call on the other, at the same time: afterwards nothing of the session lives, whoever was first.
fn against_a_refresh(house: &House, leaving: &str) {
    let customer = house.customer();
    for round in 0..rounds(20, 200) {
        let tokens = customer.sign_in(node(house, round));
        let (left, refreshed) = std::thread::scope(|scope| {
            let leave = tokens.ask("POST", leaving);
            let leave = scope.spawn(move || leave.to(node(house, round)));
            let refreshed = tokens.refresh().to(node(house, round + 1));
            (leave.join().unwrap(), refreshed)
        });
        assert_eq!(left.verdict(), "200");
        let mut given = vec![tokens];
        if refreshed.status == 200 {
            given.push(Tokens::of("customer", &refreshed));
        } else {
            assert_eq!(refreshed.verdict(), "401 REFRESH_TOKEN_INVALID");
        }
        for (tokens, number) in given.iter().flat_map(|tokens| [(tokens, 0), (tokens, 1)]) {
            assert_eq!(
                tokens.verdict(node(house, number)),
                "401 TOKEN_INVALID",
                "round {round}"
            );
            assert_eq!(tokens.refresh().to(node(house, number)).status, 401, "round {round}");
        }
    }
}
