//! Stories of routers: what happens, and what is done about it.

use std::time::Duration;

use super::*;
use crate::config::{Child, Cidr, Managed, NamespaceChoice, Profile, Router, RunOn, Vrid, Vrrp};

const SECOND: Nanos = 1_000_000_000;
const MS: Nanos = 1_000_000;

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn place(interface: &str, address: &str) -> Place {
    Place {
        interface: interface.parse().unwrap(),
        address: cidr(address),
    }
}

fn primary() -> Place {
    place("ha-1", "169.254.0.5/24")
}

fn floating(number: u8) -> Place {
    place("qg-1", &format!("198.51.100.{number}/32"))
}

/// What a router of these tests has.
#[derive(Clone, Copy, Default)]
struct Has {
    conntrackd: bool,
    radvd: bool,
    child: bool,
}

fn plan(text: &str, has: Has) -> Plan {
    let interface = "ha-1".parse().unwrap();
    let managed = Managed {
        profile: Profile::Neutron,
        vrrp: Vrrp {
            interface,
            addresses: vec![cidr("169.254.192.1/18")],
            vrid: Vrid::new(5).unwrap(),
            priority: 50,
            advert_interval: Duration::from_secs(2),
            version: 2,
            preempt: false,
            authentication: None,
            primary_address: primary().address,
            track_interfaces: Vec::new(),
        },
        addresses: Vec::new(),
        routes: Vec::new(),
        gateway_check: None,
        announce_again: Duration::from_secs(60),
        radvd: None,
        conntrackd: None,
    };
    let child = Child {
        name: "proxy".to_owned(),
        command: vec!["/bin/true".to_owned()],
        run: RunOn::Primary,
        stop_timeout: Duration::from_secs(5),
    };
    Plan {
        router: Arc::new(Router {
            id: "r1".parse().unwrap(),
            namespace: NamespaceChoice::Host,
            keepalived: Keepalived::Managed(Box::new(managed)),
            fast_path: crate::config::FastPath::OFF,
            protect: None,
            hooks: Vec::new(),
            children: if has.child { vec![child] } else { Vec::new() },
        }),
        configuration: Some(Arc::from(text)),
        radvd: has.radvd.then(|| Arc::from("radvd")),
        conntrackd: has.conntrackd.then(|| Arc::from("conntrackd")),
        addresses: vec![primary(), floating(1), floating(2)],
        instance: None,
        advert_interval_ns: 2 * SECOND,
    }
}

/// A router, and the time.
struct Story {
    engine: Engine,
    now: Nanos,
}

impl Story {
    fn new(has: Has) -> Self {
        Self {
            engine: Engine::new(plan("a", has), 0),
            now: 0,
        }
    }

    /// A managed router whose keepalived has been started and is backup.
    fn backup(has: Has) -> Self {
        let mut story = Self::new(has);
        story.does(interfaces(&[], &[]), &[]);
        story.does(
            Input::Looked,
            &["write backup", "follow backup", "state unknown > fault"],
        );
        story.does(
            Input::Started(Program::Keepalived),
            &["started keepalived", "state fault > backup"],
        );
        story
    }

    fn primary(has: Has) -> Self {
        let mut story = Self::backup(has);
        story.does(Input::Adverts(Adverts::Sent), &["state backup > rising"]);
        story.does(
            appears(primary()),
            &["write primary", "follow primary", "state rising > primary"],
        );
        story
    }

    /// Feeds an input; the actions must contain `expected`, in this order.
    fn does(&mut self, input: Input, expected: &[&str]) -> Vec<String> {
        let mut actions = Vec::new();
        self.engine.step(self.now, input, &mut actions);
        let words: Vec<String> = actions.iter().map(words).collect();
        let mut rest = words.iter();
        for wanted in expected {
            assert!(
                rest.any(|word| word.starts_with(wanted)),
                "no {wanted:?} in its turn in {words:#?}"
            );
        }
        words
    }

