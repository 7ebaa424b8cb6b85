//! Who acts, as handlers see it.

use std::{fmt, sync::Arc};

use bekci_core::{
    AuthError, ErrorCode, Explanation, IdentityVersion, NameError, Principal, PrincipalKey, SessionId, TenantName,
};
use bekci_signin::SignedOut;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::{
    Watch,
    permission::{AsPermission, AsRole},
    respond::{Refusal, moment},
    watch::Ways,
};

/// How old a sign-in may be to be called fresh where nobody says another age.
const FRESH: Duration = Duration::minutes(5);

/// What kind of identity somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not signed in.
    Guest,
    /// Signed in for the time being, until verified.
    Unverified,
    /// Signed in.
    Authorized,
    /// Known, and not let in.
    Unauthorized,
}

impl Standing {
    /// The name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Unverified => "unverified",
            Self::Authorized => "authorized",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// Who acts, confirmed against the identity as of now. Cheap to clone; what it says does not change while a request is answered.
#[derive(Clone)]
pub struct Who {
    principal: Arc<Principal>,
    watch: Watch,
}

impl Who {
    pub(crate) fn new(principal: Arc<Principal>, watch: Watch) -> Self {
        Self { principal, watch }
    }

    pub(crate) fn shared(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The principal as core has it.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Its key: `customer:42`.
    #[must_use]
    pub fn key(&self) -> &PrincipalKey {
        &self.principal.view.identity.key
    }

    /// Its id within its model, in canonical text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.key().id()
    }

    /// Its id as the type of the model's primary key: `who.id_as::<i64>()`. `None` where the text is none of that type.
    #[must_use]
    pub fn id_as<T: std::str::FromStr>(&self) -> Option<T> {
        self.id().parse().ok()
    }

    /// The guard that let it in.
    #[must_use]
    pub fn guard(&self) -> &str {
        self.principal.guard.name.as_str()
    }

    /// Its model.
    #[must_use]
    pub fn model(&self) -> &str {
        self.key().model()
    }

    /// What one signs in with: the first of the model's identifiers that is a cached attribute and has a value.
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        let model = self.watch.model(&self.principal.guard.model)?;
        let mut columns = model.identifiers.iter().map(|(column, _)| column);
        columns.find_map(|column| self.attribute(column)?.as_str())
    }

