//! `register = "invite"`: invitations with a role, made, revoked, and accepted once by a new account or by one that is signed in.

use bekci_test_support::unique;
use serde_json::{Value, json};

use super::{Link, Mailing, OTHER, fresh_address, lets_in, tokens};
use crate::{
    http::{Answer, Ask, ask, get, post},
    people::{Person, Tokens, in_the_end},
};

on_every_mailing! { inviting;
    an_invitation_makes_an_account_with_its_role_once,
    an_account_that_is_signed_in_accepts_an_invitation_to_its_address_alone,
    an_invitation_needs_the_right_to_grant_its_role,
    an_invitation_is_worth_nothing_without_the_rights_of_its_inviter,
    an_invitation_is_worth_nothing_when_its_role_is_another,
    a_revoked_an_expired_and_a_malformed_token_are_refused_alike,
    of_64_acceptances_one_succeeds,
    an_admin_invites_to_a_role_and_another_lists_and_revokes_it,
    an_admin_invites_to_no_role_that_it_could_not_assign,
    an_invitation_of_an_admin_is_worth_nothing_without_its_rights,
}

const INVALID: &str = "401 CODE_INVALID";

/// A customer who may invite to the roles that it holds.
struct Inviter {
    person: Person,
    tokens: Tokens,
}

fn register(email: &str, token: &Value) -> Ask {
    let body = json!({"email": email, "password": OTHER, "inviteToken": token});
    post("/auth/customer/register").json(&body)
}

fn accept(who: &Tokens, token: &str) -> Ask {
    who.ask("POST", "invites/accept").json(&json!({"inviteToken": token}))
}

fn orders(who: &Tokens, mailing: &Mailing) -> [String; 2] {
    [mailing.here(), mailing.there()].map(|node| get("/orders/x").bearer(&who.access).to(node).verdict())
}

impl Mailing {
    fn permit(&self, person: &Person, permission: &str) {
        self.house.sql(&format!(
            "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) VALUES ('customer', '{}', 'customer', '', '{permission}', FALSE)",
            person.id
        ));
    }

    fn inviter(&self, role: &str) -> Inviter {
        let person = self.house.person("customer", role);
        self.permit(&person, "invites.create");
        let tokens = person.sign_in(self.here());
        Inviter { person, tokens }
    }

    /// A role of its own, which only this inviter holds.
    fn inviter_of_a_new_role(&self) -> (Inviter, String) {
        let role = unique("role").replace('_', "-").to_lowercase();
        self.add_role(&role);
        (self.inviter(&role), role)
    }

    fn add_role(&self, role: &str) {
        self.house.sql(&format!(
            "INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', '{role}')"
        ));
    }

    /// The token of the newest invitation to an address, and the id.
    fn invited(&self, inviter: &Inviter, email: &str, role: &str) -> (String, String) {
        let made = invite(inviter, email, role).to(self.here());
        assert_eq!(made.verdict(), "202", "{}", String::from_utf8_lossy(&made.body));
        let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
        let mut token = None;
        self.until(|| {
            self.smtp
                .received()
                .iter()
                .any(|mail| mail.to.iter().any(|to| to == email))
        });
        for count in 1..10 {
            let links: Vec<Link> = self.mails(email, count).iter().filter_map(Link::of).collect();
            token = links.into_iter().find(|link| link.reference == id);
            if token.is_some() {
                break;
            }
        }
        let link = token.unwrap();
        assert_eq!(link.kind, "invite");
        (link.code, id)
    }
}

fn invite(inviter: &Inviter, email: &str, role: &str) -> Ask {
    let body = json!({"email": email, "role": role});
    inviter.tokens.ask("POST", "invites").json(&body)
}

fn pending(inviter: &Inviter, mailing: &Mailing) -> Vec<String> {
    let listed = inviter.tokens.ask("GET", "invites").to(mailing.there());
    assert_eq!(listed.verdict(), "200");
    let listed = listed.json()["data"].as_array().unwrap().clone();
    listed
        .iter()
        .map(|invite| invite["id"].as_str().unwrap().to_owned())
        .collect()
}

