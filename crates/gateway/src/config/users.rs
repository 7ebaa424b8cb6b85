//! A users file, `[providers.<name>] kind = "file"`: checked as the configuration is, every mistake with its place.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bekci_core::{Permission, RoleName, TenantName};

use super::check::{Checker, Variables};
use super::path;
use super::problem::{Place, Problem, Problems};
use super::schema::{Fallback::Absent, Fallback::Required, Fallback::Toml, Kind, Setting, settings, some};
use super::tree::{self, Node};
use super::values::names::{AccountId, Column, LoginName, Sentence, Status};
use super::values::secret::{self, Secret, SecretSource};

/// The longest users file that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

settings! {
    /// A users file.
    UsersFile {
        /// The accounts.
        users: Vec<User> [Kind::Array(User::KEYS)] = Required;
    }
}

settings! {
    /// One account.
    User {
        /// The id in its key, as `ada` in `staff:ada`. It is never given to anybody else.
        id: AccountId = Required;
        /// What can be entered to sign in.
        identifiers: Vec<LoginName> [some::<LoginName>()] = Required;
        /// The hash of its password; without one it cannot sign in by password.
        password_hash: Option<Secret> [Kind::Secret(&secret::PASSWORD_HASH)] = Absent;
        /// Its status; one of the model's `banned_statuses` keeps it out.
        status: Status = Toml("'active'");
        /// Whether its address is confirmed.
        verified: bool = Toml("true");
        /// The tenant that it belongs to, where it belongs to one.
        tenant: Option<TenantName> = Absent;
        /// The roles that it holds.
        roles: Vec<RoleName> = Toml("[]");
        /// The permissions that it holds beside those of its roles.
        permissions: Vec<Permission> = Toml("[]");
        /// The permissions that it is denied, whatever grants them.
        denied: Vec<Permission> = Toml("[]");
        /// What it holds in one tenant, by the tenant's name.
        tenants: BTreeMap<TenantName, HeldThere> = Toml("{}");
        /// Its attributes; the model's `cached_attributes` says which there are.
        attributes: BTreeMap<Column, Sentence> = Toml("{}");
    }
}

settings! {
    /// What an account holds in one tenant.
    HeldThere {
        /// The roles.
        roles: Vec<RoleName> = Toml("[]");
        /// The permissions beside those of the roles.
        permissions: Vec<Permission> = Toml("[]");
        /// The permissions that are denied.
        denied: Vec<Permission> = Toml("[]");
    }
}

/// What a file is read for.
pub(crate) struct UsersOf<'a> {
    /// The model whose accounts they are.
    pub(crate) model: &'a str,
    /// The attributes that the model names.
    pub(crate) attributes: &'a [String],
    /// Whether `Ada` and `ada` are one identifier.
    pub(crate) ignores_case: bool,
}

/// An identifier as it is compared.
pub(crate) fn folded(identifier: &str, ignores_case: bool) -> String {
    bekci_core::identifier::normal_form(identifier, ignores_case)
}

/// Reads a users file.
///
/// # Errors
/// Every mistake, from the top of the file.
pub(crate) fn load(file: &Path, of: &UsersOf<'_>) -> Result<Vec<User>, Vec<Problem>> {
    let name = file.display().to_string();
    match super::read(file, MAX_BYTES) {
        Ok(text) => load_text(&name, &text, of),
        Err(message) => {
            let mut problems = Problems::default();
            let (file, line, column) = (name.into(), 1, 1);
            problems.add(Place::File { file, line, column }, "", message);
            Err(problems.into_sorted())
        }
    }
}

fn load_text(name: &str, text: &str, of: &UsersOf<'_>) -> Result<Vec<User>, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(written) = tree::parse_file(name, text, &mut problems) else {
        return Err(problems.into_sorted());
    };
    let variables = Variables::default();
    let checked = Checker::new(&variables, &mut problems).check(&Kind::Table(UsersFile::KEYS), "", written);
    if let Some(tree) = &checked {
        contradictions(tree, of, &mut problems);
    }
    match checked.as_ref().and_then(UsersFile::read) {
        Some(file) if problems.is_empty() => Ok(file.users),
        _ => Err(problems.into_sorted()),
    }
}

