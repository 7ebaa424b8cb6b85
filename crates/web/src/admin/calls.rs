//! The table of the management API's calls.

use actix_web::http::Method;
use bekci_core::ErrorCode as E;

use super::{
    Right, blocks, changes, invites, policies, principals, rights, roles, schemas as of, sessions, stats, status, via,
};
use crate::openapi::{
    Answers, Asks, Body, Operation,
    schema::{account_fields, exactly, hex_id, page},
};

/// What a path names is looked for.
const NAMED: &[E] = &[E::NotFound];
/// The same, and it may be taken or needed.
const NAMED_OR_TAKEN: &[E] = &[E::NotFound, E::Conflict];

const fn right(right: Right) -> Asks {
    Asks::Permission(right.name())
}

pub(super) fn operations() -> Vec<Operation> {
    [
        of_accounts(),
        of_rights(),
        of_roles(),
        of_policies(),
        of_invites(),
        of_the_rest(),
    ]
    .concat()
}

fn of_accounts() -> Vec<Operation> {
    let path = "/principals/{model}";
    let one = "/principals/{model}/{id}";
    vec![
        Operation::new(Method::GET, path, |route| route.to(via(principals::list)))
            .named("listPrincipals", "Accounts, in order of id.")
            .asks(right(Right::PrincipalsRead))
            .query(&["q", "limit", "after"])
            .answers(Answers::Data(|| page(of::account())))
            .refuses(NAMED),
        Operation::new(Method::POST, path, |route| route.to(via(principals::add)))
            .named("addPrincipal", "Makes an account.")
            .asks(right(Right::PrincipalsWrite))
            .body(Body::Required(account_fields))
            .answers(Answers::Data(of::added_account))
            .pending()
            .refuses(&[E::NotFound, E::Conflict, E::RateLimited]),
        Operation::new(Method::GET, one, |route| route.to(via(principals::show)))
            .named("showPrincipal", "An account, with what it holds.")
            .asks(right(Right::PrincipalsRead))
            .answers(Answers::Data(of::whole_account))
            .refuses(NAMED),
        Operation::new(Method::PATCH, one, |route| route.to(via(principals::change)))
            .named(
                "changePrincipal",
                "Changes fields; a new password ends the account's sessions.",
            )
            .asks(right(Right::PrincipalsWrite))
            .body(Body::Required(account_fields))
            .answers(Answers::Data(of::changed_account))
            .pending()
            .refuses(&[E::NotFound, E::Conflict, E::RateLimited]),
        Operation::new(Method::DELETE, one, |route| route.to(via(principals::remove)))
            .named(
                "deletePrincipal",
                "Deletes an account, its rights, sessions, ban and blocks.",
            )
            .asks(right(Right::PrincipalsDelete))
            .answers(Answers::Data(of::key_alone))
            .pending()
            .refuses(NAMED_OR_TAKEN),
    ]
}

fn of_rights() -> Vec<Operation> {
    let sessions = "/principals/{model}/{id}/sessions";
    vec![
        Operation::new(Method::PUT, "/principals/{model}/{id}/status", |route| {
            route.to(via(status::set))
        })
        .named("setStatus", "Bans, suspends, restores.")
        .asks(right(Right::PrincipalsStatus))
        .body(Body::Required(of::status_body))
        .answers(Answers::Data(of::status))
        .pending()
        .refuses(NAMED_OR_TAKEN),
        Operation::new(Method::PUT, "/principals/{model}/{id}/roles", |route| {
            route.to(via(rights::set_roles))
        })
        .named("setRoles", "Makes the roles of one scope these.")
        .asks(right(Right::RightsWrite))
        .body(Body::Required(of::roles_body))
        .answers(Answers::Data(of::held_roles))
        .pending()
        .refuses(NAMED_OR_TAKEN),
        Operation::new(Method::PUT, "/principals/{model}/{id}/permissions", |route| {
            route.to(via(rights::set_permissions))
        })
        .named("setPermissions", "Makes what is granted and denied in one scope this.")
        .asks(right(Right::RightsWrite))
        .body(Body::Required(of::permissions_body))
        .answers(Answers::Data(of::held_permissions))
        .pending()
        .refuses(NAMED_OR_TAKEN),
        Operation::new(Method::GET, sessions, |route| route.to(via(sessions::list)))
            .named("listSessions", "The account's sessions, the newest first.")
            .query(&["limit", "after"])
            .asks(right(Right::SessionsRead))
            .answers(Answers::Data(|| page(of::session())))
            .refuses(NAMED),
        Operation::new(Method::DELETE, sessions, |route| route.to(via(sessions::end_all)))
            .named("endSessions", "Ends all of the account's sessions.")
            .asks(right(Right::SessionsEnd))
            .answers(Answers::Data(of::ended_sessions))
            .pending()
            .refuses(NAMED),
        Operation::new(Method::DELETE, "/principals/{model}/{id}/sessions/{sid}", |route| {
            route.to(via(sessions::end_one))
        })
        .named("endSession", "Ends one session.")
        .asks(right(Right::SessionsEnd))
        .answers(Answers::Data(of::ended_sessions))
        .pending()
        .refuses(NAMED),
    ]
}

