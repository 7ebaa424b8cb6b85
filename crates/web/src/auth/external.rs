//! `POST …/{idp}/login`: sign-in by the ID token of an identity provider.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path, Payload},
};
use bekci_core::AuthError;
use bekci_signin::ExternalAttempt;
use serde::Deserialize;

use super::{
    Mounted,
    answer::{Success, told},
    body::{self, Secret, Transport},
    credentials::Presented,
    remember,
    sign_in::{check_transport, granted, refused_attempt, tenant_of},
};
use crate::{Reading, Record, respond::Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IdToken {
    id_token: Secret,
    nonce: Option<Secret>,
    device_name: Option<String>,
    device_id: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    remember_me: bool,
    #[serde(default)]
    transport: Transport,
}

pub(super) async fn login(
    mounted: Data<Mounted>,
    request: HttpRequest,
    provider: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let result = try_login(&mounted, &request, (&provider, payload)).await;
    told(&request, result)
}

async fn try_login(
    mounted: &Mounted,
    request: &HttpRequest,
    (provider, payload): (&str, Payload),
) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let body: IdToken = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    check_transport(mounted, &presented, body.transport)?;
    body::check_remember(body.remember_me, body.transport)?;
    let attempt = ExternalAttempt {
        id_token: body.id_token.0,
        nonce: body.nonce.map(|nonce| nonce.0),
        device_name: body.device_name,
        device_id: body.device_id,
        replaces: presented.replaced()?,
        tenant: tenant_of(mounted, request, body.tenant)?,
        remember: body.remember_me,
        client: mounted.bekci.client_of(request),
    };
    let external = mounted.bekci.external();
    let signed_in = external.by_id_token(&mounted.guard, provider, attempt).await;
    let outcome = signed_in.map_err(refused_attempt)?;
    Record::of(request).acted(&mounted.guard, outcome.key(), outcome.session());
    let mut success = granted(mounted, &outcome, body.transport)?;
    remember::replace(mounted, &presented, &outcome, &mut success).await;
    Ok(success)
}
