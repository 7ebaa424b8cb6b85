//! From outside: processor time for each request under `wrk`. What a request costs the upstream and `wrk` itself is not counted.

use bekci_test_support::Server;

use crate::{
    gateway::Gateway,
    load::{Cost, Question},
    options::Options,
    peers::{Peer, hs256},
    table,
};

/// 32 characters: HAProxy asks for no more.
const SECRET: &str = "lantern-orbit-meadow-seven-32-ch";

pub(crate) fn measure(options: &Options) -> String {
    let plain = Peer::application("serve-plain");
    let guarded = Peer::application("serve-guarded");
    let application = Peer::application("serve-plain");
    let upstream = application.server.address();
    let gateway = Gateway::start(upstream, 1);
    let nginx = Peer::nginx(upstream);
    let nginx_that_asks = Peer::nginx_that_asks(gateway.server.address(), upstream);
    let haproxy = Peer::haproxy(upstream, None);
    let haproxy_that_verifies = Peer::haproxy(upstream, Some(SECRET));
    let caddy = Peer::caddy(upstream);

    let to = |server: &Server, path: &str| format!("http://{}{path}", server.address());
    // The same header for both routes, so that they differ in nothing but the guard.
    let token_of_the_application = [token(&guarded.server)];
    let bearer = vec![gateway.authorization.clone()];
    let forwarded = ["method: GET", "proto: http", "host: bekci.test", "uri: /api/orders/7"];
    let decision = forwarded.map(|header| format!("x-forwarded-{header}"));
    let question = |server, path, headers: &[String]| Question {
        url: to(server, path),
        headers: headers.to_vec(),
        counted: vec![server],
    };
    let questions = [
        ("Actix: a handler that returns 200", question(&plain.server, "/", &[])),
        (
            "Actix application with Bekci: a route that is not guarded",
            question(&guarded.server, "/open", &token_of_the_application),
        ),
        (
            "the same application: the same route, guarded",
            question(&guarded.server, "/guarded", &token_of_the_application),
        ),
        (
            "Bekci: decision endpoint `/forward-auth`",
            question(&gateway.server, "/forward-auth", &[&bearer[..], &decision[..]].concat()),
        ),
        (
            "nginx: plain proxy, nothing checked",
            question(&nginx.server, "/api/orders/7", &[]),
        ),
        (
            "HAProxy: plain proxy, nothing checked",
            question(&haproxy.server, "/api/orders/7", &[]),
        ),
        (
            "HAProxy: proxy with `jwt_verify` HS256",
            question(
                &haproxy_that_verifies.server,
                "/api/orders/7",
                &[format!("authorization: Bearer {}", hs256(SECRET))],
            ),
        ),
        (
            "Caddy: plain proxy, nothing checked",
            question(&caddy.server, "/api/orders/7", &[]),
        ),
        (
            "Bekci: proxy, public route, nothing checked",
            question(&gateway.server, "/public/orders/7", &[]),
        ),
        (
            "Bekci: proxy with token, identity, role, permission and policy checked",
            question(&gateway.server, "/api/orders/7", &bearer),
        ),
        (
            "nginx + `auth_request` to Bekci, both processes",
            Question {
                counted: vec![&nginx_that_asks.server, &gateway.server],
                ..question(&nginx_that_asks.server, "/api/orders/7", &bearer)
            },
        ),
    ];
    report(options, &questions)
}

/// What the application printed when it was ready.
fn token(server: &Server) -> String {
    let log = server.log();
    log.lines()
        .find(|line| line.starts_with("authorization: "))
        .unwrap()
        .to_owned()
}

fn report(options: &Options, questions: &[(&str, Question<'_>)]) -> String {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); questions.len()];
    // One round that does not count: connections are made, caches are filled.
    for (_, question) in questions {
        question.ask(1);
    }
    for _ in 0..options.repetitions {
        for ((_, question), costs) in questions.iter().zip(&mut costs) {
            costs.push(question.ask(options.seconds));
        }
    }
    let row = |((name, _), costs): (&(&str, Question<'_>), &Vec<Cost>)| {
        let (median, least, most) = table::spread(costs.iter().map(|cost| cost.processor_us).collect());
        let (rate, ..) = table::spread(costs.iter().map(|cost| cost.each_second).collect());
        vec![
            (*name).to_owned(),
            format!("{median:.1}"),
            format!("{least:.1}"),
            format!("{most:.1}"),
            format!("{rate:.0}"),
        ]
    };
    let rows: Vec<Vec<String>> = questions.iter().zip(&costs).map(row).collect();
    table::table(
        "From outside, processor µs for each request",
        &["what", "median", "least", "most", "requests/s"],
        &rows,
    )
}
