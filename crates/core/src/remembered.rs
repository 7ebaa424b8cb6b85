//! Admissions that a thread remembers, so that the next request of the same kind is decided by a look at what they rest on.
//!
//! A request is of the same kind if gate, rule, tenant and the bytes of its token are equal; where a policy is asked, method and path too. The rules:
//!
//! 1. Remembered are admissions from memory by a token of the `Authorization` header, without any cookie, on a route of kind `authorized`. Refusals never are.
//! 2. One counts only while a new decision would come to the same. So each use compares the stamp of its view, asks whether memory is trusted, whether the keys are the same reading and
//!    the token's time has come and has not ended, and judges session, bans and blocks by the clock. If one of these fails it is forgotten, and the request is decided anew.
//! 3. Each use is noted, as each decision is.
//! 4. Found by a hash that is keyed anew in each thread, then compared whole. Only good tokens come in, so that no client fills it at will.
//! 5. Bounded by number and by bytes. It belongs to one [`Gate`](crate::Gate); an admission of another one empties it. A rule is compared by its place in memory, which an entry holds.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use crate::{
    gate::Admission,
    request::{AskedTenant, HeaderCredential, RequestHead},
    rule::{Consistency, RouteKind, RouteRule},
    token::Standing,
};

/// How many admissions a thread remembers at most.
const SLOTS: usize = 1_024;
/// About so many bytes of memory they hold at most.
const MOST_BYTES: usize = 4 << 20;
/// Longer tokens, and longer paths where a policy is asked, are not remembered.
const LONGEST: usize = 2_048;
/// So much of the end of a token is hashed: it is the signature, or its half.
const HASHED: usize = 43;
/// About what an entry holds beside token, path and identity.
const ENTRY_BYTES: usize = 512;

/// What is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    gate: u64,
    rule: &'a Arc<RouteRule>,
    token: &'a str,
    tenant: AskedTenant<'a>,
    /// Method and path, where a policy is asked.
    action: Option<(&'a str, &'a str)>,
}

impl<'a> Question<'a> {
    /// `None`: an answer may not be remembered.
    pub(crate) fn of(gate: u64, head: &RequestHead<'a>, rule: &'a Arc<RouteRule>) -> Option<Self> {
        let HeaderCredential::Bearer(token) = head.authorization else {
            return None;
        };
        let is_plain = rule.kind == RouteKind::Authorized && rule.consistency == Consistency::L1;
        let fits = token.expose().len() <= LONGEST && (!rule.policy || head.path.len() <= LONGEST);
        (is_plain && fits && head.cookies.is_empty()).then(|| Self {
            gate,
            rule,
            token: token.expose(),
            tenant: head.tenant,
            action: rule.policy.then_some((head.method, head.path)),
        })
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        let mut hasher = hasher.build_hasher();
        let token = self.token.as_bytes();
        hasher.write(token.get(token.len().saturating_sub(HASHED)..).unwrap_or(token));
        hasher.write_usize(Arc::as_ptr(self.rule).addr());
        if let Some((method, path)) = self.action {
            hasher.write(method.as_bytes());
            hasher.write(path.as_bytes());
        }
        if let AskedTenant::Named(tenant) = self.tenant {
            hasher.write(tenant.as_str().as_bytes());
        }
        hasher.finish()
    }
}

/// Which tenant a request asked about, without the name: that is the principal's then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    None,
    Named,
    Claimed,
}

impl From<AskedTenant<'_>> for Asked {
    fn from(asked: AskedTenant<'_>) -> Self {
        match asked {
            AskedTenant::None => Self::None,
            AskedTenant::Named(_) => Self::Named,
            AskedTenant::Claimed => Self::Claimed,
        }
    }
}

/// An admission, and what was asked.
pub(crate) struct Kept {
    rule: Arc<RouteRule>,
    token: Box<str>,
    asked: Asked,
    action: Option<(Box<str>, Box<str>)>,
    pub(crate) admission: Admission,
    /// Until when its token counts.
    pub(crate) standing: Standing,
    bytes: usize,
}

