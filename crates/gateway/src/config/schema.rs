//! How the one table of settings is written: kinds of values, their defaults and what they are for.
//!
//! Each section is declared once, by `settings!`. From that declaration come the struct that the gateway reads, the
//! check of a file, the typed environment variables, `config show`, the JSON Schema and the reference in the documentation.

use std::collections::BTreeMap;

use super::tree::{Node, Value};
use super::values::Parsed;
use super::values::secret::SecretRule;

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// What it means, in lines.
    pub(crate) doc: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What holds where nobody gave it.
    pub(crate) fallback: Fallback,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer(Bounds),
    /// A text of a certain form; may be `{ env = "NAME" }`.
    Text(Syntax),
    /// A secret: a text, `{ file = ".." }` or `{ env = ".." }`.
    Secret(&'static SecretRule),
    /// A list, of at least so many elements, each once.
    List {
        /// What each element takes.
        of: &'static Kind,
        /// The least number of elements.
        at_least: usize,
    },
    /// A table with keys of the user's choice.
    Map {
        /// The form of a key.
        key: Syntax,
        /// What each key takes.
        of: &'static Kind,
    },
    /// A table with known keys.
    Table(&'static [Key]),
    /// A list of tables, each with an `id` of its own.
    Array(&'static [Key]),
    /// A text, or a table in its place.
    Either {
        /// What the text takes.
        text: &'static Kind,
        /// The keys of the table.
        table: &'static [Key],
    },
}

/// The numbers that a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The least.
    pub(crate) min: i64,
    /// The greatest.
    pub(crate) max: i64,
    /// Whether 0 is taken beside, as "off" or "none".
    pub(crate) or_zero: bool,
}

/// The form of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syntax {
    /// What it is, as it completes "is not ...": `an address and port, as 127.0.0.1:8080`.
    pub(crate) what: &'static str,
    /// The only texts taken, where they are a short list.
    pub(crate) choices: &'static [&'static str],
    /// A regular expression that every good text matches, for the JSON Schema.
    pub(crate) pattern: Option<&'static str>,
    /// Whether the empty text is taken, as "none".
    pub(crate) or_empty: bool,
    /// Refuses what is not of the form.
    pub(crate) check: fn(&str) -> Result<(), Refusal>,
}

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not of the form.
    Malformed,
    /// It is of the form, and yet; completes the sentence that begins with the text.
    Because(&'static str),
}

/// What holds where nobody gave a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fallback {
    /// Nothing: it has to be given.
    Required,
    /// It may be left out, and nothing stands in for it.
    Absent,
    /// This value, as TOML.
    Toml(&'static str),
    /// What follows from other keys.
    Computed {
        /// The value in words.
        says: &'static str,
        /// The value.
        value: fn(&Facts) -> Value,
    },
}

/// What computed defaults follow from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `server.public_url`.
    pub(crate) public_url: String,
    /// Whether the database is SQLite, which one process owns.
    pub(crate) is_sqlite: bool,
    /// The name of the section that is being read, as `customer` in `[guards.customer]`.
    pub(crate) name: String,
}

/// A type that a key's value is read into.
pub(crate) trait Setting: Sized {
    /// What the key takes, where the declaration says nothing else.
    const KIND: Kind;

    /// The typed value of a node that was checked against the kind; nothing where the check refused it.
    fn read(node: &Node) -> Option<Self>;

    /// The typed value where the key is left out.
    fn absent() -> Option<Self> {
        None
    }
}

/// Numbers from `min` to `max`.
pub(crate) const fn range(min: i64, max: i64) -> Kind {
    Kind::Integer(Bounds {
        min,
        max,
        or_zero: false,
    })
}

/// Numbers from `min` to `max`, or 0.
pub(crate) const fn zero_or(min: i64, max: i64) -> Kind {
    Kind::Integer(Bounds {
        min,
        max,
        or_zero: true,
    })
}

/// A list of at least one element.
pub(crate) const fn some<T: Setting>() -> Kind {
    Kind::List {
        of: &T::KIND,
        at_least: 1,
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;

    fn read(node: &Node) -> Option<Self> {
        match node.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }
}

/// The number of a node, where it has one that fits.
pub(crate) fn number<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    match node.value {
        Value::Integer(number) => T::try_from(number).ok(),
        _ => None,
    }
}

macro_rules! unsigned {
    ($($type:ty),+) => { $(
        impl Setting for $type {
            const KIND: Kind = range(0, <$type>::MAX as i64);

            fn read(node: &Node) -> Option<Self> {
                number(node)
            }
        }
    )+ };
}
unsigned!(u16, u32);

impl<T: Parsed> Setting for T {
    const KIND: Kind = Kind::Text(T::SYNTAX);

    fn read(node: &Node) -> Option<Self> {
        node.text().and_then(|text| T::parse(text).ok())
    }
}

impl<T: Parsed> Setting for Option<T> {
    const KIND: Kind = Kind::Text(Syntax {
        or_empty: true,
        ..T::SYNTAX
    });

    fn read(node: &Node) -> Option<Self> {
        match node.text()? {
            "" => Some(None),
            text => T::parse(text).ok().map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List {
        of: &T::KIND,
        at_least: 0,
    };

    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(items.iter().filter_map(T::read).collect()),
            _ => None,
        }
    }
}

impl<K: Parsed + Ord, V: Setting> Setting for BTreeMap<K, V> {
    const KIND: Kind = Kind::Map {
        key: K::SYNTAX,
        of: &V::KIND,
    };

    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Table(entries) => {
                let typed = |key: &str, node| Some((K::parse(key).ok()?, V::read(node)?));
                Some(
                    entries
                        .iter()
                        .filter_map(|entry| typed(&entry.key, &entry.node))
                        .collect(),
                )
            }
            _ => None,
        }
    }
}

/// Reads a key of a checked table.
pub(crate) fn read_key<T: Setting>(table: &Node, key: &str) -> Option<T> {
    table.get(key).map_or_else(T::absent, T::read)
}

/// Declares a section: the struct and its rows in the table of settings.
///
/// Each row is `name: Type = fallback;`, or `name: Type [kind] = fallback;` where the type alone does not say what is taken.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty $([$kind:expr])? = $fallback:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $key: $type, )+
        }

        impl $name {
            /// The rows of this section in the table of settings.
            pub(crate) const KEYS: &'static [$crate::config::schema::Key] = &[$(
                $crate::config::schema::Key {
                    name: stringify!($key),
                    doc: concat!($($doc, "\n"),+),
                    kind: $crate::config::schema::kind_of!($type $(, $kind)?),
                    fallback: $fallback,
                },
            )+];
        }

        impl $crate::config::schema::Setting for $name {
            const KIND: $crate::config::schema::Kind = $crate::config::schema::Kind::Table(Self::KEYS);

            fn read(node: &$crate::config::tree::Node) -> Option<Self> {
                $( let $key = $crate::config::schema::read_key::<$type>(node, stringify!($key)); )+
                Some(Self { $( $key: $key?, )+ })
            }
        }
    };
}

macro_rules! kind_of {
    ($type:ty) => {
        <$type as $crate::config::schema::Setting>::KIND
    };
    ($type:ty, $kind:expr) => {
        $kind
    };
}

pub(crate) use {kind_of, settings};
