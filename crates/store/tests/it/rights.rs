//! Who may what, case by case as `data/rights.tsv` has them: written to a database, read by the store, decided by the gate.
//!
//! The cases follow the documented rules of spatie/laravel-permission; where the answer here is another one, the case says why.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bekci_core::{
    AskedTenant, AuthError, AuthGuard, BearerToken, Gate, GateParts, GuardChain, GuardName, HeaderCredential, IdKind,
    IdentityVersion, ModelName, Permission, PrincipalKey, RequestHead, RoleName, RouteRule, TenantName, TokenFault,
    TokenId, TokenKind, TokenVerifier, VerifiedClaims,
};
use bekci_store::{Store, StoreSettings, SystemClock};
use sea_orm::ConnectionTrait;

use crate::scene::{Kind, Scene, key, sign_in, until};

const CASES: &str = include_str!("../data/rights.tsv");

/// One line of the table.
struct Case {
    line: usize,
    holds: &'static str,
    guard: &'static str,
    tenant: &'static str,
    asked: &'static str,
    laravel: &'static str,
    bekci: &'static str,
    why: &'static str,
}

/// The lines that are no remark, with their numbers, in their columns; `-` is nothing.
fn lines() -> impl Iterator<Item = (usize, Vec<&'static str>)> {
    let said = |(at, line): (usize, &'static str)| {
        let columns = line.split('\t').map(|column| if column == "-" { "" } else { column });
        (!line.starts_with('#')).then(|| (at + 1, columns.collect()))
    };
    CASES.lines().enumerate().filter_map(said)
}

fn cases() -> Vec<Case> {
    let case = |(line, columns): (usize, Vec<&'static str>)| match columns[..] {
        ["@role", ..] => None,
        [_, holds, guard, tenant, asked, laravel, bekci, why] => Some(Case {
            line,
            holds,
            guard,
            tenant,
            asked,
            laravel,
            bekci,
            why,
        }),
        _ => panic!("line {line} has {} columns", columns.len()),
    };
    lines().filter_map(case).collect()
}

/// What each line is about, without a database.
#[test]
fn every_case_says_yes_or_no_and_why_where_it_differs() {
    let cases = cases();
    assert!(cases.len() >= 200, "{}", cases.len());
    for case in &cases {
        let known = |answer| matches!(answer, "yes" | "no");
        assert!(known(case.laravel) && known(case.bekci), "line {}", case.line);
        assert_eq!(case.laravel == case.bekci, case.why.is_empty(), "line {}", case.line);
    }
}

/// A token is `<guard>/<key>/<session>`: what is judged here is rights, and bekci-token has tests of its own.
#[derive(Debug)]
struct Readable(HashMap<String, Arc<VerifiedClaims>>);

impl Readable {
    fn of(&self, token: BearerToken<'_>) -> Result<&Arc<VerifiedClaims>, TokenFault> {
        self.0.get(token.expose()).ok_or(TokenFault::UnknownKey)
    }
}

impl TokenVerifier for Readable {
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        self.of(token).map(|claims| claims.guard.clone())
    }

    fn verify(&self, _: &GuardName, _: TokenKind, token: BearerToken<'_>) -> Result<Arc<VerifiedClaims>, TokenFault> {
        self.of(token).map(Arc::clone)
    }
}

fn claims(guard: &AuthGuard, key: &PrincipalKey, session: TokenId) -> Arc<VerifiedClaims> {
    Arc::new(VerifiedClaims {
        kind: TokenKind::Access,
        guard: guard.name.clone(),
        key: key.clone(),
        session,
        generation: 0,
        version: IdentityVersion(0),
        tenant: None,
        id: TokenId([1; 16]),
        issued_at: 0,
        expires_at: i64::MAX,
    })
}

/// The statements that give a principal what a case says that it holds.
fn given(id: usize, holds: &str) -> Vec<String> {
    let one = |right: &str| {
        let (place, name) = right.split_once(':').unwrap();
        let (guard, place) = place.split_once('/').unwrap_or(("customer", place));
        let (kind, tenant) = place.split_once('@').unwrap_or((place, ""));
        let scope = format!("'customer', '{id}', '{guard}', '{tenant}', '{name}'");
        match kind {
            "role" => format!("INSERT INTO bekci_principal_roles VALUES ({scope})"),
            "grant" => format!("INSERT INTO bekci_principal_permissions VALUES ({scope}, FALSE)"),
            "deny" => format!("INSERT INTO bekci_principal_permissions VALUES ({scope}, TRUE)"),
            _ => panic!("{right}"),
        }
    };
    holds.split_whitespace().map(one).collect()
}

