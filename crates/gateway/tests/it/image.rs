//! What the image says of itself, against the binary that it holds. No container runs here.

use std::{path::Path, process::Command};

use bekci_test_support::{find_program, free_port};

use crate::house::{House, Kind};

/// The words of the Dockerfile's health check, asking this port instead of the image's.
fn health_check(port: u16) -> Command {
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Dockerfile");
    let text = std::fs::read_to_string(dockerfile).unwrap();
    let words = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("CMD [\"bash\""))
        .unwrap();
    let words: Vec<String> = serde_json::from_str(&format!("[\"bash\"{words}")).unwrap();
    let mut command = Command::new(find_program(&words[0]).unwrap());
    command.args(
        words[1..]
            .iter()
            .map(|word| word.replace("127.0.0.1/8081", &format!("127.0.0.1/{port}"))),
    );
    command
}

fn is_healthy(port: u16) -> bool {
    health_check(port).output().unwrap().status.success()
}

#[test]
fn the_health_check_of_the_image_tells_ready_from_not_ready_and_from_not_there() {
    let house = House::new(Kind::Sqlite, 1);
    let port = house.nodes[0].ops.port();
    assert!(is_healthy(port));
    house.sql("DELETE FROM bekci_migrations");
    assert!(!is_healthy(port), "an out-of-date schema is not ready");
    assert!(!is_healthy(free_port()), "nobody listens");
}
