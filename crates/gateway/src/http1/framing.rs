//! Where the head and the body of a request end (RFC 9112).
//!
//! Only ends are found here; actix-http reads what the bytes mean. This reader is at least as strict: both find the same end, or the request is refused.

/// The most bytes of a line with the size of a chunk, extensions included.
pub(super) const MAX_SIZE_LINE: usize = 256;
/// The most bytes of all extensions of one body.
pub(super) const MAX_EXTENSIONS: usize = 16 * 1024;
/// The most bytes of trailers.
pub(super) const MAX_TRAILERS: usize = 8 * 1024;
/// More digits than this do not fit the size of a chunk.
const MAX_SIZE_DIGITS: usize = 16;

/// Finds the end of a head: an empty line after one that is not.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Whether a byte of the request line came; empty lines before it are skipped (RFC 9112 section 2.2).
    pub(super) has_begun: bool,
    /// Whether the request line has ended.
    pub(super) has_request_line: bool,
    /// Whether the current line has a byte.
    is_filled: bool,
}

impl HeadScan {
    /// How many of these bytes belong to the head, and whether it ends with them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let Some(length) = memchr::memchr(b'\n', rest) else {
                self.fill(rest);
                break;
            };
            self.fill(rest.get(..length).unwrap_or_default());
            at += length + 1;
            if self.is_filled {
                self.has_request_line = true;
                self.is_filled = false;
            } else if self.has_begun {
                *self = Self::default();
                return (at, true);
            }
        }
        (bytes.len(), false)
    }

    fn fill(&mut self, line: &[u8]) {
        // A line feed may come after a carriage return or alone: actix-http takes both.
        if line.iter().any(|byte| *byte != b'\r') {
            self.has_begun = true;
            self.is_filled = true;
        }
    }
}

/// Finds the end of a body.
#[derive(Debug)]
pub(super) enum BodyScan {
    /// So many bytes are left.
    Length(u64),
    /// In chunked coding (section 7.1).
    Chunked(Chunked),
}

/// A body that breaks its coding or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenBody;

impl BodyScan {
    /// How many of these bytes belong to the body, and whether it ends with them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(usize, bool), BrokenBody> {
        match self {
            Self::Length(left) => {
                let count = take(left, bytes.len());
                Ok((count, *left == 0))
            }
            Self::Chunked(chunked) => chunked.pass(bytes),
        }
    }
}

/// Takes what there is, and gives how much that was.
fn take(left: &mut u64, there: usize) -> usize {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
    *left -= count as u64;
    count
}

