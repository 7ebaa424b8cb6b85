use super::{client::*, scripted::*, servers::*};

/// What customer 42 is told to an upstream as.
const IDENTITY: [(&str, &str); 9] = [
    ("x-auth-guard", "customer"),
    ("x-auth-model", "customer"),
    ("x-auth-id", "42"),
    ("x-auth-key", "customer:42"),
    ("x-auth-tenant", ""),
    ("x-auth-roles", "buyer"),
    ("x-auth-permissions", "orders.view"),
    ("x-auth-session", "07070707070707070707070707070707"),
    ("x-auth-attr-email", "zo%C3%AB@b.c"),
];

/// What other products and proxies take for the word of a proxy, or for a user.
const PROXIED: [&str; 16] = [
    "Remote-User: admin",
    "Remote_Groups: admins",
    "X-authentik-username: admin",
    "X-Auth-Request-User: admin",
    "X-WEBAUTH-USER: admin",
    "X-Forwarded: for=1.2.3.4",
    "X-Forwarded-User: admin",
    "X-Original-Forwarded-For: 1.2.3.4",
    "X-Client-Cert: x",
    "X-Envoy-External-Address: 1.2.3.4",
    "X-Accel-Redirect: /x",
    "X-Sendfile-Type: X-Accel-Redirect",
    "X-HTTP-Host-Override: evil",
    "Front-End-Https: on",
    "X-Middleware-Subrequest: middleware",
    "x.company.user: admin",
];

#[test]
fn what_other_products_take_for_identity_reaches_no_upstream() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let plain = told(&get(&gateway, "/public/x", &[]));
    assert_eq!(told(&get(&gateway, "/public/x", &PROXIED))["headers"], plain["headers"]);
    let plain = told(&get(&gateway, "/me/x", &[]));
    assert_eq!(told(&get(&gateway, "/me/x", &PROXIED))["headers"], plain["headers"]);
}

const FORGED: [&str; 12] = [
    "X-Auth-Id: 1",
    "x-auth-roles: super",
    "X_Auth_Roles: super",
    "X-Auth_Roles: super",
    "X.Auth.Roles: super",
    "x_AUTH-guard: admin",
    "X-Auth-Guard: admin",
    "X-Auth-Guard: admin2",
    "X-Auth-User-Id: 1",
    "X-Auth-Token: t",
    "X-Auth-Attr-Email: evil",
    "X-Auth-Attr-Other: evil",
];

#[test]
fn forged_identity_headers_reach_no_upstream_in_any_spelling() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let anybody = told(&get(&gateway, "/public/x", &FORGED));
    let named = anybody["headers"].as_object().unwrap().keys();
    assert_eq!(
        named
            .filter(|name| name.replace(['_', '.'], "-").starts_with("x-auth"))
            .count(),
        0
    );
    let customer = told(&get(&gateway, "/me/x", &FORGED));
    for (name, value) in IDENTITY {
        assert_eq!(received(&customer, name), [value], "{name}");
    }
    let names = customer["headers"].as_object().unwrap().keys();
    assert_eq!(
        names
            .filter(|name| name.replace(['_', '.'], "-").starts_with("x-auth"))
            .count(),
        IDENTITY.len()
    );
}

#[test]
fn a_client_cannot_name_our_headers_as_its_connections_own() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let answer = get(
        &gateway,
        "/me/x",
        &[
            "Connection: X-Auth-Id, x-auth-roles, Authorization, Cookie, X-Forwarded-For, Host, X-Request-Id, X-Mine",
            "Cookie: a=1",
            "X-Mine: 1",
            "X-Other: 1",
        ],
    );
    let told = told(&answer);
    for (name, value) in IDENTITY {
        assert_eq!(received(&told, name), [value], "{name}");
    }
    assert_eq!(received(&told, "host"), ["gw.test"]);
    assert_eq!(received(&told, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received(&told, "x-request-id"), ["request-1"]);
    assert_eq!(received(&told, "x-other"), ["1"]);
    assert!(received(&told, "x-mine").is_empty());
    assert!(received(&told, "cookie").is_empty());
}

