//! The body of an account: fields by column, and what each must be like.

use std::fmt;

use bekci_core::{ErrorCode, ModelSpec, TenantName};
use bekci_signin::{Identifier, SignInError};
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::respond::Refusal;

const MAX_ATTRIBUTE_CHARS: usize = 1_000;

/// The fields as they stand. Not to be printed: one of them may be a password.
pub(crate) struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // A reader that keeps the last of two and one that keeps the first must not see two accounts.
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("duplicate field `{}`", name.escape_debug())));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// What is asked for an account.
pub(crate) struct Wanted {
    pub(crate) columns: Vec<(String, Value)>,
    pub(super) password: Option<SecretString>,
    pub(super) verified: Option<bool>,
    /// The identifiers among the columns.
    pub(super) identifiers: Vec<String>,
    /// Whether the tenant is among the columns.
    pub(super) tenant: bool,
}

impl Wanted {
    /// Whether it could let somebody else sign in to the account.
    pub(super) fn credentials(&self) -> bool {
        self.password.is_some() || self.verified.is_some() || !self.identifiers.is_empty()
    }
}

/// What a field of an account is.
enum Role {
    Password,
    Verified,
    Tenant(String),
    Identifier,
    Attribute,
}

fn role(spec: &ModelSpec, name: &str) -> Option<Role> {
    let is = |column: &Option<String>| column.as_deref() == Some(name);
    let named = |list: &[String]| list.iter().any(|column| column == name);
    match &spec.tenant_column {
        Some(column) if column == name || name == "tenant" => return Some(Role::Tenant(column.clone())),
        _ => {}
    }
    if name == "password" && spec.password_column.is_some() {
        return Some(Role::Password);
    }
    if name == "verified" && spec.verified_column.is_some() {
        return Some(Role::Verified);
    }
    let decides = [&spec.status_column, &spec.password_column, &spec.verified_column];
    if name == spec.id_column || decides.into_iter().any(is) {
        return None;
    }
    if spec.identifiers.iter().any(|(column, _)| column == name) {
        return Some(Role::Identifier);
    }
    named(&spec.cached_attributes).then_some(Role::Attribute)
}

impl Fields {
    /// The columns that a row sets.
    pub(crate) fn of_row(columns: Vec<(String, Value)>) -> Self {
        Self(columns)
    }

    /// Checks each field by what it is in the model.
    pub(crate) fn read(self, spec: &ModelSpec) -> Result<Wanted, Refusal> {
        let mut wanted = Wanted {
            columns: Vec::new(),
            password: None,
            verified: None,
            identifiers: Vec::new(),
            tenant: false,
        };
        let mut faults = Map::new();
        for (name, value) in self.0 {
            let Some(role) = role(spec, &name) else {
                let unasked = Refusal::new(ErrorCode::MalformedRequest, "a field that nobody asked for");
                return Err(unasked.detail("unexpected", name));
            };
            if let Err(rule) = wanted.take(&name, role, value) {
                faults.insert(name, rule.into());
            }
        }
        if faults.is_empty() {
            Ok(wanted)
        } else {
            Err(
                Refusal::new(ErrorCode::ValidationFailed, "a field of the account is not good")
                    .detail("fields", Value::Object(faults)),
            )
        }
    }
}

impl Wanted {
    fn take(&mut self, name: &str, role: Role, value: Value) -> Result<(), &'static str> {
        match (role, value) {
            (Role::Password, Value::String(text)) => self.password = Some(text.into()),
            (Role::Verified, Value::Bool(verified)) => self.verified = Some(verified),
            (Role::Verified, _) => return Err("must be true or false"),
            (Role::Tenant(column), value) => {
                let fits = match &value {
                    Value::Null => true,
                    Value::String(text) => TenantName::new(text).is_ok(),
                    _ => false,
                };
                if !fits || self.tenant {
                    return Err("must be one tenant's name, or null");
                }
                self.tenant = true;
                self.columns.push((column, value));
            }
            (Role::Identifier, Value::String(text)) => {
                let identifier = Identifier::new(&text).map_err(|error| match error {
                    SignInError::Field { rule, .. } => rule,
                    _ => "is no identifier",
                })?;
                self.columns.push((name.to_owned(), identifier.as_str().into()));
                self.identifiers.push(name.to_owned());
            }
            (Role::Attribute, value) => {
                attribute(&value)?;
                self.columns.push((name.to_owned(), value));
            }
            (Role::Password | Role::Identifier, _) => return Err("must be a text"),
        }
        Ok(())
    }
}

fn attribute(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.chars().count() > MAX_ATTRIBUTE_CHARS => Err("must have at most 1000 characters"),
        Value::String(text) if text.chars().any(char::is_control) => Err("must not have control characters"),
        Value::String(_) => Ok(()),
        Value::Array(_) | Value::Object(_) => Err("must be a text, a number, true, false or null"),
    }
}
