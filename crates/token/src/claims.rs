//! What the claims must say, once the signature is known to be good.
//!
//! Every check is one function, listed in [`CHECKS`] in the order in which they are asked; verifying stops at the first that fails, explaining runs them all.
//! Rules that they share:
//!
//! 1. A claim that must be there and is not is a fault; so is one of another type. No type is taken for another.
//! 2. Times are whole seconds. `exp` is judged last: "expired" is said only of a token that is good in every other way.
//! 3. Nothing here is a right. Claims of the developer's own are not looked at.

use bekci_core::{
    GuardName, IdentityVersion, PrincipalId, PrincipalKey, SessionId, TenantName, TokenFault, TokenId, TokenKind,
    VerifiedClaims,
};

use crate::{
    json::{self, Json, Members},
    ring::RingGuard,
};

/// How deep claims may nest, the developer's own among them.
pub(crate) const MAX_DEPTH: usize = 16;

/// Names that a claim of the developer's own may not have.
pub(crate) const RESERVED: [&str; 15] = [
    "iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "gen", "ver", "guard", "model", "tenant", "cnf", "typ",
];

/// Reads a payload as JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Members, TokenFault> {
    json::object(bytes, MAX_DEPTH).ok_or(TokenFault::Malformed(
        "the claims are not a JSON object with each name once",
    ))
}

/// When and by which leeway claims are judged. Seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: i64,
    pub(crate) leeway: i64,
}

impl Moment {
    /// Expiry is exclusive (RFC 7519 section 4.1.4).
    pub(crate) fn is_before_end(self, expires_at: i64) -> bool {
        expires_at > self.now.saturating_sub(self.leeway)
    }

    pub(crate) fn has_come(self, time: i64) -> bool {
        time <= self.now.saturating_add(self.leeway)
    }
}

/// The claims, with what they are measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) claims: &'a Members,
    pub(crate) issuer: &'a str,
    pub(crate) guard: &'a RingGuard,
    pub(crate) audience: &'a str,
    pub(crate) kind: TokenKind,
    /// When the key was made.
    pub(crate) key_created: i64,
    pub(crate) moment: Moment,
}

