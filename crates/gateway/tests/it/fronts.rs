//! nginx, HAProxy, Caddy and Envoy, each with its file of `config/deploy`, between clients and an application that only they may reach: what the application sees is what
//! Bekci decided, whatever the client says.

mod scene;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use bekci_test_support::{Server, Service, TempDir, free_port, unique};
use serde_json::Value;

use self::scene::{
    CONFIG, Front, Gateway, Start, ZOE, caddy, envoy, haproxy, nginx, nginx_for_large_bodies, sign_in, signed_in,
};
use crate::{
    echo::Echo,
    house::BEKCI,
    http::{Ask, ask, get, post},
    internal::decoded,
};

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
        .filter(|(name, value)| (name.starts_with("x-auth") || name.starts_with("remote-")) && !value.is_empty())
        .collect();
    told.sort();
    told
}

fn is_the_customer(told: &[(String, String)]) {
    let token = told.iter().find(|(name, _)| name == "x-auth-token");
    let token = token.unwrap_or_else(|| panic!("no token for the application: {told:?}"));
    assert_eq!(decoded(&token.1, 0)["typ"], "bekci-internal+jwt");
    assert_eq!(decoded(&token.1, 1)["sub"], "customer:1");
    let told: Vec<(&str, &str)> = told
        .iter()
        .filter(|(name, _)| name != "x-auth-session" && name != "x-auth-token")
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

fn people_sign_in_through_it(front: &Front) {
    let answer = front.ask(&sign_in(ZOE));
    assert_eq!(answer.verdict(), "200", "{answer:?}");
    let token = answer.json()["data"]["accessToken"].as_str().unwrap().to_owned();
    is_the_customer(&identity(&front.seen(&get(&path("me")).bearer(&token))));
    let wrong =
        post("/auth/customer/login").json(&serde_json::json!({"email": "nobody@customer.test", "password": "x"}));
    assert_eq!(front.ask(&wrong).verdict(), "401 CREDENTIAL_INVALID");
    assert_eq!(front.ask(&get("/.well-known/jwks.json")).status, 200);
}

fn those_who_accept_json_get_json(front: &Front) {
    for accept in ["application/json", "*/*", "application/json, text/plain, */*"] {
        let ask = |request: Ask| front.ask(&request.header("accept", accept));
        let answer = ask(get(&path("me")));
        assert_eq!(answer.verdict(), "401 TOKEN_MISSING", "{answer:?}");
        assert!(
            answer.header("content-type").unwrap().starts_with("application/json"),
            "{answer:?}"
        );
        assert!(
            answer.json()["error"]["requestId"]
                .as_str()
                .is_some_and(|id| !id.is_empty())
        );
        assert_eq!(ask(signed_in(get(&path("office")))).verdict(), "403 FORBIDDEN");
    }
}

fn what_does_not_fit_is_left_out_and_named(front: &Front) {
    let seen = front.seen(&get(&path("me")).bearer(&Gateway::shared().long));
    let told = identity(&seen);
    let value = |name: &str| {
        told.iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    };
    // Caddy copies what every answer has, and no more.
    assert!(matches!(value("x-auth-omitted"), Some("attributes") | None), "{told:?}");
    assert_eq!(
        (value("x-auth-attr-name"), value("x-auth-roles")),
        (None, Some("buyer"))
    );
    let claims = decoded(value("x-auth-token").unwrap(), 1);
    assert_eq!(claims["omitted"], serde_json::json!(["attributes"]));
    assert_eq!(
        (claims.get("name"), &claims["roles"]),
        (None, &serde_json::json!(["buyer"]))
    );
}

/// The headers by which a preset tells who the customer is.
const PRESETS: [(&str, &[(&str, &str)]); 3] = [
    (
        "authelia",
        &[
            ("remote-email", ZOE),
            ("remote-groups", "buyer"),
            ("remote-name", "Zo%C3%AB"),
            ("remote-user", "customer:1"),
        ],
    ),
    (
        "oauth2-proxy",
        &[
            ("x-auth-request-email", ZOE),
            ("x-auth-request-groups", "buyer"),
            ("x-auth-request-user", "customer:1"),
        ],
    ),
    (
        "authentik",
        &[
            ("x-authentik-email", ZOE),
            ("x-authentik-groups", "buyer"),
            ("x-authentik-name", "Zo%C3%AB"),
            ("x-authentik-uid", "customer:1"),
            ("x-authentik-username", "customer:1"),
        ],
    ),
];

/// One gateway for each preset, for all fronts.
fn with_preset(at: usize) -> &'static Gateway {
    static SHARED: [std::sync::OnceLock<Gateway>; 3] = [const { std::sync::OnceLock::new() }; 3];
    SHARED[at].get_or_init(|| Gateway::start(PRESETS[at].0))
}

fn each_presets_names_reach_the_application(start: fn(&str) -> Start) {
    for (at, (preset, expected)) in PRESETS.into_iter().enumerate() {
        let gateway = with_preset(at);
        let front = Front::start(start(preset), gateway.server.address());
        let mut request = forged(get(&path("me")).bearer(&gateway.token));
        for name in [
            "Remote-User",
            "remote_user",
            "Remote-Email",
            "X-Auth-Request-Email",
            "X-Auth-Request-Access-Token",
            "X-authentik-jwt",
            "X-authentik-email",
            "X_authentik_username",
        ] {
            request = request.header(name, "super-admin");
        }
        let told = identity(&front.seen(&request));
        let told: Vec<(&str, &str)> = told
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(told, expected, "{preset}");
    }
}