impl Kept {
    fn answers(&self, question: &Question<'_>) -> bool {
        let tenant = match question.tenant {
            AskedTenant::Named(tenant) => self
                .admission
                .principal
                .as_ref()
                .is_some_and(|principal| principal.tenant.as_ref() == Some(tenant)),
            AskedTenant::None | AskedTenant::Claimed => true,
        };
        let action = match (&self.action, question.action) {
            (None, None) => true,
            (Some((method, path)), Some((asked_method, asked_path))) => {
                **method == *asked_method && **path == *asked_path
            }
            _ => false,
        };
        Arc::ptr_eq(&self.rule, question.rule)
            && *self.token == *question.token
            && self.asked == Asked::from(question.tenant)
            && tenant
            && action
    }
}

/// What a thread remembers.
struct Table {
    /// The gate that all of it is of.
    gate: u64,
    hasher: RandomState,
    slots: Box<[Option<Box<Kept>>]>,
    bytes: usize,
    hits: u64,
}

impl Table {
    fn new(slots: usize) -> Self {
        Self {
            gate: 0,
            hasher: RandomState::new(),
            slots: (0..slots).map(|_| None).collect(),
            bytes: 0,
            hits: 0,
        }
    }

    fn slot(&self, question: &Question<'_>) -> usize {
        let hash = usize::try_from(question.hash(&self.hasher) & u64::from(u32::MAX)).unwrap_or_default();
        hash.checked_rem(self.slots.len()).unwrap_or_default()
    }

    fn find(&mut self, question: &Question<'_>, is_good: impl FnOnce(&Kept) -> bool) -> Option<Admission> {
        if self.gate != question.gate {
            return None;
        }
        let slot = self.slot(question);
        let place = self.slots.get_mut(slot)?;
        let kept = place.as_ref().filter(|kept| kept.answers(question))?;
        if is_good(kept) {
            self.hits += 1;
            return Some(kept.admission.clone());
        }
        let gone = place.take();
        self.bytes = self.bytes.saturating_sub(gone.map_or(0, |gone| gone.bytes));
        None
    }

    fn keep(&mut self, question: &Question<'_>, admission: &Admission, standing: Standing) {
        let Some(principal) = &admission.principal else { return };
        let action: Option<(Box<str>, Box<str>)> = question.action.map(|(method, path)| (method.into(), path.into()));
        let spoken = action.as_ref().map_or(0, |(method, path)| method.len() + path.len());
        let bytes = ENTRY_BYTES + question.token.len() + spoken + principal.view.identity.weight();
        if bytes > MOST_BYTES {
            return;
        }
        if self.gate != question.gate || self.bytes + bytes > MOST_BYTES {
            self.slots.fill_with(|| None);
            self.bytes = 0;
            self.gate = question.gate;
        }
        let slot = self.slot(question);
        let Some(place) = self.slots.get_mut(slot) else { return };
        let before = place.replace(Box::new(Kept {
            rule: Arc::clone(question.rule),
            token: question.token.into(),
            asked: question.tenant.into(),
            action,
            admission: admission.clone(),
            standing,
            bytes,
        }));
        self.bytes = (self.bytes + bytes).saturating_sub(before.map_or(0, |before| before.bytes));
    }
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::new(Table::new(SLOTS));
}

/// The remembered answer to a question, if there is one and it is still good.
pub(crate) fn find(question: &Question<'_>, is_good: impl FnOnce(&Kept) -> bool) -> Option<Admission> {
    let found = TABLE.try_with(|table| {
        let mut table = table.try_borrow_mut().ok()?;
        table.find(question, is_good)
    });
    found.ok().flatten()
}

/// Remembers the answer to a question.
pub(crate) fn keep(question: &Question<'_>, admission: &Admission, standing: Standing) {
    // A thread that ends remembers nothing more.
    let _ended = TABLE.try_with(|table| {
        if let Ok(mut table) = table.try_borrow_mut() {
            table.keep(question, admission, standing);
        }
    });
}

/// What the calling thread remembers, see the module `remembered` of this crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// How many admissions.
    pub admissions: usize,
    /// About how many bytes of memory they hold.
    pub bytes: usize,
    /// How many requests they have answered so far.
    pub hits: u64,
}

