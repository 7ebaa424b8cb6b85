//! nginx, HAProxy and Caddy, each with its file of `config/deploy`, between clients and an application that only they may reach: what the application sees is what
//! Bekci decided, whatever the client says.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::OnceLock,
};

use bekci_test_support::{Server, Service, TempDir, find_program, free_port, unique};
use serde_json::Value;

use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, Ask, ask, get, post},
};

/// A gateway that believes 127.0.0.1, and a customer who is signed in.
struct Gateway {
    server: Server,
    token: String,
    _folder: TempDir,
}

impl Gateway {
    fn shared() -> &'static Self {
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

const CONFIG: &str = r#"
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
struct Front {
    server: Server,
    _folder: TempDir,
}

fn shipped(file: &str, port: u16) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/deploy")
        .join(file);
    std::fs::read_to_string(path)
        .unwrap()
        .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
        .replace(":8000 {", &format!(":{port} {{"))
        .replace("127.0.0.1:8080", &Gateway::shared().server.address().to_string())
        .replace("127.0.0.1:9000", &Echo::shared().address.to_string())
}

fn nginx() -> &'static Front {
    static SHARED: OnceLock<Front> = OnceLock::new();
    SHARED.get_or_init(|| {
        Front::start(|port, folder| {
            std::fs::write(folder.path().join("bekci.conf"), shipped("nginx.conf", port)).unwrap();
            let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {what};"));
            let main = format!(
                "daemon off; master_process off; pid nginx.pid; events {{}} http {{ access_log off; {} include bekci.conf; }}",
                kept.concat()
            );
            std::fs::write(folder.path().join("nginx.conf"), main).unwrap();
            Service::new("nginx", port, folder).args(["-e", "stderr", "-c", "nginx.conf", "-p", "."])
        })
    })
}

fn haproxy() -> &'static Front {
    static SHARED: OnceLock<Front> = OnceLock::new();
    SHARED.get_or_init(|| {
        Front::start(|port, folder| {
            for file in ["haproxy.cfg", "bekci.lua"] {
                std::fs::write(folder.path().join(file), shipped(file, port)).unwrap();
            }
            Service::new("haproxy", port, folder).args(["-db", "-f", "haproxy.cfg"])
        })
    })
}

fn caddy() -> &'static Front {
    static SHARED: OnceLock<Front> = OnceLock::new();
    SHARED.get_or_init(|| {
        Front::start(|port, folder| {
            // Without its administration, which listens on one port for all, and in a home of its own, where it writes.
            let text = format!("{{\n\tadmin off\n}}\n{}", shipped("Caddyfile", port));
            std::fs::write(folder.path().join("Caddyfile"), text).unwrap();
            let home = ["HOME=.", "XDG_CONFIG_HOME=.", "XDG_DATA_HOME=."];
            let run = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
            let caddy = find_program("caddy").unwrap();
            Service::new("env", port, folder).args(home).args([caddy]).args(run)
        })
    })
}

impl Front {
    fn start(service: impl Fn(u16, &TempDir) -> Service) -> Self {
        let folder = TempDir::new("front");
        let server = Server::on_free_port(|port| service(port, &folder));
        Self {
            server,
            _folder: folder,
        }
    }

    fn ask(&self, request: &Ask) -> Answer {
        request.to(self.server.address())
    }

    /// What the application sees of a request that is let through.
    #[track_caller]
    fn seen(&self, request: &Ask) -> Value {
        let answer = self.ask(request);
        assert_eq!(answer.status, 200, "{answer:?} {}", self.server.log());
        answer.json()
    }
}

fn signed_in(request: Ask) -> Ask {
    request.bearer(&Gateway::shared().token)
}

/// A path of its own below a route, so that the application can tell whether it was reached.
fn path(route: &str) -> String {
    format!("/{route}/{}", unique("fronts"))
}

