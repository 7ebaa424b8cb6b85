use std::net::{Ipv4Addr, TcpListener};

use bekci_test_support::{Failure, Server, Service, TempDir, free_port, rounds};

fn redis_on(port: u16, folder: &TempDir) -> Service {
    Service::new("redis-server", port, folder).args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
}

#[test]
fn any_program_that_listens_can_be_started_and_is_gone_after_drop() {
    let folder = TempDir::new("any");
    let server = Server::on_free_port(|port| redis_on(port, &folder).stop_signal("TERM"));
    let address = server.address();
    assert!(crate::listens(address));
    assert!(server.log().contains("Ready to accept connections"), "{}", server.log());
    drop(server);
    assert!(!crate::listens(address));
}

#[test]
fn a_program_that_is_not_installed_fails_and_says_so() {
    let folder = TempDir::new("missing");
    let failure = Service::new("bekci-no-such-server", free_port(), &folder)
        .try_start()
        .unwrap_err();
    assert!(matches!(failure, Failure::Missing { .. }), "{failure}");
}

#[test]
fn a_server_that_ends_at_once_fails_with_its_log() {
    let folder = TempDir::new("ends");
    let failure = redis_on(free_port(), &folder)
        .args(["--no-such-setting", "1"])
        .try_start()
        .unwrap_err();
    assert!(
        matches!(&failure, Failure::Ended { log, .. } if log.contains("no-such-setting")),
        "{failure}"
    );
}

#[test]
fn a_port_that_was_taken_in_between_is_given_up_for_another() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let folder = TempDir::new("taken");
    let mut tried = Vec::new();
    let server = Server::on_free_port(|port| {
        let port = if tried.is_empty() { taken_port } else { port };
        tried.push(port);
        redis_on(port, &folder)
    });
    assert_eq!(tried.len(), 2);
    assert_ne!(server.port(), taken_port);
}

#[test]
fn a_free_port_is_given_once() {
    let ports: std::collections::HashSet<u16> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
}

#[test]
fn long_rounds_are_for_long_runs() {
    assert!([3, 300].contains(&rounds(3, 300)));
}
