//! The database's own shell, kept open: a writer from outside that knows nothing of Bekci.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::cluster::Database;

/// A running shell. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    count: u64,
}

impl Shell {
    pub(crate) fn open(database: &Database) -> Option<Self> {
        let mut child = database
            .shell()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdin = child.stdin.take()?;
        let stdout = child.stdout.take()?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            child,
            stdin,
            lines,
            count: 0,
        })
    }

    /// Runs statements and gives the lines that they wrote; `None` where they are not done in time, or the shell has ended.
    pub(crate) fn run(&mut self, sql: &str, patience: Duration) -> Option<Vec<String>> {
        self.count += 1;
        let mark = format!("done-{}", self.count);
        writeln!(self.stdin, "{sql}\nSELECT '{mark}';").ok()?;
        self.stdin.flush().ok()?;
        let mut written = Vec::new();
        loop {
            let line = self.lines.recv_timeout(patience).ok()?;
            if line == mark {
                return Some(written);
            }
            written.push(line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _collected = self.child.wait();
    }
}
