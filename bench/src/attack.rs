//! Under attack: what somebody who is signed in notices of a storm of bad tokens, and whether the time of a refusal tells how much of a signature is right.

use std::{
    hint::black_box,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bekci_core::{AuthGuard, Clock, Entropy, GuardChain, RouteRule};
use bekci_store::SystemClock;
use bekci_test_support::{TempDir, find_program};
use bekci_token::{Algorithm, OsEntropy};

use crate::{
    gateway::Gateway,
    house::House,
    inside::{forged, head},
    options::Options,
    peers::Peer,
    table,
};

/// Between two requests of one connection.
const PAUSE_MS: u32 = 20;
/// 800 requests a second.
const GOOD: u32 = 16;
/// 10,000 requests a second.
const BAD: u32 = 200;

/// Refusals that are timed, of each of two kinds.
const TIMED: usize = 20_000;

pub(crate) fn measure(options: &Options) -> String {
    let mut rows = storm(options);
    rows.push(signature(options));
    table::table("Under attack", &["what", "median", "least", "most"], &rows)
}

/// How long 99 of 100 requests of somebody who is signed in take at most, without a storm and in one.
fn storm(options: &Options) -> Vec<Vec<String>> {
    let upstream = Peer::application("serve-plain");
    let gateway = Gateway::start(upstream.server.address(), 0);
    let folder = TempDir::new("storm");
    let script = folder.path().join("pause.lua");
    std::fs::write(&script, format!("function delay() return {PAUSE_MS} end")).unwrap();
    let url = format!("http://{}/api/orders/7", gateway.server.address());
    let start = |connections: u32, seconds: u32, header: &str| -> Child {
        let mut wrk = Command::new(find_program("wrk").unwrap());
        wrk.args([
            "-t1",
            "--latency",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
        ]);
        wrk.arg("-s").arg(&script).args(["-H", header, &url]);
        wrk.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let (good, bad) = (&gateway.authorization, forged(&gateway.authorization));
    let told = |child: Child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let at_ease = |text: &str| {
        assert!(
            !text.contains("Non-2xx"),
            "somebody who is signed in is refused: {text}"
        );
        p99_ms(text).unwrap()
    };
    let (mut alone, mut stormed, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.repetitions {
        alone.push(at_ease(&told(start(GOOD, options.seconds, good))));
        let storm = start(BAD, options.seconds + 1, &bad);
        stormed.push(at_ease(&told(start(GOOD, options.seconds, good))));
        rates.push(rate(&told(storm)).unwrap());
    }
    let row = |what: &str, figures: Vec<f64>, digits: usize| {
        let (median, least, most) = table::spread(figures);
        let cells = [median, least, most].map(|figure| format!("{figure:.digits$}"));
        [vec![what.to_owned()], cells.to_vec()].concat()
    };
    vec![
        row(
            "proxied request of somebody signed in, 800/s, p99 in ms: alone",
            alone,
            2,
        ),
        row("the same beside a storm of forged EdDSA signatures", stormed, 2),
        row(
            "the storm, requests/s (10,000 are sent where they are answered)",
            rates,
            0,
        ),
    ]
}

/// Welch's t between the times of refusals whose MAC is wrong at its first byte and at its last. Above 4.5 the two can be told apart (Goodwill et al., A testing
/// methodology for side-channel resistance validation, 2011).
fn signature(options: &Options) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let house = runtime.block_on(House::build(Algorithm::Hs256));
    let rule = RouteRule {
        guards: GuardChain::new([std::sync::Arc::<AuthGuard>::clone(&house.guard)]),
        ..RouteRule::default()
    };
    let (signed, mac) = house.bearer.rsplit_once('.').unwrap();
    // 43 digits for 32 bytes: the four lowest bits of the last but one are in the last byte. Each kind is of many texts, so that none is told apart by its hash.
    let wrong_at = [0, 41].map(|at| {
        let texts = (1..16).map(|change| format!("{signed}.{}", with_another_digit(mac, at, change)));
        texts.collect::<Vec<_>>()
    });
    let clock = SystemClock;
    let time = |token: &str| {
        let began = clock.uptime();
        let head = head(black_box(token.as_bytes()));
        let refused = runtime.block_on(house.bekci.gate().admit(&head, &rule));
        let took = clock.uptime().saturating_sub(began);
        assert!(refused.is_err(), "it is let in");
        took
    };
    let apart = (0..options.repetitions).map(|_| {
        let mut times = [Vec::with_capacity(TIMED), Vec::with_capacity(TIMED)];
        let mut random = vec![0; 2 * TIMED];
        OsEntropy.fill(&mut random).unwrap();
        // In no order: what is timed second may find more at hand.
        for byte in random {
            let (kind, text) = (usize::from(byte >> 7), usize::from(byte % 15));
            times[kind].push(time(&wrong_at[kind][text]));
        }
        welch(cropped(times)).abs()
    });
    let (median, least, most) = table::spread(apart.collect());
    runtime.block_on(house.bekci.close());
    vec![
        format!("HS256, wrong at the first byte or at the last, about {TIMED} of each: Welch's t"),
        format!("{median:.2}"),
        format!("{least:.2}"),
        format!("{most:.2}"),
    ]
}

fn with_another_digit(mac: &str, at: usize, change: usize) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = mac.as_bytes().to_vec();
    let value = DIGITS.iter().position(|digit| *digit == bytes[at]).unwrap();
    bytes[at] = DIGITS[value ^ change];
    String::from_utf8(bytes).unwrap()
}

/// Without the slowest tenth of both together, in which the machine did something else.
fn cropped(times: [Vec<Duration>; 2]) -> [Vec<f64>; 2] {
    let mut all = times.concat();
    all.sort_unstable();
    let most = all[all.len() * 9 / 10];
    times.map(|times| {
        let kept = times.into_iter().filter(|took| *took <= most);
        kept.map(|took| took.as_secs_f64() * 1e9).collect()
    })
}

fn welch(samples: [Vec<f64>; 2]) -> f64 {
    let [first, second] = samples.map(|sample| {
        let count = sample.iter().map(|_| 1.0).sum::<f64>();
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (first.0 - second.0) / (first.1 + second.1).sqrt()
}

/// What `wrk --latency` tells: `     99%    1.23ms`.
fn p99_ms(told: &str) -> Option<f64> {
    let figure = told.lines().find_map(|line| line.trim().strip_prefix("99%"))?.trim();
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (figure, unit) = units
        .iter()
        .find_map(|(unit, ms)| Some((figure.strip_suffix(unit)?, ms)))?;
    Some(figure.parse::<f64>().ok()? * unit)
}

fn rate(told: &str) -> Option<f64> {
    let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
    rate.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_read_have_their_unit() {
        let told = "  Latency Distribution\n     50%  812.00us\n     99%    1.25ms\nRequests/sec:    800.50\n";
        assert_eq!((p99_ms(told), rate(told)), (Some(1.25), Some(800.5)));
        assert_eq!(p99_ms("     99%  500.00us"), Some(0.5));
        assert_eq!(p99_ms("     99%    2.00s"), Some(2_000.0));
        assert_eq!(p99_ms("nothing"), None);
    }

    #[test]
    fn a_difference_is_found_and_none_is_not() {
        let around = |mean: f64| (0..1_000).map(|n| mean + f64::from(n % 10)).collect::<Vec<f64>>();
        assert!(welch([around(100.0), around(101.0)]).abs() > 4.5);
        assert!(welch([around(100.0), around(100.0)]).abs() < f64::EPSILON);
    }

    #[test]
    fn another_digit_is_another_byte_at_the_end_that_was_meant() {
        let mac = "A".repeat(43);
        assert_eq!(with_another_digit(&mac, 0, 1), format!("B{}", "A".repeat(42)));
        assert_eq!(with_another_digit(&mac, 41, 15), format!("{}PA", "A".repeat(41)));
    }
}
