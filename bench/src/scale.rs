//! How cost grows: members of a role, policy lines, tenants. Generated data, three nodes in this process, SQLite and PostgreSQL.
//!
//! A change is timed from the call to its return, and then each node is asked: it has to be in force on all three. Each size has a database of its own.

use std::{fs, sync::Arc, time::Duration};

use bekci::{Bekci, PolicyModel, Settings};
use bekci_core::{
    AccessRequest, AuthGuard, Clock, Consistency, Entropy, GuardName, Held, IdKind, IdentityVersion, ModelName,
    ModelSpec, Need, Permission, PolicyLine, PrincipalKey, RoleName, RootSecret, TenantName, Unmetered, Verdict, View,
};
use bekci_store::{CacheSettings, Committed, Providers, Scope, Store, StoreSettings, SystemClock};
use bekci_test_support::{Postgres, TempDir, psql, try_sqlite3_cli};
use bekci_token::{Algorithm, OsEntropy};
use secrecy::SecretString;

use crate::table;

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Sizes above this are not asked of what grows with each line or tenant in memory.
const MOST_LINES: u32 = 100_000;
const MOST_TENANTS: u32 = 10_000;
/// A change is timed so often; the middle counts.
const CHANGES: usize = 5;
const NODES: usize = 3;
const FILE: &str = "scale.db";

/// Three nodes on a database of their own.
struct Cluster {
    nodes: Vec<Store>,
    url: String,
    guard: GuardName,
    folder: TempDir,
}

pub(crate) fn measure(largest: u32) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let postgres = Postgres::start();
    let mut rows = Vec::new();
    for server in [None, Some(&postgres)] {
        for size in SIZES.into_iter().filter(|size| *size <= largest) {
            rows.extend(runtime.block_on(members(server, size)));
            if size <= MOST_LINES {
                rows.extend(runtime.block_on(lines(server, size)));
            }
            if size <= MOST_TENANTS {
                rows.extend(runtime.block_on(tenants(server, size)));
            }
        }
    }
    rows.sort_by_key(|row| row[0].clone());
    table::table(
        "How it grows, three nodes",
        &["what", "size", "SQLite or PostgreSQL", "figure", "keys touched"],
        &rows,
    )
}

impl Cluster {
    async fn build(server: Option<&Postgres>) -> Self {
        let folder = TempDir::new("scale");
        let url = match server {
            Some(server) => server.fresh_database("scale"),
            None => format!("sqlite://{}", folder.path().join(FILE).display()),
        };
        let (written, url) = (url.clone(), SecretString::from(url));
        let (guard, name) = (GuardName::new("customer").unwrap(), ModelName::new("customer").unwrap());
        let spec = ModelSpec::new(name.clone(), "customers");
        let root = || RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap();
        let of_guard = || AuthGuard::new(guard.clone(), name.clone(), IdKind::Integer, false);
        let mut settings = Settings::new("http://127.0.0.1:8080", folder.path().join("keys"), root());
        // No token is signed here, so that no key has to be made.
        settings.algorithm = Algorithm::Hs256;
        let mut random = [0; 32];
        OsEntropy.fill(&mut random).unwrap();
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        settings.jwt_secret = Some(SecretString::from(secret));
        let schema = Bekci::builder(settings)
            .database(bekci::connect(&url, 2).await.unwrap())
            .model(spec.clone())
            .auth_guard(of_guard())
            .quiet()
            .build()
            .await
            .unwrap();
        schema.migrate().await.unwrap();
        schema.close().await;
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let settings = StoreSettings {
                models: vec![spec.clone()],
                providers: Providers::default(),
                guards: vec![Arc::new(of_guard())],
                cache: CacheSettings::default(),
                redis: None,
                policy: Some(Arc::new(
                    PolicyModel::parse(include_str!("../../config/casbin_model.conf")).unwrap(),
                )),
                root: Arc::new(root()),
                clock: Arc::new(SystemClock),
                entropy: Arc::new(OsEntropy),
                meter: Arc::new(Unmetered),
            };
            nodes.push(
                Store::open(bekci::connect(&url, 4).await.unwrap(), settings)
                    .await
                    .unwrap(),
            );
        }
        let cluster = Self {
            nodes,
            url: written,
            guard,
            folder,
        };
        cluster
            .outside("INSERT INTO customers (id, email, name, status) VALUES (1, 'ada@example.com', 'Ada', 'active')");
        cluster.settle().await;
        cluster
    }

    /// Writes in the database's own shell.
    fn outside(&self, sql: &str) {
        if self.url.starts_with("sqlite:") {
            try_sqlite3_cli(&self.folder.path().join(FILE), sql).unwrap();
        } else {
            psql(&self.url, sql);
        }
    }

    /// Waits until every node has applied everything.
    async fn settle(&self) {
        for node in &self.nodes {
            while !node.is_trusted() || node.unapplied().await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    async fn view(&self, node: &Store, who: &PrincipalKey, tenant: Option<&TenantName>, policy: bool) -> View {
        let identities = node.identities();
        let need = Need {
            key: who,
            guard: &self.guard,
            tenant,
            at_least: IdentityVersion(0),
            policy,
            consistency: Consistency::L1,
        };
        let ticket = identities.ticket();
        match identities.warm(&need) {
            Some(view) => view,
            None => identities.read(&need, ticket).await.unwrap(),
        }
    }

    /// Whether a principal holds a permission, on every node.
    async fn may(&self, who: &PrincipalKey, tenant: Option<&TenantName>, permission: &str) -> bool {
        let permission = Permission::new(permission).unwrap();
        let mut all = true;
        for node in &self.nodes {
            let view = self.view(node, who, tenant, false).await;
            let held = Held {
                identity: &view.identity,
                guard: &self.guard,
                tenant,
                roles: &view.roles,
                in_force: true,
            };
            all &= held.can(&permission);
        }
        all
    }

    async fn close(self) {
        for node in &self.nodes {
            node.close().await;
        }
    }
}

fn key(id: u32) -> PrincipalKey {
    PrincipalKey::parse(&format!("customer:{id}")).unwrap()
}

fn row(what: &str, size: u32, server: Option<&Postgres>, figure: String, keys: Option<usize>) -> Vec<String> {
    let backend = if server.is_some() { "PostgreSQL" } else { "SQLite" };
    let keys = keys.map_or_else(String::new, |keys| keys.to_string());
    vec![what.to_owned(), size.to_string(), backend.to_owned(), figure, keys]
}

async fn timed<T>(work: impl Future<Output = T>) -> (f64, T) {
    let began = SystemClock.uptime();
    let done = work.await;
    (SystemClock.uptime().saturating_sub(began).as_secs_f64() * 1e3, done)
}

/// The middle of several timed changes, and how many keys the last one touched.
async fn changes(mut change: impl AsyncFnMut(usize) -> Committed) -> (f64, usize) {
    let (mut took, mut keys) = (Vec::new(), 0);
    for n in 0..CHANGES {
        let (ms, committed) = timed(change(n)).await;
        took.push(ms);
        keys = committed.versions.len();
    }
    (table::spread(took).0, keys)
}

/// Memory of this process, in MiB.
fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    kib / 1024.0
}

