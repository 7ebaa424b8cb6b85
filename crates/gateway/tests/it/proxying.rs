//! What is let in goes to the upstream and comes back whole, or fails in a known way.

use crate::{
    echo::Echo,
    house::{House, Kind},
    http::{Ask, Wire, get, post},
};

const LARGE: usize = 8 * 1024 * 1024;

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

#[test]
fn eight_mebibytes_go_through_both_ways() {
    let up = post("/public/up")
        .body("application/octet-stream", vec![b'u'; LARGE])
        .to(house().address());
    assert_eq!(up.json()["bodyBytes"], LARGE);
    let down = get(&format!("/public/stream?bytes={LARGE}")).to(house().address());
    assert_eq!((down.status, down.body.len()), (200, LARGE));
}

#[test]
fn a_body_in_chunks_goes_through_piece_by_piece() {
    let mut wire = Wire::open(house().address());
    wire.write(&post("/public/chunks").header("transfer-encoding", "chunked").bytes());
    let piece = vec![b'c'; 64 * 1024];
    for _ in 0..LARGE / piece.len() {
        wire.write(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.write(&piece);
        wire.write(b"\r\n");
    }
    // A trailer is nobody's header.
    wire.write(b"0\r\nX-Auth-Roles: super\r\n\r\n");
    let told = wire.read().json();
    assert_eq!(told["bodyBytes"], LARGE);
    assert_eq!(told["headers"]["x-auth-roles"], serde_json::Value::Null);
    assert_eq!(get("/public/after").on(&mut wire).verdict(), "200");
}

#[test]
fn an_upstream_that_takes_too_long_is_504_and_one_that_is_dead_502() {
    let slow = get("/hasty/slow?ms=20000").to(house().address());
    assert_eq!(slow.verdict(), "504 UPSTREAM_TIMEOUT");
    let quick = get("/hasty/slow?ms=0").to(house().address());
    assert_eq!(quick.verdict(), "200");
    for asked in [get("/dead/x"), post("/dead/x").body("text/plain", "x")] {
        let dead = asked.to(house().address());
        assert_eq!(dead.verdict(), "502 UPSTREAM_UNAVAILABLE");
        let text = String::from_utf8(dead.body).unwrap();
        assert!(
            !text.contains("127.0.0.1") && !text.contains("refused"),
            "it tells nothing of the inside: {text}"
        );
    }
}

#[test]
fn the_status_of_an_upstream_is_passed_on() {
    for status in [201, 204, 302, 418, 500, 503] {
        let answer = get(&format!("/public/status/{status}")).to(house().address());
        assert_eq!(answer.status, status);
    }
}

pub fn upgrade(path: &str) -> Ask {
    get(path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[test]
fn a_websocket_is_tunnelled_for_somebody_let_in() {
    let tokens = house().signed_in();
    let mut wire = Wire::open(house().address());
    talk_by_websocket(&mut wire, upgrade("/ws/chat").bearer(&tokens.access));
}

/// Opens a WebSocket to the echo, and says two things.
pub fn talk_by_websocket(wire: &mut Wire, upgrade: Ask) {
    let answer = upgrade.on(wire);
    assert_eq!(answer.status, 101);
    // RFC 6455 section 1.3: the answer to this very key.
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    for text in [&b"hello"[..], b"and again"] {
        say_by_websocket(wire, text);
    }
}

/// Says it, and hears it from the echo.
pub fn say_by_websocket(wire: &mut Wire, text: &[u8]) {
    // A masked text frame (RFC 6455 section 5.2); the echo's is not masked.
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap()];
    frame.extend_from_slice(&mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire.write(&frame);
    assert_eq!(wire.read_exactly(2), [0x81, u8::try_from(text.len()).unwrap()]);
    assert_eq!(wire.read_exactly(text.len()), text);
}

#[test]
fn a_websocket_without_a_good_token_is_401_and_never_101() {
    let house = house();
    let admin = house.person("admin", "super-admin").sign_in(house.address());
    let ended = house.signed_in();
    assert_eq!(ended.ask("POST", "logout").to(house.address()).verdict(), "200");
    for (asked, wanted) in [
        (upgrade("/ws/refused"), "401 TOKEN_MISSING"),
        (upgrade("/ws/refused").bearer("bad"), "401 TOKEN_INVALID"),
        (upgrade("/ws/refused").bearer(&admin.access), "401 GUARD_MISMATCH"),
        (upgrade("/ws/refused").bearer(&ended.access), "401 TOKEN_INVALID"),
    ] {
        assert_eq!(asked.to(house.address()).verdict(), wanted);
    }
    assert!(!Echo::shared().saw("/ws/refused"));
}

#[test]
fn an_upgrade_to_anything_else_is_no_tunnel() {
    let answer = get("/public/h2c")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")
        .to(house().address());
    assert_ne!(answer.status, 101);
    assert_eq!(answer.json()["headers"]["upgrade"], serde_json::Value::Null);
}
