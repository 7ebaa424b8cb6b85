//! One wide event of the log for each request, with nothing in it that is secret.

use serde_json::{Value, json};

use crate::{
    house::{House, Kind},
    http::{Ask, ask, get, post},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const LOOKS: u32 = 2_000;

/// The events about the request of this id. They are written before the answer, but a pipe lies between.
pub fn events(house: &House, id: &str) -> Vec<Value> {
    let about = |line: &str| -> Option<Value> {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} is no JSON"));
        (event["target"] == "bekci::request" && event["request_id"] == id).then_some(event)
    };
    for _ in 0..LOOKS {
        let log = house.nodes[0].server.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let found: Vec<Value> = whole.lines().filter_map(about).collect();
        if !found.is_empty() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nothing about {id}:\n{}", house.nodes[0].server.log());
}

/// Asks, and gives the one event.
fn event_of(house: &House, ask: Ask, id: &str) -> Value {
    ask.header("x-request-id", id).to(house.address());
    let mut found = events(house, id);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn each_request_is_told_once_with_who_where_and_what_came_out() {
    let house = House::logging_json(Kind::Sqlite);
    let address = house.address();
    let customer = house.customer();
    let tokens = customer.sign_in(address);
    let admin = house.person("admin", "super-admin");
    let root = admin.sign_in(address);
    let reader = house.person("customer", "reader").sign_in(address);
    let customers = |ask: Ask| ask.bearer(&tokens.access);
    let (allowed, refused, unavailable) = (json!("allowed"), json!("refused"), json!("unavailable"));
    let none = Value::Null;
    let login = "/auth/customer/login";
    for (id, ask, status, route, outcome, code, guard, principal) in [
        (
            "r1",
            customers(get("/me/x")),
            200,
            json!("me"),
            &allowed,
            none.clone(),
            json!("customer"),
            json!(customer.key()),
        ),
        (
            "r2",
            get("/me/x"),
            401,
            json!("me"),
            &refused,
            json!("TOKEN_MISSING"),
            none.clone(),
            none.clone(),
        ),
        (
            "r3",
            get("/orders/x").bearer(&reader.access),
            403,
            json!("orders"),
            &refused,
            json!("FORBIDDEN"),
            json!("customer"),
            none.clone(),
        ),
        (
            "r4",
            get("/nowhere"),
            404,
            json!(""),
            &refused,
            json!("NOT_FOUND"),
            none.clone(),
            none.clone(),
        ),
        (
            "r5",
            get("/a/../b"),
            400,
            json!(""),
            &refused,
            json!("BAD_PATH"),
            none.clone(),
            none.clone(),
        ),
        (
            "r6",
            get("/dead/x"),
            502,
            json!("dead"),
            &unavailable,
            json!("UPSTREAM_UNAVAILABLE"),
            none.clone(),
            none.clone(),
        ),
        (
            "r7",
            get("/public/x"),
            200,
            json!("public"),
            &allowed,
            none.clone(),
            none.clone(),
            none.clone(),
        ),
        (
            "r8",
            customers(get("/auth/customer/me")),
            200,
            json!("auth.customer"),
            &allowed,
            none.clone(),
            json!("customer"),
            json!(customer.key()),
        ),
        (
            "r9",
            customer.login(&json!({})),
            200,
            none.clone(),
            &allowed,
            none.clone(),
            json!("customer"),
            json!(customer.key()),
        ),
        (
            "r10",
            post(login).json(&json!({"email": customer.email, "password": "wrong"})),
            401,
            none.clone(),
            &refused,
            json!("CREDENTIAL_INVALID"),
            none.clone(),
            none.clone(),
        ),
        (
            "r11",
            get("/admin/v1/permissions?guard=customer").bearer(&root.access),
            200,
            json!("management"),
            &allowed,
            none.clone(),
            json!("admin"),
            json!(admin.key()),
        ),
        (
            "r12",
            tokens.refresh(),
            200,
            none.clone(),
            &allowed,
            none.clone(),
            json!("customer"),
            json!(customer.key()),
        ),
    ] {
        let event = event_of(&house, ask, id);
        let told = (
            &event["status"],
            &event["route"],
            &event["outcome"],
            &event["code"],
            &event["guard"],
        );
        assert_eq!(told, (&json!(status), &route, outcome, &code, &guard), "{event}");
        if !principal.is_null() {
            assert_eq!(event["principal"], principal, "{event}");
            assert_eq!(event["session"].as_str().map(str::len), Some(32), "{event}");
        }
        assert_eq!(event["reason"].is_string(), code.is_string(), "{event}");
        assert!(
            event["micros"].is_u64() && event["trace_id"].is_string() && event["method"].is_string(),
            "{event}"
        );
        assert_eq!(event["decision_micros"].is_u64(), route.is_string(), "{event}");
        assert_eq!(
            event["upstream_micros"].is_u64(),
            ["r1", "r6", "r7"].contains(&id),
            "{event}"
        );
    }
    let event = event_of(&house, customers(get("/me/x")), "r13");
    assert_eq!(
        (&event["identity"], &event["session"]),
        (&json!("l1"), &json!(tokens.session)),
        "{event}"
    );
    let event = event_of(&house, get("/admin/v1/roles/77").bearer(&root.access), "r14");
    assert_eq!(
        (&event["call"], &event["outcome"]),
        (&json!("/admin/v1/roles/{id}"), &allowed),
        "{event}"
    );
    let asking = get("/forward-auth")
        .header("x-forwarded-method", "PUT")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "app.test")
        .header("x-forwarded-uri", "/me/asked?secret-query");
    let event = event_of(&house, asking, "r15");
    // Nobody is believed here, so that nothing is told of what they say.
    assert_eq!(
        (&event["path"], &event["code"]),
        (&json!("/forward-auth"), &json!("FORBIDDEN")),
        "{event}"
    );
}

#[test]
fn no_event_has_a_token_a_cookie_a_password_or_a_query() {
    let house = House::logging_json(Kind::Sqlite);
    let address = house.address();
    let customer = house.customer();
    let tokens = customer.sign_in(address);
    let cookie = customer.login(&json!({"transport": "cookie"})).to(address);
    let cookies: Vec<String> = cookie
        .all("set-cookie")
        .map(|set| set.split(';').next().unwrap().to_owned())
        .collect();
    assert!(cookies.len() >= 2, "{cookies:?}");
    let forged = format!("{}x", tokens.access);
    for ask in [
        get("/me/x?q=secret-query&token=secret-query").bearer(&tokens.access),
        get("/me/x").bearer(&forged),
        get("/me/x").header("cookie", &cookies.join("; ")),
        get("/me/x").header("authorization", "Basic secret-basic"),
        post("/auth/customer/login?q=secret-query").json(&json!({"email": "secret-typed", "password": "secret-typed"})),
        post("/auth/customer/token/refresh").json(&json!({"refreshToken": "bkr_secret-typed"})),
        tokens.refresh(),
        ask("PUT", "/public/x").json(&json!({"note": "secret-body"})),
    ] {
        ask.to(address);
    }
    get("/public/x").header("x-request-id", "the-last").to(address);
    events(&house, "the-last");
    let log = house.nodes[0].server.log();
    let values = cookies.iter().map(|cookie| cookie.split_once('=').unwrap().1);
    let typed = ["secret-", crate::house::PASSWORD, &customer.email];
    for secret in [&*tokens.access, &*tokens.refresh, &*forged]
        .into_iter()
        .chain(typed)
        .chain(values)
    {
        assert!(!log.contains(secret), "{secret}\n{log}");
    }
    for part in tokens.access.split('.') {
        assert!(!log.contains(part), "{part}\n{log}");
    }
}

/// What the upstream was told.
fn told_upstream(house: &House, ask: Ask) -> Value {
    let answer = ask.to(house.address()).json();
    json!([answer["headers"]["traceparent"], answer["headers"]["tracestate"]])
}

#[test]
fn a_trace_goes_on_through_the_gateway_and_begins_there_where_none_was() {
    let house = House::logging_json(Kind::Sqlite);
    let given = format!("00-{TRACE}-b7ad6b7169203331-00");
    let ask = get("/public/x")
        .header("traceparent", &given)
        .header("tracestate", "vendor=1")
        .header("x-request-id", "traced");
    let told = told_upstream(&house, ask);
    let event = events(&house, "traced").remove(0);
    let span = event["span_id"].as_str().unwrap();
    assert_eq!(event["trace_id"], TRACE);
    assert_ne!(span, "b7ad6b7169203331");
    assert_eq!(told, json!([[format!("00-{TRACE}-{span}-00")], ["vendor=1"]]));

    for (number, bad) in [
        "",
        "forged",
        &given.to_uppercase(),
        &given.replace(TRACE, &"0".repeat(32)),
    ]
    .iter()
    .enumerate()
    {
        let id = format!("bad{number}");
        let ask = get("/public/x")
            .header("traceparent", bad)
            .header("tracestate", "vendor=1")
            .header("x-request-id", &id);
        let told = told_upstream(&house, ask);
        let event = events(&house, &id).remove(0);
        let (trace, span) = (event["trace_id"].as_str().unwrap(), event["span_id"].as_str().unwrap());
        assert_ne!(trace, TRACE);
        assert_eq!(told, json!([[format!("00-{trace}-{span}-01")], null]), "{bad:?}");
    }
}

/// The last number of a series.
fn metric(house: &House, series: &str) -> u64 {
    let text = String::from_utf8(get("/metrics").to(house.nodes[0].ops).body).unwrap();
    crate::operating::value(&text, series)
}

#[test]
fn a_denial_has_one_reason_in_answer_log_metric_and_explain() {
    let house = House::logging_json(Kind::Sqlite);
    let address = house.address();
    let buyer = house.customer().sign_in(address).access;
    let reader = house.person("customer", "reader").sign_in(address).access;
    let banned = house.customer();
    let banned_token = banned.sign_in(address).access;
    house.told(&["principal", "ban", &banned.key(), "--reason", "fraud"]);
    let left = house.signed_in();
    assert_eq!(left.ask("POST", "logout").to(address).status, 200);
    for (number, (method, path, token, route)) in [
        ("GET", "/me/x", None, "me"),
        ("GET", "/me/x", Some("not.a.token"), "me"),
        ("GET", "/office/x", Some(&*buyer), "office"),
        ("GET", "/orders/x", Some(&reader), "orders"),
        ("GET", "/me/x", Some(&banned_token), "me"),
        ("GET", "/me/x", Some(&left.access), "me"),
        ("GET", "/guests/x", Some(&buyer), "guests"),
        ("DELETE", "/api/orders/1", Some(&buyer), "api"),
        ("GET", "/nowhere", Some(&buyer), ""),
        ("GET", "/me/../office", Some(&buyer), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut arguments = vec!["explain", method, path, "--output", "json"];
        arguments.extend(token.map(|_| "--token-stdin"));
        let explained: Value = serde_json::from_str(&house.command(&arguments, token.unwrap_or_default()).out).unwrap();
        let code = explained["code"].as_str().unwrap();

        let id = format!("denied{number}");
        let mut request = ask(method, path);
        if let Some(token) = token {
            request = request.bearer(token);
        }
        let counted = |guard: &str| {
            let labels = format!("guard=\"{guard}\",route=\"{route}\",outcome=\"refused\",code=\"{code}\"");
            metric(&house, &format!("bekci_decisions_total{{{labels}}}"))
        };
        let all = || counted("") + counted("customer");
        let before = all();
        let answer = request.header("x-request-id", &id).to(address);
        assert_eq!(answer.json()["error"]["code"], code, "{path}");
        assert_eq!(all(), before + 1, "{method} {path} {code}");
        let event = events(&house, &id).remove(0);
        assert_eq!(
            (&event["code"], &event["reason"]),
            (&explained["code"], &explained["reason"]),
            "{event}"
        );
        assert_eq!(event["outcome"], "refused", "{event}");
    }
}
