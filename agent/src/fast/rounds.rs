//! What the thread asks and looks for again and again, for one router: its gateways,
//! its master's keepalived, adverts of the one whose place was taken, backups.

use anyhow::Result;
use keepfast_common::wire::Mac;
use keepfast_common::wire::vrrp::RESIGN;

use crate::config::RouterId;
use crate::engine::Nanos;
use crate::takeover::Event;

use super::budget::Budget;
use super::guarded::LOOK_NS;
use super::questions::{Finding, Questions};
use super::thread::Thread;
use super::{act, facts};

impl Thread {
    pub(super) fn ask_gateways(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let Some(home) = self.homes.get(&router.guard.key.netns) else {
            return Ok(());
        };
        let had_gateway = router.has_gateway();
        let mut asked = false;
        for number in 0..router.gateways.len() {
            let (Some(questions), Some(gateway)) = (
                router.gateways.get_mut(number),
                router.guard.gateways.get(number),
            ) else {
                continue;
            };
            if questions.due() <= now {
                let holding = self.kernel.holding(&gateway.key)?;
                questions.ask(now, holding.map_or(0, |it| it.heard_ns));
                act::ask_gateway(&router.guard, home, number)?;
                asked = true;
            }
        }
        if !asked {
            return Ok(());
        }
        let lost = router.gateways.iter().all(Questions::is_silent);
        let snapshot = facts::read(&self.kernel, &self.sessions, router, now)?;
        let was_lost = std::mem::replace(&mut router.gateway_lost, lost);
        let event = match (was_lost, lost) {
            (false, true) => Some(Event::GatewaySilent),
            (true, false) => Some(Event::GatewayBack),
            (true, true) if router.heirs != snapshot.heirs => Some(Event::GatewaySilent),
            _ => None,
        };
        router.heirs = snapshot.heirs;
        let news = router.has_gateway() != had_gateway;
        if lost != was_lost {
            self.told_gateway(id, now, lost);
        }
        if let Some(event) = event {
            self.happened(id, event)?;
        }
        if news {
            // Its probes say so.
            self.choose_peer(id, now)?;
        }
        Ok(())
    }

    fn told_gateway(&self, id: &RouterId, now: Nanos, lost: bool) {
        let (name, detail) = if lost {
            ("gateway_lost", "this host's gateways do not answer")
        } else {
            ("gateway_back", "this host's gateways answer again")
        };
        self.told(id, now, name, detail.to_owned());
    }

    /// Asks the master's keepalived, where probes of its host are in vain.
    pub(super) fn solicit(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let (Some(questions), Some(home)) = (
            &mut router.solicitation,
            self.homes.get(&router.guard.key.netns),
        ) else {
            return Ok(());
        };
        if questions.due() > now {
            return Ok(());
        }
        let known = self.kernel.router(&router.guard.key)?;
        let master = known.map(|known| known.master);
        let Some(master) = master.filter(|master| master.heard_ns != 0 && master.local == 0) else {
            router.solicitation = None;
            return Ok(());
        };
        let finding = questions.ask(now, master.heard_ns);
        act::solicit(&router.guard, home, &master)?;
        match finding {
            Finding::Nothing => Ok(()),
            Finding::Silent => self.happened(id, Event::Silent),
            Finding::Back => self.happened(id, Event::Back),
        }
    }

    /// Looks for adverts of the one whose place was taken, and of yet another one.
    pub(super) fn look_for_deposed(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let count = self.routers.len();
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        if !router.looks() || router.look_at > now {
            return Ok(());
        }
        // All together as often as all probes may be.
        router.look_at = now + LOOK_NS.max(Budget::alone(count));
        let (Some(deposed), Some(known)) = (router.deposed, self.kernel.router(&router.guard.key)?)
        else {
            return Ok(());
        };
        let last_heard = |is_deposed: bool| {
            let others = [known.master, known.rival].into_iter();
            others
                .filter(|party| party.local == 0 && party.priority != RESIGN)
                .filter(|party| party.is(&deposed) == is_deposed)
                .map(|party| party.heard_ns)
                .max()
                .unwrap_or(0)
        };
        let (heard_ns, another_ns) = (last_heard(true), last_heard(false));
        if heard_ns > router.deposed_heard_ns {
            router.deposed_heard_ns = heard_ns;
            self.happened(id, Event::OldMasterHeard { heard_ns })
        } else if another_ns > deposed.heard_ns {
            let heard_ns = another_ns;
            self.happened(id, Event::AnotherHeard { heard_ns })
        } else {
            Ok(())
        }
    }

    /// Looks for backups that have begun to probe this host.
    pub(super) fn look_for_followers(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let Some(heirs) = self.kernel.heirs(&router.guard.key)? else {
            return Ok(());
        };
        let fresh = heirs.heirs.iter().filter(|heir| heir.is_fresh(now));
        let fresh: Vec<Mac> = fresh.map(|heir| heir.mac).collect();
        let before = std::mem::replace(&mut router.followers, fresh);
        let mut new = router.followers.iter().filter(|mac| !before.contains(mac));
        let Some(first) = new.next() else {
            return Ok(());
        };
        let by_old_master = router
            .deposed
            .is_some_and(|old| std::iter::once(first).chain(new).any(|mac| *mac == old.mac));
        self.happened(id, Event::Followed { by_old_master })
    }
}
