//! `bekci explain`: the decision about one request, made by the routes and the gate of `serve`, and what it was made of.
//!
//! Nothing is decided here. The gate is given ports that tell what passes through them: identities that note what was read and never that a token was used,
//! and, for `--principal`, a verifier that answers as if that principal had signed in just now.

mod asked;
mod ports;
mod routes;
mod told;

use std::sync::Arc;

use actix_web::http::{
    Method, Uri,
    header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue},
};
use bekci::{Asked, Clues, Reading, Refusal};
use bekci_core::{
    Admission, AskedTenant, AuthError, AuthGuard, BearerToken, Consistency, ErrorCode, Gate, GateParts, GuardChain,
    GuardName, HeaderCredential, PrincipalKey, RequestHead, RouteKind, RouteRule, TenantName, TokenVerifier,
};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::{
    ports::{AsPrincipal, Noted, Noting},
    told::{Credential, Decision},
};
use super::{
    Answer, Failure,
    desk::{Desk, at_desk},
    input,
};
use crate::{
    assemble,
    config::Config,
    proxy::examine,
    routes::{Host, Route, RouteMiss, Verb},
};

#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The method, as GET
    method: Method,
    /// The URL, or its path alone on the host of server.public_url
    url: Uri,
    /// Reads the access token from standard input
    #[arg(long, conflicts_with = "principal")]
    token_stdin: bool,
    /// As if this principal had signed in just now, as customer:42
    #[arg(long, value_name = "KEY")]
    principal: Option<PrincipalKey>,
    /// The guard that the principal signed in through; else the first of the route for its model
    #[arg(long, requires = "principal")]
    guard: Option<GuardName>,
    /// The tenant that is asked about; else what the URL or the token says, by tenancy.source
    #[arg(long)]
    tenant: Option<TenantName>,
}

/// What stands in for a token where a principal is named. It never leaves this process, and no key ring would take it.
const NO_TOKEN: &str = "principal";

pub(crate) async fn run(question: &Question, config: &Config) -> Result<Answer, Failure> {
    let token = question.token_stdin.then(input::secret).transpose()?;
    at_desk(config, async |desk| {
        let decision = explain(desk, question, token.as_ref()).await?;
        Ok(Answer::new(decision.text(), decision.json()).refused_if(decision.refusal.is_some()))
    })
    .await
}

/// What the gate says now to a token that is good by itself: `None` where it would be let in.
pub(crate) async fn as_of_now(desk: &Desk<'_>, guard: &GuardName, token: &str) -> Option<Refusal> {
    let guard = desk.bekci.watch().guard(guard.as_str())?;
    let token = HeaderCredential::Bearer(BearerToken::new(token.trim()).ok()?);
    // Its source is not what is asked about here.
    let mut guard = AuthGuard::clone(guard);
    guard.sources.header = true;
    let rule = RouteRule {
        consistency: Consistency::Direct,
        ..RouteRule::guarded("token inspect", GuardChain::new([Arc::new(guard)]))
    };
    let parts = desk.bekci.gate().parts().clone();
    let gate = Gate::new(GateParts {
        identities: Arc::new(Noting::new(parts.identities, None, Arc::default())),
        verifier: parts.verifier,
        clock: parts.clock,
    });
    let head = RequestHead {
        method: "GET",
        path: "/",
        tenant: AskedTenant::Claimed,
        authorization: token,
        cookies: &[],
        fetch_site: None,
        csrf_token: None,
        secured: None,
    };
    gate.admit(&head, &rule).await.err().map(Refusal::from)
}

/// The host and port that the request names.
fn host_of(question: &Question, config: &Config) -> Result<String, Failure> {
    let named = question.url.authority().map(ToString::to_string);
    let own = config.server.public_url.host().to_owned();
    let host = named.unwrap_or(own);
    Host::parse(&host).map_err(Failure::invalid)?;
    Ok(host)
}

