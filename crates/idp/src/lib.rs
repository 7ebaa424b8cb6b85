//! Identity providers: an HTTP client that is bounded in time and size, discovery (OpenID Connect Discovery 1.0), and the keys that verify ID tokens.
//!
//! [`Provider`] is one provider. It trusts what the provider publishes over TLS, and follows no redirect. Signatures and claims are verified through the port
//! [`IdpKeyReader`](bekci_core::idp::IdpKeyReader).

mod cache;
mod discovery;
mod http;
mod provider;
mod url;

pub use provider::{Provider, ProviderError, ProviderParts};
