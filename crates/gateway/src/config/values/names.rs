//! Names: of guards, models, providers, roles, permissions, columns.

use bekci_core::{ErrorCode, GuardName, IdKind, ModelName, Permission, PrincipalId, RoleName, RowFilter, TenantName};

use super::{Parsed, choice, require, text_type};
use crate::config::schema::{Refusal, Syntax};

/// Names whose grammar is core's.
macro_rules! core_name {
    ($type:ty: $what:literal, $pattern:literal) => {
        impl Parsed for $type {
            const SYNTAX: Syntax = Syntax::of::<Self>($what).matching($pattern);

            fn parse(text: &str) -> Result<Self, Refusal> {
                Self::new(text).map_err(|_| Refusal::Malformed)
            }
        }
    };
}

core_name! {
    GuardName: "a guard's name: small letters and digits, single _ between, 32 at most", "^[a-z](_?[a-z0-9])*$"
}
core_name! {
    ModelName: "a model's name: small letters and digits, single _ between, 32 at most", "^[a-z](_?[a-z0-9])*$"
}
core_name! {
    RoleName: "a role: a small letter, then small letters, digits, _ and -, 64 at most", "^[a-z][a-z0-9_-]{0,63}$"
}
core_name! {
    Permission: "a permission: words joined by dots, as orders.view; * only as the last",
    "^([a-z][a-z0-9_-]{0,63}\\.)*([a-z][a-z0-9_-]{0,63}|\\*)$"
}

core_name! {
    TenantName: "a tenant: small letters, digits and -, 63 at most", "^[a-z0-9][a-z0-9-]{0,62}$"
}

text_type! {
    /// The id of an account that a file describes.
    AccountId: "an id: 1 to 64 of A-Z a-z 0-9 _ -", Some("^[A-Za-z0-9_-]{1,64}$"), |text| require(PrincipalId::new(IdKind::Text, text).is_ok())
}

text_type! {
    /// What is entered to sign in, as it is compared.
    LoginName: "an identifier: 1 to 320 characters, none of control, no space at its ends", None,
    |text| require(bekci_signin::Identifier::new(text).is_ok_and(|trimmed| trimmed.as_str() == text))
}

text_type! {
    /// The name of a provider, identity provider or client: small letters and digits with single underscores between.
    Name: "a name: small letters and digits, single _ between, 32 at most", Some("^[a-z](_?[a-z0-9])*$"), |text| require(ModelName::new(text).is_ok())
}

text_type! {
    /// What an access token is for: the `aud` claim.
    Audience: "an audience: 1 to 128 printable ASCII characters without spaces", None,
    |text| require((1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()))
}

text_type! {
    /// The id of a route.
    RouteId: "an id: small letters, digits and -, 63 at most", Some("^[a-z0-9][a-z0-9-]{0,62}$"),
    |text| require(text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')))
}

text_type! {
    /// The name of a table, with its schema before a dot where it has one.
    TableName: "a table's name, as customers or shop.customers", None,
    |text| require(text.split('.').count() <= 2 && text.split('.').all(is_sql_name))
}

text_type! {
    /// The name of a column. Names that begin with `__` are kept for Bekci.
    Column: "a column's name: letters, digits and _", None, is_column
}

text_type! {
    /// An attribute of an account, or the name of a claim that carries one.
    ClaimName: "the name of a claim", None, is_claim
}

text_type! {
    /// A status of an account, as the table holds it.
    Status: "a status: 1 to 64 characters, none of control", None,
    |text| require((1..=64).contains(&text.len()) && !text.chars().any(char::is_control))
}

text_type! {
    /// One of the calls below a guard's `auth_path`, as `token/refresh`.
    Call: "a call, as logout-all or token/refresh", Some("^[a-z][a-z-]*(/[a-z-]+)*$"),
    |text| require(text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('/').all(|part| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-'))))
}

/// A code of an answer, as `TOKEN_EXPIRED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageCode(pub(crate) ErrorCode);

impl Parsed for MessageCode {
    const SYNTAX: Syntax = Syntax {
        choices: ErrorCode::TEXTS,
        ..Syntax::of::<Self>("a code of an answer, as TOKEN_EXPIRED")
    };

    fn parse(text: &str) -> Result<Self, Refusal> {
        ErrorCode::by_text(text).map(Self).ok_or(Refusal::Malformed)
    }
}

choice! {
    /// A language that answers are written in.
    Language {
        /// English.
        English = "en",
        /// Turkish.
        Turkish = "tr",
    }
}

text_type! {
    /// A sentence of an answer, in place of a built-in one.
    Message: "a message: 1 to 500 bytes of text without control characters, line separators and marks of direction", None,
    |text| require(bekci::Messages::check(text).is_ok())
}

text_type! {
    /// A text for people.
    Sentence: "a text without control characters, 500 at most", None,
    |text| require((1..=500).contains(&text.len()) && !text.chars().any(char::is_control))
}

text_type! {
    /// A scope or another word of OAuth 2.0 (RFC 6749 section 3.3).
    Scope: "a scope: printable ASCII without space, \" and \\", None,
    |text| require(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'))
}

text_type! {
    /// What every key in Redis begins with.
    RedisPrefix: "a prefix: no braces, spaces or control characters, 64 at most", Some("^[^\\s{}]{0,64}$"),
    |text| require(text.len() <= 64 && !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '{' || c == '}'))
}

/// A role or a permission, where either will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    /// The text as a role, where it can be one.
    pub(crate) role: Option<RoleName>,
    /// The text as a permission.
    pub(crate) permission: Permission,
}

impl Parsed for Right {
    // Every role is a permission of one word as well.
    const SYNTAX: Syntax = Syntax {
        what: "a role or a permission",
        ..Permission::SYNTAX
    };

    fn parse(text: &str) -> Result<Self, Refusal> {
        Ok(Self {
            role: RoleName::new(text).ok(),
            permission: Permission::parse(text)?,
        })
    }
}

/// A column that one can sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier {
    /// The column.
    pub(crate) column: Column,
    /// Whether `A@b.c` and `a@b.c` are one.
    pub(crate) ignores_case: bool,
}

impl Parsed for Identifier {
    const SYNTAX: Syntax = Syntax::of::<Self>("a column, as email, or email:nocase where case does not count");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let plain = text.strip_suffix(":nocase");
        Ok(Self {
            column: Column::parse(plain.unwrap_or(text))?,
            ignores_case: plain.is_some(),
        })
    }
}

