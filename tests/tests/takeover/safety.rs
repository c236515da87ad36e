//! What a takeover must not do: say a forged word on the wire, give the means to others, leave
//! two primaries or none when the agent dies in the midst of it.

use super::*;
use crate::cluster::rounds;
use lab::capture::{Capture, Recording};
use lab::clock::monotonic_ns;
use lab::router::{HA, INNER, PRIMARY};
use lab::segment::{BRIDGE, Segment};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Adverts, and whatever comes from another hardware address than those of the segment's ports.
const FORGED: &str = "ip proto 112 or ip6 proto 112 or not ether[6:4] = 0x024b4600";

/// A time during which a host had no power: its address, from and until.
type Dark = (String, u64, u64);

/// Checks that all adverts are what their host's keepalived or agent says itself; how many there
/// were.
fn check_adverts(recording: &Recording, dark: &[Dark]) -> usize {
    let fields = [
        "frame.time_epoch",
        "eth.src",
        "ip.src",
        "vrrp.prio",
        "vrrp.short_adver_int",
        "vrrp.adver_int",
    ];
    let rows = recording.fields("frame", &fields).unwrap();
    for row in &rows {
        let at_ns = recording.monotonic_ns(&row[0]).unwrap();
        // The hosts' ports are the first ones of the segment.
        let number = row[1].strip_prefix("02:4b:46:00:00:0").unwrap_or("?");
        let host = format!("169.254.192.{number}");
        assert_eq!(row[2], host, "an advert of somebody else: {row:?}");
        assert_ne!(row[3], "255", "{row:?}");
        let interval = if row[4].is_empty() { &row[5] } else { &row[4] };
        assert_ne!(interval.parse::<u32>().unwrap(), 0, "{row:?}");
        for (address, from_ns, until_ns) in dark {
            let dead = *address == row[2] && (*from_ns..*until_ns).contains(&at_ns);
            assert!(!dead, "an advert of a dead host: {row:?}");
        }
    }
    rows.len()
}

/// Every kind of takeover there is, each so many times by turns, and what passes on the wire then.
fn nothing_forged_leaves(declare: impl Fn(&Host) -> Declaration, times: usize) {
    let pair = Pair::of(declare);
    let topology = &pair.topology;
    let segments: [&Segment; 3] = [&topology.ha, &topology.inner, &topology.outer];
    let captures =
        segments.map(|segment| Capture::start(segment.switch(), BRIDGE, FORGED).unwrap());
    let mut dark = Vec::new();
    for turn in 0..4 * times {
        let (primary, backup) = roles(turn);
        pair.ready(primary, backup);
        let (old, host) = (pair.daemon(primary), pair.host(primary));
        let kind = turn / times;
        let cuts = kind.is_multiple_of(2);
        match kind {
            1 => old.crash_keepalived("r").unwrap(),
            3 => drop(old.ask(&["failover", "r"]).unwrap()),
            _ => host.cut().unwrap(),
        }
        let from_ns = monotonic_ns().unwrap();
        pair.daemon(backup)
            .wait_state("r", "primary", LIMIT)
            .unwrap();
        if cuts {
            // Time for all that a takeover says.
            std::thread::sleep(Duration::from_millis(1_200));
            dark.push((
                format!("169.254.192.{primary}"),
                from_ns,
                monotonic_ns().unwrap(),
            ));
            host.restore().unwrap();
        }
    }
    let daemons = [&pair.first, &pair.second];
    let took = wait::until("all takeovers", LIMIT, || {
        let took = daemons.map(|daemon| events(daemon, "took_over").len());
        (took == [2 * times; 2])
            .then_some(took)
            .ok_or(format!("{took:?}"))
    })
    .unwrap();
    let [ha, inner, outer] = captures.map(|capture| capture.stop().unwrap());
    let adverts = check_adverts(&ha, &dark);
    println!("{adverts} adverts during {took:?} takeovers, none forged");
    assert!(adverts > 10 * times, "a capture that sees nothing");
    for recording in [inner, outer] {
        assert_eq!(recording.summary().unwrap(), "");
    }
}

