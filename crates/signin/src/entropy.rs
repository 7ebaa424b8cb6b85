//! Chance from the operating system.

use bekci_core::Entropy;

/// The operating system's cryptographic source of random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        getrandom::fill(buffer).map_err(|error| format!("the operating system gives no random bytes: {error}"))
    }
}
