//! Reading of arguments: lengths of time, and secrets, which come from standard input or the terminal.

use std::{
    io::{IsTerminal, Read},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::Failure;

/// Longer than any password or token.
const MOST_BYTES: u64 = 16 * 1_024;

/// Standard input to its end, without the line break there.
pub(crate) fn secret() -> Result<SecretString, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(Failure::of)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

/// A new password: standard input where that was asked for, else what is typed at the terminal, twice and unseen.
///
/// # Errors
/// Wrong usage where there is no terminal; `VALIDATION_FAILED` where the two differ.
pub(crate) fn new_password(from_stdin: bool) -> Result<SecretString, Failure> {
    if from_stdin {
        return secret();
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask for the password at; give it on standard input with --password-stdin",
        ));
    }
    let ask = |prompt| {
        rpassword::prompt_password(prompt)
            .map(SecretString::from)
            .map_err(Failure::of)
    };
    let typed = ask("Password: ")?;
    if typed.expose_secret() != ask("Once more: ")?.expose_secret() {
        return Err(Failure::invalid(
            "what was typed is not the same twice; nothing was done",
        ));
    }
    Ok(typed)
}

/// A column and its value, as city=Izmir.
pub(crate) fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.to_owned(), value.to_owned())),
        _ => Err("not a column and its value, as city=Izmir"),
    }
}

/// A length of time with its unit, as `10s`, `5m`, `12h`, `7d`; not zero.
pub(crate) fn span(text: &str) -> Result<Duration, &'static str> {
    let wrong = "not a number of s, m, h or d, as 7d";
    let unit = text.chars().last().ok_or(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong),
    };
    let count: u32 = text
        .strip_suffix(unit)
        .and_then(|count| count.parse().ok())
        .ok_or(wrong)?;
    match count {
        0 => Err("must be more than zero"),
        count => Ok(Duration::from_secs(u64::from(count) * seconds)),
    }
}
