//! What a route matches: hosts, paths, methods; and paths of Bekci's own calls.

use bekci_core::canonical_path;

use super::{Parsed, require, text_type};
use crate::config::schema::{Refusal, Syntax};
use crate::config::values::url::is_host;

text_type! {
    /// A path in its canonical form: it begins with `/`, has no empty and no dot segment, and does not end with `/`.
    UrlPath: "a path, as /auth/customer: no empty or dot segments, no / at the end", Some("^(/[A-Za-z0-9._~!$&'()*+,=:@-]+)+$"),
    |text| require(text.len() <= 256 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_literal)))
}

text_type! {
    /// The method of a request, or `*` for all.
    Method: "a method in capitals, as GET, or *", Some("^(\\*|[A-Z]+)$"),
    |text| require(text == "*" || ((1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())))
}

text_type! {
    /// The name of a header (RFC 9110 section 5.1).
    HeaderName: "the name of a header", Some("^[A-Za-z][A-Za-z0-9-]*$"),
    |text| require((1..=64).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

text_type! {
    /// The name of a header, or a beginning of names that ends in `*`.
    HeaderPattern: "the name of a header, or its beginning with * at the end, as x-company-*", Some("^[A-Za-z][A-Za-z0-9-]*\\*?$"),
    |text| require(HeaderName::parse(text.strip_suffix('*').unwrap_or(text)).is_ok()
        && !["host", "cookie", "content-", "accept"].iter().any(|needed| needed.starts_with(text.trim_end_matches('*'))))
}

text_type! {
    /// A method that pages of other origins can be allowed.
    PageMethod: "a method in capitals that a page can call with, as GET", Some("^[A-Z]+$"),
    |text| require(text.len() <= 32 && bekci::Cors::check_method(text).is_ok())
}

text_type! {
    /// A header that pages of other origins can be allowed to send or read.
    PageHeader: "the name of a header that a page may have a say in; those that tell who acts or whence a request comes are not", Some("^[A-Za-z][A-Za-z0-9-]*$"),
    |text| require(HeaderName::parse(text).is_ok() && bekci::Cors::check_header(text).is_ok())
}

/// The hosts that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every name below this one, which has its leading dot here.
    Below(String),
    /// One host, in small letters, without port or dot at the end.
    Exact(String),
}

impl Parsed for HostPattern {
    const SYNTAX: Syntax =
        Syntax::of::<Self>("a host in small letters without a port, as api.example.com, *.example.com or *");

    fn parse(text: &str) -> Result<Self, Refusal> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.strip_prefix("*.");
        let host = name.unwrap_or(text);
        require(is_host(host) && !host.bytes().any(|b| b.is_ascii_uppercase()))?;
        Ok(if name.is_some() {
            Self::Below(format!(".{host}"))
        } else {
            Self::Exact(host.to_owned())
        })
    }
}

/// One segment of a route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text, in the form of [`canonical_path`].
    Literal(String),
    /// `*`: any one segment.
    One,
    /// `**`: any number of segments, none too; only as the last.
    Rest,
}

/// The paths that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

impl PathPattern {
    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments; none for `/`.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl Parsed for PathPattern {
    const SYNTAX: Syntax =
        Syntax::of::<Self>("a path, as /orders/*/lines or /api/**: * is one segment, ** the rest and only at the end")
            .matching("^/");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let rest = text.strip_prefix('/').ok_or(Refusal::Malformed)?;
        require(text.len() <= 1_024)?;
        let canonical = canonical_path(text, false).map_err(|_| Refusal::Malformed)?;
        if canonical != text {
            return Err(Refusal::Because(
                "is not spelt as canonical paths are, so that it could never match",
            ));
        }
        let parts: Vec<&str> = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split('/').collect()
        };
        let last = parts.len().saturating_sub(1);
        let segment = |(at, part): (usize, &&str)| match *part {
            "**" if at == last => Ok(Segment::Rest),
            "*" => Ok(Segment::One),
            part if part.is_empty() || part.contains('*') => Err(Refusal::Malformed),
            part => Ok(Segment::Literal(part.to_owned())),
        };
        let segments = parts.iter().enumerate().map(segment).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }
}

/// Whether a segment has nothing to decode: unreserved characters and delimiters (RFC 3986 section 3.3) but `;`, no dot segment.
fn is_literal(segment: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&b);
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_pattern_has_stars_for_whole_segments() {
        for good in [
            "/",
            "/**",
            "/api/**",
            "/orders/*/lines",
            "/a-b.c~d",
            "/caf%C3%A9",
            "/a%20b/**",
        ] {
            assert!(PathPattern::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", "api", "//", "/api/", "/api//x", "/./x", "/../x", "/**/x", "/a*", "/***", "/a;b", "/a%2Fb", "/a%2fb",
            "/%61", "/%c3%a9", "/a%", "/a%2", "/a\\b", "/a b", "/a?b", "/%00", "/é",
        ] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_pattern_is_everything_below_a_name_or_one_host() {
        assert_eq!(HostPattern::parse("*"), Ok(HostPattern::Any));
        assert_eq!(HostPattern::parse("*.a.b"), Ok(HostPattern::Below(".a.b".to_owned())));
        assert_eq!(HostPattern::parse("a.b"), Ok(HostPattern::Exact("a.b".to_owned())));
        for bad in ["", "A.b", "a.b:80", "a.b.", "*a.b", "a.*.b", "*.", "a/b"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_of_a_call_is_canonical() {
        for good in ["/auth/customer", "/api/v1/auth"] {
            assert!(UrlPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "auth", "/auth/", "//auth", "/auth/..", "/auth;x", "/a%41"] {
            assert!(UrlPath::parse(bad).is_err(), "{bad}");
        }
    }
}
