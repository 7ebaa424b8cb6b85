use serde_json::{Value, json};

use super::*;
use crate::proxy::testing::{headers_of, identity_headers, principal};

fn written(headers: &IdentityHeaders, principal: &Principal) -> String {
    let mut out = BytesMut::new();
    headers.write(&mut out, principal, None);
    String::from_utf8(out.to_vec()).unwrap()
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| *found == name).map_or("", |(_, value)| value)
}

#[test]
fn every_header_is_there_and_empty_where_there_is_no_value() {
    let principal = principal(&["support", "buyer"], &["orders.view"], json!({"email": null}));
    assert_eq!(
        written(&identity_headers(8_192), &principal),
        "x-auth-guard: customer\r\nx-auth-model: customer\r\nx-auth-id: 42\r\nx-auth-key: customer:42\r\nx-auth-tenant: \r\n\
         x-auth-roles: buyer,support\r\nx-auth-permissions: orders.view\r\n\
         x-auth-session: 07070707070707070707070707070707\r\nx-auth-attr-email: \r\n"
    );
}

#[test]
fn no_value_can_end_its_header() {
    let attributes = json!({
        "full_name": " Zoë\r\nX-Auth-Roles: super 100% ",
        "age": 7,
        "tags": ["a\u{0}", "b"],
        "odd name": "x",
        "long": "x".repeat(9_000),
    });
    let text = written(&identity_headers(8_192), &principal(&[], &[], attributes));
    assert!(text.contains("x-auth-attr-full-name: %20Zo%C3%AB%0D%0AX-Auth-Roles: super 100%25%20\r\n"));
    assert!(text.contains("x-auth-attr-age: 7\r\n"));
    assert!(text.contains("x-auth-attr-tags: [\"a\\u0000\",\"b\"]\r\n"));
    assert!(text.contains("x-auth-attr-long: \r\n"));
    assert_eq!(value(&text, "x-auth-omitted"), "attributes");
    assert!(!text.contains("odd"));
    let names = text.lines().map(|line| line.split(':').next().unwrap());
    assert_eq!(names.filter(|name| *name == "x-auth-roles").count(), 1);
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("department{n:04}.reports.view")).collect()
}

/// All the headers that a principal has, beside a token that takes as much as it may.
fn size(headers: &IdentityHeaders, bound: Bound, principal: &Principal) -> usize {
    let told = headers.told(principal);
    let mut claims = serde_json::Map::new();
    for (name, value) in &told.attributes {
        claims.insert((*name).to_owned(), (*value).clone());
    }
    let list = |names: &[&str]| names.iter().map(|name| Value::from(*name)).collect::<Value>();
    claims.insert("roles".to_owned(), list(&told.roles));
    claims.insert("permissions".to_owned(), list(&told.permissions));
    let empty = json!({"roles": [], "permissions": []}).to_string().len();
    let json = Value::Object(claims).to_string().len().saturating_sub(empty);
    let token = bound
        .token
        .map_or(0, |token| token + (json * 4).div_ceil(3) + "x-auth-token: \r\n".len());
    written(headers, principal).len() + token
}

#[test]
fn headers_and_token_stay_within_their_bound_and_tell_fewer_rights_alone() {
    let names = many(2_000);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attributes = json!({"email": "zoë@b.c", "name": "Zoë", "company": "x".repeat(70_000)});
    for count in [0, 1, 10, 40, 60, 100, 200, 2_000] {
        let principal = principal(&["buyer", "support"], &names[..count], attributes.clone());
        for (bytes, token) in [2_048, 3_584, 8_192, 16_384, 61_440]
            .into_iter()
            .flat_map(|bytes| [None, Some(900), Some(1_400)].map(|token| (bytes, token)))
        {
            let bound = Bound { bytes, token };
            let headers = headers_of(
                DecisionPreset::Bekci,
                DecisionAttributes::of(["email", "name", "username"]),
                bound,
            );
            let size = size(&headers, bound, &principal);
            assert!(size <= bytes, "{count} permissions in {bound:?} took {size}");
            let text = written(&headers, &principal);
            let told = value(&text, "x-auth-permissions").split(',');
            let told: Vec<&str> = told.filter(|name| !name.is_empty()).collect();
            assert_eq!(told, names[..told.len()], "whole names, from the first");
            let omitted = value(&text, "x-auth-omitted");
            assert_eq!(omitted.contains("permissions"), told.len() < count, "{bound:?} {count}");
            assert!(omitted.contains("attributes"), "{omitted}");
            // Short attributes come before permissions.
            assert_eq!(value(&text, "x-auth-attr-email"), "zo%C3%AB@b.c");
            assert_eq!(value(&text, "x-auth-roles"), "buyer,support");
        }
    }
}

#[test]
fn a_presets_names_tell_the_attributes_that_are_mapped_to_them() {
    let bound = Bound {
        bytes: 3_584,
        token: Some(1_200),
    };
    let attributes = DecisionAttributes::of(["EmailAddress", "FullName", "Login"]);
    let principal = principal(
        &["buyer"],
        &["orders.view"],
        json!({"EmailAddress": "zoe@b.c", "FullName": "Zoë", "Login": "zoe", "email": "old@b.c"}),
    );
    let headers = headers_of(DecisionPreset::Authelia, attributes.clone(), bound);
    assert!(!headers.has_token());
    assert_eq!(
        written(&headers, &principal),
        "remote-user: customer:42\r\nremote-groups: buyer\r\nremote-name: Zo%C3%AB\r\nremote-email: zoe@b.c\r\n"
    );
    let headers = headers_of(DecisionPreset::Oauth2Proxy, attributes, bound);
    assert_eq!(
        value(&written(&headers, &principal), "x-auth-request-preferred-username"),
        "zoe"
    );
}

#[test]
fn a_preset_whose_attribute_a_model_lacks_is_said() {
    let attributes = DecisionAttributes::of(["email", "name", "username"]);
    let (customer, admin) = (["email".to_owned(), "name".to_owned()], ["email".to_owned()]);
    let models = || [("customer", &customer[..]), ("admin", &admin[..])].into_iter();
    assert_eq!(gaps(DecisionPreset::Bekci, &attributes, models()), [""; 0]);
    let told = gaps(DecisionPreset::Authelia, &attributes, models());
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("remote-name stays empty for model admin: "),
        "{told:?}"
    );
    assert!(told[0].ends_with("server.decision_attributes.name"), "{told:?}");
}
