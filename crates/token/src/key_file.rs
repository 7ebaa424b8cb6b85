//! The text of a key file: what the key does not say of itself, then the key.
//!
//! ```text
//! Bekci-Key: 1
//! Algorithm: EdDSA
//! Created: 2026-01-01T00:00:00Z
//! -----BEGIN PRIVATE KEY-----
//! ```
//!
//! RFC 7468 section 2 has readers of PEM pass over text before the first boundary, so the file is still a PKCS#8 key for any other tool. The lines are in the file,
//! not in its name or its times, because they must survive copying. A key that was made elsewhere has none of them: it is for the algorithm of its
//! guard, and counts as made in 1970, so that it signs at once and until a newer one does.

use p256::pkcs8::{LineEnding, SecretDocument};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;

const BOUNDARY: &str = "-----BEGIN ";
const LABEL: &str = "PRIVATE KEY";

/// What stands before the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) created: OffsetDateTime,
}

/// The whole text for a key in PKCS#8 DER.
pub(crate) fn write(
    algorithm: Algorithm,
    created: OffsetDateTime,
    der: &SecretDocument,
) -> Result<Zeroizing<String>, String> {
    let created = created.format(&Rfc3339).map_err(|error| error.to_string())?;
    let pem = der.to_pem(LABEL, LineEnding::LF).map_err(|error| error.to_string())?;
    Ok(Zeroizing::new(format!(
        "Bekci-Key: 1\nAlgorithm: {algorithm}\nCreated: {created}\n{}",
        pem.as_str()
    )))
}

/// Splits the text into what is said of the key, and the key.
pub(crate) fn read(bytes: &[u8]) -> Result<(Preamble, SecretDocument), String> {
    let text = str::from_utf8(bytes).map_err(|_| "not text")?;
    let at = text.find(BOUNDARY).ok_or("no PEM in it")?;
    let (preamble, pem) = text.split_at_checked(at).ok_or("no PEM in it")?;
    let preamble = read_preamble(preamble)?;
    let (label, der) = SecretDocument::from_pem(pem).map_err(|error| format!("its PEM is broken: {error}"))?;
    if label != LABEL {
        return Err(format!("a {label:?}, not an unencrypted PKCS#8 \"{LABEL}\""));
    }
    Ok((preamble, der))
}

fn read_preamble(text: &str) -> Result<Preamble, String> {
    let mut preamble = Preamble {
        algorithm: None,
        created: OffsetDateTime::UNIX_EPOCH,
    };
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim() {
            "Bekci-Key" if value != "1" => return Err(format!("version {value:?} of key files is not known")),
            "Algorithm" => preamble.algorithm = Some(value.parse().map_err(|error| format!("{error}"))?),
            "Created" => {
                let created = OffsetDateTime::parse(value, &Rfc3339);
                preamble.created = created.map_err(|_| "Created is not an RFC 3339 time")?;
            }
            _ => {}
        }
    }
    Ok(preamble)
}