#[test]
fn no_forged_advert_of_version_3_is_on_the_wire() {
    alone(|| nothing_forged_leaves(|host| fast(host, "mode = \"armed\""), 2));
}

#[test]
fn no_forged_advert_of_version_2_is_on_the_wire() {
    alone(|| {
        nothing_forged_leaves(
            |host| fast_path(Declaration::neutron(host), "mode = \"armed\""),
            1,
        );
    });
}

/// Only a process that may load such programs itself can make the kernel receive a frame.
#[test]
fn nobody_else_can_inject() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let daemon = Daemon::new("only").unwrap();
        let declaration = fast(&topology.hosts[0], "mode = \"armed\"");
        declaration.apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let root = std::path::Path::new("/sys/fs/bpf/keepfast");
        let pins = root.join(format!("run-{}", daemon.pid().unwrap()));
        for directory in [root, &pins] {
            let mode = std::fs::metadata(directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{}", directory.display());
        }
        let pinned: Vec<_> = std::fs::read_dir(&pins)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(!pinned.is_empty());
        assert!(
            !pinned.iter().any(|name| name.contains("inject")),
            "{pinned:?}"
        );

        let data = daemon.directory().join("frame");
        std::fs::write(&data, [0; 64]).unwrap();
        let id = program_id(&daemon, "tc_inject");
        let run = |before: &[&str]| {
            let mut command = Command::new("setpriv");
            command
                .args(before)
                .args(["bpftool", "prog", "run", "id", &id, "data_in"]);
            lab::process::output(command.arg(&data))
        };
        // The interface is the loopback of this namespace, which ignores such a frame.
        run(&["--nnp"]).unwrap();
        for powerless in [
            &["--reuid=65534", "--regid=65534", "--clear-groups"][..],
            &["--bounding-set=-all", "--inh-caps=-all"],
        ] {
            let refused = run(powerless).unwrap_err();
            let refused = format!("{refused:#}");
            assert!(refused.contains("Operation not permitted"), "{refused}");
        }
    });
}

/// The number of a program that a daemon has loaded.
fn program_id(daemon: &Daemon, name: &str) -> String {
    let mut command = Command::new("bpftool");
    command.args(["--json", "prog", "show", "name", name]);
    let shown = lab::process::output(&mut command).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let pid = daemon.pid().unwrap().as_raw();
    let programs = shown.as_array().cloned().unwrap_or(vec![shown]);
    let own = programs.iter().find(|program| {
        let holders = program["pids"].as_array().into_iter().flatten();
        holders.into_iter().any(|holder| holder["pid"] == pid)
    });
    own.unwrap_or(&programs[0])["id"].to_string()
}

