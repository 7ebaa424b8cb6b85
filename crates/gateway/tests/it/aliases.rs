//! Calls at other paths and answers without an envelope, by configuration.

use serde_json::json;

use crate::{
    echo::Echo,
    house::{House, Kind, PASSWORD},
    http::{get, post},
    reloading::File,
};

const OTHER: &str = "[guards.customer]\nanswer_shape = \"flat\"\naliases = { \"/public/sign-in\" = \"login\", \"/api/v1/users/me/logout-all\" = \"logout-all\" }\n";

#[test]
fn other_paths_and_the_flat_shape_come_and_go_with_the_configuration() {
    let house = House::new(Kind::Sqlite, 1);
    let (file, address) = (File::of_node(&house.nodes[0]), house.address());
    let person = house.customer();
    let sign_in = post("/public/sign-in").json(&json!({"email": person.email, "password": PASSWORD}));
    let answer = sign_in.to(address);
    assert_eq!(
        (answer.status, &answer.json()["path"]),
        (200, &"/public/sign-in".into()),
        "it is a route's"
    );

    file.write(&file.first.replace("[guards.customer]\n", OTHER));
    file.until("bekci_config_generation", 2);
    let answer = sign_in.to(address);
    let told = answer.json();
    assert_eq!(answer.status, 200, "{told}");
    let token = told["token"].as_str().unwrap();
    assert!(
        told["refreshTokenExpiration"].is_string() && told.get("data").is_none(),
        "{told}"
    );
    assert_eq!(get("/me/x").bearer(token).to(address).status, 200);
    let document = get("/openapi.json").to(address).json();
    assert!(document["paths"]["/api/v1/users/me/logout-all"]["post"].is_object());
    let leave = post("/api/v1/users/me/logout-all");
    assert_eq!(leave.to(address).verdict(), "401 TOKEN_MISSING");
    let left = leave.bearer(token).to(address);
    assert_eq!(
        (left.status, &left.json()["endedSessions"]),
        (200, &1.into()),
        "{}",
        left.json()
    );
    assert_eq!(get("/me/x").bearer(token).to(address).verdict(), "401 TOKEN_INVALID");
    assert!(!Echo::shared().saw("/api/v1/users/me/logout-all"));

    let shadowed = file
        .first
        .replace("[guards.customer]\n", OTHER)
        .replace("\"/public/**\"", "\"/public/sign-in\"");
    file.write(&shadowed);
    file.until("bekci_config_reloads_total{result=\"refused\"}", 1);
    let log = file.node_log();
    assert!(
        log.contains("routes.public.paths") && log.contains("is an alias of guards.customer"),
        "{log}"
    );
    file.write(&file.first);
    file.until("bekci_config_generation", 3);
    assert_eq!(sign_in.to(address).json()["path"], "/public/sign-in");
}
