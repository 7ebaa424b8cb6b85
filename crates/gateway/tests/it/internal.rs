//! `X-Auth-Token`: an upstream can check for itself who acts and by which rights.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    gate::identity,
    house::{House, Kind},
    http::get,
};

pub(crate) fn decoded(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[test]
fn the_upstreams_token_is_for_its_route_alone_and_made_anew_when_rights_change() {
    let house = House::shared(Kind::Sqlite);
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    let ask = |path: &str| {
        let told = identity(&get(path).bearer(&tokens.access).to(house.address()));
        told["x-auth-token"].as_str().unwrap().to_owned()
    };
    let first = ask("/me/a");
    let header = decoded(&first, 0);
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("bekci-internal+jwt"), &json!("EdDSA"))
    );
    let claims = decoded(&first, 1);
    assert_eq!(claims["sub"], customer.key());
    assert_eq!((&claims["aud"], &claims["guard"]), (&json!("me"), &json!("customer")));
    assert_eq!(
        (&claims["roles"], &claims["sid"]),
        (&json!(["buyer"]), &json!(tokens.session))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    assert_eq!(ask("/me/b"), first, "made once");
    assert_eq!(
        get("/me/a").bearer(&first).to(house.address()).status,
        401,
        "it is no access token"
    );
    house.sql(&format!(
        "DELETE FROM bekci_principal_roles WHERE id = '{}'",
        customer.id
    ));
    for _ in 0..400 {
        let claims = decoded(&ask("/me/a"), 1);
        if claims["roles"] == json!([]) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("a role that was taken stays in the token");
}
