//! A gateway for each model, one after the other on one database with the same accounts, and what it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use bekci_test_support::{Server, Service, TempDir, free_port};
use serde_json::{Value, json};

use super::example::{Case, Example, Way, role};
use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, Wire, ask, get, post},
};

/// An account, by its name in the examples.
struct Account {
    id: String,
    token: String,
}

pub struct Gateways {
    folder: TempDir,
    people: BTreeSet<String>,
    tenants: BTreeSet<String>,
    accounts: BTreeMap<String, Account>,
}

/// One by one model.
pub struct Gateway<'a> {
    of: &'a mut Gateways,
    server: Server,
    root: String,
    _folder: TempDir,
}

/// What an example left, to be taken away.
pub struct Kept {
    lines: Vec<String>,
    held: Vec<(String, Option<String>)>,
}

impl Gateways {
    /// For the subjects and domains of these cases.
    pub fn new(cases: &[Case]) -> Self {
        let gateways = Self {
            folder: TempDir::new("casbin"),
            people: cases.iter().map(|case| case.subject.clone()).collect(),
            tenants: cases.iter().filter_map(|case| case.domain.clone()).collect(),
            accounts: BTreeMap::new(),
        };
        let config = gateways.folder.path().join("bekci.toml");
        std::fs::write(gateways.folder.path().join("empty.csv"), "").unwrap();
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/casbin_model.conf");
        std::fs::write(&config, gateways.config(shipped, free_port(), free_port())).unwrap();
        run(&config, &["key", "generate"], "").success();
        run(&config, &["migrate", "up"], "").success();
        let add = |model: &str, name: &str, role: &[&str]| {
            let email = format!("{name}@casbin.test");
            let arguments = [
                "principal",
                "add",
                "--password-stdin",
                "--model",
                model,
                "--email",
                &email,
            ];
            run(&config, &[&arguments[..], role].concat(), PASSWORD).success();
        };
        add("admin", "root", &["--role", "super-admin"]);
        for name in &gateways.people {
            add("customer", name, &[]);
        }
        gateways
    }

    fn config(&self, model: &str, port: u16, ops: u16) -> String {
        let folder = self.folder.path().display();
        let echo = Echo::shared().address;
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nops_listen = \"127.0.0.1:{ops}\"\npublic_url = \"http://bekci.test\"\nworkers = 1\n\
             trusted_proxies = [\"127.0.0.1\"]\nshutdown_timeout_seconds = 1\n[database]\nurl = \"sqlite://{folder}/bekci.db\"\n\
             [identity_cache]\npoll_ms = 10\n[token]\nkeys_dir = \"{folder}/keys\"\n[secrets]\nroot = {{ file = \"{folder}/keys/root\" }}\n\
             [tenancy]\nsource = \"header:X-Tenant\"\n[policy]\nmodel = \"{model}\"\nseed = \"{folder}/empty.csv\"\n"
        );
        for guard in ["admin", "customer"] {
            let cost = "{ memory_kib = 7168, iterations = 1, lanes = 1 }";
            writeln!(text, "[guards.{guard}]\npassword_hash = {cost}").unwrap();
        }
        writeln!(
            text,
            "[[routes]]\nid = \"all\"\npaths = [\"/**\"]\nguards = [\"customer\"]\npolicy = true\nupstream = \"http://{echo}\""
        )
        .unwrap();
        text
    }

    /// A gateway that decides by this model.
    pub fn open(&mut self, model: &str) -> Gateway<'_> {
        let folder = TempDir::new("node");
        let written = folder.path().join("model.conf");
        std::fs::write(&written, model).unwrap();
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let server = Server::on_free_port(|port| {
            let text = self.config(written.to_str().unwrap(), port, ops.port());
            std::fs::write(folder.path().join("bekci.toml"), text).unwrap();
            Service::new(BEKCI, port, &folder)
                .args(["serve"])
                .stop_signal("TERM")
                .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
        });
        let (_, root) = sign_in(server.address(), "admin", "root");
        let gateway = Gateway {
            of: self,
            server,
            root,
            _folder: folder,
        };
        gateway.settle()
    }
}

