//! Mailed secrets that sign in: tries are counted, and a secret is spent once, however many calls come at once.

use std::sync::Arc;

use bekci_core::{
    Clock as _, Entropy as _, GuardName, ModelName, PrincipalKey, SessionId, TokenId,
    accounts::{CodeAbout, CodeProof, CodePurpose, NewCode},
    codes::{CodeOwner, CodeStore, CodeTry, Entrance, NewSignInCode, Redeemed, VerificationCode},
    mail::{EmailAddress, Mail, MailKind, MailLanguage},
    signin::{Confirmation, EndSessions, Opened, OpenedTemporary, SignInTenant},
};
use bekci_store::{Store, SystemClock};
use time::{Duration, OffsetDateTime};

use crate::scene::{Chance, Scene, key, new_session, on_every_store};

on_every_store! {
    of_64_calls_at_once_with_the_right_secret_one_opens_a_session,
    of_64_wrong_tries_at_once_as_many_count_as_there_may_be,
    of_8_secrets_for_one_address_at_once_one_lives,
    a_secret_opens_nothing_after_its_time_its_account_its_address_or_a_sign_out_everywhere,
    the_account_of_a_new_address_is_made_once_with_a_user_name_of_its_own,
    of_64_confirmations_at_once_one_makes_a_temporary_identity_permanent,
}

const RIGHT: [u8; 32] = [7; 32];
const WRONG: [u8; 32] = [8; 32];

fn random() -> TokenId {
    let mut id = TokenId([0; 16]);
    Chance.fill(&mut id.0).unwrap();
    id
}

fn of_address(text: &str) -> CodeOwner {
    let mut hash = TokenId([0; 16]);
    for (to, from) in hash.0.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    CodeOwner::Address(ModelName::new("customer").unwrap(), hash)
}

async fn opened(scene: &Scene, codes: &dyn CodeStore, (owner, address): (CodeOwner, &str)) -> CodeProof {
    let now = SystemClock.now();
    let code = NewCode {
        id: random(),
        purpose: CodePurpose::SignIn,
        guard: scene.customer.name.clone(),
        hash: [RIGHT, [9; 32]].concat(),
        about: CodeAbout {
            address: EmailAddress::new(address).unwrap(),
            session: None,
            invite: None,
        },
        expires_at: now + Duration::minutes(3),
        now,
    };
    let proof = CodeProof {
        id: code.id,
        purpose: code.purpose,
        guard: code.guard.clone(),
        hash: RIGHT.to_vec(),
        now,
    };
    let order = NewSignInCode {
        code,
        owner,
        mail: None,
    };
    codes.open_sign_in(&order).await.unwrap();
    proof
}

