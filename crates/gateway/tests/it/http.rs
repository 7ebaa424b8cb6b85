//! A small HTTP/1.1 client over a plain socket: it sends what it is told to, good or bad, and nothing of its own but the length.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is kept.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        self.0.read_exact(&mut buffer).unwrap();
        buffer
    }

    /// Waits for the other side to close the connection; `false` where it says something instead.
    pub fn is_ended_by_the_other_side(&mut self) -> bool {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{error}"),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The next answer. One without a length, as 101, ends with its head.
    pub fn read(&mut self) -> Answer {
        let mut answer = self.read_head();
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                answer.body.extend(self.read_exactly(size));
                self.line();
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.read_exactly(length.parse().unwrap());
        }
        answer
    }

    /// The head of the next answer, which is all of an answer to HEAD.
    pub fn read_head(&mut self) -> Answer {
        let status = self.line();
        let status = status
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer: {status:?}"));
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            answer
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        answer
    }
}

/// An answer, names of headers in lower case.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.headers.iter().filter(move |(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The names of its headers, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Status and code, as `401 TOKEN_MISSING`; the status alone where the answer has no code.
    pub fn verdict(&self) -> String {
        let told = self.json();
        match told["error"]["code"].as_str() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    line: String,
    headers: String,
    body: Vec<u8>,
}

pub fn ask(method: &str, target: &str) -> Ask {
    Ask {
        line: format!("{method} {target} HTTP/1.1\r\n"),
        headers: "host: bekci.test\r\n".to_owned(),
        body: Vec::new(),
    }
}

pub fn get(target: &str) -> Ask {
    ask("GET", target)
}

pub fn post(target: &str) -> Ask {
    ask("POST", target)
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// With this host, in place of the usual one.
    pub fn at_host(mut self, host: &str) -> Self {
        self.headers = self
            .headers
            .replacen("host: bekci.test\r\n", &format!("host: {host}\r\n"), 1);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("content-type", kind).header("content-length", &length)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}{}\r\n", self.line, self.headers).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Over a connection that is kept.
    pub fn on(&self, wire: &mut Wire) -> Answer {
        wire.write(&self.bytes());
        if self.line.starts_with("HEAD ") {
            wire.read_head()
        } else {
            wire.read()
        }
    }

    /// Over a connection of its own.
    pub fn to(&self, address: SocketAddr) -> Answer {
        self.on(&mut Wire::open(address))
    }
}
