//! `POST …/login` and `POST …/token/refresh`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use bekci_core::{AnswerShape, AuthError, ErrorCode, Held, TenantName, security::SecurityCheck, signin::SignInTenant};
use bekci_signin::{Granted, PasswordAttempt, RefreshAttempt, RefreshTokens, SignInError, SignedIn, TemporarySignIn};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    Mounted,
    accounts::language,
    answer::{Success, told},
    body::{self, Login, Refresh, Transport, invalid},
    cookies,
    credentials::Presented,
    remember,
};
use crate::{
    Asked, Reading, Record, Standing,
    respond::{Refusal, moment},
};

/// What the parts of a sign-in's answer are called.
pub(super) struct Names {
    pub(super) access: &'static str,
    pub(super) access_expires: &'static str,
    pub(super) refresh_expires: &'static str,
}

/// The contract's own.
pub(super) const ENVELOPE: Names = Names {
    access: "accessToken",
    access_expires: "expiresAt",
    refresh_expires: "refreshTokenExpiresAt",
};

/// Those of answers without an envelope.
pub(super) const FLAT: Names = Names {
    access: "token",
    access_expires: "expiration",
    refresh_expires: "refreshTokenExpiration",
};

pub(super) async fn login(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_login(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_login(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    if !mounted.guard.ways.password {
        return Err(SignInError::NotOffered.into());
    }
    let login: Login = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    check_transport(mounted, &presented, login.transport)?;
    let (identifier, password) = login.credentials()?;
    let attempt = PasswordAttempt {
        identifier,
        password,
        device_name: login.device_name,
        device_id: login.device_id,
        replaces: presented.replaced()?,
        tenant: tenant_of(mounted, request, login.tenant)?,
        verification: None,
        language: language(&mounted.bekci, request),
        remember: login.remember_me,
        client: mounted.bekci.client_of(request),
    };
    let granted = mounted.bekci.sign_in().password(&mounted.guard, attempt).await;
    let granted = granted.map_err(refused_attempt)?;
    Record::of(request).acted(&mounted.guard, granted.key(), granted.session());
    let mut success = self::granted(mounted, &granted, login.transport)?;
    remember::replace(mounted, &presented, &granted, &mut success).await;
    Ok(success)
}

/// Whether the guard may answer a sign-in with cookies.
pub(super) fn check_transport(
    mounted: &Mounted,
    presented: &Presented<'_>,
    transport: Transport,
) -> Result<(), Refusal> {
    match transport {
        Transport::Body => Ok(()),
        Transport::Cookie if !mounted.guard.sources.cookie => Err(invalid("transport", "this guard takes no cookies")),
        // A page of another site must not sign its visitor in to an account of its own.
        Transport::Cookie if presented.is_cross_site() => Err(AuthError::CsrfRejected.into()),
        Transport::Cookie => Ok(()),
    }
}

/// What a right credential is answered with.
pub(super) fn granted(mounted: &Mounted, granted: &Granted, transport: Transport) -> Result<Success, Refusal> {
    match granted {
        Granted::Full(signed_in) => given(mounted, signed_in, transport),
        Granted::Temporary(temporary) => waiting(mounted, temporary, transport),
    }
}

/// The credential was right, and there is no session before the verification.
fn waiting(mounted: &Mounted, temporary: &TemporarySignIn, transport: Transport) -> Result<Success, Refusal> {
    let mut data = Map::new();
    data.insert("result".into(), temporary.result.name().into());
    data.insert("code".into(), temporary.result.number().into());
    data.insert(
        "verificationRef".into(),
        temporary.verification_ref.expose_secret().into(),
    );
    data.insert("expiresInSeconds".into(), temporary.expires_in_seconds.into());
    if transport == Transport::Body {
        data.insert("temporaryToken".into(), temporary.token.expose_secret().into());
    }
    let mut success = Success::new(StatusCode::ACCEPTED, Value::Object(data));
    if transport == Transport::Cookie {
        cookies::set_temporary(&mut success.answer, mounted, temporary)?;
    }
    Ok(success)
}

/// The tenant that the tokens are made for: the one that the request asks about. Where tokens alone say which, the sign-in names it, or the account's tenant column
/// does.
pub(super) fn tenant_of(
    mounted: &Mounted,
    request: &HttpRequest,
    named: Option<String>,
) -> Result<SignInTenant, Refusal> {
    let tenancy = mounted.bekci.watch().tenancy();
    let by_claim = tenancy.is_by_claim();
    match named {
        // Elsewhere it is a field like any other that nobody asked for.
        Some(_) if !by_claim => {
            let refusal = Refusal::new(
                ErrorCode::MalformedRequest,
                "the body names a tenant, and requests do not here",
            );
            Err(refusal.detail("unexpected", "tenant"))
        }
        Some(name) => match TenantName::new(&name) {
            Ok(tenant) => Ok(SignInTenant::Named(tenant)),
            Err(_) => Err(invalid("tenant", "is no name of a tenant")),
        },
        None => match tenancy.asked_by(request, None)? {
            Asked::Named(tenant) => Ok(SignInTenant::Named(tenant)),
            Asked::None | Asked::Claimed => Ok(tenancy.unnamed()),
        },
    }
}

/// A refused attempt also tells its result, by its classic name and number.
pub(super) fn refused_attempt(error: SignInError) -> Refusal {
    let told = error.told();
    Refusal::from(error).detail("result", json!({"name": told.name(), "code": told.number()}))
}

pub(super) async fn refresh(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_refresh(&mounted, &request, payload).await;
    remember::told(&mounted, &request, result)
}

async fn try_refresh(
    mounted: &Mounted,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Success, remember::NotRecalled> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let body: Refresh = body::read_if_any(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    let credential = presented.refresh(body.refresh_token.as_deref())?;
    let Some(credential) = credential else {
        let signed_in = remember::recall(mounted, request, &presented).await?;
        Record::of(request).acted(&mounted.guard, &signed_in.key, signed_in.session);
        return Ok(given(mounted, &signed_in, Transport::Cookie)?);
    };
    let exchanged = match credential.by_cookie {
        true => secure_refresh(mounted, &presented, credential.token).await?,
        false => None,
    };
    let attempt = RefreshAttempt {
        token: credential.token,
        device_id: body.device_id.as_deref(),
        by_cookie: credential.by_cookie,
        client: mounted.bekci.client_of(request),
    };
    let signed_in = mounted.bekci.sign_in().refresh(&mounted.guard, attempt).await?;
    Record::of(request).acted(&mounted.guard, &signed_in.key, signed_in.session);
    let transport = if credential.by_cookie {
        Transport::Cookie
    } else {
        Transport::Body
    };
    let mut success = given(mounted, &signed_in, transport)?;
    if let Some(text) = exchanged {
        cookies::set_exchanged(&mut success.answer, mounted, text);
    }
    Ok(success)
}

/// A refresh by cookie asks for the security cookie as a request does, and exchanges an old one.
async fn secure_refresh(
    mounted: &Mounted,
    presented: &Presented<'_>,
    token: &str,
) -> Result<Option<String>, SignInError> {
    let tokens = RefreshTokens::new(mounted.bekci.root(), &mounted.guard.name);
    let Ok((session, _)) = tokens.parse(token) else {
        // It opens nothing, and is refused for what it is.
        return Ok(None);
    };
    let sign_in = mounted.bekci.sign_in();
    match presented.security(session) {
        SecurityCheck::NotNeeded | SecurityCheck::Young(_) => Ok(None),
        SecurityCheck::Old(held) => sign_in.exchange_security(&mounted.guard, &held).await.map(Some),
        SecurityCheck::Invalid => Err(SignInError::SecurityTokenInvalid),
    }
}

fn given(mounted: &Mounted, signed_in: &SignedIn, transport: Transport) -> Result<Success, Refusal> {
    let names = match mounted.guard.answer_shape {
        AnswerShape::Envelope => ENVELOPE,
        AnswerShape::Flat => FLAT,
    };
    let mut data = Map::new();
    data.insert("tokenType".into(), "Bearer".into());
    data.insert("expiresIn".into(), signed_in.expires_in_seconds.into());
    data.insert(names.access_expires.into(), moment(signed_in.access_expires_at).into());
    data.insert(
        names.refresh_expires.into(),
        moment(signed_in.refresh_expires_at).into(),
    );
    data.insert("sessionId".into(), signed_in.session.to_string().into());
    data.insert("user".into(), user(mounted, signed_in));
    if transport == Transport::Body {
        data.insert(names.access.into(), signed_in.access.expose_secret().into());
        data.insert("refreshToken".into(), signed_in.refresh.expose_secret().into());
    }
    let mut success = Success::ok(Value::Object(data));
    if transport == Transport::Cookie {
        cookies::set(&mut success.answer, mounted, signed_in)?;
    }
    Ok(success)
}

/// Who signed in, for the client's own use.
fn user(mounted: &Mounted, signed_in: &SignedIn) -> Value {
    let identity = &signed_in.view.identity;
    let held = Held {
        identity,
        guard: &mounted.guard.name,
        tenant: signed_in.tenant.as_ref(),
        roles: &signed_in.view.roles,
        in_force: true,
    };
    let email = identity.attributes.get("email");
    json!({
        "key": identity.key.as_str(),
        "model": identity.key.model(),
        "id": identity.key.id(),
        "email": email,
        "primaryEmail": email,
        "name": identity.attributes.get("name"),
        "type": Standing::Authorized.as_str(),
        "roles": held.role_names(),
        "permissions": held.permission_names(),
    })
}
