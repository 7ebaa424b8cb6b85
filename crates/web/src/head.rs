//! Reads from an Actix request the few fields that a decision may rest on.
//!
//! 1. The path is made canonical, or there is no reading.
//! 2. `Authorization` is parsed by actix-web-httpauth, whose types handlers may use too, and what it parsed is held to core's strict rules. Its parser knows one
//!    spelling of the scheme; what it does not parse is read by core, whose rules are those of RFC 9110. Two parsers that disagree about a credential are how one of
//!    them is got round, so a test holds that both ways read the same.
//! 3. `Cookie` headers are handed on as bytes: Actix's cookie jar drops quotes and keeps the first of two.
//! 4. `Sec-Fetch-Site` and `X-CSRF-Token` count only where there is exactly one.

use std::borrow::Cow;

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue},
};
use actix_web_httpauth::headers::authorization::{Bearer, Scheme as _};
use bekci_core::{AskedTenant, BadPath, HeaderCredential, RequestHead, SessionId, canonical_path};
use smallvec::SmallVec;

use crate::respond::only;

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Among the extensions of a request: the session whose security cookie was exchanged before the gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secured(pub(crate) SessionId);

/// What was read of a request; a [`RequestHead`] borrows from it.
#[derive(Debug)]
pub struct Reading<'a> {
    method: &'a str,
    path: Cow<'a, str>,
    authorization: Authorization<'a>,
    cookies: SmallVec<[&'a [u8]; 2]>,
    fetch_site: Option<&'a str>,
    csrf_token: Option<&'a str>,
    secured: Option<SessionId>,
}

impl<'a> Reading<'a> {
    /// Reads method, path (without the query) and headers. A gateway that decides about another request than the one it got gives that one's.
    ///
    /// # Errors
    /// [`BadPath`] where the path has no canonical form.
    pub fn new(method: &'a str, path: &'a str, headers: &'a HeaderMap) -> Result<Self, BadPath> {
        Ok(Self {
            method,
            path: canonical_path(path, false)?,
            authorization: authorization(headers),
            cookies: headers.get_all(COOKIE).map(HeaderValue::as_bytes).collect(),
            fetch_site: only(headers, &FETCH_SITE),
            csrf_token: only(headers, &CSRF_TOKEN),
            secured: None,
        })
    }

    /// Reads a request as it stands.
    ///
    /// # Errors
    /// [`BadPath`] where the path has no canonical form.
    pub fn of(request: &'a HttpRequest) -> Result<Self, BadPath> {
        let reading = Self::new(request.method().as_str(), request.path(), request.headers())?;
        let secured = request.extensions().get::<Secured>().map(|secured| secured.0);
        Ok(reading.secured_by(secured))
    }

    /// The same request, of whose session the security cookie was exchanged.
    #[must_use]
    pub fn secured_by(mut self, session: Option<SessionId>) -> Self {
        self.secured = session;
        self
    }

    /// The same request with one more `Cookie` header.
    #[must_use]
    pub fn with_cookie<'b>(self, cookie: &'b HeaderValue) -> Reading<'b>
    where
        'a: 'b,
    {
        let cookies = self.cookies.iter().copied();
        Reading {
            method: self.method,
            path: self.path,
            authorization: self.authorization,
            cookies: cookies.chain([cookie.as_bytes()]).collect(),
            fetch_site: self.fetch_site,
            csrf_token: self.csrf_token,
            secured: self.secured,
        }
    }

    /// The canonical path: what is judged and what is to be forwarded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The head that the gate decides about, with the tenant that is asked about.
    #[must_use]
    pub fn head<'b>(&'b self, tenant: AskedTenant<'b>) -> RequestHead<'b> {
        RequestHead {
            method: self.method,
            path: &self.path,
            tenant,
            authorization: self.authorization.credential(),
            cookies: &self.cookies,
            fetch_site: self.fetch_site,
            csrf_token: self.csrf_token,
            secured: self.secured,
        }
    }
}

/// What the `Authorization` headers hold.
#[derive(Debug)]
enum Authorization<'a> {
    /// Parsed by actix-web-httpauth.
    Parsed(Bearer),
    /// None, several, or one that is not spelt as that parser knows it.
    Read(HeaderCredential<'a>),
}

impl Authorization<'_> {
    fn credential(&self) -> HeaderCredential<'_> {
        match self {
            Self::Parsed(bearer) => HeaderCredential::of_token(bearer.token()),
            Self::Read(credential) => *credential,
        }
    }
}

