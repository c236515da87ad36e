//! What is said of router files that are wrong: text, and all that is wrong with it.

use super::*;

/// The beginning of a router, whose file goes on in its table `vrrp` in line 4.
const BEGINNING: &str = "[vrrp]\ninterface = \"ha0\"\nvrid = 5\n";

/// Whole files.
const WHOLE: &[(&str, &str)] = &[
    (
        r#""#,
        r#"r.toml:1:1: vrrp: is missing: expected a table [vrrp] or a table [attached]"#,
    ),
    (
        r#"vrrp = 5"#,
        r#"r.toml:1:8: vrrp: expected a table, found 5"#,
    ),
    (
        r#"[vrrp]"#,
        r#"r.toml:1:1: vrrp.interface: is missing: expected a string
r.toml:1:1: vrrp.vrid: is missing: expected an integer"#,
    ),
    (
        r#"[vrrp
interface = "ha0""#,
        r#"r.toml:1:6: unclosed table, expected `]`"#,
    ),
    (
        r#"host = yes"#,
        r#"r.toml:1:8: string values must be quoted, expected literal string"#,
    ),
    (
        r#"a = "\u0001"#,
        r#"r.toml:1:12: invalid basic string, expected `"`"#,
    ),
    (
        r#"id = "../../etc/passwd"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:6: id: "../../etc/passwd" is no router id: expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit"#,
    ),
    (
        r#"id = "r.pid.keepalived"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:6: id: "r.pid.keepalived" is no router id: expected none with `.pid.`, as pid files have it"#,
    ),
    (
        r#"namespace = "a/b"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:13: namespace: "a/b" is no namespace name: expected 1 to 128 letters, digits and signs without `/`, quotes and what else configuration files give a meaning"#,
    ),
    (
        r#"[attached]
config_file = "/k.conf"
instance = "i"
[fast_path]
mode = "armed"
gateway_interval = "10ms""#,
        r#"r.toml:6:20: fast_path.gateway_interval: is for a router whose keepalived is keepfast's: expected it beside [vrrp], not [attached]"#,
    ),
    (
        r#"[vrrp]
interface = "ha0"
vrid = 5
[protect]
mode = "drop"
peers = ["10.0.0.1/24", "fe80::1", "10.0.0.2", "10.0.0.2"]"#,
        r#"r.toml:5:8: protect.mode: expected "off" or "observe" or "enforce", found "drop"
r.toml:6:10: protect.peers[0]: "10.0.0.1/24" is no address: expected one without a prefix length
r.toml:6:25: protect.peers[1]: fe80::1 cannot send adverts of 169.254.0.5: expected an address of IPv4
r.toml:6:48: protect.peers[3]: 10.0.0.2 is protect.peers[2] too: expected each peer once"#,
    ),
    (
        r#"fast_path = "armed"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:13: fast_path: expected a table, found a string"#,
    ),
    (
        r#"host = true
namespace = "n"
create_namespace = true
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:2:13: namespace: is for a namespace of its own: expected it without host = true
r.toml:3:20: create_namespace: is for a namespace of its own: expected it without host = true"#,
    ),
    (
        r#"profile = "nova"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:11: profile: expected "plain" or "neutron", found "nova""#,
    ),
    (
        r#"profile = "neutron"
[vrrp]
interface = "ha0"
vrid = 5
version = 3"#,
        r#"r.toml:5:11: vrrp.version: 3 is not what Neutron speaks: expected 2 with profile = "neutron""#,
    ),
    (
        r#"profile = "neutron"
gateway_check = "1500ms"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:2:17: gateway_check: 1500ms is a fraction: expected whole seconds"#,
    ),
    (
        r#"gateway_check = "500ms"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:17: gateway_check: "500ms" is out of range: expected 1s to 86400s"#,
    ),
    (
        r#"announce_again = "soon"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:18: announce_again: "soon" is no time: expected one like "2s" or "500ms""#,
    ),
    (
        r#"announce_again = -1
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:18: announce_again: -1 is no time: expected one like "2s" or "500ms""#,
    ),
    (
        r#"announce_again = 1.5
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:18: announce_again: expected a string or an integer, found 1.5"#,
    ),
    (
        r#"gateway_cheque = 5
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:1: gateway_cheque: is unknown: the nearest key is gateway_check"#,
    ),
    (
        r#"bananas = 5
[attached]
config_file = "/k.conf"
instance = "i""#,
        r#"r.toml:1:1: bananas: is unknown: expected one of address, announce_again, attached, child, conntrackd, create_namespace, fast_path, gateway_check, hook, host, id, namespace, profile, protect, radvd, route, vrrp"#,
    ),
    (
        r#"[attached]
config_file = "k.conf"
instance = "a \"b"
pid_file = "/run/../k.pid""#,
        r#"r.toml:2:15: attached.config_file: "k.conf" is no path to use: expected an absolute one without `..`
r.toml:3:12: attached.instance: "a \"b" is no name of a vrrp_instance: expected 1 to 255 letters, digits and signs without quotes and what else keepalived gives a meaning
r.toml:4:12: attached.pid_file: "/run/../k.pid" is no path to use: expected an absolute one without `..`"#,
    ),
    (
        r#"profile = "plain"
[attached]
config_file = "/k.conf"
instance = "i"
[[address]]
interface = "lan0"
address = "10.0.0.1/24""#,
        r#"r.toml:1:11: profile: is for a router whose keepalived is keepfast's: expected it beside [vrrp], not [attached]
r.toml:5:1: address: is for a router whose keepalived is keepfast's: expected it beside [vrrp], not [attached]"#,
    ),
    (
        r#"[attached]
config_file = "/k.conf"
instance = "i"
[vrrp]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:1: attached: is there beside vrrp: expected [vrrp] where keepalived is keepfast's, [attached] where it is somebody else's"#,
    ),
    (
        r#"[[vrrp]]
interface = "ha0"
vrid = 5"#,
        r#"r.toml:1:1: vrrp: expected a table, found an array"#,
    ),
    (
        r#"[vrrp]
vrid = "5""#,
        r#"r.toml:1:1: vrrp.interface: is missing: expected a string
r.toml:2:8: vrrp.vrid: expected an integer, found "5""#,
    ),
    (
        r#"[vrrp]
interface = "an-interface-too-long"
vrid = 0"#,
        r#"r.toml:2:13: vrrp.interface: "an-interface-too-long" is no interface name: expected 1 to 15 letters, digits and signs without `/`, `:`, quotes and what else configuration files give a meaning
r.toml:3:8: vrrp.vrid: 0 is no VRID: expected 1 to 255"#,
    ),
    (
        r#"[vrrp]
interface = "ha0\" }\n"
vrid = 256"#,
        r#"r.toml:2:13: vrrp.interface: "ha0\" }\n" is no interface name: expected 1 to 15 letters, digits and signs without `/`, `:`, quotes and what else configuration files give a meaning
r.toml:3:8: vrrp.vrid: 256 is no VRID: expected 1 to 255"#,
    ),
    (
        r#"[vrrp]
interface = "ha0"
vrid = 255"#,
        r#"r.toml:1:1: vrrp.primary_address: is missing, and for this VRID 169.254.0.255/24 is the broadcast address of its network: expected the address of a host"#,
    ),
    (
        r#"[vrrp]
interface = "ha0"
vrid = 99999999999999999999"#,
        r#"r.toml:3:8: vrrp.vrid: expected an integer, found 99999999999999999999"#,
    ),
];

