//! What must hold whatever happens: random events and facts, the same in each run.

use super::fixture::{MS, other, policy, silence};
use super::io::RAISED;
use super::*;

const RUNS: u64 = 400;
const STEPS: u64 = 400;

/// Numbers that look random (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    /// One of `0..sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Whether something happens that does so once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    fn policy(&mut self) -> Policy {
        let version = if self.once_in(2) { 2 } else { 3 };
        Policy {
            mode: match self.roll(6) {
                0 => Mode::Off,
                1 => Mode::Shadow,
                _ => Mode::Armed,
            },
            witness: self.once_in(3),
            raise: !self.once_in(3),
            lease: !self.once_in(3),
            solicit: !self.once_in(3),
            // The worst that may be declared, too.
            down_ns: self.roll(5) * 900 * MS,
            solicit_interval_ns: self.roll(3) * 5 * MS,
            ..policy(version)
        }
    }

    /// Some time in the last milliseconds, or long ago.
    fn past(&mut self, now: Nanos) -> Nanos {
        now - if self.once_in(2) {
            self.roll(20) * MS / 2
        } else {
            self.roll(4_000) * MS
        }
    }

    /// Changes some of the facts, mostly towards what lets a takeover happen.
    fn facts(&mut self, now: Nanos, facts: &mut Snapshot) {
        if self.once_in(4) {
            *facts = silence();
            facts.session.first_unanswered_ns = now - 3 * MS;
            facts.master = Some(other(1, now - 300 * MS));
            facts.sign_of_life_ns = 0;
            facts.witness_ns = now - MS;
        }
        match self.roll(14) {
            0 => facts.role = [Role::Backup, Role::Master, Role::Other][self.roll(3) as usize],
            1 => facts.keepalived_runs = !self.once_in(3),
            2 => facts.link_up = !self.once_in(3),
            3 => {
                let mut master = other(self.roll(3) as u8, self.past(now));
                master.local = u8::from(self.once_in(3));
                facts.master = (!self.once_in(5)).then_some(master);
            }
            4 => {
                facts.session.phase = [
                    Phase::Down,
                    Phase::Learning,
                    Phase::Up,
                    Phase::Suspect,
                    Phase::Silent,
                    Phase::Leaving,
                ][self.roll(6) as usize];
            }
            5 => facts.session.is_of_master = !self.once_in(3),
            6 => facts.sign_of_life_ns = self.past(now),
            7 => facts.witness_ns = self.past(now),
            8 => facts.rank = self.roll(3) as u32,
            9 => facts.heirs = self.roll(2) as u32,
            10 => {
                let rival = other(self.roll(3) as u8, self.past(now));
                facts.rival = (!self.once_in(3)).then_some(rival);
            }
            11 => {
                facts.session.answer = Answer {
                    asked_ns: self.past(now),
                    is_master: self.once_in(2),
                };
            }
            12 => {
                let asked = [0, self.past(now)][self.roll(2) as usize];
                facts.session.own_unanswered_ns = (!self.once_in(3)).then_some(asked);
            }
            _ => {}
        }
    }

    fn event(&mut self, now: Nanos) -> Event {
        match self.roll(16) {
            0 | 1 => Event::Suspect,
            2 | 3 => Event::Silent,
            4 => Event::Back,
            5 => Event::Resigned {
                at_ns: self.past(now),
            },
            6 | 7 => Event::LocalMaster { at_ns: now },
            8 => Event::LocalResigned,
            9 => Event::MasterChanged,
            10 => Event::OldMasterHeard {
                heard_ns: self.past(now),
            },
            14 => Event::AnotherHeard {
                heard_ns: self.past(now),
            },
            11 => Event::HandOver,
            12 => Event::GatewaySilent,
            13 => Event::Followed {
                by_old_master: self.once_in(2),
            },
            _ => Event::GatewayBack,
        }
    }
}

