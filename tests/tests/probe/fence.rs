//! A master that was taken over from says nothing of its addresses, until it has given way.

use keepfast_common::counter::Counter;
use keepfast_common::event::EventKind;
use keepfast_common::heirs::FENCE_NS;
use keepfast_common::maps::AddressKey;
use keepfast_common::neighbour::{ROLE_VIRTUAL, Watched};
use keepfast_common::wire::probe::{PEER_FENCED, Stamps};
use keepfast_common::wire::widen;
use lab::clock::monotonic_ns;
use lab::ear::{self, Ear};
use lab::link;
use lab::require::{Need, require};
use lab::sender::{Advert, Sender};
use lab::wait;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use crate::frames::{
    self, Frame, VIRTUAL, VIRTUAL_6, VRID, advertisement, arp, is_answer, is_last, last_of,
};
use crate::pair::{ASKER_MAC, By, LIMIT, PEER_MAC, Pair};

/// Of the peer, which is no virtual one.
const OWN: [u8; 4] = [10, 99, 0, 1];
const ASKER: [u8; 4] = [10, 99, 0, 2];

/// A master, and one that probes it.
struct Scene {
    pair: Pair,
    answers: Ear,
    nonce: u64,
}

impl Scene {
    fn new() -> Self {
        let mut pair = Pair::new(By::Tc);
        link::ip(
            &pair.peer.namespace,
            "address add 10.99.0.100/32 dev eth0\n",
        )
        .unwrap();
        pair.guard();
        for (family, address) in [(4, widen(VIRTUAL)), (6, VIRTUAL_6)] {
            let key = AddressKey {
                netns: pair.peer.inode,
                ifindex: pair.peer.index,
                family,
                address,
            };
            let watched = Watched {
                silence_ns: 0,
                roles: ROLE_VIRTUAL,
                vrid: VRID,
                family: 4,
                reserved: 0,
                router_ifindex: pair.peer.index,
            };
            pair.kernel.maps().watch(key, watched).unwrap();
        }
        pair.reign(100);
        let answers = Ear::new(&pair.asker.namespace, "eth0", ear::IPV4).unwrap();
        Self {
            pair,
            answers,
            nonce: 0,
        }
    }

    /// What the peer stamps into a probe.
    fn ask(&mut self) -> Stamps {
        self.nonce += 1;
        let nonce = self.nonce;
        let probe = Frame::stray(nonce);
        self.pair.asker.sender.send_frame(probe.bytes()).unwrap();
        let found = Cell::new(Stamps::NONE);
        self.answers
            .until(LIMIT, |frame| {
                let answer = is_answer(frame, nonce);
                if answer {
                    found.set(frames::read(frame).unwrap().stamps);
                }
                answer
            })
            .unwrap();
        found.get()
    }

    /// The asker says that it has taken over.
    fn take(&self, token: u64) {
        let word = Frame::stray(0).taken(token);
        self.pair.asker.sender.send_frame(word.bytes()).unwrap();
    }

    fn wait_ignored(&mut self, count: u64) {
        let here = self.pair.peer.link();
        let pair = &mut self.pair;
        wait::until("ignored words", LIMIT, || {
            let now = pair.counted(here, Counter::TakenIgnored);
            (now == count).then_some(()).ok_or(now.to_string())
        })
        .unwrap();
    }

    /// How many messages about the virtual addresses come through: a request with their address,
    /// an announcement of either family, and the answer of the peer's own system. What the peer
    /// says of its own address always does.
    fn heard(&mut self) -> usize {
        let hosts = &self.pair.asker.namespace;
        let mut arps = Ear::new(hosts, "eth0", ear::ARP).unwrap();
        let mut nodes = Ear::new(hosts, "eth0", ear::IPV6).unwrap();
        let fenced = self.counted_fenced();
        let peer = &self.pair.peer.sender;
        let question = arp(1, ASKER_MAC, ASKER, VIRTUAL);
        self.pair.asker.sender.send_frame(&question).unwrap();
        let of_virtual = [
            arp(1, PEER_MAC, VIRTUAL, ASKER),
            arp(1, PEER_MAC, VIRTUAL, VIRTUAL),
            arp(2, PEER_MAC, VIRTUAL, VIRTUAL),
        ];
        for frame in &of_virtual {
            say(peer, frame);
        }
        peer.send_frame(&arp(2, PEER_MAC, OWN, OWN)).unwrap();
        say(peer, &advertisement(PEER_MAC, VIRTUAL_6));
        peer.send_frame(&last_of(ear::IPV6, ASKER_MAC)).unwrap();
        peer.send_frame(&last_of(ear::ARP, ASKER_MAC)).unwrap();
        let arps = arps.until(LIMIT, is_last).unwrap();
        let of = |address: [u8; 4]| arps.iter().filter(|frame| frame[28..32] == address).count();
        assert!(of(OWN) >= 1, "{arps:02x?}");
        let nodes = nodes.until(LIMIT, is_last).unwrap();
        let nodes = nodes
            .iter()
            .filter(|frame| frame.get(54) == Some(&136) && frame[62..78] == VIRTUAL_6);
        let heard = of(VIRTUAL) + nodes.count();
        let kept = self.counted_fenced() - fenced;
        assert_eq!(heard as u64 + kept, 5, "heard {heard}, kept back {kept}");
        heard
    }

