//! Account tables that an application brings, with types of its own.

use bekci_core::{ModelName, ModelSpec, PrincipalKey};
use bekci_store::{AccountChange, AccountQuery, BanOrder, DirectoryError, OpenError, Store, StoreSettings};
use sea_orm::{ConnectionTrait, Statement};
use secrecy::ExposeSecret as _;

use crate::scene::{Kind, Scene};

/// A model `member` in the table `members`.
fn spec() -> ModelSpec {
    ModelSpec::new(ModelName::new("member").unwrap(), "members")
}

fn settings(scene: &Scene, spec: ModelSpec) -> StoreSettings {
    let mut settings = scene.settings();
    settings.models.push(spec);
    settings
}

/// The table, made anew: `changed` takes the place of the usual column of its name.
fn make(scene: &Scene, changed: &str) {
    let id = if scene.is_postgres() {
        "id bigserial PRIMARY KEY"
    } else if scene.is_mariadb() {
        "id bigint AUTO_INCREMENT PRIMARY KEY"
    } else {
        "id integer PRIMARY KEY"
    };
    let usual = [
        id,
        "email varchar(200) NOT NULL UNIQUE",
        "name text",
        "password_hash text",
        "status varchar(20) NOT NULL DEFAULT 'active'",
        "email_verified_at bigint",
    ];
    let word = |column: &str| column.split(' ').next().unwrap().to_owned();
    let columns = usual.map(|column| if word(column) == word(changed) { changed } else { column });
    scene.outside("DROP TABLE IF EXISTS members");
    scene.outside(&format!("CREATE TABLE members ({})", columns.join(", ")));
}

/// Whether a condition on the only row of `members` whose address is this holds.
async fn is_so(scene: &Scene, email: &str, condition: &str) -> bool {
    let db = scene.pool().await;
    let sql = format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END AS so FROM members WHERE email = '{email}'");
    let row = db
        .query_one_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap();
    row.unwrap().try_get::<i32>("", "so").unwrap() == 1
}

async fn is_verified(store: &Store, key: &PrincipalKey) -> bool {
    store.directory().find(key).await.unwrap().unwrap().verified
}

fn verified(is: bool) -> AccountChange {
    AccountChange {
        verified: Some(is),
        ..AccountChange::default()
    }
}

fn named(email: &str) -> (String, serde_json::Value) {
    ("email".to_owned(), email.into())
}

