//! `POST …/introspect` and `POST …/revoke`: token introspection (RFC 7662) and revocation (RFC 7009) for the clients of the configuration.
//!
//! 1. The client authenticates first, by Basic credentials or by `client_id` and `client_secret` in the form, not by both (RFC 6749 section 2.3). Before that nothing is
//!    said of a token.
//! 2. An access token is active if the gate admits its bearer now, so an answer is as current as the decision of a route. Every other one is `{"active": false}`,
//!    without a reason (RFC 7662 section 2.2).
//! 3. Revoking a token ends its session: access tokens stop at once, and so does the refresh token. A token that is unknown or ended is 200 as well (RFC 7009 section 2.2).
//! 4. Answers have the shapes of the two RFCs, without an envelope.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    web::{Data, Payload, ServiceConfig},
};
use actix_web_httpauth::headers::authorization::{Basic, Scheme as _};
use bekci_core::{
    Admission, AskedTenant, AuthError, AuthGuard, BearerToken, ErrorCode, GuardChain, GuardOutcome, HeaderCredential,
    RequestHead, RouteRule, VerifiedClaims,
};
use bekci_signin::{ActiveRefresh, SignInError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::body;
use crate::{
    Bekci, Who,
    openapi::{
        self, Answers, Body, Operation,
        schema::{among, exactly, list, number, text, truth},
    },
    record::Reason,
    respond::{OWN_ANSWERS, REQUEST_ID, Refusal, Voice},
};

/// What a client is asked for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"bekci\", charset=\"UTF-8\"");

/// Seconds after which a request may be tried again if the store could not be asked.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Where the calls are mounted.
pub(super) struct Mounted {
    bekci: Bekci,
    guards: Vec<Arc<AuthGuard>>,
    /// Any token of any guard, wherever its routes read it.
    rule: RouteRule,
}

/// The calls, below the prefix of guards.
fn operations() -> [Operation; 2] {
    [
        Operation::new(Method::POST, "/introspect", |route| route.to(introspect))
            .named(
                "introspect",
                "Says whether a token is active, and whose it is (RFC 7662).",
            )
            .body(Body::Form(form))
            .answers(Answers::Json(|| {
                let described = [
                    ("active", truth()),
                    ("token_type", text()),
                    ("iss", text()),
                    ("sub", text()),
                    ("aud", text()),
                    ("iat", number(0)),
                    ("exp", number(0)),
                    ("jti", text()),
                    ("sid", text()),
                    ("guard", text()),
                    ("model", text()),
                    ("tenant", text()),
                    ("roles", list(text())),
                    ("permissions", list(text())),
                ];
                among(&["active"], &described)
            }))
            .refuses_as_oauth(),
        Operation::new(Method::POST, "/revoke", |route| route.to(revoke))
            .named("revoke", "Ends the session of a token (RFC 7009).")
            .body(Body::Form(form))
            .answers(Answers::Json(|| exactly(&[])))
            .refuses_as_oauth(),
    ]
}

fn form() -> Value {
    let fields = [
        ("token", text()),
        ("token_type_hint", text()),
        ("client_id", text()),
        ("client_secret", text()),
    ];
    let mut schema = among(&["token"], &fields);
    // Unknown parameters are ignored (RFC 6749 section 3.2).
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("additionalProperties".to_owned(), true.into());
    }
    schema
}

/// The paths of the calls.
pub(super) fn paths(prefix: &str) -> [String; 2] {
    operations().map(|operation| format!("{prefix}{}", operation.path()))
}

/// Mounts the calls. Without clients in the configuration, no credentials are right.
pub(super) fn mount(bekci: &Bekci, prefix: &str, config: &mut ServiceConfig) {
    let guards: Vec<Arc<AuthGuard>> = bekci.watch().guards().cloned().collect();
    let by_header = guards.iter().map(|guard| {
        let mut guard = AuthGuard::clone(guard);
        guard.sources.header = true;
        Arc::new(guard)
    });
    let mounted = Data::new(Mounted {
        bekci: bekci.clone(),
        rule: RouteRule::guarded("auth.clients", GuardChain::new(by_header)),
        guards,
    });
    let operations = operations();
    let standing = openapi::Standing {
        prefix,
        family: "clients",
        guard: None,
    };
    bekci.described().add(standing, &operations);
    for operation in &operations {
        openapi::mount_at(config, &format!("{prefix}{}", operation.path()), &[operation], &mounted);
    }
}

/// A guard, and the claims of its access token.
type Verified = (Arc<AuthGuard>, Arc<VerifiedClaims>);

