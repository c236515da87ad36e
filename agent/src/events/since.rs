//! From when on: what people write.

use anyhow::{Result, anyhow};
use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::exit::BadInput;

/// The time that `text` names, at `now`: RFC 3339, a date and time or a time of today on
/// the wall clock, or a duration before now.
///
/// # Errors
///
/// It is none of these.
pub(super) fn parse(text: &str, now: &ZonedDateTime) -> Result<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wall = |time: DateTime| {
        let zoned = time.to_zoned_datetime(now.time_zone().clone());
        zoned
            .map(|zoned| zoned.timestamp())
            .map_err(|_| wrong(text))
    };
    if let Ok(time) = text.parse::<DateTime>() {
        return wall(time);
    }
    // "10" would be ten o'clock.
    if text.contains(':')
        && let Ok(time) = text.parse::<Time>()
    {
        return wall(now.date().to_datetime(time));
    }
    let span: Span = text.parse().map_err(|_| wrong(text))?;
    if span.is_negative() {
        return Err(wrong(text));
    }
    let before = now.checked_sub(span).map_err(|_| wrong(text))?;
    Ok(before.timestamp())
}

fn wrong(text: &str) -> anyhow::Error {
    anyhow!(BadInput(format!(
        "--since {text:?}: expected a duration (\"10m\"), a time (\"16:55\"), or a date and \
         time (\"2026-01-31 16:55\")"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn times_and_durations_are_understood() {
        let now: ZonedDateTime = "2026-03-01T12:00:00+00:00[UTC]".parse().unwrap();
        for (text, expected) in [
            ("10m", "2026-03-01T11:50:00Z"),
            ("2h 30m", "2026-03-01T09:30:00Z"),
            (" 90s ", "2026-03-01T11:58:30Z"),
            ("1d", "2026-02-28T12:00:00Z"),
            ("11:07", "2026-03-01T11:07:00Z"),
            ("11:07:08.5", "2026-03-01T11:07:08.5Z"),
            ("2026-02-03 04:05", "2026-02-03T04:05:00Z"),
            ("2026-02-03", "2026-02-03T00:00:00Z"),
            ("2026-02-03T04:05:06+02:00", "2026-02-03T02:05:06Z"),
        ] {
            let time = parse(text, &now).unwrap();
            assert_eq!(time.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_bad_input() {
        let now: ZonedDateTime = "2026-03-01T12:00:00+00:00[UTC]".parse().unwrap();
        for text in [
            "",
            "yesterday",
            "-5m",
            "10",
            "25:00",
            "2026-13-01",
            "999999y",
        ] {
            let error = parse(text, &now).unwrap_err();
            assert_eq!(exit::code(&error), exit::USAGE, "{text}: {error:#}");
        }
    }
}
