//! Roles and accounts that policy lines name: a rename changes nothing that lines deny or allow, and a new one of the name inherits nothing.

use bekci_core::{PolicyLine, RoleName, TenantName, signin::StoreError};
use bekci_store::{DirectoryError, NewRole, Scope as Place, Store};
use sea_orm::ConnectionTrait;

use crate::scene::{ADMIN, Scene, key, on_every_store};

on_every_store!(
    a_role_that_is_renamed_takes_its_lines_along,
    a_rename_or_a_deletion_that_would_change_other_lines_is_refused_with_the_lines,
    an_account_that_is_deleted_leaves_no_line_behind,
    racing_renames_and_lines_leave_no_line_without_its_role,
    names_in_lines_that_nothing_has_are_reported,
);

fn name(text: &str) -> RoleName {
    RoleName::new(text).unwrap()
}

fn line(text: &str) -> PolicyLine {
    let mut values = text.split(", ").map(str::to_owned);
    PolicyLine {
        kind: values.next().unwrap(),
        values: values.collect(),
    }
}

async fn texts(store: &Store) -> Vec<String> {
    let lines = store.policies().lines().await.unwrap();
    let text = |line: PolicyLine| format!("{}, {}", line.kind, line.values.join(", "));
    lines.into_iter().map(text).collect()
}

fn place(scene: &Scene, tenant: Option<&str>) -> Place {
    Place {
        guard: scene.customer.name.clone(),
        tenant: tenant.map(|tenant| TenantName::new(tenant).unwrap()),
    }
}

async fn role(scene: &Scene, store: &Store, tenant: Option<&str>, named: &str) -> i64 {
    let new = NewRole {
        scope: place(scene, tenant),
        name: name(named),
        permissions: Vec::new(),
    };
    store.directory().add_role(&new).await.unwrap().0
}

const DENIAL: &str = "p, role:customer:on-hold, *, /api/**, GET, deny";
const INHERITED: &str = "g, role:customer:vip, role:customer:on-hold, *";

async fn a_role_that_is_renamed_takes_its_lines_along(scene: Scene) {
    let store = scene.node().await;
    let id = role(&scene, &store, None, "on-hold").await;
    role(&scene, &store, None, "vip").await;
    let other = "p, role:admin:on-hold, *, /api/**, GET, deny";
    store
        .policies()
        .add(&[line(DENIAL), line(INHERITED), line(other)])
        .await
        .unwrap();
    let renamed = store.directory().rename_role(id, &name("held")).await.unwrap();
    assert!(renamed.effective);
    let expected = [
        "p, role:customer:held, *, /api/**, GET, deny",
        "g, role:customer:vip, role:customer:held, *",
        other,
    ];
    assert_eq!(texts(&store).await, expected);
    // A new role of the old name inherits no line.
    role(&scene, &store, None, "on-hold").await;
    let customer = &scene.customer.name;
    assert_eq!(
        store.policies().naming_role(customer, &name("on-hold")).await.unwrap(),
        []
    );
    store.directory().rename_role(id, &name("held")).await.unwrap();
    assert_eq!(texts(&store).await, expected);
    store.close().await;
}

fn lines_of<T: std::fmt::Debug>(result: Result<T, DirectoryError>) -> Vec<String> {
    match result {
        Err(DirectoryError::Store(StoreError::NamedByPolicy { lines })) => lines,
        other => panic!("{other:?}"),
    }
}

async fn a_rename_or_a_deletion_that_would_change_other_lines_is_refused_with_the_lines(scene: Scene) {
    let store = scene.node().await;
    let id = role(&scene, &store, None, "on-hold").await;
    let free = role(&scene, &store, None, "free").await;
    store.policies().add(&[line(DENIAL)]).await.unwrap();
    let directory = store.directory();
    assert_eq!(lines_of(directory.remove_role(id).await), [DENIAL]);
    let deleted = store.rights().delete_role(&place(&scene, None), &name("on-hold")).await;
    assert!(matches!(deleted, Err(StoreError::NamedByPolicy { .. })), "{deleted:?}");
    // Another role of the name: whose lines they are cannot be told.
    let own = role(&scene, &store, Some("acme"), "on-hold").await;
    for id in [id, own] {
        assert_eq!(lines_of(directory.rename_role(id, &name("held")).await), [DENIAL]);
    }
    // It keeps the name, and the lines go on to mean it.
    directory.remove_role(own).await.unwrap();
    // Lines that wait for a role of the new name would come to mean this one.
    let waiting = "p, role:customer:waiting, *, /**, *, allow";
    store.policies().add(&[line(waiting)]).await.unwrap();
    assert_eq!(lines_of(directory.rename_role(free, &name("waiting")).await), [waiting]);
    assert_eq!(texts(&store).await, [DENIAL, waiting]);
    store.policies().remove(&[line(DENIAL)]).await.unwrap();
    directory.remove_role(id).await.unwrap();
    store.close().await;
}

