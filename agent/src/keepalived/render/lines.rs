//! Lines in nested blocks.

use std::fmt::Display;

/// Lines, each indented by the blocks around it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    depth: usize,
}

impl Lines {
    /// One line.
    pub(super) fn line(&mut self, line: impl Display) {
        let indent = self.depth * 4;
        self.text += &format!("{:indent$}{line}\n", "");
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// `title { ... }` around what `inside` writes.
    pub(super) fn block(&mut self, title: impl Display, inside: impl FnOnce(&mut Self)) {
        self.line(format_args!("{title} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line('}');
    }

    /// A block with a line for each of `items`; nothing at all without any.
    pub(super) fn list(&mut self, title: &str, items: impl IntoIterator<Item = impl Display>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.block(title, |lines| items.for_each(|item| lines.line(item)));
        }
    }

    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
