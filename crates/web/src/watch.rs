//! What every worker shares to decide: the gate, the guards, the models.

use std::{collections::HashMap, sync::Arc};

use bekci_core::{
    AuthGuard, Clock, Gate, GuardChain, GuardName, GuardSettingsError, Meter, ModelName, ModelSpec, RouteKind,
    RouteRule, Unmetered, check_guards,
};

use bekci_signin::SignIn;
use bekci_store::Store;

use crate::{BrowserSession, Cors, Front, GuardType, Messages, Require, Tenancy, TrustedProxies};

/// The gate with the guards and models that it decides about. Cheap to clone; built once, before the Actix factory, and shared by all workers.
#[derive(Clone, Debug)]
pub struct Watch {
    parts: Arc<Parts>,
    tenancy: Tenancy,
    meter: Arc<dyn Meter>,
    messages: Messages,
    by_https: bool,
    cors: Option<Cors>,
}

#[derive(Debug)]
struct Parts {
    gate: Gate,
    guards: HashMap<GuardName, Arc<AuthGuard>>,
    models: HashMap<ModelName, ModelSpec>,
    ways: Option<Ways>,
}

/// What a whole [`Bekci`](crate::Bekci) has beside its gate.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) sign_in: SignIn,
    pub(crate) store: Store,
    /// Whether policies are compiled, so that a handler can ask them.
    pub(crate) has_policy: bool,
    /// The prefix that the calls are mounted with, from the first mounting on.
    pub(crate) prefix: Arc<std::sync::OnceLock<Box<str>>>,
    pub(crate) trusted_proxies: TrustedProxies,
}

impl Watch {
    /// A watch over these guards.
    ///
    /// # Errors
    /// [`GuardSettingsError`] where two guards share a name, an audience, a cookie or a path.
    pub fn new(
        gate: Gate,
        guards: impl IntoIterator<Item = Arc<AuthGuard>>,
        models: impl IntoIterator<Item = ModelSpec>,
    ) -> Result<Self, GuardSettingsError> {
        Self::with_ways(gate, guards, models, None)
    }

    pub(crate) fn with_ways(
        gate: Gate,
        guards: impl IntoIterator<Item = Arc<AuthGuard>>,
        models: impl IntoIterator<Item = ModelSpec>,
        ways: Option<Ways>,
    ) -> Result<Self, GuardSettingsError> {
        let guards: Vec<Arc<AuthGuard>> = guards.into_iter().collect();
        check_guards(guards.iter().map(Arc::as_ref))?;
        let parts = Arc::new(Parts {
            gate,
            guards: guards.into_iter().map(|guard| (guard.name.clone(), guard)).collect(),
            models: models.into_iter().map(|model| (model.name.clone(), model)).collect(),
            ways,
        });
        Ok(Self {
            parts,
            tenancy: Tenancy::none(),
            meter: Arc::new(Unmetered),
            messages: Messages::default(),
            by_https: false,
            cors: None,
        })
    }

    /// With sentences of one's own in answers.
    #[must_use]
    pub fn with_messages(mut self, messages: Messages) -> Self {
        self.messages = messages;
        self
    }

    /// With what pages of other origins may do.
    #[must_use]
    pub fn with_cors(mut self, cors: Option<Cors>) -> Self {
        self.cors = cors;
        self
    }

    /// Behind a public URL of https: every answer has `Strict-Transport-Security: max-age=31536000`, unless it brings its own (RFC 6797).
    #[must_use]
    pub fn behind_https(mut self, by_https: bool) -> Self {
        self.by_https = by_https;
        self
    }

    /// The sentences of answers.
    #[must_use]
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    /// With a meter, which is told of every decision.
    #[must_use]
    pub fn with_meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.meter = meter;
        self
    }

    /// With tenants, which requests name as this says.
    #[must_use]
    pub fn with_tenancy(mut self, tenancy: Tenancy) -> Self {
        self.tenancy = tenancy;
        self
    }

    /// Where requests say which tenant they ask about.
    #[must_use]
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    pub(crate) fn ways(&self) -> Option<&Ways> {
        self.parts.ways.as_ref()
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.parts.gate
    }

    /// The clock that everything is judged by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.gate.parts().clock
    }

    /// The guard of this name.
    #[must_use]
    pub fn guard(&self, name: &str) -> Option<&Arc<AuthGuard>> {
        self.parts.guards.get(name)
    }

    /// All guards, in no particular order.
    pub fn guards(&self) -> impl Iterator<Item = &Arc<AuthGuard>> {
        self.parts.guards.values()
    }

    /// The model of this name.
    #[must_use]
    pub fn model(&self, name: &ModelName) -> Option<&ModelSpec> {
        self.parts.models.get(name)
    }

    /// Middleware for the whole application: request ids, canonical paths, errors in the contract's shape. Put it outermost.
    #[must_use]
    pub fn middleware(&self) -> Front {
        let clock = Arc::clone(&self.parts.gate.parts().clock);
        Front::new(self.tenancy.clone(), clock, Arc::clone(&self.meter))
            .saying(self.messages.clone())
            .by_https(self.by_https)
            .cors(self.cors.clone())
    }

    /// Middleware that lets in only those who are signed in through `G`.
    #[must_use]
    pub fn require<G: GuardType>(&self) -> Require {
        let rule = RouteRule::guarded(G::NAME, GuardChain::default());
        Require::new(self.clone(), rule).or::<G>()
    }

    /// What signs browsers in by their remember-me token, before a gate; `None` for a watch that was made by hand.
    #[must_use]
    pub fn browser_sessions(&self) -> Option<BrowserSession> {
        BrowserSession::of(self)
    }

    /// Middleware for a rule that was made by hand or from a configuration.
    #[must_use]
    pub fn require_rule(&self, rule: RouteRule) -> Require {
        let unguarded = rule.guards.iter().next().is_none() && rule.kind != RouteKind::Public;
        let require = Require::new(self.clone(), rule);
        if unguarded {
            require.broken("a rule names no guard and is not public")
        } else {
            require
        }
    }
}
