//! The `curl` lines of the documents: each call has one, and each is run as it stands, its status and answer compared.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
};

use bekci_test_support::{Server, Service, TempDir, find_program, free_port};
use serde_json::Value;

use crate::{demo::Demo, house::BEKCI, http::get};

/// In the order in which they are read: variables of the first hold in the second.
const PAGES: [&str; 7] = [
    "http-api.md",
    "staying-signed-in.md",
    "management-api.md",
    "accounts.md",
    "codes.md",
    "introspection.md",
    "social-sign-in.md",
];
/// Every `curl` of the pages is this one: it keeps what was answered, by the number of its line.
const KEEPING: &str = r#"curl() { command curl -D "$N.head" "$@" | tee "$N.body"; }"#;

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(docs().join(name)).unwrap()
}

/// The lines of the blocks whose fence says exactly this, each with its number in the page.
fn block_lines<'a>(text: &'a str, fence: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut open = None;
    for (at, line) in text.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(info == fence),
            (Some(_), Some(_)) => open = None,
            (Some(true), None) => found.push((at + 1, line)),
            _ => {}
        }
    }
    found
}

/// A command of a page, and what the comment below it promises.
struct Line {
    place: String,
    command: String,
    promise: Option<(String, String)>,
}

impl Line {
    fn asks(&self) -> bool {
        self.command.contains("curl ")
    }

    /// Method and path, as curl makes them of its arguments.
    fn call(&self) -> Option<(String, String)> {
        let from = ["$URL/", "$NODE/"]
            .iter()
            .find_map(|base| self.command.split_once(base));
        let path = from?.1.split([' ', '"', '?', ')']).next()?;
        let method = self
            .command
            .split_once("-X ")
            .and_then(|(_, rest)| rest.split(' ').next());
        let by_itself = if self.command.contains(" -d ") { "POST" } else { "GET" };
        Some((method.unwrap_or(by_itself).to_owned(), format!("/{path}")))
    }
}

fn lines_of(name: &str, text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut continued = false;
    for (at, text) in block_lines(text, "sh") {
        let last = lines.last_mut();
        match (last, text.strip_prefix("# ")) {
            (Some(last), _) if continued => last.command += &format!("\n{text}"),
            (Some(last), Some(promise)) => {
                let (status, answer) = promise.split_once(' ').unwrap_or((promise, ""));
                last.promise = Some((status.to_owned(), answer.to_owned()));
            }
            _ => lines.push(Line {
                place: format!("docs/{name}:{at}"),
                command: text.to_owned(),
                promise: None,
            }),
        }
        continued = text.ends_with('\\');
    }
    lines
}

