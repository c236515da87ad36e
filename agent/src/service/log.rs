//! How messages about keepfast itself are written: on stderr, for people, for programs
//! (JSON), and so that journald knows how bad each is (sd-daemon(3)).

use std::fmt;
use std::io::IsTerminal as _;

use clap::ValueEnum;
use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Names the device and inode of the journal's end of stderr.
const JOURNAL: &str = "JOURNAL_STREAM";

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Words.
    #[default]
    Text,
    /// One JSON object a line: timestamp, level, message, and router where one is meant.
    Json,
}

/// From now on messages go to stderr: `verbose` is how many more than usual.
pub fn start(verbose: u8, format: Format) {
    let levels = match verbose {
        0 => "warn,keepfast=info",
        1 => "warn,keepfast=debug",
        // The kernel programs' lines come under the name of their own crate.
        _ => "warn,keepfast=trace,keepfast_ebpf=debug",
    };
    let to_journal = is_journal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(levels))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Json => builder
            .fmt_fields(JsonFields::new())
            .event_format(Prefixed {
                format: self::format().with_target(false).json().flatten_event(true),
                to_journal,
            })
            .init(),
        // The journal knows the time and the level.
        Format::Text if to_journal => builder
            .event_format(Prefixed {
                format: self::format()
                    .with_target(false)
                    .with_level(false)
                    .without_time(),
                to_journal,
            })
            .init(),
        Format::Text => builder.with_target(false).init(),
    }
}

/// Whether stderr is the journal: the variable alone may be inherited from somebody whose
/// stderr was.
fn is_journal() -> bool {
    let Ok(named) = std::env::var(JOURNAL) else {
        return false;
    };
    fstat(std::io::stderr()).is_ok_and(|it| named == format!("{}:{}", it.st_dev, it.st_ino))
}

/// Says before each line how bad it is.
struct Prefixed<F> {
    format: F,
    to_journal: bool,
}

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !self.to_journal {
            return self.format.format_event(context, writer, event);
        }
        let mut text = String::new();
        self.format
            .format_event(context, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        // The journal takes each line for a message of its own.
        text.lines()
            .try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// The priority that syslog(3) has for a level.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{error, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_is_told_how_bad_each_line_is() {
        let page = Page::default();
        let written = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || page.clone())
            .with_ansi(false)
            .event_format(Prefixed {
                format: format().with_target(false).with_level(false).without_time(),
                to_journal: true,
            })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            info!(router = %"r1", "declared");
            error!("a.toml: wrong\nb.toml: wrong, too");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "<6>declared router=r1\n<3>a.toml: wrong\n<3>b.toml: wrong, too\n"
        );
    }
}
