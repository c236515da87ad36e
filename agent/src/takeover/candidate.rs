//! A backup that may take over: suspects, decides, tells keepalived. What follows once that is
//! master is in `holding`.

use keepfast_common::event::Party;

use super::back_off::BackOff;
use super::decision::{Cause, Occasion, Reason, Restraint, Verdict, decide, incapable};
use super::io::{Action, Event, Forgery, Mode, Moment, Phase, Policy, RAISED, Role};
use super::note::Note;
use super::shadow::Shadow;
use crate::engine::Nanos;

mod holding;

const MS: Nanos = 1_000_000;

/// How often a takeover that waits for a witness is decided again, and all questions are asked at
/// most.
pub const AGAIN_NS: Nanos = MS;

/// How long keepalived may take to become master before it is told once more.
pub const LIMIT_NS: Nanos = 50 * MS;

/// The same of version 2 with a raised priority, whose skew is 8 ms.
const RAISED_LIMIT_NS: Nanos = 20 * MS;

/// How long it is told again and again: on a busy host it may be starved.
const PATIENCE_NS: Nanos = 200 * MS;

/// What a router on a backup is about, and what it must not forget.
#[derive(Debug, Default)]
pub struct Candidate {
    state: State,
    /// The priority is raised.
    raised: bool,
    /// Addresses were leased, for the takeover under way or done.
    leased: bool,
    /// Announcements to come.
    announcements: Vec<Nanos>,
    back_off: BackOff,
    shadow: Shadow,
    /// What was said last about the present occasion.
    told: Option<Note>,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Nothing to do.
    #[default]
    Idle,
    /// Probes are lost.
    Suspecting { until: Nanos, ask_at: Nanos },
    /// There is an occasion to take over.
    Deciding {
        occasion: Occasion,
        again_at: Nanos,
        ask_at: Nanos,
    },
    /// keepalived was told to.
    TakingOver {
        attempt: Attempt,
        forgery: Forgery,
        /// The old master was heard meanwhile.
        contradicted: bool,
        until: Nanos,
    },
    /// keepalived has.
    Holding {
        attempt: Attempt,
        first_advert_ns: Nanos,
        until: Nanos,
        /// The old master lives.
        wrong: bool,
        /// When it was heard last, as far as that counts; 0: it was not.
        contradicted_ns: Nanos,
    },
}

/// A takeover.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    cause: Cause,
    loss_ns: Nanos,
    verdict_ns: Nanos,
    /// Whose place is taken.
    master: Party,
}

impl Candidate {
    /// Something happened. `gateway_lost`: this host handed over because of its
    /// gateway, which has not answered since.
    pub fn step(
        &mut self,
        moment: &Moment<'_>,
        event: Event,
        gateway_lost: bool,
        actions: &mut Vec<Action>,
    ) {
        if let Some(note) = self.shadow.learn(moment, event) {
            actions.push(Action::Note(note));
            if matches!(note, Note::WouldHaveBeenWrong { .. }) {
                // As an armed one would.
                self.back_off.begin(moment.now);
            }
        }
        match event {
            Event::Suspect => self.suspect(moment),
            Event::Silent => self.consider(Occasion::silence(moment), moment.now),
            Event::Resigned { at_ns } => {
                self.consider(Occasion::resignation(moment, at_ns), moment.now);
            }
            Event::Back => self.answered(moment, actions),
            Event::LocalMaster { at_ns } => self.is_master(moment, at_ns, actions),
            Event::LocalResigned => self.is_not_master(moment, None, actions),
            Event::MasterChanged => {
                if let Some(master) = moment.snapshot.other_master() {
                    self.is_not_master(moment, Some(master), actions);
                }
            }
            Event::OldMasterHeard { heard_ns } => self.contradicted(moment, heard_ns, actions),
            Event::AnotherHeard { heard_ns } => self.disputed(heard_ns, actions),
            Event::Followed { by_old_master } => self.followed(moment, by_old_master, actions),
            Event::Tick | Event::HandOver | Event::GatewaySilent | Event::GatewayBack => {}
        }
        self.pass(moment, gateway_lost, actions);
    }

