//! The gateway that is asked, and the proxies that ask it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::OnceLock,
};

use bekci_test_support::{Server, Service, TempDir, find_program, free_port};
use serde_json::Value;

use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, Ask, get, post},
};

/// A gateway that believes 127.0.0.1, and a customer who is signed in.
pub struct Gateway {
    pub server: Server,
    pub token: String,
    _folder: TempDir,
}

impl Gateway {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Gateway> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = TempDir::new("fronts");
        let config = folder.path().join("bekci.toml");
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut added = false;
        let server = Server::on_free_port(|port| {
            let text = CONFIG
                .replace("{port}", &port.to_string())
                .replace("{ops}", &ops.port().to_string())
                .replace("{folder}", folder.path().to_str().unwrap());
            std::fs::write(&config, text).unwrap();
            if !added {
                run(&config, &["migrate", "up"], "").success();
                run(&config, &["role", "add", "buyer", "--guard", "customer"], "").success();
                let add = ["principal", "add", "--password-stdin", "--name", "Zoë"];
                let about = ["--model", "customer", "--email", "zoe@customer.test", "--role", "buyer"];
                run(&config, &[&add[..], &about[..]].concat(), PASSWORD).success();
                added = true;
            }
            Service::new(BEKCI, port, &folder)
                .args(["serve"])
                .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
        });
        let body = serde_json::json!({"email": "zoe@customer.test", "password": PASSWORD});
        let signed_in = post("/auth/customer/login").json(&body).to(server.address());
        assert_eq!(signed_in.status, 200);
        let token = signed_in.json()["data"]["accessToken"].as_str().unwrap().to_owned();
        Self {
            server,
            token,
            _folder: folder,
        }
    }
}

pub const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:{port}"
ops_listen = "127.0.0.1:{ops}"
public_url = "http://bekci.test"
trusted_proxies = ["127.0.0.1"]
workers = 1
shutdown_timeout_seconds = 1
[database]
url = "sqlite://{folder}/bekci.db"
[token]
keys_dir = "{folder}/keys"
[secrets]
root = { file = "{folder}/keys/root" }
[guards.customer]
password_hash = { memory_kib = 7168, iterations = 1, lanes = 1 }
sign_in_url = "/sign-in"
[models.customer]
cached_attributes = ["email", "name"]
[[routes]]
id = "public"
paths = ["/public/**"]
public = true
[[routes]]
id = "me"
paths = ["/me/**"]
guards = ["customer"]
[[routes]]
id = "office"
paths = ["/office/**"]
guards = ["customer"]
permissions = ["orders.manage"]
"#;

/// A proxy with its shipped file, changed in its addresses alone.
pub struct Front {
    server: Server,
    _folder: TempDir,
}

/// Starts a program on a port, asking the gateway at this address.
pub type Start = fn(u16, SocketAddr, &TempDir) -> Service;

fn shipped(file: &str, port: u16, gateway: SocketAddr) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/deploy")
        .join(file);
    std::fs::read_to_string(path)
        .unwrap()
        .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
        .replace(":8000 {", &format!(":{port} {{"))
        .replace("127.0.0.1:8080", &gateway.to_string())
        .replace("127.0.0.1:9000", &Echo::shared().address.to_string())
}

pub fn nginx(port: u16, gateway: SocketAddr, folder: &TempDir) -> Service {
    std::fs::write(folder.path().join("bekci.conf"), shipped("nginx.conf", port, gateway)).unwrap();
    let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {what};"));
    let main = format!(
        "daemon off; master_process off; pid nginx.pid; events {{}} http {{ access_log off; {} include bekci.conf; }}",
        kept.concat()
    );
    std::fs::write(folder.path().join("nginx.conf"), main).unwrap();
    Service::new("nginx", port, folder).args(["-e", "stderr", "-c", "nginx.conf", "-p", "."])
}

pub fn haproxy(port: u16, gateway: SocketAddr, folder: &TempDir) -> Service {
    for file in ["haproxy.cfg", "bekci.lua"] {
        std::fs::write(folder.path().join(file), shipped(file, port, gateway)).unwrap();
    }
    Service::new("haproxy", port, folder).args(["-db", "-f", "haproxy.cfg"])
}

/// Without its administration, which listens on one port for all, and in a home of its own, where it writes.
pub fn caddy(port: u16, gateway: SocketAddr, folder: &TempDir) -> Service {
    let text = format!("{{\n\tadmin off\n}}\n{}", shipped("Caddyfile", port, gateway));
    std::fs::write(folder.path().join("Caddyfile"), text).unwrap();
    let home = ["HOME=.", "XDG_CONFIG_HOME=.", "XDG_DATA_HOME=."];
    let run = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    Service::new("env", port, folder)
        .args(home)
        .args([find_program("caddy").unwrap()])
        .args(run)
}

impl Front {
    pub fn start(start: Start, gateway: SocketAddr) -> Self {
        let folder = TempDir::new("front");
        let server = Server::on_free_port(|port| start(port, gateway, &folder));
        Self {
            server,
            _folder: folder,
        }
    }

    pub fn ask(&self, request: &Ask) -> Answer {
        request.to(self.server.address())
    }

    /// What the application sees of a request that is let through.
    #[track_caller]
    pub fn seen(&self, request: &Ask) -> Value {
        let answer = self.ask(request);
        assert_eq!(answer.status, 200, "{answer:?} {}", self.server.log());
        answer.json()
    }
}

pub fn signed_in(request: Ask) -> Ask {
    request.bearer(&Gateway::shared().token)
}
