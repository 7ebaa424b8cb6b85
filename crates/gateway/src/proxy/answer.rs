//! The head of an upstream's answer (RFC 9112), read strictly: what two readers could take for different answers is refused.

use actix_web::{
    http::{
        Method, StatusCode,
        header::{HeaderName, HeaderValue},
    },
    web::BytesMut,
};

use super::error::ProxyError;

/// The most bytes that a head may have.
const MAX_HEAD: usize = 64 * 1024;
/// The most header lines that a head may have.
const MAX_HEADERS: usize = 128;
/// As many as most heads have.
const FEW_HEADERS: usize = 24;

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// When the connection closes.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) framing: Framing,
    /// The body's length as `Content-Length` has it, also where no body follows (RFC 9110 section 8.6).
    pub(super) length: Option<u64>,
    /// Whether the connection can carry another request afterwards.
    pub(super) keeps_alive: bool,
}

impl Head {
    /// The headers that `Connection` names, in lower case.
    pub(super) fn connection_options(&self) -> impl Iterator<Item = String> {
        let lists = named(&self.headers, "connection");
        let options = lists.flat_map(|list| list.split(|byte| *byte == b','));
        options.map(|option| String::from_utf8_lossy(option.trim_ascii()).to_ascii_lowercase())
    }

    /// Whether no answer of this status has a body (RFC 9110 section 6.4.1).
    pub(super) fn status_has_no_body(&self) -> bool {
        has_no_body(self.status)
    }

    /// Whether the protocol it switches to is the WebSocket's.
    pub(super) fn names_websocket(&self) -> bool {
        let mut upgrades = named(&self.headers, "upgrade");
        let first = upgrades.next();
        first.is_some_and(|upgrade| upgrade.trim_ascii().eq_ignore_ascii_case(b"websocket"))
            && upgrades.next().is_none()
    }
}

/// Takes one head from the input; `None` where it is not whole yet. Interim answers (1xx but 101) are heads too; the caller passes over them.
///
/// # Errors
/// [`ProxyError::BadAnswer`].
pub(super) fn take(input: &mut BytesMut, method: &Method) -> Result<Option<Head>, ProxyError> {
    if input.is_empty() {
        return Ok(None);
    }
    // Most heads have few lines, and each slot has to be initialised.
    let parsed = match parse(input, &mut [httparse::EMPTY_HEADER; FEW_HEADERS]) {
        Err(httparse::Error::TooManyHeaders) => parse(input, &mut [httparse::EMPTY_HEADER; MAX_HEADERS]),
        parsed => parsed,
    };
    let parsed = match parsed {
        Ok(Some(parsed)) if parsed.size <= MAX_HEAD => parsed,
        Ok(None) if input.len() <= MAX_HEAD => return Ok(None),
        Ok(_) => return Err(ProxyError::BadAnswer("its head is too long")),
        Err(_) => return Err(ProxyError::BadAnswer("its head is malformed")),
    };
    let status = parsed.status.ok_or(ProxyError::BadAnswer("its status is none"))?;
    let is_11 = parsed.is_11;
    let raw = input.split_to(parsed.size).freeze();
    let value_at = |at: usize, length: usize| match at.checked_add(length) {
        Some(end) if length > 0 && end <= raw.len() => raw.slice(at..end),
        _ => raw.slice(..0),
    };
    let headers: Vec<(HeaderName, HeaderValue)> = parsed
        .places
        .into_iter()
        .map(|(name, at, length)| {
            let name = name.ok_or(ProxyError::BadAnswer("it has a malformed header"))?;
            HeaderValue::from_maybe_shared(value_at(at, length))
                .map(|value| (name, value))
                .map_err(|_| ProxyError::BadAnswer("it has a malformed header"))
        })
        .collect::<Result<_, ProxyError>>()?;
    let (framing, length) = framing(&headers, status, method, is_11)?;
    let closes = named(&headers, "connection").any(|value| has_token(value, "close"));
    Ok(Some(Head {
        status,
        framing,
        length,
        keeps_alive: is_11 && !closes && framing != Framing::UntilClose,
        headers,
    }))
}

/// A head whose values are places in the input, so that they can share its memory.
struct Parsed {
    size: usize,
    is_11: bool,
    status: Option<StatusCode>,
    /// `None` for a name that is none.
    places: Vec<(Option<HeaderName>, usize, usize)>,
}

/// Parses a head into these slots; `None` if it is not whole.
fn parse<'a>(input: &'a [u8], lines: &mut [httparse::Header<'a>]) -> Result<Option<Parsed>, httparse::Error> {
    let mut parsed = httparse::Response::new(lines);
    let httparse::Status::Complete(size) = parsed.parse(input)? else {
        return Ok(None);
    };
    let start = input.as_ptr() as usize;
    let places = parsed.headers.iter().map(|line| {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok();
        let at = (line.value.as_ptr() as usize).wrapping_sub(start);
        (name, at, line.value.len())
    });
    Ok(Some(Parsed {
        size,
        is_11: parsed.version == Some(1),
        status: parsed.code.and_then(|code| StatusCode::from_u16(code).ok()),
        places: places.collect(),
    }))
}

