//! Signing out, and one's other sessions.

use serde_json::{Value, json};

use crate::{
    house::{House, on_every_store},
    http::post,
    people::{Tokens, call},
};

on_every_store!(
    a_sign_out_on_one_node_stops_the_token_on_the_other_in_the_next_request,
    a_sign_out_everywhere_stops_every_session_on_both_nodes,
    a_refresh_token_alone_signs_out_and_a_second_time_is_200,
    credentials_of_two_sessions_sign_out_of_neither,
    a_session_is_listed_and_ended_by_its_owner_alone,
    a_new_sign_in_ends_the_session_that_was_presented_with_it,
    what_redis_forgets_revives_nothing,
);

fn a_sign_out_on_one_node_stops_the_token_on_the_other_in_the_next_request(house: &House) {
    let customer = house.customer();
    for (here, there) in [(0, 1), (1, 0)] {
        let (here, there) = (house.nodes[here].address, house.nodes[there].address);
        let tokens = customer.sign_in(here);
        let stays = customer.sign_in(there);
        assert_eq!([tokens.verdict(here), tokens.verdict(there)], ["200", "200"]);
        let left = tokens.ask("POST", "logout").to(here);
        assert_eq!(left.verdict(), "200");
        assert_eq!(left.header("clear-site-data"), Some("\"cache\""));
        assert_eq!(tokens.verdict(there), "401 TOKEN_INVALID");
        assert_eq!(tokens.verdict(here), "401 TOKEN_INVALID");
        assert_eq!(tokens.refresh().to(there).verdict(), "401 REFRESH_TOKEN_INVALID");
        assert_eq!([stays.verdict(here), stays.verdict(there)], ["200", "200"]);
    }
}

fn a_sign_out_everywhere_stops_every_session_on_both_nodes(house: &House) {
    let (customer, other) = (house.customer(), house.signed_in());
    let nodes = [house.nodes[0].address, house.nodes[1].address];
    let all: Vec<Tokens> = (0..5).map(|number| customer.sign_in(nodes[number % 2])).collect();
    for (tokens, node) in all.iter().flat_map(|tokens| nodes.map(|node| (tokens, node))) {
        assert_eq!(tokens.verdict(node), "200");
    }
    let left = all[0].ask("POST", "logout-all").to(nodes[0]);
    assert_eq!(left.json()["data"]["endedSessions"], 5);
    for (tokens, node) in all.iter().flat_map(|tokens| nodes.map(|node| (tokens, node))) {
        assert_eq!(tokens.verdict(node), "401 TOKEN_INVALID");
        assert_eq!(tokens.refresh().to(node).verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    assert_eq!(other.verdict(nodes[1]), "200", "nobody else's");
}

fn a_refresh_token_alone_signs_out_and_a_second_time_is_200(house: &House) {
    let tokens = house.signed_in();
    let by_refresh = post(&call("customer", "logout")).json(&json!({"refreshToken": tokens.refresh}));
    for node in &house.nodes {
        assert_eq!(by_refresh.to(node.address).verdict(), "200");
        assert_eq!(tokens.verdict(node.address), "401 TOKEN_INVALID");
    }
    let nothing = post(&call("customer", "logout")).to(house.address());
    assert_eq!(nothing.verdict(), "401 TOKEN_MISSING");
}

fn credentials_of_two_sessions_sign_out_of_neither(house: &House) {
    let customer = house.customer();
    let (one, other) = (customer.sign_in(house.address()), customer.sign_in(house.address()));
    let body = json!({"refreshToken": other.refresh});
    let answer = one.ask("POST", "logout").json(&body).to(house.address());
    assert_eq!(answer.verdict(), "400 AMBIGUOUS_CREDENTIALS");
    assert_eq!(
        [one.verdict(house.address()), other.verdict(house.address())],
        ["200", "200"]
    );
}

fn a_session_is_listed_and_ended_by_its_owner_alone(house: &House) {
    let (here, there) = (house.nodes[0].address, house.nodes[1].address);
    let (alice, mallory) = (house.customer(), house.signed_in());
    let named = alice.login(&json!({"deviceName": "Phone"})).to(here);
    let phone = Tokens::of("customer", &named);
    let laptop = alice.sign_in(there);
    let listed = laptop.ask("GET", "sessions").to(here).json();
    let sessions = listed["data"].as_array().unwrap();
    let about = |tokens: &Tokens, field: &str| -> Value {
        let found = sessions.iter().find(|session| session["id"] == tokens.session.as_str());
        found.unwrap()[field].clone()
    };
    assert_eq!(sessions.len(), 2);
    assert_eq!(about(&phone, "deviceName"), "Phone");
    assert_eq!(
        (about(&phone, "current"), about(&laptop, "current")),
        (json!(false), json!(true))
    );

    let ended = |by: &Tokens, id: &str| by.ask("DELETE", &format!("sessions/{id}")).to(here).verdict();
    assert_eq!(ended(&mallory, &phone.session), "404 NOT_FOUND");
    assert_eq!(ended(&mallory, "0"), "404 NOT_FOUND");
    assert_eq!([phone.verdict(here), phone.verdict(there)], ["200", "200"]);

    assert_eq!(ended(&laptop, &phone.session), "200");
    assert_eq!(
        [phone.verdict(here), phone.verdict(there)],
        ["401 TOKEN_INVALID", "401 TOKEN_INVALID"]
    );
    assert_eq!(laptop.verdict(here), "200");
}

fn a_new_sign_in_ends_the_session_that_was_presented_with_it(house: &House) {
    let customer = house.customer();
    let first = customer.sign_in(house.nodes[0].address);
    let again = customer
        .login(&json!({}))
        .bearer(&first.access)
        .to(house.nodes[1].address);
    let second = Tokens::of("customer", &again);
    for node in &house.nodes {
        assert_eq!(first.verdict(node.address), "401 TOKEN_INVALID");
        assert_eq!(second.verdict(node.address), "200");
    }
}

fn what_redis_forgets_revives_nothing(house: &House) {
    let (alive, left, reused) = (house.signed_in(), house.signed_in(), house.signed_in());
    assert_eq!(left.ask("POST", "logout").to(house.nodes[0].address).verdict(), "200");
    let next = Tokens::of("customer", &reused.refresh().to(house.nodes[0].address));
    let last = Tokens::of("customer", &next.refresh().to(house.nodes[0].address));
    assert_eq!(
        reused.refresh().to(house.nodes[1].address).verdict(),
        "401 REFRESH_TOKEN_REUSED"
    );
    if let Some(redis) = &house.redis {
        redis.cli(&["FLUSHALL"]);
    }
    for node in &house.nodes {
        assert_eq!(alive.verdict(node.address), "200");
        for tokens in [&left, &reused, &next, &last] {
            assert_eq!(tokens.verdict(node.address), "401 TOKEN_INVALID");
            assert_eq!(tokens.refresh().to(node.address).verdict(), "401 REFRESH_TOKEN_INVALID");
        }
    }
}