/// Kills the agent of the backup at each of `moments` after a cut of the primary's power, and
/// checks that all ends as it does by keepalived alone, within `limit`; the outages.
fn sweep(
    declare: impl Fn(&Host) -> Declaration,
    moments: impl Iterator<Item = Duration>,
    limit: Duration,
    lapse: Duration,
) -> Vec<Duration> {
    let mut pair = Pair::of(declare);
    let mut outages = Vec::new();
    for (turn, moment) in moments.enumerate() {
        let (primary, backup) = roles(turn);
        pair.ready(primary, backup);
        let client = pair.client();
        let killed = if backup == 2 {
            &mut pair.second
        } else {
            &mut pair.first
        };
        let host = &pair.topology.hosts[primary - 1];
        std::thread::scope(|scope| {
            let began = std::time::Instant::now();
            scope.spawn(|| host.cut().unwrap());
            std::thread::sleep(moment.saturating_sub(began.elapsed()));
            killed.kill().unwrap();
        });
        // There is nobody who tells: what is leased lapses, and keepalived's own time comes.
        std::thread::sleep(limit + lapse);
        let probes = client.stop().unwrap();
        let outage = probes.outage().length();
        let last = probes
            .probes
            .iter()
            .rev()
            .find_map(|probe| probe.answered_ns);
        let quiet = Duration::from_nanos(probes.end_ns - last.unwrap());
        let raised = std::fs::read_to_string(killed.file("r", "raise")).unwrap();
        println!(
            "killed after {moment:?}: outage {outage:?}, raised {:?}",
            raised.trim()
        );
        assert!(outage < limit, "killed after {moment:?}: {outage:?}");
        assert!(
            quiet < Duration::from_millis(500),
            "nobody serves at the end: {quiet:?}"
        );
        outages.push(outage);
        // Started anew, it tidies up.
        killed.start().unwrap();
        killed.wait_state("r", "primary", LIMIT).unwrap();
        let file = killed.file("r", "raise");
        wait::until("a priority as configured", LIMIT, || {
            let raised = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            (raised.trim() == "0").then_some(()).ok_or(raised)
        })
        .unwrap();
        wait::until("no address that lapses", LIMIT, || {
            let left = lapsing(pair.host(backup));
            left.is_empty()
                .then_some(())
                .ok_or_else(|| format!("{left:?}"))
        })
        .unwrap();
        pair.host(primary).restore().unwrap();
        pair.daemon(primary)
            .wait_state("r", "backup", LIMIT)
            .unwrap();
    }
    outages
}

/// So many moments from the cut until all is over; KEEPFAST_MOMENTS=31 is every half
/// millisecond.
fn moments(usual: usize) -> impl Iterator<Item = Duration> {
    let count = rounds("KEEPFAST_MOMENTS", usual);
    let step = Duration::from_millis(15) / u32::try_from(count - 1).unwrap();
    (0..count).map(move |number| step * u32::try_from(number).unwrap())
}

const SWIFT: &str = "mode = \"armed\"\nmultiplier = 4";

#[test]
fn an_agent_that_is_killed_while_it_takes_over_leaves_one_primary() {
    alone(|| {
        let declare = |host: &Host| fast_path(Declaration::plain(host), SWIFT);
        // Three intervals of 100 ms and the skew, as seen on a busy machine.
        let limit = Duration::from_millis(1_000);
        let outages = sweep(declare, moments(11), limit, Duration::ZERO);
        median("killed, version 3", outages);
    });
}

/// An address that was leased may lapse under keepalived's hands: it is a backup then until its
/// own time comes once more.
#[test]
fn one_of_version_2_leaves_one_primary_too() {
    alone(|| {
        let declare = |host: &Host| Declaration {
            vrrp: "version = 2\n".to_owned(),
            ..fast(host, SWIFT)
        };
        let limit = Duration::from_millis(4_500);
        let outages = sweep(declare, moments(4), limit, Duration::from_secs(5));
        median("killed, version 2", outages);
    });
}

#[test]
fn what_a_dead_agent_leased_to_a_backup_lapses() {
    alone(|| {
        let mut pair = Pair::armed("");
        pair.ready(1, 2);
        pair.second.kill().unwrap();
        let host = &pair.topology.hosts[1];
        let lease = |address: &str, interface: &str| {
            let line =
                format!("address add {address} dev {interface} valid_lft 5 preferred_lft 5\n");
            lab::link::ip(&host.namespace, &line).unwrap();
        };
        lease(PRIMARY, HA);
        lease("10.0.0.1/24", INNER);
        assert_eq!(lapsing(host).len(), 2);
        pair.second.start().unwrap();
        wait::until("no address of a backup", LIMIT, || {
            let mut command = host.namespace.command("ip");
            let shown = lab::process::output(command.args(["-o", "address"]));
            let shown = shown.map_err(|error| format!("{error:#}"))?;
            let left = [PRIMARY, "10.0.0.1/24"].map(|it| shown.contains(&format!(" {it} ")));
            (left == [false; 2]).then_some(()).ok_or(shown)
        })
        .unwrap();
        pair.ready(1, 2);
    });
}
