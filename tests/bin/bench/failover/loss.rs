//! What is done to the primary, and undone.

use crate::cluster::{Cluster, LIMIT, ROUTER};
use anyhow::{Context, Result};
use lab::wait;
use nix::sys::signal::{Signal, kill};

/// How the primary is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// Its host's power is cut.
    Power,
    /// Its keepalived is killed. The agent starts another one.
    Killed,
    /// Its keepalived is stopped. The agent kills it and starts another one.
    Stopped,
    /// Its host no longer reaches the gateway.
    Gateway,
    /// It is told to go: drained with the fast path, deleted without, for keepalived alone has
    /// no other way that leaves it running.
    Drained,
}

impl Loss {
    /// Has the member `primary` of the cluster lost.
    pub(crate) fn strike(self, cluster: &Cluster, primary: usize, armed: bool) -> Result<()> {
        let (member, host) = cluster.at(primary)?;
        match self {
            Self::Power => host.cut(),
            Self::Gateway => host.outer.block(),
            Self::Killed => member.managed()?.0.crash_keepalived(ROUTER),
            Self::Stopped => {
                let [parent, child] = member.managed()?.0.keepalived(ROUTER)?;
                for pid in [child, parent] {
                    kill(pid, Signal::SIGSTOP).with_context(|| format!("stop {pid}"))?;
                }
                Ok(())
            }
            Self::Drained if armed => {
                let daemon = member.managed()?.0;
                daemon.ask(&["failover", ROUTER]).map(drop)
            }
            Self::Drained => member.managed()?.0.delete(ROUTER),
        }
    }

    /// Undoes it. The one that was lost becomes a backup, or the primary again if it insists.
    pub(crate) fn mend(self, cluster: &Cluster, lost: usize, armed: bool) -> Result<()> {
        let (member, host) = cluster.at(lost)?;
        match self {
            Self::Power => host.restore(),
            Self::Gateway => host.outer.unblock(),
            Self::Killed | Self::Stopped => Ok(()),
            Self::Drained if armed => Ok(()),
            Self::Drained => {
                let (daemon, declaration) = member.managed()?;
                wait::until("the end of the router", LIMIT, || {
                    match daemon.file(ROUTER, "").exists() {
                        true => Err("its directory".to_owned()),
                        false => Ok(()),
                    }
                })?;
                declaration.apply(daemon)
            }
        }
    }
}
