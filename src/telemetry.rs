//! Logs: one line an event, JSON unless asked otherwise, on stderr. Traces are in [`traces`].
//!
//! Flow: the command line makes [`LogSettings`]; [`init`] installs them for the process, once, before anything runs.
//!
//! Invariants: results never share a stream with logs; colour only where a person reads; a panic is logged by its
//! place alone, because its message may quote what was being read (an object, and with it a value). What libraries log
//! has a ceiling that no filter lifts ([`ceiling`]): below it they print whole requests, answers and tokens.
//!
//! Deliberately absent: metrics (each part registers its own), and any log of request bodies.

mod chain;
mod sparingly;
pub mod traces;

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use thiserror::Error;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use self::chain::{chain, is_raw};
pub use self::sparingly::Sparingly;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line, for a log store.
    #[default]
    Json,
    /// One line of text, for a person.
    Text,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(TelemetryError::Format { found: other.to_owned() }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line is written.
    pub format: LogFormat,
    /// A level (`info`), or a level for each target (`info,keystow::certs=debug`). It cannot lift the [`ceiling`].
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "the log level {found:?} is not understood; give a level such as `info`, or `info,keystow=debug`"
    )]
    Filter {
        /// What was given.
        found: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The format is not one.
    #[error("the log format {found:?} is not known; give `json` or `text`")]
    Format {
        /// What was given.
        found: String,
    },
    /// A word of the filter is no level.
    #[error(
        "the log level {found:?} is not known; give error, warn, info, debug or trace, or levels by module, such as `info,keystow::certs=debug`"
    )]
    Level {
        /// The word.
        found: String,
    },
    /// The process logs already.
    #[error("logging is set up already; set it up once, at the start of the process")]
    Twice(#[source] TryInitError),
}

/// Installs logging and the panic report for the whole process.
///
/// # Errors
///
/// When the filter is not understood, or logging is installed already.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    subscriber(settings, std::io::stderr, colour)?.try_init().map_err(TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic; its message is withheld because it may quote a value");
    }));
    Ok(())
}

/// What [`init`] installs, writing to `writer`.
///
/// # Errors
///
/// When the filter is not understood.
pub fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    colour: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // To the library such a word is the name of a target, and everything else is off then.
    let is_unknown = |word: &&str| !word.contains(['=', '[', ':']) && word.parse::<LevelFilter>().is_err();
    let mut words = settings.filter.split(',').filter(|word| !word.is_empty());
    if let Some(word) = words.find(is_unknown) {
        return Err(TelemetryError::Level { found: word.to_owned() });
    }
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| TelemetryError::Filter { found: settings.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter).with(FilterFn::new(is_below_ceiling));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match settings.format {
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true).with_current_span(false))),
        LogFormat::Text => Box::new(registry.with(layer.with_ansi(colour))),
    })
}

/// The lowest level at which a target may log, whatever the filter says.
///
/// | target | ceiling |
/// |---|---|
/// | `keystow` and what is below it | none: no line of it holds an object or a value |
/// | `kube_client::client` | none of it: it quotes whole answers of the API server, and fails aloud at each attempt |
/// | `kube_runtime` | error: it warns each time that it tries a watch again, of which keystow has one line itself |
/// | `aws_*` | none of it: with an answer that they cannot read they log the answer, be it a value or the credentials of a session; what failed is in the store's own error |
/// | every other library | warn: what is below may hold requests, answers and headers, and changes with each version |
#[must_use]
pub fn ceiling(target: &str) -> LevelFilter {
    match target.split_once("::").unwrap_or((target, "")) {
        ("keystow", _) => LevelFilter::TRACE,
        ("kube_client", path) if path == "client" || path.starts_with("client::") => LevelFilter::OFF,
        ("kube_runtime", _) => LevelFilter::ERROR,
        (library, _) if library.starts_with("aws_") => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    }
}

fn is_below_ceiling(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= ceiling(metadata.target())
}

/// Remembers what was said last, so that one reason is one line, however long it lasts.
#[derive(Debug, Default)]
pub struct Once(Option<String>);

impl Once {
    /// Whether this was not the last thing said; from now on it is.
    pub fn is_news(&mut self, reason: &str) -> bool {
        let is_news = self.0.as_deref() != Some(reason);
        if is_news {
            self.0 = Some(reason.to_owned());
        }
        is_news
    }

