//! The JSON Schema of the configuration file (draft 2020-12), for editors that check and complete TOML.

use serde_json::{Map, Value as Json, json};

use super::schema::{Bounds, Fallback, Key, Kind, Syntax};
use super::sections::Config;
use super::tree::{self, Node, Value};
use super::{Place, reference};

/// The schema.
pub(super) fn generate() -> Json {
    let mut schema = of_table(Config::KEYS);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".to_owned(), json!("The configuration of Bekci"));
        schema.insert(
            "$defs".to_owned(),
            json!({ "env": reference_to("env"), "file": reference_to("file") }),
        );
    }
    schema
}

fn reference_to(source: &str) -> Json {
    json!({
        "type": "object",
        "properties": { source: { "type": "string", "minLength": 1 } },
        "required": [source],
        "additionalProperties": false,
    })
}

fn of_table(keys: &[Key]) -> Json {
    let properties: Map<String, Json> = keys.iter().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| matches!(key.fallback, Fallback::Required))
        .map(|key| key.name)
        .collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(table), false) = (table.as_object_mut(), required.is_empty()) {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

fn of_key(key: &Key) -> Json {
    let mut schema = of_kind(&key.kind);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(reference::sentence(key.doc)));
        if let Fallback::Toml(text) = key.fallback
            && let Ok(node) = tree::parse_value(text, &Place::BuiltIn)
            && !matches!(key.kind, Kind::Table(_) | Kind::Array(_))
        {
            schema.insert("default".to_owned(), json_of(&node));
        }
    }
    schema
}

fn json_of(node: &Node) -> Json {
    match &node.value {
        Value::Bool(flag) => json!(flag),
        Value::Integer(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Table(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json_of(&entry.node)))
            .collect(),
        Value::Secret(_) | Value::Foreign(_) => Json::Null,
    }
}

fn of_kind(kind: &Kind) -> Json {
    match kind {
        Kind::Bool => json!({ "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/env" }] }),
        Kind::Integer(Bounds {
            min,
            max,
            or_zero: false,
        }) => json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, { "$ref": "#/$defs/env" }] }),
        Kind::Integer(Bounds {
            min,
            max,
            or_zero: true,
        }) => {
            json!({ "anyOf": [{ "const": 0 }, { "type": "integer", "minimum": min, "maximum": max }, { "$ref": "#/$defs/env" }] })
        }
        Kind::Text(syntax) => json!({ "anyOf": [of_text(syntax), { "$ref": "#/$defs/env" }] }),
        Kind::Secret(_) => {
            json!({ "anyOf": [{ "type": "string", "minLength": 1 }, { "$ref": "#/$defs/file" }, { "$ref": "#/$defs/env" }] })
        }
        Kind::List { of, at_least } => {
            json!({ "type": "array", "items": of_kind(of), "minItems": at_least, "uniqueItems": true })
        }
        Kind::Map { key, of } => {
            json!({ "type": "object", "propertyNames": of_text(key), "additionalProperties": of_kind(of) })
        }
        Kind::Table(keys) => of_table(keys),
        Kind::Array(keys) => json!({ "type": "array", "items": of_table(keys) }),
        Kind::Either { text, table } => json!({ "anyOf": [of_kind(text), of_table(table)] }),
    }
}

fn of_text(syntax: &Syntax) -> Json {
    let mut schema = Map::from_iter([("type".to_owned(), json!("string"))]);
    if !syntax.choices.is_empty() {
        schema.insert("enum".to_owned(), json!(syntax.choices));
    }
    if let Some(pattern) = syntax.pattern {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
    if syntax.or_empty {
        return json!({ "anyOf": [schema, { "const": "" }] });
    }
    Json::Object(schema)
}
