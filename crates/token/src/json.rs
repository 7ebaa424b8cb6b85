//! JSON of which nothing can be read in two ways: member names once, whole numbers whole, nesting bounded.
//!
//! The text itself is read by serde_json (UTF-8 alone, no byte order mark, no lone surrogate, nothing after the end). What it leaves open is decided here: a name
//! that stands twice in an object, in whatever spelling, is refused at every level (RFC 7515 section 4, RFC 7519 section 4).

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The members of an object.
pub(crate) type Members = BTreeMap<String, Json>;

/// A value, as far as anything is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Text(String),
    /// Written without fraction, exponent or `-0`, and within 64 bits.
    Integer(i128),
    Object(Members),
    /// Null, a boolean, an array, any other number.
    Other,
}

/// Reads one object. `None`: it is not one, or breaks a rule of this module.
pub(crate) fn object(bytes: &[u8], max_depth: usize) -> Option<Members> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Node(max_depth).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Json::Object(members) => Some(members),
        Json::Text(_) | Json::Integer(_) | Json::Other => None,
    }
}

/// Whether brackets nest no deeper than this. Cheap enough to be asked of what is not yet believed.
pub(crate) fn nests_within(bytes: &[u8], max_depth: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max_depth {
            return false;
        }
    }
    true
}

/// A value that may nest this deep.
struct Node(usize);

impl Node {
    fn below<E: Error>(&self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        while values.next_element_seed(self.below()?)?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members = Members::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.below()?)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &[u8]) -> bool {
        object(text, 3).is_some()
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_in_every_spelling_and_at_every_level() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"alg":1,"\u0061lg":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
        ] {
            assert!(!accepts(text.as_bytes()), "{text}");
        }
        assert!(accepts(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#));
    }

    #[test]
    fn what_is_not_one_object_in_utf_8_is_refused() {
        let refused: [&[u8]; 12] = [
            b"",
            b"1",
            b"[]",
            b"null",
            b"\"a\"",
            b"{",
            b"{} {}",
            b"{}x",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\0\"\0a\0\"\0:\x001\0}\0",
            br#"{"a":"\ud800"}"#,
        ];
        for text in refused {
            assert!(!accepts(text), "{text:?}");
        }
        assert!(accepts(b" {} \n"));
    }

    #[test]
    fn nesting_is_bounded_alike_in_both_ways_of_asking() {
        for (text, fits) in [
            (r#"{"a":[[1]]}"#, true),
            (r#"{"a":[[[1]]]}"#, false),
            (r#"{"a":"[[[[[[\"[["}"#, true),
            (r#"{"a":"\\","b":[[[]]]}"#, false),
        ] {
            assert_eq!(accepts(text.as_bytes()), fits, "{text}");
            assert_eq!(nests_within(text.as_bytes(), 3), fits, "{text}");
        }
        assert!(!accepts("{\"a\":".repeat(100_000).as_bytes()));
    }

    #[test]
    fn only_whole_numbers_within_64_bits_are_integers() {
        let number =
            |text: &str| object(format!("{{\"n\":{text}}}").as_bytes(), 3).map(|mut members| members.remove("n"));
        for (text, value) in [("0", 0), ("-1", -1), ("18446744073709551615", i128::from(u64::MAX))] {
            assert_eq!(number(text), Some(Some(Json::Integer(value))), "{text}");
        }
        for text in [
            "-0",
            "1.0",
            "1e3",
            "1e300",
            "18446744073709551616",
            "-9223372036854775809",
            "true",
            "null",
            "[1]",
        ] {
            assert_eq!(number(text), Some(Some(Json::Other)), "{text}");
        }
        for text in ["01", "+1", "1.", ".1", "0x1", "NaN", "1e999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
