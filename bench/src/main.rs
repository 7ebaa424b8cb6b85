//! What a decision costs, in nanoseconds: `cargo run --release -p bekci-bench`.
//!
//! Each figure is the median of seven repetitions, taken in turn so that a machine whose speed drifts drifts for all. Nothing here is a test: a number is compared
//! with the others of the same run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be set up has nothing to measure"
)]

mod house;

use std::{hint::black_box, io::Write, sync::Arc};

use bekci_core::{
    AccessRequest, AskedTenant, Authorizer, Clock, Consistency, GuardChain, HeaderCredential, Permission, PolicyLine,
    RequestHead, RouteRule,
};
use bekci_store::SystemClock;

use crate::house::House;

const REPETITIONS: usize = 7;

/// One measured thing: its name, how often it is done in a repetition, and the doing.
struct Measured<'a> {
    name: String,
    rounds: u32,
    work: Box<dyn FnMut() + 'a>,
}

fn nanos_each(rounds: u32, work: &mut dyn FnMut()) -> u64 {
    let clock = SystemClock;
    let began = clock.uptime();
    for _ in 0..rounds {
        work();
    }
    let took = clock.uptime().saturating_sub(began);
    u64::try_from(took.as_nanos() / u128::from(rounds)).unwrap_or(u64::MAX)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let house = runtime.block_on(House::build());
    let admin = |rule: RouteRule| RouteRule {
        guards: GuardChain::new([Arc::clone(&house.guard)]),
        ..rule
    };
    let plain = admin(RouteRule::default());
    let permission = admin(RouteRule {
        permissions: vec![Permission::new("orders.manage").unwrap()],
        ..RouteRule::default()
    });
    let policy = admin(RouteRule {
        policy: true,
        ..RouteRule::default()
    });
    let direct = admin(RouteRule {
        consistency: Consistency::Direct,
        ..RouteRule::default()
    });
    let mut measured = Vec::new();
    for (name, rule, rounds) in [
        ("Gate::admit, warm, signed in", &plain, 200_000),
        ("Gate::admit, warm, one permission", &permission, 200_000),
        (
            "Gate::admit, warm, one permission and 10 casbin lines",
            &policy,
            100_000,
        ),
        ("Gate::admit, direct: one statement on SQLite", &direct, 2_000),
    ] {
        let (house, runtime) = (&house, &runtime);
        let work = move || {
            let header = house.bearer.as_bytes();
            let head = RequestHead {
                method: "GET",
                path: "/api/orders/7",
                tenant: AskedTenant::None,
                authorization: HeaderCredential::read(&[header]),
                cookies: &[],
                fetch_site: None,
                csrf_token: None,
            };
            let admission = runtime
                .block_on(house.bekci.gate().admit(black_box(&head), rule))
                .unwrap();
            black_box(admission);
        };
        measured.push(Measured {
            name: name.to_owned(),
            rounds,
            work: Box::new(work),
        });
    }
    for lines in [10_u32, 1_000] {
        let compiled = policy_of(lines);
        for (what, rounds, fresh) in [("first time", 200, true), ("repeated", 200_000, false)] {
            let compiled = Arc::clone(&compiled);
            let mut count = 0_u64;
            let house = &house;
            let work = move || {
                count += 1;
                let object = if fresh {
                    format!("/area{}/x{count}", lines - 1)
                } else {
                    format!("/area{}/x", lines - 1)
                };
                let request = AccessRequest {
                    principal: &house.key,
                    guard: &house.guard.name,
                    roles: &["super-admin"],
                    tenant: None,
                    object: &object,
                    action: "GET",
                };
                black_box(compiled.decide(&request));
            };
            measured.push(Measured {
                name: format!("policy decision, {lines} lines, {what}"),
                rounds,
                work: Box::new(work),
            });
        }
    }
    report(&mut measured);
    drop(measured);
    runtime.block_on(house.bekci.close());
}

/// Lines that a request for the last area has to pass all of.
fn policy_of(lines: u32) -> Arc<dyn Authorizer> {
    let model = bekci_policy::PolicyModel::parse(include_str!("../../config/casbin_model.conf")).unwrap();
    let line = |n: u32| PolicyLine {
        kind: "p".to_owned(),
        values: ["role:admin:super-admin", "*", &format!("/area{n}/**"), "GET", "allow"]
            .map(str::to_owned)
            .to_vec(),
    };
    bekci_policy::compile(&model, &(0..lines).map(line).collect::<Vec<_>>()).unwrap()
}

fn report(measured: &mut [Measured<'_>]) {
    let mut figures = vec![Vec::with_capacity(REPETITIONS); measured.len()];
    for _ in 0..REPETITIONS {
        for (at, one) in measured.iter_mut().enumerate() {
            figures[at].push(nanos_each(one.rounds, &mut one.work));
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "| what | median ns | least | most |\n| --- | ---: | ---: | ---: |").unwrap();
    for (one, figures) in measured.iter().zip(&mut figures) {
        figures.sort_unstable();
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            one.name,
            figures[REPETITIONS / 2],
            figures[0],
            figures[REPETITIONS - 1]
        )
        .unwrap();
    }
}