#[test]
fn a_larger_body_is_allowed_in_one_place() {
    let front = Front::start(nginx_for_large_bodies, Gateway::shared().server.address());
    let body = vec![b'x'; 3_000_000];
    let seen = front.seen(&signed_in(post(&path("me"))).body("text/plain", body));
    assert_eq!(seen["bodyBytes"], 3_000_000);
}

/// Traefik is not among Debian's programs: its file is read here, and what it promises to send is what `/forward-auth` is asked with.
#[test]
fn the_file_for_traefik_names_every_header_and_lets_people_sign_in() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/deploy/traefik.yml");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, list) = text.split_once("authResponseHeaders:\n").unwrap();
    let names = list.lines().map_while(|line| line.trim().strip_prefix("- "));
    let named: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    let ask = |gateway: &Gateway| {
        get("/forward-auth")
            .bearer(&gateway.token)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-host", "bekci.test")
            .header("x-forwarded-uri", "/me/x?a=b")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-server", "traefik")
            .to(gateway.server.address())
    };
    for gateway in [Gateway::shared(), with_preset(0), with_preset(1), with_preset(2)] {
        let answer = ask(gateway);
        assert_eq!(answer.status, 200, "{answer:?}");
        for name in answer
            .names()
            .filter(|name| name.starts_with("x-auth") || name.starts_with("remote-"))
        {
            assert!(
                named.iter().any(|known| known == name),
                "{name} is not in authResponseHeaders"
            );
        }
    }
    assert!(text.contains("address: \"http://127.0.0.1:8080/forward-auth\""));
    assert!(text.contains("trustForwardHeader: false"));
    assert!(text.contains("rule: \"PathPrefix(`/auth/`)"));
}

macro_rules! behind_each_front {
    ($($name:ident),* $(,)?) => {
        behind_each_front!(@front behind_nginx, nginx, $($name),*);
        behind_each_front!(@front behind_haproxy, haproxy, $($name),*);
        behind_each_front!(@front behind_caddy, caddy, $($name),*);
        behind_each_front!(@front behind_envoy, envoy, $($name),*);
    };
    (@front $module:ident, $front:ident, $($name:ident),*) => {
        mod $module {
            fn shared() -> &'static super::Front {
                static SHARED: std::sync::OnceLock<super::Front> = std::sync::OnceLock::new();
                SHARED.get_or_init(|| super::Front::start(super::$front, super::Gateway::shared().server.address()))
            }

            $(#[test]
            fn $name() {
                super::$name(shared());
            })*

            #[test]
            fn each_presets_names_reach_the_application_and_no_forged_one_does() {
                super::each_presets_names_reach_the_application(super::scene::with_names::$front);
            }

            #[test]
            fn without_an_answer_of_bekci_nobody_is_let_in() {
                super::is_closed(&super::Front::start(super::$front, super::nobody()));
            }
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
    people_sign_in_through_it,
    those_who_accept_json_get_json,
    what_does_not_fit_is_left_out_and_named,
);

/// Where nobody listens.
fn nobody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

fn is_closed(front: &Front) {
    for path in [path("me"), path("public")] {
        let answer = front.ask(&signed_in(get(&path)));
        assert!([502, 503].contains(&answer.status), "{answer:?}");
        assert!(!Echo::shared().saw(&path), "{path}");
    }
}

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

#[test]
fn with_a_listener_of_their_own_the_endpoints_are_nowhere_else() {
    let folder = TempDir::new("apart");
    let config = folder.path().join("bekci.toml");
    let (decisions, ops) = (nobody(), nobody());
    let server = Server::on_free_port(|port| {
        let text = CONFIG
            .replace("[server]", &format!("[server]\ndecision_listen = \"{decisions}\""))
            .replace("{port}", &port.to_string())
            .replace("{ops}", &ops.port().to_string())
            .replace("{folder}", folder.path().to_str().unwrap());
        // A route for everything: it must not lead there either.
        let everything = format!(
            "[[routes]]\nid = \"all\"\npaths = [\"/**\"]\npublic = true\nupstream = \"http://{}\"\n",
            Echo::shared().address
        );
        std::fs::write(&config, text + everything.as_str()).unwrap();
        Service::new(BEKCI, port, &folder).args(["serve"])
    });
    let asks = |path: &str| {
        get(path)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-host", "bekci.test")
            .header("x-forwarded-uri", "/public/x")
            .header("x-original-method", "GET")
            .header("x-original-url", "http://bekci.test/public/x")
    };
    for path in ["/forward-auth", "/auth-request", "/ext-authz/public/x"] {
        assert_eq!(asks(path).to(decisions).status, 200, "{path}");
        assert_eq!(asks(path).to(server.address()).verdict(), "404 NOT_FOUND", "{path}");
    }
    assert_eq!(get("/ext-authz").to(server.address()).status, 404);
    assert_eq!(get("/public/x").to(decisions).status, 404);
    assert_eq!(post("/auth/customer/login").to(decisions).status, 404);
    assert_eq!(get(&path("anywhere")).to(server.address()).status, 200);
}
