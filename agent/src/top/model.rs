//! What is shown: inputs in, nothing else.

use std::collections::{BTreeMap, VecDeque};

use super::gaps::Gaps;
use crate::status::{RouterStatus, Status};

/// How many events are remembered.
const EVENTS: usize = 200;

/// How far a page goes.
const PAGE: usize = 10;

/// What comes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// How the daemon and its routers are.
    Status(Box<Status>),
    /// Why that is not known, in words.
    Trouble(String),
    /// What has happened, the oldest first, a line each.
    Events(Vec<String>),
    /// A key was pressed.
    Key(Key),
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// An arrow, up.
    Up,
    /// An arrow, down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first line.
    Home,
    /// The last line.
    End,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
}

/// By what routers are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    State,
    Since,
    Margin,
    FastPath,
}

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Routers,
    Peers,
    /// One router in full.
    Router,
}

/// What is shown.
#[derive(Debug)]
pub struct Model {
    pub(super) status: Option<Box<Status>>,
    pub(super) trouble: Option<String>,
    pub(super) gaps: BTreeMap<String, Gaps>,
    pub(super) events: VecDeque<String>,
    /// The routers that are shown, in order, by their place in the status.
    pub(super) shown: Vec<usize>,
    pub(super) selected: usize,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) view: View,
    ends: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            status: None,
            trouble: None,
            gaps: BTreeMap::new(),
            events: VecDeque::new(),
            shown: Vec::new(),
            selected: 0,
            sort: Sort::Name,
            reversed: false,
            filter: String::new(),
            typing: false,
            view: View::Routers,
            ends: false,
        }
    }
}

impl Model {
    /// Takes an input.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Status(status) => self.take_status(status),
            Input::Trouble(why) => self.trouble = Some(why),
            Input::Events(lines) => {
                self.events.extend(lines);
                let over = self.events.len().saturating_sub(EVENTS);
                self.events.drain(..over);
            }
            Input::Key(key) if self.typing => self.type_filter(key),
            Input::Key(key) => self.press(key),
        }
    }

    /// Whether the user wants to leave.
    #[must_use]
    pub const fn ends(&self) -> bool {
        self.ends
    }

    /// The routers that are shown, in order.
    pub(super) fn routers(&self) -> impl Iterator<Item = &RouterStatus> {
        let all = self.status.as_ref().map_or(&[][..], |it| &it.routers);
        self.shown.iter().filter_map(|index| all.get(*index))
    }

    /// The one that is selected.
    pub(super) fn selection(&self) -> Option<&RouterStatus> {
        self.routers().nth(self.selected)
    }

    fn take_status(&mut self, status: Box<Status>) {
        self.trouble = None;
        let up_us = status.daemon.up_ms.saturating_mul(1_000);
        let ids = status.routers.iter().map(|router| router.id.as_str());
        let ids: std::collections::BTreeSet<&str> = ids.collect();
        self.gaps.retain(|id, _| ids.contains(id.as_str()));
        for router in &status.routers {
            if let Some(adverts) = &router.adverts {
                match self.gaps.get_mut(&router.id) {
                    Some(gaps) => gaps.take(up_us, adverts),
                    None => {
                        let mut gaps = Gaps::default();
                        gaps.take(up_us, adverts);
                        self.gaps.insert(router.id.clone(), gaps);
                    }
                }
            }
        }
        self.status = Some(status);
        self.arrange();
    }

    /// Chooses and sorts; the selection stays with its router.
    fn arrange(&mut self) {
        let selected = self.selection().map(|router| router.id.clone());
        let all = self.status.as_ref().map_or(&[][..], |it| &it.routers);
        let mut shown: Vec<usize> = (0..all.len()).collect();
        let wanted = self.filter.to_lowercase();
        shown.retain(|index| all.get(*index).is_some_and(|it| fits(it, &wanted)));
        let sort = self.sort;
        // By name they are already, and those that are equal stay so.
        shown.sort_by_key(|index| all.get(*index).map(|it| rank(it, sort)));
        if self.reversed {
            shown.reverse();
        }
        let place = selected.and_then(|id| {
            let same = |index: &usize| all.get(*index).is_some_and(|it| it.id == id);
            shown.iter().position(same)
        });
        let last = shown.len().saturating_sub(1);
        self.selected = place.unwrap_or(self.selected).min(last);
        self.shown = shown;
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(character) => self.filter.push(character),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
        self.arrange();
    }

    fn press(&mut self, key: Key) {
        let last = self.shown.len().saturating_sub(1);
        match key {
            Key::Char('q') => self.ends = true,
            Key::Char('/') => {
                self.typing = true;
                self.view = View::Routers;
            }
            Key::Char('s') => {
                self.sort = self.sort.next();
                self.arrange();
            }
            Key::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            Key::Char('p') => {
                self.view = match self.view {
                    View::Peers => View::Routers,
                    View::Routers | View::Router => View::Peers,
                };
            }
            Key::Enter if self.view == View::Routers && self.selection().is_some() => {
                self.view = View::Router;
            }
            Key::Enter => self.view = View::Routers,
            Key::Escape => {
                self.view = View::Routers;
                self.filter.clear();
                self.arrange();
            }
            Key::Up | Key::Char('k') => self.selected = self.selected.saturating_sub(1),
            Key::Down | Key::Char('j') => self.selected = (self.selected + 1).min(last),
            Key::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            Key::PageDown => self.selected = (self.selected + PAGE).min(last),
            Key::Home | Key::Char('g') => self.selected = 0,
            Key::End | Key::Char('G') => self.selected = last,
            Key::Char(_) | Key::Backspace => {}
        }
    }
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Name => Self::State,
            Self::State => Self::Since,
            Self::Since => Self::Margin,
            Self::Margin => Self::FastPath,
            Self::FastPath => Self::Name,
        }
    }

    /// In a word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Since => "last change",
            Self::Margin => "margin",
            Self::FastPath => "fast path",
        }
    }
}

/// Whether a router is one that is looked for: by its name, namespace, state, master or
/// note.
fn fits(router: &RouterStatus, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    let master = router.master.as_ref().map(|it| it.address.as_str());
    let texts = [router.namespace.as_deref(), master, router.note.as_deref()];
    has(&router.id) || has(router.state.as_str()) || texts.into_iter().flatten().any(has)
}

/// What comes first, comes first because something may be wrong with it.
fn rank(router: &RouterStatus, sort: Sort) -> u64 {
    use crate::engine::State;
    match sort {
        Sort::Name => 0,
        Sort::State => match router.state {
            State::Fault => 0,
            State::Unknown => 1,
            State::Falling => 2,
            State::Rising => 3,
            State::Primary => 4,
            State::Backup => 5,
        },
        Sort::Since => router.state_age_ms,
        Sort::Margin => {
            let margin = router.adverts.as_ref().and_then(|it| it.margin);
            // Thousandths: from 0 to some millions.
            margin.map_or(u64::MAX, |it| u64::MAX / 2 - (it.used * 1_000.0) as u64)
        }
        Sort::FastPath => u64::from(router.fast_path.why_not.is_none()),
    }
}
