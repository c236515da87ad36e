//! A router as its operator declares it: one TOML file each.
//!
//! [`Router`] is the whole of it, already valid: whoever holds one need not check
//! it again. [`file`] reads it from text and says what is wrong by file, line and
//! field; [`conflicts`] compares routers with each other; [`schema`] describes the
//! format. [`directory`] and [`secret`] read the files of a host, and [`command`] is
//! how operators have theirs checked; all else neither needs a privilege nor looks at
//! the host.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod value;

mod form;

mod problem;

mod document;

mod shape;

mod build;

mod derived;

pub mod file;

pub mod render;

pub mod directory;

pub mod conflicts;

pub mod schema;

pub mod secret;

mod host;

pub mod command;

mod regular;

mod fast_path;

mod protect;

pub use fast_path::{FastPath, Mode, Sharing};
pub use problem::{Problem, Problems};
pub use protect::{Protect, Protection};
pub use value::{Cidr, InterfaceName, NamespaceName, RouterId, Vrid};

/// Where routers are declared, unless another directory is named.
pub const DEFAULT_DIRECTORY: &str = "/etc/keepfast/routers.d";

/// A router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Its name: of its files, its directory, its log lines.
    pub id: RouterId,
    /// Where it is.
    pub namespace: NamespaceChoice,
    /// Whose keepalived it is, and what that is told.
    pub keepalived: Keepalived,
    /// How it takes over before keepalived would by itself.
    pub fast_path: FastPath,
    /// Which received adverts are illegitimate; `None`: nothing is declared of that.
    pub protect: Option<Protect>,
    /// Who is told of its state.
    pub hooks: Vec<Hook>,
    /// Programs that run beside it.
    pub children: Vec<Child>,
}

/// The network namespace of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceChoice {
    /// The one that the agent runs in (`host = true`).
    Host,
    /// A named one, as `ip netns` knows it.
    Named {
        /// Its name; `qrouter-<id>` unless another is given.
        name: NamespaceName,
        /// Whether keepfast makes it where it is missing, and then removes it with the
        /// router; else it must be there.
        create: bool,
    },
}

/// Whose keepalived a router has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keepalived {
    /// keepfast's: configured, started, watched over and stopped by it.
    Managed(Box<Managed>),
    /// Somebody else's: keepfast only looks.
    Attached(Attached),
}

/// A keepalived that belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its configuration file.
    pub config_file: PathBuf,
    /// Which `vrrp_instance` of it.
    pub instance: String,
    /// The file with its process id; without one its end is not noticed, only
    /// what follows from it.
    pub pid_file: Option<PathBuf>,
}

/// All that a managed router needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// In whose style keepalived is configured.
    pub profile: Profile,
    /// The VRRP instance.
    pub vrrp: Vrrp,
    /// Virtual addresses besides [`Vrrp::primary_address`], in the order given.
    pub addresses: Vec<VirtualAddress>,
    /// Virtual routes, in the order given.
    pub routes: Vec<VirtualRoute>,
    /// How often the primary asks its gateways whether they live; `None`: never.
    /// At least a second.
    pub gateway_check: Option<Duration>,
    /// When addresses are announced again after the first time.
    pub announce_again: Duration,
    /// Router advertisements of the primary.
    pub radvd: Option<Radvd>,
    /// Synchronisation of connections.
    pub conntrackd: Option<Conntrackd>,
}

/// In whose style keepalived is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// keepfast's own: what keepalived does best.
    Plain,
    /// Byte for byte what OpenStack Neutron writes.
    Neutron,
}

/// A VRRP instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vrrp {
    /// The interface that adverts are exchanged on.
    pub interface: InterfaceName,
    /// This host's own addresses there, added where missing, left in place.
    pub addresses: Vec<Cidr>,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// 1 to 254 (255 would be the owner of the addresses, who never is a backup).
    pub priority: u8,
    /// Between two adverts. Whole seconds up to 255 s for version 2, whole
    /// hundredths up to 40.95 s for version 3.
    pub advert_interval: Duration,
    /// 2 or 3.
    pub version: u8,
    /// Whether a better-ranked backup takes over from a living primary.
    pub preempt: bool,
    /// The password of version 2, or none.
    pub authentication: Option<Authentication>,
    /// The address that is advertised and whose presence means "primary"; unless
    /// given, 169.254.0.`vrid`/24 for IPv4.
    pub primary_address: Cidr,
    /// Interfaces whose loss is a fault; unless given, [`Vrrp::interface`].
    pub track_interfaces: Vec<InterfaceName>,
}

