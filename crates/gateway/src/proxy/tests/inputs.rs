//! Headers of chance: none of ours, and no cookie of ours, passes in any spelling.

use bekci_core::{CookieLookup, cookie};
use bekci_test_support::{Mutator, by_chance, corpus};

use crate::{
    proxy::{
        cookies,
        names::{Fate, fate},
    },
    routes::Host,
};

/// Names that a client must not send on.
const OURS: [&str; 9] = [
    "x-auth-id",
    "x-auth-roles",
    "x-auth-attr-email",
    "x-auth-token",
    "x-forwarded-for",
    "x-real-ip",
    "x-http-method-override",
    "transfer-encoding",
    "content-length",
];

#[test]
fn a_name_of_ours_is_known_in_every_spelling_that_a_header_can_have() {
    // RFC 9110 section 5.6.2: what a name may have besides letters and digits, as the HTTP library keeps it: in lower case.
    let marks: Vec<String> = "!#$%&'*+-.^_`|~".chars().map(String::from).collect();
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    by_chance(3_000, |chance| {
        let name = chance.one(&OURS);
        let spelt: String = name
            .chars()
            .map(|c| {
                if c == '-' {
                    chance.one(&marks).to_owned()
                } else {
                    c.to_string()
                }
            })
            .collect();
        assert_eq!(fate(&spelt), Fate::Drop, "{spelt}");
    });
}

#[test]
fn no_cookie_that_the_gate_would_read_is_forwarded_and_no_other_is_lost() {
    const OURS: &str = "__Host-bekci_customer_at";
    let words = [
        OURS,
        "bekci_",
        "__Secure-bekci_x_rt=1",
        "; ",
        ";",
        "=",
        "sid=1",
        " ",
        "\t",
        "\"",
    ];
    let headers = Mutator::new(
        corpus(include_str!("../../../../core/tests/corpus/cookies.txt")),
        &words,
    );
    let mut cut = 0;
    let check = |header: &[u8]| {
        let left = cookies::without_ours(header);
        let left = left.as_deref().unwrap_or_default();
        let told = || format!("{} became {}", header.escape_ascii(), left.escape_ascii());
        for name in [OURS, "bekci_customer_at", "__Secure-bekci_x_rt"] {
            assert_eq!(cookie(&[left], name), CookieLookup::Absent, "{}", told());
        }
        // Another reader's cookie stays, unless its name is one of ours.
        let sid = |header: &[u8]| {
            header
                .split(|byte| *byte == b';')
                .filter(|pair| pair.trim_ascii().starts_with(b"sid="))
                .count()
        };
        assert_eq!(sid(left), sid(header), "{}", told());
        left.len() < header.len()
    };
    headers.corpus().for_each(|header| cut += usize::from(check(header)));
    by_chance(5_000, |chance| cut += usize::from(check(&headers.make(chance))));
    assert!(cut > 300, "only {cut} had one of ours: the inputs try too little");
}

#[test]
fn a_host_is_read_as_one_name_or_refused() {
    let first = [
        "gw.test",
        "GW.test.:80",
        "[::1]:8080",
        "127.0.0.1:80",
        "a_b.test",
        "u@gw.test",
        "gw.test:80@evil",
        "[::1",
        "a..b",
        "%2e",
        "",
    ];
    let hosts = Mutator::new(
        first,
        &[".", ":", "@", "[", "]", ":80", ":0", ":99999", "/", "%", "A", "::"],
    );
    let mut read = 0;
    by_chance(5_000, |chance| {
        let text = hosts.make_text(chance);
        let Ok(host) = Host::parse(&text) else { return };
        read += 1;
        let spelt = host.to_string();
        let again = Host::parse(&spelt).unwrap();
        assert_eq!(
            (again.name(), again.port()),
            (host.name(), host.port()),
            "{text:?} became {spelt:?}"
        );
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._[]:".contains(&byte);
        assert!(
            !host.name().is_empty() && host.name().bytes().all(plain),
            "{text:?} became {spelt:?}"
        );
        assert!(
            text.to_ascii_lowercase().starts_with(host.name().trim_end_matches('.')) || host.name().starts_with('['),
            "{text:?} became {spelt:?}"
        );
    });
    assert!(read > 300, "only {read} were read: the inputs try too little");
}
