//! Who is at the other end of a connection, and whether they may speak.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc::{self, gid_t, socklen_t};
use nix::unistd::Uid;

/// Who was at the other end when it connected, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process; `None` where it is in no namespace of ours.
    pub pid: Option<i32>,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}, gid {}", self.uid, self.gid)?;
        match self.pid {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

impl Peer {
    /// Whether this may ask for anything: root, the daemon's own user, and members
    /// of `group`, which `groups` tells the other groups for.
    pub(super) fn may_ask(
        self,
        group: Option<gid_t>,
        groups: impl FnOnce() -> io::Result<Vec<gid_t>>,
    ) -> io::Result<bool> {
        if self.uid == 0 || self.uid == Uid::effective().as_raw() {
            return Ok(true);
        }
        match group {
            Some(group) => Ok(self.gid == group || groups()?.contains(&group)),
            None => Ok(false),
        }
    }
}

/// The supplementary groups of whoever connected to `socket`, as they were then.
pub(super) fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<gid_t>> {
    /// What is enough for most.
    const FEW: usize = 64;
    let mut groups: Vec<gid_t> = vec![0; FEW];
    loop {
        let size = size_of_val(groups.as_slice());
        let mut length = socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to the vector, which has as
        // many, and then to `length`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_daemons_user_and_the_group_may_ask() {
        const GROUP: gid_t = 700;
        let own = Uid::effective().as_raw();
        let stranger = own + 4321;
        for (uid, gid, others, group, expected) in [
            (0, 0, vec![], None, true),
            (own, 1, vec![], None, true),
            (stranger, 0, vec![0], None, false),
            (stranger, GROUP, vec![], None, false),
            (stranger, GROUP, vec![], Some(GROUP), true),
            (stranger, 1, vec![5, GROUP], Some(GROUP), true),
            (stranger, 1, vec![5], Some(GROUP), false),
        ] {
            let peer = Peer {
                pid: None,
                uid,
                gid,
            };
            let may = peer.may_ask(group, || Ok(others.clone())).unwrap();
            assert_eq!(may, expected, "{peer}, {others:?}, {group:?}");
        }
    }

    #[test]
    fn groups_that_cannot_be_known_are_none_of_ours() {
        let peer = Peer {
            pid: Some(1),
            uid: Uid::effective().as_raw() + 4321,
            gid: 1,
        };
        let unknown = || Err(io::Error::from(io::ErrorKind::Unsupported));
        assert!(peer.may_ask(Some(700), unknown).is_err());
    }
}
