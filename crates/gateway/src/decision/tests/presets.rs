//! The names of other products.

use super::scene::{Scene, forward_auth, signed_in};
use crate::config::types::DecisionPreset;

async fn told(preset: DecisionPreset, path: &str, verified: bool) -> Vec<(String, String)> {
    let scene = Scene {
        preset,
        verified,
        ..Scene::default()
    };
    let answer = scene.ask(signed_in(forward_auth("GET", path))).await;
    assert_eq!(answer.status, 200);
    let is_told = |name: &str| name.starts_with("remote-") || name.starts_with("x-auth");
    let told = answer.headers.iter().filter(|(name, _)| is_told(name.as_str()));
    let mut told: Vec<_> = told
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    told.sort();
    told
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[actix_web::test]
async fn each_preset_tells_by_its_own_names_alone() {
    assert_eq!(
        told(DecisionPreset::Authelia, "/me/x", true).await,
        pairs(&[
            ("remote-email", "zo%C3%AB@b.c"),
            ("remote-groups", "buyer,support"),
            ("remote-name", "Zo%C3%AB"),
            ("remote-user", "customer:42"),
        ])
    );
    assert_eq!(
        told(DecisionPreset::Oauth2Proxy, "/me/x", true).await,
        pairs(&[
            ("x-auth-request-access-token", ""),
            ("x-auth-request-email", "zo%C3%AB@b.c"),
            ("x-auth-request-groups", "buyer,support"),
            ("x-auth-request-preferred-username", ""),
            ("x-auth-request-user", "customer:42"),
        ])
    );
    assert_eq!(
        told(DecisionPreset::Authentik, "/me/x", true).await,
        pairs(&[
            ("x-authentik-email", "zo%C3%AB@b.c"),
            ("x-authentik-entitlements", ""),
            ("x-authentik-groups", "buyer|support"),
            ("x-authentik-jwt", ""),
            ("x-authentik-name", "Zo%C3%AB"),
            ("x-authentik-uid", "customer:42"),
            ("x-authentik-username", "customer:42"),
        ])
    );
}

#[actix_web::test]
async fn an_address_that_is_not_verified_is_no_proof() {
    let told = told(DecisionPreset::Authelia, "/me/x", false).await;
    assert!(told.contains(&("remote-email".to_owned(), String::new())));
}

#[actix_web::test]
async fn nobody_is_told_empty_by_every_preset() {
    for preset in [
        DecisionPreset::Authelia,
        DecisionPreset::Oauth2Proxy,
        DecisionPreset::Authentik,
    ] {
        let told = told(preset, "/public/x", true).await;
        assert!(told.len() >= 4);
        assert!(told.iter().all(|(_, value)| value.is_empty()), "{told:?}");
    }
}
