//! The format of a router file: what is read, written and described by the schema.
//!
//! Text is text here and numbers are numbers; what they mean is for [`super::build`]
//! to find out, which can say of every one of them what is wrong. So everything may
//! be missing here, and `#[schemars(required)]` says what may not.
//!
//! The comments are for operators: the schema shows them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{AuthenticationKind, Mode, Profile, Protection, RunOn, Sharing};

/// A router of keepfast: one TOML file, named `<id>.toml`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keepfast router", extend("oneOf" = [{"required": ["vrrp"]}, {"required": ["attached"]}]))]
pub(super) struct Form {
    /// Its name: up to 64 letters, digits, `-`, `_` and `.`. By default the name of
    /// the file without `.toml`; in a directory of routers, nothing else.
    pub(super) id: Option<String>,
    /// The network namespace that it is in, as `ip netns` knows it. By default
    /// `qrouter-<id>`.
    pub(super) namespace: Option<String>,
    /// Whether it is in the namespace that the agent runs in. By default no.
    pub(super) host: Option<bool>,
    /// Whether keepfast makes the namespace where it is missing, and removes it with
    /// the router. By default no: it must be there.
    pub(super) create_namespace: Option<bool>,
    /// In whose style keepalived is configured. By default `plain`.
    pub(super) profile: Option<Profile>,
    /// How often the primary asks its gateways whether they live, at least "1s"; for
    /// `neutron` in whole seconds. By default never.
    pub(super) gateway_check: Option<Interval>,
    /// When addresses are announced again after the first time, in whole seconds. By
    /// default "60s".
    pub(super) announce_again: Option<Interval>,
    /// The VRRP instance of a router whose keepalived is keepfast's.
    pub(super) vrrp: Option<VrrpForm>,
    /// Whose keepalived it is, if not keepfast's.
    pub(super) attached: Option<AttachedForm>,
    /// How a backup takes over within milliseconds of the end of its primary. By
    /// default not: it is left to keepalived.
    pub(super) fast_path: Option<FastPathForm>,
    /// Which received adverts cannot be legitimate, and what becomes of them. By default
    /// they are not looked for; of an attached router with `unicast_peer` they are
    /// counted, and these are its peers.
    pub(super) protect: Option<ProtectForm>,
    /// Virtual addresses: held by the primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) address: Vec<AddressForm>,
    /// Virtual routes: there on the primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) route: Vec<RouteForm>,
    /// Router advertisements of the primary, by radvd.
    pub(super) radvd: Option<RadvdForm>,
    /// Synchronisation of connections, by conntrackd.
    pub(super) conntrackd: Option<ConntrackdForm>,
    /// Who is told of each state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hook: Vec<HookForm>,
    /// Programs that run beside the router.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) child: Vec<ChildForm>,
}

/// A VRRP instance.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VrrpForm {
    /// The interface that adverts are exchanged on.
    #[schemars(required)]
    pub(super) interface: Option<String>,
    /// This host's own addresses there, with prefix lengths: added where missing,
    /// left in place. By default none.
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    /// The virtual router identifier, the same on each host of the router.
    #[schemars(required, range(min = 1, max = 255))]
    pub(super) vrid: Option<i64>,
    /// The rank among the hosts of the router. By default 100, for `neutron` 50.
    #[schemars(range(min = 1, max = 254))]
    pub(super) priority: Option<i64>,
    /// The time between two adverts: whole seconds from "1s" to "255s" for version 2,
    /// whole hundredths from "10ms" to "40.95s" for version 3. By default "1s", for
    /// `neutron` "2s".
    pub(super) advert_interval: Option<Interval>,
    /// The version of VRRP. By default 3, for `neutron` 2 and nothing else.
    #[schemars(range(min = 2, max = 3))]
    pub(super) version: Option<i64>,
    /// Whether a better-ranked backup takes over from a living primary. By default
    /// no.
    pub(super) preempt: Option<bool>,
    /// The address that is advertised and whose presence means "primary". By default
    /// 169.254.0.<vrid>/24, or in the first /24 that the subnets of `addresses` leave
    /// free. Where `addresses` are all IPv6 it must be given: a link-local one.
    pub(super) primary_address: Option<String>,
    /// Interfaces whose loss is a fault. By default `interface`.
    pub(super) track_interfaces: Option<Vec<String>>,
    /// Authentication, of version 2 only. By default none.
    pub(super) authentication: Option<AuthenticationForm>,
}

