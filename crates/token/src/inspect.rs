//! Why a token is accepted or refused, told for people.
//!
//! The checks are the very functions that verifying runs; here all of them are asked, so that one look shows all that is wrong.

mod foreign;
mod report;

use bekci_core::{BearerToken, TokenFault, TokenKind};
use serde_json::Value;

pub use foreign::{JwksError, inspect_with_jwks};
pub use report::{CheckLine, Inspection};

use crate::{
    claims::{self, CHECKS, Facts, MAX_DEPTH, Moment},
    compact::{self, Compact},
    header,
    json::{self, Members},
    ring::RingGuard,
    store::LoadedKey,
};

/// A token, read as far as it can be.
pub(crate) struct Subject<'a> {
    compact: Option<Compact<'a>>,
    header: Option<Members>,
    report: Inspection,
}

impl<'a> Subject<'a> {
    pub(crate) fn read(token: &'a str) -> Self {
        let mut report = Inspection::default();
        let split = BearerToken::new(token).and_then(|token| compact::split(token.expose()));
        let compact = report.keep("form", split);
        let mut header = None;
        if let Some(compact) = &compact {
            report.header = serde_json::from_slice(&compact.header).ok();
            report.claims = Some(&compact.payload)
                .filter(|payload| json::nests_within(payload, MAX_DEPTH))
                .and_then(|payload| serde_json::from_slice(payload).ok());
            header = report.keep("header", header::parse(&compact.header));
        }
        if let Some(header) = &header {
            report.keep("header parameters", header::refused(header));
            report.kid = report.keep("kid", header::kid(header)).map(ToOwned::to_owned);
            report.typ = header::kind_of(header).map(TokenKind::typ);
        }
        Self {
            compact,
            header,
            report,
        }
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.report.kid.as_deref()
    }

    /// Judges by the key that the `kid` names, and that key's guard.
    pub(crate) fn judge_by_guard(
        mut self,
        key: Option<(&RingGuard, &LoadedKey)>,
        issuer: &str,
        moment: Moment,
    ) -> Inspection {
        let (Some(compact), Some(header)) = (self.compact.take(), self.header.take()) else {
            return self.report.conclude();
        };
        let report = &mut self.report;
        let Some((guard, key)) = report.keep("key", key.ok_or(TokenFault::UnknownKey)) else {
            return self.report.conclude();
        };
        report.guard = Some(guard.name.clone());
        let pinned = key.key.algorithm();
        report.ask("alg", header::algorithm(&header, pinned), || {
            format!("it must be {pinned}")
        });
        let kind = header::kind_of(&header).unwrap_or(TokenKind::Access);
        report.ask("typ", header::typ(&header, kind), || {
            format!("it must be {} or another kind's", kind.typ())
        });
        let fits = key.key.verifies(compact.message.as_bytes(), compact.signature);
        report.keep("signature", if fits { Ok(()) } else { Err(TokenFault::Signature) });
        let Some(claims) = report.keep("claims", parse_claims(&compact.payload)) else {
            return self.report.conclude();
        };
        let audience = audience(&guard.audience, kind, report.claims.as_ref());
        let facts = Facts {
            claims: &claims,
            issuer,
            guard,
            audience: &audience,
            kind,
            key_created: key.created.unix_timestamp(),
            moment,
        };
        for (name, check) in CHECKS {
            report.ask(name, check(&facts), || expectation(name, &facts));
        }
        self.report.conclude()
    }
}

fn parse_claims(payload: &[u8]) -> Result<Members, TokenFault> {
    if json::nests_within(payload, MAX_DEPTH) {
        claims::parse(payload)
    } else {
        Err(TokenFault::Malformed("the claims nest too deep"))
    }
}

/// What `aud` must be: the guard's, but for an internal token the one it has, since only its upstream can judge that.
fn audience(of_guard: &str, kind: TokenKind, claims: Option<&Value>) -> String {
    let own = match kind {
        TokenKind::Access | TokenKind::Temporary => None,
        TokenKind::Internal => claims.and_then(|claims| claims.get("aud")?.as_str()),
    };
    own.filter(|audience| !audience.is_empty())
        .unwrap_or(of_guard)
        .to_owned()
}

/// What a claim would have to be.
fn expectation(name: &str, facts: &Facts<'_>) -> String {
    let (now, leeway) = (facts.moment.now, facts.moment.leeway);
    match name {
        "iss" => format!("it must be the string {:?}", facts.issuer),
        "aud" => format!("it must be the string {:?}", facts.audience),
        "guard" => format!("it must be {:?}", facts.guard.name.as_str()),
        "model" => format!("it must be {:?}", facts.guard.model.as_str()),
        "sub" => format!(
            "it must be \"{}:<id>\", with a canonical {:?} id",
            facts.guard.model, facts.guard.id_kind
        ),
        "tenant" => "where it is there it must be a tenant's name".to_owned(),
        "jti" | "sid" => "it must be 32 lower-case hex digits".to_owned(),
        "gen" => "it must be a whole number within 32 bits".to_owned(),
        "ver" => "it must be a whole number within 64 bits".to_owned(),
        "cnf" => "tokens bound to a key of their holder are not taken".to_owned(),
        "iat" => format!(
            "it must be whole seconds from {} (the key's making) to {now} (now), give or take {leeway}",
            facts.key_created
        ),
        "lifetime" => format!(
            "from iat to exp it must be 1 to {} s",
            facts.guard.lifetimes.of(facts.kind)
        ),
        "nbf" => format!("where it is there it must be whole seconds up to {now}, give or take {leeway}"),
        _ => format!("it must be after {now} (now), give or take {leeway}"),
    }
}
