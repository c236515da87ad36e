use super::super::WakeUps;
use super::fixture::{router, status};
use super::*;
use crate::engine::State;

#[test]
fn all_routers_are_a_table_below_the_daemon() {
    let mut status = status();
    let mut other = router();
    other.id = "longer-name".into();
    other.state = State::Fault;
    other.note = Some("two\nlines \u{1b}[2J".into());
    other.master = None;
    other.adverts = None;
    other.detection.by = DetectedBy::Netlink;
    other.fast_path.declared = Mode::Off;
    status.routers.push(other);
    let expected = "\
keepfast 0.1.0, pid 7, up 2 min 6 s; routers: 1 backup, 1 fault
ROUTER       STATE   FOR        MASTER               MARGIN        FAST PATH  SEEN BY       NOTE
r1           backup  2 min 5 s  169.254.192.1 (101)  55 % reduced  armed, up  native XDP    -
longer-name  fault   2 min 5 s  -                    -             off        netlink only  two lines  [2J
";
    assert_eq!(all(&status), expected);
}

#[test]
fn each_trouble_of_the_daemon_is_a_line() {
    let mut status = status();
    let quiet = all(&status).lines().count();
    status.daemon.drained = true;
    status.daemon.fallbacks = vec!["memory is not locked".into()];
    status.daemon.problems = vec!["a.toml: line 1".into(), "b.toml: line 2".into()];
    status.daemon.events_lost = 3;
    status.daemon.timers_refused = 4;
    status.daemon.wake_ups = Some(WakeUps {
        count: 10,
        late: 1,
        worst_us: 700,
    });
    let told = all(&status);
    assert_eq!(told.lines().count(), quiet + 7, "{told}");
    for part in [
        "drained: this host",
        "fallback: memory is not locked",
        "problem: b.toml: line 2",
        "lost and made up for: 3",
        "no timer for 4 deadlines",
        "late 1 times of 10, at worst by 700 us",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // Once awake in time, nothing is to be said.
    status.daemon.wake_ups.as_mut().unwrap().late = 0;
    assert_eq!(all(&status).lines().count(), quiet + 6);
}

#[test]
fn one_router_is_told_in_sections() {
    let expected = "\
r1                backup for 2 min 5 s (since 2026-01-02T03:04:05Z)
  last change     unknown -> backup at 2026-01-02T03:04:05Z: as found
  told as         backup
  namespace       qrouter-r1
  virtual router  vrid 7 on ha0, priority 100 here
  keepalived      running, managed, pid 42
  addresses       0 of 5 here; primary 169.254.0.7/24
  master          169.254.192.1, 02:00:00:00:00:01, priority 101, VRRPv3, active for 3 s
  adverts         every 1 s, the last one 0.25 s ago; 12 received, 0 sent
  margin          reduced: the worst gap was 2.004 s, 55 % of the 3.609 s after which keepalived takes over (an advert was missed or much delayed)
  gateway         198.51.100.1 on qg0: answers, heard 20 ms ago, 02:00:00:00:00:09
  fast path       armed, idle
  session         up with 02:00:00:00:00:01 by probes, every 1 ms x 10; 999 of 1000 answered, the slowest within 180 us
  seen by         native XDP in, tc (TCX) out
";
    assert_eq!(one(&router()), expected);
}

#[test]
fn every_fallback_of_a_router_is_told() {
    let mut router = router();
    router.detection.fallbacks = vec!["XDP is taken by another program (id 5)".into()];
    router.fast_path.mode = Mode::Shadow;
    router.fast_path.why_not = Some("it is in shadow".into());
    router.gateways[0].state = GatewayWord::Unwatched;
    router.master.as_mut().unwrap().phase = MasterPhase::Down;
    router.master.as_mut().unwrap().contested = true;
    router.adverts.as_mut().unwrap().margin = None;
    router.events_not_logged = 2;
    let told = one(&router);
    for part in [
        "XDP is taken by another program (id 5)",
        "shadow (declared: armed), idle; would take nothing over now: it is in shadow",
        "not watched without a fast path",
        "down for 3 s; several masters advertise",
        "not known yet; keepalived takes over after 3.609 s",
        "not logged",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}
