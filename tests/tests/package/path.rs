//! An operator's first hour, from the installed package, on two hosts with a keepalived that
//! runs already. What is typed and answered goes into `target/demo/operator.txt`.

use super::debian::{NEEDS, package};
use super::site::{Host, Site, Transcript};
use super::{LIMIT, alone, project_file};
use lab::prober::Prober;
use lab::require::Need;
use std::time::Duration;

/// What no client may notice more than; keepalived alone takes 3.6 s.
const SHORT: Duration = Duration::from_secs(1);
/// Of the router that keepfast looks after.
const VIRTUAL: &str = "192.0.2.7";

/// A keepalived.conf as a host has it whose operator does not know keepfast yet.
fn keepalived_conf(priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{\n    interface eth0\n    virtual_router_id 51\n    \
         priority {priority}\n    advert_int 1\n    virtual_ipaddress {{\n        \
         192.0.2.51/24\n    }}\n}}\n"
    )
}

/// A router of keepfast's own.
fn office(priority: u8) -> String {
    format!(
        "host = true\n\n[vrrp]\ninterface = \"eth0\"\nvrid = 7\npriority = {priority}\n\n\
         [[address]]\ninterface = \"eth0\"\naddress = \"192.0.2.7/24\"\n\n\
         [fast_path]\nmode = \"armed\"\n"
    )
}

#[test]
fn what_the_readme_says_works_as_it_is_typed() {
    let needs: Vec<Need> = NEEDS
        .into_iter()
        .chain(["prometheus", "promtool", "curl"].map(Need::Tool))
        .collect();
    alone(&needs, || {
        let transcript = Transcript::default();
        let site = Site::new();
        let [a, b] = [("a", "192.0.2.1/24"), ("b", "192.0.2.2/24")]
            .map(|(name, address)| site.host(name, address, &transcript));
        keepalived_runs(&a, &b);
        let client = site.asks("192.0.2.51");
        installs(&a, &b, &transcript);
        attaches(&a, &transcript);
        // All of that happened beside a keepalived that served all the time.
        assert!(outage(client) < SHORT);
        declares(&a, &b, &transcript);
        moves(&a, &b, &site, &transcript);
        loses_power(&a, &b, &site, &transcript);
        is_scraped(&a, &transcript);
        is_drained(&a, &b, &transcript);
        ends(&a, &transcript);
        transcript.save(&project_file("target/demo/operator.txt"));
    });
}

/// What was there before keepfast.
fn keepalived_runs(a: &Host, b: &Host) {
    for (host, priority) in [(a, 150), (b, 100)] {
        host.writes(
            "/etc/keepalived/keepalived.conf",
            &keepalived_conf(priority),
        );
        host.types("systemctl restart keepalived");
    }
    let addresses = "ip -br address show dev eth0";
    a.types_until(addresses, &["192.0.2.51/24"], LIMIT);
}

fn installs(a: &Host, b: &Host, transcript: &Transcript) {
    transcript.tell("install the package on both hosts, and look what they allow");
    for host in [a, b] {
        host.system.put(package());
        host.types("dpkg -i /root/keepfast_*.deb");
        let check = host.types("keepfast check");
        assert!(check.contains("ok        programs"), "{check}");
        assert!(check.contains("ok        eth0 "), "{check}");
    }
}

fn attaches(a: &Host, transcript: &Transcript) {
    transcript.tell("look on while the distribution's keepalived does its work");
    let found = a.types("keepfast discover");
    assert!(found.contains("# heard this host, 192.0.2.1: "), "{found}");
    a.types("keepfast discover >/etc/keepfast/routers.d/VI_1.toml");
    let check = a.types("keepfast config check /etc/keepfast/routers.d/VI_1.toml");
    assert!(check.starts_with("ok "), "{check}");
    a.types("systemctl start keepfast");
    let status = "systemctl status --no-pager keepfast";
    a.types_until(status, &["active (running)", "1 router: 1 primary"], LIMIT);
    a.types_until(
        "keepfast status",
        &["VI_1    primary", "this host (150)"],
        LIMIT,
    );
    let one = a.types("keepfast status VI_1");
    assert!(one.contains("running, somebody else's"), "{one}");
}

fn declares(a: &Host, b: &Host, transcript: &Transcript) {
    transcript.tell("declare a router of keepfast's own on both hosts, with the fast path");
    for (host, priority) in [(a, 150), (b, 100)] {
        host.writes("/etc/keepfast/routers.d/office.toml", &office(priority));
    }
    a.types_until(
        "keepfast status",
        &["office  primary", "armed, 1 heir "],
        LIMIT,
    );
    b.types_until("keepfast status", &["office  backup", "armed, up"], LIMIT);
    let one = b.types("keepfast status office");
    assert!(one.contains("session         up with "), "{one}");
}

