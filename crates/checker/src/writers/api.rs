//! Changes by the management API.

use bekci_test_support::Chance;
use serde_json::json;

use super::{Step, change::change};
use crate::{
    http::Request,
    setup::{BANNED_BY_API, BLOCKED, BY_API, SHARED_ROLE, line},
    world::World,
};

pub(super) fn steps() -> Vec<(u64, Step)> {
    let mut steps: Vec<(u64, Step)> = vec![
        (150, Box::new(ban)),
        (150, Box::new(block)),
        (150, Box::new(role_permissions())),
        (400, Box::new(policy)),
    ];
    for at in BY_API {
        steps.push((100, Box::new(move |world, chance| permissions(world, at, chance))));
        steps.push((100, Box::new(move |world, chance| roles(world, at, chance))));
    }
    steps
}

/// One grant with the next number, and one denial of eight.
fn permissions(world: &World, at: usize, chance: &mut Chance) {
    let subject = world.subject(at);
    let (granted, denied) = (&subject.rights[0].1, &subject.rights[1].1);
    let next = u32::try_from(granted.len()).unwrap_or_default();
    let without = next % 8;
    let path = format!("/admin/v1/principals/customer/{}/permissions", subject.id);
    let body = json!({"guard": "customer", "granted": [format!("g.n{next}")], "denied": [format!("d.n{without}")]});
    let request = Request::new("PUT", path).json(&body);
    change(
        world,
        "permissions by API",
        &[(granted, next), (denied, without + 1)],
        &request,
        chance,
    );
}

fn roles(world: &World, at: usize, chance: &mut Chance) {
    let subject = world.subject(at);
    let role = &subject.rights[2].1;
    let next = (role.value() + 1) % 8;
    let path = format!("/admin/v1/principals/customer/{}/roles", subject.id);
    let body = json!({"guard": "customer", "roles": ["base", SHARED_ROLE, format!("rank-{next}")]});
    change(
        world,
        "roles by API",
        &[(role, next)],
        &Request::new("PUT", path).json(&body),
        chance,
    );
}

fn ban(world: &World, chance: &mut Chance) {
    let subject = world.subject(BANNED_BY_API);
    let Some(ban) = &subject.ban else { return };
    let next = 1 - ban.value();
    let body = if next == 1 {
        json!({"status": "banned", "reason": "checked"})
    } else {
        json!({"status": "active"})
    };
    let path = format!("/admin/v1/principals/customer/{}/status", subject.id);
    change(
        world,
        "ban by API",
        &[(ban, next)],
        &Request::new("PUT", path).json(&body),
        chance,
    );
}

fn block(world: &World, chance: &mut Chance) {
    let subject = world.subject(BLOCKED);
    let Some(block) = &subject.block else { return };
    let next = 1 - block.value();
    let session = subject.sessions.read()[0].id.clone();
    let request = if next == 1 {
        let body =
            json!({"principal": subject.key(), "sid": session, "reason": "checked", "until": "2099-01-01T00:00:00Z"});
        Request::new("POST", "/admin/v1/blocks").json(&body)
    } else {
        Request::new("DELETE", "/admin/v1/blocks").json(&json!({"principal": subject.key(), "sid": session}))
    };
    change(world, "block by API", &[(block, next)], &request, chance);
}

/// What a role permits: its id is looked up once.
fn role_permissions() -> impl FnMut(&World, &mut Chance) + Send {
    let mut id = None;
    move |world, chance| {
        let Some((_, register)) = world.subject(14).rights.first() else {
            return;
        };
        let id = id.get_or_insert_with(|| role_id(world, SHARED_ROLE));
        let next = u32::try_from(register.len()).unwrap_or_default() + 1;
        let request = Request::new("PUT", format!("/admin/v1/roles/{id}/permissions"))
            .json(&json!({"permissions": [format!("s.n{next}")]}));
        change(
            world,
            "role's permissions by API",
            &[(register, next)],
            &request,
            chance,
        );
    }
}

pub(super) fn role_id(world: &World, name: &str) -> String {
    let sql = format!("SELECT id FROM bekci_roles WHERE guard = 'customer' AND tenant = '' AND name = '{name}'");
    for _ in 0..100 {
        if let Ok(id) = world.cluster.database.sql(&sql) {
            return id;
        }
        world.rest(200);
    }
    String::new()
}

fn policy(world: &World, chance: &mut Chance) {
    let Some((path, register)) = world.policies.first() else {
        return;
    };
    let next = 1 - register.value();
    let method = if next == 1 { "POST" } else { "DELETE" };
    let request = Request::new(method, "/admin/v1/policies").json(&json!({"lines": [line(path)]}));
    change(world, "policy by API", &[(register, next)], &request, chance);
}
