//! From one generation to the next: whole, or not at all.
//!
//! 1. SIGHUP, and a change of the configuration file, of the policy model or of a users file, has the files read again.
//! 2. A file with mistakes, one that asks for what needs a new process, and one that cannot be put to work are refused. Every mistake is logged; the generation
//!    that runs stays.
//! 3. The next generation is built beside it, its store ready to decide, before any request sees it.
//! 4. What was changed between being read and being watched, at the start or while a new generation was built, is looked for once: no watching would see it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use tokio::task::JoinSet;

use super::{Current, Generation, Ground, Watched, house, retire};
use crate::{
    config::{Loaded, Problem},
    serve,
    tls::{Certificate, Served},
    users,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether the application of a generation can be built.
pub(crate) type Check = fn(&Generation) -> LocalBoxFuture<'static, bool>;

/// Reads the configuration of a file, or what there is without one.
pub(crate) type Read = fn(Option<&Path>) -> Result<Loaded, Vec<Problem>>;

/// Reads the files again when it is told to or when they change, and puts what they make in place.
pub(crate) struct Turner {
    ground: Ground,
    current: Current,
    /// As the first one was read.
    read: Read,
    check: Check,
    watched: Watched,
    /// Whether files may have changed unseen since they were read.
    unsure: bool,
    retiring: JoinSet<()>,
    /// Whether what the database holds of accounts that left the users files was taken away.
    settled: bool,
}

/// What a reload came to.
enum Turn {
    Taken(Box<Generation>, Option<Certificate>),
    Unchanged,
}

/// What the files make now.
struct Looked {
    loaded: Loaded,
    certificate: Option<Certificate>,
    /// Whether it is what runs.
    is_as_it_was: bool,
}

impl Turner {
    pub(crate) fn new(ground: Ground, current: Current, read: Read, check: Check) -> Self {
        let metrics = Arc::clone(&ground.metrics);
        metrics.config_generation.with([]).set(1);
        metrics.config_loaded.with([]).set(ground.clock.now().unix_timestamp());
        metrics.config_good.with([]).set(1);
        let mut turner = Self {
            ground,
            current,
            read,
            check,
            watched: Watched::default(),
            unsure: true,
            retiring: JoinSet::new(),
            settled: false,
        };
        let files = turner.files();
        turner.watched.take(files);
        turner
    }

    /// Turns again and again; it never ends by itself.
    pub(crate) async fn run(mut self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP cannot be listened for; the configuration stays as it is");
            return;
        };
        loop {
            self.settle().await;
            if std::mem::take(&mut self.unsure) && self.is_behind() {
                self.watched.doubt();
            }
            let cause = tokio::select! {
                _ = stopped.changed() => break,
                _ = hangup.recv() => Some("SIGHUP"),
                () = tokio::time::sleep(LOOK_EVERY) => self.watched.has_changed().then_some("a change of its files"),
            };
            if let Some(cause) = cause {
                self.turn(cause).await;
            }
            while self.retiring.try_join_next().is_some() {}
        }
        while self.retiring.join_next().await.is_some() {}
    }

    /// Once for each generation; what failed is tried again at the next look.
    async fn settle(&mut self) {
        if self.settled {
            return;
        }
        match users::settle(self.current.now().bekci()).await {
            Ok(()) => self.settled = true,
            Err(error) => {
                tracing::error!(%error, "what accounts that left the users file held is still there; tried again")
            }
        }
    }

    async fn turn(&mut self, cause: &'static str) {
        // Taken before they are read: what changes from now on is a change.
        let files = self.files();
        self.watched.take(files);
        let before = self.current.now();
        let number = before.number;
        let metrics = Arc::clone(&self.ground.metrics);
        let result = match self.next(&before).await {
            Ok(Turn::Taken(next, certificate)) => {
                if let Some((served, certificate)) = self.ground.served.as_ref().zip(certificate) {
                    served.replace(certificate);
                }
                let number = next.number;
                self.ground.gates.set(next.bekci().gate());
                let replaced = self.current.replace(*next);
                drop(before);
                // After it is in force: a reader of the number gets answers of the new generation.
                tracing::info!(cause, generation = number, "the configuration was loaded again");
                metrics
                    .config_generation
                    .with([])
                    .set(i64::try_from(number).unwrap_or(i64::MAX));
                metrics
                    .config_loaded
                    .with([])
                    .set(self.ground.clock.now().unix_timestamp());
                self.current.note(&[]);
                self.settled = false;
                self.retiring.spawn(retire(replaced));
                let followed = self.files();
                self.watched.follow(followed);
                self.unsure = true;
                "taken"
            }
            Ok(Turn::Unchanged) => {
                tracing::info!(cause, generation = number, "the configuration is as it was");
                self.current.note(&[]);
                "unchanged"
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    tracing::error!(cause, generation = number, %mistake, "the new configuration has a mistake");
                }
                self.current.note(&mistakes);
                let count = mistakes.len();
                tracing::error!(
                    cause,
                    generation = number,
                    mistakes = count,
                    "the new configuration is refused, the old one stays"
                );
                "refused"
            }
        };
        metrics.config_reloads.with([result]).add_one();
        metrics.config_good.with([]).set(i64::from(result != "refused"));
    }

    /// The next generation, or every reason why there is none.
    async fn next(&self, before: &Generation) -> Result<Turn, Vec<String>> {
        let looked = self.look(before)?;
        if looked.is_as_it_was {
            return Ok(Turn::Unchanged);
        }
        let next = Generation::build(&self.ground, looked.loaded, Some(before)).await;
        let next = next.map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        if (self.check)(&next).await {
            return Ok(Turn::Taken(Box::new(next), looked.certificate));
        }
        house::leave(next.house).await;
        Err(vec!["the calls of the guards cannot be mounted".to_owned()])
    }

    /// Whether what runs is not what the files say, mistakes among it.
    fn is_behind(&self) -> bool {
        let looked = self.look(&self.current.now());
        looked.map_or(true, |looked| !looked.is_as_it_was)
    }

    /// Reads the files.
    fn look(&self, before: &Generation) -> Result<Looked, Vec<String>> {
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let loaded = (self.read)(before.loaded.file.as_deref()).map_err(told)?;
        let changes = before.loaded.changes_in(&loaded);
        let fixed: Vec<String> = changes
            .iter()
            .filter(|change| !change.is_live)
            .map(|change| {
                format!(
                    "{} cannot change while the gateway runs: start it anew, or take the change back",
                    change.key
                )
            })
            .collect();
        if !fixed.is_empty() {
            return Err(fixed);
        }
        let certificate = serve::certificate(&loaded.config).map_err(|error| vec![format!("server.tls: {error}")])?;
        let (served, new) = (self.ground.served.as_ref().map(Served::now), certificate.as_ref());
        let is_shown = served.as_ref().zip(new).is_none_or(|(old, new)| old.is_same_as(new));
        let is_as_it_was = is_shown
            && house::changes(&before.loaded, &loaded).next().is_none()
            && !before.house.is_out_of_date(&loaded.config);
        Ok(Looked {
            loaded,
            certificate,
            is_as_it_was,
        })
    }

    /// The files of which a change has the configuration read again.
    fn files(&self) -> Vec<PathBuf> {
        let current = self.current.now();
        let config = &current.loaded.config;
        let policy = config.routes.iter().any(|route| route.policy);
        let policy = policy.then(|| config.policy.model.clone());
        let file = current.loaded.file.clone();
        let tls = config.server.tls.iter();
        let tls = tls.flat_map(|files| [files.cert.clone(), files.key.clone()]);
        let users = users::files(config).into_values();
        file.into_iter().chain(policy).chain(tls).chain(users).collect()
    }
}
