//! TLS 1.2 and 1.3, by rustls with the cryptography of ring: one provider for all that the gateway speaks.

mod client;
mod server;

use std::{path::PathBuf, sync::Arc};

use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::pem,
};

pub(crate) use client::{Clients, connect};
pub(crate) use server::{Certificate, Served, server_config};

/// Why something cannot be spoken to, or listened on, by TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// A file that cannot be read, or that holds nothing of what it should.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// A certificate file without a certificate.
    #[error("{path} holds no certificate", path = .0.display())]
    NoCertificate(PathBuf),
    /// A key file without a key that can be used as it is.
    #[error("{path} holds no private key in PEM, or one under a passphrase, which nobody is there to type", path = .0.display())]
    NoKey(PathBuf),
    /// The certificate and the key do not go together, or are of a kind that is not known.
    #[error("{certificate} cannot be served with {key}: {error}", certificate = certificate.display(), key = key.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate authority's certificate that cannot be used.
    #[error("{path} cannot be trusted: {error}", path = path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// The system trusts nobody.
    #[error("the system has no trusted certificate authorities ({0}): install ca-certificates, or name a ca_file")]
    NoAuthorities(String),
    /// Settings that rustls does not take.
    #[error(transparent)]
    Settings(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
