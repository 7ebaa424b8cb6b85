//! Pages of other origins: who may call, and what nobody learns by asking (Fetch standard, CORS protocol).

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    echo::{ANSWERS, Echo},
    house::{House, Kind, PASSWORD},
    http::{Answer, Ask, ask, get, post},
    reloading::File,
};

const GOOD: &str = "https://good.example";
const CORS: &str = "\n[cors]\norigins = [\"https://good.example\", \"http://localhost:3000\"]\nmethods = [\"GET\", \"PUT\"]\nheaders = [\"authorization\", \"content-type\"]\n";
const ALLOW: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
];
/// What is not the configured origin, however much it looks like it.
const FOREIGN: [&str; 12] = [
    "null",
    "https://evil.example",
    "https://good.example.evil",
    "https://evilgood.example",
    "https://sub.good.example",
    "http://good.example",
    "https://good.example:444",
    "https://good.example/",
    "https://GOOD.example",
    "https://good.example https://evil.example",
    "*",
    "",
];

/// A gateway of its own whose configuration goes on with this.
fn house(more: &str) -> (House, SocketAddr) {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of_node(&house.nodes[0]);
    file.write(&format!("{}{more}", file.first));
    file.until("bekci_config_generation", 2);
    let address = house.address();
    (house, address)
}

fn preflight(path: &str, origin: &str) -> Ask {
    let ask = ask("OPTIONS", path).header("origin", origin);
    ask.header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,x-auth-id")
}

/// The headers by which an answer lets pages in.
fn allowed(answer: &Answer) -> Vec<(&'static str, String)> {
    let each = ALLOW.into_iter();
    each.flat_map(|name| {
        answer
            .all(name)
            .map(move |value| (name, value.to_owned()))
            .collect::<Vec<_>>()
    })
    .collect()
}

