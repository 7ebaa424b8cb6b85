//! What tests of the proxy stand on.

use std::sync::Arc;

use super::identity::{Bound, IdentityHeaders};
use crate::config::types::{DecisionAttributes, DecisionPreset};
use bekci_core::{
    AuthGuard, GuardName, IdKind, Identity, IdentityVersion, LiveSession, ModelName, Permission, Principal,
    PrincipalKey, RoleName, RoleTable, RoleView, ScopedRights, Stamp, TokenId, TokenKind, VerifiedClaims, View,
    ViewSource,
};
use serde_json::Value;

/// Customer 42 with these roles, which permit nothing, and these permissions.
pub(crate) fn principal(roles: &[&str], permissions: &[&str], attributes: Value) -> Principal {
    let guard = GuardName::new("customer").unwrap();
    let model = ModelName::new("customer").unwrap();
    let key = PrincipalKey::parse("customer:42").unwrap();
    let session = TokenId([7; 16]);
    let roles: Box<[RoleName]> = roles.iter().map(|role| RoleName::new(role).unwrap()).collect();
    let granted = permissions.iter().map(|name| Permission::new(name).unwrap()).collect();
    let table = RoleTable::new(1, roles.iter().map(|role| (role.clone(), Vec::new())));
    let identity = Identity {
        exists: true,
        verified: true,
        rights: Box::new([ScopedRights {
            guard: guard.clone(),
            tenant: None,
            roles,
            granted,
            denied: Box::default(),
        }]),
        sessions: Box::new([LiveSession {
            id: session,
            guard: guard.clone(),
            min_generation: 0,
            authenticated_at: 0,
            expires_at: None,
            way: "password".into(),
            remembered: false,
        }]),
        attributes: attributes.as_object().cloned().unwrap_or_default(),
        ..Identity::absent(key.clone())
    };
    Principal {
        guard: Arc::new(AuthGuard::new(guard.clone(), model, IdKind::Integer, false)),
        claims: Arc::new(VerifiedClaims {
            kind: TokenKind::Access,
            guard,
            key,
            session,
            generation: 1,
            version: IdentityVersion(1),
            tenant: None,
            id: TokenId([8; 16]),
            issued_at: 0,
            expires_at: i64::MAX,
        }),
        view: View {
            identity: Arc::new(identity),
            version: IdentityVersion(1),
            roles: RoleView {
                global: Arc::new(table),
                tenant: None,
            },
            policy: None,
            stamp: Stamp::default(),
            source: ViewSource::L1,
        },
        tenant: None,
    }
}

/// Bekci's own headers within so many bytes, without a token.
pub(crate) fn identity_headers(bytes: usize) -> IdentityHeaders {
    headers_of(
        DecisionPreset::Bekci,
        DecisionAttributes::of(["email", "name", "username"]),
        Bound { bytes, token: None },
    )
}

/// Headers of a preset.
pub(crate) fn headers_of(preset: DecisionPreset, attributes: DecisionAttributes, bound: Bound) -> IdentityHeaders {
    IdentityHeaders::new(preset, attributes, ["email", "name", "full_name", "company"], bound)
}
