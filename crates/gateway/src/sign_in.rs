//! Where a browser that is not signed in is sent, by the routes of the gateway and by the decision endpoints alike.
//!
//! 1. A browser is what asks for a page as a navigation: `Accept` has `text/html` and `Sec-Fetch-Mode` is `navigate`. Anything else is told 401, which it can handle.
//! 2. It is sent to the `sign_in_url` of the first of the route's guards that has one.
//! 3. `return_to` is the address that it asked for, and is left out unless its origin (scheme, host and port) is that of `server.public_url` or of one of that
//!    guard's `redirect_uris`. A host that merely has a route is not enough, since `*` is one.
//! 4. It is sent by 302 after GET and by 303 else, so that what it sent is not sent again.

use std::{collections::HashMap, fmt::Display};

use actix_web::http::{
    Method, StatusCode,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use bekci_core::{GuardName, RouteRule};

use crate::config::{
    percent_encoded,
    types::{Config, Origin},
};

/// Longer addresses are not given back: the page that is signed in at could not be asked for with them.
const MAX_RETURN: usize = 2_048;

/// The address that a browser asked for.
pub(crate) struct Wanted<'a> {
    /// `http` or `https`; `None` where nobody says.
    pub(crate) scheme: Option<&'static str>,
    /// With its port, where it has one.
    pub(crate) host: &'a dyn Display,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// The pages of all guards.
#[derive(Debug)]
pub(crate) struct SignInPages {
    pub(crate) own: Origin,
    pub(crate) pages: HashMap<GuardName, Page>,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: String,
    pub(crate) returns: Vec<Origin>,
}

impl SignInPages {
    pub(crate) fn new(config: &Config) -> Self {
        let own = config.server.public_url.clone();
        let page = |section: &crate::config::types::Guard| {
            let url = section.sign_in_url.as_ref()?.as_str();
            Some(Page {
                url: if url.starts_with('/') {
                    format!("{}{url}", own.as_str())
                } else {
                    url.to_owned()
                },
                returns: section
                    .redirect_uris
                    .iter()
                    .filter_map(|uri| Origin::of_url(uri.as_str()))
                    .collect(),
            })
        };
        let pages = config.guards.iter();
        let pages = pages.filter_map(|(name, section)| Some((name.clone(), page(section)?)));
        Self {
            pages: pages.collect(),
            own,
        }
    }

    /// The origin of an address; it has the scheme of `server.public_url` where nobody says which.
    pub(crate) fn origin_of(&self, wanted: &Wanted<'_>) -> Option<Origin> {
        let own = if self.own.is_https() { "https" } else { "http" };
        let scheme = wanted.scheme.unwrap_or(own);
        Origin::of_url(&format!("{scheme}://{}/", wanted.host))
    }

    /// Whether it is the gateway's own.
    pub(crate) fn is_own(&self, origin: &Origin) -> bool {
        *origin == self.own
    }

    /// The gateway's own origin.
    pub(crate) fn own(&self) -> &Origin {
        &self.own
    }

    /// Where a browser is sent that may not come in here; `None` where none of the guards has a page.
    pub(crate) fn location(&self, rule: &RouteRule, wanted: &Wanted<'_>) -> Option<HeaderValue> {
        let page = rule.guards.iter().find_map(|guard| self.pages.get(&guard.name))?;
        let (url, fragment) = page.url.split_once('#').unwrap_or((&page.url, ""));
        let mut location = url.to_owned();
        if let Some(back) = self.return_to(page, wanted) {
            location.push(if url.contains('?') { '&' } else { '?' });
            location.push_str("return_to=");
            location.push_str(&percent_encoded(&back));
        }
        if !fragment.is_empty() {
            location.push('#');
            location.push_str(fragment);
        }
        HeaderValue::try_from(location).ok()
    }

    fn return_to(&self, page: &Page, wanted: &Wanted<'_>) -> Option<String> {
        let origin = self.origin_of(wanted)?;
        if !self.is_own(&origin) && !page.returns.contains(&origin) {
            return None;
        }
        let mut address = format!("{}{}", origin.as_str(), wanted.path);
        if let Some(query) = wanted.query {
            address.push('?');
            address.push_str(query);
        }
        (address.len() <= MAX_RETURN).then_some(address)
    }
}

/// How a browser that asked by this method is sent to a page to read.
pub(crate) fn status_after(method: &Method) -> StatusCode {
    if *method == Method::GET {
        StatusCode::FOUND
    } else {
        StatusCode::SEE_OTHER
    }
}

/// Whether a browser asks for a page.
pub(crate) fn is_navigation(headers: &HeaderMap) -> bool {
    let mut modes = headers.get_all("sec-fetch-mode");
    let navigates = modes.next().is_some_and(|mode| mode == "navigate") && modes.next().is_none();
    let mut accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    navigates && accepted.any(|value| value.split(',').any(is_page))
}

fn is_page(item: &str) -> bool {
    let (kind, parameters) = item.split_once(';').unwrap_or((item, ""));
    let weight = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("q="));
    let is_refused = weight.is_some_and(|weight| weight.trim().parse().unwrap_or(0.0) <= 0.0);
    kind.trim().eq_ignore_ascii_case("text/html") && !is_refused
}
