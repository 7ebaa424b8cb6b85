//! A mail server.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::Service;
use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::program::find_program;
use crate::server::{Server, connect};

/// How often the folder of messages is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks before a message is missed: two minutes, for machines that do much else.
const LOOKS: u32 = 6_000;

/// How a mail server treats its clients. Every field can be changed while it runs but for TLS and the user.
#[derive(Clone, Debug, Default)]
pub struct SmtpManner {
    /// Seconds that it waits before it answers a message.
    pub delay_seconds: u32,
    /// What it answers to each recipient in place of 250.
    pub refuse: Option<&'static str>,
    /// Whether it drops the connection at the end of each message.
    pub drop: bool,
    /// Its certificate and key, as PEM files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether it speaks TLS from the start, rather than by STARTTLS.
    pub wrapped: bool,
    /// The user and password that it requires.
    pub user: Option<(&'static str, &'static str)>,
}

/// A message that a mail server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMail {
    /// The recipients of its envelope.
    pub to: Vec<String>,
    /// Its head and body as they came.
    pub data: String,
    /// Whether it came by TLS.
    pub tls: bool,
    /// The user who sent it.
    pub user: Option<String>,
}

/// A real SMTP server (aiosmtpd) that keeps what it takes.
#[derive(Debug)]
pub struct Smtp {
    // Before the folder, so that it is stopped before its folder goes.
    server: Server,
    folder: TempDir,
}

impl Smtp {
    /// Starts one that takes everything.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&SmtpManner::default())
    }

    /// Starts one of this manner.
    #[track_caller]
    pub fn start_with(manner: &SmtpManner) -> Self {
        or_fail(Self::try_start_with(manner))
    }

    /// As [`Smtp::start_with`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the server wrote, or says what to install.
    pub fn try_start_with(manner: &SmtpManner) -> Result<Self, Failure> {
        // Debian's python, beside its aiosmtpd: another one on PATH does not know the package.
        let aiosmtpd = find_program("aiosmtpd")?;
        let python = interpreter(&aiosmtpd);
        let folder = TempDir::try_new("smtp")?;
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).map_err(Failure::io("writing the settings of the mail server".to_owned()))
        };
        put("server.py", include_str!("smtp_server.py"))?;
        put("settings.json", &manner.json())?;
        let server = Server::try_on_free_port(|port| {
            Service::new(&python, port, &folder)
                .args(["server.py", &port.to_string(), ".", "settings.json"])
                .ready_when(|port| connect(port).is_some())
        })?;
        Ok(Self { server, folder })
    }

    /// Changes its manner from the next recipient on.
    #[track_caller]
    pub fn become_of(&self, manner: &SmtpManner) {
        let path = self.folder.path();
        let written = std::fs::write(path.join("settings.new"), manner.json())
            .and_then(|()| std::fs::rename(path.join("settings.new"), path.join("settings.json")));
        or_fail(written.map_err(Failure::io("writing the settings of the mail server".to_owned())));
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// How often a message came to its end, taken or not.
    pub fn attempts(&self) -> usize {
        std::fs::read(self.folder.path().join("attempts")).map_or(0, |marks| marks.len())
    }

    /// Every message that it has taken, the oldest first.
    pub fn received(&self) -> Vec<ReceivedMail> {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = files.map(|file| file.path()).filter(|path| is_message(path)).collect();
        files.sort();
        files
            .iter()
            .filter_map(|path| ReceivedMail::read(&std::fs::read_to_string(path).ok()?))
            .collect()
    }

    /// The messages to a recipient, when there are so many.
    #[track_caller]
    pub fn wait_for(&self, to: &str, count: usize) -> Vec<ReceivedMail> {
        let mut found = Vec::new();
        for _ in 0..LOOKS {
            found = self.received();
            found.retain(|mail| mail.to.iter().any(|recipient| recipient == to));
            if found.len() >= count {
                return found;
            }
            sleep(LOOK_EVERY);
        }
        or_fail(Err(Failure::Io {
            what: format!("waiting for mail {count} to {to}; {} came", found.len()),
            source: std::io::ErrorKind::TimedOut.into(),
        }))
    }

    /// The server behind it.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

fn is_message(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".json") && name != "settings.json"
}

/// The interpreter that a Python program names in its first line.
fn interpreter(program: &Path) -> String {
    let text = std::fs::read_to_string(program).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("#!").trim();
    let named = first.split_whitespace().next_back().unwrap_or_default();
    let name = if named.is_empty() { "python3" } else { named };
    name.to_owned()
}

impl SmtpManner {
    fn json(&self) -> String {
        let mut fields = vec![
            format!("\"delay\": {}", self.delay_seconds),
            format!("\"drop\": {}", self.drop),
            format!("\"wrapped\": {}", self.wrapped),
        ];
        if let Some(refuse) = self.refuse {
            fields.push(format!("\"refuse\": {refuse:?}"));
        }
        if let Some((cert, key)) = &self.certificate {
            fields.push(format!(
                "\"cert\": {:?}, \"key\": {:?}",
                cert.display().to_string(),
                key.display().to_string()
            ));
        }
        if let Some((user, password)) = self.user {
            fields.push(format!("\"user\": {user:?}, \"password\": {password:?}"));
        }
        format!("{{{}}}", fields.join(", "))
    }
}

impl ReceivedMail {
    /// Reads what the server wrote: JSON with strings and their escapes alone.
    fn read(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        Some(Self {
            to: value
                .get("to")?
                .as_array()?
                .iter()
                .filter_map(|to| to.as_str().map(str::to_owned))
                .collect(),
            data: value.get("data")?.as_str()?.to_owned(),
            tls: value.get("tls")?.as_bool()?,
            user: value.get("user")?.as_str().map(str::to_owned),
        })
    }

    /// The head: everything before the first empty line.
    pub fn head(&self) -> &str {
        self.data.split_once("\r\n\r\n").map_or(&self.data, |(head, _)| head)
    }

    /// The text part, decoded from quoted-printable or as it stands.
    pub fn text(&self) -> String {
        let part = self.data.split("Content-Type: text/plain").nth(1).unwrap_or(&self.data);
        let (head, body) = part.split_once("\r\n\r\n").unwrap_or(("", part));
        let body = body.split("\r\n--").next().unwrap_or_default();
        if head.to_ascii_lowercase().contains("quoted-printable") {
            unquoted(body)
        } else {
            body.replace("\r\n", "\n")
        }
    }
}

/// Quoted-printable as text (RFC 2045 section 6.7).
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\r\n", "").replace("\r\n", "\n");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let (b'=', Some(byte)) = (*first, byte) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
