//! A server, asked by `wrk`, and what it cost.

use std::process::{Command, Stdio};

use bekci_test_support::{Server, find_program};

/// What one repetition cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// User and system time of each process that is counted, divided by the requests, in microseconds.
    pub(crate) processor_us: f64,
    /// Requests answered in a second.
    pub(crate) each_second: f64,
}

/// Who is asked for what, and whose processor time counts.
pub(crate) struct Question<'a> {
    pub(crate) url: String,
    pub(crate) headers: Vec<String>,
    pub(crate) counted: Vec<&'a Server>,
}

impl Question<'_> {
    /// Asks for so many seconds over 32 connections.
    ///
    /// # Panics
    /// Where one answer is not a success: then something else was measured than was meant.
    pub(crate) fn ask(&self, seconds: u32) -> Cost {
        let before = self.ticks();
        let mut wrk = Command::new(find_program("wrk").unwrap());
        wrk.args(["-t1", "-c32", &format!("-d{seconds}s")]);
        for header in &self.headers {
            wrk.args(["-H", header]);
        }
        let told = wrk.arg(&self.url).stdin(Stdio::null()).output().unwrap();
        let ticks = self.ticks() - before;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let (requests, each_second) = read(&told).unwrap_or_else(|problem| panic!("{}: {problem}\n{told}", self.url));
        Cost {
            processor_us: ticks * 1e6 / ticks_a_second() / requests,
            each_second,
        }
    }

    /// Processor time so far, in the kernel's ticks.
    fn ticks(&self) -> f64 {
        self.counted.iter().map(|server| ticks_of(server.pid().unwrap())).sum()
    }
}

/// Requests, and requests a second, as `wrk` tells them.
fn read(told: &str) -> Result<(f64, f64), &'static str> {
    if told.contains("Non-2xx or 3xx responses") {
        return Err("was not answered by a success alone");
    }
    if told.contains("Socket errors") {
        return Err("had connections that failed");
    }
    let requests = told.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    match (requests, rate.and_then(|rate| rate.trim().parse().ok())) {
        (Some(requests), Some(rate)) if requests > 0.0 => Ok((requests, rate)),
        _ => Err("was not asked"),
    }
}

/// `utime` and `stime` of proc_pid_stat(5), counted after the name, which may hold anything.
fn ticks_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_the_name: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let field = |number: usize| after_the_name[number - 3].parse::<f64>().unwrap();
    field(14) + field(15)
}

fn ticks_a_second() -> f64 {
    let told = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    String::from_utf8_lossy(&told.stdout).trim().parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  81 requests in 1.00s, 9.38KB read\nRequests/sec:     80.94\n";

    #[test]
    fn requests_and_their_rate_are_read_from_what_wrk_tells() {
        assert_eq!(read(TOLD), Ok((81.0, 80.94)));
    }

    #[test]
    fn a_run_with_refusals_or_broken_connections_or_without_requests_is_none() {
        let refused = format!("{TOLD}  Non-2xx or 3xx responses: 1\n");
        let broken = format!("{TOLD}  Socket errors: connect 0, read 1, write 0, timeout 0\n");
        for told in [
            refused.as_str(),
            &broken,
            "unable to connect",
            &TOLD.replace("81 ", "0 "),
        ] {
            assert!(read(told).is_err(), "{told}");
        }
    }

    #[test]
    fn a_process_has_used_some_time_of_the_processor() {
        assert!(ticks_a_second() > 0.0);
        assert!(ticks_of(std::process::id()) >= 0.0);
    }
}
