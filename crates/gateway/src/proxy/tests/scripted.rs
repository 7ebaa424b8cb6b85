//! An upstream that does what a test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::client::PATIENCE;

/// An upstream that does with each connection what the test says, and keeps the heads of the requests that it read.
pub(super) struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A connection to a scripted upstream.
pub(super) struct Peer {
    reader: BufReader<TcpStream>,
    heads: Arc<Mutex<Vec<String>>>,
    /// Which connection it is, from 0.
    pub(super) number: usize,
}

impl Scripted {
    pub(super) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let stops: Arc<AtomicBool> = Arc::default();
        let (kept, stopping, script) = (Arc::clone(&heads), Arc::clone(&stops), Arc::new(script));
        let thread = thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut peer = Peer {
                    reader: BufReader::new(stream),
                    heads: Arc::clone(&kept),
                    number,
                };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut peer));
            }
        });
        Self {
            address,
            heads,
            stops,
            thread: Some(thread),
        }
    }

    /// One that answers each request with these bytes.
    pub(super) fn answering(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::start(move |peer| {
            while peer.head().is_some() {
                peer.say(&answer);
            }
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads that were read so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Peer {
    /// Reads the head of a request; `None` where the connection closes.
    pub(super) fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            self.reader.read_line(&mut head).ok().filter(|count| *count > 0)?;
        }
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub(super) fn say(&mut self, text: &str) {
        let _ = self.reader.get_mut().write_all(text.as_bytes());
    }

    /// Reads some bytes; none where the connection is closed.
    pub(super) fn hear(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.reader.read(&mut bytes).unwrap_or_default();
        bytes.truncate(count);
        bytes
    }

    /// Waits until the other side closes.
    pub(super) fn hears_the_end(&mut self) {
        while !self.hear().is_empty() {}
    }
}
