use bekci_core::{CookieLookup, HeaderCredential, cookie};
use bekci_test_support::{Chance, Mutator, by_chance, corpus};

use super::on_each_and_by_chance;

const AUTHORIZATION: &str = include_str!("../../corpus/authorization.txt");
const COOKIES: &str = include_str!("../../corpus/cookies.txt");
const COOKIE: &str = "__Host-bekci_customer_at";
const COOKIE_WORDS: &[&str] = &[COOKIE, "=", ";", "; ", "=t", "=u", "\"", ",", "bekci_customer_at=x"];

/// The one token of a value, read the plain way: blanks, the scheme, blanks, a token, blanks.
fn token_of(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let (scheme, token, more) = (words.next()?, words.next()?, words.next());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (more.is_none() && scheme.eq_ignore_ascii_case("Bearer") && token.bytes().all(fits)).then_some(token)
}

fn check(values: &[&[u8]]) -> bool {
    let read = HeaderCredential::read(values);
    let told = || {
        format!(
            "{read:?} of {:?}",
            values
                .iter()
                .map(|value| value.escape_ascii().to_string())
                .collect::<Vec<_>>()
        )
    };
    let differ = values.iter().any(|value| *value != values[0]);
    match read {
        HeaderCredential::Bearer(token) => {
            assert!(!differ, "{}", told());
            assert_eq!(token_of(values[0]), Some(token.expose()), "{}", told());
            return true;
        }
        // Only what holds no credential at all is taken for none.
        HeaderCredential::Absent => {
            let silent = |value: &&[u8]| {
                let text = std::str::from_utf8(value).unwrap();
                let text = text.trim_matches([' ', '\t']);
                text.is_empty() || text.eq_ignore_ascii_case("bearer")
            };
            assert!(!differ && values.iter().all(silent), "{}", told());
        }
        HeaderCredential::Several => {
            assert!(differ || values[0].contains(&b','), "{}", told());
        }
        HeaderCredential::Malformed => assert!(!differ, "{}", told()),
    }
    false
}

#[test]
fn one_token_is_read_of_all_authorization_headers_or_none() {
    let all = Mutator::new(corpus(AUTHORIZATION), &["Bearer ", "bearer", " ", "\t", ",", "Basic "]);
    let mut good = 0;
    on_each_and_by_chance(
        AUTHORIZATION,
        &["Bearer ", " ", ",", "a.b.c"],
        10_000,
        |input, chance| {
            good += usize::from(check(&[input]));
            let other = if chance.once_in(2) {
                input.to_vec()
            } else {
                all.make(chance)
            };
            good += usize::from(check(&[input, &other]));
        },
    );
    assert!(good > 200, "only {good} were good: the inputs try too little");
    assert!(matches!(HeaderCredential::read(&[]), HeaderCredential::Absent));
}

/// Every value that stands under the name, read byte by byte.
fn values_of<'a>(headers: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let pairs = headers.iter().flat_map(|header| header.split(|byte| *byte == b';'));
    pairs
        .filter_map(|pair| {
            let start = pair.iter().position(|byte| !b" \t".contains(byte))?;
            pair.get(start..)?.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")
        })
        .filter(|value| !value.is_empty())
        .collect()
}

fn check_cookies(headers: &[&[u8]]) -> bool {
    let values = values_of(headers);
    let differ = values.iter().any(|value| *value != values[0]);
    let expected = match values.first() {
        None => CookieLookup::Absent,
        Some(_) if differ => CookieLookup::Several,
        Some(value) => CookieLookup::One(std::str::from_utf8(value).unwrap_or("\u{FFFD}")),
    };
    assert_eq!(
        cookie(headers, COOKIE),
        expected,
        "{:?}",
        headers
            .iter()
            .map(|header| header.escape_ascii().to_string())
            .collect::<Vec<_>>()
    );
    differ
}

#[test]
fn a_cookie_is_all_that_stands_under_its_name_and_never_one_of_two() {
    let all = Mutator::new(corpus(COOKIES), COOKIE_WORDS);
    let mut tossed = 0;
    on_each_and_by_chance(COOKIES, COOKIE_WORDS, 10_000, |input, chance| {
        tossed += usize::from(check_cookies(&[input]));
        tossed += usize::from(check_cookies(&[input, &all.make(chance)]));
        let first: Vec<&[u8]> = all.corpus().collect();
        tossed += usize::from(check_cookies(&[chance.one(&first), input]));
    });
    assert!(tossed > 100, "only {tossed} had two values: the inputs try too little");
}

#[test]
fn bytes_of_another_cookie_hide_none_and_bytes_of_ones_own_are_no_token() {
    let own = |header: &'static [u8]| cookie(&[header], COOKIE);
    assert_eq!(own(b"a=\xff; __Host-bekci_customer_at=t"), CookieLookup::One("t"));
    assert_eq!(own(b"__Host-bekci_customer_at=t\xff"), CookieLookup::One("\u{FFFD}"));
    assert_eq!(
        own(b"__Host-bekci_customer_at=\xfe; __Host-bekci_customer_at=\xff"),
        CookieLookup::Several
    );
}

#[test]
fn no_other_cookie_changes_what_is_read_of_one() {
    by_chance(2_000, |chance: &mut Chance| {
        let name = chance.text("_-AbHhostcekiumra=", 30);
        let value = chance.text("abc=\"%, ", 20);
        if name.starts_with(COOKIE) || name.contains('=') && name.split('=').next() == Some(COOKIE) {
            return;
        }
        let header = format!("{name}={value}; {COOKIE}=token; {name}={value}");
        assert_eq!(
            cookie(&[header.as_bytes()], COOKIE),
            CookieLookup::One("token"),
            "{header}"
        );
    });
}
