//! What PostgreSQL alone can do.

use bekci_migration::{missing_watches, sql, status, unmatched_tables, unwatched_children, up};

use crate::database::{Database as _, Postgres, up_with};
use crate::{IdKind, customers, model};

const RIGHTS: &str = "INSERT INTO customers (id, email) VALUES (1, 'a@x'), (2, 'b@x');
  INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1), ('admin', '1', 1);
  INSERT INTO bekci_roles (guard, name) VALUES ('shop', 'buyer');
  INSERT INTO bekci_role_permissions VALUES (1, 'a');
  INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'buyer'), ('admin', '1', 'shop', 'buyer');";

#[tokio::test]
async fn truncate_names_everybody() {
    let db = Postgres::migrated().await;
    for table in [
        "bekci_sessions",
        "bekci_principal_roles",
        "bekci_principal_permissions",
        "bekci_bans",
        "bekci_blocks",
        "bekci_roles",
        "bekci_role_permissions",
        "customers",
    ] {
        assert_eq!(db.names(&format!("TRUNCATE {table}")), ["@all"], "{table}");
    }
    assert_eq!(db.names("TRUNCATE bekci_policies"), ["@policies"]);
}

#[tokio::test]
async fn truncated_accounts_and_roles_leave_nothing_to_inherit() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    db.outside("TRUNCATE customers");
    assert_eq!(db.outside("SELECT model FROM bekci_bans"), "admin");
    assert_eq!(db.outside("SELECT model FROM bekci_principal_roles"), "admin");
    db.outside("TRUNCATE bekci_roles RESTART IDENTITY");
    assert_eq!(db.outside("SELECT count(*) FROM bekci_principal_roles"), "0");
    assert_eq!(db.outside("SELECT count(*) FROM bekci_role_permissions"), "0");
}

#[tokio::test]
async fn a_writer_with_another_search_path_is_seen() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    assert_eq!(
        db.names("SET search_path = ''; DELETE FROM public.customers WHERE id = 2"),
        ["customer:2"]
    );
}

#[tokio::test]
async fn a_writer_in_the_role_of_a_replica_is_seen() {
    let db = Postgres::migrated().await;
    let copy = "SET session_replication_role = replica; INSERT INTO customers (id, email) VALUES (1, 'a@x')";
    assert_eq!(db.names(copy), ["customer:1"]);
}

#[tokio::test]
async fn a_trigger_that_is_switched_off_is_missing() {
    let db = Postgres::migrated().await;
    db.outside("ALTER TABLE customers DISABLE TRIGGER bekci_account_customer_delete; ALTER TABLE bekci_bans DISABLE TRIGGER ALL");
    let tables = [customers()];
    assert_eq!(
        missing_watches(db.db(), &tables).await.unwrap(),
        ["bekci_bans", "customers"]
    );
    up_with(&db, &tables).await;
    assert!(missing_watches(db.db(), &tables).await.unwrap().is_empty());
}

#[tokio::test]
async fn columns_whose_types_know_no_equality_are_compared_as_text() {
    let db = Postgres::migrated().await;
    db.outside(
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE staff (id text COLLATE blind PRIMARY KEY, email text COLLATE blind, status char(8), verified_at timestamptz, tenant text, name json);",
    );
    up_with(&db, &[model("staff", "staff", IdKind::Text)]).await;
    assert_eq!(
        db.names("INSERT INTO staff (id, email, name) VALUES ('a', 'a@x', '{}')"),
        ["staff:a"]
    );
    for change in ["email = 'A@x'", "name = '[]'", "verified_at = now()"] {
        assert_eq!(db.names(&format!("UPDATE staff SET {change}")), ["staff:a"], "{change}");
    }
    assert_eq!(db.names("UPDATE staff SET id = 'A'"), ["staff:A", "staff:a"]);
}

#[tokio::test]
async fn copy_merge_and_writes_in_a_statement_are_seen() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    let merge = "MERGE INTO customers USING (VALUES (1::bigint), (5)) AS s (id) ON customers.id = s.id
      WHEN MATCHED THEN UPDATE SET status = 'banned' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, 'e@x')";
    assert_eq!(db.names(merge), ["customer:1", "customer:5"]);
    let both =
        "WITH gone AS (DELETE FROM customers WHERE id = 2 RETURNING id) UPDATE customers SET name = 'n' WHERE id = 5";
    assert_eq!(db.names(both), ["customer:2", "customer:5"]);
    assert_eq!(
        db.names("COPY customers (id, email) FROM PROGRAM 'printf \"7\\tg@x\\n\"'"),
        ["customer:7"]
    );
}

#[tokio::test]
async fn the_outbox_knows_its_transaction_and_positions_come_from_a_sequence() {
    let db = Postgres::migrated().await;
    let same = "BEGIN; INSERT INTO customers (id, email) VALUES (1, 'a@x');
      SELECT tx = pg_current_xact_id()::text::bigint FROM identity_outbox; COMMIT";
    assert_eq!(db.outside(same), "t");
    assert_eq!(db.outside("SELECT nextval('bekci_position')"), "1");
}

