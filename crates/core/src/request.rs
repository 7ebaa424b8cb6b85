//! What the gate sees of a request: a few borrowed fields, read once by the web layer.

use crate::{
    name::TenantName,
    session::SessionId,
    token::{BearerToken, VerifiedClaims},
};

/// What the `Authorization` header holds, after the checks that frameworks leave open.
#[derive(Clone, Copy, Debug)]
pub enum HeaderCredential<'a> {
    /// No header, or one without any credential in it (`Authorization: Bearer`): nothing was presented.
    Absent,
    /// One bearer token, or several byte-identical ones.
    Bearer(BearerToken<'a>),
    /// Two different headers, or a list in one: which one counts cannot be told.
    Several,
    /// Something that is no bearer token: another scheme, odd bytes. It was presented, so nothing else may stand in for it.
    Malformed,
}

impl<'a> HeaderCredential<'a> {
    /// Reads the values of all `Authorization` headers of a request (RFC 9110 section 11.6.2, RFC 6750 section 2.1).
    #[must_use]
    pub fn read(values: &[&'a [u8]]) -> Self {
        let Some(first) = values.first() else {
            return Self::Absent;
        };
        if values.iter().any(|value| value != first) {
            return Self::Several;
        }
        let Ok(text) = std::str::from_utf8(first) else {
            return Self::Malformed;
        };
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() {
            return Self::Absent;
        }
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::Malformed;
        }
        Self::of_token(rest)
    }

    /// What follows the scheme `Bearer` and a space, as a parser of the header gives it.
    #[must_use]
    pub fn of_token(rest: &'a str) -> Self {
        // Spaces part scheme and token; a tab does not.
        let token = rest.trim_start_matches(' ').trim_end_matches([' ', '\t']);
        if token.is_empty() {
            return Self::Absent;
        }
        match BearerToken::new(token) {
            Ok(token) => Self::Bearer(token),
            Err(_) if token.contains(',') => Self::Several,
            Err(_) => Self::Malformed,
        }
    }
}

/// Which tenant a request asks about. Whatever it is, it proves nothing: the principal must belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskedTenant<'a> {
    /// About none: global rights alone count.
    #[default]
    None,
    /// About this one, by host, header or path.
    Named(&'a TenantName),
    /// About the one that its token was made for; about none, where that was made for none.
    Claimed,
}

impl<'a> AskedTenant<'a> {
    /// The tenant, for a token with these claims. A token that was made for a tenant is good in that one alone.
    ///
    /// # Errors
    /// The tenant that is asked about, where the token was made for another one.
    pub fn with(self, claims: &'a VerifiedClaims) -> Result<Option<&'a TenantName>, &'a TenantName> {
        match (self, &claims.tenant) {
            (Self::None, _) => Ok(None),
            (Self::Claimed, claimed) => Ok(claimed.as_ref()),
            (Self::Named(asked), Some(claimed)) if claimed != asked => Err(asked),
            (Self::Named(asked), _) => Ok(Some(asked)),
        }
    }
}

/// The parts of a request that a decision may rest on. Nothing else of a request picks guard, model, provider or tenant.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method, as received; case counts (RFC 9110 section 9.1).
    pub method: &'a str,
    /// The canonical path, by [`canonical_path`](crate::canonical_path), without the query.
    pub path: &'a str,
    /// The tenant that is asked about, by the configured source; it proves nothing.
    pub tenant: AskedTenant<'a>,
    /// The `Authorization` header.
    pub authorization: HeaderCredential<'a>,
    /// The values of all `Cookie` headers.
    pub cookies: &'a [&'a [u8]],
    /// The value of `Sec-Fetch-Site`, where there is exactly one.
    pub fetch_site: Option<&'a str>,
    /// The value of `X-CSRF-Token`, where there is exactly one.
    pub csrf_token: Option<&'a str>,
    /// The session whose security cookie was exchanged before the gate.
    pub secured: Option<SessionId>,
}

