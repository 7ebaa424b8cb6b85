//! Secrets, and where they come from.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bekci_core::{RootSecret, WeakSecret};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::url::Parts;
use crate::config::schema::{Kind, Refusal, Setting};
use crate::config::tree::{Node, Value};

/// The longest file that can hold a secret, in bytes. Longer ones are a mistake in the path.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret of the configuration. It does not print.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    source: SecretSource,
    bytes: Option<SecretSlice<u8>>,
}

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// In the configuration itself.
    Inline,
    /// In this variable of the environment.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

/// What a secret must be.
#[derive(Debug)]
pub(crate) struct SecretRule {
    /// What it is, in words.
    pub(crate) what: &'static str,
    /// Refuses what is too weak or not of the form.
    pub(crate) check: fn(&[u8]) -> Result<(), Refusal>,
    /// How it is shown where it stands in the configuration; by default not at all.
    pub(crate) masked: fn(&str) -> String,
    /// Whether its file may be missing, because Bekci can make it.
    pub(crate) may_be_made: bool,
}

impl SecretRule {
    /// A secret that is never shown, checked like this.
    pub(crate) const fn new(what: &'static str, check: fn(&[u8]) -> Result<(), Refusal>) -> Self {
        Self {
            what,
            check,
            masked: |_| MASK.to_owned(),
            may_be_made: false,
        }
    }
}

/// What stands in for a secret that is not shown.
pub(crate) const MASK: &str = "********";

/// Any text, as a password that another server made.
pub(crate) const ANY: SecretRule = SecretRule::new("a text", |bytes| has_length(bytes, 1));

/// A URL that may have a password in it.
pub(crate) const DATABASE_URL: SecretRule = SecretRule {
    masked: masked_url,
    ..SecretRule::new("a URL with sqlite:, postgres:, mysql: or mariadb:", |bytes| {
        let url = text_of(bytes)?;
        let is_sqlite = url
            .strip_prefix("sqlite:")
            .is_some_and(|rest| !rest.trim_start_matches('/').is_empty());
        let is_server = ["postgres", "postgresql", "mysql", "mariadb"]
            .iter()
            .any(|scheme| Parts::of(url).is_some_and(|parts| parts.scheme == *scheme && !parts.host.is_empty()));
        if is_sqlite || is_server {
            Ok(())
        } else {
            Err(Refusal::Malformed)
        }
    })
};

/// The URL of a Redis server.
pub(crate) const REDIS_URL: SecretRule = SecretRule {
    masked: masked_url,
    ..SecretRule::new(
        "a URL with redis:, rediss:, redis-cluster: or redis-sentinel:",
        |bytes| {
            let url = text_of(bytes)?;
            let is_one = Parts::of(url).is_some_and(|parts| matches!(parts.scheme, "redis" | "rediss"));
            // Several servers, each with a port: their list is taken apart by what connects to them.
            let is_many = ["redis-cluster://", "redis-sentinel://"]
                .iter()
                .any(|scheme| url.starts_with(scheme));
            if is_one || is_many {
                Ok(())
            } else {
                Err(Refusal::Malformed)
            }
        },
    )
};

/// The root secret: 32 bytes, as they are in a file, else in hexadecimal or base64.
pub(crate) const ROOT: SecretRule = SecretRule {
    may_be_made: true,
    ..SecretRule::new(
        "32 random bytes, in hexadecimal or base64 (`openssl rand -base64 32`), or as they are in a file",
        |bytes| {
            match root_of(bytes) {
                None | Some(Err(WeakSecret::Length(_))) => Err(Refusal::Malformed),
                // 32 bytes of chance are never all printable (once in 10^13); somebody wrote a sentence.
                Some(Ok(_)) if bytes.len() == 32 && bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => Err(
                    Refusal::Because("is a text of 32 characters, which is less than 32 random bytes"),
                ),
                Some(Err(WeakSecret::Uniform)) => Err(Refusal::Because("is one byte over and over")),
                Some(Ok(_)) => Ok(()),
            }
        },
    )
};

