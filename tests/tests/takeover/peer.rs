//! A primary whose host has no keepfast.

use super::*;
use lab::capture::Capture;
use lab::clock::monotonic_ns;
use lab::keepalived::{Config, Instance, Keepalived, State};
use lab::router::{HA, INNER, OUTER, Rival, VRID};
use lab::segment::BRIDGE;

/// A router with an armed backup on the second host, and a keepalived alone on the first.
struct Mixed {
    // Before what they are in.
    second: Daemon,
    first: Keepalived,
    topology: Topology,
}

impl Mixed {
    fn new(forwards: bool) -> Self {
        let topology = Topology::new(2).unwrap();
        let host = &topology.hosts[0];
        forwarding(&host.namespace, forwards);
        let ip = |arguments: &[&str]| {
            lab::process::output(host.namespace.command("ip").args(arguments)).unwrap()
        };
        ip(&["address", "add", "169.254.192.1/18", "dev", HA]);
        let others = format!(
            "virtual_ipaddress_excluded {{\n10.0.0.1/24 dev {INNER}\n198.51.100.10/24 dev {OUTER}\n}}"
        );
        let config = Config::from(Instance {
            interface: HA.to_owned(),
            vrid: VRID,
            nopreempt: true,
            addresses: vec!["169.254.0.7/24".to_owned()],
            extra: vec![others],
            ..Instance::default()
        });
        let mut first = Keepalived::start(&host.namespace, config).unwrap();
        first.wait_state("VI_1", State::Master, LIMIT).unwrap();
        let second = Daemon::new("second").unwrap();
        let declaration = fast(&topology.hosts[1], "mode = \"armed\"");
        declaration.apply(&second).unwrap();
        second.wait_state("r", "backup", LIMIT).unwrap();
        Self {
            second,
            first,
            topology,
        }
    }

    /// Cuts the power of the primary: the outage.
    fn outage(&self) -> Duration {
        let client = client(&self.topology);
        self.topology.hosts[0].cut().unwrap();
        self.second.wait_state("r", "primary", LIMIT).unwrap();
        let outage = outage(client);
        println!(
            "outage {outage:?}, {}",
            wait_event(&self.second, "took_over")["detail"]
        );
        outage
    }
}

#[test]
fn one_that_forwards_is_probed() {
    alone(|| {
        let pair = Mixed::new(true);
        let redirects = "icmp[icmptype] = icmp-redirect";
        let capture = Capture::start(pair.topology.ha.switch(), BRIDGE, redirects).unwrap();
        wait_status(&pair.second, "means", &"probes, forwarded".into());
        wait_session(&pair.second, "up");
        // Time for the first host's kernel to tell of a shorter way, and for that to do harm.
        std::thread::sleep(Duration::from_secs(3));
        let shown = status(&pair.second);
        println!(
            "{shown}, redirects {}",
            capture.stop().unwrap().summary().unwrap()
        );
        assert_eq!(shown["means"], "probes, forwarded");
        assert_eq!(shown["session"], "up");
        assert_eq!(shown["suspected"], 0);
        let outage = pair.outage();
        assert!(outage < Duration::from_millis(120), "{outage:?}");
        drop(pair.first);
    });
}

#[test]
fn one_that_forwards_nothing_is_asked() {
    alone(|| {
        let pair = Mixed::new(false);
        wait_status(&pair.second, "means", &"solicitation".into());
        let outage = pair.outage();
        assert!(outage < Duration::from_millis(400), "{outage:?}");
        drop(pair.first);
    });
}

/// Adverts come, but neither probes nor questions are answered.
#[test]
fn one_that_says_nothing_is_left_to_keepalived() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let rival = Rival::new(&topology.ha).unwrap();
        let interval = Duration::from_secs(1);
        let daemon = Daemon::new("only").unwrap();
        fast(&topology.hosts[0], "mode = \"armed\"")
            .apply(&daemon)
            .unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        for _ in 0..6 {
            rival.take(interval).unwrap();
            std::thread::sleep(interval);
        }
        let last_ns = monotonic_ns().unwrap();
        rival.take(interval).unwrap();
        let means = "adverts only, asking the master's keepalived";
        wait_status(&daemon, "means", &means.into());
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let taken = after(last_ns, &wait_event(&daemon, "local_master"));
        println!("adverts only: taken over after {taken:?}");
        assert!(taken > Duration::from_millis(3_500), "{taken:?}");
        assert!(taken < Duration::from_millis(5_000), "{taken:?}");
        assert_eq!(events(&daemon, "took_over").len(), 0);
    });
}

/// Whoever authenticates by a header cannot be asked, nor its adverts be made.
#[test]
fn one_with_an_authentication_header_is_left_to_keepalived() {
    alone(|| {
        let secret = lab::workdir::WorkDir::new("secret").unwrap();
        let file = secret.file("password");
        std::fs::write(&file, "12345678").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        let pair = Pair::elected(|host| Declaration {
            vrrp: format!(
                "version = 2\nauthentication = {{ type = \"AH\", secret_file = \"{}\" }}\n",
                file.display()
            ),
            ..fast(host, "mode = \"armed\"")
        });
        let shown = status(&pair.second);
        println!("{shown}");
        assert_eq!(shown["mode"], "off");
        assert!(
            shown["why"]
                .as_str()
                .unwrap()
                .contains("authentication header"),
            "{shown}"
        );
        let client = pair.client();
        pair.host(1).cut().unwrap();
        pair.second.wait_state("r", "primary", LIMIT).unwrap();
        let outage = outage(client);
        println!("authentication header: outage {outage:?}");
        assert!(outage > Duration::from_millis(2_600));
        assert!(outage < Duration::from_millis(5_000));
    });
}