fn an_invitation_makes_an_account_with_its_role_once(mailing: &Mailing) {
    let here = mailing.here();
    let inviter = mailing.inviter("buyer");
    let (email, other) = (fresh_address("invited"), fresh_address("not-invited"));
    let (token, id) = mailing.invited(&inviter, &email, "buyer");
    assert_eq!(pending(&inviter, mailing), [&*id]);
    // A dump has neither the token nor the address.
    let dump = mailing.house.sql("SELECT * FROM bekci_codes");
    assert!(!dump.contains(&email) && !dump.contains(&token[4..]), "{dump}");
    // A registration needs an invitation, and one to its own address.
    let without = json!({"email": other, "password": OTHER});
    let without = post("/auth/customer/register").json(&without).to(here);
    assert_eq!(without.verdict(), "403 REGISTRATION_CLOSED");
    assert_eq!(
        register(&email, &Value::Null).to(here).verdict(),
        "403 REGISTRATION_CLOSED"
    );
    assert_eq!(register(&other, &json!(token)).to(here).verdict(), INVALID);
    for field in ["role", "roles", "tenant", "status"] {
        let mut body = json!({"email": email, "password": OTHER, "inviteToken": token});
        body[field] = json!("super-admin");
        let answer = post("/auth/customer/register").json(&body).to(here);
        assert!([400, 422].contains(&answer.status), "{field}: {}", answer.verdict());
    }
    if let Some(redis) = &mailing.house.redis {
        redis.cli(&["FLUSHALL"]);
    }
    let answer = register(&email.to_uppercase(), &json!(token)).to(mailing.there());
    let signed_in = tokens(&answer);
    assert_eq!(answer.json()["data"]["user"]["roles"], json!(["buyer"]));
    assert_eq!(orders(&signed_in, mailing), ["200", "200"]);
    for node in [here, mailing.there()] {
        assert_eq!(lets_in(&signed_in, node), "200");
        assert_eq!(register(&email, &json!(token)).to(node).verdict(), INVALID);
        assert_eq!(accept(&signed_in, &token).to(node).verdict(), INVALID);
    }
    assert_eq!(pending(&inviter, mailing), [""; 0]);
    // Who read the mail has the address.
    let row = mailing.house.sql(&format!(
        "SELECT email_verified_at IS NULL FROM customers WHERE lower(email) = '{email}'"
    ));
    assert!(["0", "f"].contains(&row.as_str()), "{row}");
}

fn an_account_that_is_signed_in_accepts_an_invitation_to_its_address_alone(mailing: &Mailing) {
    let inviter = mailing.inviter("buyer");
    let (guest, stranger) = (
        mailing.house.person("customer", "reader"),
        mailing.house.person("customer", "reader"),
    );
    let (own, foreign) = (guest.sign_in(mailing.here()), stranger.sign_in(mailing.here()));
    let (token, _) = mailing.invited(&inviter, &guest.email, "buyer");
    assert_eq!(orders(&own, mailing), ["403 FORBIDDEN"; 2]);
    assert_eq!(accept(&foreign, &token).to(mailing.here()).verdict(), INVALID);
    let without = post("/auth/customer/invites/accept").json(&json!({"inviteToken": token}));
    assert_eq!(without.to(mailing.here()).verdict(), "401 TOKEN_MISSING");
    // Guards that make no accounts have no invitations.
    let admin = mailing.house.person("admin", "super-admin").sign_in(mailing.here());
    assert_eq!(accept(&admin, &token).to(mailing.here()).verdict(), "404 NOT_FOUND");
    // An account that there is is not made again by it.
    assert_eq!(
        register(&guest.email, &json!(token)).to(mailing.here()).verdict(),
        "409 CONFLICT"
    );
    assert_eq!(accept(&own, &token).to(mailing.there()).verdict(), "200");
    // In force on every node, with the tokens of before, in the next request.
    assert_eq!(orders(&own, mailing), ["200", "200"]);
    assert_eq!(orders(&foreign, mailing), ["403 FORBIDDEN"; 2]);
    assert_eq!(accept(&own, &token).to(mailing.here()).verdict(), INVALID);
}

