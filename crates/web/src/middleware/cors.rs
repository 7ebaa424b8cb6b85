//! Pages of other origins: which of them may call, and read what is answered (Fetch standard, section 3.3).
//!
//! 1. An origin is compared whole, byte by byte. `null`, which any sandboxed page can be, and a second `Origin` header are none that is known.
//! 2. A preflight is answered here, alike for every path: before anything is matched, so that it tells nothing of what a route asks, and reaches no upstream. An origin
//!    that is not known gets the same answer without a permission in it.
//! 3. Every other request goes its way. A permission stands in its answer if its origin is known; what somebody further in, as an upstream, says about origins is taken
//!    out, so that there is one word on it.
//! 4. An answer differs by origin, and says so by `Vary`, whatever the request was.
//! 5. Who asks for another (the decision endpoints) is answered for what it asks: nothing of this happens there.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
        },
    },
};

use crate::respond::only;

/// What is taken out of answers of somebody further in.
const OF_OTHERS: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// Pages of which origins may call, and with what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CorsSettings {
    /// Their origins as browsers send them: `https://app.example.com`, in small letters, without a default port.
    pub origins: Vec<String>,
    /// What they may call with.
    pub methods: Vec<String>,
    /// Which headers they may send, beside those that the Fetch standard always allows.
    pub headers: Vec<String>,
    /// Which headers of answers they may read, beside those that the Fetch standard always shows.
    pub exposed_headers: Vec<String>,
    /// Whether they may call with cookies.
    pub credentials: bool,
    /// How long a browser may keep the answer to its question.
    pub max_age: Duration,
}

impl CorsSettings {
    /// For these origins, with what the configuration of the gateway has as defaults.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            origins: origins.into_iter().map(Into::into).collect(),
            methods: owned(&["GET", "HEAD", "POST"]),
            headers: owned(&["authorization", "content-type"]),
            exposed_headers: owned(&["retry-after", "x-request-id"]),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }
}

/// Why settings are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCors {
    /// It is no origin, or not spelt as browsers do.
    #[error("{0:?} is not an origin as browsers send it, such as https://app.example.com")]
    Origin(String),
    /// It is no method that a page may call with.
    #[error("{0:?} is not a method that pages can be allowed")]
    Method(String),
    /// It is no header that pages can be allowed to send or to read.
    #[error("{0:?} is not a header that pages can be allowed")]
    Header(String),
}

/// Which pages of other origins may call. Cheap to clone.
///
/// ```
/// use bekci::{Cors, CorsSettings};
///
/// let mut settings = CorsSettings::new(["https://app.example.com"]);
/// settings.credentials = true;
/// assert!(Cors::new(settings).is_ok());
/// assert!(Cors::new(CorsSettings::new(["*"])).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Cors(Arc<Rules>);

#[derive(Clone, Debug)]
struct Rules {
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: HeaderValue,
    credentials: bool,
    except: Vec<String>,
}

/// What a request says about its origin, for its answer.
#[derive(Debug)]
pub(crate) struct Asking {
    cors: Cors,
    /// Its origin, if it is known.
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Cors {
    /// With these settings.
    ///
    /// # Errors
    /// [`BadCors`] for an origin, a method or a header that cannot be allowed.
    pub fn new(settings: CorsSettings) -> Result<Self, BadCors> {
        let origins = settings.origins.into_iter().map(origin).collect::<Result<_, _>>()?;
        for method in &settings.methods {
            Self::check_method(method)?;
        }
        for header in settings.headers.iter().chain(&settings.exposed_headers) {
            Self::check_header(header)?;
        }
        // Checked names alone are in these, so that they are good values.
        let listed = |names: &[String]| {
            let text = names.join(", ");
            HeaderValue::from_str(&text).map_err(|_| BadCors::Header(text))
        };
        Ok(Self(Arc::new(Rules {
            origins,
            methods: listed(&settings.methods)?,
            headers: listed(&settings.headers)?,
            exposed: listed(&settings.exposed_headers)?,
            max_age: HeaderValue::from(settings.max_age.as_secs()),
            credentials: settings.credentials,
            except: Vec::new(),
        })))
    }

    /// Not at these paths and below them: whoever asks there asks about somebody else's request.
    #[must_use]
    pub fn except(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut rules = Arc::unwrap_or_clone(self.0);
        rules.except = paths.into_iter().map(Into::into).collect();
        Self(Arc::new(rules))
    }

    /// Whether pages can be allowed to call with this method: not `*`, and none that browsers never send (Fetch standard, forbidden methods).
    ///
    /// # Errors
    /// [`BadCors::Method`].
    pub fn check_method(name: &str) -> Result<(), BadCors> {
        let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
        match is_word && !matches!(name, "CONNECT" | "TRACE" | "TRACK") {
            true => Ok(()),
            false => Err(BadCors::Method(name.to_owned())),
        }
    }

    /// Whether pages can be allowed to send or read this header: not `*`, and none by which proxies and Bekci tell upstreams who acts or whence a request comes, in
    /// whatever spelling.
    ///
    /// # Errors
    /// [`BadCors::Header`].
    pub fn check_header(name: &str) -> Result<(), BadCors> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        let fold = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let folded: String = name.chars().map(fold).collect();
        let told_by_proxies = ["x-auth-", "x-forwarded-", "x-authentik-", "x-original-", "remote-"];
        let is_kept = told_by_proxies.iter().any(|start| folded.starts_with(start))
            || matches!(
                &*folded,
                "x-auth" | "forwarded" | "x-real-ip" | "cookie" | "set-cookie" | "host" | "origin"
            );
        match !name.is_empty() && name.bytes().all(is_token) && !is_kept {
            true => Ok(()),
            false => Err(BadCors::Header(name.to_owned())),
        }
    }

