use bekci_core::RouteRule;

use super::*;

fn spec(id: &str, hosts: &[&str], paths: &[&str], methods: &[&str]) -> RouteSpec {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    RouteSpec {
        id: id.into(),
        hosts: texts(hosts),
        paths: texts(paths),
        methods: texts(methods),
        rule: Arc::new(RouteRule::public(id)),
        upstream: None,
        semicolon_allowed: false,
        double_encoding_allowed: false,
    }
}

fn table(specs: Vec<RouteSpec>) -> RouteTable {
    RouteTable::new(specs).unwrap().0
}

fn taken(table: &RouteTable, verb: Verb, host: &str, path: &str) -> String {
    match table.find(verb, &Host::parse(host).unwrap(), path) {
        Ok(found) => found.route.id.to_string(),
        Err(miss) => format!("{miss:?}"),
    }
}

#[test]
fn the_most_specific_route_is_taken_by_host_then_path_then_method() {
    let table = table(vec![
        spec("all", &["*"], &["/**"], &["*"]),
        spec("api", &["*"], &["/api/**"], &["*"]),
        spec("api-read", &["*"], &["/api/**"], &["GET", "HEAD"]),
        spec("order", &["*"], &["/api/orders/*"], &["*"]),
        spec("new-order", &["*"], &["/api/orders/new"], &["POST"]),
        spec("lines", &["*"], &["/api/orders/*/lines"], &["*"]),
        spec("below", &["*.test"], &["/api/**"], &["*"]),
        spec("deeper", &["*.gw.test"], &["/api/**"], &["*"]),
        spec("host", &["gw.test"], &["/api/x"], &["*"]),
    ]);
    let at = |verb, host, path| taken(&table, verb, host, path);
    for path in ["/api", "/api/", "/api/x/y", "/api/orders", "/api/orders/"] {
        assert_eq!(at(Verb::Get, "h", path), "api-read", "{path}");
        assert_eq!(at(Verb::Post, "h", path), "api", "{path}");
    }
    assert_eq!(at(Verb::Get, "h", "/"), "all");
    assert_eq!(at(Verb::Get, "h", "/apis"), "all");
    assert_eq!(at(Verb::Get, "h", "/API/x"), "all");
    assert_eq!(at(Verb::Get, "h", "/api/orders/7"), "order");
    assert_eq!(at(Verb::Post, "h", "/api/orders/new"), "new-order");
    assert_eq!(at(Verb::Get, "h", "/api/orders/new"), "order");
    assert_eq!(at(Verb::Get, "h", "/api/orders/new/lines"), "lines");
    assert_eq!(at(Verb::Get, "h", "/api/orders/new/other"), "api-read");
    assert_eq!(at(Verb::Get, "a.test", "/api/orders/7"), "below");
    assert_eq!(at(Verb::Get, "a.gw.test", "/api/orders/7"), "deeper");
    assert_eq!(at(Verb::Get, "GW.test.:8080", "/api/x"), "host");
    assert_eq!(at(Verb::Get, "gw.test", "/api/y"), "below");
    assert_eq!(at(Verb::Get, "gw.test", "/x"), "all");
}

#[test]
fn what_no_route_matches_is_refused() {
    let table = table(vec![spec("one", &["gw.test"], &["/a", "/b/*"], &["GET"])]);
    let at = |verb, host, path| taken(&table, verb, host, path);
    assert_eq!(at(Verb::Get, "gw.test", "/a"), "one");
    assert_eq!(at(Verb::Get, "gw.test", "/a/"), "one");
    assert_eq!(at(Verb::Get, "gw.test", "/b/x/"), "one");
    for (verb, path) in [
        (Verb::Get, "/"),
        (Verb::Get, "/a/b/"),
        (Verb::Get, "/A"),
        (Verb::Get, "/b"),
        (Verb::Get, "/b/"),
        (Verb::Get, "/b/x/y"),
        (Verb::Options, "/a"),
        (Verb::Post, "/a"),
    ] {
        assert_eq!(at(verb, "gw.test", path), "NotFound", "{verb:?} {path}");
    }
    assert_eq!(at(Verb::Get, "evil.test", "/a"), "UnknownHost");
    assert_eq!(at(Verb::Get, "a.gw.test", "/a"), "UnknownHost");
}