    /// The router is declared anew: what it may not do any longer ends, and what it
    /// has changed is undone.
    pub fn declared(&mut self, policy: &Policy, actions: &mut Vec<Action>) {
        if policy.mode != Mode::Shadow {
            self.shadow.forget();
        }
        if policy.mode == Mode::Armed && !policy.drained {
            return;
        }
        self.announcements.clear();
        match self.state {
            State::TakingOver { .. } => {
                let reason = if policy.drained {
                    Reason::Drained
                } else {
                    Reason::Off
                };
                actions.push(Action::Note(Note::NotNow(reason)));
                self.release(actions);
            }
            State::Holding { .. } => self.settle(actions),
            State::Suspecting { .. } | State::Deciding { .. } if policy.mode == Mode::Off => {
                self.idle();
            }
            State::Idle | State::Suspecting { .. } | State::Deciding { .. } => {}
        }
    }

    /// What was taken over is left to keepalived alone; a takeover under way is
    /// given up.
    pub fn settle(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.state, State::Holding { .. }) {
            // The addresses are keepalived's.
            self.leased = false;
        }
        self.release(actions);
    }

    /// When time alone has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        let state = match self.state {
            State::Idle => None,
            State::Suspecting { until, ask_at } => Some(until.min(ask_at)),
            State::Deciding { again_at, .. } => Some(again_at),
            State::TakingOver { until, .. } | State::Holding { until, .. } => Some(until),
        };
        let announcements = self.announcements.iter().copied();
        announcements
            .chain(state)
            .chain(self.shadow.deadline())
            .min()
    }

    /// What it is about, in a word or two.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Suspecting { .. } => "suspecting",
            State::Deciding { .. } => "deciding",
            State::TakingOver { .. } => "taking over",
            State::Holding { .. } => "holding",
        }
    }

    /// Until when nothing is taken over.
    #[must_use]
    pub const fn backs_off_until(&self) -> Nanos {
        self.back_off.until()
    }

    fn suspect(&mut self, moment: &Moment<'_>) {
        let able = incapable(moment).is_none() && moment.snapshot.other_master().is_some();
        if able && matches!(self.state, State::Idle) {
            self.state = State::Suspecting {
                until: moment.now.saturating_add(moment.policy.down_ns),
                ask_at: moment.now,
            };
        }
    }

    /// Has the occasion decided, unless a takeover is under way or the present one is
    /// as good.
    fn consider(&mut self, occasion: Occasion, now: Nanos) {
        match self.state {
            State::TakingOver { .. } | State::Holding { .. } => return,
            State::Deciding { occasion: old, .. }
                if old.cause == Cause::Resignation || old.loss_ns == occasion.loss_ns =>
            {
                return;
            }
            State::Idle | State::Suspecting { .. } | State::Deciding { .. } => {}
        }
        self.told = None;
        self.state = State::Deciding {
            occasion,
            again_at: now,
            ask_at: now,
        };
    }

    /// Probes are answered again; where several sessions tell, those of one of them.
    fn answered(&mut self, moment: &Moment<'_>, actions: &mut Vec<Action>) {
        if matches!(
            moment.snapshot.session.phase,
            Phase::Suspect | Phase::Silent
        ) {
            return;
        }
        match self.state {
            State::Deciding { occasion, .. } if occasion.cause == Cause::Silence => {
                self.tell(Note::NotNow(Reason::Answers), actions);
                self.idle();
            }
            State::Suspecting { .. } => self.idle(),
            _ => {}
        }
    }

    /// Does what is due, and decides.
    fn pass(&mut self, moment: &Moment<'_>, gateway_lost: bool, actions: &mut Vec<Action>) {
        let now = moment.now;
        let to_come = self.announcements.len();
        self.announcements.retain(|at| *at > now);
        if self.announcements.len() < to_come {
            actions.push(Action::Announce);
        }
        match self.state {
            State::Idle => {}
            State::Suspecting { until, ask_at } => {
                if now >= until || incapable(moment).is_some() {
                    self.idle();
                } else if now >= ask_at {
                    let loss_ns = moment.snapshot.session.first_unanswered_ns;
                    ask(moment, loss_ns, actions);
                    self.state = State::Suspecting {
                        until,
                        ask_at: next_question(moment),
                    };
                }
            }
            State::Deciding {
                occasion, ask_at, ..
            } => self.judge(moment, occasion, ask_at, gateway_lost, actions),
            State::TakingOver {
                attempt,
                forgery,
                contradicted,
                until,
            } if now >= until => {
                let patient = now < attempt.verdict_ns.saturating_add(PATIENCE_NS);
                let again = patient && !contradicted && self.can_follow(moment);
                if moment.snapshot.role == Role::Master || has_advertised(moment, &attempt) {
                    self.hold(moment, attempt, now, actions);
                } else if moment.snapshot.is_taken() {
                    actions.push(Action::Note(Note::NotNow(Reason::AnotherMaster)));
                    self.release(actions);
                } else if let Some(forgery) = self.next_forgery(forgery).filter(|_| again) {
                    actions.push(Action::Note(Note::TriesAgain));
                    self.inject(moment, attempt, forgery, actions);
                } else {
                    let back_off_ns = self.back_off.begin(now);
                    actions.push(Action::Note(Note::Failed { back_off_ns }));
                    self.release(actions);
                }
            }
            State::Holding { until, wrong, .. } if now >= until => {
                self.settle(actions);
                actions.push(Action::Note(Note::Settled { wrong }));
            }
            State::TakingOver { .. } | State::Holding { .. } => {}
        }
    }

    fn judge(
        &mut self,
        moment: &Moment<'_>,
        occasion: Occasion,
        ask_at: Nanos,
        gateway_lost: bool,
        actions: &mut Vec<Action>,
    ) {
        let restraint = Restraint {
            back_off_until: self.back_off.until(),
            gateway_lost,
        };
        match (decide(moment, &occasion, &restraint), occasion.master) {
            (Verdict::TakeOver, Some(master)) => self.act(moment, &occasion, master, actions),
            // The table takes nothing over from nobody.
            (Verdict::TakeOver, None) => self.idle(),
            (Verdict::NotNow(reason), _) => {
                self.tell(Note::NotNow(reason), actions);
                self.idle();
            }
            (Verdict::Wait(until, reason), _) => {
                self.tell(Note::Waits(reason), actions);
                let asks = moment.now >= ask_at;
                if asks {
                    match (occasion.cause, reason) {
                        (Cause::Silence, reason) => {
                            if reason == Reason::NotAsked {
                                actions.push(Action::AskPeer);
                            }
                            ask(moment, occasion.loss_ns, actions);
                        }
                        (_, Reason::NotConfirmed) => actions.push(Action::AskPeer),
                        _ => {}
                    }
                }
                let ask_at = if asks { next_question(moment) } else { ask_at };
                // A witness is not told of; with hundreds of routers the rest would take long.
                let again_at = match reason {
                    Reason::NoWitness => moment.now.saturating_add(AGAIN_NS),
                    _ => ask_at,
                };
                self.state = State::Deciding {
                    occasion,
                    again_at: until.min(again_at),
                    ask_at,
                };
            }
        }
    }

    /// Takes over, or thinks of it.
    fn act(
        &mut self,
        moment: &Moment<'_>,
        occasion: &Occasion,
        master: Party,
        actions: &mut Vec<Action>,
    ) {
        let policy = moment.policy;
        let cause = occasion.cause;
        let since_loss_ns = moment.now.saturating_sub(occasion.loss_ns);
        if policy.mode != Mode::Armed {
            if !self.shadow.is_open() {
                self.shadow.think(moment, occasion, master);
                actions.push(Action::Note(Note::WouldTakeOver {
                    cause,
                    since_loss_ns,
                }));
            }
            self.idle();
            return;
        }
        if policy.raise {
            self.raised = true;
            actions.push(Action::Raise(RAISED));
        }
        let old = policy.version == 2;
        // From a master that lives the service moves without a gap.
        let early = old || cause == Cause::Resignation;
        if early && policy.raise && policy.lease {
            self.leased = true;
            actions.push(Action::Lease);
        }
        let attempt = Attempt {
            cause,
            loss_ns: occasion.loss_ns,
            verdict_ns: moment.now,
            master,
        };
        let forgery = if old {
            Forgery::PriorityZero
        } else {
            Forgery::ZeroInterval
        };
        self.inject(moment, attempt, forgery, actions);
        // What is said must not delay what is done.
        actions.push(Action::Note(Note::TakesOver {
            cause,
            since_loss_ns,
        }));
        self.told = None;
    }

    fn inject(
        &mut self,
        moment: &Moment<'_>,
        attempt: Attempt,
        forgery: Forgery,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Inject(forgery, attempt.master));
        let limit = match (moment.policy.version, self.raised) {
            (2, true) => RAISED_LIMIT_NS,
            (2, false) => LIMIT_NS.saturating_add(moment.policy.skew_ns()),
            _ => LIMIT_NS,
        };
        self.state = State::TakingOver {
            attempt,
            forgery,
            contradicted: false,
            until: moment.now.saturating_add(limit),
        };
    }

    /// Whether keepalived may still become master: with leased addresses this host looks
    /// like one that is no backup any longer.
    const fn can_follow(&self, moment: &Moment<'_>) -> bool {
        let snapshot = moment.snapshot;
        let waits = matches!(snapshot.role, Role::Backup) || self.leased;
        snapshot.keepalived_runs && snapshot.link_up && waits
    }

    /// What is injected where keepalived did not follow this one.
    ///
    /// Of version 2 the same again: keepalived that reads the raised priority after the
    /// advert adds to its timer what the raise takes away (three intervals), and the
    /// next advert makes good for that. Without a raise it would only begin its skew anew.
    fn next_forgery(&self, forgery: Forgery) -> Option<Forgery> {
        match forgery {
            Forgery::ZeroInterval | Forgery::ShortThenZero => Some(Forgery::ShortThenZero),
            Forgery::PriorityZero => self.raised.then_some(Forgery::PriorityZero),
        }
    }

    /// Says it, unless it was said last.
    fn tell(&mut self, note: Note, actions: &mut Vec<Action>) {
        if self.told.replace(note) != Some(note) {
            actions.push(Action::Note(note));
        }
    }

    /// Undoes what was changed for a takeover.
    fn release(&mut self, actions: &mut Vec<Action>) {
        if self.leased {
            self.leased = false;
            actions.push(Action::Unlease);
        }
        self.lower(actions);
        self.idle();
    }

    fn lower(&mut self, actions: &mut Vec<Action>) {
        if self.raised {
            self.raised = false;
            actions.push(Action::Raise(0));
        }
    }

    fn idle(&mut self) {
        self.state = State::Idle;
        self.told = None;
    }
}

