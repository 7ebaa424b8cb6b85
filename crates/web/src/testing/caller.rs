//! Who calls, and the calls.

use std::{future::IntoFuture, rc::Rc, sync::Arc};

use actix_web::{
    http::{
        Method,
        header::{AUTHORIZATION, COOKIE},
    },
    test::TestRequest,
};
use bekci_core::{
    AccessClaims, AuthGuard, BearerToken, Entropy as _, Permission, PrincipalKey, RoleName, TenantName, TokenFault,
    TokenId, TokenIssuer as _, TokenKind, security::SecurityCookie, signin::SignInTenant,
};
use bekci_signin::{IssueOrder, SignedIn};
use bekci_store::Scope;
use bekci_token::OsEntropy;
use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::OnceCell;

use super::{TestAnswer, TestApp, done, fail};
use crate::{AsPermission, AsRole, GuardType};

/// Somebody who is signed in; from [`TestApp::acting_as`]. Rights and session are written to the database when the first request is sent, and stay there.
#[derive(Clone, Debug)]
pub struct Caller {
    app: TestApp,
    key: PrincipalKey,
    guard: Option<String>,
    tenant: Option<TenantName>,
    permissions: Vec<Permission>,
    roles: Vec<RoleName>,
    token: Token,
    signed_in: Rc<OnceCell<SecretString>>,
}

/// What has become of the token that is presented.
#[derive(Clone, Copy, Debug)]
enum Token {
    Good,
    Expired,
    Revoked,
    Temporary,
}