/// Authentication of VRRP version 2.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthenticationForm {
    /// How adverts are authenticated.
    #[schemars(required)]
    pub(super) r#type: Option<AuthenticationKind>,
    /// The absolute path of the file that holds the password, one line of up to eight
    /// characters: of root, and for nobody else to read.
    #[schemars(required)]
    pub(super) secret_file: Option<String>,
}

/// A keepalived that belongs to somebody else: keepfast only looks.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachedForm {
    /// The absolute path of its configuration file.
    #[schemars(required)]
    pub(super) config_file: Option<String>,
    /// Which `vrrp_instance` of it.
    #[schemars(required)]
    pub(super) instance: Option<String>,
    /// The absolute path of the file with its process id. Without it the end of
    /// keepalived is not noticed, only what follows from it.
    pub(super) pid_file: Option<String>,
}

/// How a backup takes over within milliseconds of the end of its primary.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FastPathForm {
    /// What it does. By default `shadow`.
    pub(super) mode: Option<Mode>,
    /// The time between two probes of the primary, "250us" to "1s". By default "1ms".
    pub(super) interval: Option<Interval>,
    /// How many probes without an answer are a silence. By default it follows the
    /// worst delay of an answer seen.
    #[schemars(range(min = 3, max = 100))]
    pub(super) multiplier: Option<i64>,
    /// Which routers share a session of probes. By default `interface`.
    pub(super) liveness: Option<Sharing>,
    /// The time between two questions to the keepalived of the primary where probes
    /// are not answered, "5ms" to "1s". By default "10ms".
    pub(super) solicit_interval: Option<Interval>,
    /// Whether it takes over only if its gateway answers, where there is one. By
    /// default yes.
    pub(super) witness: Option<bool>,
    /// The time between two questions of primary and backups to the gateways, "5ms"
    /// to "1s"; only where keepalived is keepfast's. By default they are not asked so
    /// often.
    pub(super) gateway_interval: Option<Interval>,
    /// How many of these without an answer are a silence. By default 3.
    #[schemars(range(min = 3, max = 100))]
    pub(super) gateway_multiplier: Option<i64>,
}

/// Which received adverts cannot be legitimate, and what becomes of them.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectForm {
    /// `observe` counts them, `enforce` drops them, too. By default `observe`.
    pub(super) mode: Option<Protection>,
    /// The addresses that the other hosts of the router advertise from. By default any
    /// can be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub(super) peers: Vec<String>,
    /// The address from which a host advertises with priority 255, as the owner of the
    /// addresses does. By default one of the addresses that are advertised.
    pub(super) owner: Option<String>,
}

/// A virtual address.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressForm {
    /// The interface that it is on.
    #[schemars(required)]
    pub(super) interface: Option<String>,
    /// The address with its prefix length.
    #[schemars(required)]
    pub(super) address: Option<String>,
    /// Where it is valid. By default `global`; `link` for an IPv6 link-local address.
    pub(super) scope: Option<Scope>,
}

/// A virtual route.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteForm {
    /// The destination: a network with its prefix length, a host's address, or
    /// `default` for the one of the next hop's family.
    #[schemars(required)]
    pub(super) to: Option<String>,
    /// The next hop. Without it, the destination is on the link of `interface`.
    pub(super) via: Option<String>,
    /// The interface. Without it, the kernel finds it by the next hop.
    pub(super) interface: Option<String>,
    /// Where it is valid. By default `link` without a next hop, else `global`.
    pub(super) scope: Option<Scope>,
}

/// Where an address or a route is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// On this link only.
    Link,
    /// Everywhere.
    Global,
}

/// Router advertisements.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RadvdForm {
    /// The user that radvd runs as. By default radvd's own choice.
    pub(super) user: Option<String>,
    /// Where, and what.
    #[schemars(required, length(min = 1))]
    pub(super) interface: Option<Vec<RadvdInterfaceForm>>,
}