    fn counted_fenced(&mut self) -> u64 {
        let here = self.pair.peer.link();
        self.pair.counted(here, Counter::NeighbourFenced)
    }

    /// Takes over by the token that the peer gives; returns when, CLOCK_MONOTONIC nanoseconds.
    fn fence(&mut self) -> u64 {
        let stamps = self.ask();
        assert_ne!(stamps.token, 0);
        assert_eq!(stamps.flags & PEER_FENCED, 0);
        let before = monotonic_ns().unwrap();
        self.take(stamps.token);
        let told = self.pair.wait_for(EventKind::TakenOver);
        assert_eq!((told.vrid, told.family), (VRID, 4));
        assert_eq!(told.new.mac, ASKER_MAC);
        assert!(told.time_ns >= before);
        assert_ne!(self.ask().flags & PEER_FENCED, 0);
        told.time_ns
    }
}

/// Sends a frame; one that is kept back is an error to its sender.
fn say(sender: &Sender, frame: &[u8]) {
    if let Err(error) = sender.send_frame(frame) {
        let cause = error.downcast_ref::<std::io::Error>();
        assert_eq!(
            cause.and_then(std::io::Error::raw_os_error),
            Some(nix::libc::ENOBUFS),
            "{error:#}"
        );
    }
}

#[test]
fn only_the_token_that_was_given_fences_and_only_once() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut scene = Scene::new();
    scene.take(0);
    scene.take(5);
    scene.wait_ignored(2);
    let token = scene.ask().token;
    scene.take(token ^ 1);
    scene.take(0);
    scene.wait_ignored(4);
    // From somebody else's address, and for another router.
    let word = Frame::stray(0).taken(token);
    let others = [word.clone().with(11, 9), word.clone().with(48, VRID + 1)];
    for frame in others {
        scene.pair.asker.sender.send_frame(frame.bytes()).unwrap();
    }
    scene.wait_ignored(6);
    assert_eq!(scene.ask().flags & PEER_FENCED, 0);
    assert_eq!(scene.heard(), 5);

    scene.fence();
    scene.take(token);
    scene.wait_ignored(7);
    assert_eq!(scene.heard(), 0);
}

#[test]
fn the_fence_ends_when_the_peer_gives_way() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut scene = Scene::new();
    let begun = scene.fence();
    assert_eq!(scene.heard(), 0);
    let heir = Advert {
        source: Ipv4Addr::from(ASKER),
        vrid: VRID,
        priority: 254,
        ..Advert::default()
    };
    scene.pair.asker.sender.send(&heir).unwrap();
    let key = scene.pair.router();
    wait::until("the peer to give way", LIMIT, || {
        let known = scene.pair.fast.router(&key).unwrap().unwrap();
        (known.own_active == 0)
            .then_some(())
            .ok_or(format!("{known:?}"))
    })
    .unwrap();
    assert_eq!(scene.heard(), 5);
    // The heir is gone, and it is master again: all the time that the fence had left is void.
    let resigned = Advert {
        priority: 0,
        ..heir
    };
    scene.pair.asker.sender.send(&resigned).unwrap();
    scene.pair.reign(100);
    assert_eq!(scene.heard(), 5);
    let took = monotonic_ns().unwrap() - begun;
    println!("all of it {} ms after the fence began", took / 1_000_000);
}

#[test]
fn the_fence_ends_in_time() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut scene = Scene::new();
    let begun = scene.fence();
    assert_eq!(scene.heard(), 0);
    let end = begun + FENCE_NS;
    let left = end.saturating_sub(monotonic_ns().unwrap());
    thread::sleep(Duration::from_nanos(left));
    assert_eq!(scene.heard(), 5);
    assert_eq!(scene.ask().flags & PEER_FENCED, 0);
}