fn pairs(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[test]
fn a_preflight_is_answered_alike_for_every_path_and_reaches_no_upstream() {
    let (house, address) = house(CORS);
    let granted = pairs(&[
        (ALLOW[0], GOOD),
        (ALLOW[2], "GET, PUT"),
        (ALLOW[3], "authorization, content-type"),
        (ALLOW[4], "600"),
    ]);
    // Public, guarded, asking for rights, of a dead upstream, of nobody; a call of the gateway's own, and one that it does not have.
    for path in [
        "/public/preflight-1",
        "/me/preflight-1",
        "/office/preflight-1",
        "/dead/x",
        "/nothing",
        "/auth/customer/login",
        "/auth/nobody/x",
    ] {
        let answer = preflight(path, GOOD).to(address);
        assert_eq!((answer.status, allowed(&answer)), (204, granted.clone()), "{path}");
        assert_eq!(answer.all("vary").collect::<Vec<_>>(), ["Origin"], "{path}");
        assert!(answer.header("x-request-id").is_some() && answer.body.is_empty());
        for foreign in FOREIGN {
            let answer = preflight(path, foreign).to(address);
            assert_eq!(
                (answer.status, allowed(&answer)),
                (204, Vec::new()),
                "{path} {foreign:?}"
            );
            assert_eq!(answer.all("vary").collect::<Vec<_>>(), ["Origin"], "{path}");
        }
    }
    assert!(!Echo::shared().saw("/public/preflight-1"));
    let twice = preflight("/me/x", GOOD).header("origin", GOOD).to(address);
    assert_eq!(
        (twice.status, allowed(&twice)),
        (204, Vec::new()),
        "two origins are none"
    );
    let odd = preflight("/me//x", GOOD).to(address);
    assert_eq!(odd.verdict(), "400 BAD_PATH");
    drop(house);
}

#[test]
fn what_is_no_preflight_goes_its_way_and_its_answer_is_read_by_known_origins_alone() {
    let (house, address) = house(CORS);
    let exposed = "retry-after, x-request-id";
    let granted = pairs(&[(ALLOW[0], GOOD), (ALLOW[5], exposed)]);
    let tokens = house.signed_in();
    let login = post("/auth/customer/login").json(&json!({"email": "nobody@a.test", "password": PASSWORD}));
    for (request, verdict) in [
        (get("/public/x"), "200"),
        (get("/me/x").bearer(&tokens.access), "200"),
        (get("/me/x"), "401 TOKEN_MISSING"),
        (get("/me/x").bearer("nonsense"), "401 TOKEN_INVALID"),
        (get("/nothing"), "404 NOT_FOUND"),
        (get("/me//x"), "400 BAD_PATH"),
        (get("/auth/customer/me").bearer(&tokens.access), "200"),
        (login, "401 CREDENTIAL_INVALID"),
        // No preflight: it does not say what is to come.
        (ask("OPTIONS", "/me/x"), "401 TOKEN_MISSING"),
    ] {
        let answer = request.clone().header("origin", GOOD).to(address);
        assert_eq!(
            (answer.verdict().as_str(), allowed(&answer)),
            (verdict, granted.clone())
        );
        assert!(answer.all("vary").any(|vary| vary == "Origin"));
        for foreign in FOREIGN {
            let answer = request.clone().header("origin", foreign).to(address);
            assert_eq!(
                (answer.verdict().as_str(), allowed(&answer)),
                (verdict, Vec::new()),
                "{foreign:?}"
            );
            assert!(answer.all("vary").any(|vary| vary == "Origin"));
        }
        let answer = request.to(address);
        assert_eq!((answer.verdict().as_str(), allowed(&answer)), (verdict, Vec::new()));
        assert!(answer.all("vary").any(|vary| vary == "Origin"), "without an origin too");
    }
}

#[test]
fn what_an_upstream_says_of_origins_is_replaced_and_not_doubled() {
    let (_house, address) = house(CORS);
    let lavish = |path: &str| {
        let lavish = get(path).header(ANSWERS, "access-control-allow-origin: *");
        let lavish = lavish.header(ANSWERS, "access-control-allow-credentials: true");
        let lavish = lavish.header(ANSWERS, "access-control-expose-headers: x-secret");
        lavish.header(ANSWERS, "vary: Accept")
    };
    let answer = lavish("/public/x").header("origin", "https://evil.example").to(address);
    assert_eq!((answer.status, allowed(&answer)), (200, Vec::new()));
    assert_eq!(answer.all("vary").collect::<Vec<_>>(), ["Accept", "Origin"]);
    let answer = lavish("/public/x")
        .header("origin", "http://localhost:3000")
        .to(address);
    let granted = pairs(&[
        (ALLOW[0], "http://localhost:3000"),
        (ALLOW[5], "retry-after, x-request-id"),
    ]);
    assert_eq!(allowed(&answer), granted);
}

#[test]
fn a_decision_is_asked_for_and_never_answered_as_a_preflight() {
    let (_house, address) = house(&format!("{CORS}credentials = true\n"));
    for path in ["/forward-auth", "/auth-request", "/ext-authz/me/x"] {
        let answer = preflight(path, GOOD).to(address);
        assert_eq!(
            (answer.verdict().as_str(), allowed(&answer)),
            ("403 FORBIDDEN", Vec::new()),
            "{path}"
        );
    }
}

#[test]
fn origins_change_while_the_gateway_runs_and_without_any_an_upstream_speaks_for_itself() {
    let house = House::new(Kind::Sqlite, 1);
    let (file, address) = (File::of_node(&house.nodes[0]), house.address());
    let ask = || {
        get("/public/x")
            .header("origin", GOOD)
            .header(ANSWERS, "access-control-allow-origin: *")
    };
    let answer = ask().to(address);
    assert_eq!(allowed(&answer), pairs(&[(ALLOW[0], "*")]), "nothing is configured");
    assert_eq!(answer.header("vary"), None);
    assert_eq!(preflight("/me/x", GOOD).to(address).verdict(), "401 TOKEN_MISSING");

    file.write(&format!(
        "{}{CORS}credentials = true\nmax_age_seconds = 5\nexposed_headers = []\n",
        file.first
    ));
    file.until("bekci_config_generation", 2);
    let answer = ask().to(address);
    assert_eq!(allowed(&answer), pairs(&[(ALLOW[0], GOOD), (ALLOW[1], "true")]));
    let answer = preflight("/me/x", GOOD).to(address);
    assert_eq!(
        (answer.header(ALLOW[1]), answer.header(ALLOW[4])),
        (Some("true"), Some("5"))
    );
    let answer = get("/public/x").header("origin", "null").to(address);
    assert_eq!(allowed(&answer), Vec::new());

    file.write(&file.first);
    file.until("bekci_config_generation", 3);
    assert_eq!(allowed(&ask().to(address)), pairs(&[(ALLOW[0], "*")]));
}
