//! The table of a run.

use std::{fmt::Write as _, process::ExitCode, sync::atomic::Ordering};

use crate::{
    clock::{Moment, SECOND, millis},
    measure,
    options::FaultPlan,
    picture, say,
    tally::{Outcome, SLOW},
    world::World,
};

pub(crate) struct Report {
    text: String,
    violations: u64,
    picture: String,
}

/// The value below which so many of a thousand lie, in milliseconds.
fn quantile(sorted: &[Moment], permille: usize) -> f64 {
    let at = (sorted.len() * permille / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |span| millis(*span))
}

fn sorted(list: &[Moment]) -> Vec<Moment> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}

impl Report {
    pub(crate) fn of(world: &World, plan: &FaultPlan, (began, ended): (Moment, Moment), idle: Option<f64>) -> Self {
        let mut text = String::new();
        head(world, &mut text, (began, ended));
        decisions(world, &mut text);
        outcomes(world, &mut text);
        writes(world, &mut text);
        nodes(world, &mut text, idle);
        if !matches!(plan, FaultPlan::None) {
            faults(world, &mut text, began, ended);
        }
        violations(world, &mut text);
        Self {
            text,
            violations: world.tally.violations.load(Ordering::Relaxed),
            picture: picture::draw(world, began, ended),
        }
    }

