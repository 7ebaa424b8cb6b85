//! Who is meant: a model, an id within it, and both together.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::name::{ModelName, NameError};

/// Of what kind the ids of a model are. It decides which spellings are canonical, so that one account has one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// A whole number from 0 to 2^63 - 1, in decimal without sign or leading zeros.
    Integer,
    /// A UUID in lower case with hyphens (RFC 9562 section 4).
    Uuid,
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    Text,
}

/// An id or key that is refused where it enters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id is not a canonical one of its model's kind.
    #[error("id {text} is not a canonical {kind:?} id")]
    Id {
        /// The text, shortened and escaped.
        text: String,
        /// What was expected.
        kind: IdKind,
    },
    /// There is no `:` between model and id.
    #[error("a principal key is <model>:<id>")]
    Shape,
    /// The part before the `:` is no model name.
    #[error(transparent)]
    Model(#[from] NameError),
}

/// The id of one account within its model, in canonical text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalId(Arc<str>);

impl PrincipalId {
    /// Takes an id in its canonical spelling.
    ///
    /// # Errors
    /// [`KeyError::Id`] for any other spelling: `01`, `+1`, an upper-case UUID, anything with a byte outside `[A-Za-z0-9_-]`.
    pub fn new(kind: IdKind, text: &str) -> Result<Self, KeyError> {
        let fits = match kind {
            IdKind::Integer => {
                let canonical = text == "0" || !text.starts_with('0');
                canonical
                    && text.len() <= 19
                    && text.bytes().all(|byte| byte.is_ascii_digit())
                    && text.parse::<i64>().is_ok()
            }
            IdKind::Uuid => is_canonical_uuid(text),
            IdKind::Text => is_text_id(text),
        };
        if fits {
            Ok(Self(text.into()))
        } else {
            let short: String = text.chars().take(40).collect();
            Err(KeyError::Id {
                text: format!("{short:?}"),
                kind,
            })
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_text_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// One account of one model: `customer:42`.
///
/// The mapping from (model, id) to text is injective, since neither part can hold a `:`; equal ids in two models never meet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalKey {
    text: Arc<str>,
    model_len: u8,
}

impl PrincipalKey {
    /// The key of an account.
    #[must_use]
    pub fn new(model: &ModelName, id: &PrincipalId) -> Self {
        let model_len = u8::try_from(model.as_str().len()).unwrap_or(u8::MAX);
        Self {
            text: format!("{model}:{id}").into(),
            model_len,
        }
    }

    /// Reads a key whose model's kind of id is not known here; the id must fit [`IdKind::Text`], which the other kinds do.
    ///
    /// # Errors
    /// [`KeyError`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (model, id) = text.split_once(':').ok_or(KeyError::Shape)?;
        Ok(Self::new(&ModelName::new(model)?, &PrincipalId::new(IdKind::Text, id)?))
    }

    /// The whole key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The model's part.
    #[must_use]
    pub fn model(&self) -> &str {
        self.text.get(..usize::from(self.model_len)).unwrap_or_default()
    }

    /// The id's part.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text.get(usize::from(self.model_len) + 1..).unwrap_or_default()
    }
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for PrincipalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

impl TryFrom<String> for PrincipalKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for PrincipalKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl From<PrincipalKey> for String {
    fn from(key: PrincipalKey) -> String {
        key.text.as_ref().to_owned()
    }
}

/// What Bekci needs to know of a model: where its accounts stand and which of their columns mean what. Made by `#[derive(AuthModel)]` or
/// from a `[models.<name>]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The model's name, the first part of its principals' keys.
    pub name: ModelName,
    /// The table of its accounts.
    pub table: String,
    /// The column of the id.
    pub id_column: String,
    /// The kind of that id.
    pub id_kind: IdKind,
    /// The columns that one can sign in with; `true`: case does not count.
    pub identifiers: Vec<(String, bool)>,
    /// The column of the password hash, if accounts can have one.
    pub password_column: Option<String>,
    /// The column of the status, if there is one.
    pub status_column: Option<String>,
    /// The column that is not null once the address is verified.
    pub verified_column: Option<String>,
    /// The column of the tenant, where an account belongs to one.
    pub tenant_column: Option<String>,
    /// The columns that are part of the cached identity.
    pub cached_attributes: Vec<String>,
    /// The values of the status column that ban.
    pub banned_statuses: Vec<String>,
    /// The values of the status column that let in; [`ANY_STATUS`]: every one that does not ban. What is in neither list keeps out, since it may be a misspelt ban.
    pub active_statuses: Vec<String>,
    /// Which rows of the table are accounts; `None`: all. A row that is none does not exist for Bekci, as where it is marked as deleted.
    pub filter: Option<RowFilter>,
}