#[test]
fn the_path_that_is_found_is_the_canonical_one() {
    let table = table(vec![spec("admin", &["*"], &["/admin/**"], &["*"])]);
    let host = Host::parse("h").unwrap();
    let found = table.find(Verb::Get, &host, "/%61dmin/%c3%bc").unwrap();
    assert_eq!(found.path, "/admin/%C3%BC");
    for bad in [
        "/admin/../x",
        "/x/..%2fadmin",
        "//admin",
        "/admin//x",
        "/admin;x=1/x",
        "*",
        "/x;y",
        "/x%3By",
    ] {
        assert!(
            matches!(table.find(Verb::Get, &host, bad), Err(RouteMiss::BadPath(_))),
            "{bad}"
        );
    }
}

#[test]
fn a_semicolon_passes_on_the_routes_that_allow_it_alone() {
    let allowing = RouteSpec {
        semicolon_allowed: true,
        ..spec("matrix", &["*"], &["/m/**"], &["*"])
    };
    let table = table(vec![allowing, spec("other", &["*"], &["/o/**"], &["*"])]);
    let at = |path| taken(&table, Verb::Get, "h", path);
    assert_eq!(at("/m/a;b=1"), "matrix");
    assert_eq!(at("/m/a%3bb"), "matrix");
    assert!(at("/o/a;b=1").starts_with("BadPath"));
    assert!(at("/n/a;b=1").starts_with("BadPath"));
    assert!(at("/m/../o").starts_with("BadPath"));
}

#[test]
fn what_is_encoded_twice_passes_on_the_routes_that_allow_it_alone() {
    let allowing = RouteSpec {
        double_encoding_allowed: true,
        ..spec("raw", &["*"], &["/raw/**"], &["*"])
    };
    let table = table(vec![allowing, spec("other", &["*"], &["/o/**"], &["*"])]);
    let at = |path| taken(&table, Verb::Get, "h", path);
    for twice in ["%252e%252e", "a%252fb", "a%255Cb", "a%25252Fb", "%2%352e"] {
        assert!(
            taken(&table, Verb::Get, "h", &format!("/o/{twice}")).starts_with("BadPath"),
            "{twice}"
        );
    }
    assert_eq!(at("/raw/%252e%252e/x"), "raw");
    assert_eq!(at("/o/100%25"), "other");
    assert_eq!(at("/o/%2541"), "other");
}

