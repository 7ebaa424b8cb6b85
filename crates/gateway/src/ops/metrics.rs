//! What is counted. Labels never carry a path, an id or anything that a client chose: they are names from configuration and from fixed lists.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::http::StatusCode;
use bekci::Stats;
use bekci_core::{Clock as _, Decided, ErrorCode, GuardName, Meter, ViewSource};

use super::registry::{Counter, Family, Gauge, Histogram};

/// For what is done in memory.
const FAST: &[f64] = &[
    0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];
/// For what crosses a network.
const SLOW: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Everything that a gateway counts. One for all workers.
#[derive(Debug)]
pub struct Metrics {
    /// `bekci_decisions_total{guard,route,outcome,code}`.
    pub decisions: Family<Counter, 4>,
    /// `bekci_decision_seconds{path}`, where `path` is the way the identity came: `l1`, `redis`, `database`.
    pub decision_seconds: Family<Histogram, 1>,
    /// `bekci_identity_loads_total{source}`: `redis`, where its label was that of the database, or `database`.
    pub identity_loads: Family<Counter, 1>,
    /// `bekci_sign_ins_total{guard,way,result}`.
    pub sign_ins: Family<Counter, 3>,
    /// `bekci_revocation_lag_seconds`: of this node's own changes from COMMIT, of others' from when they were written, which is before their COMMIT.
    pub revocation_lag: Family<Histogram, 0>,
    /// `bekci_barrier_seconds`.
    pub barrier: Family<Histogram, 0>,
    /// `bekci_outbox_unapplied`: looked up whenever it is told; `NaN` where the database does not answer.
    pub outbox_unapplied: Family<Gauge, 0>,
    /// `bekci_upstream_seconds{upstream,status}`.
    pub upstream_seconds: Family<Histogram, 2>,
    /// `bekci_rate_limited_total{guard,limit}`: `sign_in`, `refresh`, or `hashing` where too many passwords waited.
    pub rate_limited: Family<Counter, 2>,
    /// `bekci_mails_total{kind,result}`: `sent`, `deferred` to another attempt, or `given_up`.
    pub mails: Family<Counter, 2>,
    /// `bekci_cache_drift_total`: cached identities with the database's version and another content.
    pub cache_drift: Family<Counter, 0>,
    /// `bekci_cache_drift_checks_total`: cached identities that were compared with the database.
    pub cache_drift_checks: Family<Counter, 0>,
    /// `bekci_config_generation`: 1 at the start, and one more with each reload that was taken.
    pub config_generation: Family<Gauge, 0>,
    /// `bekci_config_loaded_timestamp_seconds`: when the configuration in force was loaded, in seconds since 1970.
    pub config_loaded: Family<Gauge, 0>,
    /// `bekci_config_last_reload_successful`: 0 while the files as they are now were refused.
    pub config_good: Family<Gauge, 0>,
    /// `bekci_config_reloads_total{result}`, where `result` is `taken`, `unchanged` or `refused`.
    pub config_reloads: Family<Counter, 1>,
    /// `bekci_log_lost_total`: lines of the log that standard error did not take, or not fast enough.
    pub log_lost: Family<Counter, 0>,
    /// Whether the log takes nothing; the management API changes nothing then.
    pub log_refuses: Arc<AtomicBool>,
    /// What the management API answers. It is kept here, so that a reload does not begin anew.
    pub stats: Stats,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            decisions: Family::new(
                "bekci_decisions_total",
                "Decisions by their outcome and code.",
                ["guard", "route", "outcome", "code"],
                (),
            ),
            decision_seconds: Family::new(
                "bekci_decision_seconds",
                "How long decisions take, by where the identity came from.",
                ["path"],
                FAST,
            ),
            identity_loads: Family::new(
                "bekci_identity_loads_total",
                "Identities read from outside the process, by where they were found.",
                ["source"],
                (),
            ),
            sign_ins: Family::new(
                "bekci_sign_ins_total",
                "Attempts to sign in by their result.",
                ["guard", "way", "result"],
                (),
            ),
            revocation_lag: Family::new(
                "bekci_revocation_lag_seconds",
                "From when a change was written until this node decides by it.",
                [],
                SLOW,
            ),
            barrier: Family::new(
                "bekci_barrier_seconds",
                "How long a change waits for the other nodes.",
                [],
                SLOW,
            ),
            outbox_unapplied: Family::new(
                "bekci_outbox_unapplied",
                "Changes that this node has not applied yet.",
                [],
                (),
            ),
            upstream_seconds: Family::new(
                "bekci_upstream_seconds",
                "How long upstreams take until the head of their answer.",
                ["upstream", "status"],
                SLOW,
            ),
            rate_limited: Family::new(
                "bekci_rate_limited_total",
                "Requests refused by a limit.",
                ["guard", "limit"],
                (),
            ),
            mails: Family::new(
                "bekci_mails_total",
                "Attempts to send mails by what came of them.",
                ["kind", "result"],
                (),
            ),
            cache_drift: Family::new(
                "bekci_cache_drift_total",
                "Cached identities that have the database's version and another content.",
                [],
                (),
            ),
            cache_drift_checks: Family::new(
                "bekci_cache_drift_checks_total",
                "Cached identities that were compared with the database.",
                [],
                (),
            ),
            config_generation: Family::new(
                "bekci_config_generation",
                "Which configuration of this process is in force, counted from 1.",
                [],
                (),
            ),
            config_loaded: Family::new(
                "bekci_config_loaded_timestamp_seconds",
                "When the configuration in force was loaded.",
                [],
                (),
            ),
            config_good: Family::new(
                "bekci_config_last_reload_successful",
                "Whether the configuration files were taken when they were last read.",
                [],
                (),
            ),
            config_reloads: Family::new(
                "bekci_config_reloads_total",
                "How often the configuration was loaded again, by what came of it.",
                ["result"],
                (),
            ),
            log_lost: Family::new("bekci_log_lost_total", "Lines of the log that were lost.", [], ()),
            log_refuses: Arc::default(),
            stats: Stats::since(bekci_store::SystemClock.now()),
        }
    }
}