    /// Prints it, writes it where the command line says, and gives the exit status.
    pub(crate) fn publish(&self, world: &World) -> ExitCode {
        let _written = std::io::Write::write_all(&mut std::io::stdout().lock(), self.text.as_bytes());
        if let Some(folder) = &world.options.out {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(folder.join("coherence.md"), &self.text))
                .and_then(|()| std::fs::write(folder.join("coherence.svg"), &self.picture));
            if let Err(error) = written {
                say(&format!("{}: {error}", folder.display()));
                return ExitCode::from(2);
            }
        }
        let decisions = world.tally.decisions.load(Ordering::Relaxed);
        if self.violations > 0 {
            ExitCode::FAILURE
        } else if decisions == 0 || world.tally.written() == 0 {
            say("nothing was decided or nothing was written: this run shows nothing");
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn head(world: &World, text: &mut String, (began, ended): (Moment, Moment)) {
    let options = &world.options;
    let _written = writeln!(
        text,
        "Run: {:?}, Redis {:?}, {} gateways, {} s, faults {}, seed {}{}, poll {} ms, Δ up to {} ms\n",
        options.database,
        options.redis,
        options.nodes,
        (ended - began) / SECOND,
        options.faults,
        options.seed,
        options
            .weak
            .map(|weak| format!(", weak variant {weak:?}"))
            .unwrap_or_default(),
        options.poll_ms,
        world.cluster.staleness_ms
    );
}

fn decisions(world: &World, text: &mut String) {
    let tally = &world.tally;
    let count = tally.decisions.load(Ordering::Relaxed);
    let violations = tally.violations.load(Ordering::Relaxed);
    let stale = sorted(&tally.stale.lock());
    let behind = sorted(&tally.behind.lock());
    let bound = 3.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
    let rows = [
        ("decisions", count.to_string()),
        (
            "checks of a right, one value alone being right",
            format!(
                "{} of {}",
                tally.exact.load(Ordering::Relaxed),
                tally.checks.load(Ordering::Relaxed)
            ),
        ),
        ("writes that returned with success", tally.written().to_string()),
        (
            "**stale decisions after return, or states that never were**",
            format!("**{violations}**"),
        ),
        (
            "bound of their share (95 %), where there are none",
            format!("{bound:.1e}"),
        ),
        ("how long stale values had been replaced: p50, p99, max", spans(&stale)),
        (
            "writes from outside not yet seen, after their COMMIT: p50, p99, max",
            spans(&behind),
        ),
    ];
    table(
        text,
        ["", "count"],
        rows.iter().map(|(what, value)| [(*what).to_owned(), value.clone()]),
    );
}

fn spans(sorted: &[Moment]) -> String {
    if sorted.is_empty() {
        return "none".to_owned();
    }
    format!(
        "{:.0}, {:.0}, {:.0} ms ({})",
        quantile(sorted, 500),
        quantile(sorted, 990),
        quantile(sorted, 1_000),
        sorted.len()
    )
}

fn table<const N: usize>(text: &mut String, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let _written = writeln!(text, "| {} |\n|{}", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _written = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

fn outcomes(world: &World, text: &mut String) {
    let bars = world.tally.bars();
    let sum = |of: fn(&crate::tally::Bar) -> u64| bars.iter().map(of).sum::<u64>().to_string();
    let row = [
        sum(|bar| bar.allowed),
        sum(|bar| bar.refused),
        sum(|bar| bar.unavailable),
        sum(|bar| bar.failed),
        sum(|bar| bar.slow),
    ];
    let slow = format!("slower than {} s", SLOW / SECOND);
    table(text, ["allowed", "refused", "503", "no answer", &slow], [row]);
}

fn writes(world: &World, text: &mut String) {
    let rows: Vec<[String; 9]> = world
        .tally
        .writes
        .lock()
        .iter()
        .map(|(kind, writes)| {
            let took = sorted(&writes.took);
            [
                (*kind).to_owned(),
                took.len().to_string(),
                writes.pending.to_string(),
                writes.unknown.to_string(),
                writes.lost.to_string(),
                writes.rolled_back.to_string(),
                format!("{:.1}", quantile(&took, 500)),
                format!("{:.1}", quantile(&took, 990)),
                format!("{:.0}", quantile(&took, 1_000)),
            ]
        })
        .collect();
    let head = [
        "writes",
        "done",
        "pending",
        "503",
        "no answer",
        "rolled back",
        "p50 ms",
        "p99 ms",
        "max ms",
    ];
    table(text, head, rows);
}

fn nodes(world: &World, text: &mut String, idle: Option<f64>) {
    let mut rows = Vec::new();
    for (metric, name) in [
        ("bekci_barrier_seconds", "barrier"),
        ("bekci_decision_seconds", "decision"),
    ] {
        for (labels, histogram) in measure::histograms(world, metric) {
            rows.push([
                format!("{name} {labels}"),
                histogram.count().to_string(),
                format!("{}", histogram.at_most(500)),
                format!("{}", histogram.at_most(990)),
            ]);
        }
    }
    table(
        text,
        [
            "as the nodes measure it, since their last start",
            "count",
            "p50 ms at most",
            "p99 ms at most",
        ],
        rows,
    );
    if let Some(idle) = idle {
        let _written = writeln!(text, "Statements a second of each node at idle: {idle:.1}\n");
    }
}

/// Each fault, and what of the service was missing in it and after it.
fn faults(world: &World, text: &mut String, began: Moment, ended: Moment) {
    let mut spans = world.tally.spans.lock().clone();
    spans.sort_unstable_by_key(|span| span.from);
    let unserved = world.tally.unserved.lock();
    let mut rows = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        let until = spans.get(at + 1).map_or(ended, |next| next.from);
        let missing = |outcome: Outcome| {
            unserved
                .iter()
                .filter(|one| one.read >= span.from && one.read < until && one.outcome == outcome)
                .count()
        };
        let within = || unserved.iter().filter(|one| one.read >= span.from && one.read < until);
        let slowest = within().map(|one| one.read - one.sent).max().unwrap_or_default();
        let last = within().filter(|one| one.read >= span.to).map(|one| one.read).max();
        let nodes: std::collections::BTreeSet<usize> = within().map(|one| one.node).collect();
        rows.push([
            span.name.clone(),
            format!(
                "{:.1} to {:.1}",
                millis(span.from - began) / 1_000.0,
                millis(span.to.saturating_sub(began)) / 1_000.0
            ),
            missing(Outcome::Unavailable).to_string(),
            missing(Outcome::Failed).to_string(),
            format!("{:.0}", millis(slowest)),
            last.map_or_else(
                || "0".to_owned(),
                |last| format!("{:.0}", millis(last.saturating_sub(span.to))),
            ),
            format!("{nodes:?}"),
        ]);
    }
    let head = [
        "fault",
        "s",
        "503",
        "no answer",
        "slowest of these, ms",
        "full service after its end, ms",
        "nodes",
    ];
    table(text, head, rows);
}

fn violations(world: &World, text: &mut String) {
    for (what, count) in world.tally.notes() {
        let _written = writeln!(text, "Note: {what} ({count})");
    }
    for (register, count) in world.tally.by_register.lock().iter() {
        let _written = writeln!(text, "Violations of {register}: {count}");
    }
    let told = world.tally.told();
    for one in &told {
        let _written = writeln!(text, "\n```\n{one}\n```");
    }
}
