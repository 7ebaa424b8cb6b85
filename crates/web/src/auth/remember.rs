//! The remember-me cookie at the guard's calls: `POST …/token/refresh` without a refresh token, sign-ins, and `DELETE …/remember-me`.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bekci_core::{
    AuthError,
    remember::{Forget, SeriesId},
};
use bekci_signin::{Granted, RecallAttempt, SignInError, SignedIn};
use serde_json::json;

use super::{
    Mounted,
    answer::{self, Success},
    cookies,
    credentials::{Presented, admitted},
};
use crate::{Reading, respond::Refusal};

/// Why a call was refused, and whether the browser's remember-me token is good for nothing.
pub(super) struct NotRecalled {
    refusal: Refusal,
    forgets: bool,
}

impl From<Refusal> for NotRecalled {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            forgets: false,
        }
    }
}

impl From<AuthError> for NotRecalled {
    fn from(error: AuthError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<SignInError> for NotRecalled {
    fn from(error: SignInError) -> Self {
        Refusal::from(error).into()
    }
}

/// The answer; a token that is good for nothing is taken away.
pub(super) fn told(mounted: &Mounted, request: &HttpRequest, result: Result<Success, NotRecalled>) -> HttpResponse {
    match result {
        Ok(success) => answer::told(request, Ok(success)),
        Err(NotRecalled { refusal, forgets }) => {
            let mut answer = answer::told(request, Err(refusal));
            if forgets && answer.add_cookie(&cookies::without_remember(mounted)).is_err() {
                tracing::error!("a cookie is no header");
            }
            answer
        }
    }
}

/// Signs in by the remember-me cookie where no refresh token was presented.
pub(super) async fn recall(
    mounted: &Mounted,
    request: &HttpRequest,
    presented: &Presented<'_>,
) -> Result<SignedIn, NotRecalled> {
    let token = presented.remember()?.ok_or(AuthError::TokenMissing)?;
    let attempt = RecallAttempt {
        token,
        client: mounted.bekci.client_of(request),
    };
    let recalled = mounted.bekci.sign_in().recall(&mounted.guard, attempt).await;
    recalled.map_err(|error| NotRecalled {
        forgets: matches!(error, SignInError::RememberInvalid | SignInError::RememberStolen),
        refusal: error.into(),
    })
}

/// A sign-in ends the series that its browser had before, whosever it was: it would bring back who signed in before.
pub(super) async fn replace(mounted: &Mounted, presented: &Presented<'_>, granted: &Granted, success: &mut Success) {
    let Granted::Full(signed_in) = granted else {
        return;
    };
    let Some(series) = presented.series() else {
        return;
    };
    forget(mounted, series).await;
    if signed_in.remember.is_none() {
        success.answer.cookie(cookies::without_remember(mounted));
    }
}

/// The browser loses the token all the same.
pub(super) async fn forget(mounted: &Mounted, series: SeriesId) {
    let which = Forget::Series(series);
    let forgotten = mounted.bekci.sign_in().forget(&mounted.guard, &which).await;
    if let Err(error) = forgotten {
        tracing::warn!(target: "bekci::signin", %error, "a remember-me series did not end; its token was taken away");
    }
}

pub(super) async fn forget_me(mounted: Data<Mounted>, request: HttpRequest) -> HttpResponse {
    let result = try_forget_me(&mounted, &request).await;
    answer::told(&request, result)
}

/// Forgets this browser without signing out: by its token, or by the session of who calls.
async fn try_forget_me(mounted: &Mounted, request: &HttpRequest) -> Result<Success, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let presented = Presented::new(&reading, mounted);
    let token = presented.remember()?;
    let mut series = Vec::new();
    let named = token.and_then(|token| mounted.bekci.sign_in().series_of(&mounted.guard, token));
    series.extend(named.map(Forget::Series));
    match admitted(request, mounted).await {
        Ok(who) => series.push(Forget::OfSession(who.session_id())),
        Err(refusal) if series.is_empty() => return Err(refusal),
        Err(_) => {}
    }
    let mut forgotten = 0;
    for which in &series {
        forgotten += mounted.bekci.sign_in().forget(&mounted.guard, which).await?;
    }
    let mut success = Success::ok(json!({"forgotten": forgotten > 0}));
    if mounted.guard.sources.cookie {
        success.answer.cookie(cookies::without_remember(mounted));
    }
    Ok(success)
}
