//! The table of a guard's calls.

mod external;

use actix_web::http::Method;
use bekci_core::{AnswerShape, ErrorCode as E};
use serde_json::{Value, json};

use super::{
    accounts, codes, invites, links, own, remember,
    sign_in::{self, Names},
    sign_out,
};
use crate::openapi::{
    Answers, Asks, Body, Operation, Schema,
    schema::{
        among, exactly, hex_id, key, line_of, list, name, number, one_of, open, or_null, pattern, permission, role,
        tenant, text, time, truth,
    },
};

/// `names_tenant`: whether a sign-in says which tenant its tokens are for.
pub(super) fn operations(names_tenant: bool, shape: AnswerShape) -> Vec<Operation> {
    let login = if names_tenant { login_in_tenant } else { login };
    match shape {
        AnswerShape::Envelope => in_envelopes(names_tenant, login, signed_in),
        AnswerShape::Flat => {
            let operations = in_envelopes(names_tenant, login, signed_in_flat).into_iter();
            operations.map(Operation::bare).collect()
        }
    }
}

fn in_envelopes(names_tenant: bool, login: Schema, signed_in: Schema) -> Vec<Operation> {
    let mut operations = account_operations(signed_in);
    operations.extend(code_operations(names_tenant, signed_in));
    operations.extend(verification_operations(signed_in));
    operations.extend(invite_operations());
    operations.extend(external::operations(names_tenant, signed_in));
    operations.extend(vec![
        Operation::new(Method::POST, "/login", |route| route.to(sign_in::login))
            .named("login", "Signs in by password.")
            .body(Body::Required(login))
            .answers(Answers::Data(signed_in))
            .accepts(
                "The credentials are right, and the sign-in waits for its verification.",
                waiting,
            )
            .refuses(&[
                E::AmbiguousCredentials,
                E::CredentialInvalid,
                E::IdentityAmbiguous,
                E::AccountBanned,
                E::AccountInactive,
                E::CsrfRejected,
                E::Forbidden,
                E::NotFound,
                E::RateLimited,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::POST, "/token/refresh", |route| route.to(sign_in::refresh))
            .named(
                "refresh",
                "Gives new tokens for a refresh token, from the body or the cookie; without one, for the remember-me cookie.",
            )
            .body(Body::Optional(refresh))
            .answers(Answers::Data(signed_in))
            .refuses(&[
                E::AmbiguousCredentials,
                E::TokenMissing,
                E::TokenInvalid,
                E::Forbidden,
                E::Unverified,
                E::RefreshTokenInvalid,
                E::RefreshTokenExpired,
                E::RefreshTokenReused,
                E::SecurityTokenInvalid,
                E::AccountBanned,
                E::AccountInactive,
                E::CsrfRejected,
                E::RateLimited,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::POST, "/logout", |route| route.to(sign_out::logout))
            .named(
                "logout",
                "Ends the session that the credentials name: an access token, a refresh token, or both.",
            )
            .body(Body::Optional(logout))
            .answers(Answers::Data(|| exactly(&[("sessionId", hex_id())])))
            .pending()
            .refuses(&[
                E::AmbiguousCredentials,
                E::TokenMissing,
                E::TokenInvalid,
                E::TokenExpired,
                E::GuardMismatch,
                E::RefreshTokenInvalid,
                E::CsrfRejected,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::POST, "/logout-all", |route| route.to(sign_out::logout_all))
            .named(
                "logoutAll",
                "Ends every session of who calls, at every guard of its model.",
            )
            .asks(Asks::SignedIn)
            .answers(Answers::Data(|| exactly(&[("endedSessions", number(0))])))
            .pending(),
        Operation::new(Method::DELETE, "/remember-me", |route| route.to(remember::forget_me))
            .named(
                "forgetMe",
                "Forgets this browser without signing out: by its remember-me cookie, or by the session of who calls.",
            )
            .answers(Answers::Data(|| exactly(&[("forgotten", truth())])))
            .refuses(&[
                E::AmbiguousCredentials,
                E::TokenMissing,
                E::TokenInvalid,
                E::TokenExpired,
                E::GuardMismatch,
                E::CsrfRejected,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::GET, "/me", |route| route.to(own::me))
            .named("me", "Who is signed in, as of now.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(identity)),
        Operation::new(Method::GET, "/sessions", |route| route.to(own::sessions))
            .named("sessions", "One's own sessions, the newest first.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(sessions)),
        Operation::new(Method::DELETE, "/sessions/{id}", |route| route.to(own::end_session))
            .named("endSession", "Ends one of one's own sessions.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(|| exactly(&[("sessionId", hex_id())])))
            .pending()
            .refuses(&[E::NotFound]),
    ]);
    operations
}

/// Sign-in by mail.
fn code_operations(names_tenant: bool, signed_in: Schema) -> Vec<Operation> {
    let verify = if names_tenant { verify_in_tenant } else { verify };
    vec![
        Operation::new(Method::POST, "/email/start", |route| route.to(codes::start))
            .named(
                "startSignInByMail",
                "Mails a one-time code, a link, or both. The answer is the same for every address.",
            )
            .body(Body::Required(to_address))
            .accepts("A mail is sent if the address can sign in here.", started)
            .refuses(&[E::NotFound, E::RateLimited, E::StoreUnavailable]),
        Operation::new(Method::POST, "/email/verify", |route| route.to(codes::verify))
            .named(
                "verifySignInByMail",
                "Signs in by a mailed code, or by the secret of a mailed link.",
            )
            .body(Body::Required(verify))
            .answers(Answers::Data(signed_in))
            .accepts(
                "The code is right, and the sign-in waits for its verification.",
                waiting,
            )
            .refuses(&[
                E::AmbiguousCredentials,
                E::OtpInvalid,
                E::OtpExpired,
                E::AccountBanned,
                E::AccountInactive,
                E::CsrfRejected,
                E::Forbidden,
                E::NotFound,
                E::RateLimited,
                E::StoreUnavailable,
            ]),
    ]
}

/// Verification of a sign-in by mail.
fn verification_operations(signed_in: Schema) -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/verification/confirm", |route| route.to(codes::confirm))
            .named(
                "confirmVerification",
                "Completes a sign-in by the code that was mailed for it.",
            )
            .body(Body::Required(confirmation))
            .answers(Answers::Data(signed_in))
            .refuses(&[
                E::OtpInvalid,
                E::OtpExpired,
                E::TokenInvalid,
                E::AccountBanned,
                E::AccountInactive,
                E::Unverified,
                E::CsrfRejected,
                E::Forbidden,
                E::NotFound,
                E::RateLimited,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::POST, "/verification/resend", |route| route.to(codes::resend))
            .named(
                "resendVerification",
                "Mails a new code for a sign-in. The code before it ends.",
            )
            .body(Body::Required(|| {
                among(&["verificationRef"], &[("verificationRef", text())])
            }))
            .accepts("A mail is sent.", mailed)
            .refuses(&[E::TokenInvalid, E::NotFound, E::RateLimited, E::StoreUnavailable]),
    ]
}

/// Invitations.
fn invite_operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/invites", |route| route.to(invites::invites))
            .named("invites", "The caller's own pending invitations, the newest first.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(|| list(invited())))
            .refuses(&[E::NotFound]),
        Operation::new(Method::POST, "/invites", |route| route.to(invites::invite))
            .named(
                "invite",
                "Invites an address to a role. It needs the permission `invites.create`, and a role that the caller may grant.",
            )
            .asks(Asks::SignedIn)
            .body(Body::Required(invitation))
            .accepts("A mail is sent, whether the address has an account or not.", invited)
            .refuses(&[E::Forbidden, E::NotFound, E::RateLimited]),
        Operation::new(Method::POST, "/invites/accept", |route| route.to(invites::accept))
            .named("acceptInvite", "Gives the caller the role of an invitation to its address.")
            .asks(Asks::SignedIn)
            .body(Body::Required(|| among(&["inviteToken"], &[("inviteToken", text())])))
            .answers(Answers::Data(|| exactly(&[("accepted", json!({"const": true}))])))
            .pending()
            .refuses(&[E::CodeInvalid, E::NotFound]),
        Operation::new(Method::DELETE, "/invites/{id}", |route| route.to(invites::revoke))
            .named("revokeInvite", "Revokes one of the caller's own pending invitations.")
            .asks(Asks::SignedIn)
            .answers(Answers::Data(|| exactly(&[("id", hex_id())])))
            .refuses(&[E::NotFound]),
    ]
}

fn invitation() -> Value {
    among(
        &["email", "role"],
        &[
            ("email", line_of(1, 254)),
            ("role", role()),
            ("tenant", or_null(tenant())),
            ("redirectUri", or_null(text())),
        ],
    )
}

fn invited() -> Value {
    exactly(&[
        ("id", hex_id()),
        ("email", line_of(1, 254)),
        ("role", role()),
        ("tenant", or_null(tenant())),
        ("createdAt", time()),
        ("expiresAt", time()),
    ])
}

fn confirmation() -> Value {
    among(
        &["verificationRef", "code"],
        &[
            ("verificationRef", text()),
            ("code", text()),
            ("transport", one_of(&["body", "cookie"])),
        ],
    )
}

fn started() -> Value {
    exactly(&[("otpRef", hex_id()), ("expiresInSeconds", number(1))])
}

fn verify() -> Value {
    among(
        &["otpRef", "otp"],
        &[
            ("otpRef", text()),
            (
                "otp",
                json!({"type": "string", "description": "The digits of the code, or the secret of the link."}),
            ),
            ("deviceName", or_null(text())),
            ("deviceId", or_null(text())),
            ("rememberMe", remember_me()),
            ("transport", one_of(&["body", "cookie"])),
        ],
    )
}

fn remember_me() -> Value {
    json!({"type": "boolean", "description": "Sets the remember-me cookie. It needs `transport` to be `cookie`."})
}

fn verify_in_tenant() -> Value {
    in_tenant(verify())
}

/// What people do with their own accounts.
fn account_operations(signed_in: Schema) -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/register", |route| route.to(accounts::register))
            .named("register", "Makes an account, and signs it in unless its address has to be confirmed first.")
            .body(Body::Required(register))
            .answers(Answers::Data(signed_in))
            .accepts(
                "A mail is sent: to confirm the address, or to tell the owner of the address; or the sign-in waits for its verification.",
                mailed,
            )
            .refuses(&[
                E::AmbiguousCredentials,
                E::RegistrationClosed,
                E::CodeInvalid,
                E::Conflict,
                E::CsrfRejected,
                E::Forbidden,
                E::RateLimited,
                E::StoreUnavailable,
            ]),
        Operation::new(Method::POST, "/password/forgot", |route| route.to(accounts::forgot_password))
            .named("forgotPassword", "Sends a link that sets a new password. The answer is the same for every address.")
            .body(Body::Required(to_address))
            .accepts("A mail is sent if the address is one account's.", mailed)
            .refuses(&[E::NotFound, E::RateLimited, E::StoreUnavailable]),
        Operation::new(Method::POST, "/password/reset", |route| route.to(accounts::reset_password))
            .named("resetPassword", "Sets a new password by a link, and ends every session.")
            .body(Body::Required(reset))
            .answers(Answers::Data(|| exactly(&[("reset", json!({"const": true}))])))
            .pending()
            .refuses(&[E::CodeInvalid, E::NotFound, E::RateLimited, E::StoreUnavailable]),
        Operation::new(Method::PATCH, "/me", |route| route.to(accounts::change_me))
            .named("changeMe", "Changes those of one's own attributes that the guard lets its users change.")
            .asks(Asks::SignedIn)
            .body(Body::Required(open))
            .answers(Answers::Data(identity))
            .pending()
            .refuses(&[E::Conflict, E::NotFound]),
        Operation::new(Method::POST, "/me/password", |route| route.to(accounts::change_password))
            .named("changePassword", "Changes one's own password, and ends the other sessions.")
            .asks(Asks::SignedIn)
            .body(Body::Required(new_password))
            .answers(Answers::Data(|| exactly(&[("endedSessions", number(0))])))
            .pending()
            .refuses(&[E::CredentialInvalid, E::Forbidden, E::NotFound, E::RateLimited]),
        Operation::new(Method::POST, "/me/email", |route| route.to(accounts::start_address))
            .named("startAddress", "Sends a link that confirms one's own address, or makes another one one's own.")
            .asks(Asks::SignedIn)
            .body(Body::Required(to_address))
            .accepts("A mail is sent, unless the address is confirmed already.", mailed)
            .refuses(&[E::Forbidden, E::NotFound, E::RateLimited]),
        Operation::new(Method::POST, "/me/email/confirm", |route| route.to(accounts::confirm_address))
            .named("confirmAddress", "Confirms an address by its link.")
            .body(Body::Required(link))
            .answers(Answers::Data(|| exactly(&[("verified", json!({"const": true}))])))
            .pending()
            .refuses(&[E::CodeInvalid, E::Conflict, E::NotFound, E::StoreUnavailable]),
        Operation::new(Method::POST, "/me/email/resend", |route| route.to(accounts::resend_address))
            .named(
                "resendAddress",
                "Sends the link again: with an address for anybody, with the same answer for every address; without one for who is signed in.",
            )
            .body(Body::Optional(resend))
            .accepts("A mail is sent if there is something to confirm.", mailed)
            .refuses(&[E::TokenMissing, E::NotFound, E::RateLimited, E::StoreUnavailable]),
        Operation::new(Method::GET, "/links", |route| route.to(links::page))
            .named("links", "The page that links in mails lead to.")
            .answers(Answers::Other("text/html; charset=utf-8")),
        Operation::new(Method::GET, "/links/page.js", |route| route.to(links::script))
            .named("linksScript", "The script of that page.")
            .answers(Answers::Other("text/javascript; charset=utf-8")),
        Operation::new(Method::GET, "/links/page.css", |route| route.to(links::style))
            .named("linksStyle", "The style of that page.")
            .answers(Answers::Other("text/css; charset=utf-8")),
    ]
}

fn password() -> Value {
    json!({"type": "string", "format": "password"})
}

fn register() -> Value {
    among(
        &["email", "password"],
        &[
            ("email", line_of(1, 254)),
            ("password", password()),
            ("name", or_null(text())),
            ("inviteToken", or_null(text())),
            ("deviceName", or_null(text())),
            ("deviceId", or_null(text())),
            ("tenant", or_null(text())),
            ("redirectUri", or_null(text())),
            ("transport", one_of(&["body", "cookie"])),
        ],
    )
}

fn to_address() -> Value {
    among(
        &["email"],
        &[("email", line_of(1, 320)), ("redirectUri", or_null(text()))],
    )
}

fn resend() -> Value {
    among(
        &[],
        &[("email", or_null(line_of(1, 320))), ("redirectUri", or_null(text()))],
    )
}

fn link() -> Value {
    among(&["ref", "code"], &[("ref", text()), ("code", text())])
}

fn reset() -> Value {
    among(
        &["ref", "code", "newPassword"],
        &[("ref", text()), ("code", text()), ("newPassword", password())],
    )
}

fn new_password() -> Value {
    among(
        &["newPassword"],
        &[("currentPassword", or_null(password())), ("newPassword", password())],
    )
}

fn mailed() -> Value {
    exactly(&[("sent", json!({"const": true}))])
}

fn login() -> Value {
    let mut body = among(
        &["password"],
        &[
            ("email", line_of(1, 320)),
            ("identifier", line_of(1, 320)),
            ("password", json!({"type": "string", "format": "password"})),
            ("rememberMe", remember_me()),
            ("deviceName", or_null(text())),
            ("deviceId", or_null(text())),
            ("transport", one_of(&["body", "cookie"])),
        ],
    );
    if let Some(body) = body.as_object_mut() {
        let either = json!([{"required": ["email"]}, {"required": ["identifier"]}]);
        body.insert("oneOf".to_owned(), either);
    }
    body
}

fn login_in_tenant() -> Value {
    in_tenant(login())
}

fn in_tenant(mut body: Value) -> Value {
    if let Some(fields) = body.pointer_mut("/properties").and_then(Value::as_object_mut) {
        fields.insert("tenant".to_owned(), or_null(tenant()));
    }
    body
}

fn refresh() -> Value {
    among(&[], &[("refreshToken", or_null(text())), ("deviceId", or_null(text()))])
}

fn logout() -> Value {
    let forget = json!({"type": ["boolean", "null"], "description": "Whether this browser is forgotten too; true unless it is said."});
    among(&[], &[("refreshToken", or_null(text())), ("forget", forget)])
}

fn signed_in() -> Value {
    signed_in_as(&super::sign_in::ENVELOPE)
}

fn signed_in_flat() -> Value {
    signed_in_as(&super::sign_in::FLAT)
}

fn signed_in_as(names: &Names) -> Value {
    let user = exactly(&[
        ("key", key()),
        ("model", name()),
        ("id", text()),
        ("email", or_null(text())),
        ("primaryEmail", or_null(text())),
        ("name", json!({})),
        ("type", one_of(&["authorized"])),
        ("roles", list(role())),
        ("permissions", list(permission())),
    ]);
    let required = [
        "tokenType",
        "expiresIn",
        names.access_expires,
        names.refresh_expires,
        "sessionId",
        "user",
    ];
    let mut told = among(
        &required,
        &[
            ("tokenType", json!({"const": "Bearer"})),
            ("expiresIn", number(0)),
            (names.access_expires, time()),
            (names.refresh_expires, time()),
            ("sessionId", hex_id()),
            ("user", user),
            (names.access, text()),
            ("refreshToken", text()),
        ],
    );
    if let Some(told) = told.as_object_mut() {
        let about = "The tokens are left out where they are set as cookies.";
        told.insert("description".to_owned(), about.into());
    }
    told
}

fn waiting() -> Value {
    let mut told = among(
        &["result", "code", "verificationRef", "expiresInSeconds"],
        &[
            (
                "result",
                one_of(&["TEMPORARY_AUTH_HAS_BEEN_CREATED", "FAILURE_UNVERIFIED"]),
            ),
            ("code", json!({"enum": [-4, -5]})),
            ("verificationRef", pattern("^bkv_[A-Za-z0-9_-]{66}$")),
            ("temporaryToken", text()),
            ("expiresInSeconds", number(1)),
        ],
    );
    if let Some(told) = told.as_object_mut() {
        let about =
            "-5: it waits already, under the same reference. The token is left out where it is set as a cookie.";
        told.insert("description".to_owned(), about.into());
    }
    told
}

fn identity() -> Value {
    let session = exactly(&[
        ("id", hex_id()),
        ("way", or_null(text())),
        ("authenticated", truth()),
        ("temporary", truth()),
        ("verified", truth()),
        ("rememberMe", truth()),
        ("fresh", truth()),
        ("createdAt", or_null(time())),
    ]);
    exactly(&[
        ("key", key()),
        ("model", name()),
        ("id", text()),
        ("type", one_of(&["guest", "unverified", "authorized", "unauthorized"])),
        ("status", or_null(text())),
        ("roles", list(role())),
        ("permissions", list(permission())),
        ("attributes", open()),
        ("session", session),
    ])
}

fn sessions() -> Value {
    list(exactly(&[
        ("id", hex_id()),
        ("guard", name()),
        ("current", truth()),
        ("deviceName", or_null(text())),
        ("way", text()),
        ("createdAt", time()),
        ("lastUsedAt", time()),
    ]))
}