fn numbers(server: Option<&Postgres>, count: u32) -> String {
    match server {
        Some(_) => format!("SELECT n FROM generate_series(1, {count}) AS s(n)"),
        None => {
            format!("WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s")
        }
    }
}

async fn members(server: Option<&Postgres>, size: u32) -> Vec<Vec<String>> {
    let cluster = Cluster::build(server).await;
    let (scope, role) = (Scope::global(cluster.guard.clone()), RoleName::new("member").unwrap());
    let rights = cluster.nodes[0].rights();
    let permission = |n: usize| vec![Permission::new(&format!("area{n}.view")).unwrap()];
    rights.put_role(&scope, &role, &permission(9)).await.unwrap();
    let give = format!(
        "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) SELECT 'customer', CAST(n AS TEXT), 'customer', '', 'member' FROM ({}) AS numbered",
        numbers(server, size)
    );
    let (gave, _) = timed(async {
        cluster.outside(&give);
        cluster.settle().await;
    })
    .await;
    let ada = key(1);
    assert!(cluster.may(&ada, None, "area9.view").await);
    let before = memory();
    let (put, keys) = changes(async |n| rights.put_role(&scope, &role, &permission(n)).await.unwrap()).await;
    assert!(cluster.may(&ada, None, "area4.view").await && !cluster.may(&ada, None, "area3.view").await);
    let grew = memory() - before;
    let other = RoleName::new("other").unwrap();
    rights.put_role(&scope, &other, &permission(7)).await.unwrap();
    let (one, of_one) = changes(async |n| {
        let roles = std::slice::from_ref(&other);
        if n % 2 == 0 {
            rights.assign_role(&ada, &scope, roles).await.unwrap()
        } else {
            rights.remove_role(&ada, &scope, roles).await.unwrap()
        }
    })
    .await;
    assert!(cluster.may(&ada, None, "area7.view").await);
    cluster.close().await;
    let of = |what: &str, figure: String, keys| row(&format!("role members: {what}"), size, server, figure, keys);
    vec![
        of(
            "all made by one statement of SQL from outside, in force, ms",
            format!("{gave:.0}"),
            None,
        ),
        of(
            "what the role permits changed, in force, ms",
            format!("{put:.1}"),
            Some(keys),
        ),
        of("memory for that, MiB", format!("{grew:.1}"), None),
        of(
            "a role of one member given or taken, in force, ms",
            format!("{one:.1}"),
            Some(of_one),
        ),
    ]
}

