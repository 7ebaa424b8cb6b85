//! Upstreams that speak TLS.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
};

use actix_web::{App, HttpServer};
use bekci_gateway::echo::{self, EchoCount};
use rustls::ServerConfig;

use super::{
    authority::{Authority, Issued},
    listener::gateway,
};
use crate::http::{get, post};

const LARGE: usize = 2 * 1024 * 1024;

/// The echo upstream by TLS, for as long as the tests run.
fn upstream(issued: &Issued) -> SocketAddr {
    let (chain, key) = issued.der();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (listening, address) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server =
                HttpServer::new(|| App::new().configure(|service| echo::configure(service, EchoCount::default())))
                    .workers(1)
                    .disable_signals()
                    .bind_rustls_0_23("127.0.0.1:0", config)
                    .unwrap();
            listening.send(server.addrs()[0]).unwrap();
            server.run().await.unwrap();
        });
    });
    address.recv().unwrap()
}

fn to(name: &str, address: SocketAddr, authority: &Authority) -> String {
    let ca = authority.file();
    format!(
        "{{ urls = [\"https://{name}:{}\"], ca_file = \"{}\" }}",
        address.port(),
        ca.display()
    )
}

#[test]
fn an_upstream_is_spoken_to_by_tls_and_bodies_go_through_both_ways() {
    let authority = Authority::new();
    let address = upstream(&authority.issue("localhost"));
    let node = gateway("", "", &to("localhost", address, &authority));
    for _ in 0..3 {
        assert_eq!(get("/hello").to(node.address).verdict(), "200", "{}", node.server.log());
    }
    let up = post("/up")
        .body("application/octet-stream", vec![b'u'; LARGE])
        .to(node.address);
    assert_eq!(up.json()["bodyBytes"], LARGE);
    let down = get(&format!("/stream?bytes={LARGE}")).to(node.address);
    assert_eq!((down.status, down.body.len()), (200, LARGE));
    let mut wire = crate::http::Wire::open(node.address);
    crate::proxying::talk_by_websocket(&mut wire, crate::proxying::upgrade("/chat"));
}

#[test]
fn an_upstream_with_another_name_an_old_certificate_or_an_unknown_authority_gets_no_request() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (what, issued) in [
        ("another name", authority.issue("other.test")),
        ("expired", authority.issue_expired("localhost")),
        ("unknown authority", stranger.issue("localhost")),
    ] {
        let address = upstream(&issued);
        let node = gateway("", "", &to("localhost", address, &authority));
        assert_eq!(
            get("/hello").to(node.address).verdict(),
            "502 UPSTREAM_UNAVAILABLE",
            "{what}"
        );
        let log = node.server.log();
        assert!(log.contains("certificate"), "{what}: {log}");
    }
    // Without a file the system's authorities are believed, and they do not know a test's.
    let address = upstream(&authority.issue("localhost"));
    let node = gateway("", "", &format!("\"https://localhost:{}\"", address.port()));
    assert_eq!(get("/hello").to(node.address).verdict(), "502 UPSTREAM_UNAVAILABLE");
}
