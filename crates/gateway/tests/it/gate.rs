//! Who is let in, and as whom the upstream knows them.

use serde_json::{Value, json};

use crate::{
    echo::Echo,
    forge,
    house::{House, Kind},
    http::{Answer, get, post},
    people::{Tokens, call},
};

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

/// The identity headers that the upstream received, each with its one value.
pub(crate) fn identity(answer: &Answer) -> Value {
    assert_eq!(answer.verdict(), "200");
    let told = answer.json();
    let headers = told["headers"].as_object().unwrap().iter();
    let folded = |name: &str| name.replace(['_', '.'], "-");
    let ours = headers.filter(|(name, _)| folded(name).starts_with("x-auth"));
    ours.map(|(name, values)| {
        let values = values.as_array().unwrap();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        (name.clone(), values[0].clone())
    })
    .collect::<serde_json::Map<_, _>>()
    .into()
}

/// Identity headers as somebody would forge them.
const FORGED: [&str; 14] = [
    "X-Auth-Id",
    "x-auth-key",
    "X_Auth_Id",
    "X-AUTH_ROLES",
    "x.auth.roles",
    "X-Auth.Permissions",
    "X-Auth-Guard",
    "X-Auth-Model",
    "X-Auth-Tenant",
    "X-Auth-Session",
    "X-Auth-Token",
    "X-Auth-Attr-Email",
    "X-Auth-Attr-Role",
    "X-Auth",
];

#[test]
fn the_upstream_gets_exactly_the_identity_headers_and_none_of_the_forged_ones() {
    let customer = house().customer();
    let tokens = customer.sign_in(house().address());
    let mut ask = get("/me/forged")
        .bearer(&tokens.access)
        .header("connection", "x-auth-id, x-auth-key");
    for name in FORGED {
        ask = ask.header(name, "admin");
    }
    let mut told = identity(&ask.to(house().address()));
    let told = told.as_object_mut().unwrap();
    // A signed token may go with it; whatever it is, it is not what the client sent.
    assert_ne!(told.remove("x-auth-token"), Some(json!("admin")));
    assert_eq!(
        Value::Object(told.clone()),
        json!({
            "x-auth-guard": "customer",
            "x-auth-model": "customer",
            "x-auth-id": customer.id,
            "x-auth-key": customer.key(),
            "x-auth-tenant": "",
            "x-auth-roles": "buyer",
            "x-auth-permissions": "",
            "x-auth-session": tokens.session,
            "x-auth-attr-email": customer.email,
            "x-auth-attr-name": "Somebody",
        })
    );
}

#[test]
fn a_public_route_tells_the_upstream_of_nobody_whatever_the_client_sends() {
    let tokens = house().signed_in();
    let mut ask = get("/public/forged").bearer(&tokens.access);
    for name in FORGED {
        ask = ask.header(name, "admin");
    }
    let answer = ask.to(house().address());
    assert_eq!(identity(&answer), json!({}));
    assert_eq!(answer.json()["headers"]["authorization"], Value::Null);
}

#[test]
fn what_an_account_holds_cannot_end_its_header() {
    let house = house();
    let customer = house.customer();
    let name = "CASE WHEN 1 = 1 THEN 'Zo' || 'ë' END";
    house.sql(&format!(
        "UPDATE customers SET name = {name} WHERE id = {}",
        customer.id
    ));
    house.sql(&format!(
        "UPDATE customers SET name = name || replace('~X-Auth-Roles: super', '~', '\r\n') WHERE id = {}",
        customer.id
    ));
    let tokens = customer.sign_in(house.address());
    let told = identity(&get("/me/x").bearer(&tokens.access).to(house.address()));
    assert_eq!(told["x-auth-attr-name"], "Zo%C3%AB%0D%0AX-Auth-Roles: super");
    assert_eq!(told["x-auth-roles"], "buyer");
}

#[test]
fn a_token_opens_the_routes_of_its_guard_and_of_no_other() {
    let house = house();
    let customer = house.customer();
    let in_shop = crate::people::Person {
        guard: "shop",
        ..customer.clone()
    };
    let all = [
        customer.sign_in(house.address()),
        in_shop.sign_in(house.address()),
        house.person("admin", "super-admin").sign_in(house.address()),
    ];
    for tokens in &all {
        for (route, guard) in [("me", "customer"), ("shop", "shop"), ("office", "admin")] {
            let path = format!("/{route}/by-{}", tokens.guard);
            let answer = get(&path).bearer(&tokens.access).to(house.address());
            let wanted = if guard == tokens.guard {
                "200"
            } else {
                "401 GUARD_MISMATCH"
            };
            assert_eq!(answer.verdict(), wanted, "{path}");
            assert_eq!(Echo::shared().saw(&path), guard == tokens.guard, "{path}");
            if guard != tokens.guard {
                assert_eq!(
                    answer.header("www-authenticate"),
                    Some("Bearer realm=\"bekci\""),
                    "as without a token"
                );
            }
            let own = get(&call(guard, "me")).bearer(&tokens.access).to(house.address());
            assert_eq!(own.verdict(), wanted, "{} at {guard}", tokens.guard);
        }
    }
}

