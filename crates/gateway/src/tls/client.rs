//! Whom the gateway believes where it is the client: the authorities of a file, or the system's. Certificates are judged by chain, time and host name; there is no
//! setting that leaves one of them out.

use std::{cell::OnceCell, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{TlsProblem, provider};

/// The settings of connections, made when they are first asked for: the system's authorities are read once.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    system: OnceCell<Arc<ClientConfig>>,
}

impl Clients {
    /// Those that believe the authorities of this file, or the system's.
    ///
    /// # Errors
    /// [`TlsProblem`]: a file that holds no authority, or a system without any.
    pub(crate) fn trusting(&self, authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TlsProblem> {
        if let Some(path) = authorities {
            return settings(authorities_of(path)?);
        }
        if let Some(system) = self.system.get() {
            return Ok(Arc::clone(system));
        }
        let made = settings(authorities_of_system()?)?;
        Ok(Arc::clone(self.system.get_or_init(|| made)))
    }
}

fn settings(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsProblem> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn authorities_of(path: &Path) -> Result<RootCertStore, TlsProblem> {
    let at = |error| TlsProblem::File {
        path: path.to_owned(),
        error,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(at)? {
        let certificate = certificate.map_err(at)?;
        roots.add(certificate).map_err(|error| TlsProblem::Authority {
            path: path.to_owned(),
            error,
        })?;
    }
    if roots.is_empty() {
        return Err(TlsProblem::NoCertificate(path.to_owned()));
    }
    Ok(roots)
}

fn authorities_of_system() -> Result<RootCertStore, TlsProblem> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that no longer stand up to today's rules; they are passed over.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsProblem::NoAuthorities(why.join("; ")));
    }
    Ok(roots)
}

/// Makes a connection a TLS one, with the server of this name.
///
/// # Errors
/// The handshake's, among it a certificate that is not believed.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(config))
        .connect(name.clone(), stream)
        .await
}