    /// What was said last, if it still holds.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The reason is gone: the next time it is news again.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

/// For tests that read log lines. With one subscriber alone, tracing asks the thread that comes by a line first
/// whether it is wanted, and that may be another test's, which has none: the line would be off for all.
#[cfg(test)]
pub(crate) fn keep_lines_on() {
    static ANOTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    std::sync::LazyLock::force(&ANOTHER);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(settings: &LogSettings, colour: bool, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(settings, move || writer.clone(), colour).unwrap();
        keep_lines_on();
        tracing::subscriber::with_default(subscriber, log);
        sink.text()
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text =
            logged(&LogSettings::default(), true, || tracing::info!(uid = "u", operations = 3, "reviewed"));
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "reviewed");
        assert_eq!(line["uid"], "u");
        assert_eq!(line["operations"], 3);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn text_has_colour_only_when_asked() {
        let settings = LogSettings { format: LogFormat::Text, ..LogSettings::default() };
        assert!(!logged(&settings, false, || tracing::info!("plain")).contains('\u{1b}'));
        assert!(logged(&settings, true, || tracing::info!("coloured")).contains('\u{1b}'));
    }

    #[test]
    fn the_filter_filters() {
        let settings = LogSettings { filter: "warn".to_owned(), ..LogSettings::default() };
        let text = logged(&settings, false, || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert!(!text.contains("quiet"));
        assert!(text.contains("loud"));
    }

    #[test]
    fn no_filter_lifts_the_ceiling_of_libraries() {
        for filter in ["trace", "trace,h2=trace,kube_client::client=trace", "[HTTP]=trace"] {
            let settings = LogSettings { filter: filter.to_owned(), ..LogSettings::default() };
            let text = logged(&settings, false, || {
                let _span =
                    tracing::info_span!(target: "kube_client::client", "HTTP", token = "quiet").entered();
                tracing::trace!(target: "h2::codec", "quiet");
                tracing::info!(target: "keystowaway", "quiet");
                tracing::warn!(target: "kube_client::client::builder", "quiet");
                tracing::warn!(target: "kube_client::config", "loud");
                tracing::error!(target: "kube_client::client", "quiet");
                tracing::error!(target: "aws_config::web_identity_token", "quiet");
                tracing::error!(target: "aws_smithy_runtime_api::client::interceptors::context", "quiet");
                tracing::error!(target: "keystow", "loud");
            });
            assert!(!text.contains("quiet"), "{filter}: {text}");
            assert!(text.contains("loud") || filter.starts_with('['), "{filter}: {text}");
        }
        let settings = LogSettings { filter: "trace".to_owned(), ..LogSettings::default() };
        let text = logged(&settings, false, || tracing::trace!(target: "keystow::certs", "fine"));
        assert!(text.contains("fine"), "{text}");
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_and_does_not_silence_everything() {
        for filter in ["inof", "foo", "info,verbose", "keystow::certs"] {
            let settings = LogSettings { filter: filter.to_owned(), ..LogSettings::default() };
            let refused = subscriber(&settings, std::io::sink, false).err();
            let is_right = filter == "keystow::certs";
            assert_eq!(refused.is_none(), is_right, "{filter}: {refused:?}");
        }
        for filter in ["info", "WARN", "off", "info,keystow=debug", "keystow[span]=debug", ""] {
            let settings = LogSettings { filter: filter.to_owned(), ..LogSettings::default() };
            assert!(subscriber(&settings, std::io::sink, false).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_with_what_was_given() {
        let settings = LogSettings { filter: "keystow=shout".to_owned(), ..LogSettings::default() };
        let error = subscriber(&settings, io::stderr, false).err().unwrap();
        assert!(matches!(&error, TelemetryError::Filter { found, .. } if found == "keystow=shout"));
    }

    #[test]
    fn formats_round_trip_and_others_are_refused() {
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
        }
        assert!(matches!("xml".parse::<LogFormat>(), Err(TelemetryError::Format { .. })));
    }

    #[test]
    fn chain_says_each_cause_once() {
        let error = TelemetryError::Filter {
            found: "x=".to_owned(),
            source: "a=shout".parse::<EnvFilter>().unwrap_err(),
        };
        let line = chain(&error);
        assert!(line.starts_with("the log level \"x=\""), "{line}");
        assert_eq!(line.matches("expected one of").count(), 1, "{line}");
    }
}