/// The key of one-time codes.
pub(crate) const OTP: SecretRule =
    SecretRule::new("32 bytes at least, not all the same", |bytes| has_length(bytes, 32));

/// The key that HS256, HS384 and HS512 derive their keys from.
pub(crate) const JWT: SecretRule = SecretRule::new(
    "64 random bytes at least, as text (`openssl rand -base64 64`)",
    |bytes| is_random(bytes, 64),
);

/// The hash of a password, in a format that can be verified.
pub(crate) const PASSWORD_HASH: SecretRule = SecretRule::new(
    "the hash of a password, as `bekci principal hash` makes it ($argon2id$... or $2b$...)",
    |bytes| match bekci_signin::PasswordHasher::can_verify(text_of(bytes)?) {
        true => Ok(()),
        false => Err(Refusal::Malformed),
    },
);

/// The secret of a client of introspection and revocation.
pub(crate) const CLIENT: SecretRule =
    SecretRule::new("16 bytes at least, not all the same", |bytes| has_length(bytes, 16));

fn has_length(bytes: &[u8], least: usize) -> Result<(), Refusal> {
    text_of(bytes)?;
    if bytes.len() < least {
        return Err(Refusal::Because(if bytes.is_empty() {
            "is empty"
        } else {
            "is too short"
        }));
    }
    if least > 1 && is_monotone(bytes) {
        return Err(Refusal::Because("is one character over and over"));
    }
    Ok(())
}

/// Long enough, and not plainly made up.
fn is_random(bytes: &[u8], least: usize) -> Result<(), Refusal> {
    has_length(bytes, least)?;
    match bekci_core::guessable(bytes) {
        Some(why) => Err(Refusal::Because(why)),
        None => Ok(()),
    }
}

fn is_monotone(bytes: &[u8]) -> bool {
    bytes.windows(2).all(|pair| pair.first() == pair.last())
}

fn text_of(bytes: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Because("is not valid UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Refusal::Because("has a line break or another control character in it"));
    }
    Ok(text)
}

/// The root secret of what was written; nothing where it is in no known form.
fn root_of(bytes: &[u8]) -> Option<Result<RootSecret, WeakSecret>> {
    let decoded = match bytes.len() {
        32 => SecretSlice::from(bytes.to_vec()),
        64 => SecretSlice::from(from_hexadecimal(bytes)?),
        _ => [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|engine| engine.decode(bytes).ok())
            .map(SecretSlice::from)?,
    };
    Some(RootSecret::new(decoded.expose_secret()))
}

fn from_hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| {
            let [high, low] = pair else { return None };
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        })
        .collect()
}

/// The URL with `********` for its password, before the host or in the query.
fn masked_url(url: &str) -> String {
    let (before, query) = url
        .split_once('?')
        .map_or((url, None), |(before, query)| (before, Some(query)));
    let mut shown = match before
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)))
    {
        Some((scheme, (user_info, place))) => {
            let user = user_info.split_once(':').map(|(user, _)| format!("{user}:{MASK}"));
            format!("{scheme}://{}@{place}", user.unwrap_or_else(|| user_info.to_owned()))
        }
        None => before.to_owned(),
    };
    for (at, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => shown.extend([name, "=", MASK]),
            _ => shown.push_str(pair),
        }
    }
    shown
}

impl Secret {
    /// A secret that stands in a text.
    pub(crate) fn from_text(source: SecretSource, text: &str) -> Self {
        Self {
            source,
            bytes: Some(SecretSlice::from(text.as_bytes().to_vec())),
        }
    }

