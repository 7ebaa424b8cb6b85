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

/// A gateway that believes 127.0.0.1, and customers who are signed in.
pub struct Gateway {
    pub server: Server,
    pub token: String,
    /// Of a customer whose name is too long for any header.
    pub long: String,
    _folder: TempDir,
}

/// The address of a customer.
pub const ZOE: &str = "zoe@customer.test";

impl Gateway {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Gateway> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("bekci"))
    }

    /// One that tells identities by the names of this preset.
    pub fn start(preset: &str) -> Self {
        let folder = TempDir::new("fronts");
        let config = folder.path().join("bekci.toml");
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut added = false;
        let server = Server::on_free_port(|port| {
            let text = CONFIG
                .replace("[server]", &format!("[server]\ndecision_preset = \"{preset}\""))
                .replace("{port}", &port.to_string())
                .replace("{ops}", &ops.port().to_string())
                .replace("{folder}", folder.path().to_str().unwrap());
            std::fs::write(&config, text).unwrap();
            if !added {
                run(&config, &["migrate", "up"], "").success();
                run(&config, &["role", "add", "buyer", "--guard", "customer"], "").success();
                let long = "x".repeat(20_000);
                for (email, name) in [(ZOE, "Zoë"), ("long@customer.test", &*long)] {
                    let add = ["principal", "add", "--password-stdin", "--name", name];
                    let about = ["--model", "customer", "--email", email, "--role", "buyer"];
                    run(&config, &[&add[..], &about[..]].concat(), PASSWORD).success();
                }
                added = true;
            }
            Service::new(BEKCI, port, &folder)
                .args(["serve"])
                .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
        });
        let token = |email: &str| {
            let answer = sign_in(email).to(server.address());
            assert_eq!(answer.status, 200);
            answer.json()["data"]["accessToken"].as_str().unwrap().to_owned()
        };
        Self {
            token: token(ZOE),
            long: token("long@customer.test"),
            server,
            _folder: folder,
        }
    }
}

/// A customer signs in.
pub fn sign_in(email: &str) -> Ask {
    post("/auth/customer/login").json(&serde_json::json!({"email": email, "password": PASSWORD}))
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
security_cookie_rotate_seconds = 0
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
        .replace(
            "address: 127.0.0.1, port_value: 8000",
            &format!("address: 127.0.0.1, port_value: {port}"),
        )
        .replace(
            "address: 127.0.0.1, port_value: 8080",
            &format!("address: 127.0.0.1, port_value: {}", gateway.port()),
        )
        .replace(
            "address: 127.0.0.1, port_value: 9000",
            &format!("address: 127.0.0.1, port_value: {}", Echo::shared().address.port()),
        )
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

/// Without its administration and without hot restarts, which share memory with others of this machine.
pub fn envoy(port: u16, gateway: SocketAddr, folder: &TempDir) -> Service {
    std::fs::write(folder.path().join("envoy.yaml"), shipped("envoy.yaml", port, gateway)).unwrap();
    Service::new("envoy", port, folder).args(["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"])
}

/// How each is started for the names of a preset: only Caddy's file says which they are.
pub mod with_names {
    use super::{Service, SocketAddr, Start, TempDir};

    pub fn nginx(_: &str) -> Start {
        super::nginx
    }

    pub fn haproxy(_: &str) -> Start {
        super::haproxy
    }

    pub fn envoy(_: &str) -> Start {
        super::envoy
    }

    pub fn caddy(preset: &str) -> Start {
        match preset {
            "authelia" => |port, gateway, folder| named(port, gateway, folder, "authelia"),
            "oauth2-proxy" => |port, gateway, folder| named(port, gateway, folder, "oauth2-proxy"),
            _ => |port, gateway, folder| named(port, gateway, folder, "authentik"),
        }
    }

    fn named(port: u16, gateway: SocketAddr, folder: &TempDir, preset: &str) -> Service {
        let service = super::caddy(port, gateway, folder);
        let path = folder.path().join("Caddyfile");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("import bekci\n").count(), 1);
        std::fs::write(&path, text.replace("import bekci\n", &format!("import {preset}\n"))).unwrap();
        service
    }
}

/// nginx with a larger body allowed, in the one place where its file says so.
pub fn nginx_for_large_bodies(port: u16, gateway: SocketAddr, folder: &TempDir) -> Service {
    let service = nginx(port, gateway, folder);
    let path = folder.path().join("bekci.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("client_max_body_size 1m;").count(), 1);
    std::fs::write(
        &path,
        text.replace("client_max_body_size 1m;", "client_max_body_size 8m;"),
    )
    .unwrap();
    service
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
