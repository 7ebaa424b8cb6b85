//! Tenants: what is asked proves nothing, and what is held in one counts there alone.

use std::sync::Arc;

use bekci_core::{
    AccessRequest, AskedTenant, AuthError, Authorizer, ErrorCode, GuardName, Permission, RequestHead, RoleName,
    RoleTable, RouteRule, ScopedRights, TenantName, Verdict,
};

use crate::{
    admitted, head,
    ports::{Holdings, House},
    rule,
};

fn tenant(name: &str) -> TenantName {
    TenantName::new(name).unwrap()
}

fn scope(tenant_name: Option<&str>, roles: &[&str], granted: &[&str], denied: &[&str]) -> ScopedRights {
    let permissions = |texts: &[&str]| texts.iter().map(|text| Permission::new(text).unwrap()).collect();
    ScopedRights {
        guard: GuardName::new("customer").unwrap(),
        tenant: tenant_name.map(tenant),
        roles: roles.iter().map(|role| RoleName::new(role).unwrap()).collect(),
        granted: permissions(granted),
        denied: permissions(denied),
    }
}

fn table(rows: &[(&str, &str)]) -> Arc<RoleTable> {
    let row =
        |(role, permission): &(&str, &str)| (RoleName::new(role).unwrap(), vec![Permission::new(permission).unwrap()]);
    Arc::new(RoleTable::new(1, rows.iter().map(row)))
}

/// What came of asking about a tenant, by a token that was made for the one after its `_`.
fn ask(house: &House, rule: &RouteRule, asked: AskedTenant<'_>, token: &str) -> Result<(), ErrorCode> {
    let bearer = format!("Bearer {token}");
    let bearer: [&[u8]; 1] = [bearer.as_bytes()];
    let asked = RequestHead {
        tenant: asked,
        ..head("GET", &bearer, &[])
    };
    let admitted = admitted(house, &asked, rule);
    admitted.map(drop).map_err(|error| error.code())
}

const FORBIDDEN: Result<(), ErrorCode> = Err(ErrorCode::Forbidden);

#[test]
fn asking_about_a_tenant_proves_nothing() {
    let house = House::new();
    let bearer: [&[u8]; 1] = [b"Bearer c.customer.1"];
    let acme = tenant("acme");
    let asked = RequestHead {
        tenant: AskedTenant::Named(&acme),
        ..head("GET", &bearer, &[])
    };
    assert_eq!(
        admitted(&house, &asked, &rule(&[&house.customer])).unwrap_err(),
        AuthError::NotInTenant("acme".into())
    );
}

#[test]
fn an_account_of_a_tenant_belongs_to_that_one_alone_whatever_it_holds_elsewhere() {
    let house = House::new();
    house.source.hold(Holdings {
        own: Some(tenant("acme")),
        rights: vec![scope(Some("globex"), &[], &["orders.view"], &[])],
        ..Holdings::default()
    });
    let route = rule(&[&house.customer]);
    let named = |name: &str| ask(&house, &route, AskedTenant::Named(&tenant(name)), "c.customer.1");
    assert_eq!(named("acme"), Ok(()));
    assert_eq!(named("globex"), FORBIDDEN);
}

#[test]
fn a_denial_in_a_tenant_makes_nobody_belong_to_it() {
    let house = House::new();
    house.source.hold(Holdings {
        rights: vec![
            scope(None, &[], &["orders.view"], &[]),
            scope(Some("acme"), &[], &[], &["orders.view"]),
            scope(Some("globex"), &[], &["orders.count"], &[]),
        ],
        ..Holdings::default()
    });
    let route = rule(&[&house.customer]);
    let named = |name: &str| ask(&house, &route, AskedTenant::Named(&tenant(name)), "c.customer.1");
    assert_eq!((named("acme"), named("globex")), (FORBIDDEN, Ok(())));
}

#[test]
fn a_claim_must_be_the_tenant_that_is_asked_about() {
    let house = House::new();
    house.source.hold(Holdings {
        rights: vec![
            scope(None, &[], &["orders.view"], &[]),
            scope(Some("acme"), &[], &["orders.view"], &[]),
            scope(Some("globex"), &[], &["orders.view"], &[]),
        ],
        ..Holdings::default()
    });
    let route = rule(&[&house.customer]);
    let acme = tenant("acme");
    let named = AskedTenant::Named(&acme);
    assert_eq!(ask(&house, &route, named, "c.customer.1_acme"), Ok(()));
    assert_eq!(ask(&house, &route, named, "c.customer.1"), Ok(()), "made for none");
    assert_eq!(ask(&house, &route, named, "c.customer.1_globex"), FORBIDDEN);
}

