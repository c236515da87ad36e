//! Who holds an address, told by stories: announcements and questions at given times, and what
//! must be reported when.

use keepfast_common::event::EventKind::*;
use keepfast_common::event::{Changes, EventKind};
use keepfast_common::neighbour::{
    Announcement, Holding, ROLE_GATEWAY, ROLE_LOCAL, ROLE_VIRTUAL, Watched,
};
use keepfast_common::wire::vrrp::virtual_mac;
use keepfast_common::wire::{Address, IPV4, IPV6, Mac};

const SECOND: u64 = 1_000_000_000;
/// When a story begins, as a host's clock would have it.
const START: u64 = 1_000 * SECOND;
const ADDRESS: Address = [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const VRID: u8 = 7;

const MASTER: Mac = [2, 0, 0, 0, 0, 1];
const OTHER: Mac = [2, 0, 0, 0, 0, 2];
const STRANGER: Mac = [2, 0, 0, 0, 0, 3];

#[derive(Clone, Copy)]
enum Step {
    /// Another host answers, after so many nanoseconds.
    Answers(u64, Mac),
    /// Another host announces that it has the address.
    Announces(u64, Mac),
    /// This host announces it.
    Sends(u64, Mac),
    /// This host asks for it.
    Asks(u64),
    /// Nothing is said.
    Until(u64),
}
use Step::{Announces, Answers, Asks, Sends, Until};

/// When (nanoseconds after the start), what, and the last bytes of the old and new MAC addresses.
type Told = (u64, EventKind, u8, u8);

fn run(roles: u8, family: u8, steps: &[Step]) -> (Holding, Vec<Told>) {
    let watched = Watched {
        silence_ns: SECOND,
        roles,
        vrid: VRID,
        family: 4,
        reserved: 0,
        router_ifindex: 0,
    };
    let mut holding = Holding::UNKNOWN;
    let mut told = Vec::new();
    let mut tell = |at: u64, changes: &Changes| {
        for kind in EventKind::ALL.into_iter().filter(|kind| changes.has(*kind)) {
            let (old, new) = (&changes.old, &changes.new);
            assert_eq!((old.address, new.address), (ADDRESS, ADDRESS));
            told.push((at - START, kind, old.mac[5], new.mac[5]));
        }
    };
    for step in steps {
        let (Answers(at, _) | Announces(at, _) | Sends(at, _) | Asks(at) | Until(at)) = *step;
        let now = START + at;
        let mut changes = Changes::NONE;
        let due = holding.next_deadline();
        if due != 0 && due <= now {
            let before = holding;
            holding.expire(&ADDRESS, due - 1, &mut changes);
            assert_eq!((holding, changes.kinds), (before, 0), "too early");
            holding.expire(&ADDRESS, due, &mut changes);
            assert_eq!(changes.due_ns, due);
            tell(due, &changes);
            assert_eq!(holding.next_deadline(), 0, "asked but once");
        }
        let said = match *step {
            Answers(_, mac) => Some((mac, false, false)),
            Announces(_, mac) => Some((mac, false, true)),
            Sends(_, mac) => Some((mac, true, true)),
            Asks(_) => {
                holding.asked(&watched, now);
                None
            }
            Until(_) => None,
        };
        if let Some((mac, local, unsolicited)) = said {
            let said = Announcement {
                time_ns: now,
                address: ADDRESS,
                family,
                mac,
                local,
                unsolicited,
                master: MASTER,
            };
            holding.announced(&watched, &said, &mut changes);
            tell(now, &changes);
        }
    }
    (holding, told)
}

#[track_caller]
fn check(roles: u8, steps: &[Step], expected: &[Told]) {
    assert_eq!(run(roles, IPV4, steps).1, expected);
}

#[test]
fn a_gateway_is_seen_once() {
    check(
        ROLE_GATEWAY,
        &[Answers(0, MASTER), Answers(1, MASTER), Announces(2, MASTER)],
        &[(0, GatewaySeen, 0, 1)],
    );
}

#[test]
fn a_gateway_behind_another_mac_address_is_told() {
    for step in [Answers(5, OTHER), Announces(5, OTHER)] {
        check(
            ROLE_GATEWAY,
            &[
                Answers(0, MASTER),
                step,
                Answers(6, OTHER),
                Answers(7, MASTER),
            ],
            &[
                (0, GatewaySeen, 0, 1),
                (5, GatewayMacChanged, 1, 2),
                (7, GatewayMacChanged, 2, 1),
            ],
        );
    }
}

#[test]
fn a_gateway_that_does_not_answer_is_silent_until_it_is_back() {
    check(
        ROLE_GATEWAY,
        &[
            Answers(0, MASTER),
            Asks(5 * SECOND),
            // The first question counts, not the last.
            Asks(5 * SECOND + 900_000_000),
            Until(9 * SECOND),
            Asks(10 * SECOND),
            Until(20 * SECOND),
            Answers(30 * SECOND, MASTER),
            Asks(40 * SECOND),
            Until(50 * SECOND),
        ],
        &[
            (0, GatewaySeen, 0, 1),
            (6 * SECOND, GatewaySilent, 1, 0),
            (30 * SECOND, GatewaySeen, 1, 1),
            (41 * SECOND, GatewaySilent, 1, 0),
        ],
    );
}

#[test]
fn a_gateway_that_was_never_heard_may_be_silent_too() {
    check(
        ROLE_GATEWAY,
        &[Asks(0), Until(5 * SECOND), Answers(6 * SECOND, OTHER)],
        &[
            (SECOND, GatewaySilent, 0, 0),
            (6 * SECOND, GatewaySeen, 0, 2),
        ],
    );
}

#[test]
fn a_gateway_that_answers_in_time_is_not_silent() {
    check(
        ROLE_GATEWAY,
        &[Asks(0), Answers(SECOND - 1, MASTER), Until(5 * SECOND)],
        &[(SECOND - 1, GatewaySeen, 0, 1)],
    );
}

#[test]
fn only_gateways_are_expected_to_answer() {
    for roles in [ROLE_VIRTUAL, ROLE_LOCAL, ROLE_VIRTUAL | ROLE_LOCAL] {
        check(roles, &[Asks(0), Until(5 * SECOND)], &[]);
    }
    check(ROLE_VIRTUAL, &[Answers(0, MASTER), Answers(1, OTHER)], &[]);
}

#[test]
fn the_master_and_this_host_may_announce_a_virtual_address() {
    check(
        ROLE_VIRTUAL,
        &[Announces(0, MASTER), Sends(1, OTHER), Announces(2, MASTER)],
        &[],
    );
}

#[test]
fn the_virtual_mac_address_of_its_own_family_and_router_may_announce_a_virtual_address() {
    for (family, mac, claims) in [
        (IPV4, virtual_mac(IPV4, VRID), 0),
        (IPV6, virtual_mac(IPV6, VRID), 0),
        (IPV4, virtual_mac(IPV6, VRID), 1),
        (IPV4, virtual_mac(IPV4, VRID + 1), 1),
    ] {
        let (_, told) = run(ROLE_VIRTUAL, family, &[Announces(0, mac)]);
        let told = told.iter().filter(|told| told.1 == AddressClaimed);
        assert_eq!(told.count(), claims, "{family} {mac:02x?}");
    }
}

#[test]
fn a_stranger_that_announces_a_virtual_address_is_told_once() {
    let steps = [
        Announces(0, MASTER),
        Announces(1, STRANGER),
        Announces(2, STRANGER),
        Announces(3, OTHER),
    ];
    let told = [(1, AddressClaimed, 1, 3), (3, AddressClaimed, 1, 2)];
    check(ROLE_VIRTUAL, &steps, &told);
    // It does not become the holder.
    let (holding, _) = run(ROLE_VIRTUAL, IPV4, &steps);
    assert_eq!(
        (holding.mac, holding.claimant, holding.heard_ns),
        (MASTER, OTHER, START)
    );
}

#[test]
fn a_stranger_is_told_again_after_the_rightful_holder_spoke() {
    check(
        ROLE_VIRTUAL,
        &[
            Announces(0, STRANGER),
            Announces(1, MASTER),
            Announces(2, STRANGER),
        ],
        &[(0, AddressClaimed, 0, 3), (2, AddressClaimed, 1, 3)],
    );
}

#[test]
fn a_stranger_does_not_pass_for_the_gateway_whose_virtual_address_it_announces() {
    check(
        ROLE_GATEWAY | ROLE_VIRTUAL,
        &[
            Announces(0, MASTER),
            Asks(1),
            Announces(2, STRANGER),
            Until(5 * SECOND),
        ],
        &[
            (0, GatewaySeen, 0, 1),
            (2, AddressClaimed, 1, 3),
            (SECOND + 1, GatewaySilent, 1, 0),
        ],
    );
}

#[test]
fn whoever_else_holds_an_address_of_this_host_is_in_conflict_with_it() {
    for claim in [Announces(1, STRANGER), Answers(1, STRANGER)] {
        check(
            ROLE_LOCAL,
            &[
                Sends(0, MASTER),
                claim,
                claim,
                Sends(2, MASTER),
                Announces(3, STRANGER),
            ],
            &[(1, AddressConflict, 1, 3), (3, AddressConflict, 1, 3)],
        );
    }
}

#[test]
fn a_new_master_announces_what_this_host_has_not_given_up_yet() {
    check(
        ROLE_LOCAL | ROLE_VIRTUAL,
        &[Sends(0, OTHER), Announces(1, MASTER)],
        &[],
    );
    check(
        ROLE_LOCAL | ROLE_VIRTUAL,
        &[Sends(0, OTHER), Announces(1, STRANGER)],
        &[(1, AddressConflict, 2, 3)],
    );
}
