//! Header lines that were written before. A principal asks again and again, and what it holds takes longer to spell out than to forward its request.
//!
//! Lines are given again only for the very same identity and role tables: not for equal ones, but for the same place in memory, which the memory itself keeps
//! alive. What is there never changes; a change of rights makes new ones. So these lines can never be older than the decision that they go with.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use actix_web::web::{Bytes, BytesMut};
use bekci_core::{Identity, Principal, RoleTable, SessionId, TenantName};
use foldhash::fast::FixedState;

use super::IdentityHeaders;

/// How many principals each thread remembers; a power of two. At a usual 1 KiB each.
const PLACES: usize = 1024;
/// Lines longer than this are written anew each time.
const MAX_LINES: usize = 16 * 1024;

thread_local! {
    static MEMORY: RefCell<Box<[Option<Remembered>]>> = RefCell::default();
}

struct Remembered {
    /// Of which headers.
    number: u64,
    identity: Arc<Identity>,
    roles: Arc<RoleTable>,
    tenant_roles: Option<Arc<RoleTable>>,
    tenant: Option<TenantName>,
    guard: Arc<bekci_core::AuthGuard>,
    session: SessionId,
    lines: Bytes,
}

impl Remembered {
    fn is_of(&self, headers: &IdentityHeaders, principal: &Principal) -> bool {
        let same_tenant_roles = match (&self.tenant_roles, &principal.view.roles.tenant) {
            (None, None) => true,
            (Some(mine), Some(other)) => Arc::ptr_eq(mine, other),
            _ => false,
        };
        self.number == headers.number
            && Arc::ptr_eq(&self.identity, &principal.view.identity)
            && Arc::ptr_eq(&self.roles, &principal.view.roles.global)
            && same_tenant_roles
            && Arc::ptr_eq(&self.guard, &principal.guard)
            && self.session == principal.claims.session
            && self.tenant == principal.tenant
    }
}

/// The header lines of a principal.
pub(super) fn lines_of(headers: &IdentityHeaders, principal: &Principal) -> Bytes {
    MEMORY.with_borrow_mut(|memory| {
        if memory.is_empty() {
            *memory = std::iter::repeat_with(|| None).take(PLACES).collect();
        }
        let place = memory.get_mut(place_of(headers, principal));
        if let Some(Some(known)) = &place
            && known.is_of(headers, principal)
        {
            return known.lines.clone();
        }
        let mut lines = BytesMut::with_capacity(1024);
        headers.spell(&mut lines, principal);
        let lines = lines.freeze();
        if let Some(place) = place.filter(|_| lines.len() <= MAX_LINES) {
            *place = Some(Remembered {
                number: headers.number,
                identity: Arc::clone(&principal.view.identity),
                roles: Arc::clone(&principal.view.roles.global),
                tenant_roles: principal.view.roles.tenant.clone(),
                tenant: principal.tenant.clone(),
                guard: Arc::clone(&principal.guard),
                session: principal.claims.session,
                lines: lines.clone(),
            });
        }
        lines
    })
}

fn place_of(headers: &IdentityHeaders, principal: &Principal) -> usize {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    headers.number.hash(&mut hasher);
    principal.claims.session.hash(&mut hasher);
    principal.tenant.hash(&mut hasher);
    usize::try_from(hasher.finish()).unwrap_or_default() & (PLACES - 1)
}

#[cfg(test)]
mod tests {
    use bekci_core::{Permission, RoleView};

    use super::*;
    use crate::proxy::testing::{identity_headers, principal};

    #[test]
    fn lines_that_other_headers_wrote_are_not_given() {
        let (narrow, wide) = (identity_headers(600), identity_headers(8_192));
        let permissions: Vec<String> = (0..20).map(|n| format!("area{n}.do.something")).collect();
        let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
        let principal = principal(&[], &permissions, serde_json::json!({}));
        let lines = |headers: &IdentityHeaders| String::from_utf8(headers.lines(&principal).to_vec()).unwrap();
        assert!(!lines(&wide).contains("x-auth-omitted"));
        assert!(lines(&narrow).contains("x-auth-omitted: permissions\r\n"));
        assert!(!lines(&wide).contains("x-auth-omitted"));
    }

    #[test]
    fn a_change_of_any_part_is_seen_at_once() {
        let headers = identity_headers(8_192);
        let lines_of = |principal: &Principal| String::from_utf8(headers.lines(principal).to_vec()).unwrap();
        let first = principal(&["buyer"], &["orders.view"], serde_json::json!({"email": "a@b.c"}));
        assert_eq!(lines_of(&first), lines_of(&first));

        let mut renamed = first.clone();
        let identity = Identity {
            attributes: serde_json::Map::new(),
            ..(*first.view.identity).clone()
        };
        renamed.view.identity = Arc::new(identity);
        assert!(!lines_of(&renamed).contains("x-auth-attr-email"));
        assert!(lines_of(&first).contains("x-auth-attr-email: a@b.c"));

        let mut promoted = first.clone();
        let role = bekci_core::RoleName::new("buyer").unwrap();
        let table = RoleTable::new(2, [(role, vec![Permission::new("orders.manage").unwrap()])]);
        promoted.view.roles = RoleView {
            global: Arc::new(table),
            tenant: None,
        };
        assert!(lines_of(&promoted).contains("x-auth-permissions: orders.manage,orders.view\r\n"));
        assert!(lines_of(&first).contains("x-auth-permissions: orders.view\r\n"));

        let mut elsewhere = first.clone();
        elsewhere.tenant = TenantName::new("acme").ok();
        assert!(lines_of(&elsewhere).contains("x-auth-tenant: acme\r\n"));
        assert!(lines_of(&first).contains("x-auth-tenant: \r\n"));
    }
}