impl Remembered {
    /// What this thread remembers now.
    #[must_use]
    pub fn by_this_thread() -> Self {
        let counted = TABLE.try_with(|table| {
            let table = table.try_borrow().ok()?;
            Some(Self {
                admissions: table.slots.iter().flatten().count(),
                bytes: table.bytes,
                hits: table.hits,
            })
        });
        counted.ok().flatten().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authorize::Permit,
        guard::{AuthGuard, GuardChain},
        identity::{
            Identity, IdentityVersion,
            source::{Stamp, View, ViewSource},
        },
        key::{IdKind, PrincipalKey},
        name::{GuardName, ModelName, TenantName},
        principal::Principal,
        rights::RoleView,
        token::{BearerToken, TokenId, TokenKind, VerifiedClaims},
    };

    fn admission(tenant: Option<&TenantName>) -> Admission {
        let name = GuardName::new("admin").unwrap();
        let guard = AuthGuard::new(name.clone(), ModelName::new("admin").unwrap(), IdKind::Integer, false);
        let key = PrincipalKey::parse("admin:1").unwrap();
        let claims = VerifiedClaims {
            kind: TokenKind::Access,
            guard: name,
            key: key.clone(),
            session: TokenId([1; 16]),
            generation: 0,
            version: IdentityVersion(0),
            tenant: None,
            id: TokenId([2; 16]),
            issued_at: 0,
            expires_at: 9,
        };
        Admission {
            principal: Some(Principal {
                guard: Arc::new(guard),
                claims: Arc::new(claims),
                view: View {
                    identity: Arc::new(Identity::absent(key)),
                    version: IdentityVersion(0),
                    roles: RoleView {
                        global: Arc::default(),
                        tenant: None,
                    },
                    policy: None,
                    stamp: Stamp::default(),
                    source: ViewSource::L1,
                },
                tenant: tenant.cloned(),
            }),
            permit: Permit::granted(),
        }
    }

    fn head<'a>(token: &'a str, method: &'a str, path: &'a str, tenant: AskedTenant<'a>) -> RequestHead<'a> {
        RequestHead {
            method,
            path,
            tenant,
            authorization: HeaderCredential::Bearer(BearerToken::new(token).unwrap()),
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
            secured: None,
        }
    }

    /// In a table of one slot every question has the hash of every other one.
    #[test]
    fn of_two_questions_with_one_hash_each_is_answered_by_its_own_admission_alone() {
        let rule = |policy| {
            Arc::new(RouteRule {
                policy,
                ..RouteRule::guarded("a", GuardChain::default())
            })
        };
        let (asks, other, plain) = (rule(true), rule(true), rule(false));
        let (acme, evil) = (TenantName::new("acme").unwrap(), TenantName::new("evil").unwrap());
        let standing = Standing {
            reading: 1,
            from: 0,
            until: 9,
        };
        let questions = [
            (1, head("a.b.c", "GET", "/a", AskedTenant::Named(&acme)), &asks),
            (2, head("a.b.c", "GET", "/a", AskedTenant::Named(&acme)), &asks),
            (1, head("d.b.c", "GET", "/a", AskedTenant::Named(&acme)), &asks),
            (1, head("a.b.c", "PUT", "/a", AskedTenant::Named(&acme)), &asks),
            (1, head("a.b.c", "GET", "/b", AskedTenant::Named(&acme)), &asks),
            (1, head("a.b.c", "GET", "/a", AskedTenant::Named(&evil)), &asks),
            (1, head("a.b.c", "GET", "/a", AskedTenant::Claimed), &asks),
            (1, head("a.b.c", "GET", "/a", AskedTenant::None), &asks),
            (1, head("a.b.c", "GET", "/a", AskedTenant::Named(&acme)), &other),
            (1, head("a.b.c", "GET", "/a", AskedTenant::Named(&acme)), &plain),
        ];
        let questions = questions
            .each_ref()
            .map(|(gate, head, rule)| (head, Question::of(*gate, head, rule).unwrap()));
        for (at, (head, question)) in questions.iter().enumerate() {
            let mut table = Table::new(1);
            let tenant = match head.tenant {
                AskedTenant::Named(tenant) => Some(tenant),
                AskedTenant::None | AskedTenant::Claimed => None,
            };
            table.keep(question, &admission(tenant), standing);
            for (asked, (_, question)) in questions.iter().enumerate() {
                let found = table.find(question, |_| true).is_some();
                assert_eq!(found, asked == at, "{asked} after {at}");
            }
            assert!(table.find(question, |_| false).is_none());
            assert!(table.find(question, |_| true).is_none(), "it is forgotten");
            assert_eq!(table.bytes, 0);
        }
    }
}