/// Authentication of VRRP version 2 (RFC 3768 section 5.3.6, keepalived's own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// How.
    pub kind: AuthenticationKind,
    /// The file that holds the password: of root, and for nobody else to read.
    pub secret_file: PathBuf,
}

/// How adverts are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthenticationKind {
    /// A password in clear, of which keepalived uses eight characters.
    Pass,
    /// An authentication header (RFC 2402).
    Ah,
}

/// A virtual address: held by the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualAddress {
    /// On this interface.
    pub interface: InterfaceName,
    /// The address and its prefix length.
    pub address: Cidr,
    /// Whether it is valid on this link only (`scope link`); always so for an
    /// IPv6 link-local address.
    pub link_scope: bool,
}

/// A virtual route: there on the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualRoute {
    /// The destination; `0.0.0.0/0` or `::/0` for the default route.
    pub to: Cidr,
    /// The next hop; `None`: on the link.
    pub via: Option<IpAddr>,
    /// The interface; `None`: the kernel finds it by the next hop.
    pub interface: Option<InterfaceName>,
    /// Whether it is valid on this link only (`scope link`).
    pub link_scope: bool,
}

/// Router advertisements (radvd), by the primary only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Radvd {
    /// The user that radvd runs as; empty: radvd's own default.
    pub user: String,
    /// Where, and what.
    pub interfaces: Vec<RadvdInterface>,
}

/// Router advertisements on one interface (RFC 4861 section 6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RadvdInterface {
    /// The interface.
    pub interface: InterfaceName,
    /// The least time between two unsolicited advertisements, whole seconds.
    pub min_interval: Duration,
    /// The most, whole seconds.
    pub max_interval: Duration,
    /// The M flag: addresses by DHCPv6.
    pub managed: bool,
    /// The O flag: other configuration by DHCPv6.
    pub other: bool,
    /// The link's MTU; `None`: not told.
    pub mtu: Option<u16>,
    /// Prefixes for address configuration (SLAAC).
    pub prefixes: Vec<Cidr>,
    /// Recursive name servers (RFC 8106), at most four.
    pub name_servers: Vec<IpAddr>,
}

/// Synchronisation of connections (conntrackd); the fields are those of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conntrackd {
    /// `HashSize`.
    pub hash_size: u32,
    /// `HashLimit`.
    pub hash_limit: u32,
    /// `Backlog` of the control socket.
    pub unix_backlog: u32,
    /// `SocketBufferSize`, bytes.
    pub socket_buffer_size: u32,
    /// `SocketBufferSizeMaxGrown`, bytes.
    pub socket_buffer_size_max: u32,
    /// `IPv4_address` of the multicast channel.
    pub multicast_address: std::net::Ipv4Addr,
    /// `Group`: the UDP port, already with the VRID added.
    pub port: u16,
    /// `SndSocketBuffer`, bytes.
    pub send_buffer: u32,
    /// `RcvSocketBuffer`, bytes.
    pub receive_buffer: u32,
}

/// Who is told of each state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name in logs, unique in its router.
    pub name: String,
    /// How it is told.
    pub target: HookTarget,
    /// How long one delivery may take; then it has failed.
    pub timeout: Duration,
    /// How long `primary` must last before it is told; a primary that ends sooner
    /// is never told. 0: told at once.
    pub settle: Duration,
}

/// How a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookTarget {
    /// A program: absolute path and arguments.
    Program(Vec<String>),
    /// A unix stream socket that takes one JSON line per connection.
    Socket(PathBuf),
    /// The unix stream socket of a Neutron agent (`keepalived-state-change`).
    NeutronSocket(PathBuf),
}

/// A program that runs beside a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name in logs and of its pid file, unique in its router.
    pub name: String,
    /// Absolute path and arguments; it must stay in the foreground.
    pub command: Vec<String>,
    /// When it runs.
    pub run: RunOn,
    /// How long it has between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
}

/// When a child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunOn {
    /// While this host is the primary.
    Primary,
    /// Always.
    Always,
}
