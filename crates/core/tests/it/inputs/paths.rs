use bekci_core::canonical_path;

use super::on_each_and_by_chance;

const CORPUS: &str = include_str!("../../corpus/paths.txt");
const WORDS: &[&str] = &[
    "..",
    ".",
    "/",
    "//",
    "%2e",
    "%2F",
    "%5c",
    "%25",
    "%252e",
    "%00",
    "%3b",
    ";",
    "%c0%ae",
    "%E2%80%AE",
    "\u{ff0f}",
    "[",
    "]",
    "|",
    "^",
    "`",
    "%5b",
    "?",
    "#",
];

/// What the path says once its escapes are taken off; `None` where one is cut off or wrong.
fn decoded_once(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    Some(bytes)
}

/// Everything that must be true of a path that is let through.
fn check(raw: &str, canonical: &str, semicolon: bool) {
    let told = format!("{raw:?} became {canonical:?}");
    assert_eq!(
        canonical_path(canonical, semicolon).as_deref(),
        Ok(canonical),
        "{told}, and that is not its own form"
    );
    let says = decoded_once(canonical).unwrap();
    assert_eq!(
        Some(&says),
        decoded_once(raw).as_ref(),
        "{told}: decoded once, no more and no less"
    );
    assert!(canonical.bytes().all(|byte| byte.is_ascii_graphic()), "{told}");
    let text = String::from_utf8(says).unwrap();
    assert!(!text.chars().any(|c| c.is_ascii_control() || c == '\\'), "{told}");
    // Whoever decodes before it splits finds the same segments as whoever splits before it decodes.
    assert_eq!(text.matches('/').count(), canonical.matches('/').count(), "{told}");
    let mut segments: Vec<&str> = text.split('/').collect();
    assert_eq!(segments.remove(0), "", "{told}");
    let last = segments.pop().unwrap();
    assert!(segments.iter().all(|segment| !segment.is_empty()), "{told}");
    assert!(
        segments
            .iter()
            .chain([&last])
            .all(|segment| !matches!(*segment, "." | "..")),
        "{told}"
    );
    assert!(semicolon || !text.contains(';'), "{told}");
}

#[test]
fn a_path_has_one_form_or_none() {
    let (mut taken, mut refused) = (0, 0);
    on_each_and_by_chance(CORPUS, WORDS, 20_000, |input, _| {
        let raw = String::from_utf8_lossy(input);
        let strict = canonical_path(&raw, false);
        let lax = canonical_path(&raw, true);
        if let Ok(canonical) = &strict {
            check(&raw, canonical, false);
            assert_eq!(
                strict, lax,
                "{raw:?}: what is good without semicolons is good with them"
            );
        }
        if let Ok(canonical) = &lax {
            check(&raw, canonical, true);
            assert!(strict.is_ok() || decoded_once(&raw).unwrap().contains(&b';'), "{raw:?}");
        }
        *if lax.is_ok() { &mut taken } else { &mut refused } += 1;
    });
    assert!(
        taken > 500 && refused > 500,
        "{taken} taken, {refused} refused: the inputs try too little"
    );
}

#[test]
fn two_spellings_of_a_path_meet_in_one_form() {
    let unreserved = "abcXYZ019-._~";
    bekci_test_support::by_chance(2_000, |chance| {
        let name = format!("x{}", chance.text(unreserved, 12));
        let spelt: String = name
            .bytes()
            .map(|byte| match chance.below(3) {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                _ => char::from(byte).to_string(),
            })
            .collect();
        assert_eq!(
            canonical_path(&format!("/{spelt}"), false).as_deref(),
            Ok(&*format!("/{name}"))
        );
    });
}