impl Caller {
    pub(super) fn new(app: &TestApp, key: PrincipalKey) -> Self {
        Self {
            app: app.clone(),
            key,
            guard: None,
            tenant: None,
            permissions: Vec::new(),
            roles: Vec::new(),
            token: Token::Good,
            signed_in: Rc::default(),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.signed_in = Rc::default();
        self
    }

    /// Grants the permission, as a row.
    ///
    /// # Panics
    /// Where it is no permission.
    #[must_use]
    pub fn can(self, permission: impl AsPermission) -> Self {
        let permission = done(permission.as_permission(), "no permission").into_owned();
        self.changed(|caller| caller.permissions.push(permission))
    }

    /// Gives the role, as a row. The guard must have it: `bekci.rights().put_role(..)`.
    ///
    /// # Panics
    /// Where it is no role.
    #[must_use]
    pub fn with_role(self, role: impl AsRole) -> Self {
        let role = done(role.as_role(), "no role").into_owned();
        self.changed(|caller| caller.roles.push(role))
    }

    /// Signs in for this tenant: rights that are given here count in it alone, and the token names it.
    ///
    /// # Panics
    /// Where it is no tenant's name.
    #[must_use]
    pub fn in_tenant(self, tenant: &str) -> Self {
        let tenant = done(TenantName::new(tenant), "no tenant");
        self.changed(|caller| caller.tenant = Some(tenant))
    }

    /// Comes in through guard `G`, where its model has several.
    #[must_use]
    pub fn through<G: GuardType>(self) -> Self {
        self.through_guard(G::NAME)
    }

    pub(super) fn through_guard(self, name: &str) -> Self {
        let name = name.to_owned();
        self.changed(|caller| caller.guard = Some(name))
    }

    /// Presents a token whose time is over: signed by the guard's key, for a session that lives.
    #[must_use]
    pub fn expired(self) -> Self {
        self.changed(|caller| caller.token = Token::Expired)
    }

    /// Presents a token whose session was ended by signing out.
    #[must_use]
    pub fn revoked(self) -> Self {
        self.changed(|caller| caller.token = Token::Revoked)
    }

    /// Has given a right credential, and waits for the verification: presents a temporary token, which routes for the `unverified` alone take. What it was given holds only after
    /// that.
    #[must_use]
    pub fn unverified(self) -> Self {
        self.changed(|caller| caller.token = Token::Temporary)
    }

    /// A request by this caller.
    pub fn request(&self, method: Method, path: &str) -> Call {
        Call::new(&self.app, Some(self.clone()), method, path)
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// `POST`.
    pub fn post(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }

    /// `PUT`.
    pub fn put(&self, path: &str) -> Call {
        self.request(Method::PUT, path)
    }

    /// `PATCH`.
    pub fn patch(&self, path: &str) -> Call {
        self.request(Method::PATCH, path)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Call {
        self.request(Method::DELETE, path)
    }

    fn auth_guard(&self) -> Arc<AuthGuard> {
        let watch = self.app.bekci.watch();
        if let Some(name) = &self.guard {
            let known = watch.guard(name).cloned();
            return known.unwrap_or_else(|| fail(format_args!("guard {name:?} is not registered with the builder")));
        }
        let mut fitting = watch.guards().filter(|guard| guard.model.as_str() == self.key.model());
        match (fitting.next(), fitting.next()) {
            (Some(guard), None) => Arc::clone(guard),
            (None, _) => fail(format_args!("no guard is for the model of {}", self.key)),
            (Some(_), Some(_)) => fail(format_args!(
                "several guards are for the model of {}: say .through::<G>()",
                self.key
            )),
        }
    }

    async fn sign_in(&self) -> SecretString {
        let (guard, bekci) = (self.auth_guard(), &self.app.bekci);
        let scope = Scope {
            guard: guard.name.clone(),
            tenant: self.tenant.clone(),
        };
        if !self.roles.is_empty() {
            let given = bekci.store().rights().assign_role(&self.key, &scope, &self.roles).await;
            done(
                done(given, "the role was not given").confirmed(),
                "the role is not in force",
            );
        }
        if !self.permissions.is_empty() {
            let given = bekci.store().rights().give(&self.key, &scope, &self.permissions).await;
            done(
                done(given, "the permission was not given").confirmed(),
                "the permission is not in force",
            );
        }
        let tenant = self.tenant.clone();
        let order = IssueOrder {
            tenant: tenant.map_or_else(|| bekci.watch().tenancy().unnamed(), SignInTenant::Named),
            ..IssueOrder::default()
        };
        if matches!(self.token, Token::Temporary) {
            let issued = bekci.sign_in().issue_temporary(&guard, &self.key, order).await;
            return done(issued, &format!("{} cannot wait for a verification", self.key)).token;
        }
        let issued = bekci.sign_in().issue(&guard, &self.key, order).await;
        let signed_in = done(issued, &format!("{} cannot be signed in", self.key));
        match self.token {
            Token::Good | Token::Temporary => signed_in.access,
            Token::Expired => self.expired_token(&guard, &signed_in),
            Token::Revoked => {
                let refresh = signed_in.refresh.expose_secret();
                done(
                    bekci.sign_in().sign_out(&guard, None, Some(refresh)).await,
                    "no sign-out",
                );
                signed_in.access
            }
        }
    }

    /// A token of two minutes ago that was good for a second.
    fn expired_token(&self, guard: &AuthGuard, signed_in: &SignedIn) -> SecretString {
        let mut id = TokenId([0; 16]);
        done(OsEntropy.fill(&mut id.0), "no random bytes");
        let watch = self.app.bekci.watch();
        let now = watch.clock().now().unix_timestamp();
        let claims = AccessClaims {
            kind: TokenKind::Access,
            key: self.key.clone(),
            session: signed_in.session,
            generation: 0,
            version: signed_in.view.version,
            tenant: self.tenant.clone(),
            id,
            issued_at: now - 121,
            expires_at: now - 120,
            extra: serde_json::Map::new(),
        };
        let token = done(self.app.bekci.keys().issue(&guard.name, &claims), "no token");
        let verifier = &watch.gate().parts().verifier;
        let bearer = done(BearerToken::new(token.expose_secret()), "no token");
        // A key does not sign for a time before it was made.
        match verifier.verify(&guard.name, TokenKind::Access, bearer) {
            Err(TokenFault::Expired) => token,
            other => fail(format_args!(
                "no expired token can be made ({other:?}): the guard's key is younger than two minutes; testing::bekci makes older ones"
            )),
        }
    }

    /// Presents the token where the guard takes it.
    pub(super) async fn present(&self, request: TestRequest) -> TestRequest {
        let token = self.signed_in.get_or_init(|| self.sign_in()).await.expose_secret();
        let guard = self.auth_guard();
        if guard.sources.header {
            return request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
        }
        let name = match self.token {
            Token::Temporary => &guard.cookies.temporary,
            Token::Good | Token::Expired | Token::Revoked => &guard.cookies.access,
        };
        let cookies = match self.security(&guard, token) {
            Some(security) => format!("{name}={token}; {}={security}", guard.cookies.security),
            None => format!("{name}={token}"),
        };
        request
            .insert_header((COOKIE, cookies))
            .insert_header(("Sec-Fetch-Site", "same-origin"))
    }

    /// The security cookie of the token's session, as a browser holds it.
    fn security(&self, guard: &AuthGuard, token: &str) -> Option<String> {
        guard.security_interval()?;
        let watch = self.app.bekci.watch();
        let verifier = &watch.gate().parts().verifier;
        let token = BearerToken::new(token).ok()?;
        let claims = verifier.verify(&guard.name, TokenKind::Access, token).ok()?;
        guard.security.make(&SecurityCookie {
            session: claims.session,
            generation: 0,
            issued_at: watch.clock().now().unix_timestamp(),
        })
    }

    /// The same, signed in anew.
    pub(super) fn anew(&self) -> Self {
        self.clone().changed(|_| ())
    }
}

/// A request that is to be sent; `.await` sends it.
#[must_use = "nothing is sent before .await"]
pub struct Call {
    app: TestApp,
    caller: Option<Caller>,
    request: TestRequest,
}

impl Call {
    pub(super) fn new(app: &TestApp, caller: Option<Caller>, method: Method, path: &str) -> Self {
        Self {
            app: app.clone(),
            caller,
            request: TestRequest::with_uri(path).method(method),
        }
    }

    /// With a header; one of the same name is replaced.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.insert_header((name, value));
        self
    }

    /// With this as its JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.set_json(body);
        self
    }

    /// With this as its body, and no content type.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.request = self.request.set_payload(body.into());
        self
    }

    pub(super) async fn reply(self) -> super::app::Reply {
        let request = match &self.caller {
            Some(caller) => caller.present(self.request).await,
            None => self.request,
        };
        self.app.serve(request).await
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Call({:?})", self.caller.as_ref().map(|caller| &caller.key))
    }
}

impl IntoFuture for Call {
    type Output = TestAnswer;
    type IntoFuture = LocalBoxFuture<'static, TestAnswer>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.reply().await.read().await })
    }
}
