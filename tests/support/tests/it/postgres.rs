use bekci_test_support::{Failure, Postgres, psql, try_psql};

use crate::listens;

#[test]
fn a_postgres_of_ones_own_answers_keeps_its_data_over_a_restart_and_is_gone_after_drop() {
    let postgres = Postgres::start();
    let url = postgres.create_database("orders");
    assert_eq!(url, postgres.url_for("orders"));
    psql(
        &url,
        "CREATE TABLE orders (id bigint, state text); INSERT INTO orders VALUES (7, 'sold'), (8, 'open')",
    );

    postgres.stop();
    assert!(try_psql(&url, "SELECT 1").is_err());
    postgres.restart();
    assert_eq!(psql(&url, "SELECT * FROM orders ORDER BY id"), "7|sold\n8|open");

    let (address, folder) = (postgres.server().address(), postgres.server().folder().to_owned());
    drop(postgres);
    assert!(!listens(address));
    assert!(!folder.exists());
}

#[test]
fn tests_on_the_shared_postgres_have_databases_of_their_own() {
    let postgres = Postgres::shared();
    let one = postgres.fresh_database("shop");
    let other = postgres.fresh_database("shop");
    psql(&one, "CREATE TABLE only_here ()");
    let failure = try_psql(&other, "SELECT * FROM only_here").unwrap_err();
    assert!(
        failure.to_string().contains("\"only_here\" does not exist"),
        "{failure}"
    );
}

#[test]
fn many_tests_can_make_their_databases_at_the_same_time() {
    let urls: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Postgres::shared().fresh_database("many")))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for url in urls {
        assert_eq!(psql(&url, "SELECT 1"), "1");
    }
}

#[test]
fn a_database_that_is_there_already_or_has_a_bad_name_is_refused() {
    let postgres = Postgres::shared();
    assert!(matches!(
        postgres.try_create_database("postgres"),
        Err(Failure::Refused { .. })
    ));
    assert!(matches!(
        postgres.try_create_database("x; DROP DATABASE y"),
        Err(Failure::BadName(_))
    ));
}
