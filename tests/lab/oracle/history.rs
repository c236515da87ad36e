//! The history of one virtual router, told from its adverts.

use super::{Advert, DOUBT, Kind, Observer, Transition};
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

mod search;

pub(super) use search::follow;

/// Adverts that cross on the way: a router has not yet been able to give way.
const CROSSING: Duration = Duration::from_millis(2);

/// The history in which every doubtful case was as the recording has it.
pub(super) fn likeliest(adverts: &[Advert], observer: &Observer) -> Vec<Transition> {
    let mut teller = Teller::new(&observer.own);
    for (now, advert) in steps(adverts, observer) {
        teller.doubts = 0;
        teller.step(now, advert);
    }
    teller.told
}

/// The adverts, each with its time, and the end.
fn steps(adverts: &[Advert], observer: &Observer) -> impl Iterator<Item = (u64, Option<Advert>)> {
    let adverts = adverts.iter().map(|advert| (advert.time_ns, Some(*advert)));
    adverts.chain(iter::once((observer.until_ns, None)))
}

/// Whether there is a master.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seat {
    /// Never was, or is down.
    Empty,
    /// The master is heard in time.
    Held,
    /// The master's advert is overdue.
    Late,
    /// The master resigned at this time.
    Resigned(u64),
}

/// What falls due next if no advert comes.
#[derive(Clone, Copy, Debug)]
enum Due {
    Late,
    Down,
    RivalGone,
}

/// One way to go through the adverts.
#[derive(Clone, PartialEq)]
struct Teller<'a> {
    own: &'a [IpAddr],
    seat: Seat,
    /// The last advert of the master, also of the last one.
    master: Option<Advert>,
    /// The last advert of another router that speaks too.
    rival: Option<Advert>,
    contested: bool,
    own_priority: Option<u8>,
    own_active: bool,
    /// The latest time that has passed.
    clock: u64,
    /// Bit n set: decide the n-th doubtful case of a step against what the recording says.
    choice: u32,
    doubts: u32,
    /// How many transitions were seen as they were told.
    agreed: usize,
    /// Those told since.
    told: Vec<Transition>,
}

impl<'a> Teller<'a> {
    const fn new(own: &'a [IpAddr]) -> Self {
        Self {
            own,
            seat: Seat::Empty,
            master: None,
            rival: None,
            contested: false,
            own_priority: None,
            own_active: false,
            clock: 0,
            choice: 0,
            doubts: 0,
            agreed: 0,
            told: Vec::new(),
        }
    }

    /// Lets time pass until `now`, when there is an advert or the end.
    fn step(&mut self, now: u64, advert: Option<Advert>) {
        self.pass_until(now);
        if let Some(advert) = advert {
            self.clock = now;
            let before = self.told.len();
            self.hear(advert);
            // What one advert changes has no order of its own.
            self.told[before..].sort_by_key(|transition| transition.kind);
        }
    }

    /// Whether `now` is after `deadline`; in doubt as chosen.
    fn after(&mut self, now: u64, deadline: u64) -> bool {
        let recorded = now > deadline;
        if u128::from(now.abs_diff(deadline)) > DOUBT.as_nanos() {
            return recorded;
        }
        let against = self.choice >> self.doubts & 1 == 1;
        self.doubts += 1;
        recorded != against
    }

    fn is_own(&self, router: &Advert) -> bool {
        self.own.contains(&router.source)
    }

    fn say(&mut self, time_ns: u64, kind: Kind, who: &Advert) {
        let (ipv6, vrid, router) = (who.source.is_ipv6(), who.vrid, who.source);
        self.told.push(Transition {
            time_ns,
            ipv6,
            vrid,
            kind,
            router,
        });
    }

    /// Says `kind`, or `local` if it is about the observer's own router.
    fn say_of(&mut self, time_ns: u64, kind: Kind, local: Kind, who: &Advert) {
        let kind = if self.is_own(who) { local } else { kind };
        self.say(time_ns, kind, who);
    }

    /// Lets time pass without an advert.
    fn pass_until(&mut self, now: u64) {
        while let Some((deadline, due)) = self.next_due() {
            if !self.after(now, deadline) {
                return;
            }
            // In doubt a deadline passes before the advert that the recording has before it. And
            // one may be over when it becomes known: that of a rival who is master now.
            let time_ns = deadline.max(self.clock).min(now);
            self.clock = time_ns;
            match due {
                Due::Late => self.become_late(time_ns),
                Due::Down => self.become_vacant(time_ns),
                Due::RivalGone => self.forget_rival(time_ns),
            }
        }
    }

    fn next_due(&self) -> Option<(u64, Due)> {
        let of_master = self.master.and_then(|master| match self.seat {
            Seat::Empty => None,
            // A quarter of an interval is what a healthy master may be late.
            Seat::Held => Some((master.time_ns + nanos(master.interval) * 5 / 4, Due::Late)),
            Seat::Late => Some((master.time_ns + self.down_time(&master), Due::Down)),
            Seat::Resigned(since) => Some((since + nanos(master.interval), Due::Down)),
        });
        let of_rival = self
            .rival
            .map(|rival| (rival.time_ns + self.down_time(&rival), Due::RivalGone));
        [of_rival, of_master]
            .into_iter()
            .flatten()
            .min_by_key(|(deadline, _)| *deadline)
    }

