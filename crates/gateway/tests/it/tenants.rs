//! Tenants from the request, on the real binary: by host, header, path and claim; proxied and at the decision endpoints; and the attacks on each.

mod estate;

use std::net::SocketAddr;

use serde_json::{Value, json};

use self::estate::{By, Estate, access};
use crate::{
    gate::identity,
    http::{Answer, Ask, get, post},
    internal::decoded,
    people::in_the_end,
};

/// Runs each function on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(super::Estate::on_sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(super::Estate::on_postgres());
            })*
        }
    };
}

on_both! {
    by_host_the_label_of_the_wildcard_is_the_tenant,
    by_host_nothing_but_the_host_counts,
    by_host_a_sign_in_is_for_the_tenant_of_its_host_alone,
    by_header_a_trusted_proxy_names_the_tenant,
    by_header_a_stranger_is_not_believed_and_its_header_goes,
    by_path_a_segment_is_the_tenant,
    by_claim_the_sign_in_names_the_tenant,
    by_claim_the_accounts_own_tenant_is_the_one,
    rights_of_a_tenant_count_there_alone,
    the_decision_endpoints_ask_about_the_same_tenant,
    what_is_held_in_a_tenant_manages_nothing,
}

/// The tenant that the upstream was told of, by header and by token, which must agree; and the roles.
fn told(answer: &Answer) -> (String, String) {
    let told = identity(answer);
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let claims = decoded(told["x-auth-token"].as_str().unwrap(), 1);
    let tenant = text("x-auth-tenant");
    assert_eq!(claims["tenant"].as_str().unwrap_or_default(), tenant);
    let roles: Vec<&str> = claims["roles"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(roles.join(","), text("x-auth-roles"));
    (tenant, text("x-auth-roles"))
}

fn is(tenant: &str, roles: &str) -> (String, String) {
    (tenant.to_owned(), roles.to_owned())
}

/// Refused since the principal does not belong to the tenant, which the answer names.
fn is_foreign(answer: &Answer, tenant: &str) {
    assert_eq!(answer.verdict(), "403 FORBIDDEN");
    assert_eq!(answer.json()["error"]["details"]["tenant"], tenant);
}

fn is_malformed(answer: &Answer) {
    assert_eq!(answer.verdict(), "400 MALFORMED_REQUEST");
    assert!(answer.json()["error"]["details"]["tenant"].is_string());
}

fn by_host_the_label_of_the_wildcard_is_the_tenant(estate: &Estate) {
    let gateway = estate.gateway(By::Host);
    let token = estate.keeper().sign_in(gateway);
    let ask = |host: &str| get("/me/x").at_host(host).bearer(&token).to(gateway);
    for host in ["acme.shop.test", "ACME.Shop.test.", "acme.shop.test:8443"] {
        assert_eq!(told(&ask(host)), is("acme", "buyer,keeper"), "{host}");
    }
    for bare in ["shop.test", "www.shop.test", "bekci.test", "acme.shop.test.evil.test"] {
        assert_eq!(told(&ask(bare)), is("", "buyer"), "{bare}");
    }
    is_foreign(&ask("other.shop.test"), "other");
    for bad in [
        "a.acme.shop.test",
        "acme.www.shop.test",
        "ac_me.shop.test",
        "-acme.shop.test",
    ] {
        is_malformed(&ask(bad));
        assert_eq!(
            get("/open/x").at_host(bad).to(gateway).status,
            200,
            "nobody is let in by it: {bad}"
        );
    }
}

fn by_host_nothing_but_the_host_counts(estate: &Estate) {
    let gateway = estate.gateway(By::Host);
    let token = estate.keeper().sign_in(gateway);
    let ask = get("/me/x").at_host("shop.test").bearer(&token);
    for (name, value) in [
        ("X-Forwarded-Host", "acme.shop.test"),
        ("Forwarded", "host=acme.shop.test"),
        ("X-Host", "acme.shop.test"),
        ("X-Tenant", "acme"),
        ("X-Auth-Tenant", "acme"),
        ("X_Auth_Tenant", "acme"),
    ] {
        let answer = ask.clone().header(name, value).to(gateway);
        assert_eq!(told(&answer), is("", "buyer"), "{name}");
    }
    let target = crate::http::ask("GET", "http://acme.shop.test/me/x");
    let answer = target.at_host("globex.shop.test").bearer(&token).to(gateway);
    assert_eq!(answer.status, 400, "target and header name different hosts");
}

fn by_host_a_sign_in_is_for_the_tenant_of_its_host_alone(estate: &Estate) {
    let gateway = estate.gateway(By::Host);
    let keeper = estate.keeper();
    let login = |host: &str| keeper.login(&json!({})).at_host(host).to(gateway);
    is_foreign(&login("other.shop.test"), "other");
    let guessed = keeper.login(&json!({"password": "not the password"}));
    let answer = guessed.at_host("other.shop.test").to(gateway);
    assert_eq!(
        answer.verdict(),
        "401 CREDENTIAL_INVALID",
        "who does not know it learns nothing"
    );
    is_malformed(&login("a.b.shop.test"));

    let answer = login("acme.shop.test");
    let token = access(&answer);
    assert_eq!(decoded(&token, 1)["tenant"], "acme");
    assert_eq!(answer.json()["data"]["user"]["roles"], json!(["buyer", "keeper"]));
    let ask = |token: &str, host: &str| get("/me/x").at_host(host).bearer(token).to(gateway);
    assert_eq!(told(&ask(&token, "acme.shop.test")), is("acme", "buyer,keeper"));
    is_foreign(&ask(&token, "globex.shop.test"), "globex");

    let refresh = json!({"refreshToken": answer.json()["data"]["refreshToken"]});
    let again = post("/auth/customer/token/refresh")
        .at_host("globex.shop.test")
        .json(&refresh);
    let again = access(&again.to(gateway));
    assert_eq!(
        decoded(&again, 1)["tenant"],
        "acme",
        "a refresh moves no session to another tenant"
    );
    is_foreign(&ask(&again, "globex.shop.test"), "globex");

    let me = |host: &str| get("/auth/customer/me").at_host(host).bearer(&again).to(gateway);
    assert_eq!(me("acme.shop.test").json()["data"]["roles"], json!(["buyer", "keeper"]));
    is_foreign(&me("globex.shop.test"), "globex");
}

fn by_header_a_trusted_proxy_names_the_tenant(estate: &Estate) {
    let gateway = estate.gateway(By::Header);
    let token = estate.keeper().sign_in(gateway);
    let ask = |tenants: &[(&str, &str)]| {
        let ask = get("/me/x").bearer(&token);
        let ask = tenants.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        ask.to(gateway)
    };
    assert_eq!(told(&ask(&[])), is("", "buyer"));
    let answer = ask(&[("x-TENANT", "acme"), ("x_tenant", "globex"), ("x.tenant", "globex")]);
    assert_eq!(told(&answer), is("acme", "buyer,keeper"));
    assert_eq!(
        named_to_upstream(&answer),
        json!({"x-tenant": ["acme"]}),
        "no other spelling goes on"
    );
    is_foreign(&ask(&[("X-Tenant", "other")]), "other");
    for bad in ["ACME", "acme,globex", "", "../acme", "*"] {
        is_malformed(&ask(&[("X-Tenant", bad)]));
    }
    is_malformed(&ask(&[("X-Tenant", "acme"), ("X-Tenant", "acme")]));
    let in_body = estate.keeper().login(&json!({"tenant": "acme"})).to(gateway);
    assert_eq!(
        in_body.verdict(),
        "400 MALFORMED_REQUEST",
        "a body names no tenant here"
    );
}

/// The headers by which an upstream could take a tenant from the client.
fn named_to_upstream(answer: &Answer) -> Value {
    let told = answer.json();
    let headers = told["headers"].as_object().unwrap().iter();
    let fold = |name: &str| name.replace(['_', '.'], "-");
    let named = headers.filter(|(name, _)| fold(name) == "x-tenant");
    Value::Object(named.map(|(name, values)| (name.clone(), values.clone())).collect())
}

fn by_header_a_stranger_is_not_believed_and_its_header_goes(estate: &Estate) {
    let gateway = estate.gateway(By::StrangersHeader);
    let token = estate.keeper().sign_in(gateway);
    for value in ["acme", "other", "ACME", ""] {
        for name in ["X-Tenant", "x_tenant", "X.Tenant"] {
            let ask = get("/me/x").bearer(&token).header(name, value);
            let answer = ask.header("X-Forwarded-For", "192.0.2.1").to(gateway);
            assert_eq!(told(&answer), is("", "buyer"), "{name}: {value}");
            assert_eq!(named_to_upstream(&answer), json!({}), "{name}: {value}");
            let open = get("/open/x").header(name, value).to(gateway);
            assert_eq!(named_to_upstream(&open), json!({}), "on a public route too");
        }
    }
    let signed_in = estate.keeper().login(&json!({})).header("X-Tenant", "acme").to(gateway);
    assert_eq!(decoded(&access(&signed_in), 1).get("tenant"), None);
}

fn by_path_a_segment_is_the_tenant(estate: &Estate) {
    let gateway = estate.gateway(By::Path);
    let token = estate.keeper().sign_in(gateway);
    let ask = |path: &str| get(path).bearer(&token).to(gateway);
    assert_eq!(told(&ask("/t/acme/me")), is("acme", "buyer,keeper"));
    assert_eq!(
        told(&ask("/t/%61cme/me")),
        is("acme", "buyer,keeper"),
        "one spelling is judged"
    );
    assert_eq!(told(&ask("/me")), is("", "buyer"));
    is_foreign(&ask("/t/other/me"), "other");
    is_malformed(&ask("/t/ACME/me"));
    is_malformed(&ask("/t/acme.globex/me"));
    for bad in ["/t/acme/../globex/me", "/t//me", "/t/acme%2fx/me", "/t/acme;x/me"] {
        assert_eq!(ask(bad).verdict(), "400 BAD_PATH", "{bad}");
    }
}

fn by_claim_the_sign_in_names_the_tenant(estate: &Estate) {
    let gateway = estate.gateway(By::Claim);
    let keeper = estate.keeper();
    let login = |tenant: &str| keeper.login(&json!({"tenant": tenant})).to(gateway);
    let ask = |token: &str| {
        get("/me/x")
            .at_host("globex.shop.test")
            .header("X-Tenant", "globex")
            .bearer(token)
            .to(gateway)
    };
    assert_eq!(told(&ask(&access(&login("acme")))), is("acme", "buyer,keeper"));
    assert_eq!(told(&ask(&keeper.sign_in(gateway))), is("", "buyer"));
    is_foreign(&login("other"), "other");
    assert_eq!(login("ACME").verdict(), "422 VALIDATION_FAILED");
    let guessed = keeper.login(&json!({"tenant": "other", "password": "not the password"}));
    assert_eq!(guessed.to(gateway).verdict(), "401 CREDENTIAL_INVALID");

    // Who leaves a tenant is out of it with the tokens that were made for it.
    let token = access(&login("acme"));
    estate.sql(&format!(
        "DELETE FROM bekci_principal_roles WHERE model = 'customer' AND id = '{}' AND tenant = 'acme'",
        keeper.id
    ));
    let ask = get("/me/x").bearer(&token);
    is_foreign(&in_the_end(&ask, gateway, "403 FORBIDDEN"), "acme");
}

fn by_claim_the_accounts_own_tenant_is_the_one(estate: &Estate) {
    let gateway = estate.gateway(By::Claim);
    let clerk = estate.member("staff", "acme", &[("globex", "keeper")]);
    let token = clerk.sign_in(gateway);
    assert_eq!(decoded(&token, 1)["tenant"], "acme");
    let ask = get("/me/x").bearer(&token);
    assert_eq!(told(&ask.to(gateway)), is("acme", ""));
    let elsewhere = clerk.login(&json!({"tenant": "globex"})).to(gateway);
    is_foreign(&elsewhere, "globex");
    estate.sql(&format!("UPDATE staffs SET company = 'globex' WHERE id = {}", clerk.id));
    is_foreign(&in_the_end(&ask, gateway, "403 FORBIDDEN"), "acme");
    assert_eq!(
        told(&get("/me/x").bearer(&clerk.sign_in(gateway)).to(gateway)),
        is("globex", "keeper")
    );
}

fn rights_of_a_tenant_count_there_alone(estate: &Estate) {
    let gateway = estate.gateway(By::Host);
    let keeper = estate.keeper();
    let token = keeper.sign_in(gateway);
    let ask = |route: &str, host: &str| {
        let answer = get(&format!("/{route}/x")).at_host(host).bearer(&token).to(gateway);
        answer.verdict()
    };
    // Both tenants have a role keeper; what it permits is each one's own affair.
    assert_eq!(ask("delete", "acme.shop.test"), "200");
    assert_eq!(ask("delete", "globex.shop.test"), "403 FORBIDDEN");
    assert_eq!(ask("delete", "shop.test"), "403 FORBIDDEN");
    // The tenant is casbin's domain.
    assert_eq!(ask("ask", "acme.shop.test"), "200");
    assert_eq!(ask("ask", "globex.shop.test"), "403 POLICY_DENIED");
    assert_eq!(ask("ask", "shop.test"), "200");
    // A global role counts in every tenant that one belongs to, until it is denied in one.
    let denied = estate.keeper();
    estate.give(&denied, "acme", "orders.*", true);
    let token = denied.sign_in(gateway);
    let ask = |host: &str| get("/view/x").at_host(host).bearer(&token).to(gateway).verdict();
    assert_eq!(ask("acme.shop.test"), "403 FORBIDDEN");
    assert_eq!(ask("globex.shop.test"), "200");
    assert_eq!(ask("shop.test"), "200");
}

fn the_decision_endpoints_ask_about_the_same_tenant(estate: &Estate) {
    let keeper = estate.keeper();
    let answered = |gateway: SocketAddr, ask: Ask| {
        let token = keeper.sign_in(gateway);
        let answer = ask.bearer(&token).to(gateway);
        let tenant = answer.header("x-auth-tenant").unwrap_or_default().to_owned();
        (answer.status, tenant)
    };
    for (by, asked, host, path) in [
        (By::Host, "acme", "acme.shop.test", "/me/x"),
        (By::Host, "other", "other.shop.test", "/me/x"),
        (By::Host, "", "shop.test", "/me/x"),
        (By::Host, "?", "a.b.shop.test", "/me/x"),
        (By::Path, "acme", "shop.test", "/t/acme/me"),
        (By::Path, "other", "shop.test", "/t/other/me"),
        (By::Path, "?", "shop.test", "/t/ACME/me"),
        (By::Header, "acme", "shop.test", "/me/x"),
        (By::Header, "other", "shop.test", "/me/x"),
        (By::Header, "", "shop.test", "/me/x"),
    ] {
        let gateway = estate.gateway(by);
        let named = |ask: Ask| {
            if by == By::Header && !asked.is_empty() {
                ask.header("X-Tenant", asked)
            } else {
                ask
            }
        };
        let forward = get("/forward-auth")
            .at_host("decisions.test")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Uri", path);
        let nginx = get("/auth-request")
            .at_host("decisions.test")
            .header("X-Original-Method", "GET")
            .header("X-Original-URL", &format!("https://{host}{path}"));
        let envoy = get(&format!("/ext-authz{path}")).at_host(host);
        let (status, tenant) = match asked {
            "other" => (403, ""),
            "?" => (400, ""),
            tenant => (200, tenant),
        };
        for (ask, is_nginx) in [(forward, false), (nginx, true), (envoy, false)] {
            // nginx makes 500 of 400.
            let status = if is_nginx && status == 400 { 403 } else { status };
            let got = answered(gateway, named(ask));
            assert_eq!(
                got,
                (status, tenant.to_owned()),
                "{by:?} {asked} {host} {path} nginx {is_nginx}"
            );
        }
    }
}

fn what_is_held_in_a_tenant_manages_nothing(estate: &Estate) {
    let gateway = estate.gateway(By::Host);
    let chief = estate.member("admin", "", &[]);
    estate.give(&chief, "acme", "*", false);
    let token = access(&chief.login(&json!({})).at_host("acme.shop.test").to(gateway));
    for host in ["acme.shop.test", "shop.test"] {
        let answer = get("/admin/v1/principals/customer")
            .at_host(host)
            .bearer(&token)
            .to(gateway);
        assert_eq!(answer.verdict(), "403 FORBIDDEN", "{host}");
    }
}