/// Whether this host's keepalived has advertised since the verdict, although a host that
/// outranks it still passes for the master: then it is one.
fn has_advertised(moment: &Moment<'_>, attempt: &Attempt) -> bool {
    let own = moment.snapshot.rival.filter(|rival| rival.local != 0);
    own.is_some_and(|own| own.heard_ns > attempt.verdict_ns)
}

/// Asks whoever could speak against a takeover, or for it.
fn ask(moment: &Moment<'_>, loss_ns: Nanos, actions: &mut Vec<Action>) {
    if moment.policy.solicit
        && let Some(master) = moment.snapshot.other_master()
        && moment.now < missed_ns(moment.policy, &master)
    {
        actions.push(Action::Solicit(master));
    }
    if moment.policy.witness && moment.snapshot.witness_ns < loss_ns {
        actions.push(Action::AskWitness);
    }
}

/// From when on a master has missed an advert: it may be backup by now, and a question
/// would set the timer of a backup's keepalived back to its skew, again and again.
const fn missed_ns(policy: &Policy, master: &Party) -> Nanos {
    let two = policy.advert_interval_ns.saturating_mul(2);
    master.heard_ns.saturating_add(two)
}

fn next_question(moment: &Moment<'_>) -> Nanos {
    let interval = moment.policy.solicit_interval_ns.max(AGAIN_NS);
    moment.now.saturating_add(interval)
}
