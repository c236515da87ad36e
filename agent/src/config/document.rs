//! The TOML text of a router file, and where in it things are.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// What toml says of a key that is there twice.
const DUPLICATE: &str = "duplicate key";

/// A text that is TOML.
pub(super) struct Document<'a> {
    origin: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Reads `text`; the document is what could be made of it, unless the problems
    /// leave nothing that is worth a look.
    pub(super) fn read(text: &'a str, origin: &'a str) -> (Option<Self>, Vec<Problem>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { origin, text, root };
        let readable = errors.iter().all(|error| error.message() == DUPLICATE);
        let problems = errors.iter().map(|error| document.syntax(error)).collect();
        (readable.then_some(document), problems)
    }

    /// The whole of it.
    pub(super) const fn root(&self) -> &Spanned<DeTable<'a>> {
        &self.root
    }

    /// A problem with `field`, or with what is missing there.
    pub(super) fn problem(&self, field: &str, message: String) -> Problem {
        self.problem_at(self.find(field), field.to_owned(), message)
    }

    /// A problem with the key or value at `span`.
    pub(super) fn problem_at(&self, span: Range<usize>, field: String, message: String) -> Problem {
        let (line, column) = self.place(span.start);
        Problem {
            origin: self.origin.to_owned(),
            line,
            column,
            field,
            message,
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let key = self.text.get(span.clone()).unwrap_or_default();
        if error.message() != DUPLICATE {
            return self.problem_at(span, String::new(), error.message().to_owned());
        }
        let mut first = None;
        seek(self.root.get_ref(), key, span.start, "", &mut first);
        match first {
            Some((start, field)) => {
                let (line, _) = self.place(start);
                let message = format!("is there already, in line {line}: expected it once");
                self.problem_at(span, field, message)
            }
            None => self.problem_at(span, key.to_owned(), "is there twice".to_owned()),
        }
    }

    /// Where `field` is, or else what it would be in.
    fn find(&self, field: &str) -> Range<usize> {
        let mut span = 0..0;
        let mut table = Some(self.root.get_ref());
        for step in field.split('.') {
            let (key, index) = match step.strip_suffix(']').and_then(|it| it.split_once('[')) {
                Some((key, index)) => (key, index.parse::<usize>().ok()),
                None => (step, None),
            };
            let Some(mut value) = table.and_then(|it| it.get(key)) else {
                break;
            };
            if let Some(element) = index.and_then(|index| value.get_ref().get(index)) {
                value = element;
            }
            span = value.span();
            table = value.get_ref().as_table();
        }
        span
    }

    /// Line and column of the byte at `offset`, counted from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// Finds the last `key` before the byte at `end`: where it starts, and its path.
fn seek(
    table: &DeTable<'_>,
    key: &str,
    end: usize,
    path: &str,
    found: &mut Option<(usize, String)>,
) {
    for (name, value) in table {
        let start = name.span().start;
        let path = join(path, name.get_ref());
        let later = found.as_ref().is_none_or(|(last, _)| *last < start);
        if name.get_ref() == key && start < end && later {
            *found = Some((start, path.clone()));
        }
        match value.get_ref() {
            DeValue::Table(table) => seek(table, key, end, &path, found),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    if let DeValue::Table(table) = element.get_ref() {
                        seek(table, key, end, &format!("{path}[{index}]"), found);
                    }
                }
            }
            _ => (),
        }
    }
}

/// The path of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let key = if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}