/// Why a call is refused, by the codes of RFC 6749 section 5.2 and RFC 7009 section 2.2.1.
enum OAuthError {
    /// The request is not one that the RFCs describe.
    InvalidRequest(&'static str),
    /// The body was refused before it was read as a form.
    Body(Refusal),
    /// No client, or not this one.
    InvalidClient(&'static str),
    /// The store cannot answer now.
    Unavailable(String),
}

impl From<SignInError> for OAuthError {
    fn from(error: SignInError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl OAuthError {
    fn render(self, voice: &Voice) -> HttpResponse {
        let (error, description, code, why) = match self {
            Self::InvalidRequest(why) => ("invalid_request", why, ErrorCode::MalformedRequest, why.into()),
            Self::Body(refusal) => {
                let why = refusal.reason().to_owned();
                (
                    "invalid_request",
                    "the body cannot be read as a form",
                    refusal.code(),
                    why.into(),
                )
            }
            Self::InvalidClient(why) => (
                "invalid_client",
                "client authentication failed",
                ErrorCode::CredentialInvalid,
                why.into(),
            ),
            Self::Unavailable(why) => (
                "temporarily_unavailable",
                "the store cannot answer now",
                ErrorCode::StoreUnavailable,
                why.into(),
            ),
        };
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = plain(status, voice);
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((WWW_AUTHENTICATE, CHALLENGE));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, TRY_AGAIN));
        }
        let mut answer = answer.json(json!({
            "error": error,
            "error_description": description,
            "requestId": voice.request_id.as_str(),
        }));
        answer.extensions_mut().insert(Reason { code, why });
        answer
    }
}

fn plain(status: StatusCode, voice: &Voice) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    for (name, value) in OWN_ANSWERS {
        answer.insert_header((name, HeaderValue::from_static(value)));
    }
    answer.insert_header((REQUEST_ID, voice.request_id.header()));
    answer
}

async fn introspect(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    told(&request, try_introspect(&mounted, &request, payload).await)
}

async fn revoke(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    told(&request, try_revoke(&mounted, &request, payload).await)
}

fn told(request: &HttpRequest, result: Result<Value, OAuthError>) -> HttpResponse {
    let voice = Voice::of(request);
    match result {
        Ok(answer) => plain(StatusCode::OK, &voice).json(answer),
        Err(error) => error.render(&voice),
    }
}

