//! Nodes and databases that go away and come back.

use std::time::Duration;

use bekci_core::Clock;
use bekci_store::SystemClock;
use bekci_test_support::{Link, Postgres};
use serde_json::json;

use crate::{
    house::{House, Kind},
    http::{Wire, get},
    people::in_the_end,
};

/// 2 s by the design; a machine that does much else takes longer, and never as long as a request that nothing bounds.
const NO_ANSWER_TAKES: Duration = Duration::from_secs(4);

#[test]
fn a_node_that_slept_or_died_during_a_sign_out_lets_nobody_in_when_it_is_back() {
    let house = House::new(Kind::Postgres, 2);
    let (here, there) = (&house.nodes[0], &house.nodes[1]);
    let (asleep, dead, stays) = (house.signed_in(), house.signed_in(), house.signed_in());
    for tokens in [&asleep, &dead, &stays] {
        assert_eq!(tokens.verdict(there.address), "200", "it is in that node's memory");
    }

    let mut wire = Wire::open(there.address);
    there.server.pause();
    wire.write(&get("/me/asleep").bearer(&asleep.access).bytes());
    let left = asleep.ask("POST", "logout").to(here.address);
    there.server.resume();
    assert_eq!(left.verdict(), "200");
    assert_eq!(
        wire.read().verdict(),
        "401 TOKEN_INVALID",
        "asked while it slept, answered when it woke"
    );
    assert_eq!(asleep.verdict(there.address), "401 TOKEN_INVALID");
    in_the_end(&get("/me/x").bearer(&stays.access), there.address, "200");

    there.server.stop();
    assert_eq!(dead.ask("POST", "logout").to(here.address).verdict(), "200");
    there.server.restart();
    assert_eq!(dead.verdict(there.address), "401 TOKEN_INVALID");
    assert_eq!(stays.verdict(there.address), "200", "a session outlives its node");
}

#[test]
fn without_its_database_a_gateway_soon_lets_in_nobody_and_recovers_by_itself() {
    let postgres = Postgres::start();
    let house = House::on(Some(postgres.create_database("house")), None, 1);
    let node = &house.nodes[0];
    let person = house.customer();
    let (tokens, left) = (person.sign_in(node.address), person.sign_in(node.address));
    assert_eq!(left.ask("POST", "logout").to(node.address).verdict(), "200");
    let ask = get("/me/x").bearer(&tokens.access);
    assert_eq!(ask.to(node.address).verdict(), "200");

    postgres.stop();
    let login = person.login(&json!({}));
    // Together, since each waits for a connection for as long as it may.
    std::thread::scope(|scope| {
        for asked in [&ask, &login, &tokens.refresh()] {
            let asked = asked.clone();
            scope.spawn(move || in_the_end(&asked, node.address, "503 STORE_UNAVAILABLE"));
        }
    });
    // Nothing is said to be done that is not: the session lives on, as is seen below.
    for call in ["logout", "logout-all"] {
        let answer = tokens.ask("POST", call).to(node.address);
        assert_eq!(answer.verdict(), "503 STORE_UNAVAILABLE", "{call}");
    }
    assert_eq!(get("/me/x").to(node.address).verdict(), "401 TOKEN_MISSING");
    assert_eq!(get("/public/x").to(node.address).verdict(), "200");
    let ready = get("/readyz").to(node.ops);
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
    assert_ne!(ready.json()["checks"]["database"], "ok");
    assert_eq!(get("/healthz").to(node.ops).status, 200);

    postgres.restart();
    in_the_end(&ask, node.address, "200");
    assert_eq!(
        left.verdict(node.address),
        "401 TOKEN_INVALID",
        "what had ended has ended"
    );
    assert_eq!(login.to(node.address).verdict(), "200");
}

#[test]
fn over_a_half_open_link_to_its_database_a_gateway_answers_503_soon_and_decides_nothing_else() {
    let (link, url) = Link::to_url(&Postgres::shared().fresh_database("house"));
    let house = House::on(Some(url), None, 1);
    let node = &house.nodes[0];
    let person = house.customer();
    let (tokens, left) = (person.sign_in(node.address), person.sign_in(node.address));
    let direct = get("/direct/x").bearer(&tokens.access);
    let asks = [
        direct.clone(),
        direct.clone(),
        person.login(&json!({})),
        tokens.refresh(),
        left.ask("POST", "logout"),
        left.ask("POST", "logout-all"),
    ];
    assert_eq!(direct.to(node.address).verdict(), "200");
    link.half_open(true);
    std::thread::scope(|scope| {
        let asked = asks.each_ref().map(|ask| {
            scope.spawn(move || {
                let timed = || {
                    let began = SystemClock.uptime();
                    let answer = ask.to(node.address);
                    (answer.status, answer.verdict(), SystemClock.uptime() - began)
                };
                // The first finds the link lost, the later ones know it.
                std::array::from_fn::<_, 4, _>(|_| timed())
            })
        });
        for answers in asked {
            for (status, verdict, took) in answers.join().unwrap() {
                assert_eq!(status, 503, "{verdict}");
                assert!(took < NO_ANSWER_TAKES, "{verdict} after {took:?}");
            }
        }
    });
    assert_eq!(
        get("/public/x").to(node.address).verdict(),
        "200",
        "what asks for no identity goes on"
    );
    link.half_open(false);
    in_the_end(&direct, node.address, "200");
    in_the_end(&tokens.refresh(), node.address, "200");
}
