//! Links of Markdown documents to files of the tree, and to headings in them.

use crate::tree::finding;

/// Finds relative links to missing files and headings. `exists` and `text_of` take a path from the root.
pub(crate) fn check(
    path: &str,
    text: &str,
    exists: impl Fn(&str) -> bool,
    text_of: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
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
        for target in targets(&prose) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let document = match file_of(file) {
                Some(file) => resolve(folder, file).and_then(|file| text_of(&file)),
                None => file.is_empty().then(|| text.to_owned()),
            };
            if !heading.is_empty() && document.is_some_and(|text| !headings(&text).any(|known| known == heading)) {
                findings.push(finding(path, line, &format!("`{target}` has no such heading")));
            }
            let Some(target) = file_of(target) else { continue };
            match resolve(folder, target) {
                Some(file) if exists(&file) => {}
                Some(_) => findings.push(finding(path, line, &format!("`{target}` is not there"))),
                None => findings.push(finding(path, line, &format!("`{target}` is outside of the tree"))),
            }
        }
    }
    findings
}

/// The anchors of a document's headings: lower case, `-` for blanks, no other signs.
fn headings(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        fenced ^= line.starts_with("```");
        let title = line
            .strip_prefix('#')
            .filter(|_| !fenced)?
            .trim_start_matches('#')
            .trim();
        let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
        Some(
            title
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-"),
        )
    })
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
    let found = check("docs/index.md", text, exists, |_| None);
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
fn links_to_the_web_and_in_code_are_none_of_its_business() {
    let text = "[a](https://example.com/x) [m](mailto:a@b.c) `[c](gone.md)`\n```\n[d](gone.md)\n```\n";
    assert_eq!(check("README.md", text, |_| false, |_| None), Vec::<String>::new());
}

#[test]
fn a_link_to_a_missing_heading_is_found() {
    let other = |path: &str| (path == "docs/a.md").then(|| "# One: `two`, three\n```\n# four\n```\n".to_owned());
    let text = "# Here it is\n[a](a.md#one-two-three) [b](#here-it-is) [c](a.md#four) [d](#gone)\n";
    assert_eq!(
        check("docs/index.md", text, |_| true, other),
        [
            "docs/index.md:2: `a.md#four` has no such heading",
            "docs/index.md:2: `#gone` has no such heading",
        ]
    );
}