/// The id and the access token of an account.
fn sign_in(address: SocketAddr, guard: &str, name: &str) -> (String, String) {
    let body = json!({"email": format!("{name}@casbin.test"), "password": PASSWORD});
    let answer = post(&format!("/auth/{guard}/login")).json(&body).to(address);
    assert_eq!(answer.verdict(), "200", "{answer:?}");
    let data = &answer.json()["data"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&data["user"]["id"]), text(&data["accessToken"]))
}

impl Gateway<'_> {
    /// Signs everybody in, once for all gateways: they stand on one database. Each belongs to every tenant, so that nothing but the policy decides.
    fn settle(self) -> Self {
        for name in self.of.people.clone() {
            if self.of.accounts.contains_key(&name) {
                continue;
            }
            let (id, token) = sign_in(self.server.address(), "customer", &name);
            for tenant in &self.of.tenants {
                let body = json!({"tenant": tenant, "granted": ["tenant.member"], "denied": []});
                self.manage(&format!("PUT /principals/customer/{id}/permissions"), &body);
            }
            self.of.accounts.insert(name, Account { id, token });
        }
        self
    }

    fn manage(&self, call: &str, body: &Value) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let asked = ask(method, &format!("/admin/v1{path}")).bearer(&self.root).json(body);
        let answer = asked.to(self.server.address());
        assert!(matches!(answer.status, 200 | 201), "{call} {body}: {answer:?}");
        answer
    }

    /// Gives it the lines of an example.
    pub fn furnish(&self, example: &Example, way: Way) -> Kept {
        let account = |name: &str| format!("principal:customer:{}", self.of.accounts[name].id);
        let lines = example.lines(account);
        let is_kept = |line: &&str| way == Way::Lines || !line.starts_with("g, principal:");
        let lines: Vec<String> = lines.lines().filter(is_kept).map(str::to_owned).collect();
        if !lines.is_empty() {
            self.manage("POST /policies", &json!({"lines": lines}));
        }
        let mut held = Vec::new();
        for member in example.memberships() {
            if way == Way::Lines {
                continue;
            }
            let tenant = member.domain.filter(|domain| domain != "*");
            self.make_role(tenant.as_ref(), &member.role);
            let id = self.of.accounts[&member.account].id.clone();
            self.hold(&id, tenant.as_ref(), &[&member.role]);
            held.push((id, tenant));
        }
        Kept { lines, held }
    }

    pub fn clear(&self, kept: Kept) {
        for (id, tenant) in &kept.held {
            self.hold(id, tenant.as_ref(), &[]);
        }
        if !kept.lines.is_empty() {
            self.manage("DELETE /policies", &json!({"lines": kept.lines}));
        }
    }

    fn hold(&self, id: &str, tenant: Option<&String>, roles: &[&str]) {
        let mut body = json!({"roles": roles});
        if let Some(tenant) = tenant {
            body["tenant"] = json!(tenant);
        }
        self.manage(&format!("PUT /principals/customer/{id}/roles"), &body);
    }

    fn make_role(&self, tenant: Option<&String>, name: &str) {
        let mut body = json!({"guard": "customer", "name": role(name)});
        if let Some(tenant) = tenant {
            body["tenant"] = json!(tenant);
        }
        let made = ask("POST", "/admin/v1/roles").bearer(&self.root).json(&body);
        let verdict = made.to(self.server.address()).verdict();
        assert!(matches!(&*verdict, "200" | "201" | "409 CONFLICT"), "{body}: {verdict}");
    }

    /// Asks as the case's subject: let through, or refused by the policy.
    pub fn decides(&self, case: &Case) -> bool {
        let asked = ask(case.method(), &case.path()).bearer(&self.of.accounts[&case.subject].token);
        let asked = match &case.domain {
            Some(domain) => asked.header("x-tenant", domain),
            None => asked,
        };
        let answer = asked.on(&mut Wire::open(self.server.address()));
        match &*answer.verdict() {
            "200" => true,
            "403 POLICY_DENIED" => false,
            other => panic!("{case:?}: {other}"),
        }
    }
}
