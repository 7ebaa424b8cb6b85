//! Pieces of JSON Schema, as OpenAPI 3.1 has it.

use serde_json::{Map, Value, json};

fn fields(of: &[(&str, Value)]) -> Map<String, Value> {
    of.iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect()
}

/// What is answered: these fields, all of them, and no other.
pub(crate) fn exactly(of: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": fields(of), "required": required, "additionalProperties": false})
}

/// What is asked: these fields, some of them required, and no other.
pub(crate) fn among(required: &[&str], of: &[(&str, Value)]) -> Value {
    json!({"type": "object", "properties": fields(of), "required": required, "additionalProperties": false})
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

/// A text of so many characters that says something and has no control character.
pub(crate) fn line_of(least: u32, most: u32) -> Value {
    let plain = "\\u0000-\\u001f\\u007f-\\u009f";
    let said = format!("^[^{plain}]*[^\\s{plain}][^{plain}]*$");
    json!({"type": "string", "minLength": least, "maxLength": most, "pattern": said})
}

pub(crate) fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub(crate) fn truth() -> Value {
    json!({"type": "boolean"})
}

/// A whole number of so much at least.
pub(crate) fn number(least: i64) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": least})
}

/// RFC 3339, UTC.
pub(crate) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(crate) fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

pub(crate) fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// An object without a promise about its fields.
pub(crate) fn open() -> Value {
    json!({"type": "object"})
}

pub(crate) fn nothing() -> Value {
    json!({"type": "null"})
}

/// A page of a list.
pub(crate) fn page(of: Value) -> Value {
    exactly(&[("items", list(of)), ("next", or_null(text()))])
}

/// 128 bits, as session and token ids are written.
pub(crate) fn hex_id() -> Value {
    pattern("^[0-9a-f]{32}$")
}

/// `<model>:<id>`.
pub(crate) fn key() -> Value {
    pattern("^[a-z](_?[a-z0-9])*:[A-Za-z0-9_-]{1,64}$")
}

/// One of the guards that there are, as the document lists them.
pub(crate) fn guard() -> Value {
    json!({"$ref": "#/components/schemas/Guard"})
}

/// One of their models.
pub(crate) fn model() -> Value {
    json!({"$ref": "#/components/schemas/Model"})
}

/// An account of one of these models.
pub(crate) fn account() -> Value {
    json!({"$ref": "#/components/schemas/Account"})
}

/// The fields of an account that can be asked for.
pub(crate) fn account_fields() -> Value {
    json!({"$ref": "#/components/schemas/AccountFields"})
}

/// A guard's or a model's name.
pub(crate) fn name() -> Value {
    pattern("^[a-z](_?[a-z0-9])*$")
}

pub(crate) fn role() -> Value {
    pattern("^[a-z][a-z0-9_-]{0,63}$")
}

pub(crate) fn permission() -> Value {
    let segment = "[a-z][a-z0-9_-]{0,63}";
    let said = format!("^(\\*|{segment}(\\.{segment})*(\\.\\*)?)$");
    json!({"type": "string", "maxLength": 255, "pattern": said, "description": "Segments joined by dots; `*` only as the last.", "examples": ["orders.view", "orders.*"]})
}

pub(crate) fn tenant() -> Value {
    pattern("^[a-z0-9][a-z0-9-]{0,62}$")
}