    /// Feeds an input; the actions must be just these.
    fn does_only(&mut self, input: Input, expected: &[&str]) {
        let words = self.does(input, expected);
        assert_eq!(words.len(), expected.len(), "{words:#?}");
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::WriteState(state) => format!("write {state}"),
        Action::Follow(state) => format!("follow {state}"),
        Action::Sync(state) => format!("sync {state}"),
        Action::Tell(it) => format!("tell {} #{}: {}", it.to, it.sequence, it.reason),
        Action::Note(Note::State { from, to, reason }) => {
            format!("state {from} > {to}: {reason}")
        }
        Action::Note(Note::Event(name, detail)) => format!("{name} {detail}"),
        Action::StartKeepalived(text) => format!("start keepalived with {text}"),
        Action::Start(program) => format!("start {program:?}"),
        Action::Stop(program) => format!("stop {program:?}"),
        Action::Reload(text) => format!("reload {text}"),
        Action::Clear => "clear".to_owned(),
        Action::Resign => "resign".to_owned(),
        Action::Kill => "kill".to_owned(),
        Action::Announce(places) => format!("announce {}", places.len()),
        Action::Remove => "remove".to_owned(),
    }
}

fn interfaces(missing: &[&str], down: &[&str]) -> Input {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Input::Interfaces {
        missing: owned(missing),
        down: owned(down),
        indexes: BTreeMap::new(),
    }
}

fn appears(place: Place) -> Input {
    Input::Address {
        place,
        present: true,
    }
}

fn vanishes(place: Place) -> Input {
    Input::Address {
        place,
        present: false,
    }
}

#[test]
fn keepalived_starts_only_when_its_interfaces_are_up_and_the_state_file_is_right() {
    let mut story = Story::new(Has::default());
    story.does_only(interfaces(&["ha-1"], &[]), &[]);
    story.does_only(
        Input::Looked,
        &[
            "write backup",
            "follow backup",
            "tell backup #1",
            "state unknown > fault",
        ],
    );
    assert_eq!(
        story.engine.note().as_deref(),
        Some("waiting for ha-1, which does not exist")
    );
    story.does_only(interfaces(&[], &["ha-1"]), &[]);
    story.does_only(interfaces(&[], &[]), &["start keepalived with a"]);
    story.does_only(
        Input::Started(Program::Keepalived),
        &[
            "started keepalived",
            "state fault > backup: keepalived was started",
        ],
    );
    assert_eq!(story.engine.note(), None);
}

#[test]
fn a_running_keepalived_is_adopted_without_a_signal() {
    let mut story = Story::new(Has::default());
    story.does_only(interfaces(&[], &[]), &[]);
    story.does_only(Input::Found(Program::Keepalived, Some(Arc::from("a"))), &[]);
    story.does_only(
        appears(primary()),
        &[
            "write primary",
            "follow primary",
            "tell primary #1",
            "state unknown > primary",
        ],
    );
    story.does_only(Input::Looked, &[]);
    story.now = 30 * SECOND;
    story.does_only(Input::Tick, &[]);
}

#[test]
fn an_adopted_keepalived_with_another_configuration_is_reloaded_once() {
    let mut story = Story::new(Has::default());
    story.does_only(interfaces(&[], &[]), &[]);
    story.does_only(
        Input::Found(Program::Keepalived, Some(Arc::from("old"))),
        &[],
    );
    story.does(Input::Looked, &["state unknown > backup"]);
    assert_eq!(story.engine.deadline(), Some(3 * SECOND));
    story.now = 3 * SECOND;
    story.does_only(Input::Tick, &["reload a"]);
    story.does_only(Input::Reloaded(Ok(())), &["reloaded"]);
    story.now = 60 * SECOND;
    story.does_only(Input::Tick, &[]);
}