fn moves(a: &Host, b: &Host, site: &Site, transcript: &Transcript) {
    transcript.tell("have the other host serve it");
    let client = site.asks(VIRTUAL);
    let told = a.types("keepfast failover office");
    assert!(told.starts_with("office: moved to 192.0.2.2 "), "{told}");
    // Its raised priority is its own again, and the old primary probes it.
    let settled = ["this host (100)", "armed, 1 heir "];
    b.types_until("keepfast status", &settled, LIMIT);
    a.types_until("keepfast status", &["office  backup", "armed, up"], LIMIT);
    tell_outage(client, transcript);
}

fn loses_power(a: &Host, b: &Host, site: &Site, transcript: &Transcript) {
    let client = site.asks(VIRTUAL);
    transcript.tell("the port of b loses its power");
    b.power(false);
    a.types_until("keepfast status", &["office  primary"], LIMIT);
    let told = [
        "cause   the old primary's host fell silent",
        "to the first packet through this host",
        "else    keepalived alone would have taken over after 3.",
    ];
    a.types_until("keepfast postmortem office", &told, LIMIT);
    tell_outage(client, transcript);
    let other = ["cause   an interface of this host is down"];
    b.types_until("keepfast postmortem office", &other, LIMIT);
    let lines = [
        "took_over ",
        "failover                the old primary's host fell silent",
    ];
    a.types_until("keepfast events --router office --since 1m", &lines, LIMIT);
    transcript.tell("it has power again");
    b.power(true);
    b.types_until("keepfast status", &["office  backup", "armed, up"], LIMIT);
}

fn is_scraped(a: &Host, transcript: &Transcript) {
    transcript.tell("metrics, and a Prometheus that scrapes them every 0.5 s");
    let url = "curl -sS http://127.0.0.1:19112/metrics";
    let complaints = a.types_beside(&format!("{url} | promtool check metrics"));
    assert_eq!(complaints, "");
    let outages = format!("{url} | grep '^keepfast_failover_outage_seconds_[cs]'");
    a.types_beside_until(&outages, &["_count{cause=\"peer_silent\"} 1"]);
    let _prometheus = a.prometheus();
    let query = |text| format!("promtool query instant http://127.0.0.1:9090 '{text}'");
    a.types_beside_until(&query("up"), &["job=\"keepfast\"} => 1 "]);
    let primary = "sum(keepfast_router_state{state=\"primary\"})";
    a.types_beside_until(&query(primary), &["{} => 2 "]);
    let silent = "keepfast_failover_outage_seconds_count{cause=\"peer_silent\"}";
    a.types_beside_until(&query(silent), &["} => 1 "]);
}

fn is_drained(a: &Host, b: &Host, transcript: &Transcript) {
    transcript.tell("maintenance of a: what is keepfast's moves away");
    let told = a.types_with("keepfast drain", 1);
    assert!(
        told.contains("VI_1: stays primary here: its keepalived is somebody else's"),
        "{told}"
    );
    assert!(told.contains("office: moved to 192.0.2.2 "), "{told}");
    b.types_until("keepfast status", &["office  primary"], LIMIT);
    a.types_until("keepfast status", &["drained: ", "office  backup"], LIMIT);
    a.types("keepfast undrain");
}

fn ends(a: &Host, transcript: &Transcript) {
    transcript.tell("remove all that keepfast made");
    a.types_with("keepfast teardown", 64);
    let told = a.types("keepfast teardown --yes");
    assert!(told.starts_with("removed: VI_1, office\n"), "{told}");
    a.types_with("systemctl is-active keepfast", 3);
    a.types("systemctl is-active keepalived");
    let addresses = a.types("ip -br address show dev eth0");
    assert!(addresses.contains("192.0.2.51/24"), "{addresses}");
    assert!(!addresses.contains(VIRTUAL), "{addresses}");
    let told = a.types_with("keepfast status", 1);
    assert!(
        told.contains("`systemctl start keepfast` starts it"),
        "{told}"
    );
}

fn outage(client: Prober) -> Duration {
    client.stop().unwrap().outage().length()
}

/// What a client noticed that asked twice in a millisecond.
fn tell_outage(client: Prober, transcript: &Transcript) {
    let outage = outage(client);
    transcript.tell(&format!(
        "a client was without an answer for {outage:.1?} at most"
    ));
    assert!(outage < SHORT, "{outage:?}");
}