/// Which rows are accounts: those whose column has a value. Written as `deleted_at:null` or `is_deleted:false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFilter {
    column: String,
    value: Option<String>,
}

/// A text that is no filter of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a filter is a column and its value, as deleted_at:null or is_deleted:false; a value has 1 to 64 of A-Z a-z 0-9 _ -"
)]
pub struct RowFilterError;

impl RowFilter {
    /// The column.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The value as text; `None`: NULL. It has letters, digits, `_` and `-` alone.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl std::str::FromStr for RowFilter {
    type Err = RowFilterError;

    fn from_str(text: &str) -> Result<Self, RowFilterError> {
        let (column, value) = text.rsplit_once(':').ok_or(RowFilterError)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=64).contains(&value.len()) && value.bytes().all(is_plain);
        if column.is_empty() || !fits {
            return Err(RowFilterError);
        }
        Ok(Self {
            column: column.to_owned(),
            value: (!value.eq_ignore_ascii_case("null")).then(|| value.to_owned()),
        })
    }
}

/// In [`ModelSpec::active_statuses`]: every status that does not ban lets in.
pub const ANY_STATUS: &str = "*";

impl ModelSpec {
    /// A model with the usual column names (`id`, `email`, `password_hash`, `status`, `email_verified_at`) and integer ids.
    #[must_use]
    pub fn new(name: ModelName, table: &str) -> Self {
        Self {
            name,
            table: table.to_owned(),
            id_column: "id".to_owned(),
            id_kind: IdKind::Integer,
            identifiers: vec![("email".to_owned(), false)],
            password_column: Some("password_hash".to_owned()),
            status_column: Some("status".to_owned()),
            verified_column: Some("email_verified_at".to_owned()),
            tenant_column: None,
            cached_attributes: vec!["email".to_owned(), "name".to_owned()],
            banned_statuses: vec!["banned".to_owned(), "suspended".to_owned()],
            active_statuses: vec!["active".to_owned()],
            filter: None,
        }
    }

    /// Whether a status bans.
    #[must_use]
    pub fn bans(&self, status: &str) -> bool {
        self.banned_statuses.iter().any(|banned| banned == status)
    }

    /// Whether a status lets in: it does not ban, and is one of `active_statuses`.
    #[must_use]
    pub fn lets_in(&self, status: &str) -> bool {
        !self.bans(status)
            && self
                .active_statuses
                .iter()
                .any(|active| active == status || active == ANY_STATUS)
    }

    /// Whether a status neither bans nor lets in: nobody knows what it means. An account without a status is none of these.
    #[must_use]
    pub fn is_unknown(&self, status: &str) -> bool {
        !self.bans(status) && !self.lets_in(status)
    }

    /// The identifier that is an e-mail address: the column `email`, else the one whose name has `mail` in it. `None`: its accounts cannot be sent mails.
    #[must_use]
    pub fn address_column(&self) -> Option<&str> {
        let names = || self.identifiers.iter().map(|(name, _)| name.as_str());
        let exact = names().find(|name| name.eq_ignore_ascii_case("email"));
        exact.or_else(|| names().find(|name| name.to_ascii_lowercase().contains("mail")))
    }

