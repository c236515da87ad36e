//! Where adverts go: one hub with a link to each of any number of namespaces.

use anyhow::{Context, Result, ensure};
use lab::link;
use lab::netns::Namespace;
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt::Write;
use std::fs;

/// The interface at the far end of each link: the same name and, as it happens to be the first
/// one in each namespace, the same index.
pub(crate) const INTERFACE: &str = "eth0";
/// The hub's end of the n-th link has this index plus n.
const FIRST_INDEX: usize = 1_001;

/// A hub and the namespaces it has links to; all removed when dropped.
pub(crate) struct Network {
    hub: Namespace,
    pub(crate) namespaces: Vec<Namespace>,
}

impl Network {
    /// Makes `count` namespaces and the links to them.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let hub = Namespace::new("hub")?;
        let namespaces: Vec<_> = (0..count)
            .map(|_| Namespace::new("watched"))
            .collect::<Result<_>>()?;
        // Without IPv6 neither end ever sends anything of its own.
        hub.run(|| disable_ipv6("default"))?;
        // The program's output has a time limit of its own.
        for (number, chunk) in namespaces.chunks(100).enumerate() {
            link::ip(&hub, &links(number * 100, chunk)?)?;
        }
        for namespace in &namespaces {
            namespace.run(|| {
                disable_ipv6(INTERFACE)?;
                link::raise(INTERFACE)
            })?;
        }
        Ok(Self { hub, namespaces })
    }

    /// A sender on all the hub's ends.
    pub(crate) fn sender(&self) -> Result<Sender> {
        self.hub.run(|| {
            // Of protocol 0: it receives nothing.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("open a socket")?;
            Ok(Sender(socket))
        })
    }
}

fn links(first: usize, namespaces: &[Namespace]) -> Result<String> {
    let mut lines = String::new();
    for (offset, namespace) in namespaces.iter().enumerate() {
        let number = first + offset;
        writeln!(
            lines,
            "link add l{number} index {} type veth peer name {INTERFACE} netns {}\n\
             link set l{number} up",
            FIRST_INDEX + number,
            namespace.name()
        )?;
    }
    Ok(lines)
}

fn disable_ipv6(scope: &str) -> Result<()> {
    let setting = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
    fs::write(&setting, "1").with_context(|| format!("write {setting}"))
}

/// Sends whole frames from the hub.
pub(crate) struct Sender(Socket);

impl Sender {
    /// Sends to the n-th namespace.
    pub(crate) fn send(&self, number: usize, frame: &[u8]) -> Result<()> {
        let sent = self
            .0
            .send_to(frame, &link_address(number)?)
            .with_context(|| format!("send to namespace {number}"))?;
        ensure!(sent == frame.len(), "sent {sent} of {} bytes", frame.len());
        Ok(())
    }
}

fn link_address(number: usize) -> Result<SockAddr> {
    // SAFETY: all zeroes is a valid sockaddr_ll, a structure of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = i32::try_from(FIRST_INDEX + number)?;
    // SAFETY: the storage is as large as the largest address; family and length are set.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}
