//! Whoever writes to Redis and not to the database gives nobody a right, and takes none.

use sea_orm::ConnectionTrait;

use super::{Outside, may, with_redis};
use crate::scene::{Ask, Scene, key};

with_redis! {
    a_forged_entry_is_ignored_and_repaired,
    no_flipped_bit_is_accepted,
    no_id_writes_another_key,
}

const ROLE: &str = r#""rights":[{"guard":"customer","roles":["buyer"]}],"#;

/// Values that somebody may put under `customer:1`, made of its own entry and the one of `customer:2`, who is a buyer.
fn forgeries(own: &str, buyers: &str, foreign: &str) -> Vec<(&'static str, String)> {
    let entry = |value: &str| value[value.find("\"entry\":").unwrap() + 8..value.len() - 1].to_owned();
    let mac = |value: &str| value[8..51].to_owned();
    let sealed = |mac: &str, entry: &str| format!(r#"{{"mac":"{mac}","entry":{entry}}}"#);
    vec![
        ("another's", buyers.to_owned()),
        (
            "another's under its own name",
            buyers.replace("customer:2", "customer:1"),
        ),
        ("of another installation", foreign.to_owned()),
        ("another's payload with its own seal", sealed(&mac(own), &entry(buyers))),
        (
            "with a role added",
            own.replacen("\"attributes\"", &format!("{ROLE}\"attributes\""), 1),
        ),
        ("of another schema", own.replace("\"schema\":2", "\"schema\":3")),
        ("of a later version", own.replace("\"version\":", "\"version\":9")),
        ("without a seal", entry(own)),
        ("with an empty seal", sealed("", &entry(buyers))),
        ("with a short seal", sealed(&mac(own)[..42], &entry(own))),
        ("with half a seal", own.replace(&mac(own), &mac(own)[..20])),
        ("cut off", own[..own.len() / 2].to_owned()),
        ("empty", String::new()),
        ("no JSON", "\u{1}\u{2}".to_owned()),
        ("null", "null".to_owned()),
        ("deep", "[".repeat(20_000)),
        ("long", format!("{}{}", own, " ".repeat(2 << 20))),
    ]
}

/// Commits raise versions by random steps.
const ALIKE: &str = "UPDATE identity_versions SET version = 9000000 WHERE \"key\" IN ('customer:1', 'customer:2')";

async fn a_forged_entry_is_ignored_and_repaired(scene: Scene) {
    let here = scene.node().await;
    let outside = Outside::of(&scene);
    let (who, buyer) = (key("customer:1"), key("customer:2"));
    let db = here.connection();
    db.execute_unprepared("INSERT INTO bekci_principal_roles VALUES ('customer', '2', 'customer', '', 'buyer')")
        .await
        .unwrap();
    db.execute_unprepared("UPDATE customers SET name = 'One' WHERE id = 1")
        .await
        .unwrap();
    // The versions of both are the same, so that only the seal tells their entries apart.
    here.round().await.unwrap();
    scene.outside(ALIKE);
    assert!(may(&[&here], &buyer, &scene.customer, "orders.view").await);
    assert!(!may(&[&here], &who, &scene.customer, "orders.view").await);
    let (own, buyers) = (outside.get("customer:1"), outside.get("customer:2"));
    assert_eq!(Outside::label(&own), Outside::label(&buyers));
    let foreign = another_installations_entry(&scene).await;
    assert_eq!(
        Outside::label(&own),
        Outside::label(&foreign),
        "only the prefix tells them apart"
    );
    for (what, forged) in forgeries(&own, &buyers, &foreign) {
        assert!(forged != own, "{what}: nothing was forged");
        put_long(&outside, &forged);
        refused_and_repaired(&scene, &outside, what).await;
    }
    for command in [["RPUSH", "x"], ["SADD", "x"]] {
        outside.delete("customer:1");
        outside
            .server
            .cli(&[command[0], &outside.name("customer:1"), command[1]]);
        refused_and_repaired(&scene, &outside, command[0]).await;
    }
}

/// In parts, since an argument of a program has a limit.
fn put_long(outside: &Outside, value: &str) {
    let mut parts = value
        .as_bytes()
        .chunks(100_000)
        .map(|part| std::str::from_utf8(part).unwrap());
    outside.put("customer:1", parts.next().unwrap_or_default());
    for part in parts {
        outside.server.cli(&["APPEND", &outside.name("customer:1"), part]);
    }
}

/// Nodes that have nothing in memory are not misled, load from the database, and store what is right.
async fn refused_and_repaired(scene: &Scene, outside: &Outside, what: &str) {
    let newcomer = scene.node().await;
    let who = key("customer:1");
    let loads = newcomer.metrics().identity_loads;
    assert!(!may(&[&newcomer], &who, &scene.customer, "orders.view").await, "{what}");
    let view = Ask::of(&who, &scene.customer).direct().view(&newcomer).await;
    assert_eq!(view.identity.attributes["name"], "One", "{what}");
    assert_eq!(newcomer.metrics().shared_hits, 0, "{what}");
    assert_eq!(newcomer.metrics().identity_loads, loads + 1, "{what}");
    newcomer.close().await;
    let repaired = outside.get("customer:1");
    assert!(
        repaired.contains("\"key\":\"customer:1\"") && repaired.contains("One"),
        "{what}"
    );
    // And the repaired entry is one that another node uses.
    let next = scene.node().await;
    Ask::of(&key("customer:3"), &scene.customer).view(&next).await;
    Ask::of(&who, &scene.customer).view(&next).await;
    assert_eq!(next.metrics().identity_loads, 1, "{what}");
    next.close().await;
}

/// An entry of `customer:1` as an installation stores it that has the same root secret and the same Redis, another database and another prefix.
async fn another_installations_entry(scene: &Scene) -> String {
    let foreign = Scene::new(scene.kind()).await;
    let node = foreign.node().await;
    let give = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
    node.connection().execute_unprepared(give).await.unwrap();
    node.round().await.unwrap();
    foreign.outside(ALIKE);
    assert!(may(&[&node], &key("customer:1"), &foreign.customer, "orders.view").await);
    node.close().await;
    Outside::of(&foreign).get("customer:1")
}

async fn no_flipped_bit_is_accepted(scene: Scene) {
    let here = scene.node().await;
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    Ask::of(&who, &scene.customer).view(&here).await;
    let own = outside.get("customer:1");
    let seal = 8..51;
    let entry = (51..own.len()).step_by(own.len() / 20);
    let node = scene.node().await;
    Ask::of(&key("customer:3"), &scene.customer).view(&node).await;
    let db = here.connection();
    for at in seal.chain(entry) {
        // A new version each time, so that the node has nothing in memory.
        db.execute_unprepared("UPDATE customers SET name = name || '.' WHERE id = 1")
            .await
            .unwrap();
        Ask::of(&who, &scene.customer).view(&here).await;
        let own = outside.get("customer:1");
        let mut bytes = own.clone().into_bytes();
        // The lowest bit of an ASCII byte: it stays text.
        bytes[at] ^= 1;
        outside.put("customer:1", std::str::from_utf8(&bytes).unwrap());
        let hits = node.metrics().shared_hits;
        let view = Ask::of(&who, &scene.customer).direct().view(&node).await;
        assert!(view.identity.exists);
        assert_eq!(node.metrics().shared_hits, hits, "byte {at} of {own}");
    }
}

async fn no_id_writes_another_key(scene: Scene) {
    let here = scene.node().await;
    let outside = Outside::of(&scene);
    let names = || -> Vec<String> {
        let pattern = format!("{}*", outside.settings.prefix);
        let answer = outside.server.cli(&["KEYS", &pattern]);
        answer
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Ask::of(&key("customer:1"), &scene.customer).view(&here).await;
    assert_eq!(names(), [outside.name("customer:1")]);
    let odd = [
        "customer:1\r\nSET x y",
        "customer:1 EX 1",
        "customer:*",
        "customer:{1}",
        "customer:1\0",
        "customer:../1",
        "customer:01",
        "customer:+1",
        "customer:-0",
    ];
    for text in odd {
        let Ok(key) = bekci_core::PrincipalKey::parse(text) else {
            continue;
        };
        // A key that passes the grammar is one argument of one command, whatever it looks like.
        let view = Ask::of(&key, &scene.customer).view(&here).await;
        assert!(!view.identity.exists, "{text:?}");
        let name = outside.name(text);
        assert!(
            names()
                .iter()
                .all(|stored| *stored == name || *stored == outside.name("customer:1"))
        );
        outside.server.cli(&["DEL", &name]);
    }
    assert_eq!(names(), [outside.name("customer:1")]);
}
