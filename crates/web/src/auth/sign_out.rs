//! `POST …/logout` and `POST …/logout-all`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web::{Data, Payload},
};
use bekci_core::AuthError;
use bekci_signin::SignInError;
use serde_json::json;

use super::{
    Mounted,
    answer::{Success, told},
    body::{self, Logout},
    cookies,
    credentials::{Presented, admitted},
    remember,
};
use crate::{Reading, respond::Refusal};

/// What a browser keeps of the pages of who was signed in. Not its cookies: it may be signed in at other guards.
const CLEAR: (HeaderName, HeaderValue) = (
    HeaderName::from_static("clear-site-data"),
    HeaderValue::from_static("\"cache\""),
);

pub(super) async fn logout(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_logout(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_logout(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let body: Logout = body::read_if_any(request, payload, mounted.bekci.body_bytes()).await?;
    let presented = Presented::new(&reading, mounted);
    let refresh = presented.refresh(body.refresh_token.as_deref())?;
    // An expired access token is no hindrance where a refresh token says which session is meant.
    let access = presented.access(refresh.is_some())?;
    let refresh = refresh.as_ref().map(|credential| credential.token);
    let sign_in = mounted.bekci.sign_in();
    let forgets = body.forget.unwrap_or(true);
    let ended = match forgets {
        true => sign_in.sign_out(&mounted.guard, access.as_deref(), refresh).await,
        false => {
            sign_in
                .sign_out_remembered(&mounted.guard, access.as_deref(), refresh)
                .await
        }
    };
    // The series of the session ends with it; the browser may have another one.
    if let (true, Some(series)) = (forgets && ended.is_ok(), presented.series()) {
        remember::forget(mounted, series).await;
    }
    let done = ended.map(|ended| json!({"sessionId": ended.session.to_string()}));
    left(mounted, done, forgets)
}

pub(super) async fn logout_all(mounted: Data<Mounted>, request: HttpRequest) -> HttpResponse {
    let result = try_logout_all(&mounted, &request).await;
    told(&request, result)
}

async fn try_logout_all(mounted: &Mounted, request: &HttpRequest) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let sign_in = mounted.bekci.sign_in();
    let ended = sign_in.sign_out_everywhere(&mounted.guard, who.key()).await;
    left(mounted, ended.map(|ended| json!({"endedSessions": ended.len()})), true)
}

/// The session has ended, or will have on every node in a moment: either way the browser keeps nothing of it.
fn left(mounted: &Mounted, done: Result<serde_json::Value, SignInError>, forgets: bool) -> Result<Success, Refusal> {
    let mut success = match done {
        Ok(data) => Success::ok(data),
        Err(SignInError::Pending { position }) => Success::pending(position),
        Err(error) => return Err(error.into()),
    };
    if mounted.guard.sources.cookie {
        cookies::clear(&mut success.answer, mounted);
    }
    if mounted.guard.sources.cookie && forgets {
        success.answer.cookie(cookies::without_remember(mounted));
    }
    success.answer.insert_header(CLEAR);
    Ok(success)
}
