//! Generated policies and requests: what Bekci decides is what casbin decides, with its own functions and effects.

use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter};

use crate::support::{Dice, MODEL, Who, allows, policy};

const KEYS: [&str; 3] = ["customer:1", "admin:1", "customer:buyer"];
const ROLES: [&str; 3] = ["buyer", "support", "a"];
const TENANTS: [&str; 3] = ["", "acme", "other"];
const METHODS: [&str; 6] = ["GET", "POST", "DELETE", "get", "GETX", "HEAD"];
const PATHS: [&str; 12] = [
    "/",
    "/api",
    "/api/",
    "/api/orders",
    "/api/orders/1",
    "/api/orders/1/items",
    "/apix",
    "/v1.0/x",
    "/v1x0/x",
    "/api/%C3%BC",
    "/a:b",
    "/api/*",
];
const PATTERNS: [&str; 13] = [
    "/",
    "/**",
    "/*",
    "/api",
    "/api/*",
    "/api/**",
    "/api/orders",
    "/api/:kind",
    "/api/orders/:id",
    "/:x/:y/:z",
    r"/v1\.0/*",
    "/api/*/items",
    "/apix",
];
const ACTIONS: [&str; 8] = [
    "*",
    "GET",
    "GET|POST",
    "(GET)|(POST)",
    ".*",
    "(?i)get",
    "P.*T",
    "GET|HEAD",
];

fn subject(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("principal:{}", dice.one(&KEYS)),
        1 => format!("role:customer:{}", dice.one(&ROLES)),
        _ => format!("role:admin:{}", dice.one(&ROLES)),
    }
}

