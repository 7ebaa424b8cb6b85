//! What everybody is answered on every route of the demo, as `data/demo-answers.tsv` has it: each role with each permission, by each method, on both nodes.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Ground, Office, premises::Desk};
use crate::http::{Wire, ask, post};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-answers.tsv");
/// The permission that a route of the demo asks.
const PERMISSION: &str = "orders.manage";
/// Admins' roles; the last is made here, the others come with the demo.
const ADMIN_ROLES: [&str; 4] = ["", "support", "super-admin", "manager"];
const CUSTOMER_ROLES: [&str; 2] = ["", "buyer"];

/// Each route of the demo, the ends of its patterns, and what no route matches.
const PATHS: [&str; 13] = [
    "/public/x",
    "/me",
    "/me/x",
    "/api",
    "/api/orders",
    "/api/orders/7",
    "/api/orders/7/items",
    "/api/invoices/7",
    "/back-office",
    "/back-office/orders",
    "/fresh/x",
    "/ws/x",
    "/nothing",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

const HEADER: &str = "\
# What the demo answers: one case each line, columns by tabs.
# Made by BEKCI_WRITE_GENERATED=1 cargo test -p bekci-gateway generated; each line is a promise, to be read before it is kept.
#
# who     the model, then the role if any, then a permission that is granted (+) or denied (-) to the account itself; role manager permits orders.manage
# answer  status and code, the same from the demo and from the second node beside it; an answer to HEAD has no code
#
# who	method	path	answer
";

/// The table as it is asked, line after line.
struct Table {
    wires: [Wire; 2],
    text: String,
}

impl Table {
    /// Asks both nodes everything as somebody; they answer the same.
    fn ask(&mut self, who: &str, token: Option<&str>) {
        for path in PATHS {
            for method in METHODS {
                let asked = ask(method, path).header("accept", "application/json");
                let asked = match token {
                    Some(token) => asked.bearer(token),
                    None => asked,
                };
                let [here, there] = self.wires.each_mut().map(|wire| asked.on(wire).verdict());
                assert_eq!(here, there, "{who} {method} {path}: the nodes differ");
                writeln!(self.text, "{who}\t{method}\t{path}\t{here}").unwrap();
            }
        }
    }
}

/// An account that becomes one after the other.
struct Chameleon<'a> {
    desk: &'a Desk<'a>,
    model: &'a str,
    id: String,
    token: String,
}

impl<'a> Chameleon<'a> {
    fn new(desk: &'a Desk<'a>, model: &'a str) -> Self {
        let (id, token) = desk.person(model, &[]);
        Self { desk, model, id, token }
    }

    /// Changes something of it, through one node and then the other.
    fn put(&self, node: usize, what: &str, body: &Value) {
        let call = format!("PUT /principals/{}/{}/{what}", self.model, self.id);
        self.desk.manage(node, &call, body);
    }

    fn each_right(&self, table: &mut Table, roles: &[&str]) {
        for role in roles {
            let held: Vec<&str> = Some(*role).into_iter().filter(|role| !role.is_empty()).collect();
            self.put(0, "roles", &json!({"roles": held}));
            for (sign, granted, denied) in [
                ("", vec![], vec![]),
                ("+", vec![PERMISSION], vec![]),
                ("-", vec![], vec![PERMISSION]),
            ] {
                self.put(1, "permissions", &json!({"granted": granted, "denied": denied}));
                let mut who = format!("{} {role}", self.model).trim_end().to_owned();
                if !sign.is_empty() {
                    who = format!("{who} {sign}{PERMISSION}");
                }
                table.ask(&who, Some(&self.token));
            }
        }
        self.put(0, "permissions", &json!({"granted": [], "denied": []}));
    }

    /// Early, banned, restored and signed out, with one role.
    fn each_state(&self, table: &mut Table, office: &Office, role: &str) {
        let mut say = |state: &str| table.ask(&format!("{} {role}, {state}", self.model), Some(&self.token));
        self.put(0, "roles", &json!({"roles": [role]}));
        office.sql(&format!(
            "UPDATE bekci_sessions SET authenticated_at = authenticated_at - 301000000 WHERE model = '{}' AND principal_id = '{}'",
            self.model, self.id
        ));
        // The time of a sign-in never changes by itself, so nobody looks whether it has: a change of the account makes both nodes look.
        let call = format!("PATCH /principals/{}/{}", self.model, self.id);
        self.desk.manage(0, &call, &json!({"name": "Early"}));
        say("signed in 301 s ago");
        self.put(1, "status", &json!({"status": "banned", "reason": "fraud"}));
        say("banned");
        self.put(0, "status", &json!({"status": "active"}));
        say("restored");
        let out = post(&format!("/auth/{}/logout", self.model)).bearer(&self.token);
        assert_eq!(out.to(office.addresses()[1]).verdict(), "200");
        say("signed out");
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write is asked by the environment, as for the configuration's documents"
)]
fn generated_table_of_what_everybody_is_answered_on_every_route_of_the_demo() {
    let office = Office::shared(Ground::Demo);
    let desk = office.desk();
    let body = json!({"guard": "admin", "name": "manager", "permissions": [PERMISSION]});
    desk.manage(0, "POST /roles", &body);
    let mut table = Table {
        wires: office.addresses().map(Wire::open),
        text: HEADER.to_owned(),
    };
    table.ask("nobody", None);
    for (model, roles, last) in [
        ("customer", &CUSTOMER_ROLES[..], "buyer"),
        ("admin", &ADMIN_ROLES, "super-admin"),
    ] {
        let account = Chameleon::new(&desk, model);
        account.each_right(&mut table, roles);
        account.each_state(&mut table, office, last);
    }
    let table = table.text;
    if std::env::var_os("BEKCI_WRITE_GENERATED").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    let differs: Vec<_> = kept.lines().zip(table.lines()).filter(|(was, is)| was != is).collect();
    assert!(differs.is_empty(), "kept, and answered now: {differs:#?}");
    assert_eq!(kept.lines().count(), table.lines().count());
}
