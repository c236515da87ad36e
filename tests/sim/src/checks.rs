//! What must hold, judged by what truly happened and not by what an engine was told.
//!
//! | rule         | what                                                                  |
//! |--------------|-----------------------------------------------------------------------|
//! | served       | Where the keepalived of a host, had it no fast path, would be master  |
//! |              | by what it heard, some host is.                                       |
//! | one          | Of two primaries of which one hears the other, one gives way by the   |
//! |              | second advert of that one. Without a fast path it does so by the      |
//! |              | first; but a host that took over cannot know by one advert that the   |
//! |              | old master does not hear it, and to give way to one that is about to  |
//! |              | do so itself would leave nobody.                                      |
//! | silent       | A silent master is taken over from only if nothing was heard of it    |
//! |              | for as long as the probes that make a silence take.                   |
//! | known        | ... and only after it had answered for a while.                       |
//! | witness      | ... and, where a gateway is a witness, only if that was heard since.  |
//! | mistake      | A host that has taken over from one that advertises still notices.    |
//! | in line      | Backups that miss the master at the same time do not take over at the |
//! |              | same time.                                                            |
//! | back-off     | A host that took over wrongly, or in vain, takes nothing over for 10 s. |
//! | truth        | State file and notifications come to what is true, and tell of each   |
//! | told         | change once, in order.                                                |
//! | left over    | A backup has no address for longer than a lease lasts.                 |
//! | as without   | A host that has had no agent for a while is what it would be without. |

use crate::host::Host;
use crate::network::TRAVEL_NS;
use crate::world::World;
use crate::{MS, SECOND, US};

/// How long what is in flight, or waits for a process to run, may take.
const SLACK_NS: u64 = 5 * MS + 4 * TRAVEL_NS;

/// Adverts this long after a host's first one as master have not crossed it.
const CROSSING_NS: u64 = 6 * MS;

/// The shortest back-off.
const BACK_OFF_NS: u64 = 10 * SECOND;

/// How long answers must have come: the second that a session learns, less its first
/// probes, which are slow.
const KNOWN_NS: u64 = SECOND / 2;

/// How long after its end an agent may still show.
const AFTERMATH_NS: u64 = 12 * SECOND;

/// What one host truly heard of another.
#[derive(Debug, Clone, Copy, Default)]
struct Ear {
    heard_ns: u64,
    probed_ns: u64,
    unanswered: u32,
    answered_ns: u64,
    since_ns: u64,
}

/// What is known of one host's takeovers.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    erred_ns: u64,
    took_over: Option<(u64, usize, u64)>,
    /// When it was master, by a takeover of whom.
    holds: Option<(u64, usize)>,
    /// Since when it should know that it was wrong.
    mistaken_since: Option<u64>,
    agentless_ns: u64,
    differs_since: Option<u64>,
    left_over_since: Option<u64>,
}

/// Figures of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Takeovers by the fast path.
    pub takeovers: u64,
    /// Those from a primary that lived.
    pub wrong: u64,
    /// How long nobody served, in all.
    pub outage_ns: u64,
    /// At most at a time.
    pub worst_ns: u64,
    /// How long more than one did.
    pub doubled_ns: u64,
    /// How often a rule was looked at.
    pub checked: u64,
}

/// The rules.
#[derive(Debug)]
pub struct Checks {
    /// What was broken.
    pub broken: Vec<String>,
    /// The figures.
    pub figures: Figures,
    ears: Vec<Vec<Ear>>,
    records: Vec<Record>,
    served_once: bool,
    unserved_since: Option<u64>,
    owed_since: Option<u64>,
    two_since: Vec<Vec<Option<u64>>>,
    serving: usize,
    primaries: usize,
}