#[test]
fn what_concerns_one_connection_is_not_forwarded() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let answer = get(
        &gateway,
        "/public/x",
        &[
            "TE: trailers",
            "Trailer: X-A",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
            "Keep-Alive: timeout=5",
            "Proxy-Authorization: Basic YTpi",
            "Proxy-Connection: keep-alive",
            "Transfer_Encoding: chunked",
            "Content_Length: 5",
            "Proxy: http://evil",
        ],
    );
    let told = told(&answer);
    let names: Vec<&String> = told["headers"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "forwarded",
            "host",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id"
        ]
    );
}

#[test]
fn the_credentials_for_the_gateway_stay_there() {
    let (upstream, _) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let answer = get(
        &gateway,
        "/me/x",
        &[
            "Authorization: Bearer secret",
            "Cookie: z=1; __Host-bekci_customer_at=secret; a=\"2\"; bekci_admin_rt=secret",
            "Cookie: __Secure-bekci_customer_rt=secret",
            "Cookie: last=3",
        ],
    );
    assert!(!answer.contains("secret"), "{answer}");
    assert_eq!(received(&told(&answer), "cookie"), ["z=1; a=\"2\"", "last=3"]);
}

#[test]
fn who_the_client_is_comes_from_the_socket_unless_a_trusted_proxy_says() {
    let (upstream, _) = echo_upstream();
    let said = [
        "X-Forwarded-For: 6.6.6.6, 9.9.9.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.test",
        "X-Real-IP: 9.9.9.9",
        "Forwarded: for=9.9.9.9;host=evil",
        "True-Client-IP: 9.9.9.9",
        "CF-Connecting-IP: 9.9.9.9",
        "X-Host: evil",
        "X-Original-URL: /admin",
        "X_Forwarded_For: 9.9.9.9",
    ];
    let told_by = |gateway: &Running| told(&get(gateway, "/public/x", &said));
    let stranger = told_by(&gateway(&[upstream.url()]));
    let trusting = Setup {
        trusts_loopback: true,
        ..Setup::default()
    };
    let proxied = told_by(&trusting.start(&[upstream.url()]));
    let expect = |told, expected: [&str; 5]| {
        let names = [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
        ];
        for (name, value) in names.into_iter().zip(expected) {
            assert_eq!(received(told, name), [value], "{name}");
        }
        for name in [
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-host",
            "x-original-url",
            "x_forwarded_for",
        ] {
            assert!(received(told, name).is_empty(), "{name}");
        }
        assert_eq!(received(told, "host"), ["gw.test"]);
    };
    expect(
        &stranger,
        [
            "127.0.0.1",
            "http",
            "gw.test",
            "80",
            "for=127.0.0.1;host=\"gw.test\";proto=http",
        ],
    );
    expect(
        &proxied,
        [
            "6.6.6.6, 9.9.9.9, 127.0.0.1",
            "https",
            "shop.test",
            "443",
            "for=6.6.6.6;host=\"shop.test\";proto=https, for=9.9.9.9, for=127.0.0.1",
        ],
    );
}

#[test]
fn the_upstream_receives_the_path_that_was_judged_and_the_query_as_it_came() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    for (target, path, query) in [
        ("/public/x?a=%2F&b=../;//%00", "/public/x", "a=%2F&b=../;//%00"),
        ("/%70ublic/%7Ex%2d%c3%bc", "/public/~x-%C3%BC", ""),
        ("/public/a%2541?_method=DELETE", "/public/a%2541", "_method=DELETE"),
        ("/public/?", "/public/", ""),
        ("/public/x%3F/y", "/public/x%3F/y", ""),
    ] {
        let told = told(&get(
            &gateway,
            target,
            &["X-HTTP-Method-Override: DELETE", "X_Method_Override: PUT"],
        ));
        assert_eq!(
            (told["path"].as_str(), told["query"].as_str()),
            (Some(path), Some(query)),
            "{target}"
        );
        assert_eq!(told["method"], "GET");
        assert!(received(&told, "x-http-method-override").is_empty());
        assert!(received(&told, "x_method_override").is_empty());
    }
    let before = count.get();
    for target in [
        "/public/../me",
        "/public/%2e%2e/me",
        "/public/..%2fme",
        "/public//x",
        "/public/x;y",
        "/public/%00",
        "//gw.test/public",
    ] {
        assert_eq!(status(&get(&gateway, target, &[])), 400, "{target}");
    }
    assert_eq!(count.get(), before);
}

