//! Reading single fields, and remembering what was wrong.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::Mistake;
use crate::config::form::Interval;
use crate::config::value::is_plain;
use crate::config::{Cidr, RouterId};

/// Longer than this is no time that anything here waits for; and any sum of such
/// times is far from what clocks can hold.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest path of a unix socket (`sun_path` without its end).
const LONGEST_SOCKET: usize = 107;

/// The mistakes so far.
#[derive(Default)]
pub(super) struct Check {
    mistakes: Vec<Mistake>,
}

impl Check {
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Something is wrong with `field`.
    pub(super) fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            field: field.into(),
            message: message.into(),
        });
    }

    /// What `result` holds; or what is wrong with `field`.
    pub(super) fn take<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.wrong(field, message)).ok()
    }

    /// What `read` makes of a field that may be missing.
    pub(super) fn optional<'a, F: ?Sized, T>(
        &mut self,
        given: Option<&'a F>,
        read: impl FnOnce(&mut Self, &'a F) -> Option<T>,
    ) -> Option<Option<T>> {
        match given {
            Some(given) => read(self, given).map(Some),
            None => Some(None),
        }
    }

    /// The value that `text` means. A missing text is told elsewhere.
    pub(super) fn parse<T>(&mut self, field: &str, text: Option<&str>) -> Option<T>
    where
        T: FromStr<Err = String>,
    {
        self.take(field, text?.parse())
    }

    /// An address that a host can have.
    pub(super) fn host(&mut self, field: &str, text: Option<&str>) -> Option<Cidr> {
        let address: Cidr = self.parse(field, text)?;
        self.take(field, address.check_host().map(|()| address))
    }

    /// All the values of a list, or `None` if one is wrong.
    pub(super) fn parse_all<T>(&mut self, field: &str, texts: &[String]) -> Option<Vec<T>>
    where
        T: FromStr<Err = String>,
    {
        let values: Vec<Option<T>> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| self.parse(&format!("{field}[{index}]"), Some(text)))
            .collect();
        values.into_iter().collect()
    }

    /// Tells of each value that two fields have; `says` is told the first one.
    pub(super) fn unique<T: Hash + Eq>(
        &mut self,
        fields: impl IntoIterator<Item = (String, T)>,
        says: impl Fn(&T, &str) -> String,
    ) {
        let mut seen: HashMap<T, String> = HashMap::new();
        for (field, value) in fields {
            if let Some(first) = seen.get(&value) {
                let message = says(&value, first);
                self.wrong(field, message);
            } else {
                seen.insert(value, field);
            }
        }
    }

    /// A number within `range`, or `default` if none is given.
    pub(super) fn number<T>(
        &mut self,
        field: &str,
        given: Option<i64>,
        default: T,
        range: RangeInclusive<i64>,
    ) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let Some(number) = given else {
            return Some(default);
        };
        let (least, most) = (range.start(), range.end());
        let value = range.contains(&number).then(|| T::try_from(number).ok());
        let wrong = || format!("{number} is out of range: expected {least} to {most}");
        self.take(field, value.flatten().ok_or_else(wrong))
    }

    /// A time within `range`, or `default` if none is given.
    pub(super) fn duration(
        &mut self,
        field: &str,
        given: Option<&Interval>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let Some(interval) = given else {
            return Some(default);
        };
        let duration = self.take(field, read(interval))?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let message = format!(
            "{interval} is out of range: expected {} to {}",
            Interval::show(*range.start()),
            Interval::show(*range.end())
        );
        self.wrong(field, message);
        None
    }

    /// A time in whole seconds.
    pub(super) fn seconds(
        &mut self,
        field: &str,
        given: Option<&Interval>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let duration = self.duration(field, given, default, range)?;
        if duration.subsec_nanos() == 0 {
            return Some(duration);
        }
        let found = Interval::show(duration);
        self.wrong(
            field,
            format!("{found} is a fraction: expected whole seconds"),
        );
        None
    }

    /// An absolute path that leads where it says.
    pub(super) fn path(&mut self, field: &str, text: Option<&str>) -> Option<PathBuf> {
        let text = text?;
        let path = Path::new(text);
        let parts_are_names = path
            .components()
            .skip(1)
            .all(|part| matches!(part, Component::Normal(_)));
        let sound = path.is_absolute()
            && parts_are_names
            && path.file_name().is_some()
            && !text.ends_with('/')
            && text.len() < 4096
            && !text.chars().any(char::is_control);
        let wrong = || format!("{text:?} is no path to use: expected an absolute one without `..`");
        self.take(field, sound.then(|| path.to_owned()).ok_or_else(wrong))
    }

    /// The path of a unix socket.
    pub(super) fn socket(&mut self, field: &str, text: Option<&str>) -> Option<PathBuf> {
        let path = self.path(field, text)?;
        let length = path.as_os_str().len();
        if length <= LONGEST_SOCKET {
            return Some(path);
        }
        let message = format!(
            "is {length} bytes long: expected at most {LONGEST_SOCKET}, as for every unix socket"
        );
        self.wrong(field, message);
        None
    }

    /// A program with its arguments.
    pub(super) fn command(&mut self, field: &str, words: &[String]) -> Option<Vec<String>> {
        let Some(program) = words.first() else {
            self.wrong(field, "is empty: expected the absolute path of a program");
            return None;
        };
        let mut sound = self.path(&format!("{field}[0]"), Some(program)).is_some();
        for (index, word) in words.iter().enumerate().skip(1) {
            if word.contains('\0') {
                self.wrong(
                    format!("{field}[{index}]"),
                    "has a NUL: expected text without",
                );
                sound = false;
            }
        }
        sound.then(|| words.to_vec())
    }

    /// A name that is part of a file's name.
    pub(super) fn name(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        // The rule is that of a router's id.
        let wrong = |_| {
            format!(
                "{text:?} is no name: expected 1 to 64 letters, digits, `-`, `_` or `.`, \
                 beginning with a letter or digit"
            )
        };
        self.take(
            field,
            text.parse()
                .map_err(wrong)
                .map(|_: RouterId| text.to_owned()),
        )
    }

    /// The name of a VRRP instance.
    pub(super) fn instance(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        let sound = (1..=255).contains(&text.len()) && text.bytes().all(is_plain);
        let wrong = || {
            format!(
                "{text:?} is no name of a vrrp_instance: expected 1 to 255 letters, digits and \
                 signs without quotes and what else keepalived gives a meaning"
            )
        };
        self.take(field, sound.then(|| text.to_owned()).ok_or_else(wrong))
    }
}

fn read(interval: &Interval) -> Result<Duration, String> {
    let wrong = || format!("{interval} is no time: expected one like \"2s\" or \"500ms\"");
    match interval {
        Interval::Seconds(seconds) => u64::try_from(*seconds)
            .map(Duration::from_secs)
            .map_err(|_| wrong()),
        Interval::Text(text) => text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|it| Duration::try_from(it).ok())
            .ok_or_else(wrong),
    }
}
