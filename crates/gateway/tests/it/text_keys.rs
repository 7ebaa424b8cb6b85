//! A model whose ids are texts, by configuration alone.

use serde_json::json;

use crate::{
    house::{House, Kind, PASSWORD},
    http::post,
    people::Tokens,
    reloading::File,
};

const SECTIONS: &str = "[guards.partner]\n[models.partner]\nid_kind = \"text\"\n";

fn a_text_that_a_key_can_hold_is_an_account_and_any_other_none(kind: Kind) {
    let house = House::new(kind, 1);
    let address = house.address();
    let command = |arguments: &[&str]| {
        let with = format!("{SECTIONS}[models.customer]");
        house.command_with("[models.customer]", &with, arguments)
    };
    command(&["key", "generate"]).success();
    command(&["migrate", "up"]).success();
    let file = File::of_node(&house.nodes[0]);
    file.write(&format!("{}\n{SECTIONS}", file.first));
    file.until("bekci_config_generation", 2);
    let add = |id: &str| {
        house.sql(&format!(
            "INSERT INTO partners (id, email, password_hash) SELECT '{id}', 'p' || count(*) || '@partner.test', \
             (SELECT password_hash FROM customers WHERE id = 1) FROM partners"
        ))
    };
    let login = |number: usize| {
        let body = json!({"email": format!("p{number}@partner.test"), "password": PASSWORD});
        post("/auth/partner/login").json(&body).to(address)
    };
    let good = ["R2-D2_x", "42", "0190a0b1-c2d3-4e5f-8a9b-00ffeeddccbb", "-1"];
    for (number, id) in good.into_iter().enumerate() {
        add(id);
        let tokens = Tokens::of("partner", &login(number));
        let me = tokens.ask("GET", "me").to(address).json();
        assert_eq!(me["data"]["key"], format!("partner:{id}"), "{me}");
    }
    let bad = ["a b", "a:b", "../1", "{x}", "a*", &"x".repeat(65)];
    for (number, id) in bad.into_iter().enumerate() {
        add(id);
        assert_eq!(login(good.len() + number).verdict(), "401 CREDENTIAL_INVALID", "{id}");
    }
    let listed = command(&["principal", "list", "--model", "partner"]).success().out;
    assert!(
        listed.contains("partner:R2-D2_x") && !listed.contains("a:b"),
        "{listed}"
    );
}

#[test]
fn text_keys_on_sqlite() {
    a_text_that_a_key_can_hold_is_an_account_and_any_other_none(Kind::SqliteRedis);
}

#[test]
fn text_keys_on_postgres() {
    a_text_that_a_key_can_hold_is_an_account_and_any_other_none(Kind::PostgresRedis);
}

#[test]
fn text_keys_on_mariadb() {
    a_text_that_a_key_can_hold_is_an_account_and_any_other_none(Kind::MariaDb);
}
