//! The table, row by row.

use super::super::fixture::{LOSS, MS, SECOND, TOLD, other, policy, silence};
use super::super::io::{Answer, Policy, Snapshot};
use super::*;

/// The facts of one decision: at first such that a silence is taken for a death.
#[derive(Debug, Clone, Copy)]
struct Case {
    now: Nanos,
    policy: Policy,
    snapshot: Snapshot,
    occasion: Occasion,
    restraint: Restraint,
}

impl Case {
    fn silence() -> Self {
        Self {
            now: TOLD,
            policy: policy(3),
            snapshot: silence(),
            occasion: Occasion {
                cause: Cause::Silence,
                loss_ns: LOSS,
                told_ns: TOLD,
                master: silence().master,
            },
            restraint: Restraint {
                back_off_until: 0,
                gateway_lost: false,
            },
        }
    }

    fn resignation() -> Self {
        let mut case = Self::silence();
        case.occasion.cause = Cause::Resignation;
        case.snapshot.master = Some(other(1, LOSS));
        case.occasion.master = case.snapshot.master;
        case.snapshot.session.phase = Phase::Up;
        case.snapshot.session.answer = GAVE_UP;
        case
    }

    fn verdict(&self) -> Verdict {
        let moment = Moment {
            now: self.now,
            policy: &self.policy,
            snapshot: &self.snapshot,
        };
        decide(&moment, &self.occasion, &self.restraint)
    }
}

/// The master's host is no longer master, asked after the loss.
const GAVE_UP: Answer = Answer {
    asked_ns: LOSS + 1,
    is_master: false,
};

/// A row: what makes it fit, for which causes, and the verdict.
type Row = (fn(&mut Case), [bool; 2], Verdict);

const BOTH: [bool; 2] = [true, true];
const SILENCE: [bool; 2] = [true, false];
const RESIGNATION: [bool; 2] = [false, true];

const ROWS: [Row; 25] = {
    use Verdict::{NotNow, Wait};
    [
        (|it| it.policy.mode = Mode::Off, BOTH, NotNow(Reason::Off)),
        (|it| it.policy.drained = true, BOTH, NotNow(Reason::Drained)),
        (
            |it| it.snapshot.role = Role::Master,
            BOTH,
            NotNow(Reason::NotBackup),
        ),
        (
            |it| it.snapshot.role = Role::Other,
            BOTH,
            NotNow(Reason::NotBackup),
        ),
        (
            |it| it.snapshot.keepalived_runs = false,
            BOTH,
            NotNow(Reason::KeepalivedEnded),
        ),
        (
            |it| it.snapshot.link_up = false,
            BOTH,
            NotNow(Reason::LinkDown),
        ),
        (
            |it| it.snapshot.master = None,
            BOTH,
            NotNow(Reason::NoMaster),
        ),
        (
            |it| it.snapshot.master = Some(other(7, LOSS - MS)),
            BOTH,
            NotNow(Reason::AnotherMaster),
        ),
        (
            |it| it.snapshot.session.is_of_master = false,
            BOTH,
            NotNow(Reason::OtherSession),
        ),
        (
            |it| it.snapshot.session.phase = Phase::Down,
            SILENCE,
            NotNow(Reason::NoSession),
        ),
        (
            |it| it.snapshot.session.phase = Phase::Learning,
            SILENCE,
            NotNow(Reason::NotLearnt),
        ),
        (
            |it| it.snapshot.session.phase = Phase::Leaving,
            SILENCE,
            NotNow(Reason::Leaving),
        ),
        (
            |it| it.snapshot.session.phase = Phase::Up,
            SILENCE,
            NotNow(Reason::Answers),
        ),
        (
            |it| it.snapshot.session.phase = Phase::Suspect,
            SILENCE,
            NotNow(Reason::Answers),
        ),
        (
            |it| it.snapshot.master = Some(other(1, LOSS + 1)),
            BOTH,
            NotNow(Reason::AdvertHeard),
        ),
        (
            |it| it.restraint.gateway_lost = true,
            RESIGNATION,
            NotNow(Reason::GatewayLost),
        ),
        (
            |it| {
                it.snapshot.session.answer = Answer {
                    is_master: true,
                    ..GAVE_UP
                };
            },
            RESIGNATION,
            NotNow(Reason::StillMaster),
        ),
        // 300 ms before the loss the master was heard; keepalived waits for 3.6 s,
        // and for 0.6 s after a resignation.
        (
            |it| it.now = LOSS + 3_300 * MS,
            BOTH,
            NotNow(Reason::OwnTime),
        ),
        // The verdict took 3 ms.
        (
            |it| it.snapshot.sign_of_life_ns = LOSS + 2 * MS,
            SILENCE,
            Wait(LOSS + 5 * MS, Reason::SignOfLife),
        ),
        (
            |it| it.snapshot.session.own_unanswered_ns = Some(0),
            SILENCE,
            Wait(TOLD + LEAVES_NS, Reason::NotAsked),
        ),
        (
            |it| it.snapshot.session.own_unanswered_ns = Some(TOLD),
            SILENCE,
            Wait(TOLD + MS, Reason::NotAsked),
        ),
        (
            |it| {
                it.policy.witness = true;
                it.snapshot.witness_ns = LOSS - 1;
            },
            SILENCE,
            Wait(LOSS + 3_300 * MS, Reason::NoWitness),
        ),
        (
            |it| it.snapshot.session.answer.asked_ns = LOSS,
            RESIGNATION,
            Wait(TOLD + ANSWER_NS, Reason::NotConfirmed),
        ),
        (
            |it| it.restraint.back_off_until = TOLD + SECOND,
            BOTH,
            Wait(TOLD + SECOND, Reason::BackOff),
        ),
        (
            |it| it.snapshot.rank = 2,
            BOTH,
            Wait(TOLD + 10 * MS, Reason::Ranked(2)),
        ),
    ]
};