/// What a front's application took for identity: every header that any spelling makes one, folded, with a value.
fn identity(seen: &Value) -> Vec<(String, String)> {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let headers = seen["headers"].as_object().unwrap().iter();
    let mut told: Vec<(String, String)> = headers
        .flat_map(|(name, values)| {
            let name: String = name.chars().map(fold).collect();
            let values = values.as_array().unwrap().clone();
            values
                .into_iter()
                .map(move |value| (name.clone(), value.as_str().unwrap().to_owned()))
        })
        .filter(|(name, value)| name.starts_with("x-auth") && !value.is_empty())
        .collect();
    told.sort();
    told
}

fn is_the_customer(told: &[(String, String)]) {
    let told: Vec<(&str, &str)> = told
        .iter()
        .filter(|(name, _)| name != "x-auth-session")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let customer = [
        ("x-auth-attr-email", "zoe@customer.test"),
        ("x-auth-attr-name", "Zo%C3%AB"),
        ("x-auth-guard", "customer"),
        ("x-auth-id", "1"),
        ("x-auth-key", "customer:1"),
        ("x-auth-model", "customer"),
        ("x-auth-roles", "buyer"),
    ];
    assert_eq!(told, customer);
}

/// Identity headers as a client forges them.
fn forged(mut request: Ask) -> Ask {
    for name in [
        "X-Auth-Roles",
        "x-auth-roles",
        "X-AUTH-KEY",
        "X_Auth_Roles",
        "X-Auth_Roles",
        "X_AUTH-Permissions",
        "X.Auth.Roles",
        "X-Auth.Id",
        "X-Auth-Permissions",
        "X-Auth-Tenant",
        "X-Auth-Token",
        "X-Auth-Attr-Email",
        "X_Auth_Attr_Email",
    ] {
        request = request.header(name, "super-admin");
    }
    request
}

fn who_is_let_in_is_told_to_the_application(front: &Front) {
    let path = path("me");
    let seen = front.seen(&signed_in(get(&format!("{path}?a=%2F..&b"))));
    is_the_customer(&identity(&seen));
    assert_eq!(
        (seen["path"].as_str(), seen["query"].as_str()),
        (Some(&*path), Some("a=%2F..&b"))
    );
    assert_eq!(seen["headers"]["host"][0], "bekci.test");
    assert_eq!(seen["headers"].get("authorization"), None);
    let body = signed_in(post(&path)).body("text/plain", "eleven byte");
    let seen = front.seen(&body);
    assert_eq!(
        (seen["method"].as_str(), seen["bodyBytes"].as_u64()),
        (Some("POST"), Some(11))
    );
}

fn who_is_not_let_in_does_not_reach_the_application(front: &Front) {
    let (me, office, nowhere) = (path("me"), path("office"), path("nowhere"));
    let answer = front.ask(&get(&me));
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer"))
    );
    assert_eq!(answer.header("location"), None);
    assert_eq!(front.ask(&get(&me).bearer("junk")).status, 401);
    assert_eq!(front.ask(&signed_in(get(&office))).status, 403);
    let refused = front.ask(&signed_in(get(&nowhere))).status;
    assert!([403, 404].contains(&refused), "{refused}");
    assert_eq!(front.ask(&signed_in(get(&me)).bearer("other")).status / 100, 4);
    for path in [me, office, nowhere] {
        assert!(!Echo::shared().saw(&path), "{path}");
    }
}

fn forged_identity_headers_are_replaced_or_gone(front: &Front) {
    let seen = front.seen(&forged(signed_in(get(&path("me")))));
    is_the_customer(&identity(&seen));
    let seen = front.seen(&forged(get(&path("public"))));
    assert_eq!(identity(&seen), []);
}

