//! An open WebSocket ends when what let it in ends, on whichever node.

use serde_json::json;

use crate::{
    house::{House, on_sqlite_and_postgres},
    http::{Wire, ask},
    people::Tokens,
    proxying::{say_by_websocket, talk_by_websocket, upgrade},
};

on_sqlite_and_postgres!(a_websocket_on_another_node_ends_with_what_let_it_in);

/// An open WebSocket of somebody, on the last node.
fn opened(house: &House, path: &str, tokens: &Tokens) -> Wire {
    let mut wire = Wire::open(house.nodes.last().unwrap().address);
    talk_by_websocket(&mut wire, upgrade(path).bearer(&tokens.access));
    wire
}

fn a_websocket_on_another_node_ends_with_what_let_it_in(house: &House) {
    let here = house.address();
    let admin = house.person("admin", "super-admin").sign_in(here);
    let put = |path: &str, body| {
        let answer = ask("PUT", path).bearer(&admin.access).json(&body).to(here);
        assert_eq!(answer.status, 200, "{path}");
    };
    let bystander = house.signed_in();
    let mut untouched = opened(house, "/ws/chat", &bystander);

    let signed_out = house.signed_in();
    let mut wire = opened(house, "/ws/chat", &signed_out);
    assert_eq!(signed_out.ask("POST", "logout").to(here).status, 200);
    assert!(wire.is_ended_by_the_other_side(), "its session has ended");

    let banned = house.customer();
    let tokens = banned.sign_in(here);
    let mut wire = opened(house, "/ws/chat", &tokens);
    let path = format!("/admin/v1/principals/customer/{}/status", banned.id);
    put(&path, json!({"status": "banned"}));
    assert!(wire.is_ended_by_the_other_side(), "its account is banned");

    let deposed = house.customer();
    let tokens = deposed.sign_in(here);
    let mut wire = opened(house, "/orders/chat", &tokens);
    let mut other = opened(house, "/ws/chat", &tokens);
    let path = format!("/admin/v1/principals/customer/{}/roles", deposed.id);
    put(&path, json!({"guard": "customer", "roles": []}));
    assert!(wire.is_ended_by_the_other_side(), "the route asks a role that is gone");
    say_by_websocket(&mut other, b"this route asks none");

    let outcast = house.customer();
    let mut wire = opened(house, "/ws/chat", &outcast.sign_in(here));
    house.sql(&format!(
        "UPDATE customers SET status = 'banned' WHERE id = {}",
        outcast.id
    ));
    assert!(
        wire.is_ended_by_the_other_side(),
        "it was banned behind the gateway's back"
    );

    let deleted = house.customer();
    let mut wire = opened(house, "/ws/chat", &deleted.sign_in(here));
    let path = format!("/admin/v1/principals/customer/{}", deleted.id);
    assert_eq!(ask("DELETE", &path).bearer(&admin.access).to(here).status, 200);
    assert!(wire.is_ended_by_the_other_side(), "its account is gone");

    say_by_websocket(&mut untouched, b"still here");
    let log = house.nodes.last().unwrap().server.log();
    assert!(
        log.contains("a WebSocket was ended") && log.contains("the session has ended"),
        "{log}"
    );
}