/// A router, and what is owed for what was done.
struct Run {
    takeover: Takeover,
    mode: Mode,
    raised: bool,
    leased: bool,
    takeovers: u64,
}

impl Run {
    fn feed(&mut self, now: Nanos, input: Input) {
        if let Input::Declared(policy) = input {
            self.mode = policy.mode;
        }
        let mut actions = Vec::new();
        self.takeover.step(now, input, &mut actions);
        for action in actions {
            let armed = self.mode == Mode::Armed;
            match action {
                Action::Inject(..) => {
                    let Input::Happened(_, facts) = input else {
                        panic!("injected by {input:?}");
                    };
                    assert!(armed, "in {:?} by {input:?}", self.mode);
                    let leased = self.leased && facts.role == Role::Other;
                    assert!(leased || facts.role == Role::Backup, "by {input:?}");
                    assert!(facts.keepalived_runs, "by {input:?}");
                    self.takeovers += 1;
                }
                Action::Raise(RAISED) => {
                    assert!(armed && !self.raised, "by {input:?}");
                    self.raised = true;
                }
                Action::Raise(by) => {
                    assert_eq!(by, 0);
                    assert!(self.raised, "by {input:?}");
                    self.raised = false;
                }
                Action::Lease => {
                    assert!(armed && !self.leased, "by {input:?}");
                    self.leased = true;
                }
                Action::KeepLease | Action::Unlease => self.leased = false,
                Action::Yield(_) | Action::Announce | Action::TellPeer(_) | Action::Resign => {
                    assert!(armed, "{action:?} in {:?} by {input:?}", self.mode);
                }
                Action::Solicit(_) | Action::AskPeer | Action::AskWitness => {
                    assert_ne!(self.mode, Mode::Off, "by {input:?}");
                }
                Action::Note(note) => assert!(!note.to_string().is_empty()),
            }
        }
    }

    fn tick(&mut self, now: Nanos, facts: Snapshot) {
        self.feed(now, Input::Happened(Event::Tick, facts));
        let deadline = self.takeover.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline > now),
            "busy at {now}: {:?}",
            self.takeover
        );
    }

    /// Nothing happens any longer, until there is nothing to do.
    fn ends(&mut self, mut now: Nanos, facts: Snapshot) {
        for _ in 0..20_000 {
            let Some(deadline) = self.takeover.deadline() else {
                break;
            };
            now = deadline.max(now);
            self.tick(now, facts);
        }
        assert_eq!(self.takeover.deadline(), None, "{:?}", self.takeover);
        assert_eq!(self.takeover.as_str(), "idle");
        assert!(!self.raised, "still raised");
        assert!(!self.leased, "still leased");
    }
}

fn run(seed: u64) -> u64 {
    let mut dice = Dice(seed);
    let mut now = 100_000 * MS;
    let policy = dice.policy();
    let mut run = Run {
        takeover: Takeover::new(policy, &mut Vec::new()),
        mode: policy.mode,
        raised: false,
        leased: false,
        takeovers: 0,
    };
    let mut facts = silence();
    for _ in 0..STEPS {
        dice.facts(now, &mut facts);
        if dice.once_in(40) {
            run.feed(now, Input::Declared(dice.policy()));
        } else {
            let event = dice.event(now);
            run.feed(now, Input::Happened(event, facts));
        }
        match run.takeover.deadline() {
            Some(deadline) if dice.once_in(2) => {
                now = deadline.max(now);
                run.tick(now, facts);
            }
            // The thread may be late, too.
            _ => now += dice.roll(8) * dice.roll(8) * MS / 2,
        }
        // So that back-offs end.
        if dice.once_in(20) {
            now += 700_000 * MS;
        }
    }
    run.ends(now, facts);
    run.takeovers
}

#[test]
fn what_is_done_is_allowed_and_undone() {
    let takeovers: u64 = (0..RUNS).map(run).sum();
    // Else nothing was tested.
    assert!(takeovers > RUNS, "{takeovers} takeovers");
}
