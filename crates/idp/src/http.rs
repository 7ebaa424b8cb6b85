//! An HTTP/1.1 client for short JSON answers: one request a connection, no redirects, bounded in time and size.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::url::Url;

/// How long a request may take, from the name's lookup to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// The most fields of a head.
const MAX_FIELDS: usize = 64;
/// The longest answer. Sets of keys have a few kilobytes.
const MAX_BODY: usize = 256 * 1024;
/// How much is read at once.
const PIECE: usize = 8 * 1024;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Get(&'a Url),
}

impl Request<'_> {
    fn url(&self) -> &Url {
        match self {
            Self::Get(url) => url,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let url = self.url();
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: bekci/{}\r\naccept: application/json\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n",
            url.target,
            url.authority,
            env!("CARGO_PKG_VERSION")
        );
        head.into_bytes()
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    /// With the connection.
    Close,
}

/// A client with the authorities that it accepts.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `None`: it speaks no TLS.
    tls: Option<Arc<ClientConfig>>,
    patience: Duration,
}

impl Client {
    /// One for plain http alone.
    pub(crate) fn without_tls() -> Self {
        Self {
            tls: None,
            patience: PATIENCE,
        }
    }

    /// One that accepts the authorities of this PEM file, or the system's.
    pub(crate) fn trusting(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let wrong = |error: String| format!("{}: {error}", path.display());
                let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("has no certificate".to_owned()));
                }
            }
            None => {
                // Systems have some that no longer pass today's rules; they are left out.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err("the system has no certificate authorities (Debian: ca-certificates)".to_owned());
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.map_err(|error| error.to_string())?;
        let mut config = versions.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: Some(Arc::new(config)),
            patience: PATIENCE,
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Answer, String> {
        match timeout(self.patience, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", self.patience.as_secs())),
        }
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Answer, String> {
        let url = request.url();
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        if !url.is_https {
            return Reader::new(stream).exchange(&request.bytes()).await;
        }
        let tls = self.tls.as_ref().ok_or("it is reached without TLS alone")?;
        let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| format!("no TLS connection: {error}"))?;
        Reader::new(stream).exchange(&request.bytes()).await
    }
}

/// A connection, with what was read and not used yet.
struct Reader<S> {
    stream: S,
    held: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            held: Vec::new(),
        }
    }

    async fn exchange(mut self, request: &[u8]) -> Result<Answer, String> {
        let wrong = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request).await.map_err(wrong)?;
        self.stream.flush().await.map_err(wrong)?;
        let (status, framing) = self.head().await?;
        let body = match framing {
            Framing::Length(length) => self.take(length).await?,
            Framing::Chunked => self.chunks().await?,
            Framing::Close => self.rest().await?,
        };
        Ok(Answer { status, body })
    }

    /// Reads more; `false`: the other side has ended.
    async fn more(&mut self) -> Result<bool, String> {
        let mut piece = [0; PIECE];
        match self.stream.read(&mut piece).await {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.held.extend_from_slice(piece.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) => Err(format!("the connection broke: {error}")),
        }
    }

    async fn head(&mut self) -> Result<(u16, Framing), String> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&self.held) {
                Ok(httparse::Status::Complete(length)) => {
                    let told = (response.code.unwrap_or_default(), framing(response.headers)?);
                    self.held.drain(..length);
                    return Ok(told);
                }
                Ok(httparse::Status::Partial) if self.held.len() <= MAX_HEAD => {}
                Ok(httparse::Status::Partial) => return Err("the head of the answer is too long".to_owned()),
                Err(error) => return Err(format!("no HTTP answer: {error}")),
            }
            if !self.more().await? {
                return Err("the connection ended within the head of the answer".to_owned());
            }
        }
    }

    /// The next bytes, of this number.
    async fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        if length > MAX_BODY {
            return Err(too_long());
        }
        while self.held.len() < length {
            if !self.more().await? {
                return Err("the connection ended within the answer".to_owned());
            }
        }
        Ok(self.held.drain(..length).collect())
    }

    async fn rest(&mut self) -> Result<Vec<u8>, String> {
        while self.held.len() <= MAX_BODY {
            if !self.more().await? {
                return Ok(std::mem::take(&mut self.held));
            }
        }
        Err(too_long())
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, String> {
        const MAX_LINE: usize = 256;
        loop {
            if let Some(at) = self.held.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.held.drain(..at).collect();
                self.held.drain(..2);
                return Ok(line);
            }
            if self.held.len() > MAX_LINE || !self.more().await? {
                return Err("the answer has no good chunks".to_owned());
            }
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).ok().map(str::trim);
            let is_hex = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = size
                .filter(is_hex)
                .and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.ok_or("the answer has no good chunks")?;
            if size == 0 {
                return Ok(body);
            }
            if size > MAX_BODY.saturating_sub(body.len()) {
                return Err(too_long());
            }
            body.extend(self.take(size).await?);
            if !self.line().await?.is_empty() {
                return Err("the answer has no good chunks".to_owned());
            }
        }
    }
}

fn too_long() -> String {
    format!("the answer is longer than {MAX_BODY} bytes")
}

/// How the body ends by the fields of the head (RFC 9112 section 6.3).
fn framing(fields: &[httparse::Header<'_>]) -> Result<Framing, String> {
    let named = |name: &str| {
        let found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        found
            .map(|field| std::str::from_utf8(field.value).unwrap_or_default().trim())
            .collect::<Vec<_>>()
    };
    if named("content-encoding")
        .iter()
        .any(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err("the answer is compressed".to_owned());
    }
    match (&named("transfer-encoding")[..], &named("content-length")[..]) {
        ([], []) => Ok(Framing::Close),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| too_long())
        }
        _ => Err("the length of the answer is not clear".to_owned()),
    }
}

#[cfg(test)]
mod tests;