#[test]
fn of_an_interface_that_was_made_anew_keepalived_reads_once() {
    let with = |index| Input::Interfaces {
        missing: Vec::new(),
        down: Vec::new(),
        indexes: BTreeMap::from([("ha-1".to_owned(), index)]),
    };
    let mut story = Story::backup(Has::default());
    story.now = 30 * SECOND;
    story.does_only(with(3), &[]);
    story.does_only(
        interfaces(&["interface ha-1"], &[]),
        &["state backup > fault: interface ha-1 is not there"],
    );
    story.does_only(
        with(4),
        &[
            "interface_made_anew ha-1: keepalived reads its configuration again",
            "state fault > backup: all interfaces are up",
            "reload a",
        ],
    );
    story.does_only(Input::Reloaded(Ok(())), &["reloaded"]);
    story.now = 60 * SECOND;
    story.does_only(with(4), &[]);
    // It may be quicker than a look.
    story.does_only(
        with(5),
        &[
            "interface_made_anew ha-1: keepalived reads its configuration again",
            "reload a",
        ],
    );
}

#[test]
fn primary_is_told_with_the_address_and_backup_with_its_removal() {
    let mut story = Story::backup(Has::default());
    story.does_only(
        Input::Adverts(Adverts::Sent),
        &["state backup > rising: keepalived advertises"],
    );
    story.does_only(
        appears(primary()),
        &[
            "write primary",
            "follow primary",
            "tell primary #2",
            "state rising > primary: 169.254.0.5/24 added",
        ],
    );
    story.does_only(appears(floating(1)), &[]);
    story.does_only(
        Input::Adverts(Adverts::Resigned),
        &["state primary > falling: keepalived resigned"],
    );
    story.does_only(
        vanishes(primary()),
        &[
            "write backup",
            "follow backup",
            "tell backup #3",
            "state falling > backup",
        ],
    );
}

#[test]
fn a_foreign_address_changes_nothing() {
    let mut story = Story::backup(Has::default());
    for other in [
        place("ha-1", "169.254.0.6/24"),
        place("ha-2", "169.254.0.5/24"),
        place("ha-1", "169.254.0.5/32"),
    ] {
        story.does_only(appears(other), &[]);
    }
    assert_eq!(story.engine.state(), State::Backup);
}

#[test]
fn an_address_that_goes_before_all_were_looked_at_means_nothing() {
    let mut story = Story::new(Has::default());
    story.does_only(vanishes(primary()), &[]);
    assert_eq!(story.engine.published(), None);
}

#[test]
fn a_killed_keepalived_is_told_cleared_and_started_again_at_once() {
    let mut story = Story::primary(Has::default());
    story.now = 20 * SECOND;
    story.does_only(
        Input::Ended(Program::Keepalived, "signal 9".to_owned()),
        &[
            "ended keepalived: signal 9",
            "clear",
            "resign",
            "write backup",
            "follow backup",
            "tell backup",
            "state primary > fault: keepalived ended: signal 9",
            "clear",
            "start keepalived with a",
        ],
    );
    story.does_only(vanishes(primary()), &[]);
    story.does_only(
        Input::Started(Program::Keepalived),
        &["started keepalived", "state fault > backup"],
    );
}

#[test]
fn a_stopped_keepalived_of_the_primary_is_killed_and_a_late_one_let_be() {
    let mut story = Story::primary(Has::default());
    story.does_only(Input::Stalled { stopped: false }, &[]);
    story.does_only(
        Input::Stalled { stopped: true },
        &["keepalived_stopped", "kill"],
    );
    let mut story = Story::backup(Has::default());
    story.does_only(Input::Stalled { stopped: true }, &[]);
}

#[test]
fn nobody_resigns_for_a_backup_or_for_a_keepalived_that_was_stopped() {
    let ended = || Input::Ended(Program::Keepalived, "signal 9".to_owned());
    let resigns = |words: &[String]| words.iter().any(|word| word == "resign");
    let mut story = Story::backup(Has::default());
    assert!(!resigns(&story.does(ended(), &["clear"])));
    let mut story = Story::primary(Has::default());
    story.does(Input::Delete, &["stop Keepalived"]);
    assert!(!resigns(&story.does(ended(), &["clear"])));
}