#[test]
fn every_row_decides_for_the_causes_it_is_for() {
    for (number, (alter, causes, verdict)) in ROWS.into_iter().enumerate() {
        for (mut case, applies) in [Case::silence(), Case::resignation()]
            .into_iter()
            .zip(causes)
        {
            assert_eq!(case.verdict(), Verdict::TakeOver, "without row {number}");
            alter(&mut case);
            let expected = if applies { verdict } else { Verdict::TakeOver };
            assert_eq!(case.verdict(), expected, "row {number}: {case:?}");
        }
    }
}

/// Rows that alter the same fact cannot fit together.
#[test]
fn of_two_rows_that_fit_the_first_counts() {
    for (number, (first, causes, verdict)) in ROWS.into_iter().enumerate() {
        for (later, _, _) in ROWS.into_iter().skip(number + 1) {
            for (mut case, applies) in [Case::silence(), Case::resignation()]
                .into_iter()
                .zip(causes)
            {
                later(&mut case);
                first(&mut case);
                if applies && case.now == TOLD {
                    assert_eq!(case.verdict(), verdict, "row {number}: {case:?}");
                }
            }
        }
    }
}

#[test]
fn an_own_advert_means_another_master() {
    let mut case = Case::silence();
    case.snapshot.master = case
        .snapshot
        .master
        .map(|master| Party { local: 1, ..master });
    assert_eq!(case.verdict(), Verdict::NotNow(Reason::AnotherMaster));
}

#[test]
fn what_is_waited_for_ends_the_wait() {
    let mut case = Case::silence();
    case.policy.witness = true;
    case.snapshot.witness_ns = LOSS;
    assert_eq!(case.verdict(), Verdict::TakeOver, "a witness");
    case.snapshot.sign_of_life_ns = LOSS + 2 * MS;
    case.now = LOSS + 5 * MS;
    assert_eq!(case.verdict(), Verdict::TakeOver, "as long a silence");
    case.snapshot.session.own_unanswered_ns = Some(case.now - MS);
    assert_eq!(case.verdict(), Verdict::TakeOver, "an own probe in vain");
    case.snapshot.rank = 1;
    case.now = TOLD + 5 * MS;
    assert_eq!(case.verdict(), Verdict::TakeOver, "its turn");
    case.restraint.back_off_until = case.now;
    assert_eq!(case.verdict(), Verdict::TakeOver, "a back-off that is over");
}

/// Stock keepalived, too, follows without a question.
#[test]
fn a_resignation_counts_where_nobody_can_be_asked() {
    for phase in [Phase::Down, Phase::Learning, Phase::Silent, Phase::Leaving] {
        let mut case = Case::resignation();
        case.snapshot.session.answer = Answer::NONE;
        case.snapshot.session.phase = phase;
        assert_eq!(case.verdict(), Verdict::TakeOver, "{phase:?}");
    }
}

#[test]
fn after_a_resignation_own_time_is_the_skew() {
    let mut case = Case::resignation();
    case.now = LOSS + 600 * MS - 1;
    assert_eq!(case.verdict(), Verdict::TakeOver);
    case.now += 1;
    assert_eq!(case.verdict(), Verdict::NotNow(Reason::OwnTime));
}
