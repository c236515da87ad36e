//! What others have written, made safe to show: nothing in it steers a terminal, ends a line of a
//! log or a comment.

use std::borrow::Cow;

/// `text` with a space for each of its control characters.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// `text` with its control characters as they are written in a TOML file: for errors, whose reader
/// is to find the place.
#[must_use]
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        let hostile = "a\u{1b}[2J\nb\u{9b}c\u{7f}";
        assert_eq!(printable(hostile), "a [2J b c ");
        assert_eq!(escaped(hostile), "a\\u{1b}[2J\\nb\\u{9b}c\\u{7f}");
        assert_eq!(escaped("plain, è"), "plain, è");
    }
}
