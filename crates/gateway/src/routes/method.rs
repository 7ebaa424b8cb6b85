//! The methods that routes can be for.

use std::fmt;

use actix_web::http::Method;

/// A method that a route can be for. The text of any other is refused before a route is looked for: what a policy judges must be what an upstream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`, also the one that opens a WebSocket (RFC 6455 section 4.1).
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH` (RFC 5789).
    Patch,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
}

/// A method that no route can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerb {
    /// `TRACE`, `TRACK` or `CONNECT`: known, and never served, since they give away or go round what a gateway is for.
    NeverServed,
    /// Not known here. Case counts (RFC 9110 section 9.1): `get` is none of ours.
    Unknown,
}

impl Verb {
    const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
    ];

    /// The method as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// The verb of a request's method.
    ///
    /// # Errors
    /// [`NoVerb`] for every method that no route can be for.
    pub fn of(method: &Method) -> Result<Self, NoVerb> {
        match *method {
            Method::GET => Ok(Self::Get),
            Method::HEAD => Ok(Self::Head),
            Method::POST => Ok(Self::Post),
            Method::PUT => Ok(Self::Put),
            Method::PATCH => Ok(Self::Patch),
            Method::DELETE => Ok(Self::Delete),
            Method::OPTIONS => Ok(Self::Options),
            Method::TRACE | Method::CONNECT => Err(NoVerb::NeverServed),
            ref other if other.as_str() == "TRACK" => Err(NoVerb::NeverServed),
            _ => Err(NoVerb::Unknown),
        }
    }

    /// The verb of this name in a route's settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == name)
    }

    /// All of them, as the `Allow` header lists them.
    #[must_use]
    pub fn allow() -> &'static str {
        "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of verbs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct VerbSet(u8);

impl VerbSet {
    pub(super) fn all() -> Self {
        Self(Verb::ALL.into_iter().fold(0, |bits, verb| bits | verb.bit()))
    }

    pub(super) fn with(self, verb: Verb) -> Self {
        Self(self.0 | verb.bit())
    }

    pub(super) fn has(self, verb: Verb) -> bool {
        self.0 & verb.bit() != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for VerbSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Verb::ALL
            .into_iter()
            .filter(|verb| self.has(*verb))
            .map(Verb::as_str)
            .collect();
        formatter.write_str(&names.join(", "))
    }
}

impl fmt::Debug for VerbSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_apart_by_case_and_the_dangerous_ones_by_name() {
        let of = |name: &str| Verb::of(&Method::from_bytes(name.as_bytes()).unwrap());
        for verb in Verb::ALL {
            assert_eq!(of(verb.as_str()), Ok(verb));
            assert_eq!(Verb::named(verb.as_str()), Some(verb));
        }
        for name in ["TRACE", "CONNECT", "TRACK"] {
            assert_eq!(of(name), Err(NoVerb::NeverServed), "{name}");
        }
        for name in ["get", "Get", "GETX", "PROPFIND", "trace"] {
            assert_eq!(of(name), Err(NoVerb::Unknown), "{name}");
        }
    }

    #[test]
    fn the_allow_header_lists_what_can_be_routed() {
        assert_eq!(VerbSet::all().to_string(), Verb::allow());
    }
}