/// Whether an answer is the one of the page, in which `…` stands for anything.
fn is_like(answer: &str, promised: &str) -> bool {
    let parts: Vec<&str> = promised.split('…').collect();
    let ([first, middle @ .., last], true) = (&parts[..], parts.len() > 1) else {
        return answer == promised;
    };
    let Some(rest) = answer.strip_prefix(first) else {
        return false;
    };
    let rest = middle
        .iter()
        .try_fold(rest, |rest, part| rest.find(part).map(|at| &rest[at + part.len()..]));
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// A second node beside the demo, started as the page says, but on free ports.
fn second_node(folder: &TempDir, config: &str) -> Server {
    let text = page(PAGES[0]);
    let start = block_lines(&text, "sh node");
    let start: Vec<&str> = start.iter().map(|(_, line)| *line).collect();
    let start = start
        .join("\n")
        .replace("cargo run --release --", BEKCI)
        .replace("\"$CONFIG\"", config);
    let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    Server::on_free_port(|port| {
        let start = start
            .replace("127.0.0.1:8090", &format!("127.0.0.1:{port}"))
            .replace("127.0.0.1:8091", &ops.to_string());
        let start = format!("exec env {}", start.trim_end_matches(" &"));
        Service::new("sh", port, folder)
            .args(["-c", &start])
            .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
    })
}

#[test]
fn every_curl_line_of_the_pages_gives_the_status_and_the_answer_below_it() {
    find_program("curl").unwrap();
    let folder = TempDir::new("pages");
    let mut demo = Demo::start(&["--output", "json"]);
    let told = demo.line();
    std::fs::write(folder.path().join("demo.json"), &told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let node = second_node(&folder, told["configPath"].as_str().unwrap());

    let lines: Vec<Line> = PAGES.iter().flat_map(|name| lines_of(name, &page(name))).collect();
    assert!(lines.iter().filter(|line| line.asks()).count() > 50);
    let mut script = format!("{KEEPING}\nNODE=http://{}\n", node.address());
    for (at, line) in lines.iter().enumerate() {
        script += &format!("N={at}\n{}\n", line.command);
    }
    let ran = Command::new(find_program("sh").unwrap())
        .args(["-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let mut wrong = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.asks()) {
        let read = |part| std::fs::read_to_string(folder.path().join(format!("{at}.{part}"))).unwrap_or_default();
        let (head, body) = (read("head"), read("body"));
        let status = head.rsplit("HTTP/1.1 ").next().and_then(|last| last.split(' ').next());
        let good = line.promise.as_ref().is_some_and(|(promised, answer)| {
            status == Some(promised) && (answer.is_empty() || is_like(body.trim_end(), answer))
        });
        if !good {
            let told: String = body.chars().take(500).collect();
            wrong.push(format!(
                "{}: {}\n{} {told}",
                line.place,
                line.command,
                status.unwrap_or("")
            ));
        }
    }
    assert!(wrong.is_empty(), "not as below the line:\n{}", wrong.join("\n"));
}

/// Whether a path is one of a template, in which the last place of `/ext-authz/{path}` takes any number of segments.
fn is_of(path: &str, template: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in template.split('/') {
        match (parts.next(), wanted) {
            (Some(_), "{path}") => return true,
            (Some(_), wanted) if wanted.starts_with('{') => {}
            (Some(part), wanted) if part == wanted => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// The calls of a document that no line makes. The two guards have the same calls, so that a line at one of them is enough.
fn without_line(document: &Value, calls: &[(String, String)]) -> Vec<String> {
    let one_guard = |path: &str| path.replace("/auth/admin/", "/auth/customer/");
    let mut missing = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let made = |(asked, at): &(String, String)| *asked == method && is_of(&one_guard(at), &one_guard(path));
            if !calls.iter().any(made) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    missing
}

#[test]
fn every_call_of_the_openapi_document_has_a_curl_line() {
    let document: Value = serde_json::from_str(&page("openapi.json")).unwrap();
    let lines = PAGES.iter().flat_map(|name| lines_of(name, &page(name)));
    let calls: Vec<_> = lines.filter_map(|line| line.call()).collect();
    assert_eq!(without_line(&document, &calls), Vec::<String>::new());
}

#[test]
fn a_call_without_a_line_and_an_answer_that_is_another_are_found() {
    let text = "```sh\nX=$(curl -s \"$URL/a/b?c=d\" \\\n  -d '{}')\n# 200 {\"a\":\"…\"}\ncurl -X PUT $URL/e -d '{}'\n```\n```text\ncurl $URL/no\n```\n";
    let lines = lines_of("x.md", text);
    let calls: Vec<_> = lines.iter().filter_map(Line::call).collect();
    let call = |method: &str, path: &str| (method.to_owned(), path.to_owned());
    assert_eq!(calls, [call("POST", "/a/b"), call("PUT", "/e")]);
    assert_eq!(lines[0].promise, Some(call("200", "{\"a\":\"…\"}")));
    assert_eq!(
        (lines[1].promise.is_none(), lines[1].place.as_str()),
        (true, "docs/x.md:5")
    );
    let document =
        serde_json::json!({"paths": {"/a/{id}": {"get": {}, "post": {}}, "/e": {"put": {}}, "/e/{f}": {"put": {}}}});
    assert_eq!(without_line(&document, &calls), ["GET /a/{id}", "PUT /e/{f}"]);

    for good in ["{\"a\":1,…}", "…\"b\":2}", "{…\"b\"…}", "{\"a\":1,\"b\":2}"] {
        assert!(is_like("{\"a\":1,\"b\":2}", good), "{good}");
    }
    for bad in [
        "{\"a\":2,…}",
        "…\"c\":2}",
        "{…\"b\"…\"a\"…}",
        "{\"a\":1}",
        "{\"a\":1,…\"b\":3}",
    ] {
        assert!(!is_like("{\"a\":1,\"b\":2}", bad), "{bad}");
    }
}