fn authorization(headers: &HeaderMap) -> Authorization<'_> {
    let mut values = headers.get_all(AUTHORIZATION);
    let Some(first) = values.next() else {
        return Authorization::Read(HeaderCredential::Absent);
    };
    if values.any(|value| value != first) {
        return Authorization::Read(HeaderCredential::Several);
    }
    match Bearer::parse(first) {
        Ok(bearer) => Authorization::Parsed(bearer),
        Err(_) => Authorization::Read(HeaderCredential::read(&[first.as_bytes()])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn authorization_of(values: &[&str]) -> String {
        let request = values.iter().fold(TestRequest::get(), |request, value| {
            request.append_header((AUTHORIZATION, *value))
        });
        let request = request.to_http_request();
        let reading = Reading::of(&request).unwrap();
        told(reading.head(AskedTenant::None).authorization)
    }

    fn told(credential: HeaderCredential<'_>) -> String {
        match credential {
            HeaderCredential::Bearer(token) => token.expose().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn two_different_headers_are_seen_as_two_and_not_as_the_first() {
        assert_eq!(authorization_of(&["Bearer a", "Bearer b"]), "Several");
        assert_eq!(authorization_of(&["Bearer a", "Bearer a"]), "a");
        assert_eq!(authorization_of(&["Bearer a, Bearer b"]), "Several");
        assert_eq!(authorization_of(&["bearer  a"]), "a");
        assert_eq!(authorization_of(&["Bearer  a"]), "a");
        assert_eq!(authorization_of(&["Basic a"]), "Malformed");
        assert_eq!(authorization_of(&["Bearer"]), "Absent");
    }

    /// Every header of up to five of these pieces: 66,429 of them.
    #[test]
    fn what_is_parsed_by_httpauth_is_what_core_reads() {
        const PIECES: [&str; 9] = ["Bearer", "bearer", "Basic", " ", "  ", "\t", "a.b-c", ",", "="];
        let mut texts = vec![String::new()];
        let (mut parsed, mut tokens) = (0, 0);
        for _ in 0..5 {
            let longer = |text: &String| PIECES.map(|piece| format!("{text}{piece}"));
            texts = texts.iter().flat_map(longer).collect();
            for text in &texts {
                let value = HeaderValue::from_str(text).unwrap();
                let by_core = HeaderCredential::read(&[value.as_bytes()]);
                let mut headers = HeaderMap::new();
                headers.insert(AUTHORIZATION, value.clone());
                let authorization = authorization(&headers);
                assert_eq!(told(authorization.credential()), told(by_core), "{text:?}");
                parsed += usize::from(matches!(authorization, Authorization::Parsed(_)));
                tokens += usize::from(matches!(by_core, HeaderCredential::Bearer(_)));
            }
        }
        assert!(
            parsed > 100 && tokens > 10,
            "{parsed} were parsed, {tokens} held a token"
        );
    }

    #[test]
    fn a_parsed_token_does_not_print() {
        let request = TestRequest::get()
            .insert_header((AUTHORIZATION, "Bearer secret.token"))
            .to_http_request();
        let reading = Reading::of(&request).unwrap();
        assert!(matches!(reading.authorization, Authorization::Parsed(_)));
        assert!(!format!("{reading:?}").contains("secret"), "{reading:?}");
    }

    #[test]
    fn a_header_that_stands_twice_says_nothing_about_origin() {
        let request = TestRequest::post()
            .append_header(("Sec-Fetch-Site", "same-origin"))
            .append_header(("Sec-Fetch-Site", "cross-site"))
            .append_header(("X-CSRF-Token", "a"))
            .to_http_request();
        let reading = Reading::of(&request).unwrap();
        let head = reading.head(AskedTenant::None);
        assert_eq!((head.fetch_site, head.csrf_token), (None, Some("a")));
    }

    #[test]
    fn the_path_is_canonical_and_without_its_query() {
        let request = TestRequest::with_uri("/%61dmin/x?y=..").to_http_request();
        assert_eq!(Reading::of(&request).unwrap().path(), "/admin/x");
        for bad in ["/a/../b", "/a//b", "/a%2fb", "/a;b"] {
            let request = TestRequest::with_uri(bad).to_http_request();
            assert!(Reading::of(&request).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_cookie_headers_are_handed_on_as_they_are() {
        let request = TestRequest::get()
            .append_header((COOKIE, "a=\"1\""))
            .append_header((COOKIE, "a=2"))
            .to_http_request();
        let reading = Reading::of(&request).unwrap();
        assert_eq!(reading.head(AskedTenant::None).cookies, [b"a=\"1\"".as_slice(), b"a=2"]);
    }
}
