//! One database, and a gateway on it for each way of naming a tenant.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use bekci_test_support::{Postgres, Server, Service, TempDir, free_port, psql, sqlite3_cli, unique};
use serde_json::{Value, json};

use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, Ask, get, post},
};

/// Where a gateway looks for the tenant, and whom it trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Host,
    /// The tests' own address is that of a trusted proxy.
    Header,
    /// It is a stranger's.
    StrangersHeader,
    Path,
    Claim,
}

impl By {
    fn tenancy(self) -> (&'static str, &'static str) {
        match self {
            Self::Host => ("host", "127.0.0.1"),
            Self::Header => ("header:X-Tenant", "127.0.0.1"),
            Self::StrangersHeader => ("header:X-Tenant", "192.0.2.1"),
            Self::Path => ("path:2", "127.0.0.1"),
            Self::Claim => ("claim", "127.0.0.1"),
        }
    }
}

pub struct Estate {
    database: String,
    file: PathBuf,
    folder: TempDir,
    gateways: [OnceLock<Gateway>; 5],
    writing: Mutex<()>,
}

struct Gateway {
    server: Server,
    _folder: TempDir,
}

/// An account, signed in nowhere yet.
pub struct Member {
    pub guard: &'static str,
    pub email: String,
    pub id: String,
}

