//! What is wrong with a router file, and where.

use std::fmt;

use crate::printable::escaped;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or `<stdin>`.
    pub origin: String,
    /// Counted from 1; 0 where it is the file itself that is wrong.
    pub line: usize,
    /// In characters, counted from 1; 0 like `line`.
    pub column: usize,
    /// Which field: a dotted path like `address[2].address`; empty where none is to
    /// blame.
    pub field: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Problem {
    /// The file itself is wrong.
    #[must_use]
    pub fn of_file(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            line: 0,
            column: 0,
            field: String::new(),
            message: message.into(),
        }
    }
}

/// One line, in which nothing of the file's steers a terminal.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.origin))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", escaped(&self.field))?;
        }
        write!(f, ": {}", escaped(&self.message))
    }
}

/// All that is wrong, at least one thing; one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// More than these are not told: who has so many has no router file.
    const MOST: usize = 100;

    /// `problems`, of which there is at least one, by their place in the file.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.truncate(Self::MOST);
        Self(problems)
    }

    /// Each of them, by its place in the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.iter().enumerate() {
            let end_of_last = if number > 0 { "\n" } else { "" };
            write!(f, "{end_of_last}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_steers_no_terminal() {
        let problem = Problem {
            origin: "a\n.toml".to_owned(),
            line: 2,
            column: 1,
            field: "x\u{1b}[2Jy".to_owned(),
            message: "is \"é\u{9b}\"".to_owned(),
        };
        assert_eq!(
            problem.to_string(),
            "a\\n.toml:2:1: x\\u{1b}[2Jy: is \"é\\u{9b}\""
        );
    }
}