fn role_statements() -> Vec<String> {
    let mut statements = Vec::new();
    for (line, columns) in lines() {
        let ["@role", guard, tenant, name, permissions] = columns[..] else {
            continue;
        };
        statements.push(format!(
            "INSERT INTO bekci_roles (id, guard, tenant, name) VALUES ({}, '{guard}', '{tenant}', '{name}')",
            1_000 + line
        ));
        let permits = permissions.split_whitespace();
        statements.extend(permits.map(|permission| {
            format!(
                "INSERT INTO bekci_role_permissions VALUES ({}, '{permission}')",
                1_000 + line
            )
        }));
    }
    statements
}

/// The rule of a route that asks what a case asks.
fn rule(guard: &Arc<AuthGuard>, asked: &str) -> RouteRule {
    let (kind, names) = asked.split_once(':').unwrap();
    let names: Vec<&str> = names.split('|').collect();
    let permissions = || names.iter().map(|name| Permission::new(name).unwrap()).collect();
    let mut rule = RouteRule::guarded("asked", GuardChain::new([Arc::clone(guard)]));
    match kind {
        "can" | "all" => rule.permissions = permissions(),
        "any" => rule.any_permission = permissions(),
        "role" => rule.roles = names.iter().map(|name| RoleName::new(name).unwrap()).collect(),
        "either" => {
            rule.role_or_permission = names
                .iter()
                .map(|name| (RoleName::new(name).ok(), Permission::new(name).ok()))
                .collect()
        }
        _ => panic!("{asked}"),
    }
    rule
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_answers_every_case_as_the_table_says() {
    let cases = cases();
    let scene = Scene::new(Kind::Sqlite).await;
    let shop = AuthGuard::new(
        GuardName::new("shop").unwrap(),
        ModelName::new("customer").unwrap(),
        IdKind::Integer,
        false,
    );
    let guards = HashMap::from([("customer", Arc::clone(&scene.customer)), ("shop", Arc::new(shop))]);
    let mut holders: Vec<&str> = cases.iter().map(|case| case.holds).collect();
    holders.sort_unstable();
    holders.dedup();
    let id_of = |holds: &str| 100 + holders.iter().position(|known| *known == holds).unwrap();

    // From outside and before the node opens: what is there is what it reads.
    let mut written = vec![
        "BEGIN".to_owned(),
        "DELETE FROM bekci_role_permissions".to_owned(),
        "DELETE FROM bekci_roles".to_owned(),
    ];
    written.extend(role_statements());
    for holds in &holders {
        let id = id_of(holds);
        written.push(format!(
            "INSERT INTO customers (id, email, name, status) VALUES ({id}, 'h{id}@example.com', 'Holder', 'active')"
        ));
        written.extend(given(id, holds));
    }
    written.push("COMMIT".to_owned());
    scene
        .pool()
        .await
        .execute_unprepared(&written.join(";\n"))
        .await
        .unwrap();
    let settings = StoreSettings {
        guards: vec![
            Arc::clone(&scene.admin),
            Arc::clone(&guards["customer"]),
            Arc::clone(&guards["shop"]),
        ],
        ..scene.settings()
    };
    let store = Store::open(scene.pool().await, settings).await.unwrap();
    until(|| store.is_trusted()).await;

    let mut tokens = HashMap::new();
    for case in &cases {
        let (guard, holder) = (&guards[case.guard], key(&format!("customer:{}", id_of(case.holds))));
        let token = format!("{}.{}", case.guard, id_of(case.holds));
        if let Entry::Vacant(vacant) = tokens.entry(token) {
            let session = sign_in(&store, guard, &holder).await;
            vacant.insert(claims(guard, &holder, session));
        }
    }
    let gate = Gate::new(GateParts {
        verifier: Arc::new(Readable(tokens)),
        identities: store.identities(),
        clock: Arc::new(SystemClock),
    });
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = ask(&gate, &guards[case.guard], case, id_of(case.holds)).await;
        if answer != case.bekci {
            wrong.push(format!(
                "line {}: {:?} asks {} in {:?}: {answer}, not {}",
                case.line, case.holds, case.asked, case.tenant, case.bekci
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

async fn ask(gate: &Gate, guard: &Arc<AuthGuard>, case: &Case, id: usize) -> &'static str {
    let bearer = format!("Bearer {}.{id}", case.guard);
    let tenant = (!case.tenant.is_empty()).then(|| TenantName::new(case.tenant).unwrap());
    let head = RequestHead {
        method: "GET",
        path: "/asked",
        tenant: tenant.as_ref().map_or(AskedTenant::None, AskedTenant::Named),
        authorization: HeaderCredential::read(&[bearer.as_bytes()]),
        cookies: &[],
        fetch_site: None,
        csrf_token: None,
        secured: None,
    };
    match gate.admit(&head, &rule(guard, case.asked)).await {
        Ok(_) => "yes",
        Err(AuthError::MissingRight(_) | AuthError::NotInTenant(_)) => "no",
        Err(error) => panic!("line {}: {error}", case.line),
    }
}
