//! The file of the root secret.

use std::path::Path;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bekci_core::{Entropy, RootSecret};
use zeroize::Zeroizing;

use crate::{
    entropy::random,
    error::{KeyStoreError, RootSecretFault},
    private_file,
};

/// People paste base64 with and without padding.
const FORGIVING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Reads the root secret from a file, and makes the file (mode 0600, base64) where there is none. Of two processes that make it at the same time one
/// wins, and both return that one's secret.
///
/// # Errors
/// [`KeyStoreError`]: the file cannot be made or read, is open to others, or holds no root secret.
pub fn ensure_root(path: &Path, entropy: &dyn Entropy) -> Result<RootSecret, KeyStoreError> {
    if !path.exists() {
        let bytes = random::<32>(entropy)?;
        let mut text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        text.push('\n');
        private_file::write_new(path, text.as_bytes(), entropy)?;
    }
    read_root(path)
}

/// Reads the root secret from a file.
///
/// # Errors
/// [`KeyStoreError`]: the file cannot be read, is open to others, or holds no root secret.
pub fn read_root(path: &Path) -> Result<RootSecret, KeyStoreError> {
    let bytes = private_file::read(path)?;
    parse_root(&bytes).map_err(|reason| KeyStoreError::Root {
        path: path.to_owned(),
        reason,
    })
}

/// Reads a root secret as it stands in a file or a variable: 32 raw bytes, or the same in base64 (either alphabet, padded or not) or in hex, with
/// white space around. The lengths differ, so that no text can be read in two ways.
///
/// # Errors
/// [`RootSecretFault`].
pub fn parse_root(bytes: &[u8]) -> Result<RootSecret, RootSecretFault> {
    if bytes.len() == 32 {
        return Ok(RootSecret::new(bytes)?);
    }
    let text = bytes.trim_ascii();
    let decoded = match text.len() {
        64 => unhex(text),
        43 | 44 => {
            let standard = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
            let url_safe = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);
            standard.decode(text).or_else(|_| url_safe.decode(text)).ok()
        }
        _ => None,
    };
    let decoded = Zeroizing::new(decoded.ok_or(RootSecretFault::Form)?);
    Ok(RootSecret::new(&decoded)?)
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect();
    let pairs = Zeroizing::new(digits?);
    pairs
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}
