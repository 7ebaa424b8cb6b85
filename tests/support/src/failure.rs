//! What can go wrong before a test has its server.

use std::io;
use std::process::ExitStatus;

/// Why a server or a program is not there for a test.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The program is not installed.
    #[error("`{program}` is needed by this test and was not found: {advice}")]
    Missing {
        /// The program, as it is called.
        program: String,
        /// What to install.
        advice: String,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and said no.
    #[error("`{program}` failed ({status}): {output}")]
    Refused {
        /// The program, as it is called.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote, errors first.
        output: String,
    },
    /// Something else listens on the port that a server was to have.
    #[error("port {0} of 127.0.0.1 is taken by another program")]
    PortTaken(u16),
    /// A server ended before it answered.
    #[error("`{program}` ended before it answered on 127.0.0.1:{port} ({status}); its log:\n{log}")]
    Ended {
        /// The program, as it is called.
        program: String,
        /// The port it was told to listen on.
        port: u16,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        log: String,
    },
    /// A server runs and does not answer.
    #[error("`{program}` does not answer on 127.0.0.1:{port}; its log:\n{log}")]
    Silent {
        /// The program, as it is called.
        program: String,
        /// The port it was told to listen on.
        port: u16,
        /// What it wrote.
        log: String,
    },
    /// A name that would have to be quoted.
    #[error("`{0}` is no plain database name: a letter, then letters, digits and `_`, all lower case, 63 at most")]
    BadName(String),
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether another program took the port between its choice and its use.
    pub(crate) fn is_port_taken(&self) -> bool {
        match self {
            Self::PortTaken(_) => true,
            // As Redis, PostgreSQL, nginx, HAProxy and Caddy word EADDRINUSE, some with a capital letter.
            Self::Ended { log, .. } => log.contains("ddress already in use"),
            Self::Missing { .. } | Self::Io { .. } | Self::Refused { .. } | Self::Silent { .. } | Self::BadName(_) => {
                false
            }
        }
    }
}

/// Ends the test. The one place where this crate panics.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a test that has no server must fail, and loudly: it is never skipped"
)]
pub(crate) fn or_fail<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}
