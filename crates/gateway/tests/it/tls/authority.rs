//! Certificates, made for a test.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bekci_test_support::TempDir;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// An authority, with a folder for what it issues.
pub struct Authority {
    pub folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key, as texts.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Issued {
    pub fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (vec![certificate], key)
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority of a test");
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new("authority");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a name or an address.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2_100)
    }

    /// One that has run out.
    pub fn issue_expired(&self, name: &str) -> Issued {
        self.issue_until(name, 2_001)
    }

    fn issue_until(&self, name: &str, year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2_000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes a certificate and its key to `<name>.pem` and `<name>.key` of its folder.
    pub fn write(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let at = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        std::fs::write(at("pem"), &issued.certificate).unwrap();
        std::fs::write(at("key"), &issued.key).unwrap();
        (at("pem"), at("key"))
    }

    /// Asks a server by TLS, believing this authority alone.
    pub fn ask(&self, address: SocketAddr, name: &str, path: &str) -> Result<String, String> {
        let mut line = self.connect(address, name)?;
        say(&mut line, path)
    }

    /// A connection to a server with this name; the handshake is done.
    pub fn connect(&self, address: SocketAddr, name: &str) -> Result<Line, String> {
        self.connect_for(&[], address, name)
    }

    /// One that is for one of these protocols.
    pub fn connect_for(&self, protocols: &[&str], address: SocketAddr, name: &str) -> Result<Line, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket).map_err(|error| error.to_string())?;
        }
        Ok(StreamOwned::new(client, socket))
    }
}

pub type Line = StreamOwned<ClientConnection, TcpStream>;

/// One request on a connection that is kept; gives head and body.
pub fn say(line: &mut Line, path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    line.write_all(request.as_bytes()).map_err(failed)?;
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = line.read(&mut buffer).map_err(failed)?;
        text.extend_from_slice(&buffer[..count]);
        let answer = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if count == 0 || length.is_some_and(|length: usize| body.len() >= length) || body.ends_with("0\r\n\r\n") {
                return Ok(answer);
            }
        }
        if count == 0 {
            return Err(format!("it ended: {answer}"));
        }
    }
}
