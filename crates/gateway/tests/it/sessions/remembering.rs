//! Remember-me: a cookie that signs in without a password.

use serde_json::{Value, json};

use crate::{
    house::{House, Kind, on_every_store},
    http::{Answer, Ask, get, post},
    people::{Person, call, in_the_end},
};

on_every_store!(
    a_token_signs_in_where_it_is_asked_for_and_is_replaced_by_each_use,
    by_itself_it_signs_in_a_navigation_to_a_page_alone,
    the_predecessor_is_given_the_same_session_and_a_copy_ends_it,
    of_16_at_once_nobody_is_thrown_out_and_one_session_is_open,
    what_is_swapped_cut_or_changed_is_refused_and_changes_nothing,
    what_ends_a_session_ends_what_remembers_it,
    an_account_is_judged_as_of_now_and_a_refusal_uses_nothing_up,
    a_sign_out_forgets_unless_it_is_to_remember,
    a_browser_is_forgotten_without_a_sign_out,
    a_sign_in_ends_what_its_browser_remembered_before,
    a_token_needs_proof_of_origin_where_something_changes,
    another_host_of_a_body_has_no_cookie_to_remember_by,
);

const REMEMBER: &str = "__Host-bekci_customer_rm";
const ACCESS: &str = "__Host-bekci_customer_at";
const REFRESH: &str = "__Secure-bekci_customer_rt";
const CSRF: &str = "__Host-bekci_customer_csrf";
const NO_TOKEN: &str = "401 TOKEN_INVALID";

/// The value and the attributes of a cookie that is set; `None`: it is not.
fn set(answer: &Answer, name: &str) -> Option<(String, String)> {
    let mut found = answer
        .all("set-cookie")
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let line = found.next()?;
    assert!(found.next().is_none(), "{name} twice");
    let (value, attributes) = line.split_once("; ").unwrap();
    Some((value.to_owned(), attributes.to_ascii_lowercase()))
}

/// What a browser holds after a sign-in that is to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Browser {
    access: String,
    refresh: String,
    remember: String,
    session: String,
}

impl Browser {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.verdict(), "200", "{}", String::from_utf8_lossy(&answer.body));
        let value = |name| set(answer, name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).0;
        Self {
            access: value(ACCESS),
            refresh: value(REFRESH),
            remember: value(REMEMBER),
            session: answer.json()["data"]["sessionId"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }
    }

    fn signed_in(house: &House, person: &Person) -> Self {
        Self::of(&remembered_login(person).to(house.address()))
    }

    /// What a guarded route answers to its access token.
    fn lets_in(&self, house: &House) -> [String; 2] {
        [0, 1].map(|node| {
            get("/me/x")
                .bearer(&self.access)
                .to(house.nodes[node].address)
                .verdict()
        })
    }
}

fn remembered_login(person: &Person) -> Ask {
    person.login(&json!({"transport": "cookie", "rememberMe": true}))
}

fn with_token(ask: Ask, token: &str) -> Ask {
    ask.header("cookie", &format!("{REMEMBER}={token}"))
}

/// A call of the page's script.
fn recall(token: &str) -> Ask {
    with_token(post(&call("customer", "token/refresh")), token).header("sec-fetch-site", "same-origin")
}

/// A page that a browser navigates to.
fn navigate(token: &str) -> Ask {
    with_token(get("/me/page"), token)
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-site", "cross-site")
}

/// Moves the last use of a person's series by so many seconds.
fn move_use(house: &House, person: &Person, seconds: i64) {
    house.sql(&format!(
        "UPDATE bekci_remembered SET rotated_at = rotated_at + {} WHERE principal_id = '{}'",
        seconds * 1_000_000,
        person.id
    ));
}

fn live_sessions(house: &House, person: &Person) -> String {
    house.sql(&format!(
        "SELECT count(*) FROM bekci_sessions WHERE principal_id = '{}' AND model = 'customer' AND ended_at IS NULL",
        person.id
    ))
}