fn an_invitation_needs_the_right_to_grant_its_role(mailing: &Mailing) {
    let email = fresh_address("never-invited");
    let refused = |who: &Tokens, role: &str| -> Answer {
        let body = json!({"email": email, "role": role});
        who.ask("POST", "invites").json(&body).to(mailing.here())
    };
    let plain = mailing.house.customer().sign_in(mailing.here());
    let answer = refused(&plain, "buyer");
    assert_eq!(answer.verdict(), "403 FORBIDDEN");
    assert_eq!(
        answer.json()["error"]["details"]["missing"],
        "permission invites.create"
    );
    let inviter = mailing.inviter("reader");
    let answer = refused(&inviter.tokens, "buyer");
    assert_eq!(answer.verdict(), "403 FORBIDDEN");
    assert!(answer.json()["error"]["details"]["missing"].is_string());
    assert_eq!(
        refused(&inviter.tokens, "no-such-role").verdict(),
        "422 VALIDATION_FAILED"
    );
    assert_eq!(
        refused(&inviter.tokens, "Not A Role").verdict(),
        "422 VALIDATION_FAILED"
    );
    for (field, value) in [
        ("email", json!("a@x,b@y.test")),
        ("email", json!("a@x\r\nBcc: v@y.test")),
        ("tenant", json!("A B")),
    ] {
        let mut body = json!({"email": email, "role": "reader"});
        body[field] = value;
        let answer = inviter.tokens.ask("POST", "invites").json(&body).to(mailing.here());
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{field}");
    }
    let outside = json!({"email": email, "role": "reader", "redirectUri": "https://evil.test/"});
    let outside = inviter.tokens.ask("POST", "invites").json(&outside).to(mailing.here());
    assert_eq!(outside.verdict(), "422 VALIDATION_FAILED");
    // A denial wins.
    mailing.house.sql(&format!(
        "UPDATE bekci_principal_permissions SET denied = TRUE WHERE model = 'customer' AND id = '{}'",
        inviter.person.id
    ));
    assert_eq!(refused(&inviter.tokens, "reader").verdict(), "403 FORBIDDEN");
    assert!(mailing.smtp.received().iter().all(|mail| !mail.to.contains(&email)));
    // An account cannot invite itself, since it cannot change its own rights. The permission to give a role is not the role.
    let giver = mailing.inviter("reader");
    for permission in ["bekci.roles.give.customer.buyer", "orders.*"] {
        mailing.permit(&giver.person, permission);
    }
    let (token, _) = mailing.invited(&giver, &giver.person.email, "buyer");
    assert_eq!(accept(&giver.tokens, &token).to(mailing.here()).verdict(), INVALID);
    assert_eq!(orders(&giver.tokens, mailing), ["403 FORBIDDEN"; 2]);
    // Another one gets it from the same inviter.
    let guest = mailing.house.person("customer", "reader");
    let (token, _) = mailing.invited(&giver, &guest.email, "buyer");
    let own = guest.sign_in(mailing.here());
    assert_eq!(accept(&own, &token).to(mailing.here()).verdict(), "200");
}

/// Neither a new account nor one that there is accepts the invitation after the change.
fn is_worth_nothing_after(mailing: &Mailing, changes: impl Fn(&Inviter, &str) -> Vec<String>) {
    let (inviter, role) = mailing.inviter_of_a_new_role();
    let (email, guest) = (fresh_address("let-down"), mailing.house.person("customer", "reader"));
    let own = guest.sign_in(mailing.here());
    let tokens = [&email, &guest.email].map(|email| mailing.invited(&inviter, email, &role).0);
    let changes = changes(&inviter, &role);
    for change in &changes {
        mailing.house.sql(change);
    }
    assert_eq!(
        register(&email, &json!(tokens[0])).to(mailing.here()).verdict(),
        INVALID,
        "{changes:?}"
    );
    assert_eq!(
        accept(&own, &tokens[1]).to(mailing.there()).verdict(),
        INVALID,
        "{changes:?}"
    );
    let made = mailing
        .house
        .sql(&format!("SELECT count(*) FROM customers WHERE email = '{email}'"));
    assert_eq!(made, "0", "{changes:?}");
}