/// Where the reading of chunks stands.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    /// The size of the chunk, or what is left of it.
    size: u64,
    /// The bytes of the current size line.
    line: usize,
    extensions: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// The digits of a size.
    #[default]
    Size,
    /// White space after them.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl Chunked {
    fn pass(&mut self, bytes: &[u8]) -> Result<(usize, bool), BrokenBody> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.part == Part::Data {
                at += take(&mut self.size, bytes.len() - at);
                if self.size == 0 {
                    self.part = Part::DataCr;
                }
                continue;
            }
            self.part = self.step(*byte).ok_or(BrokenBody)?;
            at += 1;
            if self.part == Part::End {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// The part after this byte; `None` if the byte is not allowed here.
    fn step(&mut self, byte: u8) -> Option<Part> {
        Some(match (self.part, byte) {
            (Part::Size, byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size.checked_mul(16)?.checked_add(u64::from(digit))?;
                self.line += 1;
                (self.line <= MAX_SIZE_DIGITS).then_some(Part::Size)?
            }
            (Part::Size | Part::Space, b'\r') if self.line > 0 => Part::SizeLf,
            (Part::Size | Part::Space, b';') if self.line > 0 => self.extended(Part::Extension)?,
            (Part::Size | Part::Space, b' ' | b'\t') if self.line > 0 => self.extended(Part::Space)?,
            (Part::Extension, b'\r') => Part::SizeLf,
            (Part::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extended(Part::Extension)?,
            (Part::SizeLf, b'\n') => {
                self.line = 0;
                if self.size == 0 { Part::TrailerStart } else { Part::Data }
            }
            (Part::DataCr, b'\r') => Part::DataLf,
            (Part::DataLf, b'\n') => Part::Size,
            (Part::TrailerStart, b'\r') => Part::EndLf,
            (Part::EndLf, b'\n') => Part::End,
            (Part::Trailer, b'\r') => Part::TrailerLf,
            (Part::TrailerLf, b'\n') => Part::TrailerStart,
            (Part::TrailerStart | Part::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailers += 1;
                (self.trailers <= MAX_TRAILERS).then_some(Part::Trailer)?
            }
            _ => return None,
        })
    }

    /// Counts a byte after the digits of a size.
    fn extended(&mut self, part: Part) -> Option<Part> {
        self.line += 1;
        self.extensions += 1;
        (self.line <= MAX_SIZE_LINE && self.extensions <= MAX_EXTENSIONS).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the first head of a text ends, wherever the text is split in two.
    fn head_end(text: &str) -> Option<usize> {
        let ends = (0..=text.len()).map(|split| {
            let mut scan = HeadScan::default();
            let (front, back) = text.as_bytes().split_at(split);
            let (passed, ended) = scan.pass(front);
            if ended {
                return Some(passed);
            }
            assert_eq!(passed, split);
            let (passed, ended) = scan.pass(back);
            ended.then_some(split + passed)
        });
        same(ends.collect(), text)
    }

    fn same<T: PartialEq + Copy + std::fmt::Debug>(mut ends: Vec<T>, text: &str) -> T {
        ends.dedup();
        assert_eq!(ends.len(), 1, "{text:?}: {ends:?}");
        ends[0]
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line_wherever_it_is_split() {
        for (text, end) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", Some(27)),
            ("GET / HTTP/1.1\nHost: a\n\nGET", Some(24)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\nGET", Some(22)),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(head_end(text), end, "{text:?}");
        }
    }

    /// Where a chunked body ends, wherever it is split in two.
    fn body_end(text: &str) -> Result<Option<usize>, BrokenBody> {
        let ends = (0..=text.len()).map(|split| {
            let mut scan = BodyScan::Chunked(Chunked::default());
            let (front, back) = text.as_bytes().split_at(split);
            let (passed, ended) = scan.pass(front)?;
            if ended {
                return Ok(Some(passed));
            }
            assert_eq!(passed, split);
            let (passed, ended) = scan.pass(back)?;
            Ok(ended.then_some(split + passed))
        });
        same(ends.collect(), text)
    }

    #[test]
    fn a_chunked_body_ends_after_its_trailers() {
        for text in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "3;a=b\r\na\r\n\r\n00\r\n\r\n",
            "A \r\n0123456789\r\n0\r\nX: y\r\nZ: \r\n\r\n",
        ] {
            assert_eq!(
                body_end(&format!("{text}GET / HTTP/1.1\r\n")),
                Ok(Some(text.len())),
                "{text:?}"
            );
        }
        assert_eq!(body_end("5\r\nabc"), Ok(None));
    }

    #[test]
    fn chunks_that_break_their_coding_or_a_bound_are_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "1\na",
            "1\r\nab",
            "1\r\na\n",
            "0\r\n\n",
            "1\rx",
            ";\r\n",
            " 1\r\n",
            "1 1\r\n",
            "1;\0\r\n",
            "0\r\nA\n: b\r\n",
            "11111111111111111\r\n",
        ] {
            assert_eq!(body_end(&format!("{text}         ")), Err(BrokenBody), "{text:?}");
        }
        let is_broken = |text: String| BodyScan::Chunked(Chunked::default()).pass(text.as_bytes()).is_err();
        assert!(is_broken(format!("1;{}", "a".repeat(MAX_SIZE_LINE + 1))));
        assert!(is_broken(format!("1{}", " ".repeat(MAX_SIZE_LINE + 1))));
        let small = format!("1;{}\r\nx\r\n", "a".repeat(199));
        assert!(!is_broken(small.repeat(MAX_EXTENSIONS / 200)));
        assert!(is_broken(small.repeat(MAX_EXTENSIONS / 200 + 1)));
        assert!(is_broken(format!("0\r\nA: {}", "a".repeat(MAX_TRAILERS))));
        assert!(is_broken(format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS / 4 + 1))));
    }

    #[test]
    fn a_body_of_a_length_ends_there() {
        let mut scan = BodyScan::Length(5);
        assert_eq!(scan.pass(b"abc"), Ok((3, false)));
        assert_eq!(scan.pass(b"defg"), Ok((2, true)));
    }
}
