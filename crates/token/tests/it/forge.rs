//! Two or three guards with keys, and a hand that signs whatever it is given.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    AccessClaims, AuthGuard, BearerToken, Clock, Entropy, GuardName, IdKind, IdentityVersion, ModelName, PrincipalKey,
    TokenFault, TokenId, TokenIssuer, TokenKind, TokenVerifier, VerifiedClaims, testing::FakeClock,
};
use bekci_token::{Algorithm, KeyRing, KeyStore, OsEntropy, RingGuard, RingSettings};
use hkdf::Hkdf;
use jsonwebtoken::EncodingKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha512;

/// 2026-01-01.
pub(crate) const NOW: i64 = 1_767_225_600;
pub(crate) const ISSUER: &str = "https://gw.test";
pub(crate) const JWT_SECRET: &str = "x9Q2vTz7Lk0Rj4Ws8Yd1Bm6Hc3Pn5GfE0uKq7Ao2XiVt9ZrJw4Sl8NyCb6DhMp3F";

/// A directory of its own that goes when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let mut bytes = [0; 8];
        OsEntropy.fill(&mut bytes).unwrap();
        let path = std::env::temp_dir().join(format!("bekci-token-{:016x}", u64::from_be_bytes(bytes)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn name(text: &str) -> GuardName {
    GuardName::new(text).unwrap()
}

pub(crate) fn ring_guard(guard: &str, algorithm: Algorithm) -> RingGuard {
    let guard = AuthGuard::new(name(guard), ModelName::new(guard).unwrap(), IdKind::Integer, true);
    RingGuard::new(&guard, algorithm)
}

/// Guards `customer` and `admin`, with the models of those names, integer ids and a key each.
pub(crate) struct World {
    pub(crate) folder: Folder,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) store: KeyStore,
    pub(crate) settings: RingSettings,
    pub(crate) ring: KeyRing,
}

/// Whether keys of this kind are built in.
pub(crate) fn is_built(algorithm: Algorithm) -> bool {
    cfg!(feature = "rsa") || !matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256)
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Algorithm::EdDsa)
    }

    pub(crate) fn with(algorithm: Algorithm) -> Self {
        let folder = Folder::new();
        let clock = Arc::new(FakeClock::at(NOW));
        let store = KeyStore::new(folder.path());
        let guards = vec![ring_guard("customer", algorithm), ring_guard("admin", algorithm)];
        for guard in &guards {
            if matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256) {
                place_rsa_key(folder.path(), &guard.name, algorithm);
            }
            store
                .ensure(&[(guard.name.clone(), algorithm)], &*clock, &OsEntropy)
                .unwrap();
        }
        let mut settings = RingSettings::new(ISSUER, folder.path(), guards);
        settings.jwt_secret = Some(SecretString::from(JWT_SECRET));
        let ring = KeyRing::load(settings.clone(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self {
            folder,
            clock,
            store,
            settings,
            ring,
        }
    }

    /// The kid of a guard's oldest key.
    pub(crate) fn kid(&self, guard: &str) -> String {
        let keys = self.ring.keys();
        let key = keys.iter().find(|key| key.guard.as_str() == guard).unwrap();
        key.kid.to_string()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.settings.guards[0].algorithm
    }

    pub(crate) fn header(&self, guard: &str) -> Value {
        json!({ "alg": self.algorithm().as_str(), "typ": "at+jwt", "kid": self.kid(guard) })
    }

    pub(crate) fn claims(&self, guard: &str) -> Value {
        json!({
            "iss": ISSUER, "aud": guard, "sub": format!("{guard}:1"), "iat": NOW, "exp": NOW + 900,
            "jti": "0".repeat(31) + "1", "sid": "0".repeat(31) + "2", "gen": 3, "ver": 4, "guard": guard, "model": guard,
        })
    }

    /// Signs any bytes, with the oldest key of a guard.
    pub(crate) fn sign(&self, guard: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.sign_message(guard, &message);
        format!("{message}.{signature}")
    }

    pub(crate) fn sign_message(&self, guard: &str, message: &str) -> String {
        let (key, algorithm) = self.encoding_key(guard);
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap()
    }

    /// The key as other software reads it: the file is plain PKCS#8, and the derivation is what the documentation says.
    fn encoding_key(&self, guard: &str) -> (EncodingKey, jsonwebtoken::Algorithm) {
        use jsonwebtoken::Algorithm as Jwt;
        let pem = || std::fs::read(self.folder.path().join(guard).join(format!("{}.pem", self.kid(guard)))).unwrap();
        let derived = |length| {
            let mut key = vec![0; length];
            let info = format!("bekci/1/jwt/{}/{guard}", self.algorithm());
            let source = Hkdf::<Sha512>::new(None, JWT_SECRET.as_bytes());
            source.expand(info.as_bytes(), &mut key).unwrap();
            EncodingKey::from_secret(&key)
        };
        match self.algorithm() {
            Algorithm::EdDsa => (EncodingKey::from_ed_pem(&pem()).unwrap(), Jwt::EdDSA),
            Algorithm::Es256 => (EncodingKey::from_ec_pem(&pem()).unwrap(), Jwt::ES256),
            Algorithm::Es384 => (EncodingKey::from_ec_pem(&pem()).unwrap(), Jwt::ES384),
            Algorithm::Rs256 => (EncodingKey::from_rsa_pem(&pem()).unwrap(), Jwt::RS256),
            Algorithm::Ps256 => (EncodingKey::from_rsa_pem(&pem()).unwrap(), Jwt::PS256),
            Algorithm::Hs256 => (derived(32), Jwt::HS256),
            Algorithm::Hs384 => (derived(48), Jwt::HS384),
            Algorithm::Hs512 => (derived(64), Jwt::HS512),
        }
    }

    /// A good token, with one claim changed; `None`: left out.
    pub(crate) fn with_claim(&self, claim: &str, value: Option<Value>) -> String {
        let mut claims = self.claims("customer");
        match value {
            Some(value) => claims[claim] = value,
            None => drop(claims.as_object_mut().unwrap().remove(claim)),
        }
        self.sign("customer", self.header("customer").to_string(), claims.to_string())
    }

    /// A good token, with a header of one's own.
    pub(crate) fn with_header(&self, header: impl AsRef<[u8]>) -> String {
        self.sign("customer", header, self.claims("customer").to_string())
    }

    pub(crate) fn good(&self) -> String {
        self.with_header(self.header("customer").to_string())
    }

    /// Judges as an access token for guard `customer`.
    pub(crate) fn judge(&self, token: &str) -> Result<Arc<VerifiedClaims>, TokenFault> {
        self.judge_as("customer", TokenKind::Access, token)
    }

    pub(crate) fn judge_as(
        &self,
        guard: &str,
        kind: TokenKind,
        token: &str,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        self.ring.verify(&name(guard), kind, BearerToken::new(token)?)
    }

    pub(crate) fn issue(&self, guard: &str, kind: TokenKind) -> String {
        let token = self.ring.issue(&name(guard), &self.access_claims(guard, kind)).unwrap();
        token.expose_secret().to_owned()
    }

    /// What a token of this kind would say now; it lasts a minute.
    pub(crate) fn access_claims(&self, guard: &str, kind: TokenKind) -> AccessClaims {
        let now = self.clock.now().unix_timestamp();
        let mut id = [0; 16];
        OsEntropy.fill(&mut id).unwrap();
        AccessClaims {
            kind,
            key: PrincipalKey::parse(&format!("{guard}:1")).unwrap(),
            session: TokenId([2; 16]),
            generation: 0,
            version: IdentityVersion(7),
            tenant: None,
            id: TokenId(id),
            issued_at: now,
            expires_at: now + 60,
            extra: serde_json::Map::new(),
        }
    }
}

/// RSA keys take long to make: one for each guard, made once in a run, under an id of its own.
fn place_rsa_key(keys_dir: &Path, guard: &GuardName, algorithm: Algorithm) {
    static MADE: LazyLock<Mutex<HashMap<GuardName, String>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let text = made.entry(guard.clone()).or_insert_with(|| {
        let folder = Folder::new();
        let info = KeyStore::new(folder.path()).generate(guard, Algorithm::Rs256, &FakeClock::at(NOW), &OsEntropy);
        let file = format!("{guard}/{}.pem", info.unwrap().kid);
        std::fs::read_to_string(folder.path().join(file)).unwrap()
    });
    let path = keys_dir.join(format!("{guard}/rsa-{guard}.pem"));
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text.replace("RS256", algorithm.as_str())).unwrap();
    crate::rotation::close(&path);
}

/// The parts of a token, decoded.
pub(crate) fn decoded(token: &str) -> Vec<Vec<u8>> {
    let decode = |part| URL_SAFE_NO_PAD.decode(part).unwrap();
    token.split('.').map(decode).collect()
}
