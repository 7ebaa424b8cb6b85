//! Passwords: hashed on threads of their own, with a bound on how many wait.
//!
//! 1. A password is taken as it was typed: its UTF-8, not normalised and never cut. Normalising (NFC, NFKC) would break hashes made by other systems, and one
//!    keyboard gives one form.
//! 2. New hashes are argon2id, by default with the parameters that OWASP names first (19 MiB, 2 rounds, 1 lane), with 16 random bytes of salt; or bcrypt, where a guard
//!    says so, for passwords that bcrypt does not cut.
//! 3. Hashes of other costs, of argon2i and argon2d, of bcrypt (`$2a$`, `$2b$`, `$2y$`, as PHP makes them), of PBKDF2 as Django writes it and of Firebase's scrypt verify,
//!    and count as outdated where they are weaker.
//! 4. A stored hash that would cost more than [`Caps`](phc::Caps) allow, or of a format that is not known, is nobody's.
//! 5. Where there is nothing to verify against (no account, no password, rule 4, over 128 characters) the answer is no. Each verification does as much work as the
//!    dearest hash of the model costs, see [`work`].
//! 6. When the queue is full the answer is [`HashError::Busy`], at once, see [`pool`]. A job whose caller is gone is not done.

mod django;
mod firebase;
mod phc;
mod policy;
mod pool;
mod work;

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::Block;
use bekci_core::{Entropy, HashScheme, ModelName};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

pub use self::{
    firebase::{FirebaseParameters, FirebaseParametersError},
    phc::Argon2Cost,
    policy::{MIN_POLICY_CHARS, PasswordPolicy, WeakPassword},
    pool::Origin,
    work::WorkDone,
};
use self::{
    phc::Stored,
    pool::{Pool, PoolError},
    work::{Dearest, Work},
};

/// The longest password that is verified or set, in characters.
pub const MAX_PASSWORD_CHARS: usize = 128;

/// How many jobs may wait for each thread unless it is configured: at about 20 ms each they keep nobody waiting for long.
const WAITING_PER_THREAD: usize = 32;

/// How passwords are hashed, and on how much of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashSettings {
    /// The cost of new hashes.
    pub cost: Argon2Cost,
    /// How many are hashed at once; `None`: one for each core. Each takes the memory of the cost.
    pub threads: Option<NonZeroUsize>,
    /// How many may wait; `None`: 32 for each thread.
    pub waiting: Option<NonZeroUsize>,
}

/// A hasher could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HasherError {
    /// Argon2 does not allow these costs (RFC 9106 section 3.1).
    #[error("password hash settings: {0}")]
    Cost(String),
    /// The machine gives no threads.
    #[error("cannot start threads for hashing: {0}")]
    Threads(String),
}

/// A password was not hashed or verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// As many wait as may.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The hasher is shutting down.
    #[error("password hashing has stopped")]
    Stopped,
    /// The hashing itself failed, as for want of memory.
    #[error("password hashing failed: {0}")]
    Failed(String),
    /// There is no salt.
    #[error("no salt: {0}")]
    Entropy(String),
    /// bcrypt would not see all of the password.
    #[error("must have at most 72 bytes and no zero byte, since bcrypt hashes it")]
    TooLong,
}

/// What a check of a password came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCheck {
    /// Whether it is the password.
    pub matches: bool,
    /// Whether the stored hash is weaker than new ones; only ever true together with `matches`.
    pub outdated: bool,
}

/// How much a hasher has done. For metrics, and for tests that compare work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HasherStats {
    /// Hashes that were computed, to verify or to store.
    pub computed: u64,
    /// Jobs that were refused since too many waited.
    pub refused: u64,
    /// Jobs that nobody waited for any more when their turn came, and that were not done.
    pub skipped: u64,
    /// How much was worked, by scheme.
    pub work: WorkDone,
}

/// What a verification is for.
#[derive(Clone, Copy, Debug)]
pub struct VerifyFor<'a> {
    /// The model of the account.
    pub model: &'a ModelName,
    /// How its new passwords are hashed; `None`: as the hasher's settings say.
    pub scheme: Option<HashScheme>,
    /// Where it comes from.
    pub origin: Origin,
}