/// What follows [`BEGINNING`].
const AFTER: &[(&str, &str)] = &[
    (
        r#"[[address]]
interface = "lan0"
address = "10.0.0.1/24"
[[address]]
interface = "lan1"
address = "10.0.1.1/24"
interface = "lan2""#,
        "r.toml:10:1: address[1].interface: is there already, in line 8: expected it once",
    ),
    (
        r#"vrid = 6"#,
        r#"r.toml:4:1: vrrp.vrid: is there already, in line 3: expected it once"#,
    ),
    (
        r#"priority = 0"#,
        r#"r.toml:4:12: vrrp.priority: 0 cannot work, it is how a primary resigns: expected 1 to 254"#,
    ),
    (
        r#"priority = 255"#,
        r#"r.toml:4:12: vrrp.priority: 255 cannot work, it is that of the addresses' owner, who never is a backup: expected 1 to 254"#,
    ),
    (
        r#"priority = -1"#,
        r#"r.toml:4:12: vrrp.priority: -1 is no priority: expected 1 to 254"#,
    ),
    (
        r#"priority = 300"#,
        r#"r.toml:4:12: vrrp.priority: 300 is no priority: expected 1 to 254"#,
    ),
    (
        r#"prioritty = 100"#,
        r#"r.toml:4:1: vrrp.prioritty: is unknown: the nearest key is priority"#,
    ),
    (
        r#"version = 4"#,
        r#"r.toml:4:11: vrrp.version: 4 is no version of VRRP to speak: expected 2 or 3"#,
    ),
    (
        r#"preempt = "no""#,
        r#"r.toml:4:11: vrrp.preempt: expected true or false, found "no""#,
    ),
    (
        r#"version = 2
advert_interval = "1500ms""#,
        r#"r.toml:5:19: vrrp.advert_interval: 1500ms is a fraction: expected whole seconds"#,
    ),
    (
        r#"version = 2
advert_interval = "256s""#,
        r#"r.toml:5:19: vrrp.advert_interval: "256s" is out of range: expected 1s to 255s"#,
    ),
    (
        r#"advert_interval = "1s 5ms""#,
        r#"r.toml:4:19: vrrp.advert_interval: 1005ms is no multiple of 10ms: expected whole hundredths of a second in version 3"#,
    ),
    (
        r#"advert_interval = "41s""#,
        r#"r.toml:4:19: vrrp.advert_interval: "41s" is out of range: expected 10ms to 40950ms"#,
    ),
    (
        r#"advert_interval = 0"#,
        r#"r.toml:4:19: vrrp.advert_interval: 0 is out of range: expected 10ms to 40950ms"#,
    ),
    (
        r#"advert_interval = "1 fortnight""#,
        r#"r.toml:4:19: vrrp.advert_interval: "1 fortnight" is no time: expected one like "2s" or "500ms""#,
    ),
    (
        r#"advert_interval = true"#,
        r#"r.toml:4:19: vrrp.advert_interval: expected a string or an integer, found true"#,
    ),
    (
        r#"addresses = "10.9.0.2/24""#,
        r#"r.toml:4:13: vrrp.addresses: expected an array, found "10.9.0.2/24""#,
    ),
    (
        r#"addresses = ["10.9.0.2/24", 5]"#,
        r#"r.toml:4:29: vrrp.addresses[1]: expected a string, found 5"#,
    ),
    (
        r#"addresses = ["10.9.0.2", "10.9.0.2/33", "10.9.0.0/24", "10.9.0.255/24", "224.0.0.1/24"]"#,
        r#"r.toml:4:14: vrrp.addresses[0]: "10.9.0.2" is no address with prefix length: expected one like 192.0.2.1/24
r.toml:4:26: vrrp.addresses[1]: 10.9.0.2/33: expected a prefix length of at most 32
r.toml:4:41: vrrp.addresses[2]: 10.9.0.0/24 is the address of its network: expected the address of a host
r.toml:4:56: vrrp.addresses[3]: 10.9.0.255/24 is the broadcast address of its network: expected the address of a host
r.toml:4:73: vrrp.addresses[4]: 224.0.0.1/24 is a multicast address: expected the address of a host"#,
    ),
    (
        r#"addresses = ["2001:db8::2/64"]"#,
        r#"r.toml:1:1: vrrp.primary_address: is missing: expected an IPv6 link-local one, since vrrp.addresses are all IPv6"#,
    ),
    (
        r#"addresses = ["169.254.0.1/16"]"#,
        r#"r.toml:1:1: vrrp.primary_address: is missing: expected one, since vrrp.addresses leave no /24 of 169.254.0.0/16 free"#,
    ),
    (
        r#"version = 2
primary_address = "fe80::1/64""#,
        r#"r.toml:5:19: vrrp.primary_address: fe80::1/64 is IPv6: expected IPv4, or version = 3"#,
    ),
    (
        r#"primary_address = "2001:db8::1/64""#,
        r#"r.toml:4:19: vrrp.primary_address: 2001:db8::1/64 is not link-local, as the first address of an IPv6 advert must be: expected one of fe80::/10"#,
    ),
    (
        r#"primary_address = "10.9.0.255/24""#,
        r#"r.toml:4:19: vrrp.primary_address: 10.9.0.255/24 is the broadcast address of its network: expected the address of a host"#,
    ),
    (
        r#"primary_address = "10.9.0.0/24""#,
        r#"r.toml:4:19: vrrp.primary_address: 10.9.0.0/24 is the address of its network: expected the address of a host"#,
    ),
    (
        r#"track_interfaces = ["ha0", "lan/0", "ha0"]"#,
        r#"r.toml:4:28: vrrp.track_interfaces[1]: "lan/0" is no interface name: expected 1 to 15 letters, digits and signs without `/`, `:`, quotes and what else configuration files give a meaning
r.toml:4:37: vrrp.track_interfaces[2]: ha0 is vrrp.track_interfaces[0] too: expected each interface once"#,
    ),
    (
        r#"authentication = { type = "PASS", secret_file = "/s" }"#,
        r#"r.toml:4:18: vrrp.authentication: is for version 2, keepalived ignores it in version 3: expected version = 2 or no authentication"#,
    ),
    (
        r#"version = 2
authentication = { type = "MD5", secret_file = "s" }"#,
        r#"r.toml:5:27: vrrp.authentication.type: expected "PASS" or "AH", found "MD5"
r.toml:5:48: vrrp.authentication.secret_file: "s" is no path to use: expected an absolute one without `..`"#,
    ),
    (
        r#"version = 2
authentication = { type = "AH", password = "x" }"#,
        r#"r.toml:5:18: vrrp.authentication.secret_file: is missing: expected a string
r.toml:5:33: vrrp.authentication.password: is unknown: expected one of secret_file, type"#,
    ),
    (
        r#"[[address]]
interface = "lan0""#,
        r#"r.toml:4:1: address[0].address: is missing: expected a string"#,
    ),
    (
        r#"[[address]]
interface = "lan0"
address = "10.0.0.1/24"
[[address]]
interface = "wan0"
address = "10.0.0.1/32""#,
        r#"r.toml:9:11: address[1].address: 10.0.0.1 is address[0].address too, and this one would be ignored: expected each address once"#,
    ),
    (
        r#"addresses = ["10.0.0.1/24"]
[[address]]
interface = "lan0"
address = "10.0.0.1/24""#,
        r#"r.toml:7:11: address[0].address: 10.0.0.1 is vrrp.addresses[0] too, and this one would be ignored: expected each address once"#,
    ),
    (
        r#"[[address]]
interface = "lan0"
address = "10.0.0.0/24""#,
        r#"r.toml:6:11: address[0].address: 10.0.0.0/24 is the address of its network: expected the address of a host"#,
    ),
    (
        r#"[[address]]
interface = "lan0"
address = "fe80::1/64"
scope = "global""#,
        r#"r.toml:7:9: address[0].scope: fe80::1/64 is link-local: expected "link""#,
    ),
    (
        r#"[[address]]
interface = "lan0"
address = "10.0.0.1/24"
scope = "site""#,
        r#"r.toml:7:9: address[0].scope: expected "link" or "global", found "site""#,
    ),
    (
        r#"[address]
interface = "lan0"
address = "10.0.0.1/24""#,
        r#"r.toml:4:1: address: expected an array, found a table"#,
    ),
    (
        r#"[[route]]
to = "10.1.0.0/16""#,
        r#"r.toml:4:1: route[0]: leads nowhere: expected via, interface, or both"#,
    ),
    (
        r#"[[route]]
to = "10.1.2.0/16"
via = "10.0.0.254""#,
        r#"r.toml:5:6: route[0].to: 10.1.2.0/16 is within a network: expected 10.1.0.0/16"#,
    ),
    (
        r#"[[route]]
to = "default"
interface = "wan0""#,
        r#"r.toml:5:6: route[0].to: default may be IPv4 or IPv6 without a next hop: expected "0.0.0.0/0" or "::/0""#,
    ),
    (
        r#"[[route]]
to = "default"
via = "fe80::1""#,
        r#"r.toml:6:7: route[0].via: fe80::1 is link-local: expected an interface with it"#,
    ),
    (
        r#"[[route]]
to = "10.1.0.0/16"
via = "2001:db8::1""#,
        r#"r.toml:6:7: route[0].via: 2001:db8::1 leads to no 10.1.0.0/16: expected an address of its family"#,
    ),
    (
        r#"[[route]]
to = "10.1.0.0/16"
via = "gateway""#,
        r#"r.toml:6:7: route[0].via: "gateway" is no next hop: expected an address like 192.0.2.1"#,
    ),
    (
        r#"[[route]]
to = "10.1.0.0/16"
via = "10.0.0.254"
scope = "link""#,
        r#"r.toml:7:9: route[0].scope: "link" is for routes without a next hop: expected "global""#,
    ),
    (
        r#"[[address]]
interface = "wan0"
address = "198.51.100.10/24"
[[route]]
to = "default"
via = "192.0.2.1"
interface = "wan0""#,
        r#"r.toml:9:7: route[0].via: 192.0.2.1 is on no subnet of wan0 (198.51.100.0/24): expected one that is, or an on-link route to it"#,
    ),
    (
        r#"[[address]]
interface = "lan0"
address = "10.0.0.1/24"
[[route]]
to = "10.1.0.0/16"
via = "10.0.1.254"
[[route]]
to = "10.1.0.0/16"
via = "169.254.0.9"
[[route]]
to = "10.1.0.0/16"
via = "169.254.0.9""#,
        r#"r.toml:9:7: route[0].via: 10.0.1.254 is on no subnet (10.0.0.0/24): expected one that is, or an on-link route to it
r.toml:13:1: route[2]: is route[1] once more: expected each route once"#,
    ),
    (
        r#"[radvd]"#,
        r#"r.toml:4:1: radvd.interface: is missing: expected an array"#,
    ),
    (
        r#"[radvd]
user = "radvd;"
interface = []"#,
        r#"r.toml:5:8: radvd.user: "radvd;" is no user: expected at most 32 letters, digits, `-`, `_` or `.`, beginning with none of `-` and `.`
r.toml:6:13: radvd.interface: is empty: expected a table [[radvd.interface]]"#,
    ),
    (
        r#"[[radvd.interface]]
interface = "lan0"
max_interval = "3s""#,
        r#"r.toml:6:16: radvd.interface[0].max_interval: "3s" is out of range: expected 4s to 1800s"#,
    ),
    (
        r#"[[radvd.interface]]
interface = "lan0"
max_interval = "30s"
min_interval = "23s""#,
        r#"r.toml:7:16: radvd.interface[0].min_interval: "23s" is out of range: expected 3s to 22s"#,
    ),
    (
        r#"[[radvd.interface]]
interface = "lan0"
mtu = 1000
prefixes = ["2001:db8::1/64", "10.0.0.0/24", "fe80::/64"]"#,
        r#"r.toml:6:7: radvd.interface[0].mtu: 1000 is out of range: expected 1280 to 65535
r.toml:7:13: radvd.interface[0].prefixes[0]: 2001:db8::1/64 is within a network: expected 2001:db8::/64
r.toml:7:31: radvd.interface[0].prefixes[1]: 10.0.0.0/24 is IPv4: expected an IPv6 prefix
r.toml:7:46: radvd.interface[0].prefixes[2]: fe80::/64 is nothing to make addresses of: expected a unicast prefix"#,
    ),
    (
        r#"[[radvd.interface]]
interface = "lan0"
name_servers = ["::1:1", "::1:2", "::1:3", "::1:4", "10.0.0.1"]"#,
        r#"r.toml:6:16: radvd.interface[0].name_servers: are 5: expected at most 4
r.toml:6:53: radvd.interface[0].name_servers[4]: "10.0.0.1" is no name server: expected an IPv6 address"#,
    ),
    (
        r#"[[radvd.interface]]
interface = "lan0"
[[radvd.interface]]
interface = "lan0""#,
        r#"r.toml:7:13: radvd.interface[1].interface: lan0 is radvd.interface[0].interface too: expected each interface once"#,
    ),
    (
        r#"[conntrackd]"#,
        r#"r.toml:4:1: conntrackd: has no address to speak from: expected an IPv4 one in vrrp.addresses"#,
    ),
    (
        r#"addresses = ["10.9.0.2/24"]
[conntrackd]
multicast_address = "10.9.0.2"
group = 65300
hash_size = 0"#,
        r#"r.toml:6:21: conntrackd.multicast_address: "10.9.0.2" is no multicast address: expected one like 225.0.0.50
r.toml:7:9: conntrackd.group: 65300 is out of range: expected 1 to 65280
r.toml:8:13: conntrackd.hash_size: 0 is out of range: expected 1 to 4294967295"#,
    ),
    (
        r#"[[hook]]
name = "a b"
program = ["/bin/true"]"#,
        r#"r.toml:5:8: hook[0].name: "a b" is no name: expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit"#,
    ),
    (
        r#"[[hook]]
name = "a""#,
        r#"r.toml:4:1: hook[0]: is told in no way or in several: expected exactly one of program, socket and neutron_socket"#,
    ),
    (
        r#"[[hook]]
name = "a"
program = ["/bin/true"]
socket = "/s""#,
        r#"r.toml:4:1: hook[0]: is told in no way or in several: expected exactly one of program, socket and neutron_socket"#,
    ),
    (
        r#"[[hook]]
name = "a"
program = []"#,
        r#"r.toml:6:11: hook[0].program: is empty: expected the absolute path of a program"#,
    ),
    (
        r#"[[hook]]
name = "a"
program = ["notify.sh"]
timeout = 0"#,
        r#"r.toml:6:12: hook[0].program[0]: "notify.sh" is no path to use: expected an absolute one without `..`
r.toml:7:11: hook[0].timeout: 0 is out of range: expected 1ms to 86400s"#,
    ),
    (
        r#"[[hook]]
name = "a"
socket = "/run/../s"
[[hook]]
name = "a"
neutron_socket = "/s""#,
        r#"r.toml:6:10: hook[0].socket: "/run/../s" is no path to use: expected an absolute one without `..`
r.toml:8:8: hook[1].name: a is hook[0].name too: expected a name of its own"#,
    ),
    (
        r#"[[hook]]
name = "a"
program = "/bin/true""#,
        r#"r.toml:6:11: hook[0].program: expected an array, found "/bin/true""#,
    ),
    (
        r#"[[hook]]
name = "a"
program = ["/bin/true"]
settle = "2 days""#,
        r#"r.toml:7:10: hook[0].settle: "2 days" is no time: expected one like "2s" or "500ms""#,
    ),
    (
        r#"[[child]]
name = "radvd"
command = ["/bin/true"]
run = "always""#,
        r#"r.toml:5:8: child[0].name: radvd is the name of what keepfast runs itself: expected another"#,
    ),
    (
        r#"[[child]]
name = "../a"
command = ["/bin/true", "\u0000"]
run = "backup""#,
        r#"r.toml:5:8: child[0].name: "../a" is no name: expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit
r.toml:6:25: child[0].command[1]: has a NUL: expected text without
r.toml:7:7: child[0].run: expected "primary" or "always", found "backup""#,
    ),
    (
        r#"[[child]]
name = "a"
command = ["/bin/a"]
run = "always"
[[child]]
name = "a"
command = ["/bin/b"]
run = "primary"
stop_timeout = """#,
        r#"r.toml:9:8: child[1].name: a is child[0].name too: expected a name of its own
r.toml:12:16: child[1].stop_timeout: "" is no time: expected one like "2s" or "500ms""#,
    ),
    (
        r#"[fast_path]
mode = "on"
interval = "249us"
multiplier = 2
liveness = "router"
solicit_interval = "4ms"
witness = "no"
gateway_interval = "1001ms"
gateway_multiplier = 101
speed = 1"#,
        r#"r.toml:5:8: fast_path.mode: expected "off" or "shadow" or "armed", found "on"
r.toml:6:12: fast_path.interval: "249us" is out of range: expected 250us to 1s
r.toml:7:14: fast_path.multiplier: 2 is out of range: expected 3 to 100
r.toml:8:12: fast_path.liveness: expected "interface" or "host", found "router"
r.toml:9:20: fast_path.solicit_interval: "4ms" is out of range: expected 5ms to 1s
r.toml:10:11: fast_path.witness: expected true or false, found "no"
r.toml:11:20: fast_path.gateway_interval: "1001ms" is out of range: expected 5ms to 1s
r.toml:12:22: fast_path.gateway_multiplier: 101 is out of range: expected 3 to 100
r.toml:13:1: fast_path.speed: is unknown: expected one of gateway_interval, gateway_multiplier, interval, liveness, mode, multiplier, solicit_interval, witness"#,
    ),
    (
        r#"[fast_path]
interval = "2s"
multiplier = 256
solicit_interval = 2
gateway_multiplier = -1"#,
        r#"r.toml:5:12: fast_path.interval: "2s" is out of range: expected 250us to 1s
r.toml:6:14: fast_path.multiplier: 256 is out of range: expected 3 to 100
r.toml:7:20: fast_path.solicit_interval: 2 is out of range: expected 5ms to 1s
r.toml:8:22: fast_path.gateway_multiplier: -1 is out of range: expected 3 to 100"#,
    ),
    (
        r#"authentication = "hunter2""#,
        r#"r.toml:4:18: vrrp.authentication: expected a table, found a string"#,
    ),
    (
        r#"[[hook]]
name = "a"
socket = "/run/a-path-that-is-longer-than-any-address-of-a-unix-socket-can-be-in-the-kernel/however-little-that-is/socket""#,
        r#"r.toml:6:10: hook[0].socket: is 111 bytes long: expected at most 107, as for every unix socket"#,
    ),
];

fn check(text: &str, expected: &str) {
    match parse(text, "r.toml", Some("r")) {
        Ok(router) => panic!("{text}\nis {router:?}"),
        Err(problems) => assert_eq!(problems.to_string(), expected, "of\n{text}"),
    }
}

#[test]
fn everything_wrong_is_named_with_its_place_and_what_was_expected() {
    for (text, expected) in WHOLE {
        check(text, expected);
    }
    for (text, expected) in AFTER {
        check(&format!("{BEGINNING}{text}\n"), expected);
    }
}

#[test]
fn text_without_a_file_name_must_say_its_id() {
    let problems = parse(BEGINNING, "<stdin>", None).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "<stdin>:1:1: id: is missing: expected one, for there is no file name to take it from"
    );
}

#[test]
fn file_names_that_are_no_ids_are_told() {
    let problems = parse(BEGINNING, "my router.toml", Some("my router")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "my router.toml:1:1: id: is taken from the name of the file: \"my router\" is no router \
         id: expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit"
    );
}

#[test]
fn too_much_is_not_read_and_not_told() {
    let long = "#".repeat(LONGEST + 1);
    let problems = parse(&long, "r.toml", Some("r")).unwrap_err();
    let expected = "r.toml: is 1048577 bytes long: expected at most 1048576";
    assert_eq!(problems.to_string(), expected);

    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(parse(&deep, "r.toml", Some("r")).is_err());

    let many: String = (0..1000).map(|number| format!("k{number} = 1\n")).collect();
    let problems = parse(&many, "r.toml", Some("r")).unwrap_err();
    assert_eq!(problems.iter().count(), 100);
}
