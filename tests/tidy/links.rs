//! Links of Markdown documents to files of the tree.

use crate::tree::finding;

/// Finds relative links to what is not there. `exists` is asked with a path from the root.
pub(crate) fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut fenced = false;
    for (line, words) in text.lines().enumerate() {
        if words.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let prose = without_code(words);
        for target in targets(&prose).filter_map(file_of) {
            match resolve(folder, target) {
                Some(file) if exists(&file) => {}
                Some(_) => findings.push(finding(path, line, &format!("`{target}` is not there"))),
                None => findings.push(finding(path, line, &format!("`{target}` is outside of the tree"))),
            }
        }
    }
    findings
}

/// The targets of `[text](target)`, `![text](target)` and `[label]: target`.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let inline = prose.split("](").skip(1).filter_map(|after| after.split(')').next());
    let reference = prose
        .trim_start()
        .strip_prefix('[')
        .and_then(|label| label.split_once("]: "))
        .map(|(_, target)| target);
    inline.chain(reference)
}

/// The file that a target names: no address of the web, no place in the same document.
fn file_of(target: &str) -> Option<&str> {
    // What follows a blank is the title.
    let target = target
        .trim()
        .split(' ')
        .next()?
        .trim_start_matches('<')
        .trim_end_matches('>');
    let file = target.split('#').next()?;
    let has_scheme = file.contains("://") || file.starts_with("mailto:");
    (!file.is_empty() && !has_scheme).then_some(file)
}

/// A path from the root. `None`: it leads out of the tree.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let (base, target) = target
        .strip_prefix('/')
        .map_or((folder, target), |from_root| ("", from_root));
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What stands between backticks is code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[test]
fn a_link_to_what_is_not_there_is_found_with_its_line() {
    let exists = |path: &str| ["docs/a.md", "README.md", "docs"].contains(&path);
    let text = "[a](a.md) [b](b.md)\n\n![c](../img/c.png \"C\") [up](../README.md#start)\n[ref]: <gone.md>\n[out](../../etc)\n";
    let found = check("docs/index.md", text, exists);
    assert_eq!(
        found,
        [
            "docs/index.md:1: `b.md` is not there",
            "docs/index.md:3: `../img/c.png` is not there",
            "docs/index.md:4: `gone.md` is not there",
            "docs/index.md:5: `../../etc` is outside of the tree",
        ]
    );
}

#[test]
fn links_to_the_web_to_places_here_and_in_code_are_none_of_its_business() {
    let text = "[a](https://example.com/x) [b](#here) [m](mailto:a@b.c) `[c](gone.md)`\n```\n[d](gone.md)\n```\n";
    assert_eq!(check("README.md", text, |_| false), Vec::<String>::new());
}
