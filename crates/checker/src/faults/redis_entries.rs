//! Entries of Redis, read and put back later, as an old dump or a failover does it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use bekci_test_support::Redis;

/// A connection that speaks RESP2, as far as GET, SET and KEYS need it.
struct Connection(BufReader<TcpStream>);

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// All text entries that are there now.
pub(super) fn read(redis: &Redis) -> Option<Entries> {
    let mut connection = Connection::open(redis)?;
    connection.send(&[b"KEYS", b"bekci:*:*"])?;
    let keys = connection.many()?;
    let mut entries = Vec::new();
    for key in keys {
        connection.send(&[b"GET", &key])?;
        if let Some(value) = connection.bulk()? {
            entries.push((key, value));
        }
    }
    Some(entries)
}

/// Puts entries back, whatever is there now.
pub(super) fn put_back(redis: &Redis, entries: &Entries) -> Option<()> {
    let mut connection = Connection::open(redis)?;
    for (key, value) in entries {
        connection.send(&[b"SET", key, value, b"EX", b"600"])?;
        connection.line()?;
    }
    Some(())
}

impl Connection {
    fn open(redis: &Redis) -> Option<Self> {
        let url = redis.url();
        let stream = TcpStream::connect(url.trim_start_matches("redis://")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        Some(Self(BufReader::new(stream)))
    }

    fn send(&mut self, words: &[&[u8]]) -> Option<()> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes).ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// A text, or `Some(None)` where there is none, or it is of another type.
    fn bulk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self.line()?;
        let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<i64>().ok()) else {
            return line.starts_with('-').then_some(None);
        };
        let Ok(length) = usize::try_from(length) else {
            return Some(None);
        };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(Some(bytes))
    }

    fn many(&mut self) -> Option<Vec<Vec<u8>>> {
        let count: usize = self.line()?.strip_prefix('*')?.parse().ok()?;
        (0..count).map(|_| self.bulk().map(Option::unwrap_or_default)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let redis = Redis::start();
        redis.cli(&["SET", "bekci:customer:1", "old"]);
        redis.cli(&["LPUSH", "bekci:a:list", "x"]);
        let entries = read(&redis).unwrap();
        assert_eq!(entries, [(b"bekci:customer:1".to_vec(), b"old".to_vec())]);
        redis.cli(&["SET", "bekci:customer:1", "new"]);
        put_back(&redis, &entries).unwrap();
        assert_eq!(redis.cli(&["GET", "bekci:customer:1"]), "old");
    }
}
