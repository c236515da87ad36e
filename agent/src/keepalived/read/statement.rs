//! From lines to statements: a keyword, its values, and perhaps a block.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::Result;

use super::source::{Line, Place};

/// Blocks may be nested so deep.
const MOST_DEEP: usize = 32;

/// A keyword with what follows it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) place: Place,
    /// The keyword first; empty for a block that has none.
    pub(super) words: Vec<String>,
    /// What is in the braces, if any.
    pub(super) block: Vec<Self>,
}

impl Statement {
    /// The keyword.
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The first value.
    pub(super) fn value(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    /// The word behind the word `key`.
    pub(super) fn after(&self, key: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == key)?;
        self.words.get(at + 1).map(String::as_str)
    }
}

/// Reads all lines.
pub(super) fn parse(lines: Vec<Line>) -> Result<Vec<Statement>> {
    let mut blocks = Blocks {
        open: Vec::new(),
        statements: Vec::new(),
    };
    for Line { place, text } in lines {
        let mut words = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(token) = token(&mut letters, &place)? {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    blocks.add(&place, std::mem::take(&mut words));
                    blocks.open(&place)?;
                }
                Token::Close => {
                    blocks.add(&place, std::mem::take(&mut words));
                    blocks.close(&place)?;
                }
            }
        }
        blocks.add(&place, words);
    }
    match blocks.open.last() {
        None => Ok(blocks.statements),
        Some((opener, _)) => Err(opener.place.wrong(format_args!(
            "the block of {:?} does not end: expected a }}",
            opener.keyword()
        ))),
    }
}

/// The statements of the innermost block, and of those around it.
struct Blocks {
    /// What a block belongs to, and the statements before that.
    open: Vec<(Statement, Vec<Statement>)>,
    statements: Vec<Statement>,
}

impl Blocks {
    fn add(&mut self, place: &Place, words: Vec<String>) {
        if !words.is_empty() {
            self.statements.push(Statement {
                place: place.clone(),
                words,
                block: Vec::new(),
            });
        }
    }

    /// Begins the block of the last statement, which may stand on a line before.
    fn open(&mut self, place: &Place) -> Result<()> {
        if self.open.len() == MOST_DEEP {
            let message = format!("too deep: expected at most {MOST_DEEP} blocks in each other");
            return Err(place.wrong(message));
        }
        let opener = self.statements.pop().filter(|it| it.block.is_empty());
        let opener = opener.unwrap_or_else(|| Statement {
            place: place.clone(),
            words: Vec::new(),
            block: Vec::new(),
        });
        let before = std::mem::take(&mut self.statements);
        self.open.push((opener, before));
        Ok(())
    }

    fn close(&mut self, place: &Place) -> Result<()> {
        let Some((mut opener, before)) = self.open.pop() else {
            return Err(place.wrong("a } without a { before it"));
        };
        opener.block = std::mem::replace(&mut self.statements, before);
        self.statements.push(opener);
        Ok(())
    }
}

enum Token {
    Word(String),
    Open,
    Close,
}

fn token(letters: &mut Peekable<Chars<'_>>, place: &Place) -> Result<Option<Token>> {
    while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    let first = match letters.next() {
        None => return Ok(None),
        Some('{') => return Ok(Some(Token::Open)),
        Some('}') => return Ok(Some(Token::Close)),
        Some(first) => first,
    };
    let mut word = String::new();
    let mut next = Some(first);
    while let Some(letter) = next {
        match letter {
            '"' | '\'' => quoted(letters, letter, &mut word, place)?,
            '\\' => word.extend(letters.next()),
            _ => word.push(letter),
        }
        next = letters.next_if(|letter| !letter.is_whitespace() && !"{}".contains(*letter));
    }
    Ok(Some(Token::Word(word)))
}

/// Adds what is between quotes to `word`.
fn quoted(
    letters: &mut Peekable<Chars<'_>>,
    quote: char,
    word: &mut String,
    place: &Place,
) -> Result<()> {
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter == quote => return Ok(()),
            '\\' => word.extend(letters.next()),
            _ => word.push(letter),
        }
    }
    Err(place.wrong(format_args!(
        "a quoted text does not end: expected a {quote}"
    )))
}
