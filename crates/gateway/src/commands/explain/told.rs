//! An explanation, for people from top to bottom and for machines.

use std::fmt::Write;

use bekci::Refusal;
use bekci_core::{GuardName, Outcome, Principal, TenantName, Verdict};
use bekci_token::Inspection;
use serde_json::{Value, json};

use crate::{assemble, config::Config, routes::Route};

use super::{
    super::{answer::listed, desk::moment},
    Question,
    asked::{Asked, held},
    ports::Seen,
    routes::Considered,
};

/// What was presented.
#[derive(Debug)]
pub(super) enum Credential {
    None,
    Token {
        inspection: Box<Inspection>,
        by_cookie: bool,
    },
    Principal {
        guard: GuardName,
    },
}

/// A decision with all that it was made of.
#[derive(Debug)]
pub(super) struct Decision {
    method: String,
    host: String,
    pub(super) path: String,
    pub(super) tenant: Option<TenantName>,
    pub(super) own_call: Option<String>,
    pub(super) routes: Vec<Considered>,
    pub(super) route: Option<String>,
    pub(super) upstream: bool,
    pub(super) guards: Vec<GuardName>,
    pub(super) credential: Credential,
    pub(super) principal: Option<Value>,
    pub(super) asked: Vec<Asked>,
    pub(super) policy: Option<Verdict>,
    pub(super) omitted: Vec<Omitted>,
    pub(super) status: u16,
    pub(super) refusal: Option<Refusal>,
    /// Whether the gate let it in, whatever becomes of it behind.
    pub(super) is_admitted: bool,
}

/// What of an identity does not fit into the headers that tell it.
#[derive(Debug)]
pub(super) struct Omitted {
    /// Who is not told it.
    to: &'static str,
    /// The setting that bounds the headers.
    setting: &'static str,
    bytes: u32,
    what: Vec<&'static str>,
}

/// What the upstream and those who ask the decision endpoints are not told of a principal that is let in.
pub(super) fn omitted(config: &Config, principal: &Principal, route: &Route) -> Vec<Omitted> {
    let limits = &config.limits;
    let upstream = route.upstream.is_some();
    let bounds = [
        (
            "the upstream",
            "limits.identity_header_bytes",
            limits.identity_header_bytes,
            upstream,
        ),
        (
            "the decision endpoints",
            "limits.decision_header_bytes",
            limits.decision_header_bytes,
            true,
        ),
    ];
    let told = bounds.into_iter().filter(|(.., is_told)| *is_told);
    let omitted = told.map(|(to, setting, bytes, _)| Omitted {
        to,
        setting,
        bytes,
        what: assemble::identity_headers(config, bytes).told(principal).omitted,
    });
    omitted.filter(|omitted| !omitted.what.is_empty()).collect()
}

/// Who was read, as of now.
pub(super) fn principal(seen: &Seen, tenant: Option<&TenantName>) -> Value {
    let identity = &seen.view.identity;
    let held = held(seen, tenant);
    let ban = identity.ban.as_ref();
    json!({
        "key": identity.key,
        "exists": identity.exists,
        "guard": seen.guard,
        "status": identity.status.as_deref(),
        "banned": identity.banned,
        "banReason": ban.and_then(|ban| ban.reason.as_deref()),
        "banUntil": ban.and_then(|ban| ban.until).and_then(moment),
        "roles": held.role_names(),
        "permissions": held.permission_names(),
        "version": seen.view.version.0,
        "source": seen.view.source.as_str(),
    })
}

impl Decision {
    pub(super) fn new(question: &Question, host: &str) -> Self {
        Self {
            method: question.method.to_string(),
            host: host.to_owned(),
            path: question.url.path().to_owned(),
            tenant: question.tenant.clone(),
            own_call: None,
            routes: Vec::new(),
            route: None,
            upstream: false,
            guards: Vec::new(),
            credential: Credential::None,
            principal: None,
            asked: Vec::new(),
            policy: None,
            omitted: Vec::new(),
            status: 200,
            refusal: None,
            is_admitted: false,
        }
    }

