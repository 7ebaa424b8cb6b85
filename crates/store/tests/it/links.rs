//! Links to identity providers: an identity has one account, however many sign-ins come at once.

use std::sync::Arc;

use bekci_core::{
    Clock as _, Entropy as _, IdpName, ModelName, PrincipalKey, TokenId,
    codes::{Entrance, Redeemed},
    idp::{ExternalEntry, ExternalIdentity, LinkStore},
    mail::EmailAddress,
    signin::{Opened, SignInTenant, StoreError},
};
use bekci_store::SystemClock;

use crate::scene::{Chance, Scene, key, on_every_store};

on_every_store! {
    of_64_first_sign_ins_at_once_one_makes_the_account,
    two_identities_of_one_address_at_once_have_one_account,
    an_address_that_is_not_verified_on_both_sides_links_nothing,
    a_link_is_used_whatever_the_address_and_goes_with_its_account,
}

fn who(subject: &str, address: Option<&str>, address_verified: bool) -> ExternalIdentity {
    ExternalIdentity {
        provider: IdpName::new("acme").unwrap(),
        issuer: "https://id.acme.test".to_owned(),
        subject: subject.to_owned(),
        address: address.map(|address| EmailAddress::new(address).unwrap()),
        address_verified,
        name: None,
    }
}

fn entrance(scene: &Scene) -> Entrance {
    let mut id = TokenId([0; 16]);
    Chance.fill(&mut id.0).unwrap();
    Entrance {
        guard: Arc::clone(&scene.customer),
        id,
        way: "acme".into(),
        device_name: None,
        device_hash: None,
        replaces: None,
        tenant: SignInTenant::None,
        waits_until: None,
        makes_account: true,
        series: None,
        now: SystemClock.now(),
    }
}

/// As a client does it: again where another one took the address meanwhile, and where a busy machine did not confirm the commit in time.
async fn entered(links: &dyn LinkStore, who: &ExternalIdentity, entrance: &Entrance) -> ExternalEntry {
    for _ in 0..100 {
        let mut again = entrance.clone();
        Chance.fill(&mut again.id.0).unwrap();
        match links.enter(who, &again).await {
            Ok(ExternalEntry::Entered(Redeemed::Taken)) | Err(StoreError::Pending { .. }) => {}
            entry => return entry.unwrap(),
        }
    }
    panic!("taken again and again");
}

fn account(entry: &ExternalEntry) -> PrincipalKey {
    match entry {
        ExternalEntry::Entered(Redeemed::Session(key, Opened::Open { .. })) => key.clone(),
        other => panic!("{other:?}"),
    }
}

async fn linked(links: &dyn LinkStore, who: &ExternalIdentity) -> Option<PrincipalKey> {
    links.linked(&ModelName::new("customer").unwrap(), who).await.unwrap()
}

async fn of_64_first_sign_ins_at_once_one_makes_the_account(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let newcomer = who("1", Some("new@example.com"), true);
    let calls = (0..64).map(|n| {
        let (links, who, entrance) = (nodes[n % 2].link_store(), newcomer.clone(), entrance(&scene));
        tokio::spawn(async move { entered(&*links, &who, &entrance).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut accounts = Vec::new();
    for call in calls {
        accounts.push(account(&call.await.unwrap()));
    }
    accounts.dedup();
    let [made] = &accounts[..] else { panic!("{accounts:?}") };
    assert_eq!(linked(&*nodes[1].link_store(), &newcomer).await.as_ref(), Some(made));
    let identity = nodes[0].directory().find(made).await.unwrap().unwrap();
    assert!(identity.verified);
}

async fn two_identities_of_one_address_at_once_have_one_account(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let calls = (0..16).map(|n| {
        let newcomer = who(&format!("s{n}"), Some("shared@example.com"), true);
        let (links, entrance) = (nodes[n % 2].link_store(), entrance(&scene));
        tokio::spawn(async move { entered(&*links, &newcomer, &entrance).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut accounts = Vec::new();
    for call in calls {
        accounts.push(account(&call.await.unwrap()));
    }
    accounts.dedup();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
}

async fn an_address_that_is_not_verified_on_both_sides_links_nothing(scene: Scene) {
    let node = scene.node().await;
    let links = node.link_store();
    let verify = |at: &str| scene.outside(&format!("UPDATE customers SET email_verified_at = {at} WHERE id = 1"));
    let address = Some("c1@example.com");
    for (at, says) in [("NULL", true), ("NULL", false), ("1", false)] {
        verify(at);
        let stranger = who("1", address, says);
        let told = links.enter(&stranger, &entrance(&scene)).await.unwrap();
        assert_eq!(told, ExternalEntry::AddressInUse, "{at} {says}");
        let closed = Entrance {
            makes_account: false,
            ..entrance(&scene)
        };
        let told = links.enter(&stranger, &closed).await.unwrap();
        assert_eq!(told, ExternalEntry::Unknown, "{at} {says}");
        assert_eq!(linked(&*links, &stranger).await, None);
    }
    verify("1");
    let owner = who("1", address, true);
    let entry = entered(&*links, &owner, &entrance(&scene)).await;
    assert_eq!(account(&entry), key("customer:1"));
    // An account that is refused gets no link.
    scene.outside("UPDATE customers SET status = 'banned', email_verified_at = 1 WHERE id = 2");
    let banned = who("2", Some("c2@example.com"), true);
    let entry = links.enter(&banned, &entrance(&scene)).await.unwrap();
    assert!(
        matches!(entry, ExternalEntry::Entered(Redeemed::Session(_, Opened::Banned(_)))),
        "{entry:?}"
    );
    assert_eq!(linked(&*links, &banned).await, None);
}

async fn a_link_is_used_whatever_the_address_and_goes_with_its_account(scene: Scene) {
    let node = scene.node().await;
    let links = node.link_store();
    let seven = who("7", Some("seven@example.com"), true);
    let made = account(&entered(&*links, &seven, &entrance(&scene)).await);
    for again in [
        who("7", Some("c1@example.com"), true),
        who("7", Some("seven@example.com"), false),
        who("7", None, false),
    ] {
        assert_eq!(account(&entered(&*links, &again, &entrance(&scene)).await), made);
    }
    scene.outside(&format!("DELETE FROM customers WHERE id = {}", made.id()));
    assert_eq!(linked(&*links, &who("7", None, false)).await, None);
}