impl Metrics {
    /// Notes that an upstream's server answered, or that it failed, with the status that stands for it.
    pub fn upstream_answered(&self, upstream: &str, status: u16, took: Duration) {
        // RFC 9110 section 15: anything else is no status, and there shall be no series for each number that a server makes up.
        let known = StatusCode::from_u16(status).ok().filter(|_| status <= 599);
        let status = known.as_ref().map_or("other", StatusCode::as_str);
        self.upstream_seconds.with([upstream, status]).observe(took);
    }

    /// All of it, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.decisions.write(&mut out);
        self.decision_seconds.write(&mut out);
        self.identity_loads.write(&mut out);
        self.sign_ins.write(&mut out);
        self.revocation_lag.write(&mut out);
        self.barrier.write(&mut out);
        self.outbox_unapplied.write(&mut out);
        self.upstream_seconds.write(&mut out);
        self.rate_limited.write(&mut out);
        self.mails.write(&mut out);
        // It is watched for being 0, so it has to be there.
        let _there = (self.cache_drift.with([]), self.cache_drift_checks.with([]));
        self.cache_drift.write(&mut out);
        self.cache_drift_checks.write(&mut out);
        self.config_generation.write(&mut out);
        self.config_loaded.write(&mut out);
        self.config_good.write(&mut out);
        self.config_reloads.write(&mut out);
        self.log_lost.write(&mut out);
        out
    }
}

impl Meter for Metrics {
    fn decided(&self, decided: &Decided<'_>) {
        let guard = decided.guard.map_or("", GuardName::as_str);
        let code = decided.code.map_or("", ErrorCode::as_str);
        self.decisions
            .with([guard, decided.route, decided.outcome.as_str(), code])
            .add_one();
        if let Some(source) = decided.source {
            self.decision_seconds.with([source.as_str()]).observe(decided.took);
        }
    }

    fn identity_loaded(&self, source: ViewSource) {
        self.identity_loads.with([source.as_str()]).add_one();
    }

    fn signed_in(&self, guard: &GuardName, way: &str, result: &'static str) {
        self.sign_ins.with([guard.as_str(), way, result]).add_one();
    }

    fn rate_limited(&self, guard: &GuardName, limit: &'static str) {
        self.rate_limited.with([guard.as_str(), limit]).add_one();
    }

    fn mailed(&self, kind: &'static str, result: &'static str) {
        self.mails.with([kind, result]).add_one();
    }

    fn applied(&self, lag: Duration) {
        self.revocation_lag.with([]).observe(lag);
    }

    fn barrier(&self, took: Duration) {
        self.barrier.with([]).observe(took);
    }

    fn cache_compared(&self, drifts: bool) {
        self.cache_drift_checks.with([]).add_one();
        self.cache_drift.with([]).add(u64::from(drifts));
    }
}