impl Checks {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        Self {
            broken: Vec::new(),
            figures: Figures::default(),
            ears: vec![vec![Ear::default(); hosts]; hosts],
            records: vec![Record::default(); hosts],
            served_once: false,
            unserved_since: None,
            owed_since: None,
            two_since: vec![vec![None; hosts]; hosts],
            serving: 0,
            primaries: 0,
        }
    }

    /// Time passes, while all is as it was.
    pub fn passes(&mut self, from: u64, to: u64) {
        match self.serving {
            0 if self.served_once => self.figures.outage_ns += to - from,
            0 | 1 => {}
            _ => self.figures.doubled_ns += to - from,
        }
    }

    /// An advert or an answer of `from` came in.
    pub fn heard(&mut self, at: usize, from: usize, now: u64) {
        self.ears[at][from].heard_ns = now;
    }

    /// A probe leaves.
    pub fn probes(&mut self, at: usize, to: usize, now: u64, interval_ns: u64) {
        let ear = &mut self.ears[at][to];
        if now > ear.probed_ns + interval_ns + interval_ns / 2 {
            ear.unanswered = 0;
        }
        ear.probed_ns = now;
        ear.unanswered += 1;
    }

    /// An answer came in time.
    pub fn answered(&mut self, at: usize, from: usize, now: u64, multiplier: u8) {
        let ear = &mut self.ears[at][from];
        if ear.since_ns == 0 || ear.unanswered > u32::from(multiplier) + 1 {
            ear.since_ns = now;
        }
        ear.unanswered = 0;
        ear.answered_ns = now;
    }

    /// A host begins to probe somebody else.
    pub fn probes_anew(&mut self, at: usize) {
        for ear in &mut self.ears[at] {
            ear.since_ns = 0;
            ear.answered_ns = 0;
        }
    }

    /// The takeover that the host began last has succeeded.
    pub fn took_over(&mut self, host: usize, now: u64) {
        let record = &mut self.records[host];
        record.holds = record.took_over.map(|(_, master, _)| (now, master));
    }

    /// An advert came in; until that of its next interval, the one of a master that
    /// was taken over from shows that it lives.
    pub fn advert(&mut self, at: usize, from: usize, now: u64, interval_ns: u64) {
        let record = &mut self.records[at];
        if let Some((since, master)) = record.holds
            && master == from
            && now > since + CROSSING_NS
        {
            record.holds = None;
            if now < since + interval_ns {
                record.mistaken_since.get_or_insert(now);
            }
        }
    }

    /// A master resigned: that it was taken over from is nobody's mistake any more.
    pub fn resigned(&mut self, at: usize, from: usize) {
        let record = &mut self.records[at];
        if record
            .took_over
            .is_some_and(|(_, master, _)| master == from)
        {
            record.holds = None;
            record.mistaken_since = None;
        }
    }

    /// A takeover was wrong, or failed, says the host.
    pub fn errs(&mut self, host: usize, now: u64) {
        self.records[host].holds = None;
        self.records[host].mistaken_since = None;
        self.records[host].erred_ns = now;
    }

    /// A host has no agent any more.
    pub fn agent_ends(&mut self, host: usize, now: u64) {
        self.records[host] = Record {
            agentless_ns: now,
            ..Record::default()
        };
    }

    pub(crate) fn breaks(&mut self, rule: &str, now: u64, what: String) {
        if self.broken.len() < 20 {
            let since = now - 100 * SECOND;
            self.broken.push(format!(
                "{}.{:06} {rule}: {what}",
                since / SECOND,
                since % SECOND / US
            ));
        }
    }
}

impl World {
    /// A host begins to take over from `master`.
    pub(crate) fn takes_over(&mut self, host: usize, master: usize, silence: bool) {
        let now = self.now;
        self.checks.figures.takeovers += 1;
        if silence && self.hosts[master].serves() {
            self.checks.figures.wrong += 1;
        }
        let record = self.checks.records[host];
        if record.erred_ns != 0 && now < record.erred_ns + BACK_OFF_NS {
            let ms = (now - record.erred_ns) / MS;
            self.checks.breaks(
                "back-off",
                now,
                format!("{host} takes over {ms} ms after a mistake"),
            );
        }
        if silence {
            self.is_founded(host, master);
        }
    }

    fn is_founded(&mut self, host: usize, master: usize) {
        let (now, probe_ns) = (self.now, self.setup.probe_ns);
        let ear = self.checks.ears[host][master];
        self.checks.figures.checked += 4;
        let least = u64::from(self.setup.multiplier - 1) * probe_ns;
        let silent_ns = now - ear.heard_ns;
        if silent_ns < least {
            self.checks.breaks(
                "silent",
                now,
                format!(
                    "{host} takes over from {master}, heard {} us ago",
                    silent_ns / US
                ),
            );
        }
        let known_ns = ear.answered_ns.saturating_sub(ear.since_ns);
        if known_ns < KNOWN_NS {
            self.checks.breaks(
                "known",
                now,
                format!(
                    "{host} takes over from {master}, which answered for {} ms",
                    known_ns / MS
                ),
            );
        }
        if self.setup.witness && self.hosts[host].witness_ns + 2 * MS < ear.heard_ns {
            self.checks.breaks(
                "witness",
                now,
                format!("{host} is alone when it takes over"),
            );
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let Some((at, from, heard_ns)) = self.checks.records[other].took_over else {
                continue;
            };
            let together = from == master && heard_ns.abs_diff(ear.heard_ns) <= probe_ns;
            let paused = self.hosts[host]
                .agent_until
                .max(self.hosts[other].agent_until);
            if together && now < at + MS && paused < heard_ns {
                let us = (now - at) / US;
                self.checks.breaks(
                    "in line",
                    now,
                    format!("{host} takes over {us} us after {other}"),
                );
            }
        }
        self.checks.records[host].took_over = Some((now, master, ear.heard_ns));
    }