#[test]
fn by_claim_the_tenant_is_that_of_the_token_and_without_one_nothing_of_any_tenant_counts() {
    let house = House::new();
    house.source.hold(Holdings {
        rights: vec![scope(Some("acme"), &[], &["orders.view"], &[])],
        ..Holdings::default()
    });
    let route = RouteRule {
        permissions: vec![Permission::new("orders.view").unwrap()],
        ..rule(&[&house.customer])
    };
    let claimed = |token: &str| ask(&house, &route, AskedTenant::Claimed, token);
    assert_eq!(claimed("c.customer.1_acme"), Ok(()));
    assert_eq!(claimed("c.customer.1"), FORBIDDEN);
    assert_eq!(claimed("c.customer.1_globex"), FORBIDDEN, "it does not belong there");
}

#[test]
fn roles_of_one_name_permit_in_each_tenant_what_it_says() {
    let house = House::new();
    house.source.hold(Holdings {
        rights: vec![
            scope(Some("acme"), &["keeper"], &[], &[]),
            scope(Some("globex"), &["keeper"], &[], &[]),
        ],
        global_roles: table(&[("keeper", "orders.count")]),
        tenant_roles: vec![
            (tenant("acme"), table(&[("keeper", "orders.view")])),
            (tenant("globex"), table(&[("keeper", "orders.delete")])),
        ],
        ..Holdings::default()
    });
    for (name, permission, allowed) in [
        ("acme", "orders.view", true),
        ("acme", "orders.delete", false),
        ("acme", "orders.count", false),
        ("globex", "orders.delete", true),
        ("globex", "orders.view", false),
    ] {
        let route = RouteRule {
            permissions: vec![Permission::new(permission).unwrap()],
            ..rule(&[&house.customer])
        };
        let got = ask(&house, &route, AskedTenant::Named(&tenant(name)), "c.customer.1");
        assert_eq!(got.is_ok(), allowed, "{name} {permission}");
        let none = ask(&house, &route, AskedTenant::None, "c.customer.1");
        assert_eq!(none, FORBIDDEN, "{permission} where no tenant is asked about");
    }
}

#[test]
fn a_denial_in_one_tenant_takes_a_global_right_there_and_nowhere_else() {
    let house = House::new();
    house.source.hold(Holdings {
        rights: vec![
            scope(None, &[], &["orders.*"], &[]),
            scope(Some("acme"), &["guest"], &[], &["orders.delete"]),
            scope(Some("globex"), &["guest"], &[], &[]),
        ],
        ..Holdings::default()
    });
    let route = RouteRule {
        permissions: vec![Permission::new("orders.delete").unwrap()],
        ..rule(&[&house.customer])
    };
    let named = |name: &str| ask(&house, &route, AskedTenant::Named(&tenant(name)), "c.customer.1");
    assert_eq!((named("acme"), named("globex")), (FORBIDDEN, Ok(())));
    assert_eq!(ask(&house, &route, AskedTenant::None, "c.customer.1"), Ok(()));
}

/// Lets in what is asked in `acme` alone.
#[derive(Debug)]
struct AcmeAlone;

impl Authorizer for AcmeAlone {
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict {
        if request.tenant.is_some_and(|tenant| tenant.as_str() == "acme") {
            Verdict::Allow { reason: "acme".into() }
        } else {
            Verdict::Deny {
                reason: "not acme".into(),
            }
        }
    }
}

#[test]
fn policies_are_asked_about_the_tenant_by_whatever_way_it_was_named() {
    let house = House::new();
    let member = |name| scope(Some(name), &[], &["orders.view"], &[]);
    house.source.hold(Holdings {
        rights: vec![member("acme"), member("globex")],
        policy: Some(Arc::new(AcmeAlone)),
        ..Holdings::default()
    });
    let route = RouteRule {
        policy: true,
        ..rule(&[&house.customer])
    };
    let denied = Err(ErrorCode::PolicyDenied);
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    for (asked, token, expected) in [
        (AskedTenant::Named(&acme), "c.customer.1", Ok(())),
        (AskedTenant::Named(&globex), "c.customer.1", denied),
        (AskedTenant::None, "c.customer.1_acme", denied),
        (AskedTenant::Claimed, "c.customer.1_acme", Ok(())),
        (AskedTenant::Claimed, "c.customer.1_globex", denied),
        (AskedTenant::Claimed, "c.customer.1", denied),
    ] {
        assert_eq!(ask(&house, &route, asked, token), expected, "{asked:?} {token}");
    }
}