/// Lines of a policy, some of them broad, so that several bear on one request. None is there twice: casbin counts a doubled line in its later place, which the
/// generic models look at.
fn lines(dice: &mut Dice, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let subject = subject(dice);
        let eft = dice.one(&["allow", "allow", "allow", "deny"]);
        let line = if dice.below(2) == 0 {
            let path = dice.one(&["/**", "/api/**", "/*"]);
            format!("p, {subject}, *, {path}, *, {eft}")
        } else {
            let dom = dice.one(&["*", "*", "", "acme", "other"]);
            let (path, act) = (dice.one(&PATTERNS), dice.one(&ACTIONS));
            format!("p, {subject}, {dom}, {path}, {act}, {eft}")
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

struct Asked {
    key: &'static str,
    guard: &'static str,
    roles: Vec<&'static str>,
    tenant: &'static str,
    method: &'static str,
    path: &'static str,
}

impl Asked {
    fn draw(dice: &mut Dice) -> Self {
        let mut roles: Vec<&str> = (0..dice.below(3)).map(|_| dice.one(&ROLES)).collect();
        roles.sort_unstable();
        roles.dedup();
        Self {
            key: dice.one(&KEYS),
            guard: dice.one(&["customer", "admin"]),
            roles,
            tenant: dice.one(&TENANTS),
            method: dice.one(&METHODS),
            path: dice.one(&PATHS),
        }
    }

    fn subjects(&self) -> Vec<String> {
        let roles = self.roles.iter().map(|role| format!("role:{}:{role}", self.guard));
        std::iter::once(format!("principal:{}", self.key))
            .chain(roles)
            .collect()
    }

    /// The path with a slash at its end and without.
    fn spellings(&self) -> Vec<String> {
        let other = match self.path.strip_suffix('/') {
            Some("") => None,
            Some(without) => Some(without.to_owned()),
            None => Some(format!("{}/", self.path)),
        };
        std::iter::once(self.path.to_owned()).chain(other).collect()
    }

    /// What a line may deny so that this is denied.
    fn deniable(&self) -> Vec<(String, &'static str)> {
        let get = (self.method == "HEAD").then_some("GET");
        let methods = || std::iter::once(self.method).chain(get);
        let spellings = self.spellings().into_iter();
        spellings
            .flat_map(|path| methods().map(move |method| (path.clone(), method)))
            .collect()
    }

    fn bekci(&self, policy: &bekci_policy::CasbinPolicy) -> bool {
        allows(
            policy,
            Who(self.key, self.guard, &self.roles, self.tenant),
            self.method,
            self.path,
        )
    }
}

/// Casbin's answers, put together by Bekci's two rules of its own: both spellings of a path are asked, with a slash at its end and without, and where a line denies `GET`
/// it denies `HEAD`.
struct Expected {
    casbin: Enforcer,
    /// The same lines, and one that allows everything: what it refuses, a line denies.
    denying: Enforcer,
}

impl Expected {
    async fn new(lines: &[String]) -> Self {
        let all = KEYS.iter().map(|key| format!("p, principal:{key}, *, /**, *, allow"));
        let with_all: Vec<String> = lines.iter().cloned().chain(all).collect();
        Self {
            casbin: casbin(MODEL, lines).await,
            denying: casbin(MODEL, &with_all).await,
        }
    }

    fn of(&self, asked: &Asked) -> bool {
        let subjects = asked.subjects();
        let ask = |enforcer: &Enforcer, path: &str, method: &str| {
            enforcer.enforce((&subjects, asked.tenant, path, method)).unwrap()
        };
        let allows = |path: &String| ask(&self.casbin, path, asked.method);
        let denies = |(path, method): (String, &str)| !ask(&self.denying, &path, method);
        asked.spellings().iter().any(allows) && !asked.deniable().into_iter().any(denies)
    }
}

async fn casbin(model: &str, lines: &[String]) -> Enforcer {
    let model = DefaultModel::from_str(model).await.unwrap();
    Enforcer::new(model, StringAdapter::new(lines.join("\n")))
        .await
        .unwrap()
}

/// Compares at least so many decisions on generated policies.
async fn compare(seed: u64, least: usize) {
    let mut dice = Dice(seed);
    let (mut allowed, mut compared) = (0, 0);
    while compared < least {
        let count = 1 + dice.below(8);
        let lines = lines(&mut dice, count);
        let (ours, theirs) = (policy(&lines.join("\n")), Expected::new(&lines).await);
        for _ in 0..100 {
            let asked = Asked::draw(&mut dice);
            let subjects = asked.subjects();
            let expected = theirs.of(&asked);
            let question = format!("{} {} {subjects:?} {:?}", asked.method, asked.path, asked.tenant);
            let first = asked.bekci(&ours);
            assert_eq!(first, expected, "{question}\n{}", lines.join("\n"));
            assert_eq!(asked.bekci(&ours), first, "the kept decision differs: {question}");
            allowed += usize::from(expected);
            compared += 1;
        }
    }
    assert!(
        allowed > compared / 25,
        "{allowed} of {compared} allowed: the requests say too little"
    );
}

// In two tests, so that they run beside each other.
#[tokio::test]
async fn generated_requests_are_decided_as_by_casbin() {
    compare(0x6265_6b63_6931, 4_000).await;
}

#[tokio::test]
async fn other_generated_requests_are_decided_as_by_casbin() {
    compare(0x6265_6b63_6932, 4_000).await;
}

/// Casbin takes one subject at a time with `g`. What several come to is put together from two models: somebody is allowed, and nobody is denied.
fn one_by_one(effect: &str) -> String {
    MODEL.replace("p.sub in r.sub", "g(r.sub, p.sub, r.dom)").replace(
        "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))",
        &format!("e = {effect}"),
    )
}

#[tokio::test]
async fn inherited_roles_are_those_that_casbin_follows() {
    let mut dice = Dice(0x6765_7262);
    let mut told = 0;
    for _ in 0..60 {
        let mut lines = lines(&mut dice, 8);
        let (mut ours, mut theirs) = (lines.clone(), std::mem::take(&mut lines));
        for _ in 0..dice.below(8) {
            let (child, role) = (
                subject(&mut dice),
                format!("role:{}:{}", dice.one(&["customer", "admin"]), dice.one(&ROLES)),
            );
            let tenant = dice.one(&["*", "acme", "other", ""]);
            ours.push(format!("g, {child}, {role}, {tenant}"));
            let all = if tenant == "*" { &TENANTS[..] } else { &[tenant][..] };
            // An empty last value is written in quotes: casbin drops it otherwise.
            theirs.extend(all.iter().map(|tenant| format!("g, {child}, {role}, \"{tenant}\"")));
        }
        let ours = policy(&ours.join("\n"));
        let somebody = casbin(&one_by_one("some(where (p.eft == allow))"), &theirs).await;
        let nobody = casbin(&one_by_one("!some(where (p.eft == deny))"), &theirs).await;
        for _ in 0..60 {
            let asked = Asked::draw(&mut dice);
            let ask = |enforcer: &Enforcer, subject: &String, path: &str, method: &str| {
                enforcer.enforce((subject, asked.tenant, path, method)).unwrap()
            };
            let subjects = asked.subjects();
            let allows = |subject: &String| {
                let spellings = asked.spellings();
                spellings.iter().any(|path| ask(&somebody, subject, path, asked.method))
            };
            let undenied = |subject: &String| {
                let deniable = asked.deniable();
                deniable
                    .iter()
                    .all(|(path, method)| ask(&nobody, subject, path, method))
            };
            let expected = subjects.iter().any(allows) && subjects.iter().all(undenied);
            assert_eq!(
                asked.bekci(&ours),
                expected,
                "{} {} {subjects:?} {:?}\n{}",
                asked.method,
                asked.path,
                asked.tenant,
                theirs.join("\n")
            );
            told += usize::from(expected);
        }
    }
    assert!(told > 100, "only {told} allowed");
}

/// A matcher that says the same and that only an interpreter reads: a path is never empty.
fn interpreted(csv: &str) -> std::sync::Arc<bekci_policy::CasbinPolicy> {
    let model = MODEL.replace("m = p.sub in r.sub &&", "m = p.sub in r.sub && r.obj != \"\" &&");
    assert_ne!(model, MODEL);
    let model = bekci_policy::PolicyModel::parse(&model).unwrap();
    bekci_policy::compile_text(&model, &bekci_policy::parse_csv(csv).unwrap()).unwrap()
}

#[test]
fn lines_that_are_looked_up_decide_as_lines_that_are_interpreted_and_name_the_same_one() {
    let mut dice = Dice(0x6c6f_6f6b);
    let mut decided = 0;
    for _ in 0..60 {
        let count = 1 + dice.below(20);
        let mut lines = lines(&mut dice, count);
        for _ in 0..dice.below(6) {
            let (child, role) = (subject(&mut dice), dice.one(&ROLES));
            let tenant = dice.one(&["*", "acme", "other", ""]);
            let guard = dice.one(&["customer", "admin"]);
            lines.push(format!("g, {child}, role:{guard}:{role}, \"{tenant}\""));
        }
        let csv = lines.join("\n");
        let (looked_up, interpreted) = (policy(&csv), interpreted(&csv));
        for _ in 0..40 {
            let asked = Asked::draw(&mut dice);
            let who = Who(asked.key, asked.guard, &asked.roles, asked.tenant);
            let told = |policy| crate::support::verdict(policy, who, asked.method, asked.path);
            let told = (told(&looked_up), told(&interpreted));
            assert_eq!(told.0, told.1, "{} {} {who:?}\n{csv}", asked.method, asked.path);
            decided += usize::from(crate::support::reason(&looked_up, who, asked.method, asked.path).contains("line:"));
        }
    }
    assert!(decided > 800, "lines decided {decided} questions alone");
}

#[test]
fn matchers_of_every_kind_of_comparison_are_decided_as_casbin_does() {
    let matchers = [
        "p.sub in r.sub && (p.dom == \"*\" || p.dom == r.dom) && keyMatch(r.obj, p.obj) && p.act == r.act",
        "keyMatch3(r.obj, p.obj) && p.sub in r.sub && (r.dom == p.dom) && (r.act == p.act || \"*\" == p.act)",
        "p.sub in r.sub && p.dom == r.dom && (p.obj == \"*\" || keyMatch2(r.obj, p.obj)) && regexMatch(r.act, p.act)",
        "p.sub in r.sub && p.dom == r.dom && (p.obj == r.obj || keyMatch2(r.obj, p.obj)) && p.act == r.act",
        "p.sub in r.sub && p.dom == r.dom && r.obj == p.obj && (p.act == \"any\" || regexMatch(r.act, \"^\" + p.act + \"$\"))",
        "p.sub in r.sub && (p.dom == r.dom || p.dom == \"*\") && (regexMatch(r.obj, p.obj)) && p.act == r.act",
        // These need an interpreter.
        "p.sub in r.sub && p.dom == r.dom && ((p.obj == \"*\") || keyMatch2(r.obj, p.obj)) && p.act == r.act",
        "p.sub in r.sub && p.dom == r.dom && !(p.obj == \"/api\") && keyMatch2(r.obj, p.obj) && p.act == r.act",
    ];
    let objects = [
        "*",
        "/",
        "/**",
        "/api",
        "/api/*",
        "/api/:kind",
        "/api/{kind}",
        "/:x/:y/:z",
        "/api/*/items",
        "^/api/.*$",
        r"/v1\.0/*",
    ];
    let actions = ["*", "any", "GET", "POST", "^GET$", "GET|POST", "^(GET|POST)$"];
    let mut dice = Dice(0x6b69_6e64);
    let mut told_allowed = 0;
    for matcher in matchers {
        let (start, _) = MODEL.split_once("m = ").unwrap();
        let ours = format!("{start}m = {matcher}\n");
        // The same, in words that need an interpreter.
        let theirs = format!("{start}m = {matcher} && r.obj != \"\"\n");
        let models = [ours, theirs].map(|text| bekci_policy::PolicyModel::parse(&text).unwrap());
        let compiled = |model: &bekci_policy::PolicyModel, csv: &str| {
            bekci_policy::compile_text(model, &bekci_policy::parse_csv(csv).unwrap())
        };
        let (mut allowed, mut refused) = (0, 0);
        for _ in 0..40 {
            let mut lines = Vec::new();
            while lines.len() < 3 {
                let (dom, object) = (dice.one(&["*", "acme", ""]), dice.one(&objects));
                let (action, effect) = (dice.one(&actions), dice.one(&["allow", "allow", "allow", "deny"]));
                let line = format!("p, role:customer:buyer, {dom}, {object}, {action}, {effect}");
                // Patterns that this matcher's functions do not take are refused both ways, by the same words.
                let [ours, theirs] = [0, 1].map(|at| compiled(&models[at], &line).map_err(|error| error.to_string()));
                assert_eq!(ours.as_ref().err(), theirs.as_ref().err());
                match ours {
                    Ok(_) => lines.push(line),
                    Err(_) => refused += 1,
                }
            }
            let csv = lines.join("\n");
            let [ours, theirs] = [0, 1].map(|at| compiled(&models[at], &csv).unwrap());
            for path in PATHS {
                let who = Who("customer:1", "customer", &["buyer"], dice.one(&TENANTS));
                let method = dice.one(&METHODS);
                let told = [&ours, &theirs].map(|policy| crate::support::verdict(policy, who, method, path));
                assert_eq!(told[0], told[1], "{matcher}\n{method} {path} {who:?}\n{csv}");
                allowed += usize::from(matches!(told[0], bekci_core::Verdict::Allow { .. }));
            }
        }
        assert!(
            allowed > 0 && refused > 0,
            "{matcher}: {allowed} allowed, {refused} refused"
        );
        told_allowed += allowed;
    }
    assert!(told_allowed > 75, "{told_allowed} allowed");
}