fn named<'a>(headers: &'a [(HeaderName, HeaderValue)], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.iter().filter(move |(found, _)| found.as_str() == name);
    values.map(|(_, value)| value.as_bytes())
}

fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 9112 section 6.3, with what it leaves to the careful refused: both framings, a coding other than `chunked`, lengths that differ.
fn framing(
    headers: &[(HeaderName, HeaderValue)],
    status: StatusCode,
    method: &Method,
    is_11: bool,
) -> Result<(Framing, Option<u64>), ProxyError> {
    let mut codings = named(headers, "transfer-encoding");
    let coding = codings.next();
    if codings.next().is_some() {
        return Err(ProxyError::BadAnswer("it has two Transfer-Encodings"));
    }
    let length = length(headers)?;
    let chunked = match coding {
        None => false,
        Some(coding) if is_11 && length.is_none() && coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => true,
        Some(_) => return Err(ProxyError::BadAnswer("its Transfer-Encoding is not understood")),
    };
    let framing = match (method == Method::HEAD || has_no_body(status), chunked, length) {
        (true, ..) => Framing::None,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    };
    Ok((framing, length))
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn length(headers: &[(HeaderName, HeaderValue)]) -> Result<Option<u64>, ProxyError> {
    let mut length = None;
    for value in named(headers, "content-length") {
        let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
        let number = text
            .parse()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        match (length, number) {
            (_, None) => return Err(ProxyError::BadAnswer("its Content-Length is no number")),
            (Some(before), Some(number)) if before != number => {
                return Err(ProxyError::BadAnswer("it has two Content-Lengths"));
            }
            (_, number) => length = number,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str, method: Method) -> Result<Option<Head>, ProxyError> {
        take(&mut BytesMut::from(text), &method)
    }

    fn framed(text: &str) -> Option<Framing> {
        let text = format!("HTTP/1.1 {text}\r\n\r\n");
        head(&text, Method::GET).ok().flatten().map(|head| head.framing)
    }

    #[test]
    fn the_body_ends_as_the_headers_say() {
        assert_eq!(framed("200 OK\r\nContent-Length: 5"), Some(Framing::Length(5)));
        assert_eq!(
            framed("200 OK\r\nContent-Length: 5\r\nContent-Length: 5"),
            Some(Framing::Length(5))
        );
        assert_eq!(framed("200 OK\r\nTransfer-Encoding: Chunked"), Some(Framing::Chunked));
        assert_eq!(framed("200"), Some(Framing::UntilClose));
        assert_eq!(framed("204 \r\nContent-Length: 5"), Some(Framing::None));
        assert_eq!(framed("304 \r\nContent-Length: 5"), Some(Framing::None));
        assert_eq!(framed("103 Early Hints\r\nLink: x"), Some(Framing::None));
        let head = head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD)
            .unwrap()
            .unwrap();
        assert_eq!((head.framing, head.length), (Framing::None, Some(5)));
    }

    #[test]
    fn an_answer_that_two_readers_could_end_differently_is_refused() {
        for text in [
            "200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            "200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
            "200 OK\r\nContent-Length: 5, 5",
            "200 OK\r\nContent-Length: +5",
            "200 OK\r\nContent-Length: -1",
            "200 OK\r\nContent-Length:",
            "200 OK\r\nContent-Length: 99999999999999999999",
            "200 OK\r\nTransfer-Encoding: gzip, chunked",
            "200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "200 OK\r\nTransfer-Encoding: identity",
            "200 OK\r\nTransfer-Encoding : chunked",
            "200 OK\r\nX: a\r\n b",
            "99 Odd",
            "two OK",
        ] {
            assert_eq!(framed(text), None, "{text:?}");
        }
        assert!(head("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET).is_err());
        assert!(head("ICY 200 OK\r\n\r\n", Method::GET).is_err());
    }

    #[test]
    fn a_head_may_have_as_many_lines_as_the_bound_and_no_more() {
        for (lines, is_read) in [
            (0, true),
            (FEW_HEADERS, true),
            (FEW_HEADERS + 1, true),
            (MAX_HEADERS, true),
            (MAX_HEADERS + 1, false),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(lines));
            let read = head(&text, Method::GET).ok().flatten();
            assert_eq!(read.map(|head| head.headers.len()), is_read.then_some(lines), "{lines}");
        }
        assert!(head("", Method::GET).unwrap().is_none());
    }

    #[test]
    fn a_head_is_waited_for_up_to_a_bound() {
        assert!(head("HTTP/1.1 200 OK\r\nX: ", Method::GET).unwrap().is_none());
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(MAX_HEAD));
        assert!(head(&long, Method::GET).is_err());
    }

    #[test]
    fn what_follows_the_head_stays_in_the_input() {
        let mut input = BytesMut::from("HTTP/1.1 200 OK\r\nA: \r\nB: b\r\nContent-Length: 2\r\n\r\nhi");
        let head = take(&mut input, &Method::GET).unwrap().unwrap();
        assert_eq!(&input[..], b"hi");
        let values: Vec<&[u8]> = head.headers.iter().map(|(_, value)| value.as_bytes()).collect();
        assert_eq!(values, [&b""[..], b"b", b"2"]);
        assert!(head.keeps_alive);
    }
}
