//! Changes by SQL from outside, which count Δ after their COMMIT. One transaction of ten is rolled back, and its value must never be seen.

use std::{sync::Arc, time::Duration};

use bekci_test_support::Chance;

use super::Step;
use crate::{
    clock::{now, pause},
    history::Register,
    setup::{BANNED_BY_SQL, BY_SQL, SQL_ROLE},
    shell::Shell,
    world::World,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A number that no phase has: what is rolled back.
const ROLLED_BACK: u32 = 999_999_999;

/// What is written for a value, and what then reads it.
struct Sql {
    write: Box<dyn Fn(u32) -> String + Send>,
    read: String,
    /// What `read` gives for a value.
    shown: fn(u32) -> String,
    /// Whether the values are 0 and 1 in turn; else each is greater than the one before.
    toggles: bool,
    register: Arc<Register>,
}

pub(super) fn steps(world: &Arc<World>) -> Vec<(u64, Step)> {
    let permission = &world.subject(BY_SQL).rights;
    let mut all = Vec::new();
    let mine = format!(
        "model = 'customer' AND id = '{}' AND permission LIKE 't.n%'",
        world.subject(BY_SQL).id
    );
    let (table, written) = ("bekci_principal_permissions", mine.clone());
    if let [(_, of_role), (_, own), ..] = permission.as_slice() {
        all.push(Sql {
            write: Box::new(move |n| format!("UPDATE {table} SET permission = 't.n{n}' WHERE {written};")),
            read: format!("SELECT permission FROM {table} WHERE {mine};"),
            shown: |n| format!("t.n{n}"),
            toggles: false,
            register: Arc::clone(own),
        });
        let role = format!("role_id = (SELECT id FROM bekci_roles WHERE guard = 'customer' AND name = '{SQL_ROLE}')");
        let of = role.clone();
        all.push(Sql {
            write: Box::new(move |n| format!("UPDATE bekci_role_permissions SET permission = 'q.n{n}' WHERE {of};")),
            read: format!("SELECT permission FROM bekci_role_permissions WHERE {role};"),
            shown: |n| format!("q.n{n}"),
            toggles: false,
            register: Arc::clone(of_role),
        });
    }
    if let Some(register) = &world.subject(BANNED_BY_SQL).ban {
        let id = world.subject(BANNED_BY_SQL).id.clone();
        let read = format!("SELECT status FROM customers WHERE id = {id};");
        all.push(Sql {
            write: Box::new(move |n| format!("UPDATE customers SET status = '{}' WHERE id = {id};", status(n))),
            read,
            shown: |n| status(n).to_owned(),
            toggles: true,
            register: Arc::clone(register),
        });
    }
    if let Some((_, register)) = world.policies.get(1) {
        let add = world.cluster.database.insert_once(
            "INTO bekci_policies (kind, v0, v1, v2, v3, v4) VALUES ('p', 'role:customer:base', '*', '/pol/raw', 'GET', 'allow')",
        );
        all.push(Sql {
            write: Box::new(move |n| match n {
                0 => "DELETE FROM bekci_policies WHERE v2 = '/pol/raw';".to_owned(),
                _ => format!("{add};"),
            }),
            read: "SELECT count(*) FROM bekci_policies WHERE v2 = '/pol/raw';".to_owned(),
            shown: |n| n.to_string(),
            toggles: true,
            register: Arc::clone(register),
        });
    }
    all.into_iter().map(step).collect()
}

impl Sql {
    fn next(&self) -> u32 {
        if self.toggles {
            1 - self.register.value()
        } else {
            u32::try_from(self.register.len()).unwrap_or_default() + 1
        }
    }

    /// What is written and rolled back: a value that the register does not have now.
    fn undone(&self) -> u32 {
        if self.toggles {
            1 - self.register.value()
        } else {
            ROLLED_BACK
        }
    }
}

fn status(value: u32) -> &'static str {
    if value == 1 { "banned" } else { "active" }
}

fn step(sql: Sql) -> (u64, Step) {
    let mut shell = None;
    let run = move |world: &World, chance: &mut Chance| {
        let database = &world.cluster.database;
        let begin = database.begin();
        if chance.once_in(10) {
            if let Some(shell) = shell.get_or_insert_with(|| Shell::open(database)) {
                let text = format!("{begin} {} ROLLBACK;", (sql.write)(sql.undone()));
                let _done = shell.run(&text, PATIENCE);
                world.tally.write("SQL from outside", |writes| writes.rolled_back += 1);
            }
            return;
        }
        let next = sql.next();
        sql.register.begin(next, now());
        while world.runs() {
            let open = shell.get_or_insert_with(|| Shell::open(database)).as_mut();
            let text = format!("{begin} {} COMMIT; {}", (sql.write)(next), sql.read);
            let sent = now();
            let written = open.and_then(|shell| shell.run(&text, PATIENCE));
            let returned = now();
            let last = written.as_ref().and_then(|lines| lines.last());
            if last.is_some_and(|shown| *shown == (sql.shown)(next)) {
                sql.register.in_force(returned, returned + world.staleness());
                world
                    .tally
                    .write("SQL from outside", |writes| writes.took.push(returned - sent));
                return;
            }
            world.tally.write("SQL from outside", |writes| writes.unknown += 1);
            shell = None;
            pause(100);
        }
    };
    (300, Box::new(run))
}