fn a_token_signs_in_where_it_is_asked_for_and_is_replaced_by_each_use(house: &House) {
    let person = house.customer();
    let answer = remembered_login(&person).to(house.address());
    let first = Browser::of(&answer);
    let (_, attributes) = set(&answer, REMEMBER).unwrap();
    for attribute in ["httponly", "secure", "samesite=lax", "path=/"] {
        assert!(attributes.split("; ").any(|found| found == attribute), "{attributes}");
    }
    let lasts = attributes
        .split("; ")
        .find_map(|found| found.strip_prefix("max-age="))
        .unwrap();
    let days = lasts.parse::<i64>().unwrap() / 86_400;
    assert!((179..=180).contains(&days), "{attributes}");
    // The tables have nothing of it.
    let dump = house.sql("SELECT * FROM bekci_remembered");
    assert!(!dump.contains(&first.remember[4..40]), "{dump}");
    if let Some(redis) = &house.redis {
        redis.cli(&["FLUSHALL"]);
    }
    let answer = recall(&first.remember).to(house.nodes[1].address);
    let second = Browser::of(&answer);
    assert!(second.remember != first.remember && second.session != first.session);
    assert_eq!(answer.json()["data"]["accessToken"], Value::Null);
    assert_eq!(second.lets_in(house), ["200", "200"]);
    // A sign-in makes a new session, and the one of the same browser ends.
    assert_eq!(first.lets_in(house), [NO_TOKEN, NO_TOKEN]);
    let me = get(&call("customer", "me")).bearer(&second.access).to(house.address());
    let session = &me.json()["data"]["session"];
    assert_eq!(
        (&session["rememberMe"], &session["fresh"], &session["way"]),
        (&json!(true), &json!(false), &json!("remembered"))
    );
    let third = Browser::of(&recall(&second.remember).to(house.address()));
    assert_eq!(third.lets_in(house), ["200", "200"]);
    assert_eq!(live_sessions(house, &person), "1");
}

