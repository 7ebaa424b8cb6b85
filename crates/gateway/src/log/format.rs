//! How the one event of each request is written: as tracing-subscriber writes it, without what that costs.
//!
//! Its general way formats every value by `Debug` and a style, and sorts the fields of JSON in a map: a tenth of what a request costs. Any other event goes that way.

use std::fmt::{self, Debug};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use super::REQUESTS;

/// Writes events of requests by hand, and others as `others` does.
pub(crate) struct RequestFormat<F> {
    others: F,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Human,
    Json,
}

impl<F> RequestFormat<F> {
    pub(crate) fn new(others: F, style: Style) -> Self {
        Self { others, style }
    }
}

impl<S, N, F> FormatEvent<S, N> for RequestFormat<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        // A span around it would be part of it.
        if about.target() != REQUESTS || context.lookup_current().is_some() {
            return self.others.format_event(context, out, event);
        }
        match self.style {
            Style::Human => {
                SystemTime.format_time(&mut out)?;
                write!(out, " {:>5} {}:", about.level().as_str(), about.target())?;
            }
            Style::Json => {
                out.write_str("{\"timestamp\":\"")?;
                SystemTime.format_time(&mut out)?;
                out.write_str("\",\"level\":\"")?;
                out.write_str(about.level().as_str())?;
                out.write_char('"')?;
            }
        }
        let mut fields = Fields {
            out: out.by_ref(),
            style: self.style,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        if self.style == Style::Json {
            out.write_str(",\"target\":\"")?;
            out.write_str(about.target())?;
            out.write_str("\"}")?;
        }
        out.write_char('\n')
    }
}

/// Writes the fields of an event.
struct Fields<'a> {
    out: Writer<'a>,
    style: Style,
    result: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        let (out, name) = (&mut self.out, field.name());
        let begun = match (self.style, name) {
            (Style::Human, "message") => out.write_char(' '),
            (Style::Human, _) => out
                .write_char(' ')
                .and_then(|()| out.write_str(name))
                .and_then(|()| out.write_char('=')),
            (Style::Json, _) => out
                .write_str(",\"")
                .and_then(|()| out.write_str(name))
                .and_then(|()| out.write_str("\":")),
        };
        self.result = begun.and_then(|()| write(out));
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let style = self.style;
        self.write(field, |out| match style {
            Style::Human if field.name() == "message" => out.write_str(value),
            Style::Human => quoted(out, value, |out| write!(out, "{value:?}")),
            Style::Json => quoted(out, value, |out| json(out, value)),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let style = self.style;
        self.write(field, |out| match style {
            Style::Human => write!(out, "{value:?}"),
            Style::Json => json(out, &format!("{value:?}")),
        });
    }
}

/// A text in quotes; `escaped` writes one that has a character which may not stand there as it is.
fn quoted(out: &mut Writer<'_>, text: &str, escaped: impl FnOnce(&mut Writer<'_>) -> fmt::Result) -> fmt::Result {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !text.bytes().all(is_plain) {
        return escaped(out);
    }
    out.write_char('"')?;
    out.write_str(text)?;
    out.write_char('"')
}

fn json(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    out.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::{MakeWriter, format::JsonFields};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    const TEXTS: [&str; 6] = [
        "/plain/path",
        "",
        "a \"quoted\" \\ one",
        "tab\tline\n\u{1b}[31m",
        "gün aydın",
        "\u{7f}\u{202e}",
    ];

    fn tell() {
        for text in TEXTS {
            let (none, session): (Option<&str>, Option<String>) = (None, Some(text.to_owned()));
            tracing::info!(
                target: "bekci::request",
                request_id = text, trace_id = Some(text), call = none, status = 200_u16, session, micros = u64::MAX,
                "request"
            );
        }
        tracing::warn!(target: "bekci::audit", event = "x", lost = 5_u64, "another one");
    }

    #[test]
    fn a_line_for_people_is_as_before() {
        let (before, by_hand) = (Kept::default(), Kept::default());
        let usual = tracing_subscriber::fmt().with_ansi(false).with_writer(before.clone());
        tracing::subscriber::with_default(usual.finish(), tell);
        let ours = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(by_hand.clone())
            .event_format(RequestFormat::new(tracing_subscriber::fmt::format(), Style::Human));
        tracing::subscriber::with_default(ours.finish(), tell);
        let untimed = |kept: &Kept| -> Vec<String> {
            let text = kept.text();
            text.lines()
                .map(|line| line.split_once(' ').unwrap().1.to_owned())
                .collect()
        };
        assert_eq!(untimed(&by_hand), untimed(&before));
        assert_eq!(untimed(&by_hand).len(), TEXTS.len() + 1);
    }

    #[test]
    fn a_line_of_json_has_the_same_fields_as_before() {
        let (before, by_hand) = (Kept::default(), Kept::default());
        let usual = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(before.clone());
        tracing::subscriber::with_default(usual.finish(), tell);
        let ours = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .with_writer(by_hand.clone())
            .event_format(RequestFormat::new(
                tracing_subscriber::fmt::format().json().flatten_event(true),
                Style::Json,
            ));
        tracing::subscriber::with_default(ours.finish(), tell);
        let untimed = |kept: &Kept| -> Vec<serde_json::Value> {
            let text = kept.text();
            let lines = text.lines().map(|line| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(
                    line.as_object_mut()
                        .unwrap()
                        .remove("timestamp")
                        .is_some_and(|time| time.is_string())
                );
                line
            });
            lines.collect()
        };
        assert_eq!(untimed(&by_hand), untimed(&before));
        assert_eq!(untimed(&by_hand).len(), TEXTS.len() + 1);
    }
}
