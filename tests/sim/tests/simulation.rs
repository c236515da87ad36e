//! Simulated hosts: nothing breaks a rule, and each guard that is taken away is missed.

use sim::run::{Outcome, run};
use sim::setup::Guard;

/// Seeds that are run each time.
const SEEDS: u64 = 30;

/// Steps of each: half a minute and more of virtual time.
const STEPS: u64 = 60_000;

/// Seeds that broke a rule once, and why.
const REGRESSIONS: &str = include_str!("seeds.txt");

fn broken(outcome: &Outcome) -> String {
    let replay = format!(
        "cargo xtask simulate --seed {} --steps {} --trace",
        outcome.seed, outcome.steps
    );
    format!("{}\n{replay}", outcome.broken.join("\n"))
}

#[test]
fn nothing_breaks_a_rule() {
    let mut takeovers = 0;
    let mut wrong = 0;
    for seed in 1..=SEEDS {
        let outcome = run(seed, STEPS, None, false);
        assert!(outcome.broken.is_empty(), "{}", broken(&outcome));
        takeovers += outcome.figures.takeovers;
        wrong += outcome.figures.wrong;
    }
    // Else nothing was tested.
    assert!(takeovers > SEEDS, "{takeovers} takeovers");
    assert!(wrong > 0, "no primary that lived was taken over from");
}

#[test]
fn what_failed_once_does_not_fail_again() {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let mut words = line.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let (Some(seed), Some(steps)) = (number(), number()) else {
            panic!("a seed, steps and a reason expected: {line}");
        };
        let outcome = run(seed, steps, None, false);
        assert!(outcome.broken.is_empty(), "{line}\n{}", broken(&outcome));
    }
}

#[test]
fn a_seed_is_always_the_same_story() {
    let story = |seed| run(seed, 20_000, None, true).trace;
    assert!(story(1).len() > 10);
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

/// Some seed breaks this rule where the guard is taken away.
fn is_missed(guard: Guard, rule: &str) {
    let caught = (1..=400).any(|seed| {
        let outcome = run(seed, STEPS, Some(guard), false);
        outcome.broken.iter().any(|line| line.contains(rule))
    });
    assert!(caught, "nobody misses {guard:?}");
}

#[test]
fn confirmation_is_missed() {
    is_missed(Guard::Confirmation, " silent: ");
}

#[test]
fn veto_is_missed() {
    is_missed(Guard::Veto, " silent: ");
}

#[test]
fn learning_is_missed() {
    is_missed(Guard::Learning, " known: ");
}

#[test]
fn stagger_is_missed() {
    is_missed(Guard::Stagger, " in line: ");
}

#[test]
fn back_off_is_missed() {
    is_missed(Guard::BackOff, " back-off: ");
}

#[test]
fn witness_is_missed() {
    is_missed(Guard::Witness, " witness: ");
}
