//! `POST …/email/start` and `…/email/verify`: sign-in by a mailed code or link. `POST …/verification/confirm` and `…/resend`: the code of a temporary identity.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use bekci_core::AuthError;
use bekci_signin::{CodeAttempt, Granted, VerificationAttempt};
use serde::Deserialize;
use serde_json::json;

use super::{
    Mounted,
    accounts::{accounts, address, mailed, requester},
    answer::{Success, told},
    body::{self, Secret, Transport},
    cookies,
    credentials::Presented,
    remember,
    sign_in::{check_transport, granted, refused_attempt, tenant_of},
};
use crate::{Reading, Record, respond::Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    email: String,
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verify {
    otp_ref: String,
    otp: Secret,
    device_name: Option<String>,
    device_id: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    remember_me: bool,
    #[serde(default)]
    transport: Transport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Confirm {
    verification_ref: String,
    code: Secret,
    #[serde(default)]
    transport: Transport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resend {
    verification_ref: String,
}

pub(super) async fn start(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_start(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_start(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Start = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let requester = requester(mounted, request, body.redirect_uri.as_deref())?;
    let address = address(&body.email)?;
    let started = accounts(mounted)?
        .start_sign_in(&mounted.guard, address, requester)
        .await?;
    Ok(Success::new(
        StatusCode::ACCEPTED,
        json!({
            "otpRef": started.reference.to_string(),
            "expiresInSeconds": started.expires_in_seconds,
        }),
    ))
}

pub(super) async fn verify(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_verify(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_verify(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let body: Verify = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    check_transport(mounted, &presented, body.transport)?;
    body::check_remember(body.remember_me, body.transport)?;
    let attempt = CodeAttempt {
        reference: body.otp_ref,
        secret: body.otp.0,
        device_name: body.device_name,
        device_id: body.device_id,
        replaces: presented.replaced()?,
        tenant: tenant_of(mounted, request, body.tenant)?,
        remember: body.remember_me,
        client: mounted.bekci.client_of(request),
    };
    let verified = accounts(mounted)?.verify_sign_in(&mounted.guard, attempt).await;
    let outcome = verified.map_err(refused_attempt)?;
    Record::of(request).acted(&mounted.guard, outcome.key(), outcome.session());
    let mut success = granted(mounted, &outcome, body.transport)?;
    remember::replace(mounted, &presented, &outcome, &mut success).await;
    Ok(success)
}

pub(super) async fn confirm(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_confirm(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_confirm(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let body: Confirm = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    check_transport(mounted, &presented, body.transport)?;
    let attempt = VerificationAttempt {
        reference: body.verification_ref,
        code: body.code.0,
        client: mounted.bekci.client_of(request),
    };
    let confirmed = accounts(mounted)?.confirm_verification(&mounted.guard, attempt).await;
    let outcome = Granted::Full(Box::new(confirmed.map_err(refused_attempt)?));
    Record::of(request).acted(&mounted.guard, outcome.key(), outcome.session());
    let mut success = granted(mounted, &outcome, body.transport)?;
    if body.transport == Transport::Cookie {
        cookies::clear_temporary(&mut success.answer, mounted);
    }
    remember::replace(mounted, &presented, &outcome, &mut success).await;
    Ok(success)
}

pub(super) async fn resend(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_resend(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_resend(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Resend = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let requester = requester(mounted, request, None)?;
    accounts(mounted)?
        .resend_verification(&mounted.guard, &body.verification_ref, &requester)
        .await?;
    Ok(mailed())
}
