//! Sign-in by identity providers.

use actix_web::http::Method;
use bekci_core::ErrorCode as E;
use serde_json::Value;

use super::{in_tenant, remember_me, waiting};
use crate::{
    auth::external::login,
    openapi::{
        Answers, Body, Operation, Schema,
        schema::{among, one_of, or_null, text},
    },
};

pub(super) fn operations(names_tenant: bool, signed_in: Schema) -> Vec<Operation> {
    let body = if names_tenant { id_token_in_tenant } else { id_token };
    vec![
        Operation::new(Method::POST, "/{idp}/login", |route| route.to(login))
            .named(
                "loginByIdToken",
                "Signs in by the ID token of an identity provider. The first sign-in makes the account.",
            )
            .body(Body::Required(body))
            .answers(Answers::Data(signed_in))
            .accepts(
                "The ID token is good, and the sign-in waits for its verification.",
                waiting,
            )
            .refuses(&[
                E::AmbiguousCredentials,
                E::CredentialInvalid,
                E::AccountBanned,
                E::AccountInactive,
                E::Conflict,
                E::CsrfRejected,
                E::Forbidden,
                E::NotFound,
                E::RateLimited,
                E::StoreUnavailable,
                E::Unverified,
            ]),
    ]
}

fn id_token() -> Value {
    among(
        &["idToken"],
        &[
            ("idToken", text()),
            ("nonce", or_null(text())),
            ("rememberMe", remember_me()),
            ("deviceName", or_null(text())),
            ("deviceId", or_null(text())),
            ("transport", one_of(&["body", "cookie"])),
        ],
    )
}

fn id_token_in_tenant() -> Value {
    in_tenant(id_token())
}