async fn try_introspect(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Value, OAuthError> {
    let token = mounted.token_of(request, payload).await?;
    let token = token.expose_secret();
    if let Some(refresh) = mounted
        .bekci
        .sign_in()
        .introspect_refresh(&mounted.guards, token)
        .await?
    {
        return Ok(mounted.describe_refresh(&refresh));
    }
    mounted.describe_access(token).await
}

async fn try_revoke(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Value, OAuthError> {
    let token = mounted.token_of(request, payload).await?;
    let token = token.expose_secret();
    let sign_in = mounted.bekci.sign_in();
    if sign_in.revoke_refresh(&mounted.guards, token).await?.is_none()
        && let Some((guard, claims)) = mounted.verified(token)?
    {
        sign_in.sign_out(&guard, Some(&claims), None).await?;
    }
    Ok(json!({}))
}

impl Mounted {
    /// The token that an authenticated client sends.
    async fn token_of(&self, request: &HttpRequest, payload: Payload) -> Result<SecretString, OAuthError> {
        let form = body::read_form(request, payload, self.bekci.body_bytes()).await;
        let form = Form::parse(&form.map_err(OAuthError::Body)?)?;
        let (name, secret) = match (basic(request)?, form.client_id, form.client_secret) {
            (Some(credentials), _, None) => credentials,
            (None, Some(name), Some(secret)) => (name, secret),
            (Some(_), _, Some(_)) => return Err(OAuthError::InvalidRequest("the client authenticates in two ways")),
            (None, ..) => return Err(OAuthError::InvalidClient("no client credentials")),
        };
        let client = self.bekci.clients().authenticate(&name, secret.expose_secret());
        client.ok_or(OAuthError::InvalidClient("unknown client or wrong secret"))?;
        let token = form.token.filter(|token| !token.expose_secret().is_empty());
        token.ok_or(OAuthError::InvalidRequest("token is missing"))
    }

    /// A request with nothing but this token. `None`: it is no token in compact form.
    fn bearing(token: &str) -> Option<RequestHead<'_>> {
        Some(RequestHead {
            method: "POST",
            path: "/",
            tenant: AskedTenant::Claimed,
            authorization: HeaderCredential::Bearer(BearerToken::new(token).ok()?),
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
            secured: None,
        })
    }

    async fn describe_access(&self, token: &str) -> Result<Value, OAuthError> {
        let inactive = Ok(json!({"active": false}));
        let Some(head) = Self::bearing(token) else {
            return inactive;
        };
        let watch = self.bekci.watch();
        let principal = match watch.gate().admit(&head, &self.rule).await {
            Ok(Admission { principal, .. }) => principal,
            Err(AuthError::StoreUnavailable(why)) => return Err(OAuthError::Unavailable(why.into_string())),
            Err(_) => return inactive,
        };
        let Some(principal) = principal else {
            return inactive;
        };
        let who = Who::new(Arc::new(principal), watch.clone());
        let claims = &who.principal().claims;
        let mut described = json!({
            "active": true,
            "token_type": "Bearer",
            "iss": self.bekci.keys().issuer(),
            "sub": claims.key.as_str(),
            "aud": who.principal().guard.audience,
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "jti": claims.id.to_string(),
            "sid": claims.session.to_string(),
            "guard": claims.guard.as_str(),
            "model": claims.key.model(),
            "roles": who.roles(),
            "permissions": who.permissions(),
        });
        add_tenant(&mut described, claims.tenant.as_ref());
        Ok(described)
    }

    fn describe_refresh(&self, refresh: &ActiveRefresh) -> Value {
        let mut described = json!({
            "active": true,
            "token_type": "refresh_token",
            "iss": self.bekci.keys().issuer(),
            "sub": refresh.key.as_str(),
            "aud": refresh.guard.audience,
            "iat": refresh.issued_at.unix_timestamp(),
            "exp": refresh.expires_at.unix_timestamp(),
            "sid": refresh.session.to_string(),
            "guard": refresh.guard.name.as_str(),
            "model": refresh.key.model(),
        });
        add_tenant(&mut described, refresh.tenant.as_ref());
        described
    }

    /// Guard and claims of an access token, whether or not its session lives. `None`: it is none of ours, or has expired.
    fn verified(&self, token: &str) -> Result<Option<Verified>, OAuthError> {
        let Some(head) = Self::bearing(token) else {
            return Ok(None);
        };
        let verifier = &*self.bekci.watch().gate().parts().verifier;
        match self.rule.guards.authenticate(&head, verifier) {
            GuardOutcome::Authenticated { guard, claims, .. } => Ok(Some((guard, claims))),
            GuardOutcome::NotPresented | GuardOutcome::Rejected(_) => Ok(None),
            GuardOutcome::Unavailable(error) => Err(OAuthError::Unavailable(error.to_string())),
        }
    }
}

fn add_tenant(described: &mut Value, tenant: Option<&bekci_core::TenantName>) {
    if let (Some(fields), Some(tenant)) = (described.as_object_mut(), tenant) {
        fields.insert("tenant".to_owned(), tenant.as_str().into());
    }
}

/// Name and secret of the `Authorization` header. Both are form-encoded inside it (RFC 6749 section 2.3.1).
fn basic(request: &HttpRequest) -> Result<Option<(String, SecretString)>, OAuthError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else {
        return Ok(None);
    };
    if headers.next().is_some() {
        return Err(OAuthError::InvalidRequest("several Authorization headers"));
    }
    let basic = Basic::parse(header).map_err(|_| OAuthError::InvalidClient("no Basic credentials"))?;
    let secret = basic.password().ok_or(OAuthError::InvalidClient("no client secret"))?;
    Ok(Some((decoded(basic.user_id()), decoded(secret).into())))
}

/// A text that is form-encoded, as one name without a value.
fn decoded(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    // An encoded text has no bare `=` or `&`. Clients that do not encode send such secrets as they are.
    match (pairs.next(), pairs.next()) {
        (Some((name, value)), None) if value.is_empty() && !text.ends_with('=') => name.into_owned(),
        _ => text.to_owned(),
    }
}

/// The parameters of a call. Unknown ones are ignored (RFC 6749 section 3.2).
#[derive(Default)]
struct Form {
    token: Option<SecretString>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
}

impl Form {
    /// Reads the parameters. One that comes twice is refused (RFC 6749 section 3.2).
    fn parse(bytes: &[u8]) -> Result<Self, OAuthError> {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(bytes) {
            let twice = match name.as_ref() {
                "token" => form.token.replace(value.into_owned().into()).is_some(),
                "client_id" => form.client_id.replace(value.into_owned()).is_some(),
                "client_secret" => form.client_secret.replace(value.into_owned().into()).is_some(),
                _ => false,
            };
            if twice {
                return Err(OAuthError::InvalidRequest("a parameter comes twice"));
            }
        }
        Ok(form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_basic_are_decoded_if_they_are_encoded() {
        for (text, expected) in [
            ("reporting", "reporting"),
            ("a+b%3A%25", "a b:%"),
            ("a%3Db%26c", "a=b&c"),
            // As clients send them that do not encode.
            ("a=b", "a=b"),
            ("a&b", "a&b"),
            ("c2VjcmV0==", "c2VjcmV0=="),
            ("c2VjcmV0=", "c2VjcmV0="),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }
}
