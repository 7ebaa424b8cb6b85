//! W3C Trace Context: which trace a request belongs to.
//!
//! 1. A `traceparent` that stands once and is valid is continued: its trace and its flags, with a span of our own as the parent of what follows.
//! 2. Any other is none (section 4.2 of the recommendation), and a trace begins here. Its `sampled` flag is set: the caller decided nothing, and a flag that is not set would tell
//!    services behind to record nothing.
//! 3. `tracestate` belongs to the `traceparent` beside it and goes on only where that one does.

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::{chance, respond::only};

/// The header of the trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The one version that there is, with which what we say begins.
const VERSION: &str = "00";
const TRACE: std::ops::Range<usize> = 3..35;
const PARENT: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;

/// A request's trace, with the span that stands for it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `00-<trace>-<span>-<flags>`. Each request has one, so that it needs no memory of its own.
    header: [u8; FLAGS.end],
    continued: bool,
}

impl Trace {
    /// The trace that the request came with, if it can be read; else a new one.
    #[must_use]
    pub fn taken_or_made(headers: &HeaderMap) -> Self {
        let given = only(headers, &TRACEPARENT).and_then(parts);
        let continued = given.is_some();
        let (fresh_trace, span): ([u8; 16], [u8; 8]) = (chance::bytes(), chance::bytes());
        let mut header = *b"00-________________________________-________________-01";
        match given {
            Some((trace, _)) => fill(&mut header, TRACE, trace.bytes()),
            None => fill(&mut header, TRACE, hex(&fresh_trace)),
        }
        fill(&mut header, PARENT, hex(&span));
        // Of the flags of a later version those are kept that are known (section 4.3).
        let flags = given.map_or(1, |(_, flags)| flags & 1);
        fill(&mut header, FLAGS, hex(&[flags]));
        Self { header, continued }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header().get(TRACE).unwrap_or_default()
    }

    /// The id of the span that stands for this request: 16 hexadecimal digits.
    #[must_use]
    pub fn span(&self) -> &str {
        self.header().get(PARENT).unwrap_or_default()
    }

    /// The `traceparent` for whoever is asked next.
    #[must_use]
    pub fn header(&self) -> &str {
        // Of digits and dashes alone, so that the other case does not happen.
        std::str::from_utf8(&self.header).unwrap_or_default()
    }

    /// Whether the caller's trace is continued; else its `tracestate` means nothing.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.continued
    }
}

/// Trace and flags of a `traceparent` (section 3.2).
fn parts(text: &str) -> Option<(&str, u8)> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_some = |text: &str| text.bytes().any(|byte| byte != b'0');
    let (version, trace, parent, flags) = (text.get(..2)?, text.get(TRACE)?, text.get(PARENT)?, text.get(FLAGS)?);
    let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let ends = match text.as_bytes().get(55) {
        None => true,
        // A later version may say more.
        Some(next) => version != VERSION && *next == b'-',
    };
    let good = dashes
        && ends
        && version != "ff"
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && is_some(trace)
        && is_some(parent);
    good.then_some((trace, u8::from_str_radix(flags, 16).ok()?))
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble })
}

fn fill(header: &mut [u8], place: std::ops::Range<usize>, text: impl Iterator<Item = u8>) {
    let places = header.get_mut(place).unwrap_or_default();
    places.iter_mut().zip(text).for_each(|(place, byte)| *place = byte);
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn read(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Trace::taken_or_made(&headers)
    }

    #[test]
    fn a_valid_trace_is_continued_with_a_span_of_our_own_and_the_callers_flag() {
        for (given, flags) in [
            (GOOD, "00"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "01"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", "01"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "01"),
            (
                "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-says",
                "01",
            ),
        ] {
            let trace = read(&[given]);
            assert!(trace.is_continued(), "{given}");
            assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
            assert_ne!(trace.span(), "b7ad6b7169203331");
            let expected = format!("00-{}-{}-{flags}", trace.id(), trace.span());
            assert_eq!(trace.header(), expected);
            assert_eq!(trace.header().len(), 55);
        }
    }

    #[test]
    fn what_cannot_be_read_begins_a_trace_that_later_services_may_record() {
        for given in [
            &[][..],
            &[GOOD, GOOD],
            &[""],
            &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"],
            &["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"],
            &["00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"],
            &["00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01"],
        ] {
            let (one, other) = (read(given), read(given));
            assert!(!one.is_continued(), "{given:?}");
            assert_ne!(one.id(), other.id(), "{given:?}");
            let (id, span) = (one.id(), one.span());
            assert_eq!(one.header(), format!("00-{id}-{span}-01"), "{given:?}");
            assert!(parts(one.header()).is_some(), "{given:?}");
        }
    }
}
