//! Lines in nested blocks: the configuration files of other programs.

use std::fmt::Display;

/// Lines, each indented by the blocks around it.
#[derive(Debug)]
pub(crate) struct Lines {
    text: String,
    depth: usize,
    end: &'static str,
}

impl Lines {
    /// No lines yet; `end` will be the last line of each block.
    pub(crate) const fn new(end: &'static str) -> Self {
        Self {
            text: String::new(),
            depth: 0,
            end,
        }
    }

    /// One line.
    pub(crate) fn line(&mut self, line: impl Display) {
        let indent = self.depth * 4;
        self.text += &format!("{:indent$}{line}\n", "");
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// `title {`, what `inside` writes, and the end.
    pub(crate) fn block(&mut self, title: impl Display, inside: impl FnOnce(&mut Self)) {
        self.line(format_args!("{title} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line(self.end);
    }

    /// A block with a line for each of `items`; nothing at all without any.
    pub(crate) fn list(
        &mut self,
        title: impl Display,
        items: impl IntoIterator<Item = impl Display>,
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.block(title, |lines| items.for_each(|item| lines.line(item)));
        }
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