    /// Looks whether all holds.
    pub(crate) fn check(&mut self) {
        let now = self.now;
        let primaries: Vec<usize> = (0..self.hosts.len())
            .filter(|it| self.hosts[*it].serves())
            .collect();
        let serving = primaries
            .iter()
            .filter(|it| now >= self.hosts[**it].kernel_until)
            .count();
        self.checks.serving = serving;
        self.checks.served_once |= serving > 0;
        if serving > 0 || !self.checks.served_once {
            if let Some(since) = self.checks.unserved_since.take() {
                let worst = &mut self.checks.figures.worst_ns;
                *worst = (*worst).max(now - since);
            }
        } else {
            self.checks.unserved_since.get_or_insert(now);
        }
        self.is_served(!primaries.is_empty());
        self.is_one(&primaries);
        self.is_as_without();
        self.is_noticed();
        self.is_told_truly();
        self.has_nothing_left_over();
    }

    fn has_nothing_left_over(&mut self) {
        let now = self.now;
        for (number, host) in self.hosts.iter().enumerate() {
            let left = host.is_well(now)
                && host.keepalived.state == crate::keepalived::State::Backup
                && host.address.is_some();
            let record = &mut self.checks.records[number];
            if !left {
                record.left_over_since = None;
                continue;
            }
            self.checks.figures.checked += 1;
            let since = *record.left_over_since.get_or_insert(now);
            if now > since + crate::agent::LEASE_NS + SLACK_NS {
                record.left_over_since = None;
                let what = format!("{number} is backup and has the address");
                self.checks.breaks("left over", now, what);
            }
        }
    }

    fn is_noticed(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            let Some(since) = self.checks.records[host].mistaken_since else {
                continue;
            };
            self.checks.figures.checked += 1;
            // One that stood still for so long is past what it holds when it goes on.
            let slept = self.hosts[host].agent_until > since + self.setup.interval_ns() / 2;
            if slept || !self.hosts[host].serves() {
                self.checks.records[host].mistaken_since = None;
                continue;
            }
            let stalled_until = self.hosts[host]
                .agent_until
                .max(self.hosts[host].keepalived_until);
            if now > since.max(stalled_until) + SLACK_NS {
                self.checks.records[host].mistaken_since = None;
                self.checks.breaks(
                    "mistake",
                    now,
                    format!("{host} does not notice its mistake"),
                );
            }
        }
    }

    fn is_served(&mut self, served: bool) {
        let now = self.now;
        let promised = |it: &Host| it.is_well(now) && it.twin.is_master();
        let Some(host) = self.hosts.iter().position(promised).filter(|_| !served) else {
            self.checks.owed_since = None;
            return;
        };
        self.checks.figures.checked += 1;
        let since = *self.checks.owed_since.get_or_insert(now);
        if now > since + SLACK_NS {
            self.checks.owed_since = None;
            self.checks
                .breaks("served", now, format!("nobody serves, {host} would have"));
        }
    }

    fn is_one(&mut self, primaries: &[usize]) {
        let now = self.now;
        let count = primaries.len();
        if count < std::mem::replace(&mut self.checks.primaries, count) {
            // One gave way; those that are left have the time for the next.
            self.checks
                .two_since
                .iter_mut()
                .for_each(|it| it.fill(None));
        }
        for one in 0..self.hosts.len() {
            for other in one + 1..self.hosts.len() {
                let both = primaries.contains(&one) && primaries.contains(&other);
                if !both || !self.would_settle(one, other) {
                    self.checks.two_since[one][other] = None;
                    continue;
                }
                self.checks.figures.checked += 1;
                let since = *self.checks.two_since[one][other].get_or_insert(now);
                if now > since + 2 * self.setup.interval_ns() + SLACK_NS {
                    self.checks.two_since[one][other] = None;
                    self.checks
                        .breaks("one", now, format!("{one} and {other} both serve"));
                }
            }
        }
    }

    /// Whether without a fast path one of two primaries would give way to the other.
    fn would_settle(&self, one: usize, other: usize) -> bool {
        let now = self.now;
        let party = |it| crate::host::party(&self.setup, it, self.setup.priorities[it], now);
        let (winner, loser) = if party(one).outranks(&party(other)) {
            (one, other)
        } else {
            (other, one)
        };
        let well = |it: usize| {
            let host = &self.hosts[it];
            // An agent that is away cannot undo what it did.
            let helpless = host.raise != 0 && (host.agent.is_none() || now < host.agent_until);
            host.is_well(now) && !helpless
        };
        well(one) && well(other) && self.network.is_whole(winner, loser, now)
    }

    fn is_as_without(&mut self) {
        let now = self.now;
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            let since = self.checks.records[number].agentless_ns;
            let rests = host.agent.is_none() && host.raise == 0 && host.is_well(now);
            if !rests || now < since + AFTERMATH_NS {
                self.checks.records[number].differs_since = None;
                continue;
            }
            self.checks.figures.checked += 1;
            let (is, would) = (host.keepalived.state, host.twin.state);
            let record = &mut self.checks.records[number];
            if is == would {
                record.differs_since = None;
                continue;
            }
            let since = *record.differs_since.get_or_insert(now);
            if now > since + SLACK_NS {
                record.agentless_ns = now;
                let what = format!("{number} is {is:?}, would be {would:?}");
                self.checks.breaks("as without", now, what);
            }
        }
    }
}
