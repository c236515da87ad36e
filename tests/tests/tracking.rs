//! The oracle and the tracker that runs in the kernel follow one description and share no code.
//! Here both hear the same adverts, thousands of made-up stories of three routers, and must agree.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast_common::event::{Changes, EventKind, Party};
use keepfast_common::track::VirtualRouter;
use lab::oracle::{Advert, Expected, Kind, Observer, Transition};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const STORIES: u64 = 5_000;
const MILLISECOND: u64 = 1_000_000;
/// The observer's own router, in the stories in which it has one.
const OWN: u8 = 2;

/// A xorshift generator: the same stories in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn address(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 99, 0, host).into()
}

/// Adverts of three routers at uneven times; now and then one resigns or changes its priority.
fn story(dice: &mut Dice) -> Vec<Advert> {
    let version = if dice.below(3) == 0 { 2 } else { 3 };
    let mut priorities = [100, 100, 150];
    let mut time_ns = MILLISECOND;
    let adverts = (0..12).map(|_| {
        time_ns += match dice.below(6) {
            0 => dice.below(4) * MILLISECOND + 100_000,
            1..4 => dice.below(1_400) * MILLISECOND + 1,
            _ => dice.below(4_500) * MILLISECOND + 1,
        };
        let speaker = usize::try_from(dice.below(3)).unwrap();
        let host = u8::try_from(speaker).unwrap() + 1;
        if dice.below(8) == 0 {
            priorities[speaker] = [50, 100, 200][usize::try_from(dice.below(3)).unwrap()];
        }
        let priority = if dice.below(6) == 0 {
            0
        } else {
            priorities[speaker]
        };
        Advert {
            time_ns,
            mac: [2, 0, 0, 0, 0, host],
            source: address(host),
            vrid: 7,
            priority,
            version,
            interval: Duration::from_secs(1),
        }
    });
    adverts.collect()
}

/// What the tracker makes of a story when its timers are never late.
fn tracked(adverts: &[Advert], observer: &Observer) -> Vec<Transition> {
    let mut router = VirtualRouter::UNKNOWN;
    let mut changes = Changes::NONE;
    let mut told = Vec::new();
    let mut clock = 0;
    for advert in adverts {
        pass_until(&mut router, clock, advert.time_ns, &mut told);
        clock = advert.time_ns;
        let speaker = party(advert, observer);
        router.heard(&speaker, &mut changes);
        tell(&changes, advert.time_ns, &mut told);
    }
    pass_until(&mut router, clock, observer.until_ns, &mut told);
    told
}

fn pass_until(router: &mut VirtualRouter, mut clock: u64, now: u64, told: &mut Vec<Transition>) {
    let mut changes = Changes::NONE;
    loop {
        let deadline = router.next_deadline();
        if deadline == 0 || deadline >= now {
            return;
        }
        // A deadline may be over when it becomes known: that of a rival who is master now, or of
        // a master whose down time is shorter since the own router resigned.
        clock = clock.max(deadline);
        router.expire(clock, &mut changes);
        tell(&changes, clock, told);
    }
}

fn party(advert: &Advert, observer: &Observer) -> Party {
    let IpAddr::V4(source) = advert.source else {
        unreachable!("the stories are of IPv4")
    };
    let mut address = [0; 16];
    address[..4].copy_from_slice(&source.octets());
    Party {
        heard_ns: advert.time_ns,
        address,
        mac: advert.mac,
        interval_cs: u16::try_from(advert.interval.as_millis() / 10).unwrap(),
        priority: advert.priority,
        version: advert.version,
        local: observer.own.contains(&advert.source).into(),
        ..Party::NOBODY
    }
}

fn tell(changes: &Changes, time_ns: u64, told: &mut Vec<Transition>) {
    const SAME: [(EventKind, Kind); 13] = [
        (EventKind::MasterAppeared, Kind::MasterAppeared),
        (EventKind::MasterChanged, Kind::MasterChanged),
        (EventKind::PriorityChanged, Kind::PriorityChanged),
        (EventKind::MasterResigned, Kind::MasterResigned),
        (EventKind::AdvertLate, Kind::AdvertLate),
        (EventKind::AdvertResumed, Kind::AdvertResumed),
        (EventKind::MasterDown, Kind::MasterDown),
        (EventKind::MultipleMasters, Kind::MultipleMasters),
        (EventKind::SingleMaster, Kind::SingleMaster),
        (EventKind::LocalMaster, Kind::LocalMaster),
        (EventKind::LocalResigned, Kind::LocalResigned),
        (EventKind::LocalStalled, Kind::LocalStalled),
        (EventKind::LocalResumed, Kind::LocalResumed),
    ];
    for (event, kind) in SAME {
        if changes.has(event) {
            let silent = matches!(
                kind,
                Kind::AdvertLate | Kind::LocalStalled | Kind::MasterDown
            );
            let who = if silent { changes.old } else { changes.new };
            let router = address(who.address[3]);
            told.push(Transition {
                time_ns,
                ipv6: false,
                vrid: 7,
                kind,
                router,
            });
        }
    }
}

fn agree_about(own: Vec<IpAddr>) {
    let mut dice = Dice(0x6b66_7374);
    for number in 0..STORIES {
        let adverts = story(&mut dice);
        let until_ns = adverts.last().unwrap().time_ns + 10_000 * MILLISECOND;
        let observer = Observer {
            own: own.clone(),
            until_ns,
        };
        let expected = Expected::derive(&adverts, &observer).unwrap();
        let observed = tracked(&adverts, &observer);
        let verdict = expected.check(&observed, Duration::from_millis(1));
        assert!(
            verdict.is_ok(),
            "story {number}: {:?}{}",
            verdict,
            list(&adverts)
        );
    }
}

fn list(adverts: &[Advert]) -> String {
    let line = |advert: &Advert| {
        format!(
            "  {} {} {}\n",
            advert.time_ns, advert.source, advert.priority
        )
    };
    adverts.iter().map(line).collect()
}

#[test]
fn tracker_and_oracle_agree_for_a_bystander() {
    agree_about(Vec::new());
}

#[test]
fn tracker_and_oracle_agree_where_a_router_is_the_own_one() {
    agree_about(vec![address(OWN)]);
}