    /// A secret that stands in a file; one line break at its end is not part of it. A missing file is kept as such where the rule
    /// says that it may be made.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn from_file(file: PathBuf, rule: &SecretRule) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let read = File::open(&file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        let bytes = SecretSlice::from(bytes);
        match read {
            Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_BYTES) => {
                let whole = bytes.expose_secret();
                let line = whole
                    .strip_suffix(b"\n")
                    .map_or(whole, |line| line.strip_suffix(b"\r").unwrap_or(line));
                // 32 bytes of chance may end with a line break.
                let kept = if whole.len() == 32 { whole } else { line };
                Ok(Self {
                    source: SecretSource::File(file),
                    bytes: Some(SecretSlice::from(kept.to_vec())),
                })
            }
            Ok(_) => Err(format!("the file {} is too long for a secret", file.display())),
            Err(error) if error.kind() == ErrorKind::NotFound && rule.may_be_made => Ok(Self {
                source: SecretSource::File(file),
                bytes: None,
            }),
            Err(error) => Err(format!("the file {} cannot be read: {error}", file.display())),
        }
    }

    /// The secret, if the rule takes it.
    ///
    /// # Errors
    /// What the rule asks for; never the secret.
    pub(crate) fn checked(self, rule: &SecretRule) -> Result<Self, String> {
        let Some(bytes) = &self.bytes else { return Ok(self) };
        match (rule.check)(bytes.expose_secret()) {
            Ok(()) => Ok(self),
            Err(Refusal::Malformed) => Err(format!("must be {}", rule.what)),
            Err(Refusal::Because(reason)) => Err(format!("{reason}; it must be {}", rule.what)),
        }
    }

    /// Where it was found.
    pub(crate) fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The secret as a text. Empty where its file is still to be made, which only the root secret's may be.
    pub(crate) fn text(&self) -> SecretString {
        let text = self
            .bytes
            .as_ref()
            .map(|bytes| String::from_utf8_lossy(bytes.expose_secret()).into_owned());
        SecretString::from(text.unwrap_or_default())
    }

    /// Whether the text begins like this.
    pub(crate) fn starts_with(&self, start: &str) -> bool {
        self.bytes
            .as_ref()
            .is_some_and(|bytes| bytes.expose_secret().starts_with(start.as_bytes()))
    }

    /// Whether two secrets are the same, found in the same place.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        // Both are the operator's own, read on the same machine: there is nobody to measure how long this takes.
        let own = self.bytes.as_ref().map(ExposeSecret::expose_secret);
        let others = other.bytes.as_ref().map(ExposeSecret::expose_secret);
        self.source == other.source && own == others
    }

    /// As the configuration may be shown: `"********"`, or the file or variable.
    pub(crate) fn shown(&self, rule: &SecretRule) -> Shown {
        match &self.source {
            SecretSource::Inline => Shown::Text((rule.masked)(self.text().expose_secret())),
            SecretSource::Variable(name) => Shown::Reference("env", name.clone()),
            SecretSource::File(file) => Shown::Reference("file", file.display().to_string()),
        }
    }
}

/// How a secret is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As a text, masked.
    Text(String),
    /// As `{ file = ".." }` or `{ env = ".." }`.
    Reference(&'static str, String),
}

/// The root secret, or where it is to be made.
#[derive(Debug)]
pub(crate) enum Root<'a> {
    /// The secret.
    Ready(RootSecret),
    /// Its file does not exist. With SQLite the start makes it; with a server database the start refuses, since each node
    /// would make its own.
    Missing(&'a Path),
}

impl Secret {
    /// The file that it was read from, or is to be made in.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            SecretSource::File(path) => Some(path),
            SecretSource::Inline | SecretSource::Variable(_) => None,
        }
    }

    /// The root secret.
    pub(crate) fn root(&self) -> Root<'_> {
        let path = match &self.source {
            SecretSource::File(path) => path.as_path(),
            SecretSource::Inline | SecretSource::Variable(_) => Path::new(""),
        };
        let root = self
            .bytes
            .as_ref()
            .and_then(|bytes| root_of(bytes.expose_secret()))
            .and_then(Result::ok);
        root.map_or(Root::Missing(path), Root::Ready)
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Secret(&ANY);

    fn read(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Secret(secret) => Some(secret.clone()),
            _ => None,
        }
    }
}

impl Setting for Option<Secret> {
    const KIND: Kind = Kind::Secret(&ANY);

    fn read(node: &Node) -> Option<Self> {
        Secret::read(node).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}
