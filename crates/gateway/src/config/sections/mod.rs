//! The table of settings: every section with every key, its type, its default and what it means.

pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod mail;
pub(crate) mod model;
pub(crate) mod redis;
pub(crate) mod route;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod telemetry;
pub(crate) mod token;

use std::collections::BTreeMap;

use bekci_core::{GuardName, ModelName};

use guard::Guard;
use limits::{Cors, Limits, Policy, Tenancy};
use mail::{Client, Idp, Mail};
use model::{Model, Provider};
use redis::Redis;
use route::Route;
use server::Server;
use store::{Database, IdentityCache};
use telemetry::{Log, Otel};
use token::{Secrets, Token};

use super::schema::{Fallback::Toml, Kind, settings};
use super::values::names::{Language, Message, MessageCode, Name};

settings! {
    /// The configuration of the gateway.
    Config {
        /// Where the gateway listens, and what it is called from outside.
        server: Server = Toml("{}");
        /// The database that holds accounts, rights and sessions.
        database: Database = Toml("{}");
        /// Redis, where several processes share cache, limits and on-line lists. Without it they are kept in the process: several nodes
        /// keep their promises all the same, limits are then per node.
        redis: Redis = Toml("{}");
        /// How fresh a cached identity has to be.
        identity_cache: IdentityCache = Toml("{}");
        /// Access tokens and the keys that sign them.
        token: Token = Toml("{}");
        /// The ways in, each by its name. Without one in the file there are two, `admin` and `customer`, with the defaults below; with one,
        /// there are those of the file alone.
        guards: BTreeMap<GuardName, Guard> = Toml("{ admin = {}, customer = {} }");
        /// The kinds of account, each by its name. `admin` (table `admins`) and `customer` (table `customers`) need no section: they are there where a guard
        /// names them.
        models: BTreeMap<ModelName, Model> = Toml("{}");
        /// Where accounts are loaded from, each by its name. `database` is there without a section.
        providers: BTreeMap<Name, Provider> = Toml("{}");
        /// How mails leave.
        mail: Mail = Toml("{}");
        /// The secrets that keys are derived from.
        secrets: Secrets = Toml("{}");
        /// Identity providers (OpenID Connect), each by the name that a guard's `sign_in` has for it.
        idp: BTreeMap<Name, Idp> = Toml("{}");
        /// Who may call introspection and revocation, each by its name.
        clients: BTreeMap<Name, Client> = Toml("{}");
        /// How a request says which tenant it asks about.
        tenancy: Tenancy = Toml("{}");
        /// The casbin policy.
        policy: Policy = Toml("{}");
        /// The rules of the gateway, in any order: of those that match a request, the one with the most specific path decides. What no route matches is refused.
        routes: Vec<Route> [Kind::Array(Route::KEYS)] = Toml("[]");
        /// What is logged, and how.
        log: Log = Toml("{}");
        /// Traces and metrics by OTLP.
        otel: Otel = Toml("{}");
        /// Which pages of other origins may call (Fetch standard).
        cors: Cors = Toml("{}");
        /// What a client may ask of the process.
        limits: Limits = Toml("{}");
        /// Messages of answers in a language (`en`, `tr`), in place of the built-in ones, each by its code: `TOKEN_MISSING = "Please sign in."`. Plain text, without places
        /// that would be filled. The codes never change.
        messages: BTreeMap<Language, BTreeMap<MessageCode, Message>> = Toml("{}");
    }
}