#[tokio::test]
async fn roles_that_swap_their_names_swap_their_members_and_no_more() {
    let db = Postgres::migrated().await;
    db.outside(
        "ALTER TABLE bekci_roles DROP CONSTRAINT bekci_roles_name;
         ALTER TABLE bekci_roles ADD CONSTRAINT bekci_roles_name UNIQUE (guard, tenant, name) DEFERRABLE;
         INSERT INTO bekci_roles (guard, name) VALUES ('shop', 'a'), ('shop', 'b');
         INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'a'), ('customer', '2', 'shop', 'b'),
           ('customer', '3', 'shop', 'a'), ('customer', '3', 'shop', 'b');",
    );
    db.outside("UPDATE bekci_roles SET name = CASE name WHEN 'a' THEN 'b' ELSE 'a' END");
    assert_eq!(
        db.outside("SELECT id || role FROM bekci_principal_roles ORDER BY 1"),
        "1b\n2a\n3a\n3b"
    );
}

/// A table in a schema, with capital letters in its name.
const IN_A_SCHEMA: &str = "CREATE SCHEMA shop; CREATE TABLE shop.\"Members\" (id bigserial PRIMARY KEY, email text, status text, \
  verified_at bigint, tenant text, name text)";

#[tokio::test]
async fn a_table_of_a_schema_is_the_one_that_is_watched() {
    let db = Postgres::empty().await;
    db.outside(IN_A_SCHEMA);
    // A table of the same name where the search path finds it is another one.
    db.outside("CREATE TABLE \"Members\" (id bigserial PRIMARY KEY, email text)");
    let members = [model("member", "shop.Members", IdKind::Integer)];
    assert_eq!(
        missing_watches(db.db(), &members).await.unwrap().last().unwrap(),
        "shop.Members"
    );
    let report = up(db.db(), &members).await.unwrap();
    assert!(report.created.is_empty(), "{report:?}");
    assert!(status(db.db(), &members).await.unwrap().is_current());
    let insert = "INSERT INTO shop.\"Members\" (id, email) VALUES (1, 'a@x')";
    assert_eq!(db.names(insert), ["member:1"]);
    assert!(
        db.names("INSERT INTO public.\"Members\" (id, email) VALUES (1, 'a@x')")
            .is_empty()
    );
    db.outside("DROP TRIGGER bekci_account_member_update ON shop.\"Members\"");
    assert_eq!(missing_watches(db.db(), &members).await.unwrap(), ["shop.Members"]);
    // The table that the search path finds does not stand in for it.
    up(db.db(), &[model("member", "Members", IdKind::Integer)])
        .await
        .unwrap_err();
    up(db.db(), &members).await.unwrap();
    assert_eq!(db.names("UPDATE shop.\"Members\" SET status = 'banned'"), ["member:1"]);
}

#[tokio::test]
async fn a_missing_table_of_a_schema_is_made_there() {
    let db = Postgres::empty().await;
    db.outside("CREATE SCHEMA shop");
    let report = up(db.db(), &[model("member", "shop.Members", IdKind::Integer)])
        .await
        .unwrap();
    assert_eq!(report.created, ["shop.Members"]);
    assert_eq!(
        db.names("INSERT INTO shop.\"Members\" (email) VALUES ('a@x')"),
        ["member:1"]
    );
    let script = sql(
        db.db().get_database_backend(),
        &[model("member", "shop.Members", IdKind::Integer)],
    );
    db.outside(&script.unwrap());
}

const PARTITIONED: &str =
    "CREATE TABLE parts (id bigint NOT NULL, region text NOT NULL DEFAULT 'eu', email text, status text, \
  verified_at bigint, tenant text, name text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
  CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
  CREATE TABLE parts_am PARTITION OF parts FOR VALUES IN ('us', 'br') PARTITION BY LIST (region);
  CREATE TABLE parts_us PARTITION OF parts_am FOR VALUES IN ('us')";

#[tokio::test]
async fn a_write_to_a_partition_is_seen() {
    let db = Postgres::empty().await;
    db.outside(PARTITIONED);
    let parts = [model("part", "parts", IdKind::Integer)];
    up(db.db(), &parts).await.unwrap();
    assert!(status(db.db(), &parts).await.unwrap().is_current());
    assert_eq!(
        db.names("INSERT INTO parts_eu (id, email) VALUES (1, 'a@x')"),
        ["part:1"]
    );
    assert_eq!(
        db.names("INSERT INTO parts (id, region) VALUES (2, 'us'), (3, 'eu')"),
        ["part:2", "part:3"]
    );
    for table in ["parts", "parts_eu"] {
        assert_eq!(
            db.names(&format!("UPDATE {table} SET status = '{table}' WHERE id = 1")),
            ["part:1"],
            "{table}"
        );
    }
    for table in ["parts", "parts_am", "parts_us"] {
        assert_eq!(
            db.names(&format!("UPDATE {table} SET status = '{table}' WHERE id = 2")),
            ["part:2"],
            "{table}"
        );
    }
    db.outside("INSERT INTO bekci_bans (model, id, banned_at) VALUES ('part', '2', 1), ('part', '3', 1)");
    // A row that moves to another partition is the same account.
    assert_eq!(db.names_once("UPDATE parts SET region = 'us' WHERE id = 3"), [""; 0]);
    assert_eq!(db.outside("SELECT count(*) FROM bekci_bans"), "2");
    assert_eq!(db.names_once("DELETE FROM parts_us WHERE id = 2"), ["part:2"]);
    assert_eq!(db.outside("SELECT id FROM bekci_bans"), "3");
    // Account 3 is there, account 5 is in another partition.
    db.outside(
        "INSERT INTO parts (id) VALUES (5); INSERT INTO bekci_bans (model, id, banned_at) VALUES ('part', '5', 1)",
    );
    assert_eq!(db.names_once("TRUNCATE parts_us"), ["@all", "part:3"]);
    assert_eq!(db.outside("SELECT id FROM bekci_bans"), "5");
}

