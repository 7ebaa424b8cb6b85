use std::collections::HashMap;

use bekci_core::{AccessRequest, GuardName, IdKind, ModelName, PrincipalId, PrincipalKey, RoleName};
use bekci_test_support::{Chance, by_chance};

/// Names and ids made of what separates them somewhere, so that a wrong grammar meets itself soon.
const LETTERS: &str = "aabb1122_-:{}*,@. \n\0";

fn some(chance: &mut Chance) -> String {
    chance.text(LETTERS, 6)
}

fn key(model: &str, id: &str) -> Option<PrincipalKey> {
    let (model, id) = (ModelName::new(model).ok()?, PrincipalId::new(IdKind::Text, id).ok()?);
    Some(PrincipalKey::new(&model, &id))
}

#[test]
fn two_principals_never_have_one_key_nor_one_subject() {
    let mut keys: HashMap<String, (String, String)> = HashMap::new();
    let guard = GuardName::new("customer").unwrap();
    by_chance(20_000, |chance| {
        let (model, id) = (chance.text("ab1_:", 4), some(chance));
        let Some(key) = key(&model, &id) else { return };
        assert_eq!((key.model(), key.id()), (&*model, &*id));
        assert_eq!(PrincipalKey::parse(key.as_str()).as_ref(), Ok(&key));
        let request = AccessRequest {
            principal: &key,
            guard: &guard,
            roles: &[],
            tenant: None,
            object: "/",
            action: "GET",
        };
        for name in [key.to_string(), request.subjects().next().unwrap()] {
            let owner = keys.entry(name).or_insert_with(|| (model.clone(), id.clone()));
            assert_eq!(*owner, (model.clone(), id.clone()));
        }
    });
    assert!(keys.len() > 300, "{}: too few were valid", keys.len());
}

#[test]
fn a_key_that_is_read_is_spelt_as_it_was() {
    let mut read = 0;
    by_chance(20_000, |chance| {
        let text = format!("{}:{}", chance.text("ab1_", 3), some(chance));
        for text in [
            text.clone(),
            text.replace(':', ""),
            format!("{text}:1"),
            format!(" {text}"),
            format!("{text}\n"),
        ] {
            let Ok(key) = PrincipalKey::parse(&text) else { continue };
            read += 1;
            assert_eq!(key.as_str(), text);
            assert_eq!(text.matches(':').count(), 1);
            assert!(!text.contains(['{', '}', '*', '@', ' ', '\n', '\0', ',']), "{text:?}");
        }
    });
    assert!(read > 300, "{read}: too few were valid");
}

#[test]
fn a_role_of_one_guard_is_no_role_of_another_and_no_principal() {
    let mut subjects: HashMap<String, (String, String)> = HashMap::new();
    let principal = PrincipalKey::parse("role:customer").unwrap();
    by_chance(20_000, |chance| {
        let (guard, role) = (chance.text("ab1_:", 3), chance.text("ab1_-:", 4));
        let (Ok(named), Ok(_)) = (GuardName::new(&guard), RoleName::new(&role)) else {
            return;
        };
        let request = AccessRequest {
            principal: &principal,
            guard: &named,
            roles: &[&role],
            tenant: None,
            object: "/",
            action: "GET",
        };
        let all: Vec<String> = request.subjects().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], "principal:role:customer");
        assert!(all[1].starts_with("role:"), "{all:?}");
        let owner = subjects
            .entry(all[1].clone())
            .or_insert_with(|| (guard.clone(), role.clone()));
        assert_eq!(*owner, (guard, role), "{all:?}");
    });
    assert!(subjects.len() > 300, "{}: too few were valid", subjects.len());
}

#[test]
fn an_id_of_a_kind_has_one_spelling() {
    by_chance(5_000, |chance| {
        let number = chance.number() >> (1 + chance.below(60));
        for odd in [
            format!("0{number}"),
            format!("+{number}"),
            format!(" {number}"),
            format!("{number} "),
            format!("-{number}"),
        ] {
            assert!(PrincipalId::new(IdKind::Integer, &odd).is_err(), "{odd:?}");
        }
        assert_eq!(
            PrincipalId::new(IdKind::Integer, &number.to_string()).unwrap().as_str(),
            number.to_string()
        );
        let odd = some(chance);
        if let Ok(id) = PrincipalId::new(IdKind::Integer, &odd) {
            assert_eq!(odd.parse::<u64>().unwrap().to_string(), id.as_str());
        }
    });
}
