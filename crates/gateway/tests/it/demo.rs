//! `bekci demo`.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use bekci_test_support::find_program;
use serde_json::{Value, json};

use crate::{
    house::BEKCI,
    http::{get, post},
    operating::value,
    reloading::{LOOK_EVERY, LOOKS, reloads},
};

/// A running demo, killed at the end of its test.
pub struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Demo {
    pub fn start(more: &[&str]) -> Self {
        Self::start_with(more, &[])
    }

    fn start_with(more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(find_program("setpriv").unwrap())
            .args(["--pdeathsig", "TERM", "--", BEKCI, "demo", "--listen", "127.0.0.1:0"])
            .args(more)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id])
            .status();
        assert!(told.unwrap().success());
    }

    fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.terminate();
        }
    }
}

fn address(url: &Value) -> SocketAddr {
    url.as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
}

#[test]
fn the_demo_tells_one_json_line_when_it_is_ready_and_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--output", "json"]);
    let told: Value = serde_json::from_str(&demo.line()).unwrap();
    let public = address(&told["url"]);

    assert_eq!(get("/readyz").to(address(&told["opsUrl"])).status, 200);
    assert_eq!(get("/x").to(address(&told["upstreamUrl"])).status, 200);
    for guard in ["admin", "customer"] {
        let body = json!({"email": told[guard]["email"], "password": told[guard]["password"]});
        let answer = post(&format!("/auth/{guard}/login")).json(&body).to(public);
        assert_eq!(answer.verdict(), "200");
    }
    let config = Path::new(told["configPath"].as_str().unwrap());
    let database = told["databaseUrl"].as_str().unwrap().strip_prefix("sqlite://").unwrap();
    assert!(config.exists() && Path::new(database).exists());

    assert_eq!(demo.terminate().code(), Some(0));
    assert_eq!(demo.line(), "", "one line and no more");
    assert!(!config.parent().unwrap().exists());
}

/// What a heading promises, `401` and `TOKEN_MISSING`, and the command below it.
struct Line {
    status: String,
    code: String,
    command: String,
}

/// The promises of a heading, in their order: one for each command below it.
fn promises(heading: &str) -> Vec<(String, String)> {
    let mut promised: Vec<(String, String)> = Vec::new();
    for word in heading.split([' ', ',', ':']) {
        if word.parse::<u16>().is_ok() {
            promised.push((word.to_owned(), String::new()));
        } else if let Some((_, code)) = promised.last_mut().filter(|_| !word.is_empty())
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        {
            word.clone_into(code);
        }
    }
    promised.reverse();
    promised
}

/// The lines with `curl`; those that sign in have no status above them.
fn curl_lines(text: &str) -> (Vec<String>, Vec<Line>) {
    let (mut sign_ins, mut asks, mut promised) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("  ") {
            Some(command) if command.contains("=$(curl ") => sign_ins.push(command.to_owned()),
            Some(command) if command.starts_with("curl ") => {
                let (status, code) = promised.pop().unwrap_or_else(|| panic!("no status above {command}"));
                let command = command.to_owned();
                asks.push(Line { status, code, command });
            }
            _ if line.ends_with(':') => {
                assert!(promised.is_empty(), "promised without a command: {promised:?}");
                promised = promises(line);
            }
            _ => {}
        }
    }
    (sign_ins, asks)
}

#[test]
fn every_curl_line_of_the_demo_gives_the_status_above_it() {
    find_program("curl").unwrap();
    let mut demo = Demo::start(&[]);
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        let line = demo.line();
        assert!(!line.is_empty(), "it ended after: {text}");
        text.push_str(&line);
    }
    let (sign_ins, asks) = curl_lines(&text);
    assert!(sign_ins.len() >= 2 && asks.len() >= 6, "{text}");

    let mut script = sign_ins.join("\n");
    for ask in &asks {
        script.push_str(&format!("\n{}\nprintf '\\n=====\\n'\n", ask.command));
    }
    let ran = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let answers = String::from_utf8(ran.stdout).unwrap();
    for (ask, answer) in asks.iter().zip(answers.split("\n=====\n")) {
        let told = format!("{}\n{answer}", ask.command);
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", ask.status)), "{told}");
        assert!(answer.contains(&ask.code), "{told}");
    }
}

#[test]
fn the_demo_is_what_its_file_says_also_when_it_is_read_again_whatever_variables_are_set() {
    let mut demo = Demo::start_with(&["--output", "json"], &[("BEKCI__SERVER__WORKERS", "3")]);
    let told: Value = serde_json::from_str(&demo.line()).unwrap();
    let ops = address(&told["opsUrl"]);
    demo.signal("HUP");
    let reloads = |result| {
        let metrics = String::from_utf8(get("/metrics").to(ops).body).unwrap();
        value(&metrics, &reloads(result))
    };
    for _ in 0..LOOKS {
        if reloads("unchanged") + reloads("refused") > 0 {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    assert_eq!((reloads("unchanged"), reloads("refused")), (1, 0));
}