async fn explain(desk: &Desk<'_>, question: &Question, token: Option<&SecretString>) -> Result<Decision, Failure> {
    let host_text = host_of(question, desk.config)?;
    let host = Host::parse(&host_text).map_err(Failure::invalid)?;
    let guards: Vec<Arc<AuthGuard>> = desk.bekci.watch().guards().cloned().collect();
    let (table, _) = assemble::routes(desk.config, &guards).map_err(Failure::of)?;
    let found = Verb::of(&question.method)
        .map_err(RouteMiss::NoVerb)
        .and_then(|verb| Ok((verb, table.find(verb, &host, question.url.path())?)));
    let mut decision = Decision::new(question, &host_text);
    decision.own_call = routes::own_call(desk.config, &guards, question.url.path());
    let taken = found.as_ref().ok().map(|(_, found)| Arc::clone(found.route));
    let specs = assemble::route_specs(desk.config, &guards).map_err(Failure::of)?;
    decision.routes = routes::considered(&specs, taken.as_deref(), &question.method, &host, question.url.path());
    let (verb, found) = match found {
        Ok(found) => found,
        Err(miss) => {
            decision.status = miss.status();
            decision.refusal = Some(Refusal::new(miss.code(), miss.to_string()));
            return Ok(decision);
        }
    };
    let route = Arc::clone(found.route);
    decision.path = found.path.to_string();
    let presented = presented(desk, question, token, &route.rule)?;
    let noted = Arc::new(Noted::default());
    let gate = gate(desk, question, &presented, &noted)?;
    let reading = Reading::new(verb.as_str(), &found.path, &presented.headers).map_err(AuthError::from);
    let admitted = match &reading {
        Ok(reading) => match tenant(desk, question, &host, reading, &presented.headers, &route.rule) {
            Ok(tenant) => gate.admit(&reading.head(tenant.tenant()), &route.rule).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error.clone()),
    };
    tell(&mut decision, desk, &route, &admitted, &noted);
    if let Ok(Admission {
        principal: Some(principal),
        ..
    }) = &admitted
    {
        decision.omitted = told::omitted(desk.config, principal, &route);
    }
    decision.is_admitted = admitted.is_ok();
    if let (Ok(_), None, Some(upstream)) = (&admitted, &decision.own_call, &route.upstream) {
        decision.refusal = unreachable(&examine(upstream).await);
        decision.status = decision.refusal.as_ref().map_or(200, |refusal| refusal.code().status());
    }
    decision.credential = presented.told(desk, token);
    Ok(decision)
}

/// What a request is answered with that is let in while none of its upstream's servers can be reached.
fn unreachable(servers: &[(String, Option<String>)]) -> Option<Refusal> {
    let problems: Option<Vec<String>> = servers
        .iter()
        .map(|(server, problem)| problem.as_ref().map(|problem| format!("{server}: {problem}")))
        .collect();
    let problems = problems.filter(|problems| !problems.is_empty())?;
    let told = format!(
        "no server of the upstream can be reached from here: {}",
        problems.join("; ")
    );
    Some(Refusal::new(ErrorCode::UpstreamUnavailable, told))
}

/// Which tenant the request asks about: the one that is named, else as `serve` reads it. Headers that a proxy would set are not there.
fn tenant(
    desk: &Desk<'_>,
    question: &Question,
    host: &Host<'_>,
    reading: &Reading<'_>,
    headers: &HeaderMap,
    rule: &RouteRule,
) -> Result<Asked, AuthError> {
    match &question.tenant {
        _ if rule.kind == RouteKind::Public => Ok(Asked::None),
        Some(tenant) => Ok(Asked::Named(tenant.clone())),
        None => desk.bekci.watch().tenancy().asked(&Clues {
            host: Some(host),
            path: Some(reading.path()),
            headers,
            peer: None,
        }),
    }
}

/// What the request presents, and for which guard.
struct Presented {
    headers: HeaderMap,
    guard: Option<Arc<AuthGuard>>,
    by_cookie: bool,
}

impl Presented {
    fn told(&self, desk: &Desk<'_>, token: Option<&SecretString>) -> Credential {
        let guard = self.guard.as_ref().map(|guard| guard.name.clone());
        match (token, &guard) {
            (Some(token), _) => Credential::Token {
                inspection: Box::new(desk.bekci.keys().inspect(token.expose_secret())),
                by_cookie: self.by_cookie,
            },
            (None, Some(guard)) => Credential::Principal { guard: guard.clone() },
            (None, None) => Credential::None,
        }
    }
}

