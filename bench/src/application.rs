//! Actix applications: one that answers 200 and nothing else, and one with a route that Bekci guards beside the same route unguarded.

use std::{io::Write, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, web};
use bekci_core::{GuardChain, RouteRule};
use bekci_token::Algorithm;

use crate::house::House;

pub(crate) async fn hello() -> HttpResponse {
    HttpResponse::Ok().body("hello")
}

/// One worker, so that what is measured is one core's work.
pub(crate) fn run_plain(port: u16) {
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(|| App::new().default_service(web::to(hello)))
            .workers(1)
            .bind(("127.0.0.1", port))
            .unwrap()
            .run()
            .await
            .unwrap();
    });
}

/// `/open` and `/guarded`: the same handler, the second behind a `Require`. The line `authorization: Bearer …` on standard output is a token for it.
pub(crate) fn run_guarded(port: u16) {
    actix_web::rt::System::new().block_on(async move {
        let house = House::build(Algorithm::EdDsa).await;
        let (bekci, guard) = (house.bekci.clone(), Arc::clone(&house.guard));
        let server = HttpServer::new(move || {
            let rule = RouteRule::guarded("guarded", GuardChain::new([Arc::clone(&guard)]));
            // Both in a scope, which costs something by itself.
            App::new()
                .service(web::scope("/open").route("", web::get().to(hello)))
                .service(
                    web::scope("/guarded")
                        .wrap(bekci.require_rule(rule))
                        .route("", web::get().to(hello)),
                )
        })
        .workers(1)
        .bind(("127.0.0.1", port))
        .unwrap()
        .run();
        writeln!(std::io::stdout().lock(), "authorization: {}", house.bearer).unwrap();
        server.await.unwrap();
    });
}
