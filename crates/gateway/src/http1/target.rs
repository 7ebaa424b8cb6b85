//! Request targets with bytes that a URI may not have (RFC 3986), in the request line as it comes.
//!
//! 1. A fragment is refused: clients never send one (RFC 9112 section 3.2), and what follows the `#` would be dropped unseen.
//! 2. A backquote in a path is encoded. The other bytes that browsers leave raw in paths are encoded with the canonical path.
//! 3. In a query, `"`, `<`, `>` and bytes beyond ASCII are encoded, as browsers encode them (URL Standard, query percent-encode set).
//! 4. Any other byte that no URI may have is refused; in a path with the code of a bad path.

use super::state::UnreadableHead;

/// How far a request line has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TargetScan {
    /// Before the target, empty lines before the request line included.
    #[default]
    Method,
    /// The target up to its query.
    Path,
    Query,
    /// After the target.
    Done,
}

/// What becomes of a byte.
enum Fate {
    Kept,
    Encoded,
    Refused(UnreadableHead),
}

impl TargetScan {
    /// Reads these bytes, and gives them with what has to be encoded; `None` if nothing has.
    ///
    /// # Errors
    /// [`UnreadableHead`] if the target is refused.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, UnreadableHead> {
        let mut encoded: Option<Vec<u8>> = None;
        for (at, byte) in bytes.iter().enumerate() {
            match self.fate(*byte) {
                Fate::Refused(why) => return Err(why),
                Fate::Encoded => {
                    let encoded = encoded.get_or_insert_with(|| bytes.get(..at).unwrap_or_default().to_vec());
                    encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
                Fate::Kept => encoded.iter_mut().for_each(|encoded| encoded.push(*byte)),
            }
            if *self == Self::Done {
                if let Some(encoded) = &mut encoded {
                    encoded.extend_from_slice(bytes.get(at + 1..).unwrap_or_default());
                }
                break;
            }
        }
        Ok(encoded)
    }

    fn fate(&mut self, byte: u8) -> Fate {
        match (*self, byte) {
            (Self::Done, _) => {}
            (Self::Method, b' ') => *self = Self::Path,
            (Self::Path | Self::Query, b' ' | b'\r' | b'\n') => *self = Self::Done,
            (Self::Path, b'?') => *self = Self::Query,
            (Self::Path | Self::Query, b'#') => return Fate::Refused(UnreadableHead::Fragment),
            (Self::Path, b'`') | (Self::Query, b'"' | b'<' | b'>' | 0x80..) => return Fate::Encoded,
            (Self::Path, b'<' | b'>' | 0x80..) => return Fate::Refused(UnreadableHead::Path),
            // What else may not stand there is for actix-http to refuse.
            (Self::Method | Self::Path | Self::Query, _) => {}
        }
        Fate::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request line becomes, wherever it is split in two.
    fn becomes(line: &str) -> Result<String, UnreadableHead> {
        let line = line.as_bytes();
        let mut all: Vec<_> = (0..=line.len())
            .map(|split| {
                let (front, back) = line.split_at(split);
                let mut scan = TargetScan::default();
                let mut became = scan.pass(front)?.unwrap_or_else(|| front.to_vec());
                became.extend(scan.pass(back)?.unwrap_or_else(|| back.to_vec()));
                Ok(String::from_utf8_lossy(&became).into_owned())
            })
            .collect();
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn bytes_that_browsers_encode_are_encoded_once() {
        for (line, expected) in [
            ("GET /a`b HTTP/1.1\r\nX: `\"#\r\n", "GET /a%60b HTTP/1.1\r\nX: `\"#\r\n"),
            ("GET /a?q=\"<>` HTTP/1.1\r\n", "GET /a?q=%22%3C%3E` HTTP/1.1\r\n"),
            ("\r\nGET /?q=é HTTP/1.1\r\n", "\r\nGET /?q=%C3%A9 HTTP/1.1\r\n"),
            ("GET /a?q=%22 HTTP/1.1\r\n", "GET /a?q=%22 HTTP/1.1\r\n"),
            ("GET /[a]\"b HTTP/1.1\r\n", "GET /[a]\"b HTTP/1.1\r\n"),
            ("G\"T /a HTTP/1.1\"\r\n", "G\"T /a HTTP/1.1\"\r\n"),
        ] {
            assert_eq!(becomes(line).as_deref(), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn a_fragment_and_what_no_path_may_have_are_refused() {
        for (line, why) in [
            ("GET /a#b HTTP/1.1\r\n", UnreadableHead::Fragment),
            ("GET /a# HTTP/1.1\r\n", UnreadableHead::Fragment),
            ("GET /a?b#c HTTP/1.1\r\n", UnreadableHead::Fragment),
            ("GET http://a/b#c HTTP/1.1\r\n", UnreadableHead::Fragment),
            ("GET /<a HTTP/1.1\r\n", UnreadableHead::Path),
            ("GET /é HTTP/1.1\r\n", UnreadableHead::Path),
        ] {
            assert_eq!(becomes(line), Err(why), "{line:?}");
        }
    }
}
