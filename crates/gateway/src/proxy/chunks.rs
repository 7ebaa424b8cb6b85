//! The body of an answer, as its framing has it. Chunked coding (RFC 9112 section 7.1) is read strictly: CRLF line ends, a bounded size line. Trailers are dropped.

use actix_web::web::{Buf, Bytes, BytesMut};

use super::{answer::Framing, error::ProxyError};

/// The longest size line of a chunk, with extensions.
const MAX_SIZE_LINE: usize = 256;
/// The most bytes of trailers.
const MAX_TRAILERS: usize = 8 * 1024;

/// What was found at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A part of the body.
    Data(Bytes),
    /// Nothing yet.
    More,
    /// The end of the body.
    End,
}

/// Where a body's reading stands.
#[derive(Debug)]
pub(super) enum Decoder {
    /// So many bytes are left.
    Length(u64),
    /// All that comes belongs to it.
    UntilClose,
    /// In chunked coding, before a size line.
    Size,
    /// In a chunk, with so many bytes left.
    Chunk(u64),
    /// Before the line end after a chunk.
    ChunkEnd,
    /// In the trailers, after so many bytes of them.
    Trailers(usize),
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size,
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether more than `size` bytes are known to come.
    pub(super) fn awaits_more_than(&self, size: usize) -> bool {
        match self {
            Self::Length(left) | Self::Chunk(left) => *left > size as u64,
            Self::UntilClose | Self::Size | Self::ChunkEnd | Self::Trailers(_) => false,
        }
    }

    /// Whether the body may end where the connection does.
    pub(super) fn may_end_by_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Takes the next piece from the input.
    ///
    /// # Errors
    /// [`ProxyError::BadAnswer`] for bad chunked coding.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Piece, ProxyError> {
        loop {
            match self {
                Self::Length(0) => return Ok(Piece::End),
                Self::Length(left) => return Ok(data(input, left)),
                Self::UntilClose => {
                    let mut endless = u64::MAX;
                    return Ok(data(input, &mut endless));
                }
                Self::Chunk(0) => *self = Self::ChunkEnd,
                Self::Chunk(left) => return Ok(data(input, left)),
                Self::Size => match line(input, MAX_SIZE_LINE)? {
                    None => return Ok(Piece::More),
                    Some(line) => match size(&line)? {
                        0 => *self = Self::Trailers(0),
                        size => *self = Self::Chunk(size),
                    },
                },
                Self::ChunkEnd => match line(input, 0)? {
                    None => return Ok(Piece::More),
                    Some(_) => *self = Self::Size,
                },
                Self::Trailers(read) => match line(input, MAX_TRAILERS.saturating_sub(*read))? {
                    None => return Ok(Piece::More),
                    Some(line) if line.is_empty() => *self = Self::Length(0),
                    Some(line) => *read += line.len() + 2,
                },
            }
        }
    }
}

fn data(input: &mut BytesMut, left: &mut u64) -> Piece {
    if input.is_empty() {
        return Piece::More;
    }
    let size = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= size as u64;
    Piece::Data(input.split_to(size).freeze())
}

/// Takes a line of at most `limit` bytes, without its CRLF.
fn line(input: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, ProxyError> {
    let end = input.iter().take(limit + 2).position(|byte| *byte == b'\n');
    let Some(end) = end else {
        return if input.len() >= limit + 2 {
            Err(ProxyError::BadAnswer("a line of its chunked body is too long"))
        } else {
            Ok(None)
        };
    };
    let mut line = input.split_to(end);
    input.advance(1);
    if line.last() != Some(&b'\r') || line.iter().filter(|byte| **byte == b'\r').count() != 1 {
        return Err(ProxyError::BadAnswer("a line of its chunked body does not end in CRLF"));
    }
    line.truncate(line.len() - 1);
    Ok(Some(line))
}

fn size(line: &[u8]) -> Result<u64, ProxyError> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    let is_hex = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_hex);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(ProxyError::BadAnswer("a chunk's size is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), ProxyError> {
        let mut input = BytesMut::from(text);
        let mut decoder = Decoder::new(Framing::Chunked);
        let mut body = String::new();
        loop {
            match decoder.take(&mut input)? {
                Piece::Data(data) => body.push_str(std::str::from_utf8(&data).unwrap()),
                Piece::More => return Ok((body, "more".to_owned())),
                Piece::End => return Ok((body, String::from_utf8(input.to_vec()).unwrap())),
            }
        }
    }

    #[test]
    fn chunks_are_joined_and_trailers_dropped() {
        let text = "3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nX-Auth-Roles: super\r\nB: c\r\n\r\nnext";
        assert_eq!(read(text).unwrap(), ("abc0123456789".to_owned(), "next".to_owned()));
    }

    #[test]
    fn chunks_may_come_in_any_pieces() {
        let text = "3\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n";
        for split in 0..text.len() {
            let (front, back) = text.split_at(split);
            let (mut input, mut decoder, mut body) = (BytesMut::new(), Decoder::new(Framing::Chunked), Vec::new());
            for part in [front, back] {
                input.extend_from_slice(part.as_bytes());
                while let Piece::Data(data) = decoder.take(&mut input).unwrap() {
                    body.extend_from_slice(&data);
                }
            }
            assert_eq!(body, b"abcd");
            assert_eq!(decoder.take(&mut input).unwrap(), Piece::End, "{split}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n\n",
            "1\rx\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nA: b\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&format!("1;{}", "a".repeat(MAX_SIZE_LINE))).is_err());
        assert!(read(&format!("0\r\nA: {}", "a".repeat(MAX_TRAILERS))).is_err());
    }
}
