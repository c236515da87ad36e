//! A takeover that keepalived has followed: what is heard of the old master, and of others.

use keepfast_common::event::Party;

use super::{Attempt, Candidate, MS, State};
use crate::engine::Nanos;
use crate::takeover::decision::{Cause, Reason};
use crate::takeover::io::{Action, Mode, Moment, Policy, Role};
use crate::takeover::note::Note;

/// Adverts of the old master within this time after this host's first one may have
/// crossed it.
const CROSSING_NS: Nanos = 5 * MS;

/// A router that loses its new role this soon, or by the next advert of a master that
/// was silent, was not meant to have it.
const CONTESTED_NS: Nanos = 50 * MS;

/// When the addresses are announced again, after the first time: a switch or a
/// neighbour may have missed it.
const ANNOUNCE_AGAIN_NS: [Nanos; 3] = [10 * MS, 100 * MS, 1_000 * MS];

impl Candidate {
    /// This host's keepalived is master.
    pub(super) fn is_master(
        &mut self,
        moment: &Moment<'_>,
        at_ns: Nanos,
        actions: &mut Vec<Action>,
    ) {
        match self.state {
            State::TakingOver { attempt, .. } => self.hold(moment, attempt, at_ns, actions),
            State::Suspecting { .. } | State::Deciding { .. } => self.idle(),
            State::Idle | State::Holding { .. } => {}
        }
    }

    pub(super) fn hold(
        &mut self,
        moment: &Moment<'_>,
        attempt: Attempt,
        first_advert_ns: Nanos,
        actions: &mut Vec<Action>,
    ) {
        if self.leased {
            actions.push(Action::KeepLease);
        }
        actions.extend([
            Action::Announce,
            Action::TellPeer(attempt.master),
            Action::Note(Note::TookOver {
                cause: attempt.cause,
                since_loss_ns: first_advert_ns.saturating_sub(attempt.loss_ns),
                since_verdict_ns: first_advert_ns.saturating_sub(attempt.verdict_ns),
            }),
        ]);
        self.announce_again(moment.now);
        self.state = State::Holding {
            attempt,
            first_advert_ns,
            // To come, even with adverts that are declared to come all the time.
            until: moment.now.saturating_add(moment.policy.down_ns.max(MS)),
            wrong: false,
            contradicted_ns: 0,
        };
    }

    pub(super) fn announce_again(&mut self, now: Nanos) {
        self.announcements = ANNOUNCE_AGAIN_NS
            .iter()
            .map(|delay| now.saturating_add(*delay))
            .collect();
    }

    /// This host's keepalived is not master any longer, or will not be: another one
    /// is, if `master` says so.
    pub(super) fn is_not_master(
        &mut self,
        moment: &Moment<'_>,
        master: Option<Party>,
        actions: &mut Vec<Action>,
    ) {
        self.announcements.clear();
        match (&mut self.state, master) {
            (
                State::TakingOver {
                    attempt,
                    contradicted,
                    ..
                },
                Some(master),
            ) => {
                if master.is(&attempt.master) {
                    *contradicted = true;
                } else {
                    actions.push(Action::Note(Note::NotNow(Reason::AnotherMaster)));
                    self.release(actions);
                }
            }
            (
                State::Holding {
                    attempt,
                    first_advert_ns,
                    wrong,
                    ..
                },
                _,
            ) => {
                let after_ns = moment.now.saturating_sub(*first_advert_ns);
                let lives = master.is_some_and(|master| master.is(&attempt.master));
                let limit_ns = match attempt.cause {
                    // Until its next advert nothing may be heard of one that lives.
                    Cause::Silence => moment
                        .policy
                        .advert_interval_ns
                        .saturating_add(CONTESTED_NS),
                    Cause::Resignation => CONTESTED_NS,
                };
                let note = if lives && after_ns <= limit_ns && !*wrong {
                    Note::Wrong {
                        after_ns,
                        back_off_ns: self.back_off.begin(moment.now),
                    }
                } else {
                    Note::Lost { after_ns }
                };
                actions.push(Action::Note(note));
                self.release(actions);
            }
            (State::Suspecting { .. }, Some(_)) => self.idle(),
            // What waits for a decision is decided at once, by the table.
            _ => {}
        }
    }

