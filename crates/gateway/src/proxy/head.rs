//! The head of a request as its upstream receives it.

use std::{fmt::Write as _, net::IpAddr};

use actix_web::{
    dev::RequestHead,
    http::{Method, header},
    web::BytesMut,
};
use bekci::Tenancy;
use smallvec::SmallVec;

use super::{
    Forward,
    client::Client,
    cookies,
    error::ProxyError,
    identity::IdentityHeaders,
    names::{self, Fate, StrippedHeaders},
    upload::BodyFraming,
    upstream::{HostHeader, Target},
};

/// As much as most heads have, with identity and token.
const USUAL: usize = 3 * 1024;
const TRACESTATE: &str = "tracestate";

/// What of the gateway itself goes into a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) tenancy: &'a Tenancy,
    pub(super) identity: &'a IdentityHeaders,
    pub(super) stripped: &'a StrippedHeaders,
    /// The gateway's name in `Via`.
    pub(super) pseudonym: &'a str,
    pub(super) target: &'a Target,
    pub(super) client: &'a Client,
    pub(super) framing: Option<BodyFraming>,
    pub(super) opens_websocket: bool,
}

/// How the client's body goes on, by how it came. actix-http has refused what is ambiguous before (RFC 9112 section 6.3).
///
/// # Errors
/// [`ProxyError::Malformed`] for a length that is no number.
pub(super) fn body_framing(request: &RequestHead) -> Result<Option<BodyFraming>, ProxyError> {
    let headers = &request.headers;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Some(BodyFraming::Chunked));
    }
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length {
        None => Err(ProxyError::Malformed("its Content-Length is no number")),
        Some(0) => Ok(None),
        Some(length) => Ok(Some(BodyFraming::Length(length))),
    }
}

