//! A whole Bekci on a database of its own, with somebody signed in.

use std::{path::PathBuf, sync::Arc};

use bekci::{Bekci, PolicyModel, Settings};
use bekci_core::{
    AuthGuard, Entropy, GuardName, IdKind, ModelName, ModelSpec, Permission, PrincipalKey, RoleName, RootSecret,
    signin::SignInTenant,
};
use bekci_store::{AccountChange, Scope};
use bekci_token::{Algorithm, OsEntropy};
use secrecy::{ExposeSecret, SecretString};

/// What is measured.
pub(crate) struct House {
    pub(crate) bekci: Bekci,
    pub(crate) guard: Arc<AuthGuard>,
    pub(crate) key: PrincipalKey,
    pub(crate) bearer: String,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

impl House {
    /// One whose tokens are signed by this algorithm.
    pub(crate) async fn build(algorithm: Algorithm) -> Self {
        let mut random = [0; 32];
        OsEntropy.fill(&mut random).unwrap();
        let name: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = Folder(std::env::temp_dir().join(format!("bekci-bench-{name}")));
        std::fs::create_dir_all(&folder.0).unwrap();
        let url = SecretString::from(format!("sqlite://{}", folder.0.join("bench.db").display()));
        let (guard, model) = (GuardName::new("admin").unwrap(), ModelName::new("admin").unwrap());
        let mut settings = Settings::new(
            "http://127.0.0.1:8080",
            folder.0.join("keys"),
            RootSecret::new(&random).unwrap(),
        );
        settings.algorithm = algorithm;
        let written: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        settings.jwt_secret = Some(SecretString::from(written));
        let policy = PolicyModel::parse(include_str!("../../config/casbin_model.conf")).unwrap();
        let bekci = Bekci::builder(settings)
            .database(bekci::connect(&url, 4).await.unwrap())
            .policy(Arc::new(policy))
            .model(ModelSpec::new(model.clone(), "admins"))
            .auth_guard(AuthGuard::new(guard.clone(), model.clone(), IdKind::Integer, false))
            .build()
            .await
            .unwrap();
        bekci.migrate().await.unwrap();
        let (key, bearer) = admin(&bekci).await;
        let guard = bekci.watch().guard("admin").map(Arc::clone).unwrap();
        Self {
            bekci,
            guard,
            key,
            bearer,
            _folder: folder,
        }
    }
}

/// Makes an admin who may do anything, and signs them in: the account, and the value of `Authorization`.
pub(crate) async fn admin(bekci: &Bekci) -> (PrincipalKey, String) {
    let key = account(bekci).await;
    let guard = bekci.watch().guard("admin").map(Arc::clone).unwrap();
    let attempt = bekci_signin_attempt();
    let granted = bekci.sign_in().password(&guard, attempt).await.unwrap();
    let signed_in = granted.full().unwrap();
    let bearer = format!("Bearer {}", signed_in.access.expose_secret());
    while !bekci.store().is_trusted() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (key, bearer)
}

async fn account(bekci: &Bekci) -> PrincipalKey {
    let (guard, model) = (GuardName::new("admin").unwrap(), ModelName::new("admin").unwrap());
    let hash = bekci.passwords().hash(SecretString::from(PASSWORD)).await.unwrap();
    let account = AccountChange {
        columns: vec![("email".to_owned(), EMAIL.into()), ("name".to_owned(), "Ada".into())],
        password_hash: Some(hash),
        verified: Some(true),
    };
    let (key, _) = bekci.store().directory().add(&model, &account).await.unwrap();
    let (scope, role) = (Scope::global(guard), RoleName::new("super-admin").unwrap());
    let many: Vec<Permission> = (0..30)
        .map(|n| Permission::new(&format!("area{n}.view")).unwrap())
        .chain([Permission::new("*").unwrap()])
        .collect();
    bekci.store().rights().put_role(&scope, &role, &many).await.unwrap();
    bekci.store().rights().assign_role(&key, &scope, &[role]).await.unwrap();
    let seed = bekci::parse_csv(&seed())
        .unwrap()
        .into_iter()
        .map(|numbered| numbered.line)
        .collect::<Vec<_>>();
    bekci.store().policies().seed(&seed).await.unwrap();
    key
}

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "a long enough password";

fn seed() -> String {
    let others: String = (0..9)
        .map(|n| format!("p, role:admin:support, *, /area{n}/**, GET, allow\n"))
        .collect();
    others + "p, role:admin:super-admin, *, /api/**, *, allow\n"
}

fn bekci_signin_attempt() -> bekci_signin::PasswordAttempt {
    bekci_signin::PasswordAttempt {
        identifier: bekci_signin::Identifier::new(EMAIL).unwrap(),
        password: SecretString::from(PASSWORD),
        device_name: None,
        device_id: None,
        replaces: None,
        tenant: SignInTenant::None,
        verification: None,
        language: bekci_core::mail::MailLanguage::default(),
        remember: false,
        client: None,
    }
}
