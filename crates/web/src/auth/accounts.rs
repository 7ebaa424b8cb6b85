//! One's own account: `POST …/register`, `PATCH …/me`, `…/me/password`, `…/password/forgot`, `…/password/reset`, `…/me/email` and what belongs to it.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use bekci_core::{
    AuthError, AuthGuard, ErrorCode,
    mail::{EmailAddress, MailLanguage},
};
use bekci_signin::{Accounts, Identifier, PasswordChange, RegisterAttempt, RegisterOutcome, Requester, SignInError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::Duration;

use super::{
    Mounted,
    answer::{Success, told},
    body::{self, Secret, Transport, invalid},
    credentials::{Presented, admitted},
    own,
    sign_in::{check_transport, granted, refused_attempt, tenant_of},
};
use crate::{
    Bekci, Reading, Record, Who,
    respond::{Language, Refusal, named_language},
};

/// How old a sign-in may be for what asks for a fresh one.
const FRESH: Duration = Duration::minutes(5);
/// The attribute that registering takes beside the address.
const NAME: &str = "name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Register {
    email: String,
    password: Secret,
    name: Option<String>,
    invite_token: Option<Secret>,
    device_name: Option<String>,
    device_id: Option<String>,
    tenant: Option<String>,
    redirect_uri: Option<String>,
    #[serde(default)]
    transport: Transport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewPassword {
    current_password: Option<Secret>,
    new_password: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Address {
    email: String,
    redirect_uri: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resend {
    email: Option<String>,
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    #[serde(rename = "ref")]
    reference: String,
    code: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reset {
    #[serde(rename = "ref")]
    reference: String,
    code: Secret,
    new_password: Secret,
}

/// The account calls of a gateway or application that sends mails.
pub(super) fn accounts(mounted: &Mounted) -> Result<&Accounts, Refusal> {
    let missing = || {
        Refusal::new(
            ErrorCode::NotFound,
            "no mails are sent here, so accounts cannot be kept by themselves",
        )
    };
    mounted.bekci.own_accounts().ok_or_else(missing)
}

pub(super) fn address(text: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::new(text).map_err(|error| invalid("email", &error.to_string()))
}

/// How mails to who calls are to be. A link leads to one of the guard's pages, compared exactly, or to the page that comes with Bekci; never to a host of the request.
pub(super) fn requester(
    mounted: &Mounted,
    request: &HttpRequest,
    redirect: Option<&str>,
) -> Result<Requester, Refusal> {
    mails_with(&mounted.bekci, (&mounted.guard, &mounted.path), request, redirect)
}

/// The same for a guard whose calls are at this path.
pub(super) fn mails_with(
    bekci: &Bekci,
    (guard, path): (&AuthGuard, &str),
    request: &HttpRequest,
    redirect: Option<&str>,
) -> Result<Requester, Refusal> {
    let page = match redirect {
        None => format!("{}{path}/links", bekci.public_url()),
        Some(page) if guard.redirect_uris.iter().any(|allowed| allowed == page) => page.to_owned(),
        Some(_) => return Err(invalid("redirectUri", "is none of this guard's redirect_uris")),
    };
    Ok(Requester {
        client: bekci.client_of(request),
        language: language(bekci, request),
        page,
    })
}

pub(super) fn language(bekci: &Bekci, request: &HttpRequest) -> MailLanguage {
    match named_language(request.headers()) {
        Some(Language::English) => MailLanguage::English,
        Some(Language::Turkish) => MailLanguage::Turkish,
        None => bekci.mail_language(),
    }
}

/// What every call answers that has sent a mail, or has not.
pub(super) fn mailed() -> Success {
    Success::new(StatusCode::ACCEPTED, json!({"sent": true}))
}

/// Done, on every node or soon.
pub(super) fn changed(result: Result<(), SignInError>, data: Value) -> Result<Success, Refusal> {
    match result {
        Ok(()) => Ok(Success::ok(data)),
        Err(SignInError::Pending { position }) => Ok(Success::pending(position)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn register(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_register(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_register(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    if mounted.guard.registering == bekci_core::Registering::Closed {
        return Err(SignInError::RegistrationClosed.into());
    }
    let body: Register = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let accounts = accounts(mounted)?;
    let presented = Presented::new(&reading, mounted);
    check_transport(mounted, &presented, body.transport)?;
    let mut attributes = Vec::new();
    if let Some(name) = body.name {
        if !mounted.guard.own_attributes.iter().any(|own| own == NAME) {
            return Err(invalid(NAME, "is not available here"));
        }
        attributes.push(own_value(NAME, name.into())?);
    }
    let attempt = RegisterAttempt {
        address: address(&body.email)?,
        password: body.password.0,
        attributes,
        device_name: body.device_name,
        device_id: body.device_id,
        replaces: presented.replaced()?,
        tenant: tenant_of(mounted, request, body.tenant)?,
        invite: body.invite_token.map(|token| token.0),
        requester: requester(mounted, request, body.redirect_uri.as_deref())?,
    };
    match accounts.register(&mounted.guard, attempt).await {
        Ok(RegisterOutcome::Mailed) => Ok(mailed()),
        Ok(RegisterOutcome::SignedIn(outcome)) => {
            Record::of(request).acted(&mounted.guard, outcome.key(), outcome.session());
            granted(mounted, &outcome, body.transport)
        }
        Err(error @ (SignInError::Banned { .. } | SignInError::Inactive | SignInError::NotInTenant(_))) => {
            Err(refused_attempt(error))
        }
        Err(SignInError::Weak(weak)) => Err(invalid("password", &weak.to_string())),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn change_me(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_change_me(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_change_me(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let body: Map<String, Value> = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    if body.is_empty() {
        return Err(invalid("", "nothing is to be changed"));
    }
    let mut attributes = Vec::with_capacity(body.len());
    for (name, value) in body {
        if !mounted.guard.own_attributes.contains(&name) {
            return Err(invalid(&name, "cannot be changed here"));
        }
        attributes.push(own_value(&name, value)?);
    }
    let result = accounts(mounted)?.set_attributes(who.key(), attributes).await;
    match result {
        Ok(()) => own::told_as_of_now(mounted, request).await,
        Err(error) => changed(Err(error), Value::Null),
    }
}

/// A value that a user may give: a text of one line, a number, a truth value or null.
fn own_value(name: &str, value: Value) -> Result<(String, Value), Refusal> {
    const MOST_CHARS: usize = 1_000;
    match &value {
        Value::String(text) if text.chars().count() > MOST_CHARS => {
            Err(invalid(name, "must have at most 1000 characters"))
        }
        Value::String(text) if text.chars().any(char::is_control) => {
            Err(invalid(name, "must not have control characters"))
        }
        Value::Array(_) | Value::Object(_) => Err(invalid(name, "must be a text, a number, true, false or null")),
        _ => Ok((name.to_owned(), value)),
    }
}

pub(super) async fn change_password(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_change_password(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_change_password(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let body: NewPassword = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let change = PasswordChange {
        key: who.key().clone(),
        session: who.session_id(),
        is_fresh: who.is_fresh(FRESH),
        current: body.current_password.map(|password| password.0),
        new: body.new_password.0,
        client: mounted.bekci.client_of(request),
        language: language(&mounted.bekci, request),
    };
    match accounts(mounted)?.change_password(&mounted.guard, change).await {
        Ok(ended) => Ok(Success::ok(json!({"endedSessions": ended.len()}))),
        Err(SignInError::Weak(weak)) => Err(invalid("newPassword", &weak.to_string())),
        Err(SignInError::NotFresh) => Err(stale()),
        Err(error) => changed(Err(error), Value::Null),
    }
}

fn stale() -> Refusal {
    AuthError::NotFresh(u32::try_from(FRESH.whole_seconds()).unwrap_or_default()).into()
}

pub(super) async fn forgot_password(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_forgot(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_forgot(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Address = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let requester = requester(mounted, request, body.redirect_uri.as_deref())?;
    let identifier = Identifier::new(&body.email)?;
    accounts(mounted)?
        .forgot_password(&mounted.guard, identifier, requester)
        .await?;
    Ok(mailed())
}

pub(super) async fn reset_password(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_reset(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_reset(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Reset = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let code = body.code.text().to_owned();
    let reset = accounts(mounted)?.reset_password(
        &mounted.guard,
        (&body.reference, &code),
        body.new_password.0,
        language(&mounted.bekci, request),
    );
    match reset.await {
        Err(SignInError::Weak(weak)) => Err(invalid("newPassword", &weak.to_string())),
        result => changed(result, json!({"reset": true})),
    }
}

pub(super) async fn start_address(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_start_address(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_start_address(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    // Who has found an open browser must not take the account over by its address.
    if !who.is_fresh(FRESH) {
        return Err(stale());
    }
    let body: Address = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let requester = requester(mounted, request, body.redirect_uri.as_deref())?;
    let started = accounts(mounted)?.start_address(&mounted.guard, session_of(&who), address(&body.email)?, requester);
    started.await?;
    Ok(mailed())
}

fn session_of(who: &Who) -> (&bekci_core::PrincipalKey, bekci_core::SessionId) {
    (who.key(), who.session_id())
}

pub(super) async fn confirm_address(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_confirm_address(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_confirm_address(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Link = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = (body.reference.as_str(), body.code.text());
    let confirmed = accounts(mounted)?.confirm_address(&mounted.guard, presented, language(&mounted.bekci, request));
    changed(confirmed.await, json!({"verified": true}))
}

pub(super) async fn resend_address(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_resend(&mounted, &request, payload).await;
    told(&request, result)
}

/// With an address anybody may call it, as who has registered and cannot sign in before the address is confirmed; without one, who is signed in.
async fn try_resend(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let body: Resend = body::read_if_any(request, payload, mounted.bekci.body_bytes()).await?;
    let requester = requester(mounted, request, body.redirect_uri.as_deref())?;
    let accounts = accounts(mounted)?;
    match body.email {
        Some(email) => {
            let identifier = Identifier::new(&email)?;
            accounts
                .resend_confirmation(&mounted.guard, identifier, requester)
                .await?;
        }
        None => {
            let who = admitted(request, mounted).await?;
            accounts
                .resend_address(&mounted.guard, session_of(&who), requester)
                .await?;
        }
    }
    Ok(mailed())
}
