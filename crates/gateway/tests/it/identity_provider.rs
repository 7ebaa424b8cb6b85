//! An identity provider: discovery, keys, and ID tokens that real keys sign; and what a broken or hostile one does.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::Clock as _;
use bekci_store::SystemClock;
use rsa::{
    RsaPrivateKey, pkcs1v15,
    rand_core::OsRng,
    sha2::Sha256,
    signature::{SignatureEncoding as _, Signer as _},
    traits::PublicKeyParts as _,
};
use serde_json::{Value, json};

/// The client ids that the gateway accepts.
pub const WEB: &str = "web.apps.test";
pub const ANDROID: &str = "android.apps.test";

/// A key of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Rsa,
    Ec,
}

/// How it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Each connection ends before an answer.
    Down,
    /// It takes the request and never answers.
    Silent,
    /// With this status, and this as `location`.
    Status(u16, String),
    /// The discovery document is this.
    Document(String),
    /// The keys are this.
    Keys(String),
    /// The keys are good, and ten megabytes long.
    Huge,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    published: Vec<Key>,
    discoveries: usize,
    key_sets: usize,
}

/// A running provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

static RSA: LazyLock<RsaPrivateKey> = LazyLock::new(|| RsaPrivateKey::new(&mut OsRng, 2048).unwrap());
static EC: LazyLock<p256::ecdsa::SigningKey> = LazyLock::new(|| p256::ecdsa::SigningKey::random(&mut OsRng));

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn now() -> i64 {
    SystemClock.now().unix_timestamp()
}

impl Key {
    pub fn kid(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-1",
            Self::Ec => "ec-2",
        }
    }

    pub fn alg(self) -> &'static str {
        match self {
            Self::Rsa => "RS256",
            Self::Ec => "ES256",
        }
    }

    pub fn jwk(self) -> Value {
        let (kid, alg) = (self.kid(), self.alg());
        match self {
            Self::Rsa => json!({
                "kty": "RSA", "kid": kid, "use": "sig", "alg": alg,
                "n": base64url(RSA.n().to_bytes_be()), "e": base64url(RSA.e().to_bytes_be()),
            }),
            Self::Ec => {
                let point = EC.verifying_key().to_encoded_point(false);
                let (x, y) = (base64url(point.x().unwrap()), base64url(point.y().unwrap()));
                json!({"kty": "EC", "kid": kid, "use": "sig", "alg": alg, "crv": "P-256", "x": x, "y": y})
            }
        }
    }

    fn signature(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa => pkcs1v15::SigningKey::<Sha256>::new(RSA.clone()).sign(message).to_vec(),
            Self::Ec => {
                let signature: p256::ecdsa::Signature = EC.sign(message);
                signature.to_vec()
            }
        }
    }

    /// Signs whatever it is given.
    pub fn sign(self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }

    /// A token with a good header.
    pub fn token(self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.alg(), "kid": self.kid(), "typ": "JWT"}), claims)
    }
}

impl IdentityProvider {
    /// Starts one that publishes its RSA key.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(State {
                manner: Manner::Good,
                published: vec![Key::Rsa],
                discoveries: 0,
                key_sets: 0,
            })),
        };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        provider
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its section of a configuration.
    pub fn section(&self, name: &str) -> String {
        format!(
            "[idp.{name}]\nissuer = \"{}\"\nclient_ids = [\"{WEB}\", \"{ANDROID}\"]\n",
            self.issuer()
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn be(&self, manner: Manner) {
        self.state().manner = manner;
    }

    pub fn publish(&self, keys: &[Key]) {
        self.state().published = keys.to_vec();
    }

    /// How often its keys were fetched.
    pub fn fetches(&self) -> usize {
        self.state().key_sets
    }

    /// How often anything of it was fetched.
    pub fn requests(&self) -> usize {
        let state = self.state();
        state.discoveries + state.key_sets
    }

    /// Claims of a user whose address it has verified.
    pub fn claims(&self, subject: &str, email: &str) -> Value {
        json!({
            "iss": self.issuer(), "aud": WEB, "sub": subject, "iat": now(), "exp": now() + 3600,
            "email": email, "email_verified": true, "name": "Ada Lovelace",
        })
    }

    /// The token of such a user.
    pub fn token(&self, subject: &str, email: &str) -> String {
        Key::Rsa.token(&self.claims(subject, email))
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let text = String::from_utf8(request).unwrap();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let is_discovery = path == "/.well-known/openid-configuration";
        let (manner, published) = {
            let mut state = self.state();
            match is_discovery {
                true => state.discoveries += 1,
                false => state.key_sets += 1,
            }
            (state.manner.clone(), state.published.clone())
        };
        let issuer = self.issuer();
        let document = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let keys = json!({"keys": published.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string();
        let (status, more, body) = match (manner, is_discovery) {
            (Manner::Down, _) => return,
            (Manner::Silent, _) => {
                // Until the client has had enough.
                let _gone = stream.read(&mut [0]);
                return;
            }
            (Manner::Status(status, location), _) => (status, format!("location: {location}\r\n"), String::new()),
            (Manner::Document(text), true) => (200, String::new(), text),
            (Manner::Keys(text), false) => (200, String::new(), text),
            (Manner::Huge, false) => (200, String::new(), [keys, " ".repeat(10 * 1024 * 1024)].concat()),
            (_, true) => (200, String::new(), document.to_string()),
            (_, false) => (200, String::new(), keys),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        // A client that has read enough goes away.
        let _written = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
    }
}