fn contradictions(tree: &Node, of: &UsersOf<'_>, problems: &mut Problems) {
    let Some(users) = tree.get("users") else { return };
    if users.items().is_empty() {
        let told = "names nobody: a file that was emptied by mistake would end everybody's sessions";
        problems.add_consequence(users.place.clone(), "users", told);
    }
    let mut taken: HashMap<String, &str> = HashMap::new();
    for user in users.items() {
        let Some(id) = user.get("id").and_then(Node::text) else {
            continue;
        };
        let key = path::key("users", id);
        for identifier in user.get("identifiers").map(Node::items).unwrap_or_default() {
            let text = folded(identifier.text().unwrap_or_default(), of.ignores_case);
            if let Some(other) = taken.insert(text, id) {
                let told = format!(
                    "{:?} is an identifier of users.{other} too",
                    identifier.text().unwrap_or_default()
                );
                problems.add(identifier.place.clone(), &path::key(&key, "identifiers"), told);
            }
        }
        let hash = user.get("password_hash");
        if let Some((hash, secret)) = hash.and_then(|node| Some((node, Secret::read(node)?)))
            && *secret.source() != SecretSource::Inline
        {
            let told = "must stand here: what stands elsewhere could change unseen";
            problems.add(hash.place.clone(), &path::key(&key, "password_hash"), told);
        }
        for attribute in user.get("attributes").map(Node::entries).unwrap_or_default() {
            if !of.attributes.contains(&attribute.key) {
                let known = of.attributes.iter().map(String::as_str);
                let hint = super::suggest::hint(&attribute.key, known);
                let told = format!(
                    "is not among models.{}.cached_attributes, so nobody would see it{hint}",
                    of.model
                );
                let key = path::key(&path::key(&key, "attributes"), &attribute.key);
                problems.add(attribute.key_place.clone(), &key, told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6BmZ8eS3rRw";

    fn read(text: &str) -> Result<Vec<User>, Vec<String>> {
        let attributes = ["email".to_owned(), "name".to_owned()];
        let of = UsersOf {
            model: "staff",
            attributes: &attributes,
            ignores_case: true,
        };
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        load_text("users.toml", text, &of).map_err(told)
    }

    #[test]
    fn an_account_has_what_its_table_says() {
        let text = format!(
            "[[users]]\nid = 'ada'\nidentifiers = ['ada', 'Ada@example.com']\npassword_hash = '{HASH}'\nroles = ['support']\n\
             permissions = ['orders.*']\ndenied = ['orders.delete']\nattributes = {{ name = 'Ada' }}\n[users.tenants.acme]\nroles = ['owner']\n\
             [[users]]\nid = 'bob_2'\nidentifiers = ['bob']\nstatus = 'suspended'\nverified = false\ntenant = 'acme'\n"
        );
        let users = read(&text).unwrap();
        let [ada, bob] = users.as_slice() else {
            panic!("{users:?}")
        };
        assert_eq!(
            (ada.id.as_str(), ada.status.as_str(), ada.verified),
            ("ada", "active", true)
        );
        assert!(ada.password_hash.is_some() && bob.password_hash.is_none());
        assert_eq!(ada.tenants.len(), 1);
        assert_eq!((bob.status.as_str(), bob.verified), ("suspended", false));
        assert_eq!(bob.tenant.as_ref().map(TenantName::as_str), Some("acme"));
        assert!(
            !format!("{users:?}").contains("RdescudvJCsgt3ub"),
            "a hash does not print"
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_no_hash() {
        let mut missing = Vec::new();
        for (text, expected) in [
            ("", "users.toml:1:1: users: is required"),
            ("users = []", "users.toml:1:9: users: names nobody"),
            ("users", "users.toml:1:6: is not TOML"),
            (
                "[[users]]\nid = 'ada'\n",
                "users.toml:1:1: users.ada.identifiers: is required",
            ),
            (
                "[[users]]\nid = 'a:b'\nidentifiers = ['a']\n",
                "users.toml:2:6: users.\"a:b\".id: \"a:b\" is not an id",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = [' a']\n",
                "users.toml:3:16: users.a.identifiers[0]: \" a\" is not an identifier",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\n[[users]]\nid = 'a'\nidentifiers = ['b']\n",
                "users.toml:5:6: users[1].id: \"a\" is the id of another one already",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['x']\n[[users]]\nid = 'b'\nidentifiers = ['y', 'X']\n",
                "users.toml:6:21: users.b.identifiers: \"X\" is an identifier of users.a too",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\npassword_hash = 'topsecret'\n",
                "users.toml:4:17: users.a.password_hash: must be the hash of a password",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\npassword_hash = { env = 'HASH' }\n",
                "users.toml:4:17: users.a.password_hash: ",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\nroles = ['Support']\n",
                "users.toml:4:10: users.a.roles[0]: \"Support\" is not a role",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\nrole = ['support']\n",
                "users.toml:4:1: users.a.role: unknown key; did you mean",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\nattributes = { nme = 'A' }\n",
                "users.toml:4:16: users.a.attributes.nme: is not among models.staff.cached_attributes",
            ),
            (
                "[[users]]\nid = 'a'\nidentifiers = ['a']\n[users.tenants.Acme]\nroles = []\n",
                "users.toml:4:16: users.a.tenants.Acme: \"Acme\" is not a tenant",
            ),
        ] {
            let told = read(text).unwrap_err().join("\n");
            if !told.contains(expected) || told.contains("topsecret") {
                missing.push(format!("{expected:?}: {told}"));
            }
        }
        assert!(missing.is_empty(), "{}", missing.join("\n"));
    }
}
