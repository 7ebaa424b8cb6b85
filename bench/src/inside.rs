//! Inside one process, in nanoseconds: what `Gate::admit` costs, and a policy decision beside casbin's own.

use std::{hint::black_box, sync::Arc, time::Duration};

use bekci_core::{
    AccessRequest, AskedTenant, Authorizer, Clock, Consistency, GuardChain, HeaderCredential, Permission, PolicyLine,
    RequestHead, RouteRule,
};
use bekci_store::SystemClock;
use bekci_token::Algorithm;
use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter};
use tokio::runtime::Runtime;

use crate::{house::House, options::Options, table};

const MODEL: &str = include_str!("../../config/casbin_model.conf");
/// Policies of so many lines.
const SIZES: [u32; 4] = [10, 100, 1_000, 100_000];
/// Casbin's own evaluator is asked up to here: one answer at 100,000 lines takes it most of a minute.
const ASKED_OF_CASBIN: u32 = 1_000;

/// So often is a thing done between two looks at the clock.
const BATCH: u32 = 64;

/// One measured thing.
struct Measured<'a> {
    name: String,
    work: Box<dyn FnMut() + 'a>,
}

pub(crate) fn measure(options: &Options) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let house = runtime.block_on(House::build(Algorithm::EdDsa));
    let rules = rules(&house);
    let mut measured: Vec<Measured<'_>> = rules
        .iter()
        .map(|(name, rule)| admission(&house, &runtime, name, rule))
        .collect();
    let (_, signed_in) = &rules[0];
    for (name, header) in refused(&house) {
        measured.push(refusal(&house, &runtime, name, header, signed_in));
    }
    for lines in SIZES {
        measured.extend(decisions(&house, &runtime, lines));
    }
    let table = report(options, &mut measured);
    drop(measured);
    runtime.block_on(house.bekci.close());
    table
}

fn rules(house: &House) -> [(&'static str, RouteRule); 4] {
    let rule = |rule: RouteRule| RouteRule {
        guards: GuardChain::new([Arc::clone(&house.guard)]),
        ..rule
    };
    let permission = RouteRule {
        permissions: vec![Permission::new("orders.manage").unwrap()],
        ..RouteRule::default()
    };
    let policy = RouteRule {
        policy: true,
        ..permission.clone()
    };
    let direct = RouteRule {
        consistency: Consistency::Direct,
        ..RouteRule::default()
    };
    [
        ("`Gate::admit`, warm, signed in", rule(RouteRule::default())),
        ("`Gate::admit`, warm, one permission", rule(permission)),
        ("`Gate::admit`, warm, one permission and 10 casbin lines", rule(policy)),
        ("`Gate::admit`, direct: one statement on SQLite", rule(direct)),
    ]
}

fn admission<'a>(house: &'a House, runtime: &'a Runtime, name: &str, rule: &'a RouteRule) -> Measured<'a> {
    let work = move || {
        let head = head(house.bearer.as_bytes());
        let admission = runtime
            .block_on(house.bekci.gate().admit(black_box(&head), rule))
            .unwrap();
        black_box(admission);
    };
    Measured {
        name: name.to_owned(),
        work: Box::new(work),
    }
}

/// What a storm of bad tokens is made of: a text that names no key, and a token that has to be computed to be refused.
fn refused(house: &House) -> [(&'static str, String); 2] {
    [
        (
            "`Gate::admit`, refused: a text that names no key",
            "Bearer a.b.c".to_owned(),
        ),
        (
            "`Gate::admit`, refused: a known key, a wrong signature (EdDSA)",
            forged(&house.bearer),
        ),
    ]
}

/// A good token with another signature (EdDSA).
pub(crate) fn forged(good: &str) -> String {
    let (signed, signature) = good.rsplit_once('.').unwrap();
    // Its second half, the number S, stays: one that is out of bounds would be refused before anything is computed (RFC 8032 section 5.1.7).
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}

fn refusal<'a>(
    house: &'a House,
    runtime: &'a Runtime,
    name: &str,
    header: String,
    rule: &'a RouteRule,
) -> Measured<'a> {
    let work = move || {
        let refused = runtime.block_on(house.bekci.gate().admit(&head(black_box(header.as_bytes())), rule));
        assert!(refused.is_err(), "it is let in");
    };
    Measured {
        name: name.to_owned(),
        work: Box::new(work),
    }
}

