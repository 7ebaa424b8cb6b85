//! One identity provider.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bekci_core::{
    Clock, IdpName, TokenFault,
    idp::{ExpectedIdToken, ExternalIdentity, IdentityProvider, IdpError, IdpKeyReader, IdpKeys, IdpSettings, Nonce},
    mail::EmailAddress,
};
use parking_lot::Mutex;

use crate::{
    cache::{Cache, Held, Loaded},
    discovery,
    http::{Client, Request},
    url::Url,
};

/// What a provider is made of.
#[derive(Clone, Debug)]
pub struct ProviderParts {
    /// Which provider.
    pub settings: IdpSettings,
    /// Reads its keys.
    pub reader: Arc<dyn IdpKeyReader>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How far clocks may differ.
    pub leeway: time::Duration,
}

/// A provider that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("identity provider {provider}: {reason}")]
pub struct ProviderError {
    /// Which.
    pub provider: IdpName,
    /// Why.
    pub reason: String,
}

/// An identity provider. Cheap to clone. Nothing is fetched before the first use.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    parts: ProviderParts,
    discovery: Url,
    client: Client,
    cache: Mutex<Cache>,
    /// One fetch at a time. Calls that wait for it use what it brought.
    fetching: tokio::sync::Mutex<()>,
    /// Whether a fetch beside calls is under way.
    refreshing: AtomicBool,
}

impl fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Provider")
            .field(&self.0.parts.settings.name)
            .finish()
    }
}

