//! Why a request that was let through was not answered by its upstream.

use std::io;

use bekci_core::ErrorCode;

/// Why forwarding failed. The text is for the log; a client learns the code alone.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The request itself cannot be forwarded.
    #[error("the request cannot be forwarded: {0}")]
    Malformed(&'static str),
    /// The client's body ended early or cannot be read.
    #[error("the client's body cannot be read: {0}")]
    ClientBody(String),
    /// The client did not send its body in time.
    #[error("the client's body did not come in time")]
    ClientTooSlow,
    /// The request has been through this gateway before (RFC 9110 section 7.6.3).
    #[error("the request goes in a circle")]
    Loop,
    /// A WebSocket opened by a page of another origin with the browser's cookies.
    #[error("a page of another origin opens a WebSocket")]
    CrossSite,
    /// The upstream cannot be reached.
    #[error("the upstream cannot be reached: {0}")]
    Unavailable(String),
    /// The upstream answered something that is not HTTP.
    #[error("the upstream's answer cannot be read: {0}")]
    BadAnswer(&'static str),
    /// The upstream did not answer in time.
    #[error("the upstream did not answer in time: {0}")]
    Timeout(&'static str),
}

impl ProxyError {
    pub(super) fn unavailable(what: &str, error: &io::Error) -> Self {
        Self::Unavailable(format!("{what}: {error}"))
    }

    /// The code that an answer carries.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_) | Self::ClientBody(_) | Self::ClientTooSlow => ErrorCode::MalformedRequest,
            Self::CrossSite => ErrorCode::CsrfRejected,
            Self::Loop | Self::Unavailable(_) | Self::BadAnswer(_) => ErrorCode::UpstreamUnavailable,
            Self::Timeout(_) => ErrorCode::UpstreamTimeout,
        }
    }
}