async fn an_account_that_is_deleted_leaves_no_line_behind(scene: Scene) {
    let store = scene.node().await;
    let admin = format!("p, principal:{ADMIN}, *, /**, *, allow");
    let kept = "p, principal:customer:30, *, /**, *, allow";
    let lines = [
        "p, principal:customer:3, *, /**, *, allow",
        "p, principal:customer:3, acme, /x, GET, deny",
        "g, principal:customer:2, role:customer:buyer, *",
        "p, principal:customer:1, *, /**, *, allow",
        &admin,
        kept,
    ];
    store.policies().add(&lines.map(line)).await.unwrap();
    store.directory().remove(&key("customer:3")).await.unwrap();
    assert_eq!(texts(&store).await, lines[2..]);
    // Whoever deletes it, and however many at once.
    let pool = scene.pool().await;
    pool.execute_unprepared("DELETE FROM customers WHERE id IN (2, 1)")
        .await
        .unwrap();
    assert_eq!(texts(&store).await, [admin.as_str(), kept]);
    pool.execute_unprepared("DELETE FROM admins").await.unwrap();
    assert_eq!(texts(&store).await, [kept]);
    store.close().await;
}

async fn racing_renames_and_lines_leave_no_line_without_its_role(scene: Scene) {
    let store = scene.node().await;
    let id = role(&scene, &store, None, "a").await;
    let mut racing = tokio::task::JoinSet::new();
    for call in 0..64 {
        let store = store.clone();
        racing.spawn(async move {
            if call % 2 == 0 {
                drop(
                    store
                        .directory()
                        .rename_role(id, &name(if call % 4 == 0 { "b" } else { "a" }))
                        .await,
                );
            } else {
                // It is for the role as it is called at that moment.
                let role = store.directory().role(id).await.unwrap().unwrap();
                let path = format!("p, role:customer:{}, *, /{call}, GET, deny", role.name);
                drop(store.policies().add(&[line(&path)]).await);
            }
        });
    }
    racing.join_all().await;
    // A line that was written for the name of a moment before is reported; one that was there at a rename went along.
    let role = store.directory().role(id).await.unwrap().unwrap();
    let other = if role.name == name("a") { "b" } else { "a" };
    let left = store
        .policies()
        .naming_role(&role.scope.guard, &name(other))
        .await
        .unwrap();
    let dangling = store.policies().dangling().await.unwrap();
    let named = format!("role:customer:{other}");
    assert_eq!(dangling.get(&named).map_or(0, Vec::len), left.len());
    store.close().await;
}

async fn names_in_lines_that_nothing_has_are_reported(scene: Scene) {
    let store = scene.node().await;
    let lines = [
        "p, role:customer:buyer, *, /**, GET, allow",
        "p, role:customer:boss, acme, /**, GET, allow",
        "p, principal:customer:1, *, /**, GET, allow",
    ];
    store.policies().add(&lines.map(line)).await.unwrap();
    assert!(store.policies().dangling().await.unwrap().is_empty());
    let pool = scene.pool().await;
    pool.execute_unprepared("UPDATE bekci_roles SET name = 'client' WHERE name = 'buyer'")
        .await
        .unwrap();
    let lost = "g, principal:customer:99, role:customer:boss, *";
    store.policies().add(&[line(lost)]).await.unwrap();
    let dangling: Vec<_> = store.policies().dangling().await.unwrap().into_iter().collect();
    let expected = [
        ("principal:customer:99".to_owned(), vec![lost.to_owned()]),
        ("role:customer:buyer".to_owned(), vec![lines[0].to_owned()]),
    ];
    assert_eq!(dangling, expected);
    store.close().await;
}