/// Router advertisements on one interface.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RadvdInterfaceForm {
    /// The interface.
    #[schemars(required)]
    pub(super) interface: Option<String>,
    /// The least time between two unsolicited advertisements, whole seconds from "3s"
    /// to three quarters of `max_interval`. By default "30s", or those three quarters
    /// where they are less.
    pub(super) min_interval: Option<Interval>,
    /// The most, whole seconds from "4s" to "1800s". By default "100s".
    pub(super) max_interval: Option<Interval>,
    /// The M flag: addresses by DHCPv6. By default no.
    pub(super) managed: Option<bool>,
    /// The O flag: other configuration by DHCPv6. By default no.
    pub(super) other: Option<bool>,
    /// The MTU of the link. By default not told.
    #[schemars(range(min = 1280, max = 65535))]
    pub(super) mtu: Option<i64>,
    /// IPv6 prefixes for address configuration (SLAAC). By default none.
    #[serde(default)]
    pub(super) prefixes: Vec<String>,
    /// IPv6 addresses of recursive name servers. By default none.
    #[serde(default)]
    #[schemars(length(max = 4))]
    pub(super) name_servers: Vec<String>,
}

/// Synchronisation of connections; the defaults are those of Neutron.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConntrackdForm {
    /// `HashSize`. By default 32768.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) hash_size: Option<i64>,
    /// `HashLimit`. By default 131072.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) hash_limit: Option<i64>,
    /// `Backlog` of the control socket. By default 20.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) unix_backlog: Option<i64>,
    /// `SocketBufferSize` in bytes. By default 262142.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) socket_buffer_size: Option<i64>,
    /// `SocketBufferSizeMaxGrown` in bytes. By default 655355.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) socket_buffer_size_max: Option<i64>,
    /// `IPv4_address` of the multicast channel. By default 225.0.0.50.
    pub(super) multicast_address: Option<String>,
    /// `Group`, a UDP port, before the VRID is added to it. By default 3780.
    #[schemars(range(min = 1, max = 65280))]
    pub(super) group: Option<i64>,
    /// `SndSocketBuffer` in bytes. By default 24985600.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) send_buffer: Option<i64>,
    /// `RcvSocketBuffer` in bytes. By default 24985600.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) receive_buffer: Option<i64>,
}

/// Who is told of each state: exactly one of `program`, `socket` and
/// `neutron_socket`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["program"]}, {"required": ["socket"]}, {"required": ["neutron_socket"]}
]))]
pub(super) struct HookForm {
    /// Its name in logs, unique in its router.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// A program: its absolute path and arguments.
    #[schemars(length(min = 1))]
    pub(super) program: Option<Vec<String>>,
    /// The absolute path of a unix stream socket that takes one JSON line per
    /// connection.
    pub(super) socket: Option<String>,
    /// The absolute path of the unix stream socket of a Neutron agent.
    pub(super) neutron_socket: Option<String>,
    /// How long one delivery may take. By default "5s".
    pub(super) timeout: Option<Interval>,
    /// How long `primary` must last before it is told. By default "0s": told at once.
    pub(super) settle: Option<Interval>,
}

/// A program that runs beside the router.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildForm {
    /// Its name in logs and of its pid file, unique in its router.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// Its absolute path and arguments; it must stay in the foreground.
    #[schemars(required, length(min = 1))]
    pub(super) command: Option<Vec<String>>,
    /// When it runs.
    #[schemars(required)]
    pub(super) run: Option<RunOn>,
    /// How long it has between SIGTERM and SIGKILL. By default "5s".
    pub(super) stop_timeout: Option<Interval>,
}

/// A time: text like "2s", "500ms" or "1m 30s", or a number of seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Interval {
    /// A number of seconds.
    Seconds(i64),
    /// Number and unit.
    Text(String),
}

impl Interval {
    /// As it is written in messages and files: in the greatest unit that divides it.
    pub(super) fn show(duration: Duration) -> String {
        let nanoseconds = duration.as_nanos();
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        let unit = units
            .iter()
            .find(|(unit, _)| nanoseconds.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or(&(1, "ns"));
        format!("{}{name}", nanoseconds / unit)
    }
}

impl From<Duration> for Interval {
    fn from(duration: Duration) -> Self {
        Self::Text(Self::show(duration))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "examples": ["2s", "500ms", "1m 30s", 2],
        })
    }
}