    /// The tenant that the request asks about, to which the principal belongs.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantName> {
        self.principal.tenant.as_ref()
    }

    /// The session that it acts in.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.principal.claims.session
    }

    /// The version of the identity that this request is decided by.
    #[must_use]
    pub fn version(&self) -> IdentityVersion {
        self.principal.view.version
    }

    /// What kind of identity it is.
    #[must_use]
    pub fn kind(&self) -> Standing {
        if self.is_temporary() {
            Standing::Unverified
        } else {
            Standing::Authorized
        }
    }

    /// Whether it is signed in for good.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        !self.is_temporary()
    }

    /// Whether nobody is signed in: never, for a principal that was admitted.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.kind() == Standing::Guest
    }

    /// Whether it is signed in for the time being alone, until verified: then it holds no role and no permission, whatever the account has.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.principal.is_temporary()
    }

    /// Whether the account's address is verified; true where its model has no such column.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.principal.view.identity.verified
    }

    /// Whether a remember-me cookie opened the session.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.principal.session().is_some_and(|session| session.remembered)
    }

    /// Whether somebody proved who they are within the last `age`.
    #[must_use]
    pub fn is_fresh(&self, age: Duration) -> bool {
        self.principal.is_fresh(age, self.watch.clock().now())
    }

    /// When the session was opened or last proved again.
    #[must_use]
    pub fn created_at(&self) -> Option<OffsetDateTime> {
        let session = self.principal.session()?;
        OffsetDateTime::from_unix_timestamp(session.authenticated_at).ok()
    }

    /// The roles held here, in order of name.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        self.principal.held().role_names()
    }

    /// The permissions held here, directly or by role, as patterns, in order.
    #[must_use]
    pub fn permissions(&self) -> Vec<&str> {
        self.principal.held().permission_names()
    }

    /// Whether it holds the role here. A text that is no role is held by nobody.
    #[must_use]
    pub fn has_role(&self, role: impl AsRole) -> bool {
        match role.as_role() {
            Ok(role) => self.principal.has_role(&role),
            Err(fault) => {
                tracing::error!(%fault, "a role was asked for that cannot be");
                false
            }
        }
    }

    /// Whether it holds the permission here. A text that is no permission is held by nobody.
    #[must_use]
    pub fn can(&self, permission: impl AsPermission) -> bool {
        match permission.as_permission() {
            Ok(permission) => self.principal.can(&permission),
            Err(fault) => {
                tracing::error!(%fault, "a permission was asked for that cannot be");
                false
            }
        }
    }

    /// Why it holds the permission here, or does not: `who.explain(posts::delete)?.to_string()` is `permitted by role editor`.
    ///
    /// # Errors
    /// [`NameError`] for a text that is no permission.
    pub fn explain(&self, permission: impl AsPermission) -> Result<Explanation, NameError> {
        let permission = permission.as_permission()?;
        Ok(self.principal.held().explain(&permission))
    }

    /// Ends the session that it acts in. When this returns, no node lets its tokens through; a cookie that holds one stays in the browser and is good for nothing.
    ///
    /// # Errors
    /// A [`Refusal`] with `STORE_UNAVAILABLE` where it cannot be told, or not on every node yet; its details say so then.
    pub async fn sign_out(&self) -> Result<SignedOut, Refusal> {
        let principal = &self.principal;
        let ended = self
            .ways()?
            .sign_in
            .sign_out(&principal.guard, Some(&principal.claims), None);
        Ok(ended.await?)
    }

    /// [`sign_out`](Self::sign_out), and takes the identity out of the shared cache.
    ///
    /// # Errors
    /// As `sign_out`.
    pub async fn destroy(&self) -> Result<SignedOut, Refusal> {
        let ended = self.sign_out().await?;
        self.ways()?.store.forget(self.key()).await;
        Ok(ended)
    }

    /// Forgets the browser of its session, without signing out: its remember-me token is no good any more. `false`: there was none.
    ///
    /// # Errors
    /// A [`Refusal`] with `STORE_UNAVAILABLE`.
    pub async fn forget_me(&self) -> Result<bool, Refusal> {
        let which = bekci_core::remember::Forget::OfSession(self.session_id());
        let forgotten = self.ways()?.sign_in.forget(&self.principal.guard, &which).await?;
        Ok(forgotten > 0)
    }

    pub(crate) fn ways(&self) -> Result<&Ways, Refusal> {
        let ways = self.watch.ways();
        ways.ok_or_else(|| Refusal::misconfigured("a Watch that was made by hand has no ways out; build a whole Bekci"))
    }

    /// Goes on only where the permission is held: `who.demand(posts::delete)?`.
    ///
    /// # Errors
    /// A [`Refusal`] with `FORBIDDEN` that names the permission.
    pub fn demand(&self, permission: impl AsPermission) -> Result<(), Refusal> {
        match permission.as_permission() {
            Ok(permission) if self.principal.can(&permission) => Ok(()),
            Ok(permission) => Err(AuthError::MissingRight(format!("permission {permission}").into()).into()),
            Err(fault) => Err(Refusal::new(ErrorCode::Internal, fault.to_string())),
        }
    }

    /// A cached attribute of the account.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.principal.view.identity.attributes.get(name)
    }

    /// The cached attributes of the account, by column.
    #[must_use]
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.principal.view.identity.attributes
    }

    /// The identity as `/me` gives it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let identity = &self.principal.view.identity;
        let session = self.principal.session();
        json!({
            "key": identity.key.as_str(),
            "model": self.model(),
            "id": self.id(),
            "type": self.kind().as_str(),
            "status": identity.status.as_deref(),
            "roles": self.roles(),
            "permissions": self.permissions(),
            "attributes": &identity.attributes,
            "session": {
                "id": self.session_id().to_string(),
                "way": session.map(|session| session.way.as_ref()),
                "authenticated": self.is_authenticated(),
                "temporary": self.is_temporary(),
                "verified": self.is_verified(),
                "rememberMe": self.is_remembered(),
                "fresh": self.is_fresh(FRESH),
                "createdAt": self.created_at().and_then(moment),
            },
        })
    }

    /// The identity flat: the attributes by name, and the classic reserved names, which begin with `__`.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        let identity = &self.principal.view.identity;
        let mut flat = identity.attributes.clone();
        let own = [
            ("key", identity.key.as_str().into()),
            ("model", self.model().into()),
            ("id", self.id().into()),
            ("status", identity.status.as_deref().into()),
            ("roles", self.roles().into()),
            ("permissions", self.permissions().into()),
            ("__type", self.kind().as_str().into()),
            ("__isAuthenticated", self.is_authenticated().into()),
            ("__isTemporary", self.is_temporary().into()),
            ("__isVerified", self.is_verified().into()),
            ("__rememberMe", self.is_remembered().into()),
            ("__time", self.created_at().map(OffsetDateTime::unix_timestamp).into()),
        ];
        for (name, value) in own {
            flat.insert(name.to_owned(), value);
        }
        flat
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Who({} through {})", self.key(), self.guard())
    }
}
