//! Every guard's token at every route.

use std::{panic::AssertUnwindSafe, time::Duration};

use actix_web::{HttpRequest, http::Method};
use bekci_core::{Entropy as _, GuardName, PrincipalKey, TokenId};
use bekci_store::{AccountChange, AccountQuery};
use bekci_token::OsEntropy;
use futures_util::FutureExt as _;

use super::{
    Caller, TestApp, done, fail,
    routes::{self, covers},
};

/// How long a handler may take; one that waits for something that a test does not send would hang it.
const LONGEST: Duration = Duration::from_secs(60);

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What a request came to.
struct Outcome {
    status: u16,
    code: String,
    unadmitted: Option<String>,
}

/// A route, and a path that it answers.
struct Route {
    pattern: String,
    path: String,
}

impl TestApp {
    /// Tries every route of the application (`GET`, `POST`, `PUT`, `PATCH`, `DELETE`) without a token and with a token of every guard. What must hold:
    ///
    /// 1. Without a token every route answers 401, unless it was said to be [`public`](Self::public). Bekci's own calls under `/auth` need no word.
    /// 2. A route lets in the tokens of one guard, unless it was said to be [`shared`](Self::shared); and of the one it was said to be for ([`only`](Self::only)).
    /// 3. No handler asks who acts where nothing admitted the request.
    ///
    /// The tokens are real, of accounts that are made for it, or found where the table wants more than the model tells. Handlers that let somebody in are run, with an
    /// empty body and by somebody without rights: on a database that is made for the test. A route that nobody guards and that answers a bare 404 or any 405 is taken
    /// for one that is not there; [`example`](Self::example) names a path that it does answer. Default services are no routes.
    ///
    /// # Panics
    /// Where anything does not hold, with every finding: guard and route.
    pub async fn assert_guard_isolation(&self) {
        let callers = self.callers().await;
        let mut findings = Vec::new();
        for route in self.routes().await {
            for method in METHODS {
                findings.extend(self.try_route(&route, &method, &callers).await);
            }
        }
        if !findings.is_empty() {
            let count = findings.len();
            fail(format_args!(
                "guards are not isolated; {count} found:\n{}",
                findings.join("\n")
            ));
        }
    }

    async fn routes(&self) -> Vec<Route> {
        let reply = self.get("/").reply().await;
        let Some(request) = reply.request else {
            fail("GET / fails before there is an answer, so that the routes cannot be read");
        };
        let map = request.resource_map();
        let patterns = routes::patterns(&format!("{map:#?}")).unwrap_or_default();
        if patterns.is_empty() {
            fail("no route was found: there is none, or this version of Actix prints them in another way");
        }
        let routes = patterns.into_iter();
        routes.map(|pattern| self.with_example(&request, pattern)).collect()
    }

    fn with_example(&self, request: &HttpRequest, pattern: String) -> Route {
        let said = self.expected.examples.iter().find(|(known, _)| *known == pattern);
        let guessed = || routes::examples(&pattern).find(|path| request.resource_map().has_resource(path));
        match said.map(|(_, path)| path.clone()).or_else(guessed) {
            Some(path) => Route { pattern, path },
            None => fail(format_args!(
                "no path of {pattern} can be guessed: say one with .example({pattern:?}, ..)"
            )),
        }
    }

    /// Somebody of each guard.
    async fn callers(&self) -> Vec<(GuardName, Caller)> {
        let mut callers = Vec::new();
        for guard in self.bekci.watch().guards() {
            let key = self.account(guard.model.as_str()).await;
            let caller = Caller::new(self, key).through_guard(guard.name.as_str());
            callers.push((guard.name.clone(), caller));
        }
        callers.sort_by(|one, other| one.0.cmp(&other.0));
        callers
    }

    /// A new account of a model, or, where its table wants more than the model tells, one that is there.
    async fn account(&self, model: &str) -> PrincipalKey {
        let models = self.bekci.store().models();
        let Some(spec) = models.iter().find(|spec| spec.name.as_str() == model) else {
            fail(format_args!("there is no model {model}"));
        };
        let mut name = TokenId([0; 16]);
        done(OsEntropy.fill(&mut name.0), "no random bytes");
        let columns = spec.identifiers.iter();
        let columns = columns.map(|(column, _)| (column.clone(), format!("isolation-{name}@example.invalid").into()));
        let account = AccountChange {
            columns: columns.collect(),
            verified: spec.verified_column.is_some().then_some(true),
            ..AccountChange::default()
        };
        let made = self.bekci.store().directory().add(&spec.name, &account).await;
        if let Ok((key, _)) = made {
            return key;
        }
        let query = AccountQuery {
            limit: 20,
            ..AccountQuery::default()
        };
        let found = self.bekci.store().directory().list(&spec.name, &query).await;
        let mut found = done(found, "accounts cannot be listed").accounts.into_iter();
        match found.find(|account| !account.banned && !account.inactive) {
            Some(account) => account.key,
            None => fail(format_args!(
                "model {model} has no account to try with, and none can be made: make one before"
            )),
        }
    }

