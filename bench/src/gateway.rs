//! The gateway as a process, by the code of `bekci serve`, with a configuration of its own.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use bekci_test_support::{Server, Service, TempDir, free_port};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "lantern orbit meadow seven";

/// This program, which is `bekci` where its first argument is one of its commands.
fn binary() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A gateway on SQLite before one upstream, and an admin who is signed in.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    /// The header `authorization` of the admin.
    pub(crate) authorization: String,
    folder: TempDir,
    ops: u16,
}

impl Gateway {
    pub(crate) fn start(upstream: SocketAddr, workers: u8) -> Self {
        let folder = TempDir::new("gateway");
        let ops = free_port();
        let config = folder.path().join("bekci.toml");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let mut added = false;
        let server = Server::on_free_port(|port| {
            let text = CONFIG
                .replace("{port}", &port.to_string())
                .replace("{ops}", &ops.to_string())
                .replace("{workers}", &workers.to_string())
                .replace("{upstream}", &upstream.to_string())
                .replace("{folder}", &folder.path().display().to_string())
                .replace("{config}", &root.display().to_string());
            std::fs::write(&config, text).unwrap();
            if !added {
                add_the_admin(&config);
                added = true;
            }
            service(port, ops, &folder)
        });
        let body = serde_json::json!({"email": EMAIL, "password": PASSWORD}).to_string();
        let signed_in = ask(server.port(), "POST", "/auth/admin/login", &body);
        let answer: serde_json::Value = serde_json::from_str(&signed_in).unwrap();
        let token = answer["data"]["accessToken"].as_str().unwrap().to_owned();
        Self {
            server,
            authorization: format!("authorization: Bearer {token}"),
            folder,
            ops,
        }
    }

    /// Stops it, and measures how long a start on the same database takes until it is ready.
    pub(crate) fn restart(&self, clock: &dyn bekci_core::Clock) -> Duration {
        self.server.stop();
        let began = clock.uptime();
        let mut command = Command::new(binary());
        command
            .args(["serve", "--config"])
            .arg(self.folder.path().join("bekci.toml"));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !is_ready(self.ops) {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = clock.uptime().saturating_sub(began);
        child.kill().unwrap();
        child.wait().unwrap();
        took
    }
}

fn service(port: u16, ops: u16, folder: &TempDir) -> Service {
    Service::new(binary().to_str().unwrap(), port, folder)
        .args(["serve", "--config", "bekci.toml"])
        .ready_when(move |_| is_ready(ops))
}

fn is_ready(ops: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, ops)).is_ok() && ask(ops, "GET", "/readyz", "").contains("\"ready\":true")
}

fn add_the_admin(config: &Path) {
    let mut command = Command::new(binary());
    command.args([
        "principal",
        "add",
        "--create",
        "--model",
        "admin",
        "--email",
        EMAIL,
        "--name",
        "Ada",
    ]);
    command
        .args(["--role", "super-admin", "--password-stdin", "--config"])
        .arg(config);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "no admin could be made");
}

/// The body of the answer to one request, on a connection of its own.
fn ask(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: bekci.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

/// `/api/**` asks for all that can be asked: a token, an identity, a role, a permission and casbin.
pub(crate) const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:{port}"
ops_listen = "127.0.0.1:{ops}"
public_url = "http://bekci.test"
trusted_proxies = ["127.0.0.1"]
workers = {workers}
[database]
url = "sqlite://{folder}/bekci.db"
[token]
keys_dir = "{folder}/keys"
[secrets]
root = { file = "{folder}/keys/root" }
[log]
level = "warn"
[policy]
model = "{config}/casbin_model.conf"
seed = "{config}/casbin_policy.csv"
[guards.admin]
access_ttl_seconds = 3600
[[routes]]
id = "public"
paths = ["/public/**"]
public = true
upstream = "http://{upstream}"
[[routes]]
id = "api"
paths = ["/api/**"]
guards = ["admin"]
roles = ["super-admin"]
permissions = ["orders.manage"]
policy = true
upstream = "http://{upstream}"
"#;
