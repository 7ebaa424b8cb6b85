//! What the document says of accounts, by the models that there are.

use bekci_core::ModelSpec;
use serde_json::{Map, Value, json};

use super::schema::{line_of, or_null, pattern, tenant, truth};

/// `<model>:<id>` of one of these models.
pub(super) fn key<'a>(models: impl Iterator<Item = &'a str>) -> Value {
    let models: Vec<&str> = models.collect();
    pattern(&format!("^({}):[A-Za-z0-9_-]{{1,64}}$", models.join("|")))
}

/// What can be asked for an account: every field that one of these models has.
pub(super) fn fields<'a>(models: impl Iterator<Item = &'a ModelSpec>) -> Value {
    let mut fields = Map::new();
    for model in models {
        for attribute in &model.cached_attributes {
            fields.entry(attribute.clone()).or_insert_with(self::attribute);
        }
        for (identifier, _) in &model.identifiers {
            fields.insert(identifier.clone(), line_of(1, 320));
        }
        if model.password_column.is_some() {
            fields.insert("password".to_owned(), json!({"type": "string", "format": "password"}));
        }
        if model.verified_column.is_some() {
            fields.insert("verified".to_owned(), truth());
        }
        if let Some(column) = &model.tenant_column {
            fields.insert(column.clone(), or_null(tenant()));
            fields.insert("tenant".to_owned(), or_null(tenant()));
        }
    }
    json!({
        "type": "object",
        "description": "The model's identifiers and attributes by column, beside what every model may have. A field that the model does not have is refused.",
        "properties": fields,
        "additionalProperties": false,
    })
}

fn attribute() -> Value {
    json!({
        "type": ["string", "number", "boolean", "null"],
        "maxLength": 1000,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    })
}

#[cfg(test)]
mod tests {
    use bekci_core::ModelName;

    use super::*;

    fn model(name: &str) -> ModelSpec {
        ModelSpec::new(ModelName::new(name).unwrap(), name)
    }

    #[test]
    fn a_field_is_there_where_one_of_the_models_has_it() {
        let mut partner = model("partner");
        partner.identifiers = vec![("login".to_owned(), false)];
        partner.cached_attributes = vec!["points".to_owned()];
        partner.tenant_column = Some("firm".to_owned());
        let fields = fields([&model("admin"), &partner].into_iter());
        let mut names: Vec<&str> = fields["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "email", "firm", "login", "name", "password", "points", "tenant", "verified"
            ]
        );
    }

    #[test]
    fn a_key_is_one_of_the_models() {
        let key = key(["admin", "customer"].into_iter());
        assert_eq!(key["pattern"], "^(admin|customer):[A-Za-z0-9_-]{1,64}$");
    }
}