#[test]
fn a_keepalived_that_does_not_start_is_tried_again_later_and_the_reason_is_kept() {
    let mut story = Story::new(Has::default());
    story.does_only(interfaces(&[], &[]), &[]);
    story.does(Input::Looked, &["start keepalived with a"]);
    let refused = || Input::NotStarted(Program::Keepalived, "unknown keyword".to_owned());
    story.does(
        refused(),
        &[
            "not_started keepalived: unknown keyword",
            "start keepalived",
        ],
    );
    story.does_only(refused(), &["not_started keepalived: unknown keyword"]);
    assert_eq!(
        story.engine.note().as_deref(),
        Some("keepalived: unknown keyword")
    );
    assert_eq!(story.engine.deadline(), Some(SECOND));
    story.now = SECOND;
    story.does_only(Input::Tick, &["start keepalived with a"]);
}

#[test]
fn a_burst_of_declarations_is_one_reload_with_the_last_of_them() {
    let mut story = Story::primary(Has::default());
    for (ms, text) in [(100, "b"), (200, "c"), (300, "d")] {
        story.now = ms * MS;
        let plan = Box::new(plan(text, Has::default()));
        story.does(Input::Declared(plan), &[]);
        story.does_only(Input::Looked, &[]);
    }
    assert_eq!(story.engine.state(), State::Primary);
    story.now = 3 * SECOND;
    story.does_only(Input::Tick, &["reload d"]);
    story.does_only(
        Input::Reloaded(Err("keepalived -t: exit status 4".to_owned())),
        &["reload_refused keepalived -t: exit status 4"],
    );
    assert!(story.engine.note().unwrap().contains("exit status 4"));
}

#[test]
fn the_second_round_survives_reloads_and_covers_what_appeared() {
    let mut story = Story::primary(Has::default());
    story.does_only(appears(floating(1)), &[]);
    story.now = 30 * SECOND;
    story.does_only(
        Input::Declared(Box::new(plan("b", Has::default()))),
        &["reload b"],
    );
    story.does_only(Input::Reloaded(Ok(())), &["reloaded"]);
    story.does_only(appears(floating(2)), &[]);
    // Told again by a dump: it has been there.
    story.does_only(appears(floating(1)), &[]);
    story.now = 60 * SECOND;
    story.does_only(Input::Tick, &["announce 2"]);
    story.now = 90 * SECOND;
    story.does_only(Input::Tick, &["announce 1"]);
    assert_eq!(story.engine.deadline(), None);
}

#[test]
fn connections_are_synchronised_before_hooks_are_told_in_order() {
    let mut story = Story::backup(Has {
        conntrackd: true,
        ..Has::default()
    });
    story.does_only(Input::Synced, &["tell backup #1"]);
    story.does(
        appears(primary()),
        &["write primary", "follow primary", "sync primary"],
    );
    story.does_only(
        vanishes(primary()),
        &["write backup", "follow backup", "state"],
    );
    story.does_only(Input::Synced, &["tell primary #2", "sync backup"]);
    story.does_only(Input::Synced, &["tell backup #3"]);
}

#[test]
fn radvd_and_children_run_on_the_primary_only() {
    let mut story = Story::primary(Has {
        radvd: true,
        child: true,
        ..Has::default()
    });
    let running = |story: &Story| {
        let programs = story.engine.programs();
        programs
            .filter(|(_, phase)| ["starting", "running"].contains(phase))
            .count()
    };
    assert_eq!(running(&story), 3);
    for program in [Program::Radvd, Program::Child(0)] {
        story.does(Input::Started(program), &["started"]);
    }
    story.does_only(
        vanishes(primary()),
        &[
            "write backup",
            "follow backup",
            "tell backup",
            "state primary > rising",
            "stop Radvd",
            "stop Child(0)",
        ],
    );
}

#[test]
fn conntrackd_runs_always_and_is_restarted_only_for_another_configuration() {
    let has = Has {
        conntrackd: true,
        ..Has::default()
    };
    let mut story = Story::backup(has);
    story.does(Input::Started(Program::Conntrackd), &["started conntrackd"]);
    story.now = 30 * SECOND;
    story.does_only(Input::Declared(Box::new(plan("a", has))), &[]);
    let mut other = plan("a", has);
    other.conntrackd = Some(Arc::from("other"));
    story.does_only(Input::Declared(Box::new(other)), &["stop Conntrackd"]);
    story.does_only(
        Input::Ended(Program::Conntrackd, "ok".to_owned()),
        &["ended conntrackd: ok", "start Conntrackd"],
    );
}

