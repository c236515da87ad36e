//! Watching directories: where routers are declared, and where network namespaces
//! have their names.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Directories that are watched.
pub(super) struct Watches {
    inotify: AsyncFd<OwnedFd>,
    declarations: Option<i32>,
    namespaces: Option<i32>,
}

/// Which of the directories have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) declarations: bool,
    pub(super) namespaces: bool,
}

impl Watches {
    /// Watches nothing yet.
    pub(super) fn new() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .context("watch directories")?;
        // SAFETY: an `OwnedFd` owns its descriptor, one and the same for as long as it
        // lives, and it lives in what is returned.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }
            .context("watch directories")?;
        Ok(Self {
            inotify,
            declarations: None,
            namespaces: None,
        })
    }

    /// Watches the directory where routers are declared, if it is there; whether it
    /// was not watched before.
    pub(super) fn watch_declarations(&mut self, path: &Path) -> bool {
        // Without IN_CREATE: a file that is written in place is whole when it is closed.
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::MOVE;
        watch(&self.inotify, path, flags, &mut self.declarations)
    }

    /// Watches the directory of namespaces, if it is there; whether it was not
    /// watched before.
    pub(super) fn watch_namespaces(&mut self, path: &Path) -> bool {
        watch(
            &self.inotify,
            path,
            WatchFlags::CREATE,
            &mut self.namespaces,
        )
    }

    /// Waits until something changes.
    pub(super) async fn next(&mut self) -> Result<Changed> {
        let mut guard = self.inotify.readable().await.context("watch directories")?;
        let mut changed = Changed::default();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(guard.get_inner(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error).context("watch directories"),
            };
            // Lost events may have been of either.
            let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let gone = event.events().contains(ReadFlags::IGNORED);
            for (watch, changed) in [
                (&mut self.declarations, &mut changed.declarations),
                (&mut self.namespaces, &mut changed.namespaces),
            ] {
                let own = *watch == Some(event.wd());
                *changed |= lost || own;
                if own && gone {
                    *watch = None;
                }
            }
        }
        guard.clear_ready();
        Ok(changed)
    }
}

fn watch(
    inotify: &AsyncFd<OwnedFd>,
    path: &Path,
    flags: WatchFlags,
    watch: &mut Option<i32>,
) -> bool {
    if watch.is_some() {
        return false;
    }
    let always =
        WatchFlags::DELETE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
    // Where it is not there it is looked for again at the next tick.
    *watch = inotify::add_watch(inotify.get_ref(), path, flags | always).ok();
    watch.is_some()
}
