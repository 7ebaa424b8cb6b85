//! `bekci demo`: the whole thing on the embedded default, in a folder that goes with it.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, http::header::ContentType, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci::Bekci;
use bekci_core::Entropy;
use bekci_token::OsEntropy;
use secrecy::SecretString;
use serde_json::json;

use crate::{
    config::{self, Loaded, Problem},
    echo::{self, EchoCount},
    generation,
    ops::Metrics,
    seed::{self, Person, SeedError},
    serve::{self, ServeError},
};

/// The shipped configuration, which is also the demo's.
const SHIPPED: &str = include_str!("../../../config/bekci.toml");

/// The route of the page at `/`, which the demo has besides.
const WELCOME: &str = "\n[[routes]]\nid = \"welcome\"\npaths = [\"/\"]\nmethods = [\"GET\"]\npublic = true\nupstream = \"http://127.0.0.1:9000\"\n";

/// The policy model and the seed, likewise.
const POLICY: [(&str, &str); 2] = [
    ("casbin_model.conf", include_str!("../../../config/casbin_model.conf")),
    ("casbin_policy.csv", include_str!("../../../config/casbin_policy.csv")),
];

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// Files, ports or random bytes cannot be had.
    #[error("{what}: {error}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: String,
    },
    /// The shipped configuration does not fit this demo.
    #[error("the demo's configuration is at fault:\n{0}")]
    Config(String),
    /// The gateway does not come up.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The accounts cannot be made.
    #[error(transparent)]
    Seed(#[from] SeedError),
}

fn machine(what: &'static str) -> impl FnOnce(std::io::Error) -> DemoError {
    move |error| DemoError::Machine {
        what,
        error: error.to_string(),
    }
}

/// A folder that only its owner can read, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(format!("bekci-demo-{}", random(9)?));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(machine("the demo's folder cannot be made"))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the demo's folder stays");
        }
    }
}

fn random(bytes: usize) -> Result<String, DemoError> {
    let mut buffer = vec![0; bytes];
    OsEntropy.fill(&mut buffer).map_err(|error| DemoError::Machine {
        what: "no random bytes",
        error,
    })?;
    Ok(URL_SAFE_NO_PAD.encode(buffer))
}

/// A port that is free now, where none was asked for.
fn free_port() -> Result<u16, DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(machine("no port is free"))?;
    Ok(listener.local_addr().map_err(machine("no port is free"))?.port())
}

/// An account of the demo, for printing.
struct Account {
    email: &'static str,
    password: String,
}

/// Runs the demo until it is stopped.
pub(crate) async fn run(listen: SocketAddr, as_json: bool, metrics: Arc<Metrics>) -> Result<(), DemoError> {
    let folder = Folder::new()?;
    let listen = if listen.port() == 0 {
        SocketAddr::new(listen.ip(), free_port()?)
    } else {
        listen
    };
    let (upstream, upstream_address) = start_echo()?;
    let config_path = folder.0.join("bekci.toml");
    let loaded = write_config(&folder.0, &config_path, listen, upstream_address)?;
    let running = serve::start(loaded, read, metrics).await?;
    let bekci = running.bekci();
    generation::until_trusted(&bekci).await;
    let accounts = accounts(&bekci).await?;
    drop(bekci);
    let facts = Facts {
        url: format!("http://{}", running.address),
        ops_url: format!("http://{}", running.ops_address),
        upstream_url: format!("http://{upstream_address}"),
        database_url: format!("sqlite://{}", folder.0.join("bekci.db").display()),
        config_path: config_path.display().to_string(),
        accounts,
    };
    let text = if as_json { facts.as_json() } else { facts.for_people() };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(machine("the output is closed"))?;
    drop(out);
    running.until_stopped().await?;
    upstream.stop(false).await;
    Ok(())
}

/// The page at `/`: links to what there is to see.
async fn welcome() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .body(include_str!("demo/welcome.html"))
}