fn an_invitation_is_worth_nothing_without_the_rights_of_its_inviter(mailing: &Mailing) {
    type Changes = fn(&Inviter, &str) -> Vec<String>;
    let changes: [Changes; 6] = [
        |inviter, _| {
            vec![format!(
                "DELETE FROM bekci_principal_permissions WHERE model = 'customer' AND id = '{}'",
                inviter.person.id
            )]
        },
        |inviter, _| {
            vec![format!(
                "UPDATE bekci_principal_permissions SET denied = TRUE WHERE model = 'customer' AND id = '{}'",
                inviter.person.id
            )]
        },
        |inviter, _| {
            vec![format!(
                "DELETE FROM bekci_principal_roles WHERE model = 'customer' AND id = '{}'",
                inviter.person.id
            )]
        },
        |inviter, _| {
            vec![format!(
                "UPDATE customers SET status = 'banned' WHERE id = {}",
                inviter.person.id
            )]
        },
        |inviter, _| {
            vec![format!(
                "UPDATE customers SET status = 'pending' WHERE id = {}",
                inviter.person.id
            )]
        },
        |inviter, _| vec![format!("DELETE FROM customers WHERE id = {}", inviter.person.id)],
    ];
    for change in changes {
        is_worth_nothing_after(mailing, change);
    }
}

fn an_invitation_is_worth_nothing_when_its_role_is_another(mailing: &Mailing) {
    // Renamed.
    is_worth_nothing_after(mailing, |_, role| {
        vec![format!(
            "UPDATE bekci_roles SET name = '{role}-2' WHERE name = '{role}'"
        )]
    });
    // Moved to a tenant.
    is_worth_nothing_after(mailing, |_, role| {
        vec![format!("UPDATE bekci_roles SET tenant = 'acme' WHERE name = '{role}'")]
    });
    // Deleted, and made again with the same name and the same holder.
    is_worth_nothing_after(mailing, |inviter, role| {
        vec![
            format!("DELETE FROM bekci_roles WHERE name = '{role}'"),
            "INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', 'between-' || (SELECT count(*) FROM bekci_roles))".to_owned(),
            format!("INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', '{role}')"),
            format!(
                "INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '{}', 'customer', '{role}')",
                inviter.person.id
            ),
        ]
    });
}

fn a_revoked_an_expired_and_a_malformed_token_are_refused_alike(mailing: &Mailing) {
    let (inviter, stranger) = (mailing.inviter("buyer"), mailing.inviter("buyer"));
    let email = fresh_address("revoked");
    let (token, id) = mailing.invited(&inviter, &email, "buyer");
    let revoke = |who: &Inviter, id: &str| {
        ask("DELETE", &format!("/auth/customer/invites/{id}"))
            .bearer(&who.tokens.access)
            .to(mailing.here())
            .verdict()
    };
    // Only its inviter sees and revokes it.
    assert_eq!(pending(&stranger, mailing), [""; 0]);
    assert_eq!(revoke(&stranger, &id), "404 NOT_FOUND");
    assert_eq!(revoke(&inviter, &"0".repeat(32)), "404 NOT_FOUND");
    assert_eq!(revoke(&inviter, "x"), "404 NOT_FOUND");
    assert_eq!(pending(&inviter, mailing), [&*id]);
    assert_eq!(revoke(&inviter, &id), "200");
    assert_eq!(register(&email, &json!(token)).to(mailing.there()).verdict(), INVALID);
    assert_eq!(revoke(&inviter, &id), "404 NOT_FOUND");
    let (token, id) = mailing.invited(&inviter, &email, "buyer");
    mailing.house.sql(&format!(
        "UPDATE bekci_codes SET expires_at = expires_at - 604800000000 WHERE id = '{id}'"
    ));
    let mut tampered = token.clone();
    let last = if token.ends_with('A') { "B" } else { "A" };
    tampered.replace_range(30..31, if &token[30..31] == "A" { "B" } else { "A" });
    let told: Vec<Value> = [
        token.clone(),
        tampered,
        format!("{}{last}", &token[..token.len() - 1]),
        token[4..].to_owned(),
        "bki_".to_owned(),
        String::new(),
        id,
        "x".repeat(5_000),
    ]
    .iter()
    .map(|token| {
        let answer = register(&email, &json!(token)).to(mailing.here());
        assert_eq!(answer.verdict(), INVALID, "{token}");
        let mut error = answer.json()["error"].clone();
        error["requestId"] = Value::Null;
        error
    })
    .collect();
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!(pending(&inviter, mailing), [""; 0]);
}

