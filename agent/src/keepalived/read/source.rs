//! From files to lines: comments go, long lines are joined, includes are put in
//! place, and simple definitions (`$NAME=value`) are put where they are named.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::{MOST_BYTES, Source};
use crate::exit::BadInput;

/// Files may include files that include files, so many times.
const MOST_INCLUDES_DEEP: usize = 16;
/// All words that include.
const INCLUDE: [&str; 5] = ["include", "includer", "includem", "includew", "includeb"];

/// Where something stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Rc<Path>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Place {
    /// An error here.
    pub(super) fn wrong(&self, message: impl fmt::Display) -> anyhow::Error {
        BadInput(format!("{self}: {message}")).into()
    }

    /// A note about something here.
    pub(super) fn not_understood(&self, message: impl fmt::Display) -> String {
        format!("{self}: not understood: {message}")
    }
}

/// A line that says something.
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Parts of a file are told to people: what steers a terminal has no meaning there either. It stays
/// a part of its word, as it is one for keepalived.
fn legible(text: &str) -> String {
    let legible = |letter: char| match letter {
        '\t' => ' ',
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(legible).collect()
}

type Include<'a> = &'a mut dyn FnMut(&Path, &str) -> Result<Vec<Source>>;

/// The lines of a file and of those that it includes, and notes.
pub(super) fn lines(file: &Source, include: Include<'_>) -> Result<(Vec<Line>, Vec<String>)> {
    let mut reader = Reader {
        include,
        definitions: BTreeMap::new(),
        lines: Vec::new(),
        notes: Vec::new(),
        bytes: 0,
    };
    reader.add(file, 0)?;
    Ok((reader.lines, reader.notes))
}

struct Reader<'a> {
    include: Include<'a>,
    definitions: BTreeMap<String, String>,
    lines: Vec<Line>,
    notes: Vec<String>,
    /// Read, or put in for names.
    bytes: usize,
}

impl Reader<'_> {
    fn add(&mut self, source: &Source, depth: usize) -> Result<()> {
        let file: Rc<Path> = source.path.as_path().into();
        let mut place = Place { file, line: 1 };
        self.count(&place, source.text.len())?;
        let mut physical = source.text.lines().enumerate();
        while let Some((index, text)) = physical.next() {
            place.line = index + 1;
            let mut text = uncommented(text).trim().to_owned();
            let continued = text.ends_with('\\');
            while text.ends_with('\\') {
                text.truncate(text.trim_end_matches('\\').trim_end().len());
                let (_, next) = physical.next().unwrap_or_default();
                text.push(' ');
                text += uncommented(next).trim();
            }
            self.take(&place, &text, continued, depth)?;
        }
        Ok(())
    }

    fn take(&mut self, place: &Place, text: &str, continued: bool, depth: usize) -> Result<()> {
        let text = legible(text);
        let text = text.as_str();
        if let Some((name, value)) = definition(text) {
            if continued {
                let message = format_args!("the definition of ${name} over several lines");
                self.notes.push(place.not_understood(message));
                return Ok(());
            }
            let value = self.substituted(place, value)?;
            self.definitions.insert(name.to_owned(), value);
            return Ok(());
        }
        let text = self.substituted(place, text)?;
        let mut words = text.split_whitespace();
        if !words.next().is_some_and(|word| INCLUDE.contains(&word)) {
            if !text.is_empty() {
                let place = place.clone();
                self.lines.push(Line { place, text });
            }
            return Ok(());
        }
        let pattern = words.next().unwrap_or_default().trim_matches('"');
        if depth == MOST_INCLUDES_DEEP {
            let message = format!("files include each other more than {depth} times");
            return Err(place.wrong(message));
        }
        let sources = (self.include)(&place.file, pattern)
            .with_context(|| format!("{place}: include {pattern}"))?;
        if sources.is_empty() {
            let message = format_args!("include {pattern}: there is no such file");
            self.notes.push(place.not_understood(message));
        }
        sources
            .iter()
            .try_for_each(|source| self.add(source, depth + 1))
    }

    /// `text` with the values of what it names; names without a value stay.
    fn substituted(&mut self, place: &Place, text: &str) -> Result<String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            result += before;
            let (name, behind) = named(after);
            if let Some(value) = self.definitions.get(name) {
                result += value;
                rest = behind;
                let more = value.len();
                self.count(place, more)?;
            } else {
                result.push('$');
                rest = after;
            }
        }
        result += rest;
        Ok(result)
    }

    fn count(&mut self, place: &Place, more: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > MOST_BYTES {
            return Err(place.wrong(format_args!(
                "too long: expected at most {MOST_BYTES} bytes in all"
            )));
        }
        Ok(())
    }
}

/// `line` up to its comment.
fn uncommented(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '#' | '!') => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    line
}

/// The name and the value of `$NAME=value`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    let name = name.trim_end();
    (!name.is_empty() && name.chars().all(is_of_name)).then(|| (name, value.trim_start()))
}

/// The name that begins `text`, bare or in braces, and what is behind it.
fn named(text: &str) -> (&str, &str) {
    if let Some((name, behind)) = text.strip_prefix('{').and_then(|it| it.split_once('}')) {
        return (name, behind);
    }
    let end = text.find(|letter| !is_of_name(letter));
    text.split_at(end.unwrap_or(text.len()))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