fn of_roles() -> Vec<Operation> {
    let listing = |path, handler| Operation::new(Method::GET, path, handler).asks(right(Right::RightsRead));
    let write = |method, path, handler| {
        let call = Operation::new(method, path, handler);
        call.asks(right(Right::RightsWrite)).pending().refuses(NAMED_OR_TAKEN)
    };
    vec![
        listing("/roles", |route| route.to(via(roles::list)))
            .named(
                "listRoles",
                "Roles, in order of number; an empty `tenant` asks for global ones.",
            )
            .query(&["guard", "tenant", "limit", "after"])
            .answers(Answers::Data(|| page(of::role()))),
        write(Method::POST, "/roles", |route| route.to(via(roles::add)))
            .named("addRole", "Makes a role.")
            .body(Body::Required(of::role_body))
            .answers(Answers::Data(of::role)),
        listing("/roles/{id}", |route| route.to(via(roles::show)))
            .named("showRole", "A role.")
            .answers(Answers::Data(of::role))
            .refuses(NAMED),
        write(Method::PATCH, "/roles/{id}", |route| route.to(via(roles::rename)))
            .named("renameRole", "Gives a role another name.")
            .body(Body::Required(of::role_name_body))
            .answers(Answers::Data(of::role)),
        write(Method::DELETE, "/roles/{id}", |route| route.to(via(roles::remove)))
            .named("deleteRole", "Deletes a role, and takes it from everybody.")
            .answers(Answers::Data(of::id_alone)),
        write(Method::PUT, "/roles/{id}/permissions", |route| {
            route.to(via(roles::set_permissions))
        })
        .named("setRolePermissions", "Makes what a role permits this.")
        .body(Body::Required(of::role_permissions_body))
        .answers(Answers::Data(of::role)),
        listing("/permissions", |route| route.to(via(roles::permissions)))
            .named("listPermissions", "The permissions that are known.")
            .query(&["guard", "limit", "after"])
            .answers(Answers::Data(|| page(of::permission()))),
        write(Method::POST, "/permissions", |route| {
            route.to(via(roles::add_permission))
        })
        .named("addPermission", "Makes a permission known.")
        .body(Body::Required(of::permission_body))
        .answers(Answers::Data(of::permission)),
        write(Method::DELETE, "/permissions/{id}", |route| {
            route.to(via(roles::remove_permission))
        })
        .named(
            "deletePermission",
            "Forgets a permission, and takes it from roles and accounts.",
        )
        .answers(Answers::Data(of::id_alone)),
    ]
}

fn of_policies() -> Vec<Operation> {
    let manage = |method, handler| {
        let call = Operation::new(method, "/policies", handler);
        call.asks(right(Right::PoliciesManage))
            .body(Body::Required(of::lines_body))
            .pending()
    };
    vec![
        Operation::new(Method::GET, "/policies", |route| route.to(via(policies::list)))
            .named(
                "listPolicies",
                "The policy's lines, in the order in which they were added.",
            )
            .asks(right(Right::PoliciesRead))
            .query(&["limit", "after"])
            .answers(Answers::Data(|| page(of::line()))),
        manage(Method::POST, |route| route.to(via(policies::add)))
            .named("addPolicies", "Adds lines; all of them or none.")
            .answers(Answers::Data(of::added_lines))
            .refuses(&[E::Conflict]),
        manage(Method::DELETE, |route| route.to(via(policies::remove)))
            .named("deletePolicies", "Removes lines.")
            .answers(Answers::Data(of::removed_lines))
            .refuses(NAMED_OR_TAKEN),
        Operation::new(Method::POST, "/policies/check", |route| route.to(via(policies::check)))
            .named("checkPolicy", "What the policy decides, and by which line.")
            .asks(right(Right::PoliciesRead))
            .body(Body::Required(of::question))
            .answers(Answers::Data(of::checked))
            .refuses(&[E::Conflict]),
    ]
}

fn of_invites() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/invites", |route| route.to(via(invites::list)))
            .named("listInvites", "Pending invitations to a guard, the newest first.")
            .query(&["guard", "limit", "after"])
            .asks(right(Right::InvitesRead))
            .answers(Answers::Data(|| page(of::invite())))
            .refuses(NAMED),
        Operation::new(Method::POST, "/invites", |route| route.to(via(invites::add)))
            .named(
                "addInvite",
                "Invites an address to a role, which the caller could assign.",
            )
            .asks(right(Right::InvitesWrite))
            .body(Body::Required(of::invite_body))
            .accepts("A mail is sent, whether the address has an account or not.", of::invite)
            .refuses(&[E::NotFound, E::RateLimited]),
        Operation::new(Method::DELETE, "/invites/{id}", |route| route.to(via(invites::revoke)))
            .named("deleteInvite", "Revokes a pending invitation of any inviter.")
            .query(&["guard"])
            .asks(right(Right::InvitesWrite))
            .answers(Answers::Data(|| exactly(&[("id", hex_id())])))
            .refuses(NAMED),
    ]
}

fn of_the_rest() -> Vec<Operation> {
    let blocks = |method, handler| {
        let call = Operation::new(method, "/blocks", handler);
        call.asks(right(Right::BlocksWrite)).pending().refuses(NAMED_OR_TAKEN)
    };
    vec![
        blocks(Method::POST, |route| route.to(via(blocks::add)))
            .named("block", "Blocks a token or a session, with a reason.")
            .body(Body::Required(of::block_body))
            .answers(Answers::Data(of::block)),
        blocks(Method::DELETE, |route| route.to(via(blocks::lift)))
            .named("unblock", "Lifts blocks.")
            .body(Body::Required(of::unblock_body))
            .answers(Answers::Data(of::lifted)),
        Operation::new(Method::GET, "/stats", |route| route.to(via(stats::show)))
            .named(
                "stats",
                "Sign-ins, decisions, the cache and the lag of changes, as this node has counted them.",
            )
            .asks(right(Right::StatsRead))
            .answers(Answers::Data(of::stats)),
        Operation::new(Method::GET, "/changes/{position}", |route| route.to(via(changes::show)))
            .named("showChange", "Whether a change that was pending holds on every node.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(of::change))
            .refuses(NAMED),
    ]
}
