//! `bekci principal show`.

use bekci_core::{Identity, PrincipalKey, is_banned};
use bekci_store::Scope;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    super::{
        Answer, Failure,
        answer::{listed, one_line},
        desk::{Desk, moment},
        grant::effective,
    },
    plain,
};

pub(super) async fn run(desk: &Desk<'_>, key: &PrincipalKey) -> Result<Answer, Failure> {
    let identity = desk.account(key).await?;
    let mut text = account(&identity, desk.now());
    let mut put_together: Vec<Value> = Vec::new();
    for scope in scopes(desk, &identity) {
        let may = effective(desk, &identity.key, &scope, &[]).await?;
        let place = scope.tenant.as_ref().map(|tenant| format!(", tenant {tenant}"));
        text.push_str(&format!(
            "\nin guard {}{}\n  roles  {}\n  may    {}",
            scope.guard,
            place.unwrap_or_default(),
            listed(&may.roles),
            listed(&may.permissions)
        ));
        let denied = identity.scopes(&scope.guard, scope.tenant.as_ref());
        let denied: Vec<&str> = denied
            .flat_map(|held| held.denied.iter().map(bekci_core::Permission::as_str))
            .collect();
        if !denied.is_empty() {
            text.push_str(&format!("\n  denied {}", listed(denied)));
        }
        put_together.push(json!({
            "guard": scope.guard, "tenant": scope.tenant, "roles": may.roles, "permissions": may.permissions,
        }));
    }
    let mut json = bekci::admin::principal_json(&identity, desk.now());
    if let Some(fields) = json.as_object_mut() {
        fields.insert("effective".into(), put_together.into());
        fields.insert("liveSessions".into(), identity.open_sessions().count().into());
    }
    Ok(Answer::new(text, json))
}

/// The guards of its model, globally, and each tenant in which it holds something.
fn scopes(desk: &Desk<'_>, identity: &Identity) -> Vec<Scope> {
    let guards = desk.config.guards.iter();
    let own = guards.filter(|(_, guard)| guard.model.as_str() == identity.key.model());
    let mut scopes: Vec<Scope> = own.map(|(name, _)| Scope::global(name.clone())).collect();
    for held in identity.rights.iter().filter(|held| held.tenant.is_some()) {
        scopes.push(Scope {
            guard: held.guard.clone(),
            tenant: held.tenant.clone(),
        });
    }
    scopes
}

fn account(identity: &Identity, now: OffsetDateTime) -> String {
    let mut text = format!("{}\n", identity.key);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {}\n", one_line(value)));
    line("status", identity.status.as_deref().unwrap_or("-"));
    if is_banned(identity, now) {
        let ban = identity.ban.as_ref();
        let reason = ban.and_then(|ban| ban.reason.as_deref()).unwrap_or("no reason given");
        let until = ban.and_then(|ban| ban.until).and_then(moment);
        let until = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
        line("banned", &format!("{until}: {reason}"));
    }
    if identity.inactive {
        line("kept out", "this status neither bans nor lets in");
    }
    line("verified", if identity.verified { "yes" } else { "no" });
    line("tenant", &listed(&identity.tenant));
    for (name, value) in &identity.attributes {
        line(name, &plain(value));
    }
    line("sessions", &identity.open_sessions().count().to_string());
    for block in &identity.blocks {
        let what = block.jti.map(|id| format!("token {id}"));
        let what = what.or_else(|| block.sid.map(|id| format!("session {id}")));
        line("blocked", &format!("{}: {}", what.unwrap_or_default(), block.reason));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_is_called_takes_one_line_whatever_it_holds() {
        let mut identity = Identity::absent(PrincipalKey::parse("customer:42").unwrap());
        let name = "Ann\nin guard admin\n  roles  super-admin";
        identity.attributes.insert("name".to_owned(), name.into());
        let told = account(&identity, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(told.lines().filter(|line| line.contains("admin")).count(), 1, "{told}");
    }
}
