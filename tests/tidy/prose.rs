//! The words and sentences of the documents.
//!
//! Prose is what stands outside of code. A list item, a table cell and a paragraph are read by themselves.

use crate::tree::finding;

/// The longest sentence, in words.
const LONGEST_SENTENCE: usize = 25;

/// Words that are not used, and what stands in their place.
const RETIRED: [(&str, &str); 22] = [
    ("whoever", "the client, the user, the caller"),
    ("whomever", "the client, the user, the caller"),
    ("whatever", "any"),
    ("somebody", "a user, a client"),
    ("nobody", "no user, no client"),
    ("anybody", "any user, any client"),
    ("everybody", "every user, every client"),
    ("is told", "receives, is reported"),
    ("are told", "receive, are reported"),
    ("asks about", "requests"),
    ("asked about", "requested"),
    ("asks for a", "requires a"),
    ("is over", "expires"),
    ("are over", "expire"),
    ("is no more", "is deleted, does not exist"),
    ("behind its back", "from outside"),
    ("behind bekci's back", "from outside"),
    ("lets in", "admits"),
    ("let in", "admitted"),
    ("the house", "the workspace"),
    ("anew", "again"),
    ("of its own accord", "by itself"),
];

/// Finds retired words, and sentences that are too long.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, prose) in paragraphs(text) {
        let lower = prose.to_lowercase();
        for (word, instead) in RETIRED {
            if has_word(&lower, word) {
                findings.push(finding(path, line, &format!("`{word}` is retired: {instead}")));
            }
        }
        for sentence in sentences(&prose) {
            let words = sentence.split_whitespace().count();
            if words > LONGEST_SENTENCE {
                let start: Vec<_> = sentence.split_whitespace().take(5).collect();
                let what = format!("a sentence of {words} words: `{} …`", start.join(" "));
                findings.push(finding(path, line, &what));
            }
        }
    }
    findings
}

/// Each piece of prose with its first line, counted from 0. Code is replaced by one word.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
            found.extend(open.take());
            continue;
        }
        if fenced {
            continue;
        }
        let starts_piece = line.starts_with(['#', '-', '*', '|', '>', '<']) || numbered(line);
        if line.is_empty() || starts_piece {
            found.extend(open.take());
        }
        if line.is_empty() || line.starts_with('<') {
            continue;
        }
        let prose = without_code(line);
        if line.starts_with('|') {
            found.extend(cells(&prose).map(|cell| (number, cell)));
        } else if let Some((_, piece)) = &mut open {
            piece.push(' ');
            piece.push_str(&prose);
        } else {
            open = Some((number, prose));
        }
    }
    found.extend(open);
    found
}

fn numbered(line: &str) -> bool {
    line.split_once(". ")
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn cells(row: &str) -> impl Iterator<Item = String> + '_ {
    row.split('|')
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .map(str::to_owned)
}

/// What stands between backticks is one word, whose escaped bars divide no cells. Of a link its text remains.
fn without_code(line: &str) -> String {
    let mut prose = String::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 0 {
            prose.push_str(part);
        } else {
            prose.push('x');
        }
    }
    let mut rest = prose.as_str();
    let mut links_gone = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        links_gone.push_str(before);
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    links_gone.push_str(rest);
    links_gone.replace(['[', '*'], "")
}

/// A sentence ends at a full stop, a colon, a semicolon, a question mark, or at the end of the piece.
fn sentences(prose: &str) -> impl Iterator<Item = &str> {
    prose
        .split(['.', ';', ':', '?', '·'])
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
}

/// Whether these words stand in a text, and not just their letters.
fn has_word(text: &str, word: &str) -> bool {
    let is_letter = |near: Option<char>| near.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        !is_letter(before) && !is_letter(after)
    })
}

#[test]
fn a_retired_word_and_a_long_sentence_are_found() {
    let long = "word ".repeat(LONGEST_SENTENCE + 1);
    let text = format!("# Whoever\n\nIt lets in\nall. `whoever`\n\n| a | {long}|\n\n```\nnobody\n```\n");
    assert_eq!(
        check("docs/a.md", &text),
        [
            "docs/a.md:1: `whoever` is retired: the client, the user, the caller",
            "docs/a.md:3: `lets in` is retired: admits",
            "docs/a.md:6: a sentence of 26 words: `word word word word word …`",
        ]
    );
}

#[test]
fn code_links_and_short_sentences_are_no_finding() {
    let half = "word ".repeat(LONGEST_SENTENCE / 2 + 1);
    let text =
        format!("{half}. {half}\n- {half}\n- {half}\n\n[a guard](whoever.md) of `nobody \\| anybody` inletting\n");
    assert_eq!(check("docs/a.md", &text), [""; 0]);
}
