//! Weak variants: what this program has to find, or it is no check.

use std::{sync::Arc, time::Duration};

use crate::{clock::pause, cluster::Database, options::Weak, shell::Shell, world::World};

/// Makes the protocol weak, where the command line says so.
pub(crate) fn make(world: &Arc<World>) {
    match world.options.weak {
        None => {}
        Some(Weak::EarlyAcknowledgement) => {
            let world = Arc::clone(world);
            std::thread::spawn(move || acknowledge(&world));
        }
        Some(Weak::NoTriggers) => drop_triggers(&world.cluster.database),
    }
}

/// Writes a position that is never reached into the row of every node, again and again.
fn acknowledge(world: &World) {
    let sql = "UPDATE coherence_nodes SET acknowledged = 4000000000000000000 WHERE acknowledged < 4000000000000000000;";
    let mut shell = None;
    while world.runs() {
        let open = shell
            .get_or_insert_with(|| Shell::open(&world.cluster.database))
            .as_mut();
        if open.and_then(|shell| shell.run(sql, Duration::from_secs(5))).is_none() {
            shell = None;
        }
        pause(2);
    }
}

fn drop_triggers(database: &Database) {
    let table = "bekci_principal_permissions";
    match database {
        Database::Postgres { .. } => {
            database
                .sql(&format!("ALTER TABLE {table} DISABLE TRIGGER USER"))
                .unwrap();
        }
        Database::MariaDb { .. } => drop_each(
            database,
            &format!("SELECT trigger_name FROM information_schema.triggers WHERE event_object_table = '{table}'"),
        ),
        Database::Sqlite { .. } => drop_each(
            database,
            &format!("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"),
        ),
    }
}

/// Drops each trigger that a statement names.
fn drop_each(database: &Database, names: &str) {
    let names = database.sql(names).unwrap();
    assert!(!names.is_empty(), "there is no trigger to drop");
    for name in names.lines() {
        database.sql(&format!("DROP TRIGGER \"{name}\"")).unwrap();
    }
}
