//! Which requests open a WebSocket (RFC 6455 section 4.2.1). No other upgrade is ever tunnelled: an `h2c` tunnel would carry requests that nobody judges.

use actix_web::http::{
    Method, Version,
    header::{self, HeaderMap, HeaderName},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::error::ProxyError;

/// Whether the request asks for a WebSocket.
///
/// # Errors
/// [`ProxyError::Malformed`] where it names the protocol and does not ask by the rules. It may not pass as a plain request, since a server in front or behind could
/// take what follows for the tunnel's bytes.
pub(super) fn is_asked_for(method: &Method, version: Version, headers: &HeaderMap) -> Result<bool, ProxyError> {
    if !elements(headers, &header::UPGRADE).any(|element| element.eq_ignore_ascii_case("websocket")) {
        return Ok(false);
    }
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name);
        let first = values.next().filter(|_| values.next().is_none());
        first.and_then(|value| value.to_str().ok())
    };
    let key = only(header::SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    let by_the_rules = method == Method::GET
        && version == Version::HTTP_11
        && only(header::UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
        && elements(headers, &header::CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
        && only(header::SEC_WEBSOCKET_VERSION) == Some("13")
        && key.is_some_and(|key| key.len() == 16)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if by_the_rules {
        Ok(true)
    } else {
        Err(ProxyError::Malformed("it asks for a WebSocket and breaks its rules"))
    }
}

/// Refuses a WebSocket that a page of another origin opens: browsers send their cookies along and let the page read what comes back. Only browsers send
/// `Origin`. `Authorization` changes nothing, whatever it holds: a browser that remembers credentials of HTTP Basic adds it by itself.
///
/// # Errors
/// [`ProxyError::CrossSite`].
pub(super) fn check_origin(headers: &HeaderMap, own_origin: &str) -> Result<(), ProxyError> {
    let is_own = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(own_origin.as_bytes());
    if headers.get_all(header::ORIGIN).all(is_own) {
        Ok(())
    } else {
        Err(ProxyError::CrossSite)
    }
}

fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(name.clone()).filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn asked(method: Method, version: Version, lines: &[(&'static str, &'static str)]) -> Result<bool, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_asked_for(&method, version, &headers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_websocket_is_asked_for_by_all_of_the_rules() {
        assert_eq!(asked(Method::GET, Version::HTTP_11, &GOOD), Ok(true));
        assert!(asked(Method::POST, Version::HTTP_11, &GOOD).is_err());
        assert!(asked(Method::GET, Version::HTTP_10, &GOOD).is_err());
        for missing in [0, 2, 3] {
            let mut lines = GOOD.to_vec();
            lines.remove(missing);
            assert!(asked(Method::GET, Version::HTTP_11, &lines).is_err(), "{missing}");
        }
        for more in [
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            let lines = [&GOOD[..], &[more]].concat();
            assert!(asked(Method::GET, Version::HTTP_11, &lines).is_err(), "{more:?}");
        }
    }

    #[test]
    fn no_other_upgrade_is_a_websocket() {
        for upgrade in ["h2c", "websockets", "tls/1.0", ""] {
            let lines = [("connection", "upgrade"), ("upgrade", upgrade)];
            assert_eq!(asked(Method::GET, Version::HTTP_11, &lines), Ok(false), "{upgrade}");
        }
        assert_eq!(asked(Method::GET, Version::HTTP_11, &[]), Ok(false));
    }

    #[test]
    fn a_page_of_another_origin_cannot_use_the_browsers_cookies() {
        let check = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            check_origin(&headers, "https://gw.test").is_ok()
        };
        assert!(check(&[]));
        assert!(check(&[("origin", "https://gw.test")]));
        for authorization in ["Bearer x", "Basic YTpi", "junk", ""] {
            let lines = [("origin", "https://evil"), ("authorization", authorization)];
            assert!(!check(&lines), "{authorization:?}");
        }
        for evil in ["https://evil", "null", "http://gw.test", "https://gw.test.evil", ""] {
            assert!(!check(&[("origin", evil)]), "{evil}");
        }
        assert!(!check(&[("origin", "https://gw.test"), ("origin", "https://evil")]));
    }
}