    /// The label of the metric.
    fn outcome(&self) -> &'static str {
        let code = self.refusal.as_ref().map(Refusal::code);
        code.map_or(Outcome::Allowed, Outcome::refused_by).as_str()
    }

    pub(super) fn json(&self) -> Value {
        let routes = self.routes.iter();
        let routes: Vec<Value> = routes
            .map(|route| json!({"route": route.id, "taken": route.taken, "why": route.why}))
            .collect();
        let asked = self.asked.iter();
        let asked: Vec<Value> = asked
            .map(|asked| json!({"what": asked.what, "met": asked.met, "because": asked.because}))
            .collect();
        let policy = self.policy.as_ref().map(|verdict| match verdict {
            Verdict::Allow { reason } => json!({"allowed": true, "reason": &**reason}),
            Verdict::Deny { reason } => json!({"allowed": false, "reason": &**reason}),
        });
        let token = match &self.credential {
            Credential::Token { inspection, .. } => serde_json::to_value(inspection).ok(),
            Credential::None | Credential::Principal { .. } => None,
        };
        json!({
            "request": {"method": self.method, "host": self.host, "path": self.path, "tenant": self.tenant},
            "ownCall": self.own_call,
            "route": self.route,
            "routes": routes,
            "guards": self.guards,
            "token": token,
            "principal": self.principal,
            "asked": asked,
            "policy": policy,
            "omitted": self.omitted.iter().map(|omitted| json!({
                "setting": omitted.setting, "bytes": omitted.bytes, "what": omitted.what,
            })).collect::<Vec<_>>(),
            "allowed": self.refusal.is_none(),
            "admitted": self.is_admitted,
            "outcome": self.outcome(),
            "status": self.status,
            "code": self.refusal.as_ref().map(|refusal| refusal.code().as_str()),
            "reason": self.refusal.as_ref().map(Refusal::reason),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}{}", self.method, self.host, self.path);
        if let Some(tenant) = &self.tenant {
            let _infallible = write!(text, ", tenant {tenant}");
        }
        text.push('\n');
        if let Some(own) = &self.own_call {
            let _infallible = write!(
                text,
                "\nThe gateway answers this itself ({own}); routes are not looked at.\nWhat follows would hold without that.\n"
            );
        }
        self.tell_routes(&mut text);
        if self.route.is_some() {
            self.tell_credential(&mut text);
            self.tell_principal(&mut text);
            self.tell_asked(&mut text);
        }
        self.conclude(&mut text);
        text
    }

    fn tell_routes(&self, text: &mut String) {
        text.push_str("\nroute\n");
        let width = self.routes.iter().map(|route| route.id.len()).max().unwrap_or_default();
        for route in &self.routes {
            let mark = if route.taken { "taken" } else { "not  " };
            let _infallible = writeln!(text, "  {mark}  {:<width$}  {}", route.id, route.why);
        }
        if self.routes.is_empty() {
            text.push_str("  there is none in the configuration\n");
        }
    }

    fn tell_credential(&self, text: &mut String) {
        text.push_str("\ncredential\n");
        let _infallible = match &self.credential {
            Credential::None => writeln!(text, "  none"),
            Credential::Principal { guard } => {
                writeln!(text, "  as if signed in just now through guard {guard}")
            }
            Credential::Token { inspection, by_cookie } => {
                let guard = listed(&inspection.guard);
                let way = if *by_cookie { "cookie" } else { "header" };
                let verdict = if inspection.accepted {
                    "good by itself"
                } else {
                    "REFUSED"
                };
                let mut written = writeln!(text, "  a token of guard {guard}, by {way}: {verdict}");
                for line in inspection.checks.iter().filter(|line| !line.passed) {
                    let reason = line.reason.as_deref().unwrap_or_default();
                    written = writeln!(text, "    {}: {reason}", line.check);
                }
                written
            }
        };
    }

    fn tell_principal(&self, text: &mut String) {
        let Some(principal) = &self.principal else { return };
        let field = |name: &str| match principal.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => listed(items.iter().filter_map(Value::as_str)),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        text.push_str("\nprincipal\n");
        if principal.get("exists") == Some(&Value::Bool(false)) {
            let _infallible = writeln!(text, "  {}, which does not exist", field("key"));
            return;
        }
        let _infallible = write!(
            text,
            "  {}, status {}, version {} from the {}\n  in guard {}: roles {}; may {}\n",
            field("key"),
            field("status"),
            field("version"),
            field("source"),
            field("guard"),
            field("roles"),
            field("permissions"),
        );
        if principal.get("banned") == Some(&Value::Bool(true)) {
            let _infallible = writeln!(text, "  banned until {}: {}", field("banUntil"), field("banReason"));
        }
    }

    fn tell_asked(&self, text: &mut String) {
        text.push_str("\nasked\n");
        for asked in &self.asked {
            let mark = match asked.met {
                Some(true) => "yes",
                Some(false) => "NO ",
                None => "?  ",
            };
            let _infallible = writeln!(text, "  {mark}  {}", asked.what);
            for because in &asked.because {
                let _infallible = writeln!(text, "         {because}");
            }
        }
        let _infallible = match &self.policy {
            Some(Verdict::Allow { reason }) => writeln!(text, "  yes  policy\n         {reason}"),
            Some(Verdict::Deny { reason }) => writeln!(text, "  NO   policy\n         {reason}"),
            None => Ok(()),
        };
    }

    fn conclude(&self, text: &mut String) {
        let route = self.route.as_deref().unwrap_or_default();
        let code = self.refusal.as_ref().map_or("", |refusal| refusal.code().as_str());
        let _infallible = match &self.refusal {
            Some(refusal) if self.is_admitted => write!(
                text,
                "\nADMITTED, and answered with {} {code}: {}\n",
                self.status,
                refusal.reason()
            ),
            Some(refusal) => write!(text, "\nREFUSED  {} {code}: {}\n", self.status, refusal.reason()),
            None if self.upstream => write!(text, "\nALLOWED  and forwarded to the upstream of route {route}\n"),
            None => write!(
                text,
                "\nALLOWED  by the decision endpoints; route {route} has no upstream\n"
            ),
        };
        for omitted in &self.omitted {
            let _infallible = writeln!(
                text,
                "not all {} fit into the headers of {}: {} = {} bytes",
                listed(omitted.what.iter().copied()),
                omitted.to,
                omitted.setting,
                omitted.bytes
            );
        }
        let _infallible = writeln!(
            text,
            "in the metric: route=\"{route}\" outcome=\"{}\" code=\"{code}\"; the log has the same code and reason",
            self.outcome()
        );
    }
}