fn by_itself_it_signs_in_a_navigation_to_a_page_alone(house: &House) {
    let person = house.customer();
    let first = Browser::signed_in(house, &person);
    let token = &first.remember;
    let mode = |ask: Ask, mode: &str| with_token(ask, token).header("sec-fetch-mode", mode);
    let nothing_by_itself = [
        with_token(get("/me/x"), token),
        mode(get("/me/x"), "cors"),
        mode(get("/me/x"), "no-cors"),
        mode(post("/me/x"), "navigate").header("sec-fetch-site", "same-origin"),
        mode(get("/me/x"), "navigate").header("sec-fetch-dest", "iframe"),
        // For who is signed in at another guard, and for guests.
        mode(get("/shop/x"), "navigate"),
    ];
    for ask in nothing_by_itself {
        let answer = ask.to(house.address());
        assert_eq!(answer.verdict(), "401 TOKEN_MISSING", "{ask:?}");
        assert_eq!(set(&answer, REMEMBER), None);
    }
    assert_eq!(mode(get("/guests/x"), "navigate").to(house.address()).status, 200);
    for cookies in [
        format!("{ACCESS}=bad; {REMEMBER}={token}"),
        format!("{REMEMBER}={token}; {ACCESS}=bad"),
    ] {
        let bad = get("/me/x")
            .header("cookie", &cookies)
            .header("sec-fetch-mode", "navigate");
        assert_eq!(
            bad.to(house.address()).status,
            401,
            "a bad token is no reason to use another"
        );
    }
    let bad = mode(get("/me/x"), "navigate").bearer("bad").to(house.address());
    assert_eq!(bad.verdict(), NO_TOKEN);
    let two = get("/me/x").header("cookie", &format!("{REMEMBER}={token}; {REMEMBER}=other"));
    let two = two.header("sec-fetch-mode", "navigate").to(house.address());
    assert_eq!(two.verdict(), "400 AMBIGUOUS_CREDENTIALS");
    // None of it used the token.
    let answer = navigate(token).to(house.nodes[1].address);
    assert_eq!(answer.verdict(), "200", "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let second = Browser::of(&answer);
    let echo = answer.json();
    assert_eq!(echo["headers"]["x-auth-key"], json!([person.key()]));
    // The upstream sees none of our cookies.
    assert_eq!(echo["headers"]["cookie"], Value::Null);
    assert_eq!(second.lets_in(house), ["200", "200"]);
    assert!(set(&answer, CSRF).is_some());
    // What the route refuses is refused, and the browser keeps what it was given.
    let answer = with_token(get("/orders/x"), &second.remember).header("sec-fetch-mode", "navigate");
    assert_eq!(Browser::of(&answer.to(house.address())).lets_in(house), ["200", "200"]);
    let odd = navigate("bkm_AAAA").to(house.address());
    assert_eq!(odd.verdict(), "401 TOKEN_MISSING");
    assert!(set(&odd, REMEMBER).unwrap().1.contains("max-age=0"));
}

fn the_predecessor_is_given_the_same_session_and_a_copy_ends_it(house: &House) {
    let person = house.customer();
    let first = Browser::signed_in(house, &person);
    let second = Browser::of(&recall(&first.remember).to(house.address()));
    // As long as the last use is less than 10 s ago, however slow this machine is.
    move_use(house, &person, 3_600);
    for node in &house.nodes {
        let again = Browser::of(&recall(&first.remember).to(node.address));
        assert_eq!(
            (&again.remember, &again.session, &again.refresh),
            (&second.remember, &second.session, &second.refresh)
        );
        assert_eq!(again.lets_in(house), ["200", "200"]);
    }
    assert_eq!(live_sessions(house, &person), "1");
    // Later it is a copy.
    move_use(house, &person, -7_200);
    let other = Browser::signed_in(house, &person);
    let copy = recall(&first.remember).to(house.nodes[1].address);
    assert_eq!(copy.verdict(), NO_TOKEN);
    assert!(set(&copy, REMEMBER).unwrap().1.contains("max-age=0"));
    assert_eq!(second.lets_in(house), [NO_TOKEN, NO_TOKEN]);
    assert_eq!(recall(&second.remember).to(house.address()).verdict(), NO_TOKEN);
    let reason = house.sql(&format!(
        "SELECT end_reason FROM bekci_sessions WHERE id = '{}'",
        second.session
    ));
    assert_eq!(reason, "remember_me_theft");
    // Another browser of the same account is not concerned.
    assert_eq!(other.lets_in(house), ["200", "200"]);
    assert_eq!(
        Browser::of(&recall(&other.remember).to(house.address())).lets_in(house),
        ["200", "200"]
    );
}

fn of_16_at_once_nobody_is_thrown_out_and_one_session_is_open(house: &House) {
    let person = house.customer();
    let first = Browser::signed_in(house, &person);
    let all: Vec<Browser> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|n| {
                let (node, ask) = (house.nodes[n % 2].address, recall(&first.remember));
                scope.spawn(move || Browser::of(&ask.to(node)))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for browser in &all {
        assert_eq!(
            (&browser.remember, &browser.session),
            (&all[0].remember, &all[0].session)
        );
        assert_eq!(browser.lets_in(house), ["200", "200"]);
    }
    assert_eq!(live_sessions(house, &person), "1");
}

fn what_is_swapped_cut_or_changed_is_refused_and_changes_nothing(house: &House) {
    let (alice, mallory) = (house.customer(), house.customer());
    let (hers, his) = (Browser::signed_in(house, &alice), Browser::signed_in(house, &mallory));
    let token = &hers.remember;
    let (head, tail) = token.split_at(40);
    let last = if token.ends_with('A') { "B" } else { "A" };
    let bad = [
        format!("{head}{}", &his.remember[40..]),
        format!("{}{tail}", &his.remember[..40]),
        token[..token.len() - 1].to_owned(),
        format!("{}{last}", &token[..token.len() - 1]),
        token.replacen("bkm_", "bkr_", 1),
        hers.refresh.replacen("bkr_", "bkm_", 1),
        "bkm_".to_owned(),
        "x".repeat(5_000),
    ];
    for bad in &bad {
        assert_eq!(recall(bad).to(house.address()).verdict(), NO_TOKEN, "{bad}");
    }
    // At another guard of the same model, under its own cookie.
    let at_shop = post(&call("shop", "token/refresh")).header("sec-fetch-site", "same-origin");
    let at_shop = at_shop.header("cookie", &format!("__Host-bekci_shop_rm={token}"));
    assert_eq!(at_shop.to(house.address()).verdict(), NO_TOKEN);
    for (browser, person) in [(&hers, &alice), (&his, &mallory)] {
        assert_eq!(browser.lets_in(house), ["200", "200"]);
        Browser::of(&recall(&browser.remember).to(house.address()));
        assert_eq!(live_sessions(house, person), "1");
    }
}

fn what_ends_a_session_ends_what_remembers_it(house: &House) {
    let person = house.customer();
    let ended = |browser: &Browser| {
        for node in &house.nodes {
            assert_eq!(recall(&browser.remember).to(node.address).verdict(), NO_TOKEN);
            assert_eq!(
                navigate(&browser.remember).to(node.address).verdict(),
                "401 TOKEN_MISSING"
            );
        }
    };
    let here = Browser::signed_in(house, &person);
    let logout = post(&call("customer", "logout"))
        .bearer(&here.access)
        .to(house.address());
    assert_eq!(logout.verdict(), "200");
    ended(&here);
    let all: Vec<Browser> = (0..3).map(|_| Browser::signed_in(house, &person)).collect();
    let everywhere = post(&call("customer", "logout-all")).bearer(&all[0].access);
    assert_eq!(everywhere.to(house.nodes[1].address).verdict(), "200");
    all.iter().for_each(ended);
    // Its owner ends another device.
    let (one, other) = (Browser::signed_in(house, &person), Browser::signed_in(house, &person));
    let path = call("customer", &format!("sessions/{}", other.session));
    let revoked = crate::http::ask("DELETE", &path)
        .bearer(&one.access)
        .to(house.address());
    assert_eq!(revoked.verdict(), "200");
    ended(&other);
    assert_eq!(one.lets_in(house), ["200", "200"]);
    // By hand, and with the account.
    house.sql(&format!(
        "UPDATE bekci_sessions SET ended_at = 1 WHERE id = '{}'",
        one.session
    ));
    ended(&one);
    let last = Browser::signed_in(house, &person);
    house.sql(&format!("DELETE FROM customers WHERE id = {}", person.id));
    house.sql(&format!(
        "INSERT INTO customers (id, email, password_hash) SELECT {}, '{}', password_hash FROM customers WHERE id = 1",
        person.id, person.email
    ));
    ended(&last);
}

fn an_account_is_judged_as_of_now_and_a_refusal_uses_nothing_up(house: &House) {
    let person = house.customer();
    let browser = Browser::signed_in(house, &person);
    let status = |status: &str| {
        house.sql(&format!(
            "UPDATE customers SET status = '{status}' WHERE id = {}",
            person.id
        ));
    };
    for (to, verdict) in [("banned", "403 ACCOUNT_BANNED"), ("odd", "403 ACCOUNT_INACTIVE")] {
        status(to);
        for node in &house.nodes {
            assert_eq!(recall(&browser.remember).to(node.address).verdict(), verdict);
            assert_eq!(navigate(&browser.remember).to(node.address).verdict(), verdict);
        }
        status("active");
    }
    // Its session was never used up by that.
    in_the_end(&get("/me/x").bearer(&browser.access), house.address(), "200");
    let again = Browser::of(&recall(&browser.remember).to(house.nodes[1].address));
    assert_eq!(again.lets_in(house), ["200", "200"]);
}

fn a_sign_out_forgets_unless_it_is_to_remember(house: &House) {
    let person = house.customer();
    let browser = Browser::signed_in(house, &person);
    let logout = |browser: &Browser, body: Value| {
        let ask = post(&call("customer", "logout")).bearer(&browser.access);
        ask.json(&body).to(house.address())
    };
    let kept = logout(&browser, json!({"forget": false}));
    assert_eq!(kept.verdict(), "200");
    assert_eq!(set(&kept, REMEMBER), None);
    assert!(set(&kept, ACCESS).unwrap().1.contains("max-age=0"));
    assert_eq!(browser.lets_in(house), [NO_TOKEN, NO_TOKEN]);
    let refresh = post(&call("customer", "token/refresh")).json(&json!({"refreshToken": browser.refresh}));
    assert_eq!(
        refresh.to(house.nodes[1].address).verdict(),
        "401 REFRESH_TOKEN_EXPIRED"
    );
    let again = logout(&browser, json!({"forget": false}));
    assert_eq!(again.verdict(), "200", "a second time");
    let next = Browser::of(&navigate(&browser.remember).to(house.nodes[1].address));
    let listed = get(&call("customer", "sessions"))
        .bearer(&next.access)
        .to(house.address());
    assert_eq!(
        listed.json()["data"].as_array().unwrap().len(),
        1,
        "{:?}",
        listed.json()
    );
    let gone = logout(&next, json!({"forget": true}));
    assert!(set(&gone, REMEMBER).unwrap().1.contains("max-age=0"));
    assert_eq!(recall(&next.remember).to(house.address()).verdict(), NO_TOKEN);
    // One that was never remembered ends, whatever is said.
    let plain = person.sign_in(house.address());
    let ended = plain
        .ask("POST", "logout")
        .json(&json!({"forget": false}))
        .to(house.address());
    assert_eq!(ended.verdict(), "200");
    assert_eq!(
        plain.refresh().to(house.address()).verdict(),
        "401 REFRESH_TOKEN_INVALID"
    );
    // Everywhere means everywhere: what was to remember is forgotten, too.
    let one = Browser::signed_in(house, &person);
    logout(&one, json!({"forget": false}));
    let other = Browser::signed_in(house, &person);
    let everywhere = post(&call("customer", "logout-all")).bearer(&other.access);
    assert_eq!(everywhere.to(house.address()).verdict(), "200");
    assert_eq!(recall(&one.remember).to(house.address()).verdict(), NO_TOKEN);
}

fn a_browser_is_forgotten_without_a_sign_out(house: &House) {
    let person = house.customer();
    let path = call("customer", "remember-me");
    let forget = || crate::http::ask("DELETE", &path);
    let by_session = Browser::signed_in(house, &person);
    let answer = forget().bearer(&by_session.access).to(house.address());
    assert_eq!(
        (answer.verdict().as_str(), &answer.json()["data"]["forgotten"]),
        ("200", &json!(true))
    );
    assert!(set(&answer, REMEMBER).unwrap().1.contains("max-age=0"));
    assert_eq!(
        recall(&by_session.remember).to(house.nodes[1].address).verdict(),
        NO_TOKEN
    );
    assert_eq!(by_session.lets_in(house), ["200", "200"]);
    let by_token = Browser::signed_in(house, &person);
    let cross = with_token(forget(), &by_token.remember).header("sec-fetch-site", "cross-site");
    assert_eq!(cross.to(house.address()).verdict(), "403 CSRF_REJECTED");
    let answer = with_token(forget(), &by_token.remember).header("sec-fetch-site", "same-origin");
    assert_eq!(
        answer.to(house.nodes[1].address).json()["data"]["forgotten"],
        json!(true)
    );
    assert_eq!(recall(&by_token.remember).to(house.address()).verdict(), NO_TOKEN);
    assert_eq!(by_token.lets_in(house), ["200", "200"]);
    assert_eq!(forget().to(house.address()).verdict(), "401 TOKEN_MISSING");
}

fn a_sign_in_ends_what_its_browser_remembered_before(house: &House) {
    let (before, after) = (house.customer(), house.customer());
    let browser = Browser::signed_in(house, &before);
    let login = after.login(&json!({"transport": "cookie"}));
    let login = with_token(login, &browser.remember).header("sec-fetch-site", "same-origin");
    let answer = login.to(house.address());
    assert_eq!(answer.verdict(), "200");
    assert!(set(&answer, REMEMBER).unwrap().1.contains("max-age=0"));
    assert_eq!(recall(&browser.remember).to(house.nodes[1].address).verdict(), NO_TOKEN);
    let browser = Browser::signed_in(house, &before);
    let login = with_token(remembered_login(&after), &browser.remember).header("sec-fetch-site", "same-origin");
    let next = Browser::of(&login.to(house.address()));
    assert_eq!(recall(&browser.remember).to(house.address()).verdict(), NO_TOKEN);
    assert_eq!(
        Browser::of(&recall(&next.remember).to(house.address())).lets_in(house),
        ["200", "200"]
    );
}

fn a_token_needs_proof_of_origin_where_something_changes(house: &House) {
    let person = house.customer();
    let answer = remembered_login(&person).to(house.address());
    let (browser, csrf) = (Browser::of(&answer), set(&answer, CSRF).unwrap().0);
    let path = call("customer", "token/refresh");
    let plain = || with_token(post(&path), &browser.remember);
    for refused in [
        plain(),
        plain().header("sec-fetch-site", "cross-site"),
        plain().header("sec-fetch-site", "same-site"),
        plain().header("x-csrf-token", &csrf),
    ] {
        assert_eq!(refused.to(house.address()).verdict(), "403 CSRF_REJECTED");
    }
    let both = post(&path).header("cookie", &format!("{REMEMBER}={}; {CSRF}={csrf}", browser.remember));
    Browser::of(&both.header("x-csrf-token", &csrf).to(house.address()));
}

fn another_host_of_a_body_has_no_cookie_to_remember_by(house: &House) {
    let person = house.customer();
    let answer = person.login(&json!({"rememberMe": true})).to(house.address());
    assert_eq!(answer.verdict(), "422 VALIDATION_FAILED");
    assert!(answer.json()["error"]["details"]["fields"]["rememberMe"].is_string());
    assert_eq!(live_sessions(house, &person), "0");
    let plain = person.login(&json!({"transport": "cookie"})).to(house.address());
    assert_eq!(set(&plain, REMEMBER), None);
}

#[test]
fn the_decision_endpoints_use_no_token() {
    let house = House::behind_a_proxy(Kind::Sqlite);
    let person = house.customer();
    let browser = Browser::signed_in(&house, &person);
    let asked = with_token(get("/forward-auth"), &browser.remember)
        .header("sec-fetch-mode", "navigate")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "bekci.test")
        .header("x-forwarded-uri", "/me/page");
    let answer = asked.to(house.address());
    assert_eq!(answer.verdict(), "401 TOKEN_MISSING");
    assert_eq!(set(&answer, REMEMBER), None);
    // It is good still.
    Browser::of(&navigate(&browser.remember).to(house.address()));
}
