//! What people meet before anything else: help, completions, manual pages, addresses, and waiting for the gateway.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use bekci_test_support::{TempDir, find_program, free_port};

use crate::{
    demo::Demo,
    house::{BEKCI, House, Kind, run_in},
    http::get,
};

#[test]
fn help_is_grouped_and_colours_only_terminals() {
    let folder = TempDir::new("help");
    let help = run_in(folder.path(), &["--help"], "").success().out;
    assert!(help.contains("\nAccounts and rights:\n  principal"), "{help}");
    assert!(!help.contains('\u{1b}'), "{help}");
    let script = find_program("script").unwrap();
    let on_a_terminal = |no_color: Option<&str>| {
        let mut command = Command::new(&script);
        command
            .args(["-qec", &format!("{BEKCI} --help"), "/dev/null"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        String::from_utf8(command.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
    };
    assert!(on_a_terminal(None).contains("\u{1b}[1m"));
    let plain = on_a_terminal(Some("1"));
    assert!(
        plain.contains("Accounts and rights:") && !plain.contains('\u{1b}'),
        "{plain}"
    );
}

#[test]
fn completions_and_manual_pages_name_each_command() {
    let folder = TempDir::new("shell");
    for shell in ["bash", "zsh", "fish"] {
        let script = run_in(folder.path(), &["completions", shell], "").success().out;
        for command in ["principal", "unban", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let pages = folder.path().join("man1");
    let missing = run_in(folder.path(), &["manual", "--out", "man1"], "");
    assert_eq!(missing.code, Some(1), "{missing:?}");
    std::fs::create_dir(&pages).unwrap();
    run_in(folder.path(), &["manual", "--out", "man1"], "").success();
    let page = std::fs::read_to_string(pages.join("bekci-principal-ban.1")).unwrap();
    assert!(page.contains("chargebacks"), "{page}");
}

#[test]
fn ready_is_told_by_the_gateway_that_serves_this_configuration() {
    let house = House::new(Kind::Sqlite, 1);
    let node = &house.nodes[0];
    let config = node.folder.path();
    run_in(config, &["--config", "bekci.toml", "ready"], "").success();
    run_in(config, &["--config", "bekci.toml", "ready", "--wait", "5s"], "").success();

    let alone = TempDir::new("alone");
    let ops = format!("[server]\nops_listen = \"127.0.0.1:{}\"\n", free_port());
    std::fs::write(alone.path().join("bekci.toml"), ops).unwrap();
    let ran = run_in(alone.path(), &["ready"], "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("/readyz does not answer 200"), "{ran:?}");
    assert_eq!(run_in(alone.path(), &["ready", "--wait", "1"], "").code, Some(2));
}

#[test]
fn serve_prints_where_it_listens() {
    let house = House::new(Kind::Sqlite, 1);
    let config = house.nodes[0].folder.path().join("bekci.toml");
    let text = std::fs::read_to_string(config).unwrap();
    let listens = text
        .lines()
        .filter(|line| line.starts_with("listen") || line.starts_with("ops_listen"));
    let text = listens.fold(text.clone(), |text, line| {
        let key = line.split(' ').next().unwrap();
        text.replace(line, &format!("{key} = \"127.0.0.1:0\""))
    });
    let folder = TempDir::new("printed");
    std::fs::write(folder.path().join("bekci.toml"), text).unwrap();
    let mut child = Command::new(find_program("setpriv").unwrap())
        .args(["--pdeathsig", "TERM", "--", BEKCI, "--output", "json", "serve"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = told["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(get("/docs").to(address).status, 200);
    assert_eq!(told["docsUrl"], format!("http://{address}/docs"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_page_of_the_demo_links_to_what_there_is() {
    let mut demo = Demo::start(&["--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&demo.line()).unwrap();
    let address = told["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let page = get("/").to(address);
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let text = String::from_utf8(page.body).unwrap();
    let links: Vec<&str> = text
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(links.len() >= 5, "{text}");
    for link in links {
        let expected = if link.starts_with("/me/") { 401 } else { 200 };
        assert_eq!(get(link).to(address).status, expected, "{link}");
    }
}
