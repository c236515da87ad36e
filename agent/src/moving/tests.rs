use super::*;

/// A managed primary that can be handed over, adverts each second, at 100 s.
fn facts() -> Facts {
    Facts {
        state: State::Primary,
        since_ns: 10 * SECOND,
        managed: true,
        lowered: true,
        guarded: true,
        seen: true,
        own_advert_ns: 99 * SECOND + 500 * MS,
        other_master_ns: 0,
        other_advert_ns: 0,
        other: "192.0.2.2".into(),
        interval_ns: SECOND,
        down_ns: 3_609 * MS,
    }
}

const START: Nanos = 100 * SECOND;

fn moved(took_ns: Nanos, outage_ns: Nanos) -> Option<Outcome> {
    Some(Outcome::Moved {
        to: "192.0.2.2".into(),
        took_ns,
        outage_ns,
    })
}

/// Another host is master since `at`, and this host is a backup since `left`.
fn followed(facts: &mut Facts, at: Nanos, left: Nanos) {
    facts.other_master_ns = at;
    facts.other_advert_ns = at;
    facts.state = State::Backup;
    facts.since_ns = left;
}

#[test]
fn an_armed_one_is_handed_over() {
    for wish in [Wish::Failover, Wish::Drain] {
        let (mut it, mut facts) = (Move::new(wish), facts());
        assert_eq!(it.step(START, &facts), (Some(Deed::HandOver), None));
        it.told(HandingOver::Begun(START + MS));
        assert_eq!(it.step(START + 2 * MS, &facts), (None, None));
        it.told(HandingOver::Done);
        assert_eq!(it.step(START + 3 * MS, &facts), (None, None));
        followed(&mut facts, START + 3 * MS, START + 4 * MS);
        assert_eq!(it.step(START + 5 * MS, &facts), (None, moved(2 * MS, 0)));
    }
}

#[test]
fn a_failover_that_no_host_follows_ends_there() {
    let (mut it, facts) = (Move::new(Wish::Failover), facts());
    it.step(START, &facts);
    it.told(HandingOver::Failed("no backup took over".into()));
    let ended = it.step(START + 60 * MS, &facts);
    assert_eq!(ended, (None, Some(stays("no backup took over"))));
    let mut silent = Move::new(Wish::Failover);
    silent.step(START, &facts);
    assert_eq!(silent.step(START + HANDING_NS - 1, &facts), (None, None));
    assert!(silent.step(START + HANDING_NS, &facts).1.is_some());
}

#[test]
fn a_failover_needs_a_fast_path_and_a_primary() {
    let mut facts = facts();
    facts.guarded = false;
    let ended = Move::new(Wish::Failover).step(START, &facts);
    assert_eq!(ended, (None, Some(stays("it has no fast path that runs"))));
    facts.state = State::Backup;
    let ended = Move::new(Wish::Failover).step(START, &facts);
    assert_eq!(ended, (None, Some(Outcome::Backup { halted: false })));
}

/// A drained one that has come to the point where it asks for another host.
fn asking(facts: &Facts) -> Move {
    let mut it = Move::new(Wish::Drain);
    assert_eq!(it.step(START, facts), (None, None));
    assert_eq!(it.step(START + 100 * MS, facts), (None, None));
    it
}

#[test]
fn one_without_a_fast_path_resigns_after_its_advert_and_is_halted_once_followed() {
    let mut facts = facts();
    (facts.guarded, facts.lowered) = (false, false);
    let mut it = asking(&facts);
    facts.own_advert_ns = START + 500 * MS;
    let now = START + 505 * MS;
    assert_eq!(it.step(now, &facts), (Some(Deed::Resign), None));
    assert_eq!(it.step(now + 500 * MS, &facts), (None, None));
    facts.other_advert_ns = now + 600 * MS;
    let heard = now + 601 * MS;
    assert_eq!(it.step(heard, &facts), (Some(Deed::Halt), None));
    assert_eq!(it.step(heard + MS, &facts), (None, None));
    // It gave way once more, and follows the end of this one 600 ms later.
    facts.state = State::Fault;
    facts.since_ns = heard + 10 * MS;
    assert_eq!(it.step(heard + 20 * MS, &facts), (None, None));
    facts.other_master_ns = heard + 610 * MS;
    let (_, ended) = it.step(heard + 620 * MS, &facts);
    assert_eq!(ended, moved(heard + 610 * MS - now, 600 * MS));
}

#[test]
fn one_that_nobody_follows_stays_and_is_never_halted() {
    for lowered in [false, true] {
        let mut facts = facts();
        (facts.guarded, facts.lowered) = (false, lowered);
        let mut it = asking(&facts);
        facts.own_advert_ns = START + 500 * MS;
        let at = START + 501 * MS;
        assert_eq!(it.step(at, &facts), (Some(Deed::Resign), None));
        let patience = SECOND + SLACK_NS + if lowered { facts.down_ns } else { 0 };
        assert_eq!(it.step(at + patience - 1, &facts), (None, None));
        let ended = it.step(at + patience, &facts);
        assert_eq!(ended, (None, Some(stays("no other host took over"))));
    }
}

#[test]
fn a_lowered_one_goes_on_after_a_failed_handing_over_and_is_not_halted() {
    let (mut it, mut facts) = (Move::new(Wish::Drain), facts());
    it.step(START, &facts);
    it.told(HandingOver::Failed("no backup took over".into()));
    assert_eq!(it.step(START + 60 * MS, &facts), (None, None));
    facts.own_advert_ns = START + 500 * MS;
    let at = START + 510 * MS;
    assert_eq!(it.step(at, &facts), (Some(Deed::Resign), None));
    followed(&mut facts, at + 608 * MS, at + 609 * MS);
    assert_eq!(it.step(at + 610 * MS, &facts), (None, None));
    assert_eq!(it.step(at + 615 * MS, &facts), (None, moved(608 * MS, 0)));
}

#[test]
fn where_nothing_is_seen_or_said_it_stays() {
    let mut facts = facts();
    (facts.guarded, facts.seen) = (false, false);
    let (deed, ended) = Move::new(Wish::Drain).step(START, &facts);
    assert!(deed.is_none() && !ended.unwrap().is_away());
    facts.seen = true;
    let mut it = asking(&facts);
    let until = START + 3 * SECOND + SLACK_NS;
    assert_eq!(it.step(until - 1, &facts), (None, None));
    assert!(it.step(until, &facts).1.is_some());
}

#[test]
fn somebody_elses_is_left_alone_and_a_backup_is_held_back() {
    let mut facts = facts();
    facts.managed = false;
    let (deed, ended) = Move::new(Wish::Drain).step(START, &facts);
    assert!(deed.is_none() && !ended.unwrap().is_away());
    facts.state = State::Backup;
    for (managed, lowered, halted) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        (facts.managed, facts.lowered) = (managed, lowered);
        let (deed, ended) = Move::new(Wish::Drain).step(START, &facts);
        assert_eq!(deed, halted.then_some(Deed::Halt));
        assert_eq!(ended, Some(Outcome::Backup { halted }));
    }
}

#[test]
fn it_stays_if_its_addresses_do() {
    let (mut it, facts) = (Move::new(Wish::Failover), facts());
    it.step(START, &facts);
    it.told(HandingOver::Done);
    it.step(START, &facts);
    assert_eq!(it.step(START + LEAVING_NS - 1, &facts), (None, None));
    let ended = it.step(START + LEAVING_NS, &facts);
    assert_eq!(ended, (None, Some(stays("its addresses have not gone"))));
}