fn start_echo() -> Result<(ServerHandle, SocketAddr), DemoError> {
    let count = EchoCount::default();
    let server = HttpServer::new(move || {
        let count = count.clone();
        App::new()
            .route("/", web::get().to(welcome))
            .configure(move |service| echo::configure(service, count))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .bind((Ipv4Addr::LOCALHOST, 0))
    .map_err(machine("the echo upstream cannot listen"))?;
    let address = server
        .addrs()
        .first()
        .copied()
        .ok_or_else(|| machine("the echo upstream")(std::io::Error::other("has no address")))?;
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok((handle, address))
}

/// The shipped configuration with the demo's folder and ports, written down so that other commands can be tried on it.
fn write_config(folder: &Path, path: &Path, listen: SocketAddr, upstream: SocketAddr) -> Result<Loaded, DemoError> {
    let ops = SocketAddr::new(listen.ip(), free_port()?);
    let text = format!("{SHIPPED}{WELCOME}")
        .replace("\"127.0.0.1:8080\"", &format!("\"{listen}\""))
        .replace("\"127.0.0.1:8081\"", &format!("\"{ops}\""))
        .replace("http://127.0.0.1:8080", &format!("http://{listen}"))
        .replace("127.0.0.1:9000", &upstream.to_string())
        .replace("sqlite://data/", &format!("sqlite://{}/", folder.display()))
        .replace("\"data/", &format!("\"{}/", folder.display()))
        .replace("level = \"info\"", "level = \"warn\"")
        .replace("#:schema ./bekci.schema.json\n\n", "");
    let text = POLICY.iter().fold(text, |text, (name, _)| {
        text.replace(
            &format!("\"config/{name}\""),
            &format!("\"{}\"", folder.join(name).display()),
        )
    });
    for (name, content) in POLICY {
        std::fs::write(folder.join(name), content).map_err(machine("the demo's policy cannot be written"))?;
    }
    std::fs::write(path, text).map_err(machine("the demo's configuration cannot be written"))?;
    read(Some(path))
        .map_err(|problems| DemoError::Config(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// The demo is what its file says, whatever variables a gateway on this machine is given.
fn read(file: Option<&Path>) -> Result<Loaded, Vec<Problem>> {
    config::load(file, std::iter::empty())
}

async fn accounts(bekci: &Bekci) -> Result<[Account; 3], DemoError> {
    seed::roles(bekci).await?;
    let mut made = Vec::new();
    for (model, email, name, role) in [
        ("admin", "admin@example.com", "Ada Admin", "super-admin"),
        ("admin", "support@example.com", "Sam Support", "support"),
        ("customer", "customer@example.com", "Can Customer", "buyer"),
    ] {
        let password = random(18)?;
        seed::person(
            bekci,
            Person {
                model,
                email,
                name,
                password: SecretString::from(password.clone()),
                role,
            },
        )
        .await?;
        made.push(Account { email, password });
    }
    made.try_into()
        .map_err(|_| machine("the accounts")(std::io::Error::other("are not three")))
}

/// What is told when the demo is ready.
struct Facts {
    url: String,
    ops_url: String,
    upstream_url: String,
    database_url: String,
    config_path: String,
    accounts: [Account; 3],
}

impl Facts {
    fn as_json(&self) -> String {
        let [admin, support, customer] = &self.accounts;
        let account = |account: &Account| json!({"email": account.email, "password": account.password});
        json!({
            "url": self.url,
            "opsUrl": self.ops_url,
            "upstreamUrl": self.upstream_url,
            "databaseUrl": self.database_url,
            "configPath": self.config_path,
            "admin": account(admin),
            "support": account(support),
            "customer": account(customer),
        })
        .to_string()
    }

    fn for_people(&self) -> String {
        let [admin, support, customer] = &self.accounts;
        let url = &self.url;
        let sign_in = |name: &str, guard: &str, account: &Account| {
            format!(
                "{name}=$(curl -s {url}/auth/{guard}/login -H 'content-type: application/json' -d '{{\"email\":\"{}\",\"password\":\"{}\"}}' | sed -E 's/.*\"accessToken\":\"([^\"]+)\".*/\\1/')",
                account.email, account.password
            )
        };
        format!(
            "Bekci listens on {url}\n\
             API page {url}/docs   operations {}   upstream {}\n\n\
             The configuration of this demo, for other commands (`bekci --config \"$CONFIG\" doctor`):\n  CONFIG={}\n\n\
             A public route, 200:\n  curl -i {url}/public/hello\n\
             Without a token, 401 TOKEN_MISSING:\n  curl -i {url}/me/hello\n\n\
             Sign in as customer (buyer), support and admin:\n  {}\n  {}\n  {}\n\n\
             The customer, 200, with identity headers at the upstream:\n  curl -i {url}/me/hello -H \"authorization: Bearer $CUSTOMER\"\n\
             A customer's token on an admin route, 401 GUARD_MISMATCH:\n  curl -i {url}/back-office/orders -H \"authorization: Bearer $CUSTOMER\"\n\
             Support lacks a permission, 403 FORBIDDEN:\n  curl -i {url}/back-office/orders -H \"authorization: Bearer $SUPPORT\"\n\
             The admin holds it, 200:\n  curl -i {url}/back-office/orders -H \"authorization: Bearer $ADMIN\"\n\
             Casbin lets a buyer place orders, 200, and not remove them, 403 POLICY_DENIED:\n  curl -i -X POST {url}/api/orders/7 -H \"authorization: Bearer $CUSTOMER\"\n  curl -i -X DELETE {url}/api/orders/7 -H \"authorization: Bearer $CUSTOMER\"\n\
             Sign out, 200:\n  curl -i -X POST {url}/auth/customer/logout -H \"authorization: Bearer $CUSTOMER\"\n\
             The token has stopped at once, 401 TOKEN_INVALID:\n  curl -i {url}/me/hello -H \"authorization: Bearer $CUSTOMER\"\n\n\
             Ctrl-C ends it and removes its folder.",
            self.ops_url,
            self.upstream_url,
            self.config_path,
            sign_in("CUSTOMER", "customer", customer),
            sign_in("SUPPORT", "admin", support),
            sign_in("ADMIN", "admin", admin),
        )
    }
}