    /// RFC 9568 section 6.1 and RFC 3768 section 6.1, with the priority of the observer's own
    /// router where it is known: then this is the moment at which that router acts.
    fn down_time(&self, router: &Advert) -> u64 {
        let priority = self.own_priority.unwrap_or(router.priority);
        let interval = nanos(router.interval);
        let unit = if router.version == 2 {
            1_000_000_000
        } else {
            interval
        };
        3 * interval + unit * (256 - u64::from(priority)) / 256
    }

    fn become_late(&mut self, time_ns: u64) {
        if let Some(master) = self.master {
            self.seat = Seat::Late;
            self.say_of(time_ns, Kind::AdvertLate, Kind::LocalStalled, &master);
        }
    }

    fn become_vacant(&mut self, time_ns: u64) {
        let Some(master) = self.master else { return };
        match self.rival {
            Some(rival) if self.seat == Seat::Late && rival.time_ns > master.time_ns => {
                self.succeed(time_ns, rival);
            }
            _ => {
                self.seat = Seat::Empty;
                self.own_active &= !self.is_own(&master);
                self.say(time_ns, Kind::MasterDown, &master);
            }
        }
    }

    fn forget_rival(&mut self, time_ns: u64) {
        if let Some(rival) = self.rival.take() {
            self.become_single(time_ns, &rival);
        }
    }

    fn become_single(&mut self, time_ns: u64, by: &Advert) {
        if self.contested {
            self.contested = false;
            self.say(time_ns, Kind::SingleMaster, by);
        }
    }

    fn hear(&mut self, advert: Advert) {
        if self.is_own(&advert) {
            // After it resigned, nothing on this host waits for a down time.
            self.own_priority = (advert.priority > 0).then_some(advert.priority);
        }
        let reigning = matches!(self.seat, Seat::Held | Seat::Late);
        let of_master = reigning
            && self
                .master
                .is_some_and(|master| master.source == advert.source);
        match (advert.priority, reigning, of_master) {
            (0, _, true) => self.master_resigns(&advert),
            (0, _, false) => self.other_resigns(&advert),
            (_, false, _) => self.appear(advert),
            (_, true, true) => self.go_on(advert),
            (_, true, false) => self.contest(advert),
        }
    }

    /// There was no master.
    fn appear(&mut self, advert: Advert) {
        if self
            .rival
            .is_some_and(|rival| rival.source == advert.source)
        {
            self.rival = None;
        }
        if self.rival.is_none() {
            self.become_single(advert.time_ns, &advert);
        }
        self.reign(advert.time_ns, Kind::MasterAppeared, advert);
    }

    /// There was another master, who may go on and is then the rival.
    fn succeed(&mut self, time_ns: u64, advert: Advert) {
        self.rival = self.master;
        self.reign(time_ns, Kind::MasterChanged, advert);
    }

    fn reign(&mut self, time_ns: u64, kind: Kind, advert: Advert) {
        self.own_active = self.is_own(&advert);
        self.master = Some(advert);
        self.seat = Seat::Held;
        self.say_of(time_ns, kind, Kind::LocalMaster, &advert);
    }

    fn go_on(&mut self, advert: Advert) {
        if self.seat == Seat::Late {
            self.seat = Seat::Held;
            self.say_of(
                advert.time_ns,
                Kind::AdvertResumed,
                Kind::LocalResumed,
                &advert,
            );
        }
        if self
            .master
            .is_some_and(|master| master.priority != advert.priority)
        {
            self.say(advert.time_ns, Kind::PriorityChanged, &advert);
        }
        self.master = Some(advert);
    }

    /// Somebody else than the master advertises.
    fn contest(&mut self, advert: Advert) {
        let Some(master) = self.master else { return };
        let rank = |router: &Advert| (router.priority, router.source);
        let before = self.rival.filter(|rival| rival.source == advert.source);
        let succeeds = rank(&advert) > rank(&master)
            || self.seat == Seat::Late
            || match before {
                // That the own router became master is certain at its first advert.
                None => self.is_own(&advert),
                // Two adverts of this one since the master's last, which was due long ago.
                Some(before) => {
                    before.time_ns > master.time_ns
                        && self.after(advert.time_ns, master.time_ns + nanos(master.interval))
                }
            };
        if succeeds {
            self.succeed(advert.time_ns, advert);
            return;
        }
        let insists = before.is_some_and(|before| before.time_ns < master.time_ns)
            && self.after(advert.time_ns, master.time_ns + nanos(CROSSING));
        if insists && !self.contested {
            self.contested = true;
            self.say(advert.time_ns, Kind::MultipleMasters, &advert);
        }
        self.rival = Some(advert);
    }

    fn master_resigns(&mut self, advert: &Advert) {
        self.seat = Seat::Resigned(advert.time_ns);
        self.say_of(
            advert.time_ns,
            Kind::MasterResigned,
            Kind::LocalResigned,
            advert,
        );
        self.become_single(advert.time_ns, advert);
        self.own_active &= !self.is_own(advert);
    }

    fn other_resigns(&mut self, advert: &Advert) {
        if self
            .rival
            .is_some_and(|rival| rival.source == advert.source)
        {
            if self.is_own(advert) && self.own_active {
                self.say(advert.time_ns, Kind::LocalResigned, advert);
            }
            self.forget_rival(advert.time_ns);
        }
        self.own_active &= !self.is_own(advert);
    }
}

fn nanos(duration: Duration) -> u64 {
    // No interval is near 584 years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