#[test]
fn a_token_of_another_kind_opens_nothing() {
    let house = house();
    let tokens = house.signed_in();
    let (header, claims) = forge::read(&tokens.access);
    let with_type = |kind: Value| {
        let mut header = header.clone();
        header["typ"] = kind;
        forge::sign(house, "customer", &header, &claims)
    };
    let unsigned = tokens.access.rsplit_once('.').unwrap().0;
    let told = get("/me/told").bearer(&tokens.access).to(house.address()).json();
    let for_upstream = told["headers"]["x-auth-token"][0].as_str().unwrap_or("none");
    for token in [
        tokens.refresh.clone(),
        tokens.session.clone(),
        for_upstream.to_owned(),
        with_type(json!("JWT")),
        with_type(json!("refresh+jwt")),
        with_type(Value::Null),
        forge::sign(house, "customer", &json!({"alg": "none", "typ": "at+jwt"}), &claims),
        forge::sign(house, "admin", &header, &claims),
        format!("{unsigned}."),
        unsigned.to_owned(),
        format!("{}A", tokens.access),
    ] {
        let answer = get("/me/kind").bearer(&token).to(house.address());
        assert_eq!(answer.status, 401, "{token}");
    }
    assert!(!Echo::shared().saw("/me/kind"));
    assert_eq!(
        forge::changed(house, "customer", &tokens.access, &json!({}))
            .matches('.')
            .count(),
        2
    );
}

#[test]
fn good_signatures_over_claims_that_do_not_fit_the_guard_open_nothing() {
    let house = house();
    let tokens = house.signed_in();
    let good = forge::changed(house, "customer", &tokens.access, &json!({}));
    assert_eq!(
        get("/me/x").bearer(&good).to(house.address()).status,
        200,
        "the hand that forges is a good one"
    );
    let zeros = "0".repeat(32);
    for change in [
        json!({"aud": "admin"}),
        json!({"aud": ["customer", "admin"]}),
        json!({"guard": "admin"}),
        json!({"model": "admin"}),
        json!({"sub": "admin:1"}),
        json!({"sub": "1"}),
        json!({"iss": "https://evil.test"}),
        json!({"sid": zeros}),
        json!({"sid": null}),
        json!({"gen": null}),
        json!({"ver": null}),
        json!({"guard": null}),
        json!({"model": null}),
        json!({"exp": null}),
    ] {
        let token = forge::changed(house, "customer", &tokens.access, &change);
        let answer = get("/me/claims").bearer(&token).to(house.address());
        assert_eq!(answer.status, 401, "{change}");
    }
    assert!(!Echo::shared().saw("/me/claims"));
}

#[test]
fn an_admin_and_a_customer_with_the_same_id_never_meet() {
    let house = house();
    let first = |guard: &'static str| {
        let person = crate::people::Person {
            guard,
            email: format!("first@{guard}.test"),
            id: "1".to_owned(),
        };
        person.sign_in(house.address())
    };
    let (admin, customer) = (first("admin"), first("customer"));
    let key = |tokens: &Tokens| {
        let told = identity(&get("/both/x").bearer(&tokens.access).to(house.address()));
        (told["x-auth-key"].clone(), told["x-auth-roles"].clone())
    };
    for _ in 0..3 {
        assert_eq!(key(&admin), (json!("admin:1"), json!("super-admin")));
        assert_eq!(key(&customer), (json!("customer:1"), json!("buyer")));
    }
    let ended = post(&call("customer", "logout-all"))
        .bearer(&customer.access)
        .to(house.address());
    assert_eq!(ended.verdict(), "200");
    assert_eq!(admin.verdict(house.address()), "200");
    assert_eq!(customer.verdict(house.address()), "401 TOKEN_INVALID");
}

#[test]
fn nothing_that_a_client_says_picks_the_guard() {
    let house = house();
    let tokens = house.signed_in();
    let body = json!({"guard": "customer", "model": "customer", "provider": "customers"});
    let answer = post("/office/picked?guard=customer&model=customer")
        .bearer(&tokens.access)
        .header("x-guard", "customer")
        .header("x-auth-guard", "customer")
        .header("x-model", "customer")
        .header("cookie", "guard=customer; model=customer")
        .json(&body)
        .to(house.address());
    assert_eq!(answer.verdict(), "401 GUARD_MISMATCH");
    assert!(!Echo::shared().saw("/office/picked"));
}

#[test]
fn a_field_that_nobody_asked_for_refuses_a_sign_in() {
    let house = house();
    let customer = house.customer();
    for field in ["guard", "model", "provider", "roles", "status", "tenant", "Password"] {
        let answer = customer.login(&json!({field: "admin"})).to(house.address());
        assert_eq!(answer.verdict(), "400 MALFORMED_REQUEST", "{field}");
    }
    assert_eq!(customer.login(&json!({})).to(house.address()).verdict(), "200");
}

#[test]
fn an_account_of_one_model_is_unknown_at_the_guard_of_another() {
    let house = house();
    let admin = house.person("admin", "super-admin");
    let as_customer = crate::people::Person {
        guard: "customer",
        ..admin
    };
    let answer = as_customer.login(&json!({})).to(house.address());
    assert_eq!(answer.verdict(), "401 CREDENTIAL_INVALID");
}
