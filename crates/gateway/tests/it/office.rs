//! The management API on the shipped configuration, with two `bekci serve` on one database: what it changes decides the very next request, on the node that was asked
//! and on the other one.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::OnceLock,
};

use bekci_test_support::{Postgres, Server, Service, TempDir, free_port, unique};
use serde_json::{Value, json};

use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, ask, get, post},
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
/// How often each change is made and taken back.
const ROUNDS: usize = 20;

/// Nodes by the shipped configuration, on a database of their own.
struct Office {
    nodes: Vec<(SocketAddr, Server, TempDir)>,
    /// The access token of an admin who holds everything.
    root: String,
    folder: TempDir,
    database: String,
}

impl Office {
    fn on_postgres() -> &'static Self {
        static SHARED: OnceLock<Office> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(Some(Postgres::shared().fresh_database("office"))))
    }

    fn on_sqlite() -> &'static Self {
        static SHARED: OnceLock<Office> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(None))
    }

    fn new(database: Option<String>) -> Self {
        let folder = TempDir::new("office");
        let file = folder.path().join("bekci.db");
        let mut office = Self {
            nodes: Vec::new(),
            root: String::new(),
            database: database.unwrap_or_else(|| format!("sqlite://{}", file.display())),
            folder,
        };
        let config = office.folder.path().join("bekci.toml");
        std::fs::write(&config, office.config(free_port(), free_port())).unwrap();
        run(&config, &["key", "generate"], "").success();
        run(&config, &["migrate", "up"], "").success();
        for (model, role) in [("admin", "super-admin"), ("customer", "buyer")] {
            let email = format!("first@{model}.test");
            let arguments = ["principal", "add", "--password-stdin", "--model", model];
            let about = ["--email", &email, "--role", role];
            run(&config, &[&arguments[..], &about[..]].concat(), PASSWORD).success();
        }
        office.nodes = (0..2).map(|_| office.open_node()).collect();
        office.root = sign_in(office.nodes[0].0, "admin", "first@admin.test");
        office
    }

    /// The shipped configuration, at other addresses.
    fn config(&self, port: u16, ops: u16) -> String {
        let text = std::fs::read_to_string(format!("{SHIPPED}/bekci.toml")).unwrap();
        text.replace("#:schema ./bekci.schema.json", "")
            .replace("\"127.0.0.1:8080\"", &format!("\"127.0.0.1:{port}\""))
            .replace("\"127.0.0.1:8081\"", &format!("\"127.0.0.1:{ops}\""))
            .replace("http://127.0.0.1:8080", "http://bekci.test")
            .replace("127.0.0.1:9000", &Echo::shared().address.to_string())
            .replace("sqlite://data/bekci.db", &self.database)
            .replace("\"data/", &format!("\"{}/", self.folder.path().display()))
            .replace("\"config/", &format!("\"{SHIPPED}/"))
            .replace("level = \"info\"", "level = \"warn\"")
    }

    fn open_node(&self) -> (SocketAddr, Server, TempDir) {
        let folder = TempDir::new("node");
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let config: PathBuf = folder.path().join("bekci.toml");
        let server = Server::on_free_port(|port| {
            std::fs::write(&config, self.config(port, ops.port())).unwrap();
            Service::new(BEKCI, port, &folder)
                .args(["serve"])
                .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
        });
        (server.address(), server, folder)
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.nodes[0].0, self.nodes[1].0]
    }

    /// A call of the management API, through one of the nodes.
    fn manage(&self, node: usize, call: &str, body: &Value) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let asked = ask(method, &format!("/admin/v1{path}")).bearer(&self.root).json(body);
        let answer = asked.to(self.addresses()[node]);
        assert_eq!(answer.verdict(), "200", "{call} {body}: {answer:?}");
        answer
    }

    /// A new customer with the role `buyer`, signed in: its id and its access token.
    fn buyer(&self) -> (String, String) {
        let email = format!("{}@customer.test", unique("someone"));
        let body = json!({"email": email, "password": PASSWORD, "verified": true});
        let added = self.manage(0, "POST /principals/customer", &body).json();
        let id = added["data"]["id"].as_str().unwrap().to_owned();
        self.manage(
            0,
            &format!("PUT /principals/customer/{id}/roles"),
            &json!({"roles": ["buyer"]}),
        );
        (id, sign_in(self.nodes[0].0, "customer", &email))
    }

    /// What both nodes say to a request, the one that was not asked for the change first.
    fn say(&self, node: usize, path: &str, token: &str) -> [Answer; 2] {
        let [here, there] = self.addresses();
        let order = if node == 0 { [there, here] } else { [here, there] };
        order.map(|address| get(path).bearer(token).to(address))
    }
}

