//! The management API on the shipped configuration, with two nodes on one database: what it changes decides the very next request, on the node that was asked
//! and on the other one.

mod premises;
mod table;

use serde_json::{Value, json};

pub use premises::{Ground, Office};

use crate::http::{Answer, get, post};

/// How often each change is made and taken back.
const ROUNDS: usize = 20;

fn verdicts(answers: &[Answer; 2]) -> [String; 2] {
    answers.each_ref().map(Answer::verdict)
}

macro_rules! on_every_ground {
    ($($name:ident),* $(,)?) => {
        on_every_ground!(@ground demo, Demo, $($name),*);
        on_every_ground!(@ground sqlite, Sqlite, $($name),*);
        on_every_ground!(@ground postgres, Postgres, $($name),*);
        on_every_ground!(@ground postgres_and_redis, PostgresRedis, $($name),*);
        on_every_ground!(@ground mariadb, MariaDb, $($name),*);
    };
    (@ground $module:ident, $ground:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(super::Office::shared(super::Ground::$ground));
            })*
        }
    };
}

on_every_ground!(
    a_role_taken_and_given_decides_the_very_next_request_on_both_nodes,
    a_policy_line_added_and_removed_decides_the_very_next_request_on_both_nodes,
    a_ban_answers_the_very_next_request_with_its_reason_on_both_nodes,
    a_line_that_does_not_load_changes_nothing_on_either_node,
);

fn a_role_taken_and_given_decides_the_very_next_request_on_both_nodes(office: &Office) {
    let desk = office.desk();
    let (id, token) = desk.person("customer", &["buyer"]);
    let call = format!("PUT /principals/customer/{id}/roles");
    for round in 0..ROUNDS {
        let node = round % 2;
        desk.manage(node, &call, &json!({"roles": []}));
        let answers = desk.say(node, "/api/orders/7", &token);
        assert_eq!(verdicts(&answers), ["403 POLICY_DENIED"; 2], "round {round}");
        desk.manage(node, &call, &json!({"roles": ["buyer"]}));
        let answers = desk.say(node, "/api/orders/7", &token);
        assert_eq!(verdicts(&answers), ["200"; 2], "round {round}");
    }
}

fn a_policy_line_added_and_removed_decides_the_very_next_request_on_both_nodes(office: &Office) {
    let desk = office.desk();
    let (id, token) = desk.person("customer", &["buyer"]);
    let path = format!("/api/parcels/{id}");
    let line = format!("p, principal:customer:{id}, *, {path}, GET, allow");
    let lines = json!({"lines": [line]});
    for round in 0..ROUNDS {
        let node = round % 2;
        desk.manage(node, "POST /policies", &lines);
        assert_eq!(verdicts(&desk.say(node, &path, &token)), ["200"; 2], "round {round}");
        let question = json!({"principal": format!("customer:{id}"), "path": path, "method": "GET"});
        let told = desk.manage(1 - node, "POST /policies/check", &question).json();
        assert_eq!(told["data"]["line"], json!(line), "round {round}");
        desk.manage(node, "DELETE /policies", &lines);
        assert_eq!(
            verdicts(&desk.say(node, &path, &token)),
            ["403 POLICY_DENIED"; 2],
            "round {round}"
        );
    }
}

fn a_ban_answers_the_very_next_request_with_its_reason_on_both_nodes(office: &Office) {
    let desk = office.desk();
    let (id, token) = desk.person("customer", &["buyer"]);
    let call = format!("PUT /principals/customer/{id}/status");
    for round in 0..ROUNDS {
        let (node, reason) = (round % 2, format!("chargeback {round}"));
        desk.manage(node, &call, &json!({"status": "banned", "reason": reason}));
        for answer in desk.say(node, "/me/x", &token) {
            assert_eq!(answer.verdict(), "403 ACCOUNT_BANNED", "round {round}");
            assert_eq!(answer.json()["error"]["details"]["reason"], json!(reason));
        }
        desk.manage(node, &call, &json!({"status": "active"}));
        assert_eq!(verdicts(&desk.say(node, "/me/x", &token)), ["200"; 2], "round {round}");
    }
}

fn a_line_that_does_not_load_changes_nothing_on_either_node(office: &Office) {
    let desk = office.desk();
    let (_, token) = desk.person("customer", &["buyer"]);
    for node in 0..2 {
        let body = json!({"lines": ["p, role:customer:buyer, *, /api/orders/**, (, deny"]});
        let refused = post("/admin/v1/policies").bearer(&desk.root).json(&body);
        let refused = refused.to(office.addresses()[node]);
        assert_eq!(refused.verdict(), "422 VALIDATION_FAILED");
        assert_eq!(verdicts(&desk.say(node, "/api/orders/7", &token)), ["200"; 2]);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write is asked by the environment, as for the configuration's documents"
)]
fn generated_openapi_document_is_what_the_shipped_configuration_serves() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let served = get("/openapi.json").to(Office::shared(Ground::Sqlite).addresses()[0]);
    assert_eq!(served.status, 200);
    let served = served.json();
    if std::env::var_os("BEKCI_WRITE_GENERATED").is_some() {
        let text = serde_json::to_string_pretty(&served).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    // Not assert_eq: the two would fill the screen.
    assert!(
        kept == served,
        "docs/openapi.json is not what is served: BEKCI_WRITE_GENERATED=1 cargo test -p bekci-gateway generated"
    );
}
