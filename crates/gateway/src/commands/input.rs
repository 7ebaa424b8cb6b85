//! What is too secret for an argument: read from standard input.

use std::io::Read;

use secrecy::SecretString;

use super::Failure;

/// Longer than any password or token.
const MOST_BYTES: u64 = 16 * 1_024;

/// Standard input to its end, without the line break there.
pub(crate) fn secret() -> Result<SecretString, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(Failure::of)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}
