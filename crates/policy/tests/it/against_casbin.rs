//! Generated policies and requests: what Bekci decides is what casbin decides, with its own functions and effects.

use casbin::{CoreApi, DefaultModel, Enforcer, StringAdapter};

use crate::support::{Dice, MODEL, Who, allows, policy};

const KEYS: [&str; 3] = ["customer:1", "admin:1", "customer:buyer"];
const ROLES: [&str; 3] = ["buyer", "support", "a"];
const TENANTS: [&str; 3] = ["", "acme", "other"];
const METHODS: [&str; 5] = ["GET", "POST", "DELETE", "get", "GETX"];
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
const ACTIONS: [&str; 7] = ["*", "GET", "GET|POST", "(GET)|(POST)", ".*", "(?i)get", "P.*T"];

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

    fn bekci(&self, policy: &bekci_policy::CasbinPolicy) -> bool {
        allows(
            policy,
            Who(self.key, self.guard, &self.roles, self.tenant),
            self.method,
            self.path,
        )
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
        let (ours, theirs) = (policy(&lines.join("\n")), casbin(MODEL, &lines).await);
        for _ in 0..100 {
            let asked = Asked::draw(&mut dice);
            let subjects = asked.subjects();
            let expected = theirs
                .enforce((&subjects, asked.tenant, asked.path, asked.method))
                .unwrap();
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
    compare(0x6265_6b63_6931, 10_000).await;
}

#[tokio::test]
async fn other_generated_requests_are_decided_as_by_casbin() {
    compare(0x6265_6b63_6932, 10_000).await;
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
            let ask = |enforcer: &Enforcer, subject: &String| {
                enforcer
                    .enforce((subject, asked.tenant, asked.path, asked.method))
                    .unwrap()
            };
            let subjects = asked.subjects();
            let allowed = subjects.iter().any(|subject| ask(&somebody, subject));
            let expected = allowed && subjects.iter().all(|subject| ask(&nobody, subject));
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
