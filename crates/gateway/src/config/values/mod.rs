//! The types of single values: checked when they are made, so that what the gateway reads needs no second look.

pub(crate) mod names;
pub(crate) mod net;
pub(crate) mod pattern;
pub(crate) mod secret;
pub(crate) mod time;
pub(crate) mod url;

use std::path::PathBuf;

use super::schema::{Refusal, Syntax};

/// A type that is made from a text of a certain form.
pub(crate) trait Parsed: Sized {
    /// The form.
    const SYNTAX: Syntax;

    /// The value of a text.
    ///
    /// # Errors
    /// Why the text is not of the form.
    fn parse(text: &str) -> Result<Self, Refusal>;
}

impl Syntax {
    /// The form of a type; `what` completes "is not ...".
    pub(crate) const fn of<T: Parsed>(what: &'static str) -> Self {
        Self {
            what,
            choices: &[],
            pattern: None,
            or_empty: false,
            check: check::<T>,
        }
    }

    /// With a regular expression for the JSON Schema, that every text of the form matches.
    pub(crate) const fn matching(self, pattern: &'static str) -> Self {
        Self {
            pattern: Some(pattern),
            ..self
        }
    }
}

fn check<T: Parsed>(text: &str) -> Result<(), Refusal> {
    T::parse(text).map(drop)
}

impl Parsed for PathBuf {
    const SYNTAX: Syntax = Syntax::of::<Self>("a path");

    fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.contains('\0') {
            return Err(Refusal::Malformed);
        }
        Ok(text.into())
    }
}

/// Declares an enum whose values are written as words.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl $name {
            /// The word that stands for it in the configuration.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::config::values::Parsed for $name {
            const SYNTAX: $crate::config::schema::Syntax = $crate::config::schema::Syntax {
                choices: &[$($word),+],
                ..$crate::config::schema::Syntax::of::<Self>("a known word")
            };

            fn parse(text: &str) -> Result<Self, $crate::config::schema::Refusal> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::config::schema::Refusal::Malformed),
                }
            }
        }
    };
}

/// Declares a type that holds a text of a certain form.
macro_rules! text_type {
    (
        $(#[doc = $about:literal])+
        $name:ident: $what:literal, $pattern:expr, $is_good:expr
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(String);

        impl $name {
            /// The text.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl $crate::config::values::Parsed for $name {
            const SYNTAX: $crate::config::schema::Syntax = $crate::config::schema::Syntax {
                pattern: $pattern,
                ..$crate::config::schema::Syntax::of::<Self>($what)
            };

            fn parse(text: &str) -> Result<Self, $crate::config::schema::Refusal> {
                let check: fn(&str) -> Result<(), $crate::config::schema::Refusal> = $is_good;
                check(text).map(|()| Self(text.to_owned()))
            }
        }
    };
}

/// `Ok` where the condition holds.
pub(crate) fn require(condition: bool) -> Result<(), Refusal> {
    if condition { Ok(()) } else { Err(Refusal::Malformed) }
}

pub(crate) use {choice, text_type};
