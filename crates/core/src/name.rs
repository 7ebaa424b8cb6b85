//! Checked names. A value of one of these types has passed the grammar of its kind, wherever it came from.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A name that its grammar refuses. The offending text is kept, shortened and escaped, for messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text} is not valid: {rule}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl NameError {
    pub(crate) fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        let short: String = text.chars().take(40).collect();
        Self {
            kind,
            text: format!("{short:?}"),
            rule,
        }
    }
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `[a-z](_?[a-z0-9])*`, at most 32 bytes: so that a name can stand in a cookie name, a header and a key without escaping.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let starts = bytes.first().is_some_and(u8::is_ascii_lowercase);
    let inner = bytes.iter().all(|byte| is_lower_or_digit(*byte) || *byte == b'_');
    starts && inner && text.len() <= 32 && !text.contains("__") && !text.ends_with('_')
}

/// `[a-z][a-z0-9_-]{0,63}`.
fn is_right_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.len() <= 64
        && bytes
            .iter()
            .all(|byte| is_lower_or_digit(*byte) || matches!(byte, b'_' | b'-'))
}

/// `[a-z0-9][a-z0-9-]{0,62}`.
fn is_tenant(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| is_lower_or_digit(*byte))
        && bytes.len() <= 63
        && bytes.iter().all(|byte| is_lower_or_digit(*byte) || *byte == b'-')
}

/// Segments of [`is_right_segment`] joined by `.`, where the last may be `*`; `*` alone is everything. At most 255 bytes.
fn is_permission(text: &str) -> bool {
    if text.is_empty() || text.len() > 255 {
        return false;
    }
    let (head, last) = text
        .rsplit_once('.')
        .map_or((None, text), |(head, last)| (Some(head), last));
    let head_fits = head.is_none_or(|head| head.split('.').all(is_right_segment));
    head_fits && (last == "*" || is_right_segment(last))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text against the grammar.
            ///
            /// # Errors
            /// [`NameError`], with the rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(NameError::new($kind, text, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A kind of account: `admin`, `customer`.
    ModelName, "model name", is_word, "lower-case letters and digits, single `_` between them, at most 32"
);
name!(
    /// A way in: `admin`, `customer`, `kiosk`.
    GuardName, "guard name", is_word, "lower-case letters and digits, single `_` between them, at most 32"
);
name!(
    /// An identity provider: `google`, `acme`.
    IdpName, "identity provider name", is_word, "lower-case letters and digits, single `_` between them, at most 32"
);

impl IdpName {
    /// `google`.
    pub(crate) fn google() -> Self {
        Self("google".into())
    }
}

name!(
    /// A role within a guard: `support`, `super-admin`.
    RoleName, "role", is_right_segment, "a lower-case letter, then up to 63 of a-z, 0-9, `_`, `-`"
);
name!(
    /// The customer organisation that a request asks about (casbin's domain).
    TenantName, "tenant", is_tenant, "up to 63 of a-z, 0-9, `-`, not beginning with `-`"
);
name!(
    /// A permission, or a pattern of permissions: `orders.view`, `orders.*`, `*`. The wildcard stands only as the last segment.
    Permission, "permission", is_permission,
    "segments of a-z, 0-9, `_`, `-` that begin with a letter, joined by `.`; `*` only as the last one"
);

impl Permission {
    /// Whether holding `self` means holding all of `asked`: they are equal, or `self` ends in `*` and what stands before it begins `asked`.
    /// `orders.*` covers `orders.view`, `orders.items.view` and `orders.*`; it does not cover `orders`.
    #[must_use]
    pub fn covers(&self, asked: &Permission) -> bool {
        match self.as_str().strip_suffix('*') {
            Some(prefix) => asked.as_str().starts_with(prefix),
            None => self == asked,
        }
    }

    /// Whether a denial of `self` touches `asked`: either covers the other. Asking for `orders.*` is refused where `orders.delete` is denied.
    #[must_use]
    pub fn overlaps(&self, asked: &Permission) -> bool {
        self.covers(asked) || asked.covers(self)
    }

    /// The texts that, when held, cover this permission: itself, then each wildcard above it, up to `*`.
    pub fn covering(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let text = self.as_str();
        let stem = text.strip_suffix(".*").unwrap_or(text);
        let wildcards = stem
            .rmatch_indices('.')
            .map(move |(at, _)| format!("{}.*", stem.get(..at).unwrap_or_default()).into())
            .chain(std::iter::once("*".into()));
        let own = (text != "*").then(|| text.into());
        own.into_iter().chain(wildcards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_their_grammar_are_refused() {
        for bad in ["", "a__b", "_a", "a_", "A", "a:b", "1a", "a b", "é", &"a".repeat(33)] {
            assert!(ModelName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "Support", "-a", "role:super", "*", &"a".repeat(65)] {
            assert!(RoleName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "-a", "a_b", "A", "a.b", &"a".repeat(64)] {
            assert!(TenantName::new(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            " ",
            "orders.%",
            "*.view",
            "orders.*.view",
            "orders..view",
            ".view",
            "orders.",
            "Orders.view",
        ] {
            assert!(Permission::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_wildcard_covers_what_lies_below_it_and_nothing_else() {
        let permission = |text| Permission::new(text).unwrap();
        assert!(permission("*").covers(&permission("orders.view")));
        assert!(permission("orders.*").covers(&permission("orders.items.view")));
        assert!(permission("orders.*").covers(&permission("orders.*")));
        assert!(!permission("orders.*").covers(&permission("orders")));
        assert!(!permission("orders.*").covers(&permission("ordersx.view")));
        assert!(!permission("orders.view").covers(&permission("orders.*")));
        assert!(permission("orders.view").overlaps(&permission("orders.*")));
    }

    #[test]
    fn covering_lists_exactly_the_texts_that_cover() {
        let list = |text| {
            Permission::new(text)
                .unwrap()
                .covering()
                .map(|c| c.into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(list("a.b.c"), ["a.b.c", "a.b.*", "a.*", "*"]);
        assert_eq!(list("a.*"), ["a.*", "*"]);
        assert_eq!(list("a"), ["a", "*"]);
        assert_eq!(list("*"), ["*"]);
        for held in ["a.b.c", "a.b.*", "a.*", "*", "a", "a.b", "b.*"] {
            for asked in ["a.b.c", "a.*", "a", "*", "a.b.*", "b.x"] {
                let (held, asked) = (Permission::new(held).unwrap(), Permission::new(asked).unwrap());
                assert_eq!(
                    held.covers(&asked),
                    asked.covering().any(|c| c == held.as_str()),
                    "{held} {asked}"
                );
            }
        }
    }
}