fn of_64_acceptances_one_succeeds(mailing: &Mailing) {
    let inviter = mailing.inviter("buyer");
    let email = fresh_address("stormed-invitation");
    let guest = mailing.house.person("customer", "reader");
    let own = guest.sign_in(mailing.here());
    let by_new = mailing.invited(&inviter, &email, "buyer").0;
    let by_guest = mailing.invited(&inviter, &guest.email, "buyer").0;
    let asks = [register(&email, &json!(by_new)), accept(&own, &by_guest)];
    for ask in asks {
        let verdicts = mailing.of_64_at_once(|node| ask.to(node).verdict());
        let count = |verdict: &str| verdicts.iter().filter(|one| *one == verdict).count();
        // 202: done, and not confirmed on every node yet.
        let done = count("200") + count("202");
        assert_eq!(done, 1, "{verdicts:?}");
        assert_eq!(done + count(INVALID) + count("429 RATE_LIMITED"), 64, "{verdicts:?}");
    }
    let made = mailing
        .house
        .sql(&format!("SELECT count(*) FROM customers WHERE email = '{email}'"));
    assert_eq!(made, "1");
}

/// An admin that is signed in.
fn admin(mailing: &Mailing, role: &str) -> Inviter {
    let person = mailing.house.person("admin", role);
    let tokens = person.sign_in(mailing.here());
    Inviter { person, tokens }
}

fn manage(admin: &Inviter, method: &str, path: &str) -> Ask {
    ask(method, &format!("/admin/v1/invites{path}")).bearer(&admin.tokens.access)
}

fn invite_as_admin(admin: &Inviter, email: &str, role: &str) -> Ask {
    manage(admin, "POST", "").json(&json!({"guard": "customer", "email": email, "role": role}))
}

impl Mailing {
    /// What an admin holds beside its role.
    fn permit_admin(&self, admin: &Person, permissions: &[&str]) {
        for permission in permissions {
            self.house.sql(&format!(
                "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) VALUES ('admin', '{}', 'admin', '', '{permission}', FALSE)",
                admin.id
            ));
        }
    }

    fn link_of(&self, email: &str, id: &str) -> String {
        let find = || self.links(email).into_iter().find(|link| link.reference == id);
        self.until(|| find().is_some());
        let link = find().unwrap();
        assert_eq!(link.kind, "invite");
        link.code
    }

    fn links(&self, email: &str) -> Vec<Link> {
        let received = self.smtp.received();
        let theirs = received
            .iter()
            .filter(|mail| mail.to.iter().any(|to| to == email))
            .count();
        match theirs {
            0 => Vec::new(),
            count => self.mails(email, count).iter().filter_map(Link::of).collect(),
        }
    }
}

fn an_admin_invites_to_a_role_and_another_lists_and_revokes_it(mailing: &Mailing) {
    let (here, there) = (mailing.here(), mailing.there());
    let (root, other) = (admin(mailing, "super-admin"), admin(mailing, "super-admin"));
    let emails = [fresh_address("by-admin"), fresh_address("by-admin-too")];
    let made = emails.each_ref().map(|email| {
        let made = invite_as_admin(&root, email, "buyer").to(here);
        assert_eq!(made.verdict(), "202", "{}", String::from_utf8_lossy(&made.body));
        let data = &made.json()["data"];
        assert_eq!((&data["role"], &data["email"]), (&json!("buyer"), &json!(email)));
        assert_eq!(data["inviter"], root.person.key());
        data["id"].as_str().unwrap().to_owned()
    });
    // The newest first, a page at a time, at the other node and for another admin.
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = manage(&other, "GET", &format!("?guard=customer&limit=1{after}")).to(there);
        assert_eq!(page.verdict(), "200");
        let page = page.json()["data"].clone();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 1);
        listed.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let place = |id: &String| listed.iter().position(|listed| listed == id).unwrap();
    assert!(place(&made[1]) < place(&made[0]), "{listed:?}");
    // The calls of the guard list an inviter's own.
    let customer = mailing.house.customer().sign_in(here);
    assert_eq!(customer.ask("GET", "invites").to(here).json()["data"], json!([]));

    let revoked = manage(&other, "DELETE", &format!("/{}?guard=customer", made[1])).to(there);
    assert_eq!(revoked.verdict(), "200");
    let again = manage(&other, "DELETE", &format!("/{}?guard=customer", made[1])).to(there);
    assert_eq!(again.verdict(), "404 NOT_FOUND");
    let [token, revoked] = [0, 1].map(|at| mailing.link_of(&emails[at], &made[at]));
    assert_eq!(register(&emails[1], &json!(revoked)).to(here).verdict(), INVALID);
    let joined = register(&emails[0], &json!(token)).to(there);
    assert_eq!(joined.verdict(), "200", "{}", String::from_utf8_lossy(&joined.body));
    assert_eq!(orders(&tokens(&joined), mailing), ["200", "200"]);
    assert_eq!(register(&emails[0], &json!(token)).to(here).verdict(), INVALID);
}

