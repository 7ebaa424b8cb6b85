//! Counters, gauges and histograms in the text format of Prometheus (exposition format 0.0.4).

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use smallvec::SmallVec;

/// Stands between the values of a series' key; no label's value has it.
const SEPARATOR: u8 = 0x1f;

/// A number that goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Adds so many.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Stands for what is not known.
    const UNKNOWN: i64 = i64::MIN;

    /// Says that it cannot be told.
    pub fn unknown(&self) {
        self.set(Self::UNKNOWN);
    }

    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// How long something took, in buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above them all.
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Notes a time.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// What can stand in a family.
pub trait Metric: Sized {
    /// What a new series is made from.
    type Shape: Copy + std::fmt::Debug + Send + Sync;
    /// The type's name in the text format.
    const TYPE: &'static str;

    /// A series at zero.
    fn new(shape: Self::Shape) -> Self;

    /// Writes its lines; `labels` has no braces.
    fn write(&self, name: &str, labels: &str, out: &mut String);
}

impl Metric for Counter {
    type Shape = ();
    const TYPE: &'static str = "counter";

    fn new((): ()) -> Self {
        Self::default()
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        sample(out, name, labels, self.value());
    }
}

impl Metric for Gauge {
    type Shape = ();
    const TYPE: &'static str = "gauge";

    fn new((): ()) -> Self {
        Self::default()
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        match self.0.load(Ordering::Relaxed) {
            Self::UNKNOWN => sample(out, name, labels, "NaN"),
            value => sample(out, name, labels, value),
        }
    }
}

impl Metric for Histogram {
    type Shape = &'static [f64];
    const TYPE: &'static str = "histogram";

    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let names = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in names.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            sample(
                out,
                &format!("{name}_bucket"),
                &format!("{labels}{comma}le=\"{bound}\""),
                total,
            );
        }
        let seconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        sample(out, &format!("{name}_sum"), labels, seconds);
        sample(out, &format!("{name}_count"), labels, total);
    }
}

fn sample(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

/// All series of one name.
///
/// Values of labels are never what a client chose: each makes a series that is kept for good.
#[derive(Debug)]
pub struct Family<M: Metric, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    shape: M::Shape,
    series: RwLock<BTreeMap<Box<[u8]>, Arc<M>>>,
}

impl<M: Metric, const N: usize> Family<M, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: [&'static str; N], shape: M::Shape) -> Self {
        let family = Self {
            name,
            help,
            labels,
            shape,
            series: RwLock::default(),
        };
        if N == 0 {
            // What has no labels is there from the start, at zero.
            family.with([""; N]);
        }
        family
    }

    /// The series with these values of its labels. It can be kept, so that the look-up is done once.
    pub fn with(&self, values: [&str; N]) -> Arc<M> {
        let mut key: SmallVec<[u8; 128]> = SmallVec::new();
        for value in values {
            match memchr::memchr(SEPARATOR, value.as_bytes()) {
                None => key.extend_from_slice(value.as_bytes()),
                Some(_) => key.extend(value.bytes().filter(|byte| *byte != SEPARATOR)),
            }
            key.push(SEPARATOR);
        }
        if let Some(series) = self.series.read().get(&key[..]) {
            return Arc::clone(series);
        }
        let mut all = self.series.write();
        let series = all.entry(Box::from(&key[..]));
        Arc::clone(series.or_insert_with(|| Arc::new(M::new(self.shape))))
    }

    pub(super) fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "# HELP {} {}\n# TYPE {} {}",
            self.name,
            self.help,
            self.name,
            M::TYPE
        );
        for (key, series) in self.series.read().iter() {
            let text = String::from_utf8_lossy(key);
            let pairs: Vec<String> = self
                .labels
                .iter()
                .zip(text.split(char::from(SEPARATOR)))
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            series.write(self.name, &pairs.join(","), out);
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<M: Metric, const N: usize>(family: &Family<M, N>) -> String {
        let mut out = String::new();
        family.write(&mut out);
        out
    }

    #[test]
    fn a_counter_has_a_series_for_each_set_of_labels() {
        let family = Family::<Counter, 2>::new("n_total", "Things.", ["a", "b"], ());
        family.with(["x", "1"]).add_one();
        family.with(["x", "1"]).add_one();
        family.with(["\"\\\n", ""]).add_one();
        assert_eq!(
            text(&family),
            "# HELP n_total Things.\n# TYPE n_total counter\nn_total{a=\"\\\"\\\\\\n\",b=\"\"} 1\nn_total{a=\"x\",b=\"1\"} 2\n"
        );
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let family = Family::<Histogram, 0>::new("t_seconds", "Time.", [], &[0.001, 0.1]);
        for millis in [1, 50, 100, 2_000] {
            family.with([]).observe(Duration::from_millis(millis));
        }
        assert_eq!(
            text(&family),
            "# HELP t_seconds Time.\n# TYPE t_seconds histogram\nt_seconds_bucket{le=\"0.001\"} 1\nt_seconds_bucket{le=\"0.1\"} 3\n\
             t_seconds_bucket{le=\"+Inf\"} 4\nt_seconds_sum 2.151\nt_seconds_count 4\n"
        );
    }

    #[test]
    fn what_has_no_labels_is_there_at_zero() {
        let family = Family::<Gauge, 0>::new("g", "Depth.", [], ());
        assert!(text(&family).ends_with("g 0\n"));
        family.with([]).set(-3);
        assert!(text(&family).ends_with("g -3\n"));
        family.with([]).unknown();
        assert!(text(&family).ends_with("g NaN\n"));
    }
}
