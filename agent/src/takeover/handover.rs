//! A primary that gives up its role for a backup that can serve better.
//!
//! It resigns on the wire and stays master until the backup's advert comes; if none
//! comes, its own next advert makes good for that.

use super::decision::Reason;
use super::io::{Action, Event, Mode, Moment, Role};
use super::note::Note;
use crate::engine::Nanos;

/// How long a backup may take.
pub const LIMIT_NS: Nanos = 50_000_000;

/// What a primary has to remember.
#[derive(Debug, Clone, Copy, Default)]
pub struct Primary {
    /// Since when a backup is waited for.
    waits_since: Option<Nanos>,
    /// It gave up because of its gateway, which has not answered since.
    left: bool,
    /// What was said last about a lost gateway for which it stays.
    told: Option<Note>,
}

impl Primary {
    /// Whether this host gave up its role because its gateway was lost, and that has
    /// not answered since.
    #[must_use]
    pub const fn left_for_its_gateway(&self) -> bool {
        self.left
    }

    /// When a backup is waited for no longer.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        self.waits_since.map(|since| since.saturating_add(LIMIT_NS))
    }

    /// Something happened; whether the role is to be given up now, by
    /// [`Self::resign`].
    pub fn step(&mut self, moment: &Moment<'_>, event: Event, actions: &mut Vec<Action>) -> bool {
        self.watch(moment, event, actions);
        match event {
            Event::HandOver => self.asked(moment, actions),
            Event::GatewaySilent => self.gateway_lost(moment, actions),
            Event::GatewayBack => {
                self.left = false;
                self.told = None;
                false
            }
            _ => false,
        }
    }

    /// Gives up the role.
    pub fn resign(&mut self, moment: &Moment<'_>, actions: &mut Vec<Action>) {
        self.waits_since = Some(moment.now);
        actions.push(Action::Resign);
    }

    /// Whether another host has followed.
    fn watch(&mut self, moment: &Moment<'_>, event: Event, actions: &mut Vec<Action>) {
        let Some(since) = self.waits_since else {
            return;
        };
        let another = moment.snapshot.other_master().is_some();
        let over = moment.now >= since.saturating_add(LIMIT_NS);
        if another && (over || event == Event::MasterChanged) {
            let after_ns = moment.now.saturating_sub(since);
            actions.push(Action::Note(Note::HandedOver { after_ns }));
        } else if over {
            self.left = false;
            actions.push(Action::Note(Note::NotHandedOver));
        } else {
            return;
        }
        self.waits_since = None;
    }

    fn asked(&self, moment: &Moment<'_>, actions: &mut Vec<Action>) -> bool {
        if self.waits_since.is_some() {
            return false;
        }
        let (note, resigns) = if let Some(reason) = incapable(moment) {
            (Note::Keeps(reason), false)
        } else if moment.policy.mode == Mode::Armed {
            (Note::HandsOver { gateway: false }, true)
        } else {
            (Note::WouldHandOver { gateway: false }, false)
        };
        actions.push(Action::Note(note));
        resigns
    }

    fn gateway_lost(&mut self, moment: &Moment<'_>, actions: &mut Vec<Action>) -> bool {
        if self.waits_since.is_some() || incapable(moment).is_some() {
            return false;
        }
        if moment.snapshot.heirs > 0 && moment.policy.mode == Mode::Armed {
            self.left = true;
            actions.push(Action::Note(Note::HandsOver { gateway: true }));
            return true;
        }
        let note = if moment.snapshot.heirs > 0 {
            Note::WouldHandOver { gateway: true }
        } else {
            Note::Stays
        };
        if self.told.replace(note) != Some(note) {
            actions.push(Action::Note(note));
        }
        false
    }
}

/// Why this host has nothing to hand over, if so.
const fn incapable(moment: &Moment<'_>) -> Option<Reason> {
    if matches!(moment.policy.mode, Mode::Off) {
        Some(Reason::Off)
    } else if !matches!(moment.snapshot.role, Role::Master) {
        Some(Reason::NotMaster)
    } else if !moment.snapshot.keepalived_runs {
        Some(Reason::KeepalivedEnded)
    } else {
        None
    }
}
