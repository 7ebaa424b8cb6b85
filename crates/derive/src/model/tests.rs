use super::*;

const GOOD: &str = r#"
    #[auth(guard = "back_office", model = "admin", identifier("email:nocase", "login"), password = "secret",
           status(column = "status", banned = ["banned", "gone"]), verified = "seen_at", tenant = "org", cached("email"))]
    #[sea_orm(table_name = "admins", comment = "x")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_name = "admin_id")]
        pub id: i64,
        #[sea_orm(unique, column_type = "String(StringLen::N(255))")]
        pub email: String,
        pub login: String,
        #[sea_orm(column_name = "secret")]
        pub password_hash: Option<String>,
        pub status: String,
        pub seen_at: Option<TimeDateTimeWithTimeZone>,
        pub org: String,
        #[sea_orm(ignore)]
        pub shown: String,
    }
"#;

fn made(source: &str) -> String {
    expand(&syn::parse_str(source).unwrap()).unwrap().to_string()
}

fn refused(source: &str) -> String {
    expand(&syn::parse_str(source).unwrap()).unwrap_err().to_string()
}

#[test]
fn a_model_says_where_its_accounts_stand_and_what_their_columns_mean() {
    let text = made(GOOD);
    for expected in [
        "impl :: bekci :: AuthModel for Model",
        "ModelName :: new (\"admin\") ?",
        "table : :: std :: string :: String :: from (\"admins\")",
        "id_column : :: std :: string :: String :: from (\"admin_id\")",
        "IdKind :: Integer",
        "(:: std :: string :: String :: from (\"email\") , true)",
        "(:: std :: string :: String :: from (\"login\") , false)",
        "password_column : :: std :: option :: Option :: Some (:: std :: string :: String :: from (\"secret\"))",
        "tenant_column : :: std :: option :: Option :: Some (:: std :: string :: String :: from (\"org\"))",
        "banned_statuses : :: std :: vec ! [:: std :: string :: String :: from (\"banned\") , :: std :: string :: String :: from (\"gone\")]",
        "pub struct BackOffice ;",
        "const NAME : & 'static str = \"back_office\"",
        "impl :: sea_orm :: ActiveModelBehavior for ActiveModel",
        ":: bekci :: hooks :: changed (db , \"admin\" ,",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn nothing_is_made_on_the_copy_that_sea_orm_makes() {
    assert_eq!(made(&GOOD.replace("struct Model", "struct ModelEx")), "");
}

#[test]
fn manual_hooks_are_left_to_the_application() {
    let text = made(&GOOD.replace("cached(", "hooks = \"manual\", cached("));
    assert!(!text.contains("ActiveModelBehavior"));
    assert!(text.contains("pub struct BackOffice"));
}

#[test]
fn the_type_of_the_key_tells_the_kind_of_id() {
    for (kind, expected) in [
        ("Uuid", "Uuid"),
        ("uuid::Uuid", "Uuid"),
        ("String", "Text"),
        ("i32", "Integer"),
        ("u32", "Integer"),
    ] {
        let text = made(&GOOD.replace("id: i64", &format!("id: {kind}")));
        assert!(text.contains(&format!("IdKind :: {expected}")), "{kind}");
    }
    let newtype = GOOD.replace("id: i64", "id: AdminId");
    assert!(refused(&newtype).contains("`#[auth(id = \"..\")]`"));
    assert!(made(&newtype.replace("guard =", "id = \"text\", guard =")).contains("IdKind :: Text"));
}

#[test]
fn an_identifier_is_given_once_twice_or_as_a_list() {
    for form in [
        "identifier = \"email\", identifier = \"login\"",
        "identifier = [\"email\", \"login\"]",
        "identifier(\"email\", \"login\")",
    ] {
        let text = made(&GOOD.replace("identifier(\"email:nocase\", \"login\")", form));
        assert!(
            text.contains("from (\"email\") , false") && text.contains("from (\"login\") , false"),
            "{form}"
        );
    }
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let cases = [
        (
            "guard = \"back_office\"",
            "guard = \"BackOffice\"",
            "guard name \"BackOffice\" is not valid",
        ),
        ("guard = \"back_office\", ", "", "`#[auth(guard = \"..\")]` is missing"),
        (
            "identifier(\"email:nocase\", \"login\"), ",
            "",
            "`#[auth(identifier = \"..\")]` is missing",
        ),
        ("email:nocase", "email:lower", "\"column:nocase\""),
        (
            "\"login\")",
            "\"logon\")",
            "there is no column \"logon\"; the columns are admin_id, email, login",
        ),
        ("\"login\")", "\"logn\")", "did you mean login?"),
        (
            "cached(\"email\")",
            "cached(\"secret\")",
            "never part of the cached identity",
        ),
        ("cached(\"email\")", "cache(\"email\")", "hooks; did you mean cached?"),
        (
            "status(column = \"status\", banned = [\"banned\", \"gone\"])",
            "status = \"status\"",
            "`status(column = \"..\", banned = [\"..\"], active = [\"..\"])`",
        ),
        (
            "verified = \"seen_at\"",
            "verified = \"seen_at\", verified = \"seen_at\"",
            "said twice",
        ),
        (
            "status(column = \"status\", ",
            "status(",
            "`banned` and `active` need `column",
        ),
        (
            "tenant =",
            "hooks = \"off\", tenant =",
            "`hooks` is \"manual\" or left out",
        ),
        ("primary_key, ", "", "no field has `#[sea_orm(primary_key)]`"),
        (
            "#[sea_orm(unique,",
            "#[sea_orm(primary_key,",
            "a primary key of two columns",
        ),
        (
            "table_name = \"admins\", ",
            "",
            "`#[sea_orm(table_name = \"..\")]` is missing",
        ),
        ("comment = \"x\"", "schema_name = \"x\"", "does not know `schema_name`"),
        ("struct Model", "struct Admin", "called `Model`"),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let told = refused(&GOOD.replacen(from, to, 1));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_mistake_is_reported_alone() {
    let told = |source: &str| derive(&syn::parse_str(source).unwrap()).to_string();
    let text = told(&GOOD.replace("verified = \"seen_at\"", "verifed = \"seen_at\""));
    for expected in [
        "compile_error",
        "did you mean verified?",
        "impl :: bekci :: AuthModel for Model",
        "impl :: bekci :: AsPrincipal for Model",
        "pub struct BackOffice ;",
        "impl :: sea_orm :: ActiveModelBehavior for ActiveModel { }",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let manual = told(&GOOD.replace("cached(\"email\")", "hooks = \"manual\", cached(\"nowhere\")"));
    assert!(
        manual.contains("compile_error") && !manual.contains("ActiveModelBehavior"),
        "{manual}"
    );
    let nameless = told(&GOOD.replace("guard = \"back_office\"", "guard = \"BackOffice\""));
    assert!(
        nameless.contains("compile_error") && !nameless.contains("struct"),
        "{nameless}"
    );
    assert!(!told(GOOD).contains("compile_error"));
}
