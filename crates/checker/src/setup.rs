//! The roles, principals and policy lines that a run begins with.

use std::sync::Arc;

use serde_json::json;

use crate::{
    cluster::Cluster,
    history::Register,
    http::Request,
    options::Options,
    subjects::{Reading, Subject, make},
    world::{Admin, World},
};

/// Whose rights each writer changes, as places in [`World::subjects`]. The first four are asked about most.
pub(crate) const BY_API: [usize; 2] = [0, 1];
pub(crate) const BANNED_BY_API: usize = 2;
pub(crate) const BLOCKED: usize = 3;
pub(crate) const SIGNED_OUT: [usize; 2] = [4, 5];
pub(crate) const BY_COMMAND: usize = 6;
pub(crate) const BY_SQL: usize = 7;
pub(crate) const BANNED_BY_SQL: usize = 8;
pub(crate) const BY_ENTITY: usize = 9;
pub(crate) const IN_BULK: usize = 10;
pub(crate) const BY_CASCADE: usize = 11;
pub(crate) const BANNED_BY_COMMAND: usize = 12;
const COUNT: usize = 16;

/// Principals that nobody asks about, so that one statement concerns more than a thousand of them.
const CROWD: usize = 1_100;

/// The role whose permissions the management API changes, and the one that SQL from outside changes.
pub(crate) const SHARED_ROLE: &str = "shared";
pub(crate) const SQL_ROLE: &str = "outside";
/// The role that is deleted and made again.
pub(crate) const CASCADE_ROLE: &str = "passing";

/// The line that allows a path below `/pol/`.
pub(crate) fn line(path: &str) -> String {
    format!("p, role:customer:base, *, /pol/{path}, GET, allow")
}

/// Starts everything.
pub(crate) fn world(options: Options) -> World {
    let cluster = Cluster::start(&options);
    let admin = Admin::sign_in(cluster.nodes[0].address);
    roles(&admin);
    let mut subjects: Vec<Subject> = (0..COUNT).map(|at| make(&admin, &format!("c{at}"))).collect();
    for (at, subject) in subjects.iter().enumerate() {
        give(&admin, subject, at);
    }
    first_rows(&cluster, &subjects);
    let registers = registers(&mut subjects);
    World::new(options, cluster, admin, subjects, registers)
}

fn roles(admin: &Admin) {
    let denied: Vec<String> = (0..8).map(|at| format!("d.n{at}")).collect();
    let mut roles = vec![("base".to_owned(), denied)];
    roles.extend((0..8).map(|at| (format!("rank-{at}"), Vec::new())));
    roles.push((SHARED_ROLE.to_owned(), vec!["s.n1".to_owned()]));
    roles.push((SQL_ROLE.to_owned(), vec!["q.n1".to_owned()]));
    roles.push((CASCADE_ROLE.to_owned(), Vec::new()));
    roles.push(("by-command".to_owned(), Vec::new()));
    for (name, permissions) in roles {
        let body = json!({"guard": "customer", "name": name, "permissions": permissions});
        admin.must(&Request::new("POST", "/admin/v1/roles").json(&body));
    }
    let body = json!({"lines": [line("a"), line("raw")]});
    admin.must(&Request::new("POST", "/admin/v1/policies").json(&body));
}

fn give(admin: &Admin, subject: &Subject, at: usize) {
    let mut roles = vec!["base"];
    if !(2..13).contains(&at) {
        roles.push(SHARED_ROLE);
    }
    match at {
        0 | 1 => roles.push("rank-0"),
        BY_SQL | 13 => roles.push(SQL_ROLE),
        BY_CASCADE => roles.push(CASCADE_ROLE),
        _ => {}
    }
    let path = format!("/admin/v1/principals/customer/{}/roles", subject.id);
    admin.must(&Request::new("PUT", path).json(&json!({"guard": "customer", "roles": roles})));
}

/// Grants that are changed in place, and the crowd.
fn first_rows(cluster: &Cluster, subjects: &[Subject]) {
    let grant = |at: usize, permission: &str| {
        format!(
            "('customer', '{}', 'customer', '', '{permission}', false)",
            subjects[at].id
        )
    };
    let mut rows = vec![
        grant(BY_SQL, "t.n1"),
        grant(BY_ENTITY, "h.n1"),
        grant(IN_BULK, "b.n1"),
        grant(15, "b.n1"),
        grant(IN_BULK, "w.n1"),
    ];
    rows.extend((0..CROWD).map(|at| format!("('customer', '{}', 'customer', '', 'w.n1', false)", 1_000_000 + at)));
    let sql = format!(
        "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) VALUES {}",
        rows.join(", ")
    );
    cluster.database.sql(&sql).unwrap();
    // From outside: in force on every node after the longest Δ.
    crate::clock::pause(cluster.staleness_ms + 500);
}

fn registers(subjects: &mut [Subject]) -> Vec<(&'static str, Arc<Register>)> {
    let new = |name: &str, value: u32| Arc::new(Register::new(name, value));
    for at in BY_API {
        let rights = &mut subjects[at].rights;
        rights.push((Reading::Number("g.n"), new(&format!("permission of c{at}"), 0)));
        rights.push((Reading::Missing("d.n"), new(&format!("denial of c{at}"), 0)));
        rights.push((Reading::RoleNumber("rank-"), new(&format!("role of c{at}"), 0)));
    }
    let shared = new("permission of a role", 1);
    for at in [0, 1, 13, 14, 15] {
        subjects[at].rights.push((Reading::Number("s.n"), Arc::clone(&shared)));
    }
    let outside = new("permission of a role, by SQL", 1);
    for at in [BY_SQL, 13] {
        subjects[at].rights.push((Reading::Number("q.n"), Arc::clone(&outside)));
    }
    let bulk = new("permission in bulk", 1);
    for at in [IN_BULK, 15] {
        subjects[at].rights.push((Reading::Number("b.n"), Arc::clone(&bulk)));
    }
    let own = [
        (
            IN_BULK,
            Reading::Number("w.n"),
            new("permission of more than a thousand", 1),
        ),
        (BY_SQL, Reading::Number("t.n"), new("permission by SQL", 1)),
        (BY_ENTITY, Reading::Number("h.n"), new("permission by an entity", 1)),
        (BY_CASCADE, Reading::Role(CASCADE_ROLE), new("role that is deleted", 1)),
        (BY_COMMAND, Reading::Role("by-command"), new("role by command", 0)),
        (
            BY_COMMAND,
            Reading::Permission("by.command"),
            new("permission by command", 0),
        ),
    ];
    for (at, reading, register) in own {
        subjects[at].rights.push((reading, register));
    }
    for at in [BANNED_BY_API, BANNED_BY_SQL, BANNED_BY_COMMAND] {
        subjects[at].ban = Some(new(&format!("ban of c{at}"), 0));
    }
    subjects[BLOCKED].block = Some(new("block of a session", 0));
    for at in SIGNED_OUT {
        if let Some(session) = subjects[at].sessions.write().first_mut() {
            session.lives = Some(new(&format!("first session of c{at}"), 1));
        }
    }
    vec![
        ("a", new("policy line", 1)),
        ("raw", new("policy line by SQL", 1)),
        ("base", new("policy line that stays", 1)),
    ]
}
