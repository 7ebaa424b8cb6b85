//! A server of two workers shares one state: what one of them changes, the other decides by.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpServer, web};
use bekci::AnyAuth;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    house::{House, PASSWORD},
    models::admin::Admin,
};

/// One request on a connection of its own: connections are dealt out to the workers in turn.
async fn call(address: std::net::SocketAddr, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[actix_web::test]
async fn two_workers_share_one_state() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let bekci = house.bekci.clone();
    let threads: Arc<Mutex<HashSet<std::thread::ThreadId>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let server = HttpServer::new(move || {
        let seen = Arc::clone(&seen);
        let who = move |who: AnyAuth| {
            seen.lock().unwrap().insert(std::thread::current().id());
            std::future::ready(web::Json(json!(who.key().as_str())))
        };
        App::new()
            .wrap(bekci.middleware())
            .configure(bekci.mount("/auth"))
            .service(
                web::scope("/admin")
                    .wrap(bekci.require::<Admin>())
                    .route("/who", web::get().to(who)),
            )
    });
    let server = server.workers(2).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);

    let login = json!({"email": "ann@example.com", "password": PASSWORD}).to_string();
    let (status, signed_in) = call(address, "POST", "/auth/admin/login", "", &login).await;
    assert_eq!(status, 200, "{signed_in}");
    let token = format!("Bearer {}", signed_in["data"]["accessToken"].as_str().unwrap());
    for _ in 0..8 {
        assert_eq!(
            call(address, "GET", "/admin/who", &token, "").await,
            (200, json!("admin:7"))
        );
    }
    assert_eq!(threads.lock().unwrap().len(), 2, "both workers were asked");
    let (status, _) = call(address, "POST", "/auth/admin/logout", &token, "").await;
    assert_eq!(status, 200);
    for _ in 0..8 {
        let (status, body) = call(address, "GET", "/admin/who", &token, "").await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("TOKEN_INVALID")));
    }
    handle.stop(true).await;
    running.await.unwrap().unwrap();
    house.bekci.close().await;
}
