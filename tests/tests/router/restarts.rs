//! A daemon that ends and begins again, and one that may not load programs into the kernel.

use crate::{LIMIT, Stage, alone, at_ns, has_address, keepalived, ms, nothing_for, wait_becomes};
use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::listener::Listener;
use lab::prober::Prober;
use lab::router::{Declaration, PRIMARY};
use lab::segment::BRIDGE;
use nix::errno::Errno;
use nix::libc;
use std::time::Duration;

#[test]
fn a23_a_restarted_daemon_disturbs_nothing() {
    alone(&[], || {
        let mut stage = Stage::start(2, |host, _| Declaration::plain(host));
        let pids = keepalived(&stage.daemons[0], "r");
        let filter = format!("({VRRP}) and src host 169.254.192.1");
        let mut capture = Capture::start(stage.topology.ha.switch(), BRIDGE, &filter).unwrap();
        let period = Duration::from_millis(5);
        let through = "198.51.100.1".parse().unwrap();
        let prober = Prober::start_every(&stage.topology.client, through, period).unwrap();
        // The neighbours have to be found first.
        prober.wait_answers(20, LIMIT).unwrap();
        let events = stage.daemons[1].events("r").unwrap().len();
        for round in 0..5 {
            let daemon = &mut stage.daemons[0];
            if round % 2 == 0 {
                daemon.stop().unwrap();
            } else {
                daemon.kill().unwrap();
            }
            // The routers go on without it.
            capture.wait_more(5, LIMIT).unwrap();
            assert_eq!(stage.daemons[0].state_file("r").unwrap(), "primary");
            stage.daemons[0].start().unwrap();
            capture.wait_more(5, LIMIT).unwrap();
            assert_eq!(stage.daemons[0].state_file("r").unwrap(), "primary");
            assert_eq!(stage.daemons[0].keepalived("r").unwrap(), pids);
        }
        let recording = capture.stop().unwrap();
        let probes = prober.stop().unwrap();
        let outage = probes.outage().length();
        let fields = ["frame.time_epoch", "vrrp.prio"];
        let rows = recording.fields("vrrp", &fields).unwrap();
        let times: Vec<u64> = rows
            .iter()
            .map(|row| recording.monotonic_ns(&row[0]).unwrap())
            .collect();
        let gaps = times.windows(2).map(|pair| ms(pair[0], pair[1]));
        let (least, most) = gaps.fold((f64::MAX, 0.0_f64), |(least, most), gap| {
            (least.min(gap), most.max(gap))
        });
        println!(
            "A23: {} of {} pings lost, longest pause {outage:?}; {} adverts, {least:.1} to \
             {most:.1} ms apart",
            probes.lost(),
            probes.probes.len(),
            rows.len()
        );
        // keepalived raises its priority by itself only where it was scheduled late.
        assert!(rows.iter().all(|row| row[1] == "100"), "{rows:?}");
        // A reload would make it say so at once.
        assert!(least > 50.0, "{least} ms");
        assert!(most < 300.0, "{most} ms");
        assert_eq!(probes.lost(), 0);
        let other = stage.daemons[1].events("r").unwrap();
        let changes: Vec<_> = other[events..]
            .iter()
            .filter(|event| event["event"] == "state")
            .collect();
        assert_eq!(changes, Vec::<&serde_json::Value>::new());
    });
}

/// Has bpf(2) say EPERM to this thread and to all that it starts.
fn deny_bpf() {
    // The offset of the system call's number in `seccomp_data`.
    const NUMBER: u32 = 0;
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let is_bpf = libc::sock_filter {
        jf: 1,
        ..statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::SYS_bpf as u32,
        )
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        is_bpf,
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter are alive and of the length given; the kernel copies
    // and checks them.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    Errno::result(set).unwrap();
}

#[test]
fn a28_without_kernel_programs_addresses_tell_alone() {
    alone(&[], || {
        let mut stage = Stage::start(2, |host, daemon| {
            Declaration::plain(host).telling(&daemon.directory().join("hook"))
        });
        let pids = keepalived(&stage.daemons[1], "r");
        let listener = Listener::start(&stage.daemons[1].directory().join("hook")).unwrap();
        listener.wait(1, LIMIT).unwrap();
        // The daemon is at work before the kernel programs are loaded.
        lab::wait::until("kernel programs", LIMIT, || {
            let watched_by = stage.daemons[1].show("r").unwrap()["watched_by"].clone();
            match watched_by == "netlink only" {
                true => Err(watched_by.to_string()),
                false => Ok(()),
            }
        })
        .unwrap();
        stage.daemons[1].stop().unwrap();
        let denied = &mut stage.daemons[1];
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                deny_bpf();
                denied.start()
            });
            starting.join().unwrap().unwrap();
        });
        let denied = &stage.daemons[1];
        listener.wait(2, LIMIT).unwrap();
        lab::wait::until("a word about it", LIMIT, || {
            let messages = denied.messages();
            match messages.contains("no kernel programs, addresses tell alone") {
                true => Ok(()),
                false => Err(messages),
            }
        })
        .unwrap();
        assert_eq!(denied.show("r").unwrap()["watched_by"], "netlink only");
        assert_eq!(denied.keepalived("r").unwrap(), pids);

        // Up, and down again.
        let events = denied.events("r").unwrap().len();
        let addresses = lab::addresses::Addresses::listen(stage.namespace(1)).unwrap();
        stage.topology.hosts[0].ha.cut().unwrap();
        wait_becomes(denied, events, "primary");
        let up = listener.wait(3, LIMIT).unwrap();
        assert_eq!(denied.state_file("r").unwrap(), "primary");
        let came_ns = addresses.wait(PRIMARY, true, LIMIT).unwrap();
        stage.topology.hosts[1].ha.cut().unwrap();
        let gone_ns = addresses.wait(PRIMARY, false, LIMIT).unwrap();
        let down = listener.wait(4, LIMIT).unwrap();
        assert_eq!(denied.state_file("r").unwrap(), "backup");
        let states: Vec<_> = down.iter().map(|notice| notice.state.as_str()).collect();
        assert_eq!(states, ["backup", "backup", "primary", "backup"]);
        let told = [
            ms(came_ns, up[2].received_ns),
            ms(gone_ns, down[3].received_ns),
        ];
        println!(
            "A28: primary told after {:.1} ms, backup after {:.1} ms",
            told[0], told[1]
        );
        assert!(told.iter().all(|time| *time < 1000.0), "{told:?}");

        // A dead keepalived is noticed and started again.
        stage.topology.hosts[1].ha.restore().unwrap();
        wait_becomes(denied, events, "primary");
        let before = denied.events("r").unwrap().len();
        let killed_ns = monotonic_ns().unwrap();
        denied.crash_keepalived("r").unwrap();
        let ended = denied
            .wait_event("r", before, "its end", LIMIT, |event| {
                event["event"] == "ended"
            })
            .unwrap();
        println!(
            "A28: its end is noticed after {:.1} ms",
            ms(killed_ns, at_ns(&ended))
        );
        assert!(ms(killed_ns, at_ns(&ended)) < 1000.0);
        let started = |event: &serde_json::Value| event["event"] == "started";
        denied
            .wait_event("r", before, "another one", LIMIT, started)
            .unwrap();
        nothing_for(Duration::from_millis(500));
        wait_becomes(denied, before, "primary");
        assert!(has_address(stage.namespace(1), PRIMARY));
    });
}