#[test]
fn odd_targets_hosts_and_methods_reach_no_upstream() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let asked = |line: &str, host: &str| {
        let answer = exchange(&gateway, &format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
        status(&answer)
    };
    assert_eq!(asked("GET http://gw.test/public/x", "Host: gw.test\r\n"), 200);
    assert_eq!(asked("GET /public/x", "Host: GW.test.:80\r\n"), 200);
    let before = count.get();
    for (line, expected) in [
        ("GET http://evil/public/x", 400),
        ("GET http://u@gw.test/public/x", 400),
        ("CONNECT evil:443", 400),
        ("TRACE /public/x", 405),
        ("TRACK /public/x", 405),
        ("OPTIONS *", 400),
        ("get /public/x", 501),
        ("GETX /public/x", 501),
        ("PROPFIND /public/x", 501),
        ("GET /PUBLIC/x", 404),
        ("GET /admin", 404),
    ] {
        assert_eq!(asked(line, "Host: gw.test\r\n"), expected, "{line}");
    }
    for host in [
        "",
        "Host: gw.test\r\nHost: gw.test\r\n",
        "Host: gw.test:80@evil\r\n",
        "Host: gw.test:99999\r\n",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host : gw.test\r\n",
    ] {
        assert_eq!(asked("GET /public/x", host), 400, "{host:?}");
    }
    assert_eq!(count.get(), before);
}

#[test]
fn an_answer_cannot_set_our_cookies_or_speak_for_us() {
    let upstream = Scripted::answering(
        "HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nSet-Cookie: a=1\r\nSet-Cookie: __Host-bekci_customer_at=x; Path=/\r\n\
         Set-Cookie: =bekci_customer_rt=x\r\nX-Auth-Roles: super\r\nX_Auth_Id: 1\r\nX-Request-Id: other\r\nConnection: keep-alive, X-Hop\r\n\
         X-Hop: 1\r\nKeep-Alive: timeout=9\r\nTrailer: X\r\nUpgrade: h2c\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gateway = gateway(&[upstream.url()]);
    for path in ["/public/x", "/me/x"] {
        let answer = get(&gateway, path, &[]).to_lowercase();
        assert!(answer.starts_with("http/1.1 302 "), "{answer}");
        let mut lines: Vec<&str> = answer.split("\r\n\r\n").next().unwrap().lines().skip(1).collect();
        lines.retain(|line| !line.starts_with("date: "));
        lines.sort_unstable();
        let mut expected = vec![
            "connection: close",
            "content-length: 2",
            "location: http://evil/",
            "set-cookie: a=1",
            "x-kept: 1",
        ];
        if path == "/me/x" {
            expected.insert(0, "cache-control: no-store");
        }
        assert_eq!(lines, expected);
        assert!(answer.ends_with("\r\n\r\nhi"));
    }
    assert_eq!(upstream.heads().len(), 2);
}

#[test]
fn a_request_that_goes_in_a_circle_is_stopped() {
    let (upstream, count) = echo_upstream();
    let gateway = gateway(&[upstream.url()]);
    let first = told(&get(&gateway, "/public/x", &["Via: 1.0 fred, 1.1 other"]));
    assert_eq!(received(&first, "via"), ["1.0 fred, 1.1 other, 1.1 bekci-test"]);
    let again = get(&gateway, "/public/x", &["Via: 1.0 fred, 1.1 bekci-test, 1.1 other"]);
    assert_eq!((status(&again), count.get()), (502, 1));
}

#[test]
fn an_upstream_is_told_its_own_host_where_that_is_set() {
    let (upstream, _) = echo_upstream();
    let setup = Setup {
        host: crate::proxy::HostHeader::Own,
        ..Setup::default()
    };
    let gateway = setup.start(&[upstream.url()]);
    let told = told(&get(&gateway, "/public/x", &[]));
    assert_eq!(received(&told, "host"), [upstream.address.to_string()]);
    assert_eq!(received(&told, "x-forwarded-host"), ["gw.test"]);
}
