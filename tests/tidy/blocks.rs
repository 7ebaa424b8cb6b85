//! Blocks of code in documents that are said to be of a file: they are.

use crate::tree::finding;

/// What stands for something that is left out; the parts before and after are looked for in their order.
const LEFT_OUT: [&str; 2] = ["// …", "# …"];

/// Finds blocks (three backticks, a language, `file=<path>`) that are not in their file. Indentation and empty lines do not count. Of a `diff` it is what the file is like
/// before the change.
pub(crate) fn check(path: &str, text: &str, text_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, info, block) in blocks(text) {
        let Some(file) = info.split_whitespace().find_map(|word| word.strip_prefix("file=")) else {
            continue;
        };
        let block = if info.starts_with("diff") {
            before(&block)
        } else {
            block
        };
        let Some(source) = text_of(file) else {
            findings.push(finding(path, line, &format!("`{file}` is not there")));
            continue;
        };
        let source: Vec<&str> = code(&source).collect();
        if let Some(missing) = missing(&block, &source) {
            findings.push(finding(path, line, &format!("this is not in {file}: `{missing}`")));
        }
    }
    findings
}

/// The lines of a diff that were there before it.
fn before<'a>(diff: &[&'a str]) -> Vec<&'a str> {
    let kept = diff.iter().filter(|line| !line.starts_with('+'));
    kept.map(|line| line.strip_prefix('-').unwrap_or(line)).collect()
}

/// The blocks: the number of the line that opens it, what stands behind the backticks, the lines.
fn blocks(text: &str) -> Vec<(usize, &str, Vec<&str>)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```")
            .collect();
        found.push((at, info, block));
    }
    found
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The first line of the first part that is not in the source after the parts before it.
fn missing<'a>(block: &[&'a str], source: &[&str]) -> Option<&'a str> {
    let lines: Vec<&str> = block
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    let mut from = 0;
    for part in lines
        .split(|line| LEFT_OUT.contains(line))
        .filter(|part| !part.is_empty())
    {
        let rest = &source[from..];
        match rest.windows(part.len()).position(|window| window == part) {
            Some(at) => from += at + part.len(),
            None => return Some(part[0]),
        }
    }
    None
}

#[test]
fn a_block_that_is_not_in_its_file_is_found_with_its_line() {
    let source =
        |file: &str| (file == "a.rs").then(|| "fn a() {\n    one();\n\n    two();\n    three();\n}\n".to_owned());
    let document = |block: &str| format!("Text.\n\n```rust file=a.rs\n{block}\n```\n");
    for good in ["one();\ntwo();", "  one();\n// …\nthree();", "fn a() {\n// …\n}"] {
        assert_eq!(check("x.md", &document(good), source), Vec::<String>::new(), "{good}");
    }
    for (bad, line) in [
        ("one();\nthree();", "one();"),
        ("two();\n// …\none();", "one();"),
        ("four();", "four();"),
    ] {
        let found = check("x.md", &document(bad), source);
        assert_eq!(found, [format!("x.md:3: this is not in a.rs: `{line}`")], "{bad}");
    }
    assert_eq!(
        check(
            "x.md",
            "```diff file=a.rs\n one();\n+between();\n two();\n-three();\n+four();\n```\n",
            source
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        check(
            "x.md",
            "```diff file=a.rs\n one();\n+between();\n-three();\n```\n",
            source
        ),
        ["x.md:1: this is not in a.rs: `one();`"]
    );
    assert_eq!(
        check("x.md", "```toml file=gone.toml\n```\n", source),
        ["x.md:1: `gone.toml` is not there"]
    );
    assert_eq!(check("x.md", "```rust\nfour();\n```\n", source), Vec::<String>::new());
}
