//! This host's own router.

use crate::story::*;
use keepfast_common::event::EventKind::*;

#[test]
fn the_hosts_own_router_has_names_of_its_own() {
    check(
        &[
            Sends(0, A),
            Sends(2_000 * MS, A),
            Sends(2_500 * MS, resigned(A)),
            Until(9_000 * MS),
        ],
        &[
            (0, LocalMaster, 0, 1),
            (1_250 * MS, LocalStalled, 1, 0),
            (2_000 * MS, LocalResumed, 1, 1),
            (2_500 * MS, LocalResigned, 1, 1),
            (3_500 * MS, MasterDown, 1, 0),
        ],
    );
}

#[test]
fn the_hosts_own_stalled_router_is_down_in_the_end() {
    let story = run(&[Sends(0, A), Until(9_000 * MS)]);
    assert_eq!(
        story.told,
        [
            (0, LocalMaster, 0, 1),
            (1_250 * MS, LocalStalled, 1, 0),
            (3_609_375_000, MasterDown, 1, 0),
        ]
    );
    assert_eq!(story.router.own_active, 0);
}

#[test]
fn the_hosts_own_router_yields_to_a_higher_rank() {
    let steps = [Sends(0, A), Hears(500 * MS, HIGH), Hears(1_500 * MS, HIGH)];
    let told = [(0, LocalMaster, 0, 1), (500 * MS, MasterChanged, 1, 3)];
    check(&steps, &told);
    assert_eq!(run(&steps).router.own_active, 0);
    // It is no longer master: that it stops is nobody's concern.
    check(
        &[&steps[..], &[Sends(1_600 * MS, resigned(A))]].concat(),
        &told,
    );
}

#[test]
fn that_the_hosts_own_router_became_master_is_told_at_once() {
    check(
        &[Hears(0, HIGH), Sends(500 * MS, A), Hears(1_000 * MS, HIGH)],
        &[
            (0, MasterAppeared, 0, 3),
            (500 * MS, LocalMaster, 3, 1),
            (1_000 * MS, MasterChanged, 1, 3),
        ],
    );
}

#[test]
fn the_hosts_own_adverts_may_come_back_from_the_segment() {
    let story = run(&[Sends(0, A), Hears(MS, A), Hears(2 * MS, resigned(A))]);
    assert_eq!(story.told, [(0, LocalMaster, 0, 1)]);
    assert_eq!(
        (story.router.adverts_sent, story.router.adverts_received),
        (1, 2)
    );
}

#[test]
fn the_hosts_own_skew_decides_when_a_master_is_down() {
    check(
        &[Sends(0, A), Hears(MS, HIGH), Until(9_000 * MS)],
        &[
            (0, LocalMaster, 0, 1),
            (MS, MasterChanged, 1, 3),
            (1_251 * MS, AdvertLate, 3, 0),
            (MS + 3_609_375_000, MasterDown, 3, 0),
        ],
    );
}
