//! `[log]` and `[otel]`.

use tracing_subscriber::EnvFilter;

use crate::config::schema::{Fallback::Toml, Refusal, range, settings};
use crate::config::values::names::Sentence;
use crate::config::values::url::HttpUrl;
use crate::config::values::{choice, text_type};

choice! {
    /// How a line of the log looks.
    LogFormat {
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

text_type! {
    /// Directives of `tracing-subscriber`: `info`, or `info,bekci=debug`.
    LogFilter: "a level or directives, as info or info,bekci=debug", None,
    |text| match EnvFilter::builder().parse(text) {
        Ok(_) if is_level(text.split(',').next().unwrap_or_default()) || text.contains(['=', '[']) => Ok(()),
        Ok(_) | Err(_) => Err(Refusal::Malformed),
    }
}

/// A word alone that is no level would be the name of a module: `loud` would silence everything else.
fn is_level(word: &str) -> bool {
    let word = word.trim();
    ["off", "error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| word.eq_ignore_ascii_case(level))
}

settings! {
    /// What is logged, and how.
    Log {
        /// `human` or `json`.
        format: LogFormat = Toml("'human'");
        /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, also by module, as `info,bekci=debug`.
        level: LogFilter = Toml("'info'");
    }
}

settings! {
    /// Traces and metrics by OTLP.
    Otel {
        /// Whether they are sent.
        enabled: bool = Toml("false");
        /// The collector, which speaks OTLP over HTTP.
        endpoint: HttpUrl = Toml("'http://127.0.0.1:4318'");
        /// The name of the service in traces.
        service_name: Sentence = Toml("'bekci'");
        /// How many of a hundred requests are traced where the caller has not decided.
        sample_percent: u32 [range(0, 100)] = Toml("10");
    }
}
