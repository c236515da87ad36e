//! A port of a bridge ready to be shut: by one message, in a few tens of microseconds, where to
//! set an interface down takes the kernel up to a millisecond.

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::{AsRawFd, OwnedFd};

const RTM_SETLINK: u16 = 19;
/// A request, and an answer to it.
const FLAGS: u16 = 1 | 4;
const AF_BRIDGE: u8 = 7;
const IFLA_PROTINFO: u16 = 12 | 0x8000;
const IFLA_BRPORT_STATE: u16 = 1;
/// Nothing is forwarded to it or from it, and nothing learnt.
const DISABLED: u8 = 0;
const NLMSG_ERROR: u16 = 2;

/// A port that can be shut. It opens again when its interface is set up after it was down.
#[derive(Debug)]
pub struct Gate {
    /// Of the bridge's namespace.
    socket: OwnedFd,
    interface: String,
    index: u32,
}

impl Gate {
    /// For a bridge port of the calling thread's namespace.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn new(interface: &str) -> Result<Self> {
        let index = if_nametoindex(interface).with_context(|| format!("find {interface}"))?;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .context("open a netlink socket")?;
        Ok(Self {
            socket,
            interface: interface.to_owned(),
            index,
        })
    }

    /// Shuts it: nothing passes, though both ends are up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn shut(&self) -> Result<()> {
        let mut body = vec![AF_BRIDGE, 0, 0, 0];
        body.extend(self.index.to_ne_bytes());
        body.extend([0; 8]);
        body.extend(12u16.to_ne_bytes());
        body.extend(IFLA_PROTINFO.to_ne_bytes());
        body.extend(5u16.to_ne_bytes());
        body.extend(IFLA_BRPORT_STATE.to_ne_bytes());
        body.extend([DISABLED, 0, 0, 0]);
        let length = u32::try_from(16 + body.len())?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(RTM_SETLINK.to_ne_bytes());
        message.extend(FLAGS.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        let kernel = NetlinkAddr::new(0, 0);
        let fd = self.socket.as_raw_fd();
        sendto(fd, &message, &kernel, MsgFlags::empty()).context("ask the kernel")?;
        let mut answer = [0; 512];
        let length = recv(fd, &mut answer, MsgFlags::empty()).context("hear the kernel")?;
        let kind = answer.get(4..6).and_then(|it| it.try_into().ok());
        let code = answer.get(16..20).and_then(|it| it.try_into().ok());
        let (kind, code) = (kind.context("no kind")?, code.context("no code")?);
        ensure!(
            length >= 20 && u16::from_ne_bytes(kind) == NLMSG_ERROR,
            "the kernel says something else"
        );
        let code = i32::from_ne_bytes(code);
        ensure!(code == 0, "shut {}: error {code}", self.interface);
        Ok(())
    }
}