#[tokio::test]
async fn a_partition_that_was_added_is_found_and_watched() {
    let db = Postgres::empty().await;
    db.outside(PARTITIONED);
    let parts = [model("part", "parts", IdKind::Integer)];
    up(db.db(), &parts).await.unwrap();
    db.outside("CREATE TABLE parts_br PARTITION OF parts_am FOR VALUES IN ('br')");
    assert_eq!(missing_watches(db.db(), &parts).await.unwrap(), ["parts"]);
    up(db.db(), &parts).await.unwrap();
    assert!(status(db.db(), &parts).await.unwrap().is_current());
    assert_eq!(
        db.names("INSERT INTO parts_br (id, region) VALUES (4, 'br')"),
        ["part:4"]
    );
    db.outside("ALTER TABLE parts_br DISABLE TRIGGER bekci_account_part_update");
    assert_eq!(missing_watches(db.db(), &parts).await.unwrap(), ["parts"]);
}

#[tokio::test]
async fn a_write_to_a_table_that_inherits_is_seen() {
    let db = Postgres::migrated().await;
    db.outside("CREATE TABLE vips (since bigint) INHERITS (customers)");
    assert_eq!(missing_watches(db.db(), &[customers()]).await.unwrap(), ["customers"]);
    db.outside("CREATE TABLE big_vips () INHERITS (vips); CREATE TABLE others (id bigint); CREATE TABLE more () INHERITS (others)");
    assert_eq!(unwatched_children(db.db()).await.unwrap(), ["big_vips", "vips"]);
    up(db.db(), &[customers()]).await.unwrap();
    assert_eq!(unwatched_children(db.db()).await.unwrap(), [""; 0]);
    assert_eq!(
        db.names("INSERT INTO vips (id, email) VALUES (7, 'v@x')"),
        ["customer:7"]
    );
    assert_eq!(db.names("UPDATE vips SET status = 'banned'"), ["customer:7"]);
    assert_eq!(db.names("UPDATE customers SET status = 'active'"), ["customer:7"]);
    assert_eq!(db.names("UPDATE ONLY customers SET status = 'banned'"), [""; 0]);
    assert_eq!(db.names("DELETE FROM vips"), ["customer:7"]);
}

#[tokio::test]
async fn a_table_of_other_letters_or_of_another_schema_is_named_before_an_empty_one_is_made() {
    let db = Postgres::empty().await;
    db.outside(IN_A_SCHEMA);
    db.outside("CREATE TABLE \"MEMBERS\" (id bigserial PRIMARY KEY)");
    let found = unmatched_tables(db.db(), &[model("member", "members", IdKind::Integer), customers()])
        .await
        .unwrap();
    let (member, customer) = (found.first().unwrap(), found.last().unwrap());
    assert_eq!(member.alike, ["MEMBERS", "shop.Members"]);
    assert!(
        member.to_string().contains("similar name: MEMBERS, shop.Members"),
        "{}",
        member
    );
    // The other model's table is missing as well, so that tables of an application may be meant.
    assert_eq!((customer.model.as_str(), customer.others.len()), ("customer", 2));
    let matched = [model("member", "shop.Members", IdKind::Integer), customers()];
    assert!(unmatched_tables(db.db(), &matched).await.unwrap().is_empty());
}

#[tokio::test]
async fn char_columns_are_named_without_their_padding() {
    let db = Postgres::empty().await;
    db.outside("CREATE TABLE codes (id char(10) PRIMARY KEY, email char(40), status char(12), verified_at bigint, tenant char(9), name char(20))");
    up(db.db(), &[model("code", "codes", IdKind::Text)]).await.unwrap();
    assert_eq!(
        db.names("INSERT INTO codes (id, email, status) VALUES ('ab', 'a@x', 'active')"),
        ["code:ab"]
    );
    assert_eq!(db.names("UPDATE codes SET status = 'active   '"), [""; 0]);
    assert_eq!(db.names("UPDATE codes SET status = 'banned'"), ["code:ab"]);
}
