//! The picture of a run: requests by outcome over time, how far nodes were behind writes from outside, and the faults.

use std::fmt::Write as _;

use crate::{
    clock::{Moment, SECOND},
    tally::{BAR, Bar, Span},
    world::World,
};

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 70.0;
const REQUESTS: f64 = 260.0;
const STALENESS: f64 = 120.0;
const LANE: f64 = 13.0;

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn draw(world: &World, began: Moment, ended: Moment) -> String {
    let mut spans = world.tally.spans.lock().clone();
    spans.sort_unstable_by_key(|span| span.from);
    let bars = world.tally.bars();
    Picture {
        began,
        scale: (WIDTH - LEFT - 20.0) / number((ended - began).max(1)),
    }
    .draw(&bars, &spans, ended, world.cluster.staleness_ms)
}

struct Picture {
    began: Moment,
    scale: f64,
}

impl Picture {
    fn x(&self, at: Moment) -> f64 {
        LEFT + number(at.saturating_sub(self.began)) * self.scale
    }

    fn draw(&self, bars: &[Bar], spans: &[Span], ended: Moment, staleness_ms: u64) -> String {
        let lanes = lanes(spans);
        let count = lanes.iter().max().map_or(0, |most| most + 1);
        let faults = LANE * number(u64::try_from(count).unwrap_or_default()) + 20.0;
        let height = faults + REQUESTS + STALENESS + 90.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"10\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for (span, lane) in spans.iter().zip(&lanes) {
            let y = 4.0 + LANE * number(u64::try_from(*lane).unwrap_or_default());
            let (from, to) = (self.x(span.from), self.x(span.to.min(ended)));
            let _written = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"#e8c77a\"/><rect x=\"{from:.1}\" y=\"{faults}\" width=\"{:.1}\" height=\"{}\" fill=\"#f6ecd2\"/><text x=\"{from:.1}\" y=\"{:.1}\">{}</text>",
                (to - from).max(1.0),
                LANE - 2.0,
                (to - from).max(1.0),
                REQUESTS + STALENESS + 30.0,
                y + 9.0,
                span.name
            );
        }
        self.requests(&mut svg, bars, faults);
        self.staleness(&mut svg, bars, faults + REQUESTS + 30.0, staleness_ms);
        self.axis(&mut svg, ended, faults + REQUESTS + STALENESS + 45.0);
        svg.push_str("</svg>\n");
        svg
    }

    fn requests(&self, svg: &mut String, bars: &[Bar], top: f64) {
        let shown = |bar: &Bar| bar.allowed + bar.refused + bar.unavailable + bar.failed;
        let most = number(bars.iter().map(shown).max().unwrap_or(1).max(1));
        let width = number(BAR) * self.scale;
        for (at, bar) in bars.iter().enumerate() {
            let x = self.x(u64::try_from(at).unwrap_or_default() * BAR);
            let mut bottom = top + REQUESTS;
            for (count, colour) in [
                (bar.allowed, "#4c956c"),
                (bar.refused, "#8fb8de"),
                (bar.unavailable, "#f28f3b"),
                (bar.failed, "#555"),
            ] {
                let height = number(count) / most * (REQUESTS - 10.0);
                if count > 0 {
                    bottom -= height;
                    let _written = writeln!(
                        svg,
                        "<rect x=\"{x:.1}\" y=\"{bottom:.1}\" width=\"{width:.2}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
                    );
                }
            }
            if bar.violations > 0 {
                let _written = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#c1121f\"/>",
                    top + 6.0
                );
            }
        }
        let words = [
            ("#4c956c", "allowed"),
            ("#8fb8de", "refused"),
            ("#f28f3b", "503"),
            ("#555", "no answer"),
            ("#c1121f", "stale"),
        ];
        for (at, (colour, word)) in words.iter().enumerate() {
            let x = LEFT + 90.0 * number(u64::try_from(at).unwrap_or_default());
            let y = top + REQUESTS + 16.0;
            let _written = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{word}</text>",
                y - 9.0,
                x + 13.0
            );
        }
        let rate = most * number(SECOND) / number(BAR);
        let _written = writeln!(
            svg,
            "<text x=\"4\" y=\"{:.1}\">{rate:.0}/s</text><text x=\"4\" y=\"{:.1}\">0/s</text>",
            top + 14.0,
            top + REQUESTS
        );
    }

    /// How long after its COMMIT a write from outside was not yet seen, with the bound.
    fn staleness(&self, svg: &mut String, bars: &[Bar], top: f64, staleness_ms: u64) {
        let bound = number(staleness_ms * 1_000);
        let y = |behind: f64| top + STALENESS - behind / bound * (STALENESS - 20.0);
        for (at, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.behind > 0) {
            let x = self.x(u64::try_from(at).unwrap_or_default() * BAR);
            let _written = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"1.6\" fill=\"#6a4c93\"/>",
                y(number(bar.behind))
            );
        }
        let _written = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"#c1121f\" stroke-dasharray=\"4\"/><text x=\"4\" y=\"{2:.1}\">Δ {staleness_ms} ms</text><text x=\"4\" y=\"{1:.1}\">by SQL, behind</text>",
            WIDTH - 20.0,
            top + STALENESS,
            y(bound)
        );
    }

    fn axis(&self, svg: &mut String, ended: Moment, y: f64) {
        let seconds = (ended - self.began) / SECOND;
        let step = (seconds / 12).max(1);
        for second in (0..=seconds).step_by(usize::try_from(step).unwrap_or(1)) {
            let x = self.x(self.began + second * SECOND);
            let _written = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{second} s</text>");
        }
    }
}

/// A lane for each fault, so that no two that overlap, or whose names would, share one.
fn lanes(spans: &[Span]) -> Vec<usize> {
    let mut free: Vec<Moment> = Vec::new();
    let mut lanes = Vec::new();
    for span in spans {
        let end = span.to.max(span.from + 12 * SECOND);
        let lane = free.iter().position(|until| *until <= span.from).unwrap_or(free.len());
        if lane == free.len() {
            free.push(end);
        } else if let Some(until) = free.get_mut(lane) {
            *until = end;
        }
        lanes.push(lane);
    }
    lanes
}