impl Estate {
    pub fn on_sqlite() -> &'static Self {
        static SHARED: OnceLock<Estate> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(None))
    }

    pub fn on_postgres() -> &'static Self {
        static SHARED: OnceLock<Estate> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(Some(Postgres::shared().fresh_database("estate"))))
    }

    fn new(database: Option<String>) -> Self {
        let folder = TempDir::new("estate");
        let file = folder.path().join("bekci.db");
        let estate = Self {
            database: database.unwrap_or_else(|| format!("sqlite://{}", file.display())),
            file,
            folder,
            gateways: [const { OnceLock::new() }; 5],
            writing: Mutex::new(()),
        };
        let path = estate.folder.path().join("commands.toml");
        std::fs::write(&path, estate.config(By::Claim, free_port(), free_port())).unwrap();
        let policy =
            "p, role:customer:keeper, acme, /ask/**, GET, allow\np, role:customer:buyer, , /ask/**, GET, allow\n";
        std::fs::write(estate.folder.path().join("policy.csv"), policy).unwrap();
        run(&path, &["key", "generate"], "").success();
        run(&path, &["migrate", "up"], "").success();
        for model in ["admin", "customer", "staff"] {
            let about = ["--model", model, "--email", &format!("first@{model}.test")];
            let add = ["principal", "add", "--password-stdin", "--name", "First"];
            run(&path, &[&add[..], &about[..]].concat(), PASSWORD).success();
        }
        estate.sql(
            "INSERT INTO bekci_roles (id, guard, tenant, name) VALUES (901, 'customer', '', 'buyer'), (902, 'customer', 'acme', 'keeper'), \
             (903, 'customer', 'globex', 'keeper'), (904, 'staff', 'globex', 'keeper'); \
             INSERT INTO bekci_role_permissions (role_id, permission) VALUES (901, 'orders.view'), (902, 'orders.delete'), (903, 'orders.count');",
        );
        estate
    }

    fn config(&self, by: By, port: u16, ops: u16) -> String {
        let (source, trusted) = by.tenancy();
        let folder = self.folder.path().display();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nops_listen = \"127.0.0.1:{ops}\"\npublic_url = \"http://bekci.test\"\nworkers = 1\n\
             trusted_proxies = [\"{trusted}\"]\nshutdown_timeout_seconds = 1\n[database]\nurl = \"{}\"\n[identity_cache]\nmax_staleness_ms = 1000\n\
             poll_ms = 40\n[token]\nkeys_dir = \"{folder}/keys\"\n[secrets]\nroot = {{ file = \"{folder}/keys/root\" }}\n\
             [tenancy]\nsource = \"{source}\"\n[policy]\nmodel = \"{}\"\nseed = \"{folder}/policy.csv\"\n\
             [models.staff]\ntable = \"staffs\"\ntenant_column = \"company\"\n",
            self.database,
            root.join("casbin_model.conf").display(),
        );
        for guard in ["admin", "customer", "staff"] {
            let cost = "{ memory_kib = 7168, iterations = 1, lanes = 1 }";
            writeln!(text, "[guards.{guard}]\npassword_hash = {cost}").unwrap();
        }
        for (id, rule) in [
            ("open", "public = true"),
            ("me", "guards = [\"customer\", \"staff\"]"),
            ("view", "guards = [\"customer\"]\npermissions = [\"orders.view\"]"),
            ("delete", "guards = [\"customer\"]\npermissions = [\"orders.delete\"]"),
            ("ask", "guards = [\"customer\"]\npolicy = true"),
        ] {
            let paths = match by {
                By::Path => format!("[\"/{id}\", \"/t/*/{id}\"]"),
                By::Host | By::Header | By::StrangersHeader | By::Claim => format!("[\"/{id}/**\"]"),
            };
            let echo = Echo::shared().address;
            writeln!(
                text,
                "[[routes]]\nid = \"{id}\"\nhosts = [\"*\", \"*.shop.test\", \"www.shop.test\"]\npaths = {paths}\n{rule}\nupstream = \"http://{echo}\""
            )
            .unwrap();
        }
        text
    }

    /// The gateway that looks there.
    pub fn gateway(&self, by: By) -> SocketAddr {
        let gateway = self.gateways[by as usize].get_or_init(|| {
            let folder = TempDir::new("tenants");
            let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let server = Server::on_free_port(|port| {
                std::fs::write(folder.path().join("bekci.toml"), self.config(by, port, ops.port())).unwrap();
                Service::new(BEKCI, port, &folder).args(["serve"]).ready_when(move |_| {
                    std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200
                })
            });
            Gateway {
                server,
                _folder: folder,
            }
        });
        gateway.server.address()
    }

    /// Writes to the database from outside.
    pub fn sql(&self, sql: &str) -> String {
        let _one_at_a_time = self.writing.lock().unwrap();
        if self.database.starts_with("sqlite:") {
            sqlite3_cli(&self.file, sql)
        } else {
            psql(&self.database, sql)
        }
    }

    /// A new account: `roles` by tenant, `""` for globally; `company` is the tenant of its column, for staff.
    pub fn member(&self, guard: &'static str, company: &str, roles: &[(&str, &str)]) -> Member {
        let email = format!("{}@{guard}.test", unique("member"));
        let (more, value) = if guard == "staff" {
            (", company", format!(", '{company}'"))
        } else {
            ("", String::new())
        };
        self.sql(&format!(
            "INSERT INTO {guard}s (email, name, password_hash, email_verified_at{more}) \
             SELECT '{email}', 'Somebody', password_hash, email_verified_at{value} FROM {guard}s WHERE id = 1"
        ));
        let id = self.sql(&format!("SELECT id FROM {guard}s WHERE email = '{email}'"));
        for (tenant, role) in roles {
            self.sql(&format!(
                "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES ('{guard}', '{id}', '{guard}', '{tenant}', '{role}')"
            ));
        }
        Member { guard, email, id }
    }

    /// A customer who keeps the shops of acme and globex and buys everywhere.
    pub fn keeper(&self) -> Member {
        self.member(
            "customer",
            "",
            &[("", "buyer"), ("acme", "keeper"), ("globex", "keeper")],
        )
    }

    /// Grants (or denies) a permission in a tenant.
    pub fn give(&self, member: &Member, tenant: &str, permission: &str, denied: bool) {
        self.sql(&format!(
            "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) \
             VALUES ('{0}', '{1}', '{0}', '{tenant}', '{permission}', {denied})",
            member.guard, member.id
        ));
    }
}

impl Member {
    pub fn login(&self, more: &Value) -> Ask {
        let mut body = json!({"email": self.email, "password": PASSWORD});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        post(&format!("/auth/{}/login", self.guard)).json(&body)
    }

    /// The access token of a sign-in at a gateway that asks about no tenant by what the tests send.
    pub fn sign_in(&self, address: SocketAddr) -> String {
        access(&self.login(&json!({})).to(address))
    }
}

/// The access token that a sign-in gave.
pub fn access(answer: &Answer) -> String {
    assert_eq!(answer.verdict(), "200", "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["data"]["accessToken"].as_str().unwrap().to_owned()
}
