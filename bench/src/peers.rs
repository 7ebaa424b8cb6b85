//! The peers, each with one process for its work, as their Debian packages bring them.

use std::{net::SocketAddr, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_test_support::{Server, Service, TempDir, find_program};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A running program and its folder.
pub(crate) struct Peer {
    pub(crate) server: Server,
    _folder: TempDir,
}

impl Peer {
    fn start(name: &str, service: impl Fn(u16, &TempDir) -> Service) -> Self {
        let folder = TempDir::new(name);
        let server = Server::on_free_port(|port| service(port, &folder));
        Self {
            server,
            _folder: folder,
        }
    }

    /// This program as an Actix application: see [`crate::application`].
    pub(crate) fn application(role: &'static str) -> Self {
        let this = std::env::current_exe().unwrap();
        Self::start(role, |port, folder| {
            Service::new(this.to_str().unwrap(), port, folder).args([role, &port.to_string()])
        })
    }

    /// nginx that forwards, keeping its connections to the upstream.
    pub(crate) fn nginx(upstream: SocketAddr) -> Self {
        Self::nginx_with(move |port| {
            format!(
                "upstream application {{ server {upstream}; keepalive 64; }} server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://application; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; }} }}"
            )
        })
    }

    /// nginx with the file of config/deploy: it asks Bekci and then forwards.
    pub(crate) fn nginx_that_asks(gateway: SocketAddr, upstream: SocketAddr) -> Self {
        Self::nginx_with(move |port| {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/deploy/nginx.conf");
            std::fs::read_to_string(shipped)
                .unwrap()
                .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
                .replace("127.0.0.1:8080", &gateway.to_string())
                .replace("server 127.0.0.1:9000;", &format!("server {upstream}; keepalive 64;"))
                .replace(
                    "proxy_pass http://application;",
                    "proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection \"\";",
                )
        })
    }

    fn nginx_with(site: impl Fn(u16) -> String) -> Self {
        Self::start("nginx", |port, folder| {
            let kept =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {what};"));
            let text = format!(
                "daemon off; master_process off; pid nginx.pid; events {{ worker_connections 4096; }} http {{ access_log off; keepalive_requests 1000000; {} {} }}",
                kept.concat(),
                site(port)
            );
            std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
            Service::new("nginx", port, folder).args(["-e", "stderr", "-c", "nginx.conf", "-p", "."])
        })
    }

    /// HAProxy that forwards; with a secret it verifies an HS256 token first, and nothing else of it.
    pub(crate) fn haproxy(upstream: SocketAddr, secret: Option<&str>) -> Self {
        let verify = secret.map_or_else(String::new, |secret| {
            format!(
                " http-request set-var(txn.bearer) http_auth_bearer\n http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(\"HS256\",\"{secret}\") -m int 1 }}\n"
            )
        });
        Self::start("haproxy", |port, folder| {
            let text = format!(
                "global\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\nfrontend f\n bind 127.0.0.1:{port}\n{verify} default_backend \
                 b\nbackend b\n http-reuse always\n server s {upstream}\n"
            );
            std::fs::write(folder.path().join("haproxy.cfg"), text).unwrap();
            Service::new("haproxy", port, folder).args(["-db", "-f", "haproxy.cfg"])
        })
    }

    /// Caddy that forwards, on one processor as the others.
    pub(crate) fn caddy(upstream: SocketAddr) -> Self {
        Self::start("caddy", |port, folder| {
            let text = format!(
                "{{\n\tadmin off\n\tauto_https off\n}}\nhttp://127.0.0.1:{port} {{\n\treverse_proxy {upstream}\n}}\n"
            );
            std::fs::write(folder.path().join("Caddyfile"), text).unwrap();
            Service::new("env", port, folder)
                .args(["HOME=.", "XDG_CONFIG_HOME=.", "XDG_DATA_HOME=.", "GOMAXPROCS=1"])
                .args([find_program("caddy").unwrap()])
                .args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
        })
    }
}

/// A token that HAProxy takes: HS256, with the claims of an access token.
pub(crate) fn hs256(secret: &str) -> String {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!(
        "{}.{}",
        part(serde_json::json!({"alg": "HS256", "typ": "at+jwt"})),
        part(
            serde_json::json!({"iss": "http://bekci.test", "aud": "admin", "sub": "admin:1", "exp": 4_102_444_800_u64})
        )
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