fn forged_metadata_change_nothing(front: &Front) {
    let path = path("me");
    let mut request = get(&path);
    for (name, value) in [
        ("X-Forwarded-Uri", "/public/x"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
        ("X_Forwarded_Uri", "/public/x"),
        ("X-Original-URL", "http://bekci.test/public/x"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Forwarded-For", "10.0.0.1"),
    ] {
        request = request.header(name, value);
    }
    assert_eq!(front.ask(&request).status, 401);
    assert!(!Echo::shared().saw(&path));
    is_the_customer(&identity(&front.seen(&signed_in(request))));
}

fn odd_paths_are_refused_or_judged_as_what_they_are(front: &Front) {
    let name = unique("odd");
    for odd in [
        format!("/public/../me/{name}"),
        format!("/public/./{name}"),
        format!("/public//{name}"),
        format!("//me/{name}"),
        format!("/public/%2e%2e/me/{name}"),
        format!("/public/..%2fme%2f{name}"),
        format!("/public/a%2f{name}"),
        format!("/public/a%5c{name}"),
        format!("/public\\..\\me\\{name}"),
        format!("/public/a;/../{name}"),
        format!("/public/%00{name}"),
        format!("/public/%ff{name}"),
    ] {
        let answer = front.ask(&signed_in(get(&odd)));
        assert!([400, 403].contains(&answer.status), "{odd}: {answer:?}");
        assert!(!Echo::shared().saw(&odd), "{odd}");
    }
    let equal = format!("/%6de/{name}");
    assert_eq!(front.ask(&get(&equal)).status, 401);
    is_the_customer(&identity(&front.seen(&signed_in(get(&equal)))));
}

fn the_original_method_asks_for_proof_of_origin(front: &Front) {
    let by_cookie = |method: &str| {
        let cookie = format!("bekci_customer_at={}", Gateway::shared().token);
        ask(method, &path("me")).header("cookie", &cookie)
    };
    is_the_customer(&identity(&front.seen(&by_cookie("GET"))));
    let unproven = by_cookie("POST").header("content-length", "0");
    assert_eq!(front.ask(&unproven).status, 403);
    let proven = unproven.header("sec-fetch-site", "same-origin");
    assert_eq!(front.seen(&proven)["method"], "POST");
}

fn a_browser_is_sent_to_sign_in(front: &Front) {
    let path = path("me");
    let navigates = |request: Ask| {
        request
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
    };
    let answer = front.ask(&navigates(get(&format!("{path}?a=b"))));
    assert_eq!(answer.status, 302);
    let back = format!("http%3A%2F%2Fbekci.test{}%3Fa%3Db", path.replace('/', "%2F"));
    let location = format!("http://bekci.test/sign-in?return_to={back}");
    assert_eq!(answer.header("location"), Some(&*location));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

macro_rules! behind_each_front {
    ($($name:ident),* $(,)?) => {
        behind_each_front!(@front behind_nginx, nginx, $($name),*);
        behind_each_front!(@front behind_haproxy, haproxy, $($name),*);
        behind_each_front!(@front behind_caddy, caddy, $($name),*);
    };
    (@front $module:ident, $front:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(super::$front());
            })*
        }
    };
}

behind_each_front!(
    who_is_let_in_is_told_to_the_application,
    who_is_not_let_in_does_not_reach_the_application,
    forged_identity_headers_are_replaced_or_gone,
    forged_metadata_change_nothing,
    odd_paths_are_refused_or_judged_as_what_they_are,
    the_original_method_asks_for_proof_of_origin,
    a_browser_is_sent_to_sign_in,
);

/// The status of an answer to a request from another address of this machine.
fn status_from(source: [u8; 4], request: &Ask) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let mut stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let stream = socket.connect(Gateway::shared().server.address()).await.unwrap();
        stream.into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.write_all(&request.bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
}

#[test]
fn metadata_are_believed_from_a_trusted_proxy_alone() {
    let request = get("/forward-auth")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "http")
        .header("x-forwarded-host", "bekci.test")
        .header("x-forwarded-uri", "/public/x");
    assert_eq!(status_from([127, 0, 0, 1], &request), 200);
    assert_eq!(status_from([127, 0, 0, 2], &request), 403);
    assert_eq!(status_from([127, 0, 0, 2], &signed_in(request)), 403);
}