    /// What a request asks; `None` where nothing of this concerns it.
    pub(crate) fn ask(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Asking> {
        let is_below = |parent: &String| {
            let rest = path.strip_prefix(parent.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.0.except.iter().any(is_below) {
            return None;
        }
        let sent = only(headers, &ORIGIN);
        let known = self
            .0
            .origins
            .iter()
            .find(|known| sent.is_some_and(|sent| *known == sent));
        Some(Asking {
            cors: self.clone(),
            origin: known.cloned(),
            is_preflight: *method == Method::OPTIONS
                && headers.contains_key(ORIGIN)
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        })
    }
}

impl Asking {
    /// The answer to a preflight.
    pub(crate) fn preflight(&self) -> Option<HttpResponse> {
        if !self.is_preflight {
            return None;
        }
        let rules = &self.cors.0;
        let mut answer = HttpResponse::NoContent();
        if self.origin.is_some() {
            answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, rules.methods.clone()));
            answer.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, rules.headers.clone()));
            answer.insert_header((ACCESS_CONTROL_MAX_AGE, rules.max_age.clone()));
        }
        Some(answer.finish())
    }

    /// Says in an answer who may read it.
    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        let rules = &self.cors.0;
        if !self.is_preflight {
            for name in OF_OTHERS {
                headers.remove(name);
            }
        }
        let says_so = headers
            .get_all(VARY)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"));
        if !says_so {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = &self.origin else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if rules.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if !self.is_preflight && !rules.exposed.is_empty() {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, rules.exposed.clone());
        }
    }
}

/// Scheme, host and port as in an `Origin` header, and nothing else.
fn origin(text: String) -> Result<HeaderValue, BadCors> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let has_default_port =
        text.starts_with("https://") && text.ends_with(":443") || text.starts_with("http://") && text.ends_with(":80");
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(is_plain) && !has_default_port => {
            HeaderValue::from_str(&text).map_err(|_| BadCors::Origin(text))
        }
        _ => Err(BadCors::Origin(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_as_browsers_send_it() {
        for good in [
            "https://a.b",
            "http://127.0.0.1:3000",
            "http://[::1]:8080",
            "https://xn--bek-1oa.test:8443",
        ] {
            assert!(Cors::new(CorsSettings::new([good])).is_ok(), "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "a.b",
            "https://",
            "https://*.a.b",
            "https://A.b",
            "https://a.b/",
            "https://a.b:443",
            "http://a.b:80",
            "https://u@a.b",
            "ftp://a.b",
            "https://a.b, https://c.d",
        ] {
            let refused = Cors::new(CorsSettings::new([bad])).unwrap_err();
            assert_eq!(refused, BadCors::Origin(bad.to_owned()));
        }
    }

    #[test]
    fn no_header_that_says_who_acts_can_be_allowed_in_any_spelling() {
        for good in [
            "authorization",
            "content-type",
            "X-CSRF-Token",
            "x-authenticity",
            "if-match",
        ] {
            assert_eq!(Cors::check_header(good), Ok(()), "{good}");
        }
        for bad in [
            "*",
            "",
            "x y",
            "x-auth-id",
            "X-Auth-Id",
            "X_AUTH_ROLES",
            "x.auth.key",
            "x-auth",
            "X-Forwarded-For",
            "Forwarded",
            "Remote-User",
            "X-authentik-username",
            "X-Original-URL",
            "cookie",
        ] {
            assert_eq!(Cors::check_header(bad), Err(BadCors::Header(bad.to_owned())));
        }
    }

    #[test]
    fn a_method_is_a_word_that_browsers_send() {
        for good in ["GET", "DELETE", "PATCH", "QUERY"] {
            assert_eq!(Cors::check_method(good), Ok(()));
        }
        for bad in ["*", "", "get", "TRACE", "CONNECT", "A-B"] {
            assert_eq!(Cors::check_method(bad), Err(BadCors::Method(bad.to_owned())));
        }
    }

    #[test]
    fn an_answer_that_differs_by_more_than_origin_keeps_what_it_says() {
        let cors = Cors::new(CorsSettings::new(["https://a.b"])).unwrap();
        let asking = cors.ask(&Method::GET, "/", &HeaderMap::new()).unwrap();
        for (before, after) in [
            (&[][..], &["Origin"][..]),
            (&["Accept"], &["Accept", "Origin"]),
            (&["accept, ORIGIN"], &["accept, ORIGIN"]),
            (&["*"], &["*"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append(VARY, HeaderValue::from_static(value));
            }
            asking.dress(&mut headers);
            let told: Vec<_> = headers.get_all(VARY).map(|value| value.to_str().unwrap()).collect();
            assert_eq!(told, after);
        }
    }
}