impl RequestHead<'_> {
    /// Whether the method changes nothing by its definition (RFC 9110 section 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// What a look for one cookie gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieLookup<'a> {
    /// There is none of that name, or it is empty.
    Absent,
    /// There is one value, possibly given several times alike.
    One(&'a str),
    /// There are two different values under the name.
    Several,
}

/// What stands for a value that is no text: it was presented, and is nobody's token.
const NO_TEXT: &str = "\u{FFFD}";

/// Looks for a cookie by its exact name (RFC 6265 section 4.2.1; the `__Host-` prefix counts case). The value is taken as it stands: quotes are
/// not removed and nothing is decoded; one that is not UTF-8 is given as U+FFFD. Bytes of another cookie hide none.
#[must_use]
pub fn cookie<'a>(headers: &[&'a [u8]], name: &str) -> CookieLookup<'a> {
    let mut found: Option<&'a [u8]> = None;
    for pair in headers.iter().flat_map(|header| header.split(|byte| *byte == b';')) {
        let start = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let value = pair
            .get(start..)
            .and_then(|pair| pair.strip_prefix(name.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"="))
            .filter(|value| !value.is_empty());
        match (value, found) {
            (None, _) => {}
            (Some(value), None) => found = Some(value),
            (Some(value), Some(other)) if other == value => {}
            (Some(_), Some(_)) => return CookieLookup::Several,
        }
    }
    found.map_or(CookieLookup::Absent, |value| {
        CookieLookup::One(std::str::from_utf8(value).unwrap_or(NO_TEXT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> String {
        let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        match HeaderCredential::read(&bytes) {
            HeaderCredential::Absent => "absent".to_owned(),
            HeaderCredential::Bearer(token) => token.expose().to_owned(),
            HeaderCredential::Several => "several".to_owned(),
            HeaderCredential::Malformed => "malformed".to_owned(),
        }
    }

    #[test]
    fn the_authorization_header_is_read_strictly() {
        assert_eq!(read(&[]), "absent");
        assert_eq!(read(&["Bearer a.b.c"]), "a.b.c");
        assert_eq!(read(&["bEARER  a.b.c"]), "a.b.c");
        assert_eq!(read(&["Bearer a", "Bearer a"]), "a");
        assert_eq!(read(&["Bearer a", "Bearer b"]), "several");
        assert_eq!(read(&["Bearer a, Bearer b"]), "several");
        assert_eq!(read(&["Bearer a,b"]), "several");
        for empty in ["", " ", "Bearer", "Bearer "] {
            assert_eq!(read(&[empty]), "absent", "{empty:?}");
        }
        for odd in [
            "Bearer a b",
            "Basic YTpi",
            "Bearer a=b",
            "Bearer {}",
            "Bearer\ta",
            "Bearer é",
            "a.b.c",
        ] {
            assert_eq!(read(&[odd]), "malformed", "{odd:?}");
        }
        assert_eq!(read(&[&format!("Bearer {}", "a".repeat(8 * 1024 + 1))]), "malformed");
    }

    #[test]
    fn a_cookie_is_found_by_its_exact_name_and_never_chosen_among_two() {
        let find = |headers: &[&'static str]| {
            let bytes: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
            cookie(&bytes, "__Host-x")
        };
        assert_eq!(find(&["a=1; __Host-x=t; b=2"]), CookieLookup::One("t"));
        assert_eq!(find(&["__Host-x=t; __Host-x=t", "__Host-x=t"]), CookieLookup::One("t"));
        assert_eq!(find(&["__Host-x=t; __Host-x=u"]), CookieLookup::Several);
        assert_eq!(find(&["__Host-x=t", "__Host-x=u"]), CookieLookup::Several);
        assert_eq!(find(&["__Host-x=\"t\""]), CookieLookup::One("\"t\""));
        for other in [
            "x=t",
            "__host-x=t",
            "__HOST-x=t",
            "__Host-x =t",
            "__Host-x=",
            "__Host-xy=t",
            "__Host-x",
        ] {
            assert_eq!(find(&[other]), CookieLookup::Absent, "{other}");
        }
    }
}