async fn lines(server: Option<&Postgres>, size: u32) -> Vec<Vec<String>> {
    let cluster = Cluster::build(server).await;
    let line = |n: u32| PolicyLine {
        kind: "p".to_owned(),
        values: ["principal:customer:1", "*", &format!("/area{n}/**"), "GET", "allow"]
            .map(str::to_owned)
            .to_vec(),
    };
    let insert = format!(
        "INSERT INTO bekci_policies (kind, v0, v1, v2, v3, v4) SELECT 'p', 'principal:customer:1', '*', '/area' || n || '/**', 'GET', 'allow' FROM ({}) AS numbered",
        numbers(server, size)
    );
    cluster.outside(&insert);
    let (ada, before) = (key(1), memory());
    let ask = async |node: &Store, n: u32| {
        let view = cluster.view(node, &ada, None, true).await;
        let request = AccessRequest {
            principal: &ada,
            guard: &cluster.guard,
            roles: &[],
            tenant: None,
            object: &format!("/area{n}/x"),
            action: "GET",
        };
        view.policy
            .is_some_and(|policy| matches!(policy.decide(&request), Verdict::Allow { .. }))
    };
    let (loaded, _) = timed(async {
        cluster.settle().await;
        for node in &cluster.nodes {
            while !ask(node, size).await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
    let grew = (memory() - before) / 3.0;
    let policies = cluster.nodes[0].policies();
    let (added, keys) = changes(async |n| {
        policies
            .add(&[line(size + 1 + u32::try_from(n).unwrap())])
            .await
            .unwrap()
    })
    .await;
    for node in &cluster.nodes {
        assert!(ask(node, size + 1).await);
    }
    let (asked, _) = timed(async {
        for n in 1..=1_000 {
            assert!(ask(&cluster.nodes[0], n).await);
        }
    })
    .await;
    cluster.close().await;
    let of = |what: &str, figure: String, keys| row(&format!("policy lines: {what}"), size, server, figure, keys);
    vec![
        of("loaded by three nodes, ms", format!("{loaded:.0}"), None),
        of("one line added, in force, ms", format!("{added:.1}"), Some(keys)),
        of(
            "a decision with the identity from memory, µs",
            format!("{asked:.2}"),
            None,
        ),
        of("memory of a node, MiB", format!("{grew:.1}"), None),
    ]
}

async fn tenants(server: Option<&Postgres>, size: u32) -> Vec<Vec<String>> {
    let cluster = Cluster::build(server).await;
    let from = numbers(server, size);
    for sql in [
        format!("INSERT INTO bekci_roles (guard, tenant, name) SELECT 'customer', 't' || n, 'boss' FROM ({from}) AS numbered"),
        "INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'area.view' FROM bekci_roles WHERE name = 'boss'".to_owned(),
        format!("INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) SELECT 'customer', '1', 'customer', 't' || n, 'boss' FROM ({from}) AS numbered WHERE n <= 1000"),
    ] {
        cluster.outside(&sql);
    }
    cluster.settle().await;
    let (ada, before) = (key(1), memory());
    let tenant = |n: u32| TenantName::new(&format!("t{n}")).unwrap();
    let (first, _) = timed(async {
        for n in 1..=size {
            cluster.view(&cluster.nodes[0], &ada, Some(&tenant(n)), false).await;
        }
    })
    .await;
    let grew = memory() - before;
    let (again, _) = timed(async {
        for n in 1..=size {
            cluster.view(&cluster.nodes[0], &ada, Some(&tenant(n)), false).await;
        }
    })
    .await;
    let scope = Scope {
        tenant: Some(tenant(7)),
        ..Scope::global(cluster.guard.clone())
    };
    let (rights, boss) = (cluster.nodes[0].rights(), RoleName::new("boss").unwrap());
    let (put, keys) = changes(async |n| {
        let permission = Permission::new(&format!("area{n}.view")).unwrap();
        rights.put_role(&scope, &boss, &[permission]).await.unwrap()
    })
    .await;
    assert!(cluster.may(&ada, Some(&tenant(7)), "area4.view").await);
    assert!(!cluster.may(&ada, Some(&tenant(7)), "area.view").await);
    cluster.close().await;
    let each = |ms: f64| format!("{:.1}", ms * 1e3 / f64::from(size));
    let of = |what: &str, figure: String, keys| row(&format!("tenants: {what}"), size, server, figure, keys);
    vec![
        of("first view in one, µs", each(first), None),
        of("view again, µs", each(again), None),
        of("memory of a node that has seen all, MiB", format!("{grew:.1}"), None),
        of(
            "what a role of one permits changed, in force, ms",
            format!("{put:.1}"),
            Some(keys),
        ),
    ]
}