    async fn try_route(&self, route: &Route, method: &Method, callers: &[(GuardName, Caller)]) -> Vec<String> {
        let place = format!("{method} {}", route.pattern);
        let outcome = match self.try_once(route, method, None).await {
            Ok(outcome) => outcome,
            Err(why) => return vec![format!("{place}: {why} without a token")],
        };
        if let Some(why) = outcome.unadmitted {
            return vec![format!("{place}: {why}")];
        }
        let own = self.bekci.described().owner(&route.pattern).is_some();
        if outcome.status != 401 {
            let bare = matches!(outcome.code.as_str(), "" | "NOT_FOUND");
            let not_there = outcome.status == 405 || (outcome.status == 404 && bare);
            let public = own || covered(&self.expected.public, &route.pattern);
            if not_there || public {
                return Vec::new();
            }
            let names: Vec<&str> = callers.iter().map(|(guard, _)| guard.as_str()).collect();
            let status = outcome.status;
            return vec![format!(
                "{place}: no guard ({}) stands before it: without a token it answered {status}; wrap it in bekci.require::<..>(), or say .public({:?})",
                names.join(", "),
                route.pattern
            )];
        }
        self.try_guards(route, method, callers, own).await
    }

    async fn try_guards(
        &self,
        route: &Route,
        method: &Method,
        callers: &[(GuardName, Caller)],
        own: bool,
    ) -> Vec<String> {
        let place = format!("{method} {}", route.pattern);
        let (mut findings, mut let_in) = (Vec::new(), Vec::new());
        for (guard, caller) in callers {
            // The guard's own calls end sessions, and are for its own tokens by what they are.
            let is_its_own = own && self.is_call_of(guard, &route.pattern);
            if is_its_own {
                continue;
            }
            match self.try_once(route, method, Some(&caller.anew())).await {
                Err(why) => findings.push(format!("{place}: {why} with a token of guard {guard}")),
                Ok(Outcome {
                    unadmitted: Some(why), ..
                }) => findings.push(format!("{place}: guard {guard}: {why}")),
                Ok(outcome) if outcome.status != 401 => let_in.push(guard),
                Ok(_) => {}
            }
        }
        findings.extend(self.judge(&place, &route.pattern, &let_in, own));
        findings
    }

    fn judge(&self, place: &str, pattern: &str, let_in: &[&GuardName], own: bool) -> Vec<String> {
        let only = self.expected.only.iter().filter(|(said, _)| covers(said, pattern));
        if let Some((_, meant)) = only.max_by_key(|(said, _)| said.len()) {
            let strangers = let_in.iter().filter(|guard| **guard != meant);
            return strangers
                .map(|guard| format!("{place}: lets in tokens of guard {guard}, and is for guard {meant} alone"))
                .collect();
        }
        let names: Vec<&str> = let_in.iter().map(|guard| guard.as_str()).collect();
        if own && !names.is_empty() {
            return vec![format!(
                "{place}: lets in tokens of guard {}, another's",
                names.join(" and of guard ")
            )];
        }
        if names.len() > 1 && !covered(&self.expected.shared, pattern) {
            return vec![format!(
                "{place}: lets in tokens of guard {}; if that is meant, say .shared({pattern:?})",
                names.join(" and of guard ")
            )];
        }
        Vec::new()
    }

    fn is_call_of(&self, guard: &GuardName, pattern: &str) -> bool {
        self.bekci.described().owner(pattern) == Some(Some(guard))
    }

    async fn try_once(&self, route: &Route, method: &Method, caller: Option<&Caller>) -> Result<Outcome, &'static str> {
        let call = match caller {
            Some(caller) => caller.request(method.clone(), &route.path),
            None => self.request(method.clone(), &route.path),
        };
        let tried = AssertUnwindSafe(call.reply()).catch_unwind();
        let reply = match tokio::time::timeout(LONGEST, tried).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => return Err("it panicked"),
            Err(_) => return Err("it gave no answer within a minute"),
        };
        let (status, unadmitted) = (reply.status, reply.unadmitted());
        // The body of a success may have no end.
        let code = if status < 400 {
            String::new()
        } else {
            reply.read().await.code()
        };
        Ok(Outcome {
            status,
            code,
            unadmitted,
        })
    }
}

fn covered(said: &[String], pattern: &str) -> bool {
    said.iter().any(|said| covers(said, pattern))
}