    /// The old master was heard at `heard_ns`.
    ///
    /// keepalived has answered it already, by an advert that outranks it: it gives way
    /// now, unless it does not hear this host. To give way to it at once could leave
    /// nobody.
    pub(super) fn contradicted(
        &mut self,
        moment: &Moment<'_>,
        heard_ns: Nanos,
        actions: &mut Vec<Action>,
    ) {
        let (attempt, after_ns, before_ns) = match &mut self.state {
            State::TakingOver { contradicted, .. } => {
                *contradicted = true;
                return;
            }
            State::Holding {
                attempt,
                first_advert_ns,
                contradicted_ns,
                ..
            } if heard_ns
                > (*first_advert_ns)
                    .max(*contradicted_ns)
                    .saturating_add(CROSSING_NS) =>
            {
                let before_ns = std::mem::replace(contradicted_ns, heard_ns);
                let after_ns = heard_ns.saturating_sub(*first_advert_ns);
                (*attempt, after_ns, before_ns)
            }
            _ => return,
        };
        if attempt.cause == Cause::Resignation {
            // It may well come back: who is master is keepalived's matter.
            self.settle(actions);
        } else if before_ns == 0 || !goes_on(moment.policy, before_ns, heard_ns) {
            self.was_wrong(moment, after_ns, actions);
            actions.extend([Action::Announce, Action::TellPeer(attempt.master)]);
            self.announce_again(moment.now);
        } else {
            actions.push(Action::Note(Note::Yields { after_ns }));
            self.announcements.clear();
            self.lower(actions);
            actions.push(Action::Yield(attempt.master));
            self.release(actions);
        }
    }

    /// Another one than the old master advertised at `heard_ns`: who of the two serves is
    /// keepalived's matter, by the priorities that are declared.
    pub(super) fn disputed(&mut self, heard_ns: Nanos, actions: &mut Vec<Action>) {
        if let State::Holding {
            first_advert_ns, ..
        } = self.state
            && heard_ns > first_advert_ns.saturating_add(CROSSING_NS)
        {
            self.settle(actions);
        }
    }

    /// A backup has begun to probe this host.
    pub(super) fn followed(
        &mut self,
        moment: &Moment<'_>,
        by_old_master: bool,
        actions: &mut Vec<Action>,
    ) {
        if moment.policy.mode != Mode::Armed || moment.snapshot.role != Role::Master {
            return;
        }
        if let State::Holding {
            attempt,
            first_advert_ns,
            ..
        } = self.state
        {
            let after_ns = moment.now.saturating_sub(first_advert_ns);
            // A host that died does not come back this soon.
            if by_old_master && attempt.cause == Cause::Silence && after_ns <= CONTESTED_NS {
                self.was_wrong(moment, after_ns, actions);
            }
        }
        actions.push(Action::Announce);
    }

    /// The old master lives. Said once, and followed by one back-off.
    pub(super) fn was_wrong(
        &mut self,
        moment: &Moment<'_>,
        after_ns: Nanos,
        actions: &mut Vec<Action>,
    ) {
        if let State::Holding { wrong, .. } = &mut self.state
            && !std::mem::replace(wrong, true)
        {
            actions.push(Action::Note(Note::Wrong {
                after_ns,
                back_off_ns: self.back_off.begin(moment.now),
            }));
        }
    }
}

/// Whether a master that was heard at two times advertised all the while: one that was
/// silent in between had given way, and is master anew.
const fn goes_on(policy: &Policy, before_ns: Nanos, heard_ns: Nanos) -> bool {
    let missed_ns = policy.advert_interval_ns.saturating_mul(2);
    heard_ns < before_ns.saturating_add(missed_ns)
}