/// Which rows of a table are accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(pub(crate) RowFilter);

impl Parsed for Filter {
    const SYNTAX: Syntax =
        Syntax::of::<Self>("a column and its value, as deleted_at:null or is_deleted:false; empty for all rows");

    fn parse(text: &str) -> Result<Self, Refusal> {
        let filter: RowFilter = text.parse().map_err(|_| Refusal::Malformed)?;
        Column::parse(filter.column())?;
        Ok(Self(filter))
    }
}

fn is_sql_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_column(text: &str) -> Result<(), Refusal> {
    require(is_sql_name(text))?;
    if text.starts_with("__") {
        return Err(Refusal::Because(
            "begins with __, which is kept for Bekci's own attributes",
        ));
    }
    Ok(())
}

/// The claims that Bekci makes itself, or that RFC 7519, RFC 7800 and RFC 9068 give a meaning.
const OWN_CLAIMS: [&str; 22] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "gen",
    "ver",
    "guard",
    "model",
    "tenant",
    "client_id",
    "scope",
    "roles",
    "permissions",
    "groups",
    "entitlements",
    "auth_time",
    "acr",
    "cnf",
];

fn is_claim(text: &str) -> Result<(), Refusal> {
    require((1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'))?;
    if OWN_CLAIMS.contains(&text) {
        return Err(Refusal::Because("is a claim with a meaning of its own"));
    }
    if text.starts_with("__") {
        return Err(Refusal::Because(
            "begins with __, which is kept for Bekci's own attributes",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_small_letters_digits_and_single_underscores() {
        for good in ["a", "customer", "shop_admin", "a1_2b"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1a",
            "_a",
            "a_",
            "a__b",
            "Customer",
            "a-b",
            "müşteri",
            "a b",
            &"a".repeat(33),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_right_of_one_word_may_be_a_role() {
        assert!(Right::parse("support").is_ok_and(|right| right.role.is_some()));
        assert!(Right::parse("orders.view").is_ok_and(|right| right.role.is_none()));
        assert!(Right::parse("*.view").is_err());
    }

    #[test]
    fn a_claim_cannot_shadow_one_that_decides() {
        assert!(ClaimName::parse("uid").is_ok());
        for bad in ["sub", "aud", "guard", "roles", "__type", "", "a b"] {
            assert!(ClaimName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_identifier_says_whether_case_counts() {
        assert!(Identifier::parse("email:nocase").is_ok_and(|identifier| identifier.ignores_case));
        assert!(Identifier::parse("email").is_ok_and(|identifier| !identifier.ignores_case));
        assert!(Identifier::parse("email:case").is_err());
        assert!(Identifier::parse("__type").is_err());
    }
}