#[test]
fn a_deleted_router_stops_its_programs_before_all_is_removed() {
    let mut story = Story::primary(Has {
        child: true,
        ..Has::default()
    });
    story.does(Input::Started(Program::Child(0)), &[]);
    story.does_only(Input::Delete, &["stop Keepalived", "stop Child(0)"]);
    story.does(
        Input::Ended(Program::Keepalived, "ok".to_owned()),
        &["write backup", "tell backup", "state primary > fault"],
    );
    assert!(!story.engine.is_gone());
    story.does_only(
        Input::Ended(Program::Child(0), "ok".to_owned()),
        &["ended proxy: ok", "remove"],
    );
    story.does_only(Input::Removed, &[]);
    assert!(story.engine.is_gone());
}

#[test]
fn a_lost_interface_is_a_fault_and_no_reason_to_stop_keepalived() {
    let mut story = Story::primary(Has::default());
    story.does_only(
        interfaces(&[], &["interface ha-1"]),
        &["state primary > falling: interface ha-1 is down"],
    );
    story.does_only(
        vanishes(primary()),
        &[
            "write backup",
            "follow backup",
            "tell backup",
            "state falling > fault",
        ],
    );
    story.does_only(interfaces(&[], &[]), &["state fault > rising"]);
}

#[test]
fn an_attached_router_is_told_and_nothing_else() {
    let mut plan = plan("", Has::default());
    plan.configuration = None;
    let mut story = Story {
        engine: Engine::new(plan, 0),
        now: 0,
    };
    story.does_only(interfaces(&[], &[]), &[]);
    story.does_only(Input::Found(Program::Keepalived, None), &[]);
    story.does_only(
        Input::Looked,
        &["write backup", "tell backup", "state unknown > backup"],
    );
    story.does_only(
        appears(primary()),
        &["write primary", "tell primary", "state backup > primary"],
    );
    story.does_only(
        Input::Ended(Program::Keepalived, "gone".to_owned()),
        &[
            "ended keepalived",
            "write backup",
            "tell backup",
            "state primary > fault",
        ],
    );
    story.does_only(Input::Delete, &["remove"]);
}

#[test]
fn another_primary_address_is_not_known_before_it_was_looked_for() {
    let mut story = Story::primary(Has::default());
    let mut other = plan("b", Has::default());
    other.addresses[0] = place("ha-1", "169.254.0.9/24");
    story.does(
        Input::Declared(Box::new(other)),
        &["state primary > unknown"],
    );
    assert_eq!(story.engine.published(), Some(Published::Primary));
    story.does(Input::Looked, &["write backup", "state unknown > rising"]);
}

#[test]
fn a_halted_keepalived_is_stopped_and_not_started_until_it_may_run_again() {
    let mut story = Story::backup(Has::default());
    story.does(Input::Halted(true), &["stop Keepalived"]);
    let ended = Input::Ended(Program::Keepalived, "exit status: 0".to_owned());
    let words = story.does(ended, &["state backup > fault"]);
    assert!(
        !words.iter().any(|word| word.starts_with("start ")),
        "{words:?}"
    );
    let note = story.engine.note().unwrap();
    assert!(note.starts_with("this host is drained"), "{note}");
    let words = story.does(interfaces(&[], &[]), &[]);
    assert!(
        !words.iter().any(|word| word.starts_with("start")),
        "{words:?}"
    );
    story.does(Input::Halted(false), &["start keepalived"]);
    assert_eq!(story.engine.note(), None);
}

#[test]
fn one_that_is_found_running_is_not_halted() {
    let mut story = Story::new(Has::default());
    story.does(Input::Halted(true), &[]);
    story.does_only(Input::Found(Program::Keepalived, None), &[]);
    assert_eq!(story.engine.note(), None);
}
