//! The listener's own certificate.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use bekci_test_support::{Server, Service, TempDir, free_port};

use super::authority::{Authority, say};
use crate::{
    echo::Echo,
    house::{BEKCI, Node},
    http::get,
    reloading::{File, reloads},
};

/// A gateway with one public route to everything, and with more keys of `[server]` and more sections.
pub fn gateway(server_keys: &str, more: &str, upstream: &str) -> Node {
    let folder = TempDir::new("node");
    let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let server = Server::on_free_port(|port| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nops_listen = \"{ops}\"\nworkers = 2\n{server_keys}\n\
             [[routes]]\nid = \"all\"\npaths = [\"/**\"]\npublic = true\nupstream = {upstream}\n{more}"
        );
        std::fs::write(folder.path().join("bekci.toml"), text).unwrap();
        Service::new(BEKCI, port, &folder)
            .args(["serve"])
            .ready_when(move |_| TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
    });
    Node::of(server, ops, folder)
}

pub fn echo() -> String {
    format!("\"http://{}\"", Echo::shared().address)
}

/// HTTP/2 is not spoken, so that nothing is turned from it into HTTP/1.1.
#[test]
fn a_listener_speaks_http_1_and_says_so() {
    let authority = Authority::new();
    let (certificate, key) = authority.write("listener", &authority.issue("localhost"));
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    );
    let node = gateway(&tls, "", &echo());
    let mut line = authority
        .connect_for(&["h2", "http/1.1"], node.address, "localhost")
        .unwrap();
    assert_eq!(line.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(say(&mut line, "/x").unwrap().starts_with("HTTP/1.1 200"));
    let refused = authority.connect_for(&["h2"], node.address, "localhost").unwrap_err();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");

    // Nor to who speaks it without having asked (RFC 9113 section 3.4).
    let mut line = authority.connect(node.address, "localhost").unwrap();
    line.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut answer = Vec::new();
    // The other side may end without saying so.
    let _ = line.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
        "{answer}"
    );
}

#[test]
fn a_listener_speaks_tls_with_those_who_believe_its_authority_and_ask_for_its_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.write("listener", &authority.issue("localhost"));
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    );
    let node = gateway(&tls, "", &echo());
    let answer = authority.ask(node.address, "localhost", "/hello").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"x-forwarded-proto\":[\"https\"]"), "{answer}");

    let wrong = authority.ask(node.address, "other.test", "/hello").unwrap_err();
    assert!(wrong.contains("not valid for name"), "{wrong}");
    let unknown = stranger.ask(node.address, "localhost", "/hello").unwrap_err();
    // Both authorities have one name, as whoever forges one would choose it.
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");

    let mut clear = TcpStream::connect(node.address).unwrap();
    clear
        .write_all(b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut text = Vec::new();
    // It may end in a reset as well.
    let _ = clear.read_to_end(&mut text);
    assert!(!text.starts_with(b"HTTP/"), "no answer in the clear");
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_a_bad_one_to_nobody() {
    let (first, second) = (Authority::new(), Authority::new());
    let (certificate, key) = first.write("listener", &first.issue("localhost"));
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    );
    let node = gateway(&tls, "", &echo());
    let file = File::of_node(&node);
    let mut kept = first.connect(node.address, "localhost").unwrap();
    assert!(say(&mut kept, "/one").unwrap().starts_with("HTTP/1.1 200"));

    std::fs::write(&certificate, first.issue("localhost").certificate).unwrap();
    file.until(&reloads("refused"), 1);
    let log = node.server.log();
    assert!(log.contains("cannot be served with"), "{log}");
    first.ask(node.address, "localhost", "/still").unwrap();

    let next = second.issue("localhost");
    std::fs::write(&certificate, &next.certificate).unwrap();
    std::fs::write(&key, &next.key).unwrap();
    node.server.signal("HUP");
    file.until(&reloads("taken"), 1);
    second.ask(node.address, "localhost", "/new").unwrap();
    first.ask(node.address, "localhost", "/new").unwrap_err();
    assert!(
        say(&mut kept, "/two").unwrap().starts_with("HTTP/1.1 200"),
        "it was open"
    );
}