fn an_admin_invites_to_no_role_that_it_could_not_assign(mailing: &Mailing) {
    let here = mailing.here();
    let clerk = admin(mailing, "support");
    let email = fresh_address("by-clerk");
    let refused = |verdict: &str, missing: &str| {
        let answer = invite_as_admin(&clerk, &email, "reader").to(here);
        assert_eq!(answer.verdict(), verdict);
        assert_eq!(answer.json()["error"]["details"]["missing"], missing);
    };
    refused("403 FORBIDDEN", "permission bekci.invites.write");
    mailing.permit_admin(&clerk.person, &["bekci.invites.write"]);
    in_the_end(
        &manage(&clerk, "DELETE", "/00000000000000000000000000000000?guard=customer"),
        here,
        "404 NOT_FOUND",
    );
    refused(
        "403 FORBIDDEN",
        "role reader or permission bekci.roles.give.customer.reader",
    );
    let listed = manage(&clerk, "GET", "?guard=customer").to(here);
    assert_eq!(
        listed.json()["error"]["details"]["missing"],
        "permission bekci.invites.read"
    );
    mailing.permit_admin(&clerk.person, &["bekci.roles.give.customer.reader"]);
    in_the_end(&invite_as_admin(&clerk, &email, "reader"), here, "202");
    for (body, verdict) in [
        (
            json!({"guard": "customer", "email": email, "role": "nobody"}),
            "422 VALIDATION_FAILED",
        ),
        (
            json!({"guard": "nobody", "email": email, "role": "reader"}),
            "422 VALIDATION_FAILED",
        ),
        (json!({"email": email, "role": "reader"}), "422 VALIDATION_FAILED"),
        (
            json!({"guard": "customer", "email": "no address", "role": "reader"}),
            "422 VALIDATION_FAILED",
        ),
        (json!({"guard": "customer", "role": "reader"}), "422 VALIDATION_FAILED"),
        // Registration is closed there.
        (
            json!({"guard": "admin", "email": email, "role": "support"}),
            "404 NOT_FOUND",
        ),
    ] {
        let answer = manage(&clerk, "POST", "").json(&body).to(here);
        assert_eq!(answer.verdict(), verdict, "{body}");
    }
}

fn an_invitation_of_an_admin_is_worth_nothing_without_its_rights(mailing: &Mailing) {
    let here = mailing.here();
    for loss in [
        "DELETE FROM bekci_principal_permissions WHERE model = 'admin' AND id = '{id}' AND permission = 'bekci.invites.write'",
        "DELETE FROM bekci_principal_permissions WHERE model = 'admin' AND id = '{id}' AND permission LIKE 'bekci.roles.give.%'",
        "UPDATE admins SET status = 'banned' WHERE id = {id}",
        "DELETE FROM admins WHERE id = {id}",
    ] {
        let clerk = admin(mailing, "support");
        mailing.permit_admin(
            &clerk.person,
            &["bekci.invites.write", "bekci.roles.give.customer.reader"],
        );
        let email = fresh_address("by-former-clerk");
        let made = in_the_end(&invite_as_admin(&clerk, &email, "reader"), here, "202");
        let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
        let token = mailing.link_of(&email, &id);
        mailing.house.sql(&loss.replace("{id}", &clerk.person.id));
        assert_eq!(register(&email, &json!(token)).to(here).verdict(), INVALID, "{loss}");
    }
}
