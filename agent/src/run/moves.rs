//! Routers on their way to other hosts: [`crate::moving`] decides, here it is done.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use keepfast_common::time::down_after_ns;
use keepfast_common::track::{PHASE_ACTIVE, PHASE_LATE, VirtualRouter};
use serde_json::json;
use tokio::sync::oneshot;
use tracing::info;

use crate::config::{Mode, RouterId};
use crate::control::{ErrorKind, Reply};
use crate::engine::{Input, Nanos};
use crate::fast::{Order, Told};
use crate::moving::{Deed, Facts, HandingOver, Move, Outcome, Wish};
use crate::report::clock::monotonic_ns;
use crate::report::words;

use super::daemon::Daemon;
use super::drain::reply;
use super::member::Member;
use super::network;
use super::plan::password;

/// How many routers are moved at once.
const AT_ONCE: usize = 16;

/// What is not known of the other hosts is assumed: the lowest priority.
const LOWEST: u8 = 1;

/// Routers on their way, and who waits for them.
#[derive(Default)]
pub(super) struct Moves {
    under_way: BTreeMap<RouterId, Move>,
    failovers: BTreeMap<RouterId, oneshot::Sender<Reply>>,
    draining: Option<Draining>,
}

/// A host that is being drained.
struct Draining {
    waiting: VecDeque<RouterId>,
    ended: BTreeMap<RouterId, Outcome>,
    answer: oneshot::Sender<Reply>,
}

impl Moves {
    /// Whether [`Daemon::go_on_moving`] has something to do.
    pub(super) fn is_active(&self) -> bool {
        !self.under_way.is_empty() || self.draining.is_some()
    }

    pub(super) fn is_under_way(&self, id: &RouterId) -> bool {
        self.under_way.contains_key(id)
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Has a router moved; `answer` takes how that went.
    pub(super) fn fail_over(&mut self, id: RouterId, answer: oneshot::Sender<Reply>) {
        self.under_way.insert(id.clone(), Move::new(Wish::Failover));
        self.failovers.insert(id, answer);
    }

    /// Has all these moved; `answer` takes how that went.
    pub(super) fn drain(&mut self, ids: Vec<RouterId>, answer: oneshot::Sender<Reply>) {
        self.draining = Some(Draining {
            waiting: ids.into(),
            ended: BTreeMap::new(),
            answer,
        });
    }

    /// The fast path has said something about a router.
    pub(super) fn told(&mut self, told: &Told) {
        let Some(moved) = self.under_way.get_mut(&told.id) else {
            return;
        };
        let said = match told.name {
            "hands_over" => HandingOver::Begun(told.at),
            "handed_over" => HandingOver::Done,
            "hand_over_failed" | "hand_over_refused" => HandingOver::Failed(told.detail.clone()),
            "would_hand_over" => HandingOver::Failed("its fast path is in shadow".to_owned()),
            _ => return,
        };
        moved.told(said);
    }
}

impl Daemon {
    /// Every few milliseconds while routers are on their way.
    pub(super) fn go_on_moving(&mut self) {
        if let Some(draining) = &mut self.moves.draining {
            while self.moves.under_way.len() < AT_ONCE
                && let Some(id) = draining.waiting.pop_front()
            {
                // One that fails over is asked again when that has ended.
                if self.moves.under_way.contains_key(&id) {
                    draining.waiting.push_back(id);
                    break;
                }
                self.moves.under_way.insert(id, Move::new(Wish::Drain));
            }
        }
        let Ok(now) = monotonic_ns() else {
            return;
        };
        let ids: Vec<RouterId> = self.moves.under_way.keys().cloned().collect();
        for id in ids {
            let facts = self.move_facts(&id);
            let Some(moved) = self.moves.under_way.get_mut(&id) else {
                continue;
            };
            let (deed, outcome) = match facts {
                Ok(Some(facts)) => moved.step(now, &facts),
                Ok(None) => (None, Some(Outcome::Backup { halted: false })),
                Err(error) => {
                    let why = format!("{error:#}");
                    (None, Some(Outcome::Stays { why }))
                }
            };
            if let Some(deed) = deed {
                self.do_deed(&id, deed);
            }
            if let Some(outcome) = outcome {
                self.moved(&id, outcome);
            }
        }
        let over = |it: &Draining| it.waiting.is_empty() && self.moves.under_way.is_empty();
        if self.moves.draining.as_ref().is_some_and(over)
            && let Some(draining) = self.moves.draining.take()
        {
            draining.end();
        }
    }

