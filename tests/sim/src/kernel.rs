//! What the kernel programs of a host do with a frame, and when time passes: the same
//! code of `common`, in the same order as `ebpf/` calls it.

use keepfast_common::event::{Changes, EventKind, Party};
use keepfast_common::wire::probe::{
    KIND_ANSWER, PEER_KEEPALIVED_RUNS, Probe, ROLE_BACKUP, ROLE_MASTER, Stamps,
};

use crate::US;
use crate::agent::News;
use crate::host::number_of;
use crate::world::{Frame, Occurs, World};

impl World {
    pub(crate) fn arrives(&mut self, from: usize, to: usize, frame: Frame) {
        if to == self.gateway() {
            self.send(to, from, Frame::Reply);
            return;
        }
        if !(self.hosts[to].alive && self.hosts[to].link_up) {
            return;
        }
        match frame {
            Frame::Advert(advert) => self.received_advert(to, advert),
            Frame::Solicitation => {
                let advert = crate::host::party(&self.setup, from, 0, self.now);
                self.track(to, &advert);
                self.pass_to_keepalived(to, advert, false);
            }
            Frame::Probe(probe) => self.bounce(from, to, probe),
            Frame::Answer(probe) => self.answered(from, to, &probe),
            Frame::Taken(probe) => {
                self.hosts[to].heirs.taken(&probe, self.now);
            }
            Frame::Reply => self.hosts[to].witness_ns = self.now,
            Frame::Question => {}
        }
    }

    fn received_advert(&mut self, to: usize, advert: Party) {
        let advert = Party {
            heard_ns: self.now,
            ..advert
        };
        self.checks.heard(to, host_of(&advert), self.now);
        if advert.priority != 0 {
            self.checks
                .advert(to, host_of(&advert), self.now, self.setup.interval_ns());
        } else {
            self.checks.resigned(to, host_of(&advert));
        }
        self.track(to, &advert);
        self.pass_to_keepalived(to, advert, false);
    }

    /// keepalived reads it a moment later.
    pub(crate) fn pass_to_keepalived(&mut self, host: usize, advert: Party, forged: bool) {
        let delay = self.dice.between(20 * US, 200 * US);
        let boot = self.hosts[host].boot;
        self.at(
            self.now + delay,
            Occurs::Heard {
                host,
                boot,
                advert,
                forged,
            },
        );
    }

    /// An advert of this host's own leaves.
    pub(crate) fn sent_advert(&mut self, host: usize, advert: &Party) {
        self.track(
            host,
            &Party {
                local: 1,
                ..*advert
            },
        );
    }

    fn track(&mut self, host: usize, speaker: &Party) {
        let mut changes = Changes::NONE;
        self.hosts[host].tracked.heard(speaker, &mut changes);
        self.tell(host, &changes);
    }

    /// Tells the agent of what is urgent.
    fn tell(&mut self, host: usize, changes: &Changes) {
        let local = changes.new.local != 0;
        for kind in EventKind::ALL {
            if changes.has(kind) {
                self.daemon_hears(host, kind, local);
                self.tell_agent(
                    host,
                    News::Kernel {
                        kind,
                        at_ns: self.now,
                        local,
                    },
                );
            }
        }
    }

    fn tell_session(&mut self, host: usize, peer: usize, kinds: u32) {
        for kind in EventKind::ALL {
            if kinds & kind.bit() != 0 {
                self.tell_agent(host, News::Session { kind, peer });
            }
        }
    }

    fn tell_agent(&mut self, host: usize, news: News) {
        if self.hosts[host].agent.is_some() {
            let life = self.hosts[host].lives;
            let delay = self.dice.between(10 * US, 40 * US);
            self.at(self.now + delay, Occurs::Told { host, life, news });
        }
    }

    /// A probe of this host's leaves.
    pub(crate) fn send_probe(&mut self, host: usize, peer: usize, probe: Probe) {
        self.checks
            .probes(host, peer, self.now, self.setup.probe_ns);
        let now = self.now;
        if let Some((judgement, session)) = &mut self.hosts[host].sessions[peer] {
            let kinds = session.sent(judgement, &probe, now);
            self.tell_session(host, peer, kinds);
        }
        self.send(host, peer, Frame::Probe(probe));
    }

    fn bounce(&mut self, from: usize, to: usize, mut probe: Probe) {
        let fresh = self.dice.next() | 1;
        let it = &mut self.hosts[to];
        if it.lives == 0 {
            // No agent has loaded the programs yet.
            return;
        }
        let mut stamps = Stamps {
            host: to as u64 + 1,
            flags: PEER_KEEPALIVED_RUNS,
            ..Stamps::NONE
        };
        stamps.role = ROLE_BACKUP;
        if it.tracked.own_active != 0 {
            stamps.role = ROLE_MASTER;
            let (rank, token) = it.heirs.heard(&probe, fresh, self.now);
            stamps.rank = rank;
            stamps.token = token;
        }
        probe.stamps = stamps;
        probe.kind = KIND_ANSWER;
        self.send(to, from, Frame::Answer(probe));
    }

    fn answered(&mut self, from: usize, to: usize, probe: &Probe) {
        let now = self.now;
        let Some((judgement, session)) = &mut self.hosts[to].sessions[from] else {
            return;
        };
        if let Some(kinds) = session.answered(judgement, probe, now) {
            self.checks.heard(to, from, now);
            self.checks.answered(to, from, now, self.setup.multiplier);
            self.tell_session(to, from, kinds);
        }
    }

    pub(crate) fn kernel_timer(&mut self, host: usize, boot: u32, due: u64) {
        let now = self.now;
        if self.hosts[host].boot != boot || self.hosts[host].kernel_due != due {
            return;
        }
        self.hosts[host].kernel_due = u64::MAX;
        loop {
            let due = self.hosts[host].tracked.next_deadline();
            if due == 0 || now < due {
                break;
            }
            let mut changes = Changes::NONE;
            self.hosts[host].tracked.expire(now, &mut changes);
            self.tell(host, &changes);
        }
        for peer in 0..self.hosts.len() {
            if let Some((judgement, session)) = &mut self.hosts[host].sessions[peer] {
                let kinds = session.expire(judgement, now);
                self.tell_session(host, peer, kinds);
            }
        }
    }

    pub(crate) fn arm_kernel(&mut self, host: usize) {
        let it = &self.hosts[host];
        if !it.alive {
            return;
        }
        let sessions = it.sessions.iter().flatten();
        let sessions = sessions.map(|(judgement, session)| session.next_deadline(judgement));
        let tracker = it.tracked.next_deadline();
        let due = sessions.chain([tracker]).filter(|due| *due != 0).min();
        if let Some(due) = due.filter(|due| *due < it.kernel_due) {
            self.hosts[host].kernel_due = due;
            let boot = self.hosts[host].boot;
            let late = self.dice.between(10 * US, 60 * US);
            self.at(
                due.max(self.now) + late,
                Occurs::KernelTimer { host, boot, due },
            );
        }
    }
}

/// Which host a party is.
#[must_use]
pub fn host_of(party: &Party) -> usize {
    number_of(&party.mac)
}