/// The headers of the request. A guard that takes tokens from cookies alone gets it as one, as a page of our own sends it.
fn presented(
    desk: &Desk<'_>,
    question: &Question,
    token: Option<&SecretString>,
    rule: &RouteRule,
) -> Result<Presented, Failure> {
    let text = token.map(|token| token.expose_secret().trim());
    let text = text.map(|text| text.strip_prefix("Bearer ").unwrap_or(text));
    let guard = match (&question.principal, text) {
        (Some(key), _) => Some(guard_of(desk, question, key, rule)?),
        (None, Some(text)) => guard_of_token(desk, text),
        (None, None) => None,
    };
    let mut headers = HeaderMap::new();
    let credential = text.or(question.principal.as_ref().map(|_| NO_TOKEN));
    let by_cookie = guard
        .as_ref()
        .is_some_and(|guard| !guard.sources.header && guard.sources.cookie);
    let value =
        |text: String| HeaderValue::from_str(&text).map_err(|_| Failure::invalid("a token has no such characters"));
    match (credential, guard.as_ref().filter(|_| by_cookie)) {
        (None, _) => {}
        (Some(text), Some(guard)) => {
            headers.insert(COOKIE, value(format!("{}={text}", guard.cookies.access))?);
            let same = HeaderValue::from_static("same-origin");
            headers.insert(HeaderName::from_static("sec-fetch-site"), same);
        }
        (Some(text), None) => headers
            .insert(AUTHORIZATION, value(format!("Bearer {text}"))?)
            .for_each(drop),
    }
    Ok(Presented {
        headers,
        guard,
        by_cookie,
    })
}

fn guard_of(
    desk: &Desk<'_>,
    question: &Question,
    key: &PrincipalKey,
    rule: &RouteRule,
) -> Result<Arc<AuthGuard>, Failure> {
    desk.key(key)?;
    let of_route = rule.guards.iter().find(|guard| guard.model.as_str() == key.model());
    if let (None, Some(guard)) = (&question.guard, of_route) {
        return Ok(Arc::clone(guard));
    }
    let name = desk.guard_for(question.guard.as_ref(), key)?;
    let guard = desk.bekci.watch().guard(name.as_str()).cloned();
    guard.ok_or_else(|| Failure::not_found(format!("there is no guard {name}")))
}

fn guard_of_token(desk: &Desk<'_>, text: &str) -> Option<Arc<AuthGuard>> {
    let token = BearerToken::new(text).ok()?;
    let name = desk.bekci.keys().guard_of(token).ok()?;
    desk.bekci.watch().guard(name.as_str()).cloned()
}

/// The gate of `serve` over ports that note what passes.
fn gate(desk: &Desk<'_>, question: &Question, presented: &Presented, noted: &Arc<Noted>) -> Result<Gate, Failure> {
    let parts = desk.bekci.gate().parts().clone();
    let as_principal = match (&question.principal, &presented.guard) {
        (Some(key), Some(guard)) => Some(AsPrincipal::new(&desk.key(key)?, guard, desk.now())),
        _ => None,
    };
    let session = as_principal.as_ref().map(AsPrincipal::session);
    Ok(Gate::new(GateParts {
        verifier: match as_principal {
            Some(principal) => Arc::new(principal),
            None => parts.verifier,
        },
        identities: Arc::new(Noting::new(parts.identities, session, Arc::clone(noted))),
        clock: parts.clock,
    }))
}

fn tell(
    decision: &mut Decision,
    desk: &Desk<'_>,
    route: &Route,
    admitted: &Result<Admission, AuthError>,
    noted: &Noted,
) {
    let seen = noted.take();
    if let Some(seen) = &seen {
        decision.tenant.clone_from(&seen.tenant);
    }
    decision.route = Some(route.id.to_string());
    decision.upstream = route.upstream.is_some();
    decision.guards = route.rule.guards.iter().map(|guard| guard.name.clone()).collect();
    decision.asked = asked::of(&route.rule, seen.as_ref(), decision.tenant.as_ref(), desk.now());
    decision.principal = seen
        .as_ref()
        .map(|seen| told::principal(seen, decision.tenant.as_ref()));
    decision.policy = seen.and_then(|seen| seen.verdict);
    if let Err(error) = admitted {
        let refusal = Refusal::from(error.clone());
        decision.status = refusal.code().status();
        decision.refusal = Some(refusal);
    }
}