#[derive(Debug, Default)]
struct Counters {
    computed: AtomicU64,
    refused: AtomicU64,
    argon2_kib: AtomicU64,
    bcrypt_rounds: AtomicU64,
    pbkdf2_rounds: AtomicU64,
    scrypt_blocks: AtomicU64,
}

impl Counters {
    fn count(&self, work: Work) {
        let amount = work.amount();
        self.argon2_kib.fetch_add(amount.argon2_kib, Ordering::Relaxed);
        self.bcrypt_rounds.fetch_add(amount.bcrypt_rounds, Ordering::Relaxed);
        self.pbkdf2_rounds.fetch_add(amount.pbkdf2_rounds, Ordering::Relaxed);
        self.scrypt_blocks.fetch_add(amount.scrypt_blocks, Ordering::Relaxed);
    }
}

/// Hashes and verifies passwords without holding up the threads that serve requests. Cheap to clone; all clones share the threads.
#[derive(Clone)]
pub struct PasswordHasher {
    pool: Arc<Pool<Vec<Block>>>,
    cost: Argon2Cost,
    entropy: Arc<dyn Entropy>,
    counters: Arc<Counters>,
    dearest: Arc<Mutex<HashMap<ModelName, Dearest>>>,
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PasswordHasher")
            .field("cost", &self.cost)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl PasswordHasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`HasherError`].
    pub fn new(settings: HashSettings, entropy: Arc<dyn Entropy>) -> Result<Self, HasherError> {
        settings.cost.params().map_err(HasherError::Cost)?;
        let threads = settings.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        );
        let waiting = settings
            .waiting
            .map_or(threads.saturating_mul(WAITING_PER_THREAD), NonZeroUsize::get);
        let pool = Pool::start(threads, waiting).map_err(|error| HasherError::Threads(error.to_string()))?;
        Ok(Self {
            pool: Arc::new(pool),
            cost: settings.cost,
            entropy,
            counters: Arc::default(),
            dearest: Arc::default(),
        })
    }

    fn scheme(&self) -> HashScheme {
        let Argon2Cost {
            memory_kib,
            iterations,
            lanes,
        } = self.cost;
        HashScheme::Argon2id {
            memory_kib,
            iterations,
            lanes,
        }
    }

    /// A new hash in PHC format, by the settings. Whether the password is a good one is [`PasswordPolicy`]'s to say, before.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: SecretString) -> Result<SecretString, HashError> {
        self.hash_by(None, password).await
    }

    /// A new hash by a scheme; `None`: by the settings.
    ///
    /// # Errors
    /// [`HashError`]; [`HashError::TooLong`] for a password that bcrypt would cut.
    pub async fn hash_by(&self, scheme: Option<HashScheme>, password: SecretString) -> Result<SecretString, HashError> {
        let settings = Origin {
            is_known: true,
            ..Origin::default()
        };
        self.hash_from(settings, scheme, password).await
    }

    /// The same beside a sign-in, behind those who wait for an answer.
    pub(crate) async fn rehash(
        &self,
        scheme: Option<HashScheme>,
        password: SecretString,
    ) -> Result<SecretString, HashError> {
        self.hash_from(Origin::default(), scheme, password).await
    }

    async fn hash_from(
        &self,
        origin: Origin,
        scheme: Option<HashScheme>,
        password: SecretString,
    ) -> Result<SecretString, HashError> {
        let scheme = scheme.unwrap_or_else(|| self.scheme());
        if !phc::can_hash(scheme, password.expose_secret()) {
            return Err(HashError::TooLong);
        }
        let mut salt = [0; phc::SALT_BYTES];
        self.entropy.fill(&mut salt).map_err(HashError::Entropy)?;
        let done = self.run(origin, move |memory| {
            phc::hash_by(scheme, password.expose_secret(), &salt, memory)
        });
        done.await?.map_err(HashError::Failed)
    }

    /// Whether this is the password that was hashed. `None`, for an account that does not exist or has no password, takes as long and is never it.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<SecretString>,
        verify_for: VerifyFor<'_>,
    ) -> Result<PasswordCheck, HashError> {
        if let Some(stored) = &stored {
            self.learn(verify_for.model, [stored]);
        }
        let scheme = verify_for.scheme.unwrap_or_else(|| self.scheme());
        let dearest = self.dearest.lock().get(verify_for.model).copied().unwrap_or_default();
        let dearest = dearest.with(Dearest::of_scheme(scheme));
        let counters = Arc::clone(&self.counters);
        let done = self.run(verify_for.origin, move |memory| {
            check((scheme, &dearest), &password, stored.as_ref(), &counters, memory)
        });
        done.await?.map_err(HashError::Failed)
    }

    /// Takes note of what stored hashes of a model cost, so that its other accounts cost no less.
    pub fn learn<'a>(&self, model: &ModelName, stored: impl IntoIterator<Item = &'a SecretString>) {
        for text in stored {
            if let Some(stored) = Stored::parse(text.expose_secret()) {
                self.dearest
                    .lock()
                    .entry(model.clone())
                    .or_default()
                    .learn(stored.work());
            }
        }
    }

    /// Whether a stored hash is weaker than new ones are, or of no format that is known.
    #[must_use]
    pub fn needs_rehash(&self, scheme: Option<HashScheme>, stored: &SecretString) -> bool {
        let scheme = scheme.unwrap_or_else(|| self.scheme());
        Stored::parse(stored.expose_secret()).is_none_or(|stored| stored.is_weaker_than(scheme))
    }

    /// Whether a stored hash is of a format that can be verified, and costs no more than a stored hash may.
    #[must_use]
    pub fn can_verify(stored: &str) -> bool {
        Stored::parse(stored).is_some()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> HasherStats {
        HasherStats {
            computed: self.counters.computed.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            skipped: self.pool.skipped(),
            work: WorkDone {
                argon2_kib: self.counters.argon2_kib.load(Ordering::Relaxed),
                bcrypt_rounds: self.counters.bcrypt_rounds.load(Ordering::Relaxed),
                pbkdf2_rounds: self.counters.pbkdf2_rounds.load(Ordering::Relaxed),
                scrypt_blocks: self.counters.scrypt_blocks.load(Ordering::Relaxed),
            },
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let counters = Arc::clone(&self.counters);
        let counted = move |memory: &mut Vec<Block>| {
            counters.computed.fetch_add(1, Ordering::Relaxed);
            work(memory)
        };
        self.pool.run(origin, counted).await.map_err(|error| match error {
            PoolError::Full => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                HashError::Busy
            }
            PoolError::Stopped => HashError::Stopped,
        })
    }
}