/// Writes the head into a buffer, which may be a used one. Ours come last and whatever the client said: its own copies are dropped by name, and those that its `Connection` header names before ours are set.
///
/// # Errors
/// [`ProxyError::Malformed`], [`ProxyError::Loop`].
pub(super) fn write(forward: &Forward<'_>, own: &Own<'_>, mut out: BytesMut) -> Result<BytesMut, ProxyError> {
    let request = forward.request;
    out.clear();
    out.reserve(USUAL);
    push(&mut out, &[request.method.as_str(), " ", forward.path]);
    if let Some(query) = request.uri.query() {
        push(&mut out, &["?", query]);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    match forward.upstream.host {
        HostHeader::Original => writes(&mut out, format_args!("host: {}\r\n", forward.host)),
        HostHeader::Own => push(&mut out, &["host: ", &own.target.authority, "\r\n"]),
    }
    client_headers(&mut out, request, own)?;
    connection_headers(&mut out, request, own);
    via(&mut out, request, own.pseudonym)?;
    forwarded(&mut out, own.client);
    push(&mut out, &["x-request-id: ", forward.request_id, "\r\n"]);
    trace(&mut out, forward);
    if let Some(principal) = forward.principal {
        own.identity.write(&mut out, principal, forward.internal_token);
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

fn push(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

fn writes(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory that grows does not fail.
    let _ = out.write_fmt(text);
}

fn client_headers(out: &mut BytesMut, request: &RequestHead, own: &Own<'_>) -> Result<(), ProxyError> {
    let peer = request.peer_addr.map(|peer| peer.ip());
    let mut connection_options: SmallVec<[&str; 4]> = SmallVec::new();
    for value in request.headers.get_all(header::CONNECTION) {
        let text = value
            .to_str()
            .map_err(|_| ProxyError::Malformed("its Connection header is not ASCII"))?;
        connection_options.extend(text.split(',').map(|option| option.trim_matches([' ', '\t'])));
    }
    for (name, value) in &request.headers {
        let name = name.as_str();
        let fate = names::fate(name);
        if fate == Fate::Drop
            || own.tenancy.forbids(name, peer)
            || own.stripped.has(name)
            || connection_options
                .iter()
                .any(|option| option.eq_ignore_ascii_case(name))
        {
            continue;
        }
        if fate == Fate::Forward {
            line(out, name, value.as_bytes());
        } else if let Some(left) = cookies::without_ours(value.as_bytes()) {
            line(out, name, &left);
        }
    }
    Ok(())
}

fn line(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn connection_headers(out: &mut BytesMut, request: &RequestHead, own: &Own<'_>) {
    if own.opens_websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        return;
    }
    match own.framing {
        Some(BodyFraming::Length(length)) => writes(out, format_args!("content-length: {length}\r\n")),
        Some(BodyFraming::Chunked | BodyFraming::Raw) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // RFC 9110 section 8.6: methods that are made for a body say that there is none.
        None if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        None => {}
    }
}

/// RFC 9110 section 7.6.3: who forwarded it, in order; a gateway that finds itself there is in a circle.
fn via(out: &mut BytesMut, request: &RequestHead, pseudonym: &str) -> Result<(), ProxyError> {
    out.extend_from_slice(b"via: ");
    for value in request.headers.get_all(header::VIA) {
        let text = value
            .to_str()
            .map_err(|_| ProxyError::Malformed("its Via header is not ASCII"))?;
        if text.split([',', ' ', '\t']).any(|word| word == pseudonym) {
            return Err(ProxyError::Loop);
        }
        push(out, &[text, ", "]);
    }
    let version = if request.version == actix_web::http::Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    };
    push(out, &[version, " ", pseudonym, "\r\n"]);
    Ok(())
}

/// Our span is the parent of what the upstream does. The caller's `tracestate` goes on with the trace that it belongs to.
fn trace(out: &mut BytesMut, forward: &Forward<'_>) {
    let Some(trace) = forward.trace else { return };
    push(out, &["traceparent: ", trace.header(), "\r\n"]);
    if trace.is_continued() {
        for value in forward.request.headers.get_all(TRACESTATE) {
            line(out, TRACESTATE, value.as_bytes());
        }
    }
}

/// `X-Forwarded-*`, and `Forwarded` (RFC 7239) with the same.
fn forwarded(out: &mut BytesMut, client: &Client) {
    let hops = client.hops();
    if !hops.is_empty() {
        out.extend_from_slice(b"x-forwarded-for: ");
        for (at, hop) in hops.iter().enumerate() {
            push(out, &[if at == 0 { "" } else { ", " }]);
            address(out, *hop);
        }
        out.extend_from_slice(b"\r\n");
    }
    let (proto, host) = (client.scheme(), &*client.host);
    push(
        out,
        &[
            "x-forwarded-proto: ",
            proto,
            "\r\nx-forwarded-host: ",
            host,
            "\r\nx-forwarded-port: ",
        ],
    );
    decimal(out, client.port);
    out.extend_from_slice(b"\r\nforwarded: ");
    for (at, hop) in hops.iter().enumerate() {
        let (opening, closing) = if hop.is_ipv6() {
            ("for=\"[", "]\"")
        } else {
            ("for=", "")
        };
        push(out, &[if at == 0 { "" } else { ", " }, opening]);
        address(out, *hop);
        push(out, &[closing]);
        if at == 0 {
            push(out, &[";host=\"", host, "\";proto=", proto]);
        }
    }
    if hops.is_empty() {
        push(out, &["for=unknown;host=\"", host, "\";proto=", proto]);
    }
    out.extend_from_slice(b"\r\n");
}

/// An address as `Display` has it. Its way pads, which costs more than all else of these lines.
fn address(out: &mut BytesMut, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                push(out, &[if at == 0 { "" } else { "." }]);
                decimal(out, octet.into());
            }
        }
        IpAddr::V6(address) => writes(out, format_args!("{address}")),
    }
}

fn decimal(out: &mut BytesMut, number: u16) {
    let mut digits: SmallVec<[u8; 5]> = SmallVec::new();
    let mut left = number;
    loop {
        digits.push(b'0' + u8::try_from(left % 10).unwrap_or_default());
        left /= 10;
        if left == 0 {
            break;
        }
    }
    digits.reverse();
    out.extend_from_slice(&digits);
}
