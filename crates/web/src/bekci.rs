//! What an application's workers share.

use std::{net::IpAddr, sync::Arc};

use actix_web::{HttpRequest, web::ServiceConfig};
use bekci_core::{Entropy, Gate, PrincipalKey, RootSecret, RouteRule, mail::MailLanguage, signin::StoreError};
use bekci_signin::{PasswordHasher, SignIn};
use bekci_store::{GuardedConnection, Store};
use bekci_token::KeyRing;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Accounts, AuditTrail, Builder, Front, GuardCalls, GuardType, Identities, Require, Rights, Sessions, Settings,
    Stats, TrustedProxies, Watch, auth, mail::Sending, openapi::Described,
};

/// Everything that an application's workers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bekci(pub(crate) Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) watch: Watch,
    #[cfg(feature = "migration")]
    pub(crate) database: bekci_store::sea_orm::DatabaseConnection,
    pub(crate) store: Store,
    pub(crate) sign_in: SignIn,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) public_url: String,
    pub(crate) root: Arc<RootSecret>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) body_bytes: usize,
    pub(crate) audit: AuditTrail,
    pub(crate) own_accounts: Option<bekci_signin::Accounts>,
    pub(crate) clients: bekci_signin::Clients,
    pub(crate) stats: Stats,
    pub(crate) external: bekci_signin::ExternalSignIn,
    pub(crate) mail_language: MailLanguage,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) sending: Option<Sending>,
    pub(crate) looking: std::sync::Mutex<Option<JoinHandle<()>>>,
    pub(crate) described: std::sync::Mutex<Described>,
}

impl Bekci {
    /// Begins to put one together.
    #[must_use]
    pub fn builder(settings: Settings) -> Builder {
        Builder::new(settings)
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Roles and permissions, and who holds them: each change is in force when its call returns.
    pub fn rights(&self) -> Rights {
        Rights::new(self.clone())
    }

    /// Makes accounts.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.clone())
    }

    /// The connection to write through: only what is written through it takes effect at once.
    ///
    /// The hooks refuse a row that is written through another connection. SeaORM runs no hook for statements of many rows: `Entity::delete_many().exec(&raw)` and
    /// `update_many` through a pool of the application's own are seen by triggers alone, and take effect within `max_staleness_ms`.
    #[must_use]
    pub fn connection(&self) -> GuardedConnection {
        self.0.store.connection()
    }

