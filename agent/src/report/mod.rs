//! Events for people and for programs.
//!
//! A [`Reporter`] turns each [`Event`] into one line: words in columns
//! ([`words`]), or one JSON object ([`json`], which documents the schema).
//!
//! ```text
//! 2026-08-24, times in +02:00
//! 15:04:05.123456   +3.609375s  eth0 vrid 51  master 192.0.2.1 is down: no advert for 3.609 s (3 x 1 s + skew 0.609 s)
//! 15:04:05.127012   +0.003556s  eth0 vrid 51  192.0.2.2 is master now, priority 100, adverts every 1 s (VRRPv3)
//! ```
//!
//! The columns are the wall clock, the time since the line before, the place,
//! and what happened. A line with the date goes before the first line and
//! wherever the date (or the distance from UTC) changes.

pub mod clock;
pub mod json;
pub mod words;

#[cfg(test)]
mod tests;

use jiff::ZonedDateTime;
use jiff::civil::Date;
use jiff::tz::Offset;
use keepfast_common::event::Event;

pub use clock::ClockMapping;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of words for an operator.
    Words,
    /// One JSON object per line for a program.
    Json,
}

impl Format {
    /// JSON where `--json` was given.
    pub const fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Words }
    }
}

/// Where an event happened, as an operator knows it; the event has numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// Name of the network namespace; `None` for the one the agent runs in.
    pub netns: Option<&'a str>,
}

/// Writes events as lines.
#[derive(Debug)]
pub struct Reporter {
    format: Format,
    clock: ClockMapping,
    /// Time of the line before, CLOCK_MONOTONIC nanoseconds.
    previous_ns: Option<u64>,
    /// The date of the line before and its distance from UTC.
    day: Option<(Date, Offset)>,
    /// Width of the widest place so far, so that what happened stays in its column.
    place_width: usize,
}

impl Reporter {
    /// A reporter that has written nothing yet.
    pub const fn new(format: Format, clock: ClockMapping) -> Self {
        Self {
            format,
            clock,
            previous_ns: None,
            day: None,
            place_width: 0,
        }
    }

    /// Takes another clock mapping: the wall clock may be set while the agent runs.
    pub fn set_clock(&mut self, clock: ClockMapping) {
        self.clock = clock;
    }

    /// The line for `event`, without a line feed at its end.
    ///
    /// In words, the line with the date goes before it where one is due.
    pub fn line(&mut self, event: &Event, place: &Place<'_>) -> String {
        match self.format {
            Format::Json => json::object(event, place, &self.clock),
            Format::Words => self.words(event, place),
        }
    }

    fn words(&mut self, event: &Event, place: &Place<'_>) -> String {
        let wall = self.clock.wall(event.time_ns);
        let since = since_line_before(event.time_ns, self.previous_ns);
        self.previous_ns = Some(event.time_ns);
        let place = words::place(event, place);
        self.place_width = self.place_width.max(place.len());
        format!(
            "{}{} {since:>12}  {place:<width$}  {}",
            self.heading(&wall),
            wall.strftime("%H:%M:%S.%6f"),
            words::sentence(event),
            width = self.place_width,
        )
    }

    /// The line with the date, where it is due.
    fn heading(&mut self, wall: &ZonedDateTime) -> String {
        let day = (wall.date(), wall.offset());
        if self.day.replace(day) == Some(day) {
            return String::new();
        }
        format!("{}\n", wall.strftime("%Y-%m-%d, times in %:z"))
    }
}

/// Seconds since the line before; the records of two CPUs may come in an order
/// other than that of their times.
fn since_line_before(time_ns: u64, previous_ns: Option<u64>) -> String {
    let previous_ns = previous_ns.unwrap_or(time_ns);
    let sign = if time_ns < previous_ns { '-' } else { '+' };
    let micros = time_ns.abs_diff(previous_ns) / 1_000;
    format!("{sign}{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
}