type Check = fn(&Facts<'_>) -> Result<(), TokenFault>;

/// All checks, in order, by the name of the claim.
pub(crate) const CHECKS: [(&str, Check); 15] = [
    ("iss", |facts| facts.equals("iss", facts.issuer)),
    ("aud", |facts| facts.equals("aud", facts.audience)),
    ("guard", |facts| facts.equals("guard", facts.guard.name.as_str())),
    ("model", |facts| facts.equals("model", facts.guard.model.as_str())),
    ("sub", |facts| facts.subject().map(drop)),
    ("tenant", |facts| facts.tenant().map(drop)),
    ("jti", |facts| facts.id("jti").map(drop)),
    ("sid", |facts| facts.id("sid").map(drop)),
    ("gen", |facts| facts.generation().map(drop)),
    ("ver", |facts| facts.version().map(drop)),
    ("cnf", |facts| facts.unbound()),
    ("iat", |facts| facts.issued_in_time()),
    ("lifetime", |facts| facts.lifetime()),
    ("nbf", |facts| facts.not_before().map(drop)),
    ("exp", |facts| facts.not_expired()),
];

impl Facts<'_> {
    /// Asks everything, and gives what the token says.
    pub(crate) fn judge(&self) -> Result<VerifiedClaims, TokenFault> {
        for (_, check) in CHECKS {
            check(self)?;
        }
        Ok(VerifiedClaims {
            kind: self.kind,
            guard: self.guard_name(),
            key: self.subject()?,
            session: self.id("sid")?,
            generation: self.generation()?,
            version: self.version()?,
            tenant: self.tenant()?,
            id: self.id("jti")?,
            issued_at: self.seconds("iat")?,
            expires_at: self.seconds("exp")?,
        })
    }

    fn guard_name(&self) -> GuardName {
        self.guard.name.clone()
    }

    fn text(&self, name: &'static str) -> Result<&str, TokenFault> {
        match self.claims.get(name) {
            Some(Json::Text(text)) => Ok(text),
            _ => Err(TokenFault::Claim(name)),
        }
    }

    fn integer<T: TryFrom<i128>>(&self, name: &'static str) -> Result<T, TokenFault> {
        match self.claims.get(name) {
            Some(Json::Integer(value)) => T::try_from(*value).map_err(|_| TokenFault::Claim(name)),
            _ => Err(TokenFault::Claim(name)),
        }
    }

    fn seconds(&self, name: &'static str) -> Result<i64, TokenFault> {
        self.integer(name)
    }

    /// One string, and that one: an array is refused even where it holds nothing else.
    fn equals(&self, name: &'static str, expected: &str) -> Result<(), TokenFault> {
        if self.text(name)? == expected {
            Ok(())
        } else {
            Err(TokenFault::Claim(name))
        }
    }

    /// The principal's key, in its one spelling, of the guard's model.
    fn subject(&self) -> Result<PrincipalKey, TokenFault> {
        let wrong = TokenFault::Claim("sub");
        let (model, id) = self.text("sub")?.split_once(':').ok_or(wrong)?;
        if model != self.guard.model.as_str() {
            return Err(wrong);
        }
        let id = PrincipalId::new(self.guard.id_kind, id).map_err(|_| wrong)?;
        Ok(PrincipalKey::new(&self.guard.model, &id))
    }

    fn tenant(&self) -> Result<Option<TenantName>, TokenFault> {
        if !self.claims.contains_key("tenant") {
            return Ok(None);
        }
        let tenant = TenantName::new(self.text("tenant")?);
        tenant.map(Some).map_err(|_| TokenFault::Claim("tenant"))
    }

    fn id(&self, name: &'static str) -> Result<SessionId, TokenFault> {
        TokenId::parse(self.text(name)?).ok_or(TokenFault::Claim(name))
    }

    fn generation(&self) -> Result<u32, TokenFault> {
        self.integer("gen")
    }

    fn version(&self) -> Result<IdentityVersion, TokenFault> {
        self.integer("ver").map(IdentityVersion)
    }

    /// A token that is bound to a key of its holder (RFC 7800) asks for a proof that is not asked for here.
    fn unbound(&self) -> Result<(), TokenFault> {
        if self.claims.contains_key("cnf") {
            Err(TokenFault::Claim("cnf"))
        } else {
            Ok(())
        }
    }

    /// Not from the future, and not from before its key was made.
    fn issued_in_time(&self) -> Result<(), TokenFault> {
        let issued = self.seconds("iat")?;
        let key_was_there = issued >= self.key_created.saturating_sub(self.moment.leeway);
        if self.moment.has_come(issued) && key_was_there {
            Ok(())
        } else {
            Err(TokenFault::Claim("iat"))
        }
    }

    fn lifetime(&self) -> Result<(), TokenFault> {
        let lives = i128::from(self.seconds("exp")?) - i128::from(self.seconds("iat")?);
        if lives > 0 && lives <= i128::from(self.guard.lifetimes.of(self.kind)) {
            Ok(())
        } else {
            Err(TokenFault::Claim("the time from iat to exp"))
        }
    }

    /// `nbf`, honoured where it is there.
    pub(crate) fn not_before(&self) -> Result<Option<i64>, TokenFault> {
        if !self.claims.contains_key("nbf") {
            return Ok(None);
        }
        let not_before = self.seconds("nbf")?;
        if self.moment.has_come(not_before) {
            Ok(Some(not_before))
        } else {
            Err(TokenFault::Claim("nbf"))
        }
    }

    fn not_expired(&self) -> Result<(), TokenFault> {
        if self.moment.is_before_end(self.seconds("exp")?) {
            Ok(())
        } else {
            Err(TokenFault::Expired)
        }
    }
}
