//! Who answers which probes, and what an answer says.

use keepfast_common::counter::Counter;
use keepfast_common::wire::probe::{
    KIND_PROBE, NO_AGE, PEER_KEEPALIVED_RUNS, PEER_LEAVING, Probe, ROLE_BACKUP, ROLE_MASTER,
    ROLE_UNKNOWN,
};
use lab::ear::{self, Ear};
use lab::require::{Need, require};
use lab::sender::Advert;

use crate::frames::{self, Frame, VRID, is_answer, is_last, last_of};
use crate::pair::{ASKER_MAC, By, HOST, LIMIT, PEER_MAC, Pair};

/// What the peer answers to a probe of no session: nothing else may come before it.
fn ask(pair: &Pair, ear: &mut Ear, nonce: u64) -> Probe {
    let probe = Frame::stray(nonce);
    pair.asker.sender.send_frame(probe.bytes()).unwrap();
    let found = std::cell::Cell::new(None);
    let before = ear.until(LIMIT, |frame| {
        found.set(is_answer(frame, nonce).then(|| frames::read(frame).unwrap()));
        found.get().is_some()
    });
    // The peer's adverts apart.
    let before = before.unwrap();
    assert!(
        before.iter().all(|frame| frames::read(frame).is_none()),
        "{before:02x?}"
    );
    found.get().unwrap()
}

fn answers_say_what_the_kernel_knows(by: By) {
    if !require(&[Need::Root]) {
        return;
    }
    let mut pair = Pair::new(by);
    let mut ear = Ear::new(&pair.asker.namespace, "eth0", ear::IPV4).unwrap();
    let answer = ask(&pair, &mut ear, 1);
    assert_eq!((answer.source, answer.destination), (PEER_MAC, ASKER_MAC));
    assert_eq!((answer.session, answer.sequence), (0, 1));
    assert_eq!(answer.stamps.host, HOST);
    assert!(answer.stamps.agent_age_us < 20_000_000, "{answer:?}");
    // Of a router without a fast path nothing is said.
    assert_eq!((answer.stamps.role, answer.stamps.flags), (ROLE_UNKNOWN, 0));
    assert_eq!((answer.stamps.token, answer.stamps.rank), (0, 0));

    pair.guard();
    let answer = ask(&pair, &mut ear, 2);
    assert_eq!(answer.stamps.role, ROLE_UNKNOWN);
    assert_eq!(answer.stamps.flags, PEER_KEEPALIVED_RUNS);

    pair.reign(100);
    let answer = ask(&pair, &mut ear, 3);
    assert_eq!(answer.stamps.role, ROLE_MASTER);
    assert!(answer.stamps.advert_age_us < 20_000_000, "{answer:?}");
    assert_ne!(answer.stamps.token, 0);
    assert_eq!(answer.stamps.rank, 0);
    assert_eq!(ask(&pair, &mut ear, 4).stamps.token, answer.stamps.token);

    pair.introduce(true);
    let answer = ask(&pair, &mut ear, 5);
    assert_eq!(answer.stamps.flags, PEER_KEEPALIVED_RUNS | PEER_LEAVING);

    let resigned = Advert {
        vrid: VRID,
        priority: 0,
        ..Advert::default()
    };
    pair.peer.sender.send(&resigned).unwrap();
    let answer = ask(&pair, &mut ear, 6);
    assert_eq!(answer.stamps.role, ROLE_BACKUP);
    assert_eq!(
        (answer.stamps.token, answer.stamps.advert_age_us),
        (0, NO_AGE)
    );
    assert_eq!(pair.counted(pair.peer.link(), Counter::ProbeAnswered), 6);
}

#[test]
fn tc_answers() {
    answers_say_what_the_kernel_knows(By::Tc);
}

#[test]
fn tc_answers_without_xdp() {
    answers_say_what_the_kernel_knows(By::TcAlone);
}

#[test]
fn xdp_answers() {
    answers_say_what_the_kernel_knows(By::Xdp);
}

/// Sends frames to the peer: they must pass to its system as they are, and nothing comes back.
fn all_pass(pair: &mut Pair, sent: &[Frame]) {
    let answered = pair.counted(pair.peer.link(), Counter::ProbeAnswered);
    let mut there = Ear::new(&pair.peer.namespace, "eth0", ear::IPV4).unwrap();
    let mut back = Ear::new(&pair.asker.namespace, "eth0", ear::IPV4).unwrap();
    for frame in sent {
        pair.asker.sender.send_frame(frame.bytes()).unwrap();
    }
    let last = last_of(ear::IPV4, PEER_MAC);
    pair.asker.sender.send_frame(&last).unwrap();
    let came = there.until(LIMIT, is_last).unwrap();
    let sent: Vec<_> = sent.iter().map(|frame| frame.bytes().to_vec()).collect();
    assert_eq!(came, sent);
    let last = last_of(ear::IPV4, ASKER_MAC);
    pair.peer.sender.send_frame(&last).unwrap();
    assert_eq!(back.until(LIMIT, is_last).unwrap(), [[0_u8; 0]; 0]);
    let after = pair.counted(pair.peer.link(), Counter::ProbeAnswered);
    assert_eq!(after, answered);
}

fn other_frames_go_on(by: By) {
    if !require(&[Need::Root]) {
        return;
    }
    let mut pair = Pair::new(by);
    let probe = || Frame::stray(9);
    let others = [
        // For somebody else, for all, from all.
        probe().with(5, 7),
        probe().with(0, 3),
        probe().with(6, 3),
        // Forwarded once by somebody, but no probe of the peer's; forwarded often.
        probe().with_hop_limit(254),
        probe().with_hop_limit(253),
        probe().with_hop_limit(64),
        // A fragment, other ports, other lengths.
        probe().with(20, 0x20),
        probe().with(37, 0xca),
        probe().with(39, 87),
        probe().with(17, 107),
        // Not from and to one address.
        probe().with(33, 1),
        // Not of this protocol, version, or any kind.
        probe().with(42, b'k'),
        probe().with(46, 2),
        probe().with(47, 0),
        probe().with(47, 4),
        // An answer that the peer has not asked for.
        probe().with(47, 2),
    ];
    all_pass(&mut pair, &others);
    let mut ear = Ear::new(&pair.asker.namespace, "eth0", ear::IPV4).unwrap();
    ask(&pair, &mut ear, 10);
}

#[test]
fn tc_answers_nothing_else() {
    other_frames_go_on(By::Tc);
}

#[test]
fn tc_answers_nothing_else_without_xdp() {
    other_frames_go_on(By::TcAlone);
}

#[test]
fn xdp_answers_nothing_else() {
    other_frames_go_on(By::Xdp);
}

#[test]
fn one_that_only_watches_answers_nothing() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut pair = Pair::new(By::Nothing);
    let probe = Frame::stray(11);
    assert_eq!(frames::read(probe.bytes()).unwrap().kind, KIND_PROBE);
    let taken = Frame::stray(12).taken(1);
    all_pass(&mut pair, &[probe, taken]);
}