    /// Says that these principals changed where no trigger watches, as at a provider of the application's own; no node decides by what they were when this returns. Call it
    /// after the change, not before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch(&self, keys: &[PrincipalKey]) -> Result<(), StoreError> {
        self.0.store.touch(keys).await
    }

    /// The gate, the guards and the models.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        self.0.watch.gate()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Identities as of now.
    #[must_use]
    pub fn identities(&self) -> Identities {
        Identities::new(self.clone())
    }

    /// Sessions of principals: listed and ended.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.clone())
    }

    /// The calls of a guard: signing in, checking credentials, vouching for somebody.
    #[must_use]
    pub fn guard<G: GuardType>(&self) -> GuardCalls<G> {
        GuardCalls::new(self.clone())
    }

    /// The ways in and out.
    #[must_use]
    pub fn sign_in(&self) -> &SignIn {
        &self.0.sign_in
    }

    /// What people do with their own accounts; `None`: no mails are sent, which [`Builder::mail`] turns on.
    #[must_use]
    pub fn own_accounts(&self) -> Option<&bekci_signin::Accounts> {
        self.0.own_accounts.as_ref()
    }

    /// What this node has counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Who may introspect and revoke tokens.
    pub(crate) fn clients(&self) -> &bekci_signin::Clients {
        &self.0.clients
    }

    /// Sign-in by the identity providers of the guards.
    #[must_use]
    pub fn external(&self) -> &bekci_signin::ExternalSignIn {
        &self.0.external
    }

    /// The language of mails if a request names none that Bekci speaks.
    pub(crate) fn mail_language(&self) -> MailLanguage {
        self.0.mail_language
    }

    /// The signing keys.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// The origin, as browsers see it, without a slash at its end.
    pub(crate) fn public_url(&self) -> &str {
        self.0.public_url.trim_end_matches('/')
    }

    /// Hashes passwords, for accounts that an application makes itself.
    #[must_use]
    pub fn passwords(&self) -> &PasswordHasher {
        self.0.sign_in.hasher()
    }

    /// A new hash for an account of this model, as its guards say.
    ///
    /// # Errors
    /// [`HashError`](bekci_signin::HashError).
    pub async fn hash_password(
        &self,
        model: &bekci_core::ModelName,
        password: secrecy::SecretString,
    ) -> Result<secrecy::SecretString, bekci_signin::HashError> {
        let mut guards = self.watch().guards();
        let scheme = guards
            .find(|guard| guard.model == *model)
            .and_then(|guard| guard.password_hash);
        self.passwords().hash_by(scheme, password).await
    }

    pub(crate) fn root(&self) -> &RootSecret {
        &self.0.root
    }

    /// The address that the request's client is believed to have.
    pub(crate) fn client_of(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.0.trusted_proxies.client_of(request)
    }

    /// The longest body that its calls read, in bytes.
    pub(crate) fn body_bytes(&self) -> usize {
        self.0.body_bytes
    }

    /// Whether security events are taken where they go.
    pub(crate) fn is_audited(&self) -> bool {
        self.0.audit.is_taken()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    /// Middleware for the whole application: request ids, canonical paths, errors in the contract's shape. Put it outermost.
    #[must_use]
    pub fn middleware(&self) -> Front {
        self.0.watch.middleware()
    }

    /// Middleware that lets in only those who are signed in through `G`.
    #[must_use]
    pub fn require<G: GuardType>(&self) -> Require {
        self.0.watch.require::<G>()
    }

    /// Middleware for a rule that was made by hand or from a configuration.
    #[must_use]
    pub fn require_rule(&self, rule: RouteRule) -> Require {
        self.0.watch.require_rule(rule)
    }

    /// Mounts the calls of every guard under the prefix, `/.well-known/jwks.json` and `/.well-known/openid-configuration`, and what describes the calls: `/openapi.json` (OpenAPI 3.1) and `/docs`, a page to try
    /// them at. `App::new().configure(bekci.mount("/auth"))`.
    pub fn mount(&self, prefix: &str) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (bekci, prefix) = (self.clone(), prefix.to_owned());
        move |config| auth::mount(&bekci, &prefix, config)
    }

    /// The paths that [`mount`](Self::mount) takes with this prefix, each with all below it.
    #[must_use]
    pub fn mounted_paths(&self, prefix: &str) -> Vec<String> {
        auth::paths(self, prefix)
    }

    /// The OpenAPI 3.1 document of what is mounted, as `/openapi.json` has it.
    #[must_use]
    pub fn openapi(&self) -> serde_json::Value {
        let mut guards: Vec<_> = self.0.watch.guards().map(Arc::as_ref).collect();
        guards.sort_by(|one: &&bekci_core::AuthGuard, other| one.name.cmp(&other.name));
        let models = guards.iter().filter_map(|guard| self.0.watch.model(&guard.model));
        let models = models.map(|model| (model.name.as_str(), model)).collect();
        self.described().document(guards.iter().copied(), &models)
    }

    /// Adds an operation of the application's own to the document: its path, its method and its Operation Object.
    pub fn describe(&self, path: &str, method: &str, operation: serde_json::Value) {
        self.described().add_one(path, &method.to_ascii_lowercase(), operation);
    }

    pub(crate) fn described(&self) -> std::sync::MutexGuard<'_, Described> {
        // Notes are whole or not there: nothing that panics is done under the lock.
        self.0
            .described
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Stops what runs beside requests and takes this node out, so that no writer waits for it.
    pub async fn close(&self) {
        self.0.stop.send_replace(true);
        let looking = self
            .0
            .looking
            .lock()
            .map_or_else(|poisoned| poisoned.into_inner().take(), |mut slot| slot.take());
        if let Some(looking) = looking {
            let _ended = looking.await;
        }
        if let Some(accounts) = &self.0.own_accounts {
            accounts.close().await;
        }
        if let Some(sending) = &self.0.sending {
            sending.stop().await;
        }
        self.0.store.close().await;
    }
}
