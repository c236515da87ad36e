use anyhow::bail;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::*;
use crate::exit;

/// Much of what real files have.
const FULL: &str = r#"
! Written by hand.
global_defs {
    router_id "a # b"   # not a comment before this
    vrrp_version 3
}
net_namespace blue
$IF=eth1
$ADDRESS = 10.0.0
vrrp_script check {
    script "/bin/sh -c 'exit { }'"
    weight { }
}
include conf.d/*.conf
vrrp_sync_group G { group { VI_1 VI_2 } }
vrrp_instance VI_1
{
    state MASTER
    interface eth0
    virtual_router_id 51 ; priority 101
    advert_int 0.5
    priority 101
    authentication { auth_type PASS
        auth_pass se$cret }
    unicast_src_ip 192.0.2.1
    unicast_peer {
        192.0.2.2
        192.0.2.3 min_ttl 255
    }
    virtual_ipaddress {
        ${ADDRESS}.100/24 dev $IF label x
        10.0.0.101
    }
    virtual_ipaddress_excluded {
        fe80::1/64 dev eth2
        2001:db8::1 dev \
            eth3 scope link
    }
    virtual_routes { 0.0.0.0/0 via 10.0.0.254 }
    track_interface {
        eth1 weight -10
        eth2
    }
    notify "/usr/bin/tell $1"
    use_vmac vrrp.51
}
"#;

fn read_text(text: &str) -> Result<Vec<Instance>> {
    let file = Source {
        path: "k.conf".into(),
        text: text.to_owned(),
    };
    read(&file, |_, pattern| bail!("asked for {pattern}"))
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.into(),
        text: text.to_owned(),
    }
}

/// `lines` in an instance that has what every instance must have.
fn instance(lines: &str) -> Instance {
    let text = format!("vrrp_instance V {{\ninterface eth0\nvirtual_router_id 7\n{lines}\n}}\n");
    read_text(&text).unwrap().pop().unwrap()
}

fn address(text: &str, interface: &str, link_scope: bool) -> VirtualAddress {
    VirtualAddress {
        interface: interface.parse().unwrap(),
        address: text.parse().unwrap(),
        link_scope,
    }
}

#[test]
fn what_instances_say_is_read_and_the_rest_skipped() {
    let include = |from: &Path, pattern: &str| {
        assert_eq!((from, pattern), (Path::new("k.conf"), "conf.d/*.conf"));
        Ok(vec![source(
            "conf.d/two.conf",
            "vrrp_instance VI_2 {\ninterface $IF\nvirtual_router_id 52\nnopreempt\nversion 2\n}",
        )])
    };
    let found = read(&source("k.conf", FULL), include).unwrap();
    let two = Instance {
        name: "VI_2".to_owned(),
        namespace: Some("blue".to_owned()),
        interface: "eth1".parse().unwrap(),
        vrid: Vrid::new(52).unwrap(),
        version: 2,
        priority: 100,
        advert_interval: Duration::from_secs(1),
        starts_as_master: false,
        preempt: false,
        authentication: None,
        addresses: Vec::new(),
        excluded_addresses: Vec::new(),
        unicast_source: None,
        unicast_peers: Vec::new(),
        track_interfaces: Vec::new(),
        own_interface: false,
        synchronised: true,
        notes: Vec::new(),
    };
    let one = Instance {
        name: "VI_1".to_owned(),
        interface: "eth0".parse().unwrap(),
        vrid: Vrid::new(51).unwrap(),
        version: 3,
        priority: 101,
        advert_interval: Duration::from_millis(500),
        starts_as_master: true,
        preempt: true,
        authentication: Some(AuthenticationKind::Pass),
        addresses: vec![
            address("10.0.0.100/24", "eth1", false),
            address("10.0.0.101/32", "eth0", false),
        ],
        excluded_addresses: vec![
            address("fe80::1/64", "eth2", true),
            address("2001:db8::1/128", "eth3", true),
        ],
        unicast_source: Some("192.0.2.1".parse().unwrap()),
        unicast_peers: vec!["192.0.2.2".parse().unwrap(), "192.0.2.3".parse().unwrap()],
        track_interfaces: vec!["eth1".parse().unwrap(), "eth2".parse().unwrap()],
        own_interface: true,
        synchronised: true,
        ..two.clone()
    };
    assert_eq!(found, [two, one]);
    assert!(!format!("{found:?}").contains("se$cret"));
}

#[test]
fn an_ipv6_instance_has_version_3() {
    let read = instance("virtual_ipaddress {\nfe80::7\n}");
    assert_eq!(read.version, 3);
    assert_eq!(instance("native_ipv6").version, 3);
    assert_eq!(instance("").version, 2);
}

#[test]
fn what_keepfast_writes_is_read() {
    let golden = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/golden/plain/all.conf"
    ));
    let found = read_text(golden).unwrap().pop().unwrap();
    assert_eq!((found.name.as_str(), found.vrid.get()), ("R", 5));
    assert_eq!((found.version, found.preempt), (3, false));
    assert_eq!(found.advert_interval, Duration::from_millis(250));
    assert_eq!(found.excluded_addresses.len(), 2);
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn what_is_not_understood_is_noted_and_not_guessed() {
    for (lines, note) in [
        (
            "@a priority 10",
            "k.conf:4: not understood: @a makes \"priority\" depend on how keepalived was started",
        ),
        (
            "authentication {\n@a auth_pass secret\n}",
            "k.conf:5: not understood: @a makes \"auth_pass\" depend on how keepalived was started",
        ),
        (
            "priority $P",
            "k.conf:4: not understood: $P is not defined here",
        ),
        (
            "$BLOCK= priority 10 \\\nnopreempt\n$BLOCK",
            "k.conf:4: not understood: the definition of $BLOCK over several lines",
        ),
        (
            "$BLOCK",
            "k.conf:4: not understood: $BLOCK is not defined here",
        ),
        (
            "~SEQ(A, 1, 2) priority $A",
            "k.conf:4: not understood: a line that is repeated",
        ),
        (
            "virtual_ipaddress {\n$A/24\n}",
            "k.conf:5: not understood: $A/24 is not defined here",
        ),
        (
            "virtual_ipaddress {\nten/24\n}",
            "k.conf:5: not understood: \"ten/24\" is no address with prefix length: \
             expected one like 192.0.2.1/24",
        ),
        ("priority 300", "k.conf:4: not understood: priority \"300\""),
        ("version 4", "k.conf:4: not understood: version 4"),
        ("advert_int 0", "k.conf:4: not understood: advert_int 0"),
        ("advert_int nan", "k.conf:4: not understood: advert_int NaN"),
        (
            "authentication {\nauth_type SHA\n}",
            "k.conf:5: not understood: an auth_type other than PASS and AH",
        ),
    ] {
        let read = instance(lines);
        assert_eq!(
            read.notes.first().map(String::as_str),
            Some(note),
            "{lines}"
        );
        assert_eq!(read.priority, 100, "{lines}");
    }
}

#[test]
fn errors_name_file_and_line() {
    let deep = "a {\n".repeat(33);
    let doubling: String = ('b'..='z')
        .map(|name| format!("${name}=${0}${0}\n", char::from(name as u8 - 1)))
        .collect();
    for (text, message) in [
        (
            "a {\nb {\n}\n",
            "k.conf:1: the block of \"a\" does not end: expected a }",
        ),
        ("a\n}\n", "k.conf:2: a } without a { before it"),
        (
            "\na \"b\n",
            "k.conf:2: a quoted text does not end: expected a \"",
        ),
        (
            &deep,
            "k.conf:33: too deep: expected at most 32 blocks in each other",
        ),
        (
            "vrrp_instance V {\nvirtual_router_id 7\n}",
            "k.conf:1: vrrp_instance \"V\" has no interface",
        ),
        (
            "vrrp_instance V {\ninterface eth0\nvirtual_router_id 256\n}",
            "k.conf:1: vrrp_instance \"V\" has no virtual_router_id\n\
             k.conf:3: not understood: 256 is no VRID: expected 1 to 255",
        ),
        (
            "vrrp_instance {\n}",
            "k.conf:1: vrrp_instance \"\" has no name",
        ),
        (
            &" ".repeat(MOST_BYTES + 1),
            "k.conf:1: too long: expected at most 1048576 bytes in all",
        ),
        (
            &format!("$a=aaaaaaaaaaaaaaaa\n{doubling}"),
            "k.conf:16: too long: expected at most 1048576 bytes in all",
        ),
    ] {
        let error = read_text(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(exit::code(&error), exit::USAGE);
    }
    let error = read_text("\ninclude x").unwrap_err();
    assert_eq!(format!("{error:#}"), "k.conf:2: include x: asked for x");
}

#[test]
fn files_that_include_themselves_come_to_an_end() {
    let again = source("k.conf", "include k.conf\n");
    let error = read(&again, |_, _| Ok(vec![again.clone()])).unwrap_err();
    let message = "k.conf:1: files include each other more than 16 times";
    assert_eq!(error.to_string(), message);
    let none = read(
        &source(
            "k.conf",
            "include x\nvrrp_instance V {\ninterface a\nvirtual_router_id 1\n}",
        ),
        |_, _| Ok(Vec::new()),
    );
    assert_eq!(
        none.unwrap()[0].notes,
        ["k.conf:1: not understood: include x: there is no such file"]
    );
}

#[test]
fn files_are_found_beside_the_one_that_includes_them() {
    let folder = Folder::new("include");
    folder.write("k.conf", "include d/[ab]*.conf\ninclude d/none\n");
    folder.write("d/a.conf", "include b.conf\n");
    folder.write(
        "d/b.conf",
        "vrrp_instance B {\ninterface a\nvirtual_router_id 1\n}\n",
    );
    folder.write("d/.a.conf", "}\n");
    folder.write("d/c.conf", "}\n");
    let found = read_file(&folder.0.join("k.conf")).unwrap();
    let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["B", "B"]);
    assert!(found[0].notes[0].ends_with("include d/none: there is no such file"));
}

#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new("fifo");
    let fifo = folder.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    // Not even opened: that alone may do something.
    let opened = inotify::init(CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&opened, &fifo, WatchFlags::OPEN).unwrap();
    for path in [fifo.as_path(), &folder.0, Path::new("/dev/zero")] {
        let error = read_file(path).unwrap_err();
        let message = format!("read {}: expected a regular file", path.display());
        assert_eq!(format!("{error:#}"), message);
    }
    let event = rustix::io::read(&opened, &mut [0; 64]);
    assert_eq!(event, Err(rustix::io::Errno::AGAIN));
    folder.write("k.conf", "include fifo\n");
    let error = read_file(&folder.0.join("k.conf")).unwrap_err();
    assert!(
        format!("{error:#}").contains("k.conf:1: include fifo: read "),
        "{error:#}"
    );
}

/// Deterministic noise (xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn whatever_the_text_it_is_answered() {
    let pieces: Vec<&str> = "{ } \" ' \\ \n # ! $ ${ @ ~ = include $A $A= [ 255 -1 ä"
        .split(' ')
        .collect();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..4000 {
        let mut letters: Vec<char> = FULL.chars().collect();
        for _ in 0..=noise.below(6) {
            let from = noise.below(letters.len());
            let to = (from + noise.below(12)).min(letters.len());
            let piece = pieces[noise.below(pieces.len())];
            letters.splice(from..to, piece.chars());
        }
        let text: String = letters.iter().collect();
        match super::read(&source("k.conf", &text), |_, _| Ok(Vec::new())) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

/// A folder of a test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("kf-read-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("d")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
