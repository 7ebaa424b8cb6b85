//! How far an import is, on standard error: a bar on a terminal, else a line now and then.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use bekci_core::Clock;

const WIDTH: u64 = 30;
/// How many lines of a file are between two lines that say so.
const EVERY: u64 = 5_000;

pub(super) struct Progress {
    bytes: Option<u64>,
    is_terminal: bool,
    next: u64,
    clock: bekci_store::SystemClock,
    began: Duration,
}

impl Progress {
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let clock = bekci_store::SystemClock;
        Self {
            bytes,
            is_terminal: std::io::stderr().is_terminal(),
            next: EVERY,
            began: clock.uptime(),
            clock,
        }
    }

    /// A terminal that takes nothing keeps no import from going on.
    pub(super) fn show(&mut self, lines: u64, read: u64) {
        let mut terminal = std::io::stderr().lock();
        if self.is_terminal {
            let seconds = self.clock.uptime().saturating_sub(self.began).as_secs_f64();
            let _ = write!(terminal, "\r{}\u{1b}[K", bar(self.bytes, lines, read, seconds));
            let _ = terminal.flush();
        } else if lines >= self.next {
            self.next = lines - lines % EVERY + EVERY;
            let _ = writeln!(terminal, "{lines} lines");
        }
    }

    /// Takes the bar away, so that a line of the log does not stand behind it.
    pub(super) fn clear(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

fn bar(bytes: Option<u64>, lines: u64, read: u64, seconds: f64) -> String {
    let rate = match seconds > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people, of fewer lines than 2^52")]
        true => format!(", {:.0} a second", lines as f64 / seconds),
        false => String::new(),
    };
    let Some(bytes) = bytes.filter(|bytes| *bytes > 0) else {
        return format!("{lines} lines{rate}");
    };
    let percent = (u128::from(read.min(bytes)) * 100 / u128::from(bytes)) as u64;
    let full = percent * WIDTH / 100;
    let marks: String = (0..WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
    format!("[{marks}] {percent} %, {lines} lines{rate}")
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_says_how_far_it_is_and_how_fast() {
        assert_eq!(
            bar(Some(200), 500, 100, 0.5),
            "[###############...............] 50 %, 500 lines, 1000 a second"
        );
        assert_eq!(bar(None, 7, 100, 0.0), "7 lines");
        assert_eq!(
            bar(Some(10), 1, 20, 0.0),
            "[##############################] 100 %, 1 lines"
        );
    }
}