fn problems(specs: Vec<RouteSpec>) -> Vec<String> {
    let problems = RouteTable::new(specs).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn routes_that_no_rule_tells_apart_are_refused() {
    assert_eq!(
        problems(vec![
            spec("a", &["*"], &["/x/**"], &["GET", "POST"]),
            spec("b", &["h", "*"], &["/x/**"], &["POST", "PUT"]),
            spec("c", &["*"], &["/y"], &["*"]),
            spec("c", &["*"], &["/y"], &["*"]),
            spec("d", &["*"], &["/y/"], &["GET"]),
            spec("e", &["*"], &["/y"], &["GET"]),
        ]),
        [
            "routes a and b both match POST * /x/**",
            "two routes are named \"c\"",
            "routes c and c both match GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS * /y",
            "routes d and e both match GET * /y",
        ]
    );
}

#[test]
fn patterns_that_could_never_match_are_refused() {
    for path in [
        "", "x", "//", "/a//b", "/a/../b", "/**/a", "/a*", "/%61", "/a%2Fb", "/%c3%bc", "/a?b",
    ] {
        assert_eq!(problems(vec![spec("a", &["*"], &[path], &["*"])]).len(), 1, "{path}");
    }
    for method in ["get", "TRACE", "CONNECT", "PROPFIND", ""] {
        assert_eq!(
            problems(vec![spec("a", &["*"], &["/"], &[method])]).len(),
            1,
            "{method}"
        );
    }
    assert_eq!(
        problems(vec![spec("a", &["a:80", "u@h"], &["/"], &["*"])]),
        ["route a: \"a:80\" is no host", "route a: \"u@h\" is no host"]
    );
}

#[test]
fn routes_that_more_specific_ones_leave_nothing_are_told() {
    let told = |specs| {
        let (_, unreachable) = RouteTable::new(specs).unwrap();
        unreachable.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let (reading, writing) = every.split_at(2);
    assert_eq!(
        told(vec![
            spec("all", &["*"], &["/x"], &["*"]),
            spec("reading", &["*"], &["/x"], reading),
            spec("writing", &["*"], &["/x"], writing),
            spec("rest", &["*"], &["/y/**"], &["*"]),
            spec("parts", &["*"], &["/y", "/y/*/**"], &["*"]),
        ]),
        [
            "route all can never be reached: more specific routes take all its requests",
            "route rest can never be reached: more specific routes take all its requests",
        ]
    );
    assert!(
        told(vec![
            spec("all", &["*"], &["/**"], &["*"]),
            spec("host", &["h"], &["/**"], &["*"]),
            spec("some", &["*"], &["/*/**", "/"], &["GET"]),
        ])
        .is_empty()
    );
}

/// A `HEAD` never gets past a narrow route for `GET` into a broad one that requires less.
#[test]
fn head_takes_the_route_of_get_unless_a_route_of_that_pattern_names_it() {
    let table = table(vec![
        spec("all", &["*"], &["/**"], &["*"]),
        spec("probe", &["*"], &["/**"], &["HEAD"]),
        spec("secret", &["*"], &["/secret", "/keys/**", "/a/*"], &["GET"]),
        spec("host", &["gw.test"], &["/**"], &["GET", "POST"]),
        spec("own", &["*"], &["/own"], &["GET"]),
        spec("own-head", &["*"], &["/own"], &["HEAD"]),
        spec("own-rest", &["*"], &["/own"], &["*"]),
        spec("write", &["*"], &["/write"], &["POST"]),
    ]);
    for path in ["/secret", "/secret/", "/keys", "/keys/x/y", "/a/b"] {
        for host in ["h", "other.test"] {
            assert_eq!(taken(&table, Verb::Head, host, path), "secret", "{path}");
            assert_eq!(taken(&table, Verb::Get, host, path), "secret", "{path}");
        }
    }
    assert_eq!(taken(&table, Verb::Head, "gw.test", "/x"), "host");
    assert_eq!(taken(&table, Verb::Head, "h", "/own"), "own-head");
    assert_eq!(taken(&table, Verb::Get, "h", "/own"), "own");
    assert_eq!(taken(&table, Verb::Head, "h", "/write"), "probe");
    assert_eq!(taken(&table, Verb::Head, "h", "/x"), "probe");
    assert_eq!(taken(&table, Verb::Options, "h", "/secret"), "all");
}

#[test]
fn a_route_for_the_rest_of_the_methods_is_unreachable_where_get_brings_head() {
    let rest = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let specs = vec![
        spec("all", &["*"], &["/x"], &["*"]),
        spec("listed", &["*"], &["/x"], &rest),
    ];
    let (_, unreachable) = RouteTable::new(specs).unwrap();
    assert_eq!(unreachable.len(), 1, "{unreachable:?}");
    assert_eq!(unreachable[0].route(), "all");
}

/// A path with a slash at its end never gets past a narrow route into a broad one.
#[test]
fn a_slash_at_the_end_takes_the_same_route() {
    let table = table(vec![
        spec("all", &["*"], &["/**"], &["*"]),
        spec("secret", &["*"], &["/secret", "/keys/*", "/a/*/b"], &["*"]),
        spec("below", &["*"], &["/below/**"], &["*"]),
        spec("root", &["*"], &["/"], &["*"]),
    ]);
    let at = |path: &str| taken(&table, Verb::Get, "h", path);
    for path in [
        "/secret",
        "/keys/1",
        "/a/x/b",
        "/below",
        "/below/x",
        "/below/x/y",
        "/keys",
        "/other",
        "/a/x",
    ] {
        assert_eq!(at(path), at(&format!("{path}/")), "{path}");
    }
    assert_eq!(
        (at("/secret/"), at("/keys/"), at("/below/")),
        ("secret".into(), "all".into(), "below".into())
    );
    assert_eq!(at("/"), "root");
    // It is forwarded as it came.
    let host = Host::parse("h").unwrap();
    assert_eq!(table.find(Verb::Get, &host, "/secret/").unwrap().path, "/secret/");
}

/// The same pattern as a route and as a line that denies: whatever takes the route is denied, and nothing else is.
#[test]
fn routes_and_policies_match_the_same_paths() {
    use bekci_core::{AccessRequest, Authorizer, GuardName, PrincipalKey, Verdict};
    let model = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/casbin_model.conf"));
    let model = bekci_policy::PolicyModel::parse(model).unwrap();
    let (key, guard) = (
        PrincipalKey::parse("customer:1").unwrap(),
        GuardName::new("customer").unwrap(),
    );
    let host = Host::parse("h").unwrap();
    // A route's `*` is `:name` in a line.
    let patterns = [
        "/",
        "/**",
        "/a",
        "/a/**",
        "/a/*",
        "/a/*/b",
        "/*",
        "/*/b",
        "/%5Ba%5D",
        "/a/%7C/**",
        "/*/*/**",
    ];
    let parts = ["a", "b", "[a]", "%5ba%5D", "|", "%7c", "x^`", "%61"];
    let mut paths = vec!["/".to_owned()];
    for depth in 1..=3 {
        for mut number in 0..parts.len().pow(depth) {
            let mut path = String::new();
            for _ in 0..depth {
                path.push('/');
                path.push_str(parts[number % parts.len()]);
                number /= parts.len();
            }
            paths.push(format!("{path}/"));
            paths.push(path);
        }
    }
    for pattern in patterns {
        let route = table(vec![spec("it", &["*"], &[pattern], &["*"])]);
        let line_pattern = pattern
            .split('/')
            .map(|part| if part == "*" { ":any" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let lines =
            format!("p, principal:customer:1, *, /**, *, allow\np, principal:customer:1, *, {line_pattern}, GET, deny");
        let policy = bekci_policy::compile_text(&model, &bekci_policy::parse_csv(&lines).unwrap()).unwrap();
        let mut taken = 0;
        for path in &paths {
            let canonical = canonical_path(path, false).unwrap();
            let found = route.find(Verb::Get, &host, path).is_ok();
            let says = |action| {
                let verdict = policy.decide(&AccessRequest {
                    principal: &key,
                    guard: &guard,
                    roles: &[],
                    tenant: None,
                    object: &canonical,
                    action,
                });
                matches!(verdict, Verdict::Deny { .. })
            };
            assert_eq!(found, says("GET"), "{pattern}: {path}");
            assert_eq!(found, says("HEAD"), "{pattern}: {path}");
            assert!(!says("POST"), "{pattern}: {path}");
            taken += usize::from(found);
        }
        assert!(taken > 0, "{pattern}");
    }
}

#[test]
fn many_routes_are_told_apart() {
    let specs = (0..5_000).map(|n| spec(&format!("r{n}"), &["*"], &[&format!("/service{n}/**")], &["*"]));
    let table = table(specs.collect());
    for n in [0, 1, 2_500, 4_999] {
        assert_eq!(
            taken(&table, Verb::Get, "h", &format!("/service{n}/x")),
            format!("r{n}")
        );
    }
    assert_eq!(taken(&table, Verb::Get, "h", "/service5000/x"), "NotFound");
}
