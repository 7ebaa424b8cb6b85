//! HTTP/1.1 as readers and writers speak it: one connection, one request after the other, blocking.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Further lines of the head, each ending in CRLF.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: String::new(),
            body: String::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = body.to_string();
        self.header("content-type", "application/json")
    }

    fn text(&self) -> String {
        format!(
            "{} {} HTTP/1.1\r\nhost: bekci.test\r\ncontent-length: {}\r\n{}\r\n{}",
            self.method,
            self.path,
            self.body.len(),
            self.headers,
            self.body
        )
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// `error.code`, of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()
            .pointer("/error/code")
            .and_then(|code| code.as_str())
            .unwrap_or_default()
            .to_owned()
    }
}

/// A connection that is opened when it is first used and kept while it works.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self {
            address,
            patience,
            stream: None,
        }
    }

    /// Opens the connection, so that a request that is sent next starts after this.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.patience))?;
            stream.set_write_timeout(Some(self.patience))?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends a request and reads its answer. After an error the next request has a new connection.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`] where there was no answer in time.
    pub(crate) fn send(&mut self, request: &Request) -> io::Result<Answer> {
        self.connect()?;
        let Some(mut stream) = self.stream.take() else {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        };
        stream.write_all(request.text().as_bytes())?;
        let (answer, stays) = read_answer(&mut stream)?;
        if stays {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// As [`Client::send`].
pub(crate) fn once(address: SocketAddr, request: &Request, patience: Duration) -> io::Result<Answer> {
    Client::new(address, patience).send(request)
}

fn read_answer(stream: &mut TcpStream) -> io::Result<(Answer, bool)> {
    let mut bytes = Vec::with_capacity(2_048);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut answer = Answer {
        status,
        head,
        body: String::new(),
    };
    let length: Option<usize> = answer.header("content-length").parse().ok();
    match length {
        Some(length) => {
            while bytes.len() < end + length {
                more(stream, &mut bytes)?;
            }
        }
        None => while more(stream, &mut bytes).is_ok() {},
    }
    answer.body = String::from_utf8_lossy(bytes.get(end..).unwrap_or_default()).into_owned();
    let stays = length.is_some() && !answer.header("connection").eq_ignore_ascii_case("close");
    Ok((answer, stays))
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4_096];
    match stream.read(&mut chunk)? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        read => {
            bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
            Ok(())
        }
    }
}