/// The same work, whichever way it goes.
fn check(
    (scheme, dearest): (HashScheme, &Dearest),
    password: &SecretString,
    stored: Option<&SecretString>,
    counters: &Counters,
    memory: &mut Vec<Block>,
) -> Result<PasswordCheck, String> {
    let password = password.expose_secret();
    let fits = password.chars().take(MAX_PASSWORD_CHARS + 1).count() <= MAX_PASSWORD_CHARS;
    let stored = stored
        .filter(|_| fits)
        .and_then(|text| Stored::parse(text.expose_secret()))
        .filter(|stored| stored.can_be(password));
    let own = stored.as_ref().map(Stored::work);
    let mut check = PasswordCheck {
        matches: false,
        outdated: false,
    };
    if let Some(stored) = &stored {
        check.matches = stored.verify(password, memory)?;
        check.outdated = check.matches
            && stored.is_weaker_than(scheme)
            && stored.sees_all_of(password)
            && phc::can_hash(scheme, password);
    }
    if let Some(work) = own {
        counters.count(work);
    }
    for work in dearest.rest(own) {
        phc::work_in_vain(work, memory)?;
        counters.count(work);
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bekci_core::testing::CountingEntropy;
    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    fn hasher(waiting: usize) -> PasswordHasher {
        let settings = HashSettings {
            cost: Argon2Cost::SMALLEST,
            threads: NonZeroUsize::new(1),
            waiting: NonZeroUsize::new(waiting),
        };
        PasswordHasher::new(settings, Arc::new(CountingEntropy::default())).unwrap()
    }

    fn here() -> VerifyFor<'static> {
        static MODEL: std::sync::LazyLock<ModelName> = std::sync::LazyLock::new(|| ModelName::new("customer").unwrap());
        VerifyFor {
            model: &MODEL,
            scheme: None,
            origin: Origin::default(),
        }
    }

    async fn matches(hasher: &PasswordHasher, password: &str, stored: &SecretString) -> bool {
        let check = hasher.verify(password.into(), Some(stored.clone()), here()).await;
        check.unwrap().matches
    }

    #[tokio::test]
    async fn a_flood_is_answered_busy_and_not_queued() {
        let hasher = hasher(2);
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let mut holding = Box::pin(hasher.pool.run(Origin::default(), move |_: &mut Vec<Block>| {
            started.send(()).unwrap();
            held.recv().unwrap_err();
        }));
        assert!(holding.as_mut().now_or_never().is_none());
        has_started.recv().unwrap();

        let mut waiting: Vec<_> = (0..2)
            .map(|_| Box::pin(hasher.verify("geese".into(), None, here())))
            .collect();
        assert!(waiting.iter_mut().all(|check| check.as_mut().now_or_never().is_none()));
        for _ in 0..50 {
            assert_eq!(hasher.verify("geese".into(), None, here()).await, Err(HashError::Busy));
        }
        assert_eq!(hasher.stats().refused, 50);
        assert_eq!(hasher.stats().computed, 0);

        drop(release);
        assert_eq!(holding.await, Ok(()));
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert_eq!(hasher.stats().computed, 2);
    }

    #[tokio::test]
    async fn every_way_to_be_wrong_is_one_computation() {
        let hasher = hasher(8);
        let stored = hasher.hash("geese".into()).await.unwrap();
        let long = "x".repeat(MAX_PASSWORD_CHARS + 1);
        let ways: [(&str, Option<SecretString>); 6] = [
            ("goose", Some(stored.clone())),
            ("geese", None),
            ("geese", Some("!".into())),
            ("geese", Some("".into())),
            (
                "geese",
                Some("$argon2i$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$c29tZWhhc2hvZnNpeHRlZW4".into()),
            ),
            (&long, Some(stored.clone())),
        ];
        for (password, stored) in ways {
            let before = hasher.stats().computed;
            let check = hasher.verify(password.into(), stored, here()).await.unwrap();
            assert_eq!(
                check,
                PasswordCheck {
                    matches: false,
                    outdated: false
                },
                "{password}"
            );
            assert_eq!(hasher.stats().computed - before, 1, "{password}");
        }
    }

    #[tokio::test]
    async fn the_last_character_of_a_long_password_counts() {
        let hasher = hasher(8);
        for length in [64, 71, 72, 73, 100, 128] {
            let right = "ş".repeat(length);
            let wrong = format!("{}s", "ş".repeat(length - 1));
            let stored = hasher.hash(right.as_str().into()).await.unwrap();
            assert!(matches(&hasher, &right, &stored).await, "{length}");
            assert!(!matches(&hasher, &wrong, &stored).await, "{length}");
        }
        let over = "x".repeat(129);
        let stored = hasher.hash(over.as_str().into()).await.unwrap();
        assert!(!matches(&hasher, &over, &stored).await);
    }

    #[tokio::test]
    async fn a_password_is_not_normalised() {
        let hasher = hasher(8);
        let stored = hasher.hash("caf\u{e9} caf\u{e9}".into()).await.unwrap();
        assert!(matches(&hasher, "caf\u{e9} caf\u{e9}", &stored).await);
        assert!(!matches(&hasher, "cafe\u{301} cafe\u{301}", &stored).await);
        assert!(!matches(&hasher, " caf\u{e9} caf\u{e9}", &stored).await);
    }

    #[tokio::test]
    async fn a_match_tells_whether_its_hash_is_outdated_and_a_miss_does_not() {
        let hasher = hasher(8);
        let old: SecretString = bcrypt::hash("geese", 4).unwrap().into();
        let check = |password: &str| hasher.verify(password.into(), Some(old.clone()), here());
        let outdated = |matches| PasswordCheck {
            matches,
            outdated: matches,
        };
        assert_eq!(check("geese").await, Ok(outdated(true)));
        assert_eq!(check("goose").await, Ok(outdated(false)));
        assert!(hasher.needs_rehash(None, &old));
        assert!(!hasher.needs_rehash(None, &hasher.hash("geese".into()).await.unwrap()));
        assert!(hasher.needs_rehash(None, &"!".into()));
    }

    #[tokio::test]
    async fn no_salt_comes_twice() {
        let hasher = hasher(8);
        let one = hasher.hash("geese".into()).await.unwrap();
        let other = hasher.hash("geese".into()).await.unwrap();
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