fn entrance(scene: &Scene) -> Entrance {
    Entrance {
        guard: Arc::clone(&scene.customer),
        id: random(),
        way: "email_otp".into(),
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

/// What a whole call does: a try, and if it is right, the sign-in.
async fn presented(codes: &dyn CodeStore, proof: &CodeProof, entrance: &Entrance) -> Option<Redeemed> {
    match codes.try_code(proof, 5).await.unwrap() {
        CodeTry::Right => Some(codes.redeem(proof, entrance).await.unwrap()),
        CodeTry::Wrong | CodeTry::Dead | CodeTry::Expired => None,
    }
}

fn is_open(redeemed: &Option<Redeemed>) -> bool {
    matches!(redeemed, Some(Redeemed::Session(_, Opened::Open { .. })))
}

async fn live(store: &Store, of: &PrincipalKey) -> usize {
    store.sign_in_store().sessions(of).await.unwrap().len()
}

async fn of_64_calls_at_once_with_the_right_secret_one_opens_a_session(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let who = key("customer:1");
    let owner = CodeOwner::Account(who.clone());
    let proof = opened(&scene, &*nodes[0].code_store(), (owner, "c1@example.com")).await;
    let calls = (0..64).map(|n| {
        let (codes, proof, entrance) = (nodes[n % 2].code_store(), proof.clone(), entrance(&scene));
        tokio::spawn(async move { presented(&*codes, &proof, &entrance).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|outcome| is_open(outcome)).count(), 1);
    // As many as could be tried; the others met a spent secret.
    assert!(outcomes.iter().flatten().count() <= 5);
    assert_eq!(live(&nodes[1], &who).await, 1);
    let again = nodes[1].code_store().redeem(&proof, &entrance(&scene)).await.unwrap();
    assert_eq!(again, Redeemed::Dead);
}

async fn of_64_wrong_tries_at_once_as_many_count_as_there_may_be(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let owner = CodeOwner::Account(key("customer:1"));
    let proof = opened(&scene, &*nodes[0].code_store(), (owner, "c1@example.com")).await;
    let wrong = CodeProof {
        hash: WRONG.to_vec(),
        ..proof.clone()
    };
    let calls = (0..64).map(|n| {
        let (codes, wrong) = (nodes[n % 2].code_store(), wrong.clone());
        tokio::spawn(async move { codes.try_code(&wrong, 5).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut tries = Vec::new();
    for call in calls {
        tries.push(call.await.unwrap());
    }
    let count = |of: CodeTry| tries.iter().filter(|one| **one == of).count();
    assert_eq!((count(CodeTry::Wrong), count(CodeTry::Dead)), (5, 59));
    let codes = nodes[0].code_store();
    assert_eq!(codes.try_code(&proof, 5).await.unwrap(), CodeTry::Dead);
    // Another guard, another purpose and another reference find nothing, whatever they present.
    let fresh = opened(
        &scene,
        &*codes,
        (CodeOwner::Account(key("customer:1")), "c1@example.com"),
    )
    .await;
    for foreign in [
        CodeProof {
            guard: scene.admin.name.clone(),
            ..fresh.clone()
        },
        CodeProof {
            purpose: CodePurpose::ResetPassword,
            ..fresh.clone()
        },
        CodeProof {
            id: random(),
            ..fresh.clone()
        },
    ] {
        assert_eq!(codes.try_code(&foreign, 5).await.unwrap(), CodeTry::Dead);
        assert_eq!(codes.redeem(&foreign, &entrance(&scene)).await.unwrap(), Redeemed::Dead);
    }
    assert_eq!(codes.try_code(&fresh, 5).await.unwrap(), CodeTry::Right);
}

async fn of_8_secrets_for_one_address_at_once_one_lives(scene: Scene) {
    let node = scene.node().await;
    for (owner, address) in [
        (of_address("new"), "new@example.com"),
        (CodeOwner::Account(key("customer:2")), "c2@example.com"),
    ] {
        let codes = node.code_store();
        let proofs = (0..8).map(|_| opened(&scene, &*codes, (owner.clone(), address)));
        let proofs = futures_util::future::join_all(proofs).await;
        let mut right = 0;
        for proof in &proofs {
            right += usize::from(codes.try_code(proof, 5).await.unwrap() == CodeTry::Right);
        }
        assert_eq!(right, 1, "{address}");
    }
}

async fn a_secret_opens_nothing_after_its_time_its_account_its_address_or_a_sign_out_everywhere(scene: Scene) {
    let node = scene.node().await;
    let codes = node.code_store();
    let who = key("customer:1");
    let open = || opened(&scene, &*codes, (CodeOwner::Account(who.clone()), "c1@example.com"));
    let late = |proof: &CodeProof| CodeProof {
        now: proof.now + Duration::minutes(3),
        ..proof.clone()
    };
    let proof = open().await;
    assert_eq!(codes.try_code(&late(&proof), 5).await.unwrap(), CodeTry::Expired);
    let redeemed = codes.redeem(&late(&proof), &entrance(&scene)).await.unwrap();
    assert_eq!(redeemed, Redeemed::Dead);
    // A ban refuses, and the secret stays good.
    scene.outside("UPDATE customers SET status = 'banned' WHERE id = 1");
    let refused = codes.redeem(&proof, &entrance(&scene)).await.unwrap();
    assert!(
        matches!(refused, Redeemed::Session(_, Opened::Banned(_))),
        "{refused:?}"
    );
    scene.outside("UPDATE customers SET status = 'active', email = 'other@example.com' WHERE id = 1");
    let moved = codes.redeem(&proof, &entrance(&scene)).await.unwrap();
    assert_eq!(moved, Redeemed::Dead);
    scene.outside("UPDATE customers SET email = 'C1@example.com' WHERE id = 1");
    let all = EndSessions::All;
    let ended = node
        .sign_in_store()
        .end_sessions(&who, None, &all, SystemClock.now())
        .await;
    assert_eq!(ended.unwrap().len(), 0);
    assert_eq!(codes.try_code(&proof, 5).await.unwrap(), CodeTry::Dead);
    let proof = open().await;
    scene.outside("DELETE FROM customers WHERE id = 1");
    let gone = codes.redeem(&proof, &entrance(&scene)).await.unwrap();
    assert_eq!(gone, Redeemed::Dead);
    assert_eq!(live(&node, &who).await, 0);
}

async fn the_account_of_a_new_address_is_made_once_with_a_user_name_of_its_own(scene: Scene) {
    scene.outside("ALTER TABLE customers ADD COLUMN username VARCHAR(64)");
    scene.outside("UPDATE customers SET username = 'New' WHERE id = 3");
    let mut settings = scene.settings();
    for model in &mut settings.models {
        if model.name.as_str() == "customer" {
            model.cached_attributes.push("username".to_owned());
        }
    }
    let node = Store::open(scene.pool().await, settings).await.unwrap();
    let codes = node.code_store();
    let proof = opened(&scene, &*codes, (of_address("new"), "new@example.com")).await;
    let closed = Entrance {
        makes_account: false,
        ..entrance(&scene)
    };
    assert_eq!(codes.redeem(&proof, &closed).await.unwrap(), Redeemed::Dead);
    let calls = (0..16).map(|_| {
        let (codes, proof, entrance) = (node.code_store(), proof.clone(), entrance(&scene));
        tokio::spawn(async move { codes.redeem(&proof, &entrance).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut made = Vec::new();
    for call in calls {
        if let Redeemed::Session(key, Opened::Open { .. }) = call.await.unwrap() {
            made.push(key);
        }
    }
    let [account] = &made[..] else { panic!("{made:?}") };
    let identity = node.directory().find(account).await.unwrap().unwrap();
    assert!(identity.verified);
    assert_eq!(identity.attributes.get("username"), Some(&"new2".into()));
    assert_eq!(live(&node, account).await, 1);
    // Another one whose address got an account meanwhile.
    let late = opened(&scene, &*codes, (of_address("new"), "new@example.com")).await;
    assert_eq!(codes.redeem(&late, &entrance(&scene)).await.unwrap(), Redeemed::Taken);
}

/// A code of a temporary identity, with this hash.
struct Mailed(GuardName, SessionId, [u8; 32]);

impl VerificationCode for Mailed {
    fn to(&self, address: &EmailAddress, ends: OffsetDateTime) -> (NewCode, Mail) {
        let code = NewCode {
            id: self.1,
            purpose: CodePurpose::Verification,
            guard: self.0.clone(),
            hash: self.2.to_vec(),
            about: CodeAbout {
                address: address.clone(),
                session: Some(self.1),
                invite: None,
            },
            expires_at: ends,
            now: SystemClock.now(),
        };
        let mail = Mail {
            kind: MailKind::VerificationCode,
            to: address.clone(),
            language: MailLanguage::English,
            values: [].into(),
            expires_at: ends,
        };
        (code, mail)
    }
}

async fn of_64_confirmations_at_once_one_makes_a_temporary_identity_permanent(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let (who, guard) = (key("customer:1"), Arc::clone(&scene.customer));
    let session = new_session(&guard, &who);
    let ends = session.now + Duration::minutes(5);
    let mailed = |hash| Mailed(guard.name.clone(), session.id, hash);
    let codes = nodes[0].code_store();
    let held = codes.open_temporary(&session, ends, &mailed(WRONG)).await.unwrap();
    assert!(
        matches!(&held, OpenedTemporary::Open(temporary) if !temporary.was_there),
        "{held:?}"
    );
    // The next attempt is given the one that waits, and its code stays.
    let next = new_session(&guard, &who);
    let again = nodes[1].code_store();
    let again = again
        .open_temporary(&next, ends, &Mailed(guard.name.clone(), next.id, RIGHT))
        .await;
    assert!(matches!(again.unwrap(), OpenedTemporary::Open(waits) if waits.was_there && waits.id == session.id));
    let proof = |hash: [u8; 32]| CodeProof {
        id: session.id,
        purpose: CodePurpose::Verification,
        guard: guard.name.clone(),
        hash: hash.to_vec(),
        now: SystemClock.now(),
    };
    assert!(codes.resend(&proof(RIGHT), &mailed(RIGHT)).await.unwrap());
    assert_eq!(codes.try_code(&proof(WRONG), 5).await.unwrap(), CodeTry::Wrong);
    // As a code that signs in it is worth nothing.
    let as_sign_in = CodeProof {
        purpose: CodePurpose::SignIn,
        ..proof(RIGHT)
    };
    assert_eq!(codes.try_code(&as_sign_in, 5).await.unwrap(), CodeTry::Dead);
    assert_eq!(
        codes.redeem(&as_sign_in, &entrance(&scene)).await.unwrap(),
        Redeemed::Dead
    );
    let calls = (0..64).map(|n| {
        let (codes, proof) = (nodes[n % 2].code_store(), proof(RIGHT));
        let order = Confirmation {
            guard: Arc::clone(&guard),
            temporary: session.id,
            id: random(),
            now: SystemClock.now(),
        };
        tokio::spawn(async move { codes.confirm(&proof, &order).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut opened = 0;
    for call in calls {
        match call.await.unwrap() {
            Redeemed::Session(owner, Opened::Open { .. }) if owner == who => opened += 1,
            other => assert_eq!(other, Redeemed::Dead),
        }
    }
    assert_eq!((opened, live(&nodes[1], &who).await), (1, 1));
    assert!(!codes.resend(&proof(RIGHT), &mailed(RIGHT)).await.unwrap());
}
