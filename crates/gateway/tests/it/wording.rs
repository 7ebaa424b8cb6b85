//! What answers say and carry beside their codes: messages of one's own, and that browsers come by https.

use std::net::SocketAddr;

use crate::{
    echo::ANSWERS,
    house::{House, Kind},
    http::{ask, get, post},
    reloading::File,
};

const OWN: &str = "\n[messages.en]\nTOKEN_MISSING = \"Please “sign in” <first>, {name}.\"\nGUARD_UNKNOWN = \"Where?\"\n\
                   [messages.tr]\nTOKEN_MISSING = \"Girişi unuttunuz.\"\n";

/// What is said in a language to somebody who is not signed in, and the code that programs read.
fn said(address: SocketAddr, language: &str) -> (String, String) {
    let answer = get("/me/x").header("accept-language", language).to(address);
    let error = &answer.json()["error"];
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"bekci\""));
    (
        error["message"].as_str().unwrap().to_owned(),
        error["code"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn messages_are_replaced_by_code_and_language_while_the_gateway_runs() {
    let house = House::new(Kind::Sqlite, 1);
    let (file, address) = (File::of_node(&house.nodes[0]), house.address());
    let code = "TOKEN_MISSING".to_owned();
    assert_eq!(said(address, "en"), ("Sign in first.".to_owned(), code.clone()));

    file.write(&format!("{}{OWN}", file.first));
    file.until("bekci_config_generation", 2);
    let own = "Please “sign in” <first>, {name}.";
    assert_eq!(said(address, "en"), (own.to_owned(), code.clone()), "as it stands");
    assert_eq!(said(address, "tr-TR"), ("Girişi unuttunuz.".to_owned(), code.clone()));
    assert_eq!(said(address, "de"), (own.to_owned(), code.clone()));

    let problem = get("/me/x").header("accept", "application/problem+json").to(address);
    let told = problem.json();
    assert_eq!(
        (told["detail"].as_str(), told["code"].as_str()),
        (Some(own), Some("TOKEN_MISSING"))
    );
    assert_eq!(told["title"], "Unauthorized");
    // A call of the gateway's own, one that nobody knows, the decision endpoints.
    assert_eq!(get("/auth/customer/me").to(address).json()["error"]["message"], own);
    assert_eq!(
        post("/auth/nobody/login").to(address).json()["error"]["message"],
        "Where?"
    );
    let asked = get("/nothing/here").header("accept-language", "tr").to(address);
    assert_eq!(
        asked.json()["error"]["message"],
        "Burada bir şey yok.",
        "what is not replaced stays"
    );

    file.write(&file.first);
    file.until("bekci_config_generation", 3);
    assert_eq!(said(address, "en"), ("Sign in first.".to_owned(), code));
}

const STRICT: &str = "strict-transport-security";

#[test]
fn behind_https_every_answer_says_so_and_one_that_says_it_itself_is_left_alone() {
    let house = House::shared(Kind::Sqlite);
    for request in [
        get("/public/x"),
        get("/me/x"),
        get("/nothing"),
        get("/openapi.json"),
        get("/auth/customer/me"),
        get("/public//x"),
        ask("PUT", "/openapi.json"),
        get("/public/status/500"),
    ] {
        let answer = request.to(house.address());
        let all: Vec<_> = answer.all(STRICT).collect();
        assert_eq!(all, ["max-age=31536000"], "{}", answer.status);
    }
    let upstreams = get("/public/x").header(ANSWERS, "strict-transport-security: max-age=60");
    let answer = upstreams.to(house.address());
    assert_eq!(
        answer.all(STRICT).collect::<Vec<_>>(),
        ["max-age=60"],
        "an upstream's own stays"
    );
}

#[test]
fn in_the_clear_no_answer_says_to_come_by_https() {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of_node(&house.nodes[0]);
    file.write(&file.first.replace("public_url = \"https:", "public_url = \"http:"));
    file.until("bekci_config_generation", 2);
    for path in ["/public/x", "/me/x", "/openapi.json", "/nothing"] {
        assert_eq!(get(path).to(house.address()).header(STRICT), None, "{path}");
    }
}