/// A request with this `Authorization` header.
pub(crate) fn head(authorization: &[u8]) -> RequestHead<'_> {
    RequestHead {
        method: "GET",
        path: "/api/orders/7",
        tenant: AskedTenant::None,
        authorization: HeaderCredential::read(&[authorization]),
        cookies: &[],
        fetch_site: None,
        csrf_token: None,
        secured: None,
    }
}

/// One request that the last line allows, on three ways: by Bekci for the first time, by Bekci again, by casbin's own `enforce`.
fn decisions<'a>(house: &'a House, runtime: &Runtime, lines: u32) -> Vec<Measured<'a>> {
    let compiled = compiled(lines);
    let last = lines - 1;
    let (first, again) = (Arc::clone(&compiled), compiled);
    let mut count = 0_u64;
    let first = move || {
        count += 1;
        black_box(first.decide(&question(house, &format!("/area{last}/x{count}"))));
    };
    let object = format!("/area{last}/x");
    let again = move || {
        black_box(again.decide(&question(house, &object)));
    };
    let named = |way: &str, work: Box<dyn FnMut() + 'a>| Measured {
        name: format!("policy decision, {lines} lines, {way}"),
        work,
    };
    let mut measured = vec![
        named("Bekci, first time", Box::new(first)),
        named("Bekci, repeated", Box::new(again)),
    ];
    if lines > ASKED_OF_CASBIN {
        return measured;
    }
    let enforcer = runtime.block_on(enforcer(lines));
    let subjects = vec![format!("principal:{}", house.key), "role:admin:super-admin".to_owned()];
    let object = format!("/area{last}/x");
    let casbin = move || {
        let answer = enforcer
            .enforce((black_box(&subjects), "", object.as_str(), "GET"))
            .unwrap();
        assert!(answer, "casbin decides as Bekci does");
    };
    measured.push(named("casbin `enforce`", Box::new(casbin)));
    measured
}

fn question<'a>(house: &'a House, object: &'a str) -> AccessRequest<'a> {
    AccessRequest {
        principal: &house.key,
        guard: &house.guard.name,
        roles: &["super-admin"],
        tenant: None,
        object,
        action: "GET",
    }
}

/// Lines that a request for the last area has to pass all of.
fn lines(count: u32) -> impl Iterator<Item = [String; 5]> {
    (0..count).map(|n| ["role:admin:super-admin", "*", &format!("/area{n}/**"), "GET", "allow"].map(str::to_owned))
}

fn compiled(count: u32) -> Arc<dyn Authorizer> {
    let model = bekci_policy::PolicyModel::parse(MODEL).unwrap();
    let lines = lines(count).map(|values| PolicyLine {
        kind: "p".to_owned(),
        values: values.to_vec(),
    });
    bekci_policy::compile(&model, &lines.collect::<Vec<_>>()).unwrap()
}

async fn enforcer(count: u32) -> Enforcer {
    let text: Vec<String> = lines(count).map(|values| format!("p, {}", values.join(", "))).collect();
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    Enforcer::new(model, StringAdapter::new(text.join("\n"))).await.unwrap()
}

/// Does it for a tenth of the time that `wrk` has.
fn nanos_each(options: &Options, work: &mut dyn FnMut()) -> f64 {
    let (clock, enough) = (SystemClock, Duration::from_millis(100) * options.seconds);
    let (began, mut rounds) = (clock.uptime(), 0_u32);
    loop {
        for _ in 0..BATCH {
            work();
        }
        rounds += BATCH;
        let took = clock.uptime().saturating_sub(began);
        if took >= enough {
            return took.as_secs_f64() * 1e9 / f64::from(rounds);
        }
    }
}

fn report(options: &Options, measured: &mut [Measured<'_>]) -> String {
    let mut figures = vec![Vec::with_capacity(options.repetitions); measured.len()];
    for _ in 0..options.repetitions {
        for (one, figures) in measured.iter_mut().zip(&mut figures) {
            figures.push(nanos_each(options, &mut one.work));
        }
    }
    let row = |(one, figures): (&Measured<'_>, Vec<f64>)| {
        let (median, least, most) = table::spread(figures);
        vec![
            one.name.clone(),
            format!("{median:.0}"),
            format!("{least:.0}"),
            format!("{most:.0}"),
        ]
    };
    let rows: Vec<Vec<String>> = measured.iter().zip(figures).map(row).collect();
    table::table(
        "Inside one process, nanoseconds",
        &["what", "median", "least", "most"],
        &rows,
    )
}
