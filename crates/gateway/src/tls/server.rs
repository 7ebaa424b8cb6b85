//! The certificate of a listener. It is exchanged while the listener runs: connections that are open keep the one that they began with.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{TlsProblem, provider};

/// A certificate with its key, read from their files.
#[derive(Clone, Debug)]
pub(crate) struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// Reads the chain, the listener's own certificate first, and the key.
    ///
    /// # Errors
    /// [`TlsProblem`]: a file that cannot be read, or a key that is another certificate's.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsProblem> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsProblem::File { path, error }
        };
        let chain = CertificateDer::pem_file_iter(certificate).map_err(at(certificate))?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(at(certificate))?;
        if chain.is_empty() {
            return Err(TlsProblem::NoCertificate(certificate.to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsProblem::NoKey(key.to_owned()),
            error => at(key)(error),
        })?;
        let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| TlsProblem::Unfit {
            certificate: certificate.to_owned(),
            key: PathBuf::from(key),
            error,
        })?;
        Ok(Self(Arc::new(certified)))
    }

    /// Whether both are the same certificate. A key that is renewed comes with a certificate of its own.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

/// The certificate that new connections are shown.
#[derive(Clone, Debug)]
pub(crate) struct Served(Arc<RwLock<Certificate>>);

impl Served {
    pub(crate) fn new(certificate: Certificate) -> Self {
        Self(Arc::new(RwLock::new(certificate)))
    }

    pub(crate) fn now(&self) -> Certificate {
        self.0.read().clone()
    }

    pub(crate) fn replace(&self, certificate: Certificate) {
        *self.0.write() = certificate;
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().0)
    }
}

/// The settings of a listener that shows this certificate.
///
/// # Errors
/// [`TlsProblem::Settings`].
pub(crate) fn server_config(served: &Served) -> Result<ServerConfig, TlsProblem> {
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(versions
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(served.clone())))
}
