//! A whole Bekci for one test.

use std::{
    fmt, fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bekci_core::{Clock, Entropy as _, RootSecret, TokenId};
use bekci_signin::{Argon2Cost, HashSettings};
use bekci_token::OsEntropy;
use time::OffsetDateTime;

use super::done;
use crate::{Bekci, Builder, Settings, connect};

/// A [`Bekci`] over SQLite in a folder of its own, which is removed with it.
pub struct TestBekci {
    bekci: Bekci,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is still open goes when it is closed; what cannot be removed is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds a whole Bekci, its tables made: `testing::bekci(|bekci| bekci.guard::<Admin>()).await`. Its keys and root secret are new, its public URL is
/// `http://localhost`, and a password is hashed in no time.
///
/// # Panics
/// Where the builder refuses.
pub async fn bekci(build: impl FnOnce(Builder) -> Builder) -> TestBekci {
    let random = || {
        let mut bytes = [0; 32];
        done(OsEntropy.fill(&mut bytes), "no random bytes");
        bytes
    };
    let mut name = TokenId([0; 16]);
    done(OsEntropy.fill(&mut name.0), "no random bytes");
    let folder = Folder(std::env::temp_dir().join(format!("bekci-test-app-{name}")));
    done(fs::create_dir(&folder.0), "no temporary folder");
    let root = done(RootSecret::new(&random()), "no root secret");
    let mut settings = Settings::new("http://localhost", folder.0.join("keys"), root);
    settings.passwords = HashSettings {
        cost: Argon2Cost::SMALLEST,
        ..HashSettings::default()
    };
    let url = format!("sqlite://{}", folder.0.join("bekci.db").display());
    let database = done(connect(&url.into(), 4).await, "no database");
    let mut builder = build(Bekci::builder(settings).database(database));
    builder.older_keys = true;
    let bekci = done(builder.build().await, "nothing was built");
    done(bekci.migrate().await, "the tables were not made");
    TestBekci { bekci, folder }
}

/// A clock an hour behind another.
#[derive(Debug)]
struct HourAgo(Arc<dyn Clock>);

impl Clock for HourAgo {
    fn now(&self) -> OffsetDateTime {
        self.0.now() - time::Duration::hours(1)
    }

    fn uptime(&self) -> Duration {
        self.0.uptime()
    }
}

pub(crate) fn hour_ago(clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
    Arc::new(HourAgo(clock))
}

impl TestBekci {
    /// The folder that keys and database are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }
}

impl Deref for TestBekci {
    type Target = Bekci;

    fn deref(&self) -> &Bekci {
        &self.bekci
    }
}

impl fmt::Debug for TestBekci {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TestBekci({})", self.folder.0.display())
    }
}