    fn moved(&mut self, id: &RouterId, outcome: Outcome) {
        self.moves.under_way.remove(id);
        info!(router = %id, "{outcome}");
        if let Ok(now) = monotonic_ns() {
            self.note(id, now, "moved", &outcome.to_string());
        }
        if let Some(answer) = self.moves.failovers.remove(id) {
            let answered = match &outcome {
                Outcome::Moved { .. } => Reply::done(json!({
                    "id": id.as_str(),
                    "words": outcome.to_string(),
                    "moved": outcome,
                })),
                _ => Reply::refused(ErrorKind::Failure, format!("router {id} {outcome}")),
            };
            reply(answer, answered);
        } else if let Some(draining) = &mut self.moves.draining {
            draining.ended.insert(id.clone(), outcome);
        }
    }

    fn do_deed(&mut self, id: &RouterId, deed: Deed) {
        match deed {
            Deed::HandOver => {
                if let Some(fast) = &self.fast {
                    fast.path.order(Order::HandOver(id.clone()));
                }
            }
            Deed::Resign => {
                let outcome = self.members.get(id).and_then(|member| {
                    let (site, managed) = (self.site(member)?, member.managed()?);
                    Some(password(managed).and_then(|it| network::resign(site, managed, it)))
                });
                if let Some(Err(error)) = outcome {
                    self.trouble(id, &error.context("ask for another host"));
                }
            }
            Deed::Halt => self.input(id, Input::Halted(true)),
        }
    }

    /// `None`: the router is gone, or about to be.
    fn move_facts(&mut self, id: &RouterId) -> Result<Option<Facts>> {
        let member = self.members.get(id).filter(|it| !it.engine.is_deleted());
        let Some(member) = member else {
            return Ok(None);
        };
        let key = self.key_of(member);
        let watched = member
            .advert_interface()
            .and_then(|name| self.site(member)?.attachment(name))
            .is_some();
        let known = match (&mut self.observer, key) {
            (Some(observer), Some(key)) => observer.kernel.maps().router(key)?,
            _ => None,
        };
        let guarded = self.fast.as_ref().is_some_and(|fast| fast.guards(id));
        let Some(member) = self.members.get(id) else {
            return Ok(None);
        };
        Ok(Some(facts(member, known.as_ref(), watched, guarded)))
    }
}

impl Draining {
    /// Tells who asked.
    fn end(self) {
        let stay = self.ended.values().filter(|it| !it.is_away()).count();
        let routers: Vec<_> = self
            .ended
            .iter()
            .map(|(id, outcome)| {
                json!({
                    "id": id.as_str(),
                    "away": outcome.is_away(),
                    "words": outcome.to_string(),
                    "moved": outcome,
                })
            })
            .collect();
        info!("drained: {stay} of {} routers stay", routers.len());
        reply(
            self.answer,
            Reply::done(json!({ "routers": routers, "stay": stay })),
        );
    }
}

fn facts(member: &Member, known: Option<&VirtualRouter>, watched: bool, guarded: bool) -> Facts {
    let engine = &member.engine;
    let plan = member.plan();
    let version = plan.instance.as_ref().map_or(3, |it| it.version);
    let family = plan.instance.as_ref().map_or(4, |it| it.family);
    let hundredths = u16::try_from(plan.advert_interval_ns / 10_000_000).unwrap_or(u16::MAX);
    let known = known.unwrap_or(&VirtualRouter::UNKNOWN);
    let parties = [&known.master, &known.rival];
    let heard_ns = |local: bool| -> Nanos {
        let those = parties.iter().filter(|it| (it.local != 0) == local);
        those.map(|it| it.heard_ns).max().unwrap_or(0)
    };
    let other = parties.iter().find(|it| it.local == 0 && it.heard_ns != 0);
    let reigns = matches!(known.phase, PHASE_ACTIVE | PHASE_LATE) && known.master.local == 0;
    Facts {
        state: engine.state(),
        since_ns: engine.since_ns(),
        managed: member.managed().is_some(),
        lowered: member.is_lowered(),
        guarded: guarded && member.mode() != Mode::Off,
        seen: watched,
        own_advert_ns: heard_ns(true),
        other_master_ns: if reigns { known.since_ns } else { 0 },
        other_advert_ns: heard_ns(false),
        other: other.map_or_else(
            || "another host".to_owned(),
            |it| words::address(family, &it.address),
        ),
        interval_ns: plan.advert_interval_ns,
        down_ns: down_after_ns(version, hundredths, LOWEST),
    }
}