/// Verifies accounts by each way there is, and looks whether the column holds the moment of now.
async fn a_moment_goes_in_and_comes_back(scene: &Scene, is_now: &str) {
    let store = scene.quiet_node(settings(scene, spec())).await;
    let model = spec().name;
    let new = AccountChange {
        columns: vec![named("b@x.test")],
        ..verified(true)
    };
    let (ben, _) = store.directory().add(&model, &new).await.unwrap();
    assert!(is_so(scene, "b@x.test", is_now).await, "{is_now}");
    store.directory().change(&ben, &verified(false)).await.unwrap();
    assert!(!is_verified(&store, &ben).await);
    store.directory().change(&ben, &verified(true)).await.unwrap();
    assert!(is_verified(&store, &ben).await);
    assert!(is_so(scene, "b@x.test", is_now).await, "{is_now}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_verified_in_a_column_of_any_type_of_time_in_postgres() {
    let scene = Scene::new(Kind::Postgres).await;
    // Time without a zone is that of UTC, wherever the database believes to be.
    scene.outside(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO %L', current_database(), 'Asia/Tokyo'); END $$",
    );
    let near = |difference: &str| format!("abs(extract(epoch FROM {difference})) < 600");
    for (kind, is_now) in [
        ("timestamptz", near("(email_verified_at - now())")),
        ("timestamp(0) with time zone", near("(email_verified_at - now())")),
        ("timestamp", near("(email_verified_at - (now() AT TIME ZONE 'UTC'))")),
        (
            "bigint",
            "abs(email_verified_at - extract(epoch FROM now()) * 1000000) < 600000000".to_owned(),
        ),
        ("text", near("(email_verified_at::timestamptz - now())")),
    ] {
        make(&scene, &format!("email_verified_at {kind}"));
        a_moment_goes_in_and_comes_back(&scene, &is_now).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_verified_in_a_column_of_any_type_of_time_in_sqlite() {
    let scene = Scene::new(Kind::Sqlite).await;
    let as_text =
        "typeof(email_verified_at) = 'text' AND abs(strftime('%s', email_verified_at) - strftime('%s', 'now')) < 600";
    let as_number =
        "typeof(email_verified_at) = 'integer' AND abs(email_verified_at / 1000000 - strftime('%s', 'now')) < 600";
    for (kind, is_now) in [
        ("timestamp_with_timezone_text", as_text),
        ("datetime_text", as_text),
        ("TEXT", as_text),
        ("INTEGER", as_number),
        ("bigint", as_number),
    ] {
        make(&scene, &format!("email_verified_at {kind}"));
        a_moment_goes_in_and_comes_back(&scene, is_now).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_verified_in_a_column_of_any_type_of_time_in_mariadb() {
    let scene = Scene::new(Kind::MariaDb).await;
    let near = |moment: &str| format!("ABS(TIMESTAMPDIFF(SECOND, {moment}, UTC_TIMESTAMP())) < 600");
    for (kind, is_now) in [
        ("timestamp NULL", near("email_verified_at")),
        ("datetime(6)", near("email_verified_at")),
        ("datetime", near("email_verified_at")),
        (
            "bigint",
            near("TIMESTAMP'1970-01-01 00:00:00' + INTERVAL email_verified_at MICROSECOND"),
        ),
        (
            "varchar(40)",
            near("STR_TO_DATE(LEFT(email_verified_at, 19), '%Y-%m-%dT%H:%i:%s')"),
        ),
    ] {
        make(&scene, &format!("email_verified_at {kind}"));
        a_moment_goes_in_and_comes_back(&scene, &is_now).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_a_word_of_whatever_type_its_column_has() {
    let scene = Scene::new(Kind::Postgres).await;
    scene.outside("CREATE TYPE standing AS ENUM ('fine', 'out')");
    let kinds = [
        ("standing NOT NULL DEFAULT 'fine'", "fine", "out"),
        ("smallint NOT NULL DEFAULT 1", "1", "2"),
        ("boolean NOT NULL DEFAULT true", "true", "false"),
    ];
    statuses_go_in_and_come_back(&scene, &kinds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_a_word_of_whatever_type_its_column_has_in_mariadb() {
    let scene = Scene::new(Kind::MariaDb).await;
    let kinds = [
        ("enum('fine', 'out') NOT NULL DEFAULT 'fine'", "fine", "out"),
        ("smallint NOT NULL DEFAULT 1", "1", "2"),
        ("boolean NOT NULL DEFAULT true", "1", "0"),
    ];
    statuses_go_in_and_come_back(&scene, &kinds).await;
}

async fn statuses_go_in_and_come_back(scene: &Scene, kinds: &[(&str, &str, &str)]) {
    for (kind, fine, out) in kinds.iter().copied() {
        make(scene, &format!("status {kind}"));
        let spec = ModelSpec {
            active_statuses: vec![fine.to_owned()],
            banned_statuses: vec![out.to_owned()],
            ..spec()
        };
        let store = scene.quiet_node(settings(scene, spec.clone())).await;
        let new = AccountChange {
            columns: vec![named("a@x.test")],
            ..AccountChange::default()
        };
        let (ada, _) = store.directory().add(&spec.name, &new).await.unwrap();
        let seen = async || {
            let found = store.directory().find(&ada).await.unwrap().unwrap();
            (found.status.unwrap().into_string(), found.banned, found.inactive)
        };
        assert_eq!(seen().await, (fine.to_owned(), false, false), "{kind}");
        let order = BanOrder {
            status: out.to_owned(),
            ..BanOrder::default()
        };
        store.ban(&ada, &order).await.unwrap();
        assert_eq!(seen().await, (out.to_owned(), true, false), "{kind}");
        store.unban(&ada).await.unwrap();
        assert_eq!(seen().await, (fine.to_owned(), false, false), "{kind}");
        store.ban(&ada, &order).await.unwrap();
        store.directory().restore(&ada, fine).await.unwrap();
        assert_eq!(seen().await, (fine.to_owned(), false, false), "{kind}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_does_not_fit_is_told_when_the_store_is_opened() {
    for (kind, columns) in [
        (
            Kind::Postgres,
            &[
                ("email_verified_at boolean", "verified_column", "boolean"),
                ("email_verified_at integer", "verified_column", "integer"),
                (
                    "email_verified_at timestamptz NOT NULL DEFAULT now()",
                    "verified_column",
                    "time zone NOT NULL",
                ),
                ("email bytea", "identifiers", "bytea"),
                ("password_hash bytea", "password_column", "bytea"),
                ("status jsonb", "status_column", "jsonb"),
                ("id uuid PRIMARY KEY", "id_column", "uuid"),
                ("id text PRIMARY KEY", "id_column", "text"),
            ][..],
        ),
        (
            Kind::MariaDb,
            &[
                ("email_verified_at boolean", "verified_column", "tinyint(1)"),
                ("email_verified_at int", "verified_column", "int(11)"),
                (
                    "email_verified_at datetime NOT NULL DEFAULT NOW()",
                    "verified_column",
                    "datetime NOT NULL",
                ),
                ("email varbinary(99)", "identifiers", "varbinary(99)"),
                ("password_hash blob", "password_column", "blob"),
                ("id uuid PRIMARY KEY", "id_column", "uuid"),
                ("id varchar(40) PRIMARY KEY", "id_column", "varchar(40)"),
            ][..],
        ),
        (
            Kind::Sqlite,
            &[
                ("email_verified_at boolean", "verified_column", "boolean"),
                (
                    "email_verified_at text NOT NULL DEFAULT ''",
                    "verified_column",
                    "text NOT NULL",
                ),
                ("id text PRIMARY KEY", "id_column", "text"),
            ][..],
        ),
    ] {
        let scene = Scene::new(kind).await;
        for (column, part, shown) in columns {
            make(&scene, column);
            let refused = Store::open_quiet(scene.pool().await, settings(&scene, spec())).await;
            let Err(OpenError::Columns(told)) = refused else {
                panic!("{column}: {refused:?}")
            };
            let said = told.to_string();
            let name = column.split(' ').next().unwrap();
            for word in [
                "table members",
                &format!("column {name} ({part} of model member)"),
                shown,
                "taken is",
            ] {
                // SQLite writes the types that it knows in capitals.
                assert!(
                    said.to_lowercase().contains(&word.to_lowercase()),
                    "{column}: {said:?} lacks {word:?}"
                );
            }
        }
        scene.outside("DROP TABLE members");
        scene.outside("CREATE TABLE members (id bigint PRIMARY KEY, email varchar(200), status varchar(20))");
        let refused = Store::open_quiet(scene.pool().await, settings(&scene, spec())).await;
        let said = refused.unwrap_err().to_string();
        assert!(
            said.contains("column password_hash") && said.contains("is not there"),
            "{said}"
        );
        // Where there is no table there is nothing to say of its columns.
        scene.outside("DROP TABLE members");
        Store::open_quiet(scene.pool().await, settings(&scene, spec()))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_bekci_does_not_fill_and_the_table_needs_is_named() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let scene = Scene::new(kind).await;
        make(&scene, "password_hash text NOT NULL");
        let store = scene.quiet_node(settings(&scene, spec())).await;
        let new = AccountChange {
            columns: vec![named("a@x.test")],
            ..AccountChange::default()
        };
        let refused = store.directory().add(&spec().name, &new).await;
        let Err(DirectoryError::Value(said)) = refused else {
            panic!("{refused:?}")
        };
        assert!(said.contains("password_hash"), "{said}");
        store.close().await;
    }
}

/// An account is made, found, signed in, banned and removed by the table of this model.
async fn an_account_lives_through(store: &Store, model: &ModelSpec) {
    let new = AccountChange {
        columns: vec![named("a@x.test")],
        password_hash: Some("hash".to_owned().into()),
        ..AccountChange::default()
    };
    let directory = store.directory();
    let (key, _) = directory.add(&model.name, &new).await.unwrap();
    let taken = directory.add(&model.name, &new).await;
    assert!(matches!(taken, Err(DirectoryError::Taken)), "{taken:?}");
    let found = store
        .sign_in_store()
        .credentials(&model.name, "a@x.test")
        .await
        .unwrap();
    assert_eq!(found[0].key, key);
    assert_eq!(found[0].password_hash.as_ref().unwrap().expose_secret(), "hash");
    let query = AccountQuery {
        limit: 5,
        ..AccountQuery::default()
    };
    let page = directory.list(&model.name, &query).await;
    assert_eq!(page.unwrap().accounts.len(), 1);
    directory.change(&key, &verified(true)).await.unwrap();
    let ban = BanOrder {
        status: "banned".to_owned(),
        reason: None,
        until: None,
        by: None,
    };
    store.ban(&key, &ban).await.unwrap();
    assert!(directory.find(&key).await.unwrap().unwrap().banned);
    directory.restore(&key, "active").await.unwrap();
    let identity = directory.find(&key).await.unwrap().unwrap();
    assert_eq!((identity.banned, identity.inactive), (false, false));
    assert_eq!(identity.attributes.get("email").unwrap(), "a@x.test");
    directory.remove(&key).await.unwrap();
    assert!(directory.find(&key).await.unwrap().is_none());
}

fn in_table(table: &str) -> ModelSpec {
    let mut spec = ModelSpec::new(ModelName::new("member").unwrap(), table);
    spec.cached_attributes = vec!["email".to_owned()];
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_a_schema_with_capital_letters_is_read_and_written() {
    let scene = Scene::new(Kind::Postgres).await;
    scene.outside(
        "CREATE SCHEMA shop; CREATE TABLE shop.\"Members\" (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text, \
         status text NOT NULL DEFAULT 'active', email_verified_at timestamptz)",
    );
    let spec = in_table("shop.Members");
    let store = scene.quiet_node(settings(&scene, spec.clone())).await;
    an_account_lives_through(&store, &spec).await;
    store.close().await;
    scene.outside("ALTER TABLE shop.\"Members\" ALTER COLUMN email_verified_at TYPE boolean USING false");
    let refused = Store::open_quiet(scene.pool().await, settings(&scene, spec)).await;
    assert!(refused.unwrap_err().to_string().contains("table shop.Members"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_char_are_read_and_compared_without_their_padding() {
    let scene = Scene::new(Kind::Postgres).await;
    scene.outside(
        "CREATE TABLE members (id char(40) PRIMARY KEY, email char(60) NOT NULL UNIQUE, password_hash char(120), \
         status char(12) NOT NULL DEFAULT 'active', email_verified_at char(40))",
    );
    let spec = ModelSpec {
        id_kind: bekci_core::IdKind::Text,
        ..in_table("members")
    };
    let store = scene.quiet_node(settings(&scene, spec.clone())).await;
    an_account_lives_through(&store, &spec).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_change_their_types_cost_no_statement_that_was_prepared_before() {
    let scene = Scene::new(Kind::Postgres).await;
    scene.outside(
        "CREATE TABLE members (id serial PRIMARY KEY, email varchar(60) NOT NULL UNIQUE, password_hash varchar(120), \
         status varchar(20) NOT NULL DEFAULT 'active', email_verified_at timestamp)",
    );
    let spec = in_table("members");
    // Each statement has been prepared on the only connection.
    let store = Store::open_quiet(scene.pool_of(1).await, settings(&scene, spec.clone()))
        .await
        .unwrap();
    an_account_lives_through(&store, &spec).await;
    for change in [
        "ALTER COLUMN status TYPE text, ALTER COLUMN password_hash TYPE text",
        "ALTER COLUMN id TYPE bigint, ALTER COLUMN email TYPE char(60)",
        "ALTER COLUMN email_verified_at TYPE timestamptz, ADD COLUMN note text",
    ] {
        scene.outside(&format!("ALTER TABLE members {change}"));
        an_account_lives_through(&store, &spec).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_that_no_list_knows_are_counted() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let scene = Scene::new(kind).await;
        make(&scene, "email varchar(200)");
        scene.outside("INSERT INTO members (status) VALUES ('active'), ('banned'), ('pending'), ('pending'), ('2')");
        let found = bekci_store::unknown_statuses(&scene.pool().await, &spec())
            .await
            .unwrap();
        assert_eq!(found, [("pending".to_owned(), 2), ("2".to_owned(), 1)]);
    }
}

/// MariaDB's default collations take accents, case and trailing spaces for nothing: who signs in as `é@x.test` is not `e@x.test`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identifier_of_a_blind_collation_is_compared_to_the_letter() {
    let scene = Scene::new(Kind::MariaDb).await;
    for no_case in [false, true] {
        make(&scene, "email varchar(200) COLLATE utf8mb4_general_ci NOT NULL UNIQUE");
        let mut spec = spec();
        spec.identifiers = vec![("email".to_owned(), no_case)];
        let store = scene.quiet_node(settings(&scene, spec.clone())).await;
        let new = AccountChange {
            columns: vec![named("eve@x.test")],
            ..AccountChange::default()
        };
        store.directory().add(&spec.name, &new).await.unwrap();
        let found = async |identifier: &str| {
            let sign_in = store.sign_in_store();
            sign_in.credentials(&spec.name, identifier).await.unwrap().len()
        };
        assert_eq!(found("eve@x.test").await, 1);
        assert_eq!(found("EVE@x.test").await, usize::from(no_case));
        for other in ["éve@x.test", "eve@x.test ", "ÉVE@X.TEST", "eve@x.test\u{301}"] {
            assert_eq!(found(other).await, 0, "{other:?}");
        }
        store.close().await;
    }
}