    /// The columns whose change is a change of the identity: key, status, verified, tenant, filter, identifiers, cached attributes; each once.
    #[must_use]
    pub fn watched_columns(&self) -> Vec<&str> {
        let single = [
            Some(&self.id_column),
            self.status_column.as_ref(),
            self.verified_column.as_ref(),
            self.tenant_column.as_ref(),
            self.filter.as_ref().map(|filter| &filter.column),
        ];
        let mut columns: Vec<&str> = Vec::new();
        let lists = self
            .identifiers
            .iter()
            .map(|(column, _)| column)
            .chain(&self.cached_attributes);
        for column in single.into_iter().flatten().chain(lists) {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        columns
    }

    /// The key of the account with this id.
    ///
    /// # Errors
    /// [`KeyError::Id`] where the id is not canonical for the model's kind.
    pub fn key(&self, id: &str) -> Result<PrincipalKey, KeyError> {
        Ok(PrincipalKey::new(&self.name, &PrincipalId::new(self.id_kind, id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_column_and_a_plain_value() {
        let read = |text: &str| {
            let filter: RowFilter = text.parse()?;
            Ok((filter.column, filter.value))
        };
        assert_eq!(read("deleted_at:null"), Ok(("deleted_at".to_owned(), None)));
        assert_eq!(
            read("is_deleted:false"),
            Ok(("is_deleted".to_owned(), Some("false".to_owned())))
        );
        for odd in ["", "deleted_at", ":null", "deleted_at:", "a:b c", "a:'b'", "a:b\\"] {
            assert_eq!(read(odd), Err(RowFilterError), "{odd:?}");
        }
    }

    #[test]
    fn ids_that_are_not_canonical_are_refused() {
        let refused = [
            "",
            "01",
            "+1",
            "1.0",
            " 1",
            "1 ",
            "1\u{0}",
            "１",
            "1e0",
            "0x1",
            "-1",
            "9223372036854775808",
            "1:roles",
            "*",
            "a",
        ];
        for text in refused {
            assert!(PrincipalId::new(IdKind::Integer, text).is_err(), "{text:?}");
        }
        for text in ["0", "1", "42", "9223372036854775807"] {
            assert!(PrincipalId::new(IdKind::Integer, text).is_ok(), "{text:?}");
        }
        let good = "0b0c1f3e-94b6-4d0a-9d8e-0d1d5f9a1b2c";
        assert!(PrincipalId::new(IdKind::Uuid, good).is_ok());
        let spellings = [
            good.to_uppercase(),
            format!("{{{good}}}"),
            format!("urn:uuid:{good}"),
            good.replace('-', ""),
        ];
        for text in spellings {
            assert!(PrincipalId::new(IdKind::Uuid, &text).is_err(), "{text:?}");
        }
        let long = "x".repeat(65);
        for text in [
            "",
            "1:roles",
            "1}",
            "{admin}:1",
            "*",
            "?",
            "[a]",
            "1\nadmin:1",
            "../admin:1",
            "admin:1",
            "a\u{0}",
            "\u{202e}a",
            &long,
        ] {
            assert!(PrincipalId::new(IdKind::Text, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_reads_back_as_its_model_and_id() {
        let key = PrincipalKey::parse("back_office:a-b_1").unwrap();
        assert_eq!((key.model(), key.id()), ("back_office", "a-b_1"));
        assert_eq!(PrincipalKey::parse(key.as_str()).unwrap(), key);
        for bad in ["", ":", "a:", ":1", "a", "a:b:1", "A:1", "a::1"] {
            assert!(PrincipalKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_that_no_list_has_neither_bans_nor_lets_in() {
        let mut spec = ModelSpec::new(ModelName::new("customer").unwrap(), "customers");
        for (status, bans, lets_in) in [
            ("active", false, true),
            ("banned", true, false),
            ("suspended", true, false),
            ("bannd", false, false),
            ("Active", false, false),
            ("", false, false),
        ] {
            assert_eq!((spec.bans(status), spec.lets_in(status)), (bans, lets_in), "{status:?}");
            assert_eq!(spec.is_unknown(status), !bans && !lets_in, "{status:?}");
        }
        spec.active_statuses = vec![ANY_STATUS.to_owned()];
        assert!(spec.lets_in("bannd") && !spec.lets_in("banned"));
    }

    #[test]
    fn equal_ids_in_two_models_have_two_keys() {
        assert_ne!(
            PrincipalKey::parse("admin:1").unwrap(),
            PrincipalKey::parse("customer:1").unwrap()
        );
    }
}