fn sign_in(address: SocketAddr, guard: &str, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD});
    let answer = post(&format!("/auth/{guard}/login")).json(&body).to(address);
    assert_eq!(answer.verdict(), "200");
    answer.json()["data"]["accessToken"].as_str().unwrap().to_owned()
}

fn verdicts(answers: &[Answer; 2]) -> [String; 2] {
    answers.each_ref().map(Answer::verdict)
}

macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod postgres { $(#[test] fn $name() { super::$name(super::Office::on_postgres()); })* }
        mod sqlite { $(#[test] fn $name() { super::$name(super::Office::on_sqlite()); })* }
    };
}

on_both_databases!(
    a_role_taken_and_given_decides_the_very_next_request_on_both_nodes,
    a_policy_line_added_and_removed_decides_the_very_next_request_on_both_nodes,
    a_ban_answers_the_very_next_request_with_its_reason_on_both_nodes,
    a_line_that_does_not_load_changes_nothing_on_either_node,
);

fn a_role_taken_and_given_decides_the_very_next_request_on_both_nodes(office: &Office) {
    let (id, token) = office.buyer();
    let call = format!("PUT /principals/customer/{id}/roles");
    for round in 0..ROUNDS {
        let node = round % 2;
        office.manage(node, &call, &json!({"roles": []}));
        let answers = office.say(node, "/api/orders/7", &token);
        assert_eq!(verdicts(&answers), ["403 POLICY_DENIED"; 2], "round {round}");
        office.manage(node, &call, &json!({"roles": ["buyer"]}));
        let answers = office.say(node, "/api/orders/7", &token);
        assert_eq!(verdicts(&answers), ["200"; 2], "round {round}");
    }
}

fn a_policy_line_added_and_removed_decides_the_very_next_request_on_both_nodes(office: &Office) {
    let (id, token) = office.buyer();
    let path = format!("/api/parcels/{id}");
    let line = format!("p, principal:customer:{id}, *, {path}, GET, allow");
    let lines = json!({"lines": [line]});
    for round in 0..ROUNDS {
        let node = round % 2;
        office.manage(node, "POST /policies", &lines);
        assert_eq!(verdicts(&office.say(node, &path, &token)), ["200"; 2], "round {round}");
        let question = json!({"principal": format!("customer:{id}"), "path": path, "method": "GET"});
        let told = office.manage(1 - node, "POST /policies/check", &question).json();
        assert_eq!(told["data"]["line"], json!(line), "round {round}");
        office.manage(node, "DELETE /policies", &lines);
        assert_eq!(
            verdicts(&office.say(node, &path, &token)),
            ["403 POLICY_DENIED"; 2],
            "round {round}"
        );
    }
}

fn a_ban_answers_the_very_next_request_with_its_reason_on_both_nodes(office: &Office) {
    let (id, token) = office.buyer();
    let call = format!("PUT /principals/customer/{id}/status");
    for round in 0..ROUNDS {
        let (node, reason) = (round % 2, format!("chargeback {round}"));
        office.manage(node, &call, &json!({"status": "banned", "reason": reason}));
        for answer in office.say(node, "/me/x", &token) {
            assert_eq!(answer.verdict(), "403 ACCOUNT_BANNED", "round {round}");
            assert_eq!(answer.json()["error"]["details"]["reason"], json!(reason));
        }
        office.manage(node, &call, &json!({"status": "active"}));
        assert_eq!(
            verdicts(&office.say(node, "/me/x", &token)),
            ["200"; 2],
            "round {round}"
        );
    }
}

fn a_line_that_does_not_load_changes_nothing_on_either_node(office: &Office) {
    let (_, token) = office.buyer();
    for node in 0..2 {
        let body = json!({"lines": ["p, role:customer:buyer, *, /api/orders/**, (, deny"]});
        let refused = post("/admin/v1/policies").bearer(&office.root).json(&body);
        let refused = refused.to(office.addresses()[node]);
        assert_eq!(refused.verdict(), "422 VALIDATION_FAILED");
        assert_eq!(verdicts(&office.say(node, "/api/orders/7", &token)), ["200"; 2]);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write is asked by the environment, as for the configuration's documents"
)]
fn generated_openapi_document_is_what_the_shipped_configuration_serves() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let served = get("/openapi.json").to(Office::on_sqlite().addresses()[0]);
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