/// A refresh beside calls, until it is dropped.
struct Refreshing<'a>(&'a AtomicBool);

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Provider {
    /// A provider over these parts.
    ///
    /// # Errors
    /// [`ProviderError`]: an issuer that is neither https nor on this machine, no client id, certificate authorities that cannot be read.
    pub fn new(parts: ProviderParts) -> Result<Self, ProviderError> {
        let wrong = |reason: String| ProviderError {
            provider: parts.settings.name.clone(),
            reason,
        };
        if parts.settings.client_ids.is_empty() {
            return Err(wrong("has no client id".to_owned()));
        }
        let discovery = discovery::address(&parts.settings).map_err(|why| wrong(format!("its issuer {why}")))?;
        let client = match discovery.is_https {
            true => Client::trusting(parts.settings.ca_file.as_deref()).map_err(wrong)?,
            false => Client::without_tls(),
        };
        let now = parts.clock.uptime();
        Ok(Self(Arc::new(Inner {
            discovery,
            client,
            cache: Mutex::new(Cache::new(now)),
            fetching: tokio::sync::Mutex::default(),
            refreshing: AtomicBool::new(false),
            parts,
        })))
    }

    fn now(&self) -> Duration {
        self.0.parts.clock.uptime()
    }

    fn settings(&self) -> &IdpSettings {
        &self.0.parts.settings
    }

    fn unavailable(&self, reason: impl Into<Box<str>>) -> IdpError {
        IdpError::Unavailable {
            provider: self.settings().name.clone(),
            reason: reason.into(),
        }
    }

    /// The keys for a call.
    async fn loaded(&self) -> Result<Loaded, IdpError> {
        let held = self.0.cache.lock().held(self.now());
        match held {
            Held::Fresh(loaded) => Ok(loaded),
            Held::Ageing(loaded) => {
                self.refresh_later();
                Ok(loaded)
            }
            Held::None => {
                let before = self.0.cache.lock().newer_than(None).map(|loaded| loaded.at);
                self.fetch(before).await
            }
        }
    }

    /// Fetches the keys beside calls, unless that is under way.
    fn refresh_later(&self) {
        if self.0.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let provider = self.clone();
        tokio::spawn(async move {
            let _under_way = Refreshing(&provider.0.refreshing);
            let before = provider.0.cache.lock().newer_than(None).map(|loaded| loaded.at);
            // A failure is in the log, and the next use tries again.
            let _fetched = provider.fetch(before).await;
        });
    }

    /// Fetches the keys, unless there are some that were fetched after those of `before`.
    async fn fetch(&self, before: Option<Duration>) -> Result<Loaded, IdpError> {
        let _one = self.0.fetching.lock().await;
        {
            let cache = self.0.cache.lock();
            if let Some(newer) = cache.newer_than(before) {
                return Ok(newer);
            }
            if let Some(why) = cache.just_failed(self.now()) {
                return Err(self.unavailable(why));
            }
        }
        match self.fetched().await {
            Ok(keys) => {
                let loaded = Loaded { keys, at: self.now() };
                self.0.cache.lock().fetched(loaded.clone());
                Ok(loaded)
            }
            Err(reason) => {
                tracing::warn!(target: "bekci::idp", provider = %self.settings().name, %reason, "the keys of an identity provider cannot be fetched");
                self.0.cache.lock().failed(self.now(), &reason);
                Err(self.unavailable(reason))
            }
        }
    }

    async fn fetched(&self) -> Result<Arc<dyn IdpKeys>, String> {
        let document = self.get(&self.0.discovery, "discovery document").await?;
        let metadata = discovery::read(self.settings(), &document)?;
        let set = self.get(&metadata.jwks, "JWK set").await?;
        self.0.parts.reader.read(&set)
    }

    async fn get(&self, url: &Url, what: &str) -> Result<Vec<u8>, String> {
        let answer = self.0.client.send(Request::Get(url)).await;
        let answer = answer.map_err(|why| format!("its {what}: {why}"))?;
        match answer.status {
            200 => Ok(answer.body),
            // Redirects are not followed: they could lead into the network of the server (OWASP ASVS 15.3.2).
            status => Err(format!("its {what} is answered with status {status}")),
        }
    }

    fn judge(&self, loaded: &Loaded, token: &str, nonce: Nonce<'_>) -> Result<ExternalIdentity, TokenFault> {
        let settings = self.settings();
        let claims = loaded.keys.verify(
            token,
            &ExpectedIdToken {
                issuers: &settings.issuers(),
                audiences: &settings.client_ids,
                nonce,
                now: self.0.parts.clock.now(),
                leeway: self.0.parts.leeway,
            },
        )?;
        let address = claims.email.and_then(|email| EmailAddress::new(&email).ok());
        Ok(ExternalIdentity {
            provider: settings.name.clone(),
            issuer: settings.issuer.clone(),
            subject: claims.subject,
            address_verified: claims.email_verified && address.is_some(),
            address,
            name: claims.name,
        })
    }

    /// The keys as they are now, if this `kid` may be looked for.
    async fn loaded_for(&self, kid: &str, before: &Loaded) -> Result<Option<Loaded>, IdpError> {
        if let Some(newer) = self.0.cache.lock().newer_than(Some(before.at)) {
            return Ok(Some(newer));
        }
        let may_look = self.0.cache.lock().may_look_for(kid, self.now());
        match may_look {
            true => self.fetch(Some(before.at)).await.map(Some),
            false => Ok(None),
        }
    }
}

#[async_trait]
impl IdentityProvider for Provider {
    fn name(&self) -> &IdpName {
        &self.settings().name
    }

    async fn verify(&self, token: &str, nonce: Nonce<'_>) -> Result<ExternalIdentity, IdpError> {
        let loaded = self.loaded().await?;
        let fault = match self.judge(&loaded, token, nonce) {
            Ok(who) => return Ok(who),
            Err(fault) => fault,
        };
        let kid = match fault {
            TokenFault::UnknownKey => loaded.keys.kid(token),
            _ => None,
        };
        let Some(kid) = kid else {
            return Err(IdpError::Refused(fault));
        };
        let Some(newer) = self.loaded_for(&kid, &loaded).await? else {
            return Err(IdpError::Refused(fault));
        };
        let judged = self.judge(&newer, token, nonce);
        if judged == Err(TokenFault::UnknownKey) {
            self.0.cache.lock().is_unknown(kid, self.now());
        }
        judged.map_err(IdpError::Refused)
    }
}
