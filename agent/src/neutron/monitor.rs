//! The monitor's loop: whether the address is there comes from netlink, whether keepalived has
//! ended from the daemon, if there is one; the state goes into the state file, to conntrackd
//! and to the agent.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signalfd::SignalFd;

use crate::engine::{Nanos, Published};
use crate::netns;
use crate::report::clock::monotonic_ns;

use super::arguments::Arguments;
use super::conntrack::Sync;
use super::courier::{Courier, Progress};
use super::leader::{Leader, News};
use super::log::Log;
use super::memory::Clean;
use super::netlink::{Netlink, Received, Seen, Wanted};
use super::outbox::Outbox;
use super::place::Place;

/// Until what could not be done is tried again.
const AGAIN: Nanos = 1_000_000_000;

/// Waiting, and what is done meanwhile.
mod wait;

/// Monitors one router.
pub(super) struct Monitor<'a> {
    arguments: &'a Arguments,
    place: &'a Place,
    log: &'a Log,
    signals: SignalFd,
    leader: Leader,
    view: View,
    /// Whether this process is in the router's namespace.
    inside: bool,
    /// Whether the address is there.
    present: bool,
    /// Whether keepalived has ended, as far as a daemon says: its address means nothing then.
    ended: bool,
    state: Option<Published>,
    /// When the state file is to be written again that could not be.
    rewrite_at: Option<Nanos>,
    outbox: Outbox,
    courier: Courier,
    sync: Option<Sync>,
    /// What connections were last synchronised for.
    synced: Option<Published>,
    /// Whether it was logged that the daemon does not take the router.
    refused: bool,
    clean: Option<Clean>,
    /// When memory is to be given back.
    rest_at: Option<Nanos>,
}

/// Its own view of the address.
enum View {
    /// It cannot be had; tried again at a time.
    Blind(Nanos),
    Open(Netlink),
}

impl<'a> Monitor<'a> {
    pub(super) fn new(
        arguments: &'a Arguments,
        place: &'a Place,
        log: &'a Log,
        signals: SignalFd,
    ) -> Result<Self> {
        Ok(Self {
            arguments,
            place,
            log,
            signals,
            leader: Leader::new(arguments)?,
            view: View::Blind(0),
            inside: false,
            present: false,
            ended: false,
            state: None,
            rewrite_at: None,
            outbox: Outbox::new(),
            courier: Courier::new(&arguments.agent_socket, arguments.router.as_str()),
            sync: None,
            synced: None,
            refused: false,
            clean: None,
            rest_at: Some(monotonic_ns()?.saturating_add(wait::REST)),
        })
    }

    /// Monitors until SIGTERM.
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            let now = monotonic_ns()?;
            self.look(now);
            self.follow(now);
            self.rewrite(now);
            self.deliver(now);
            if self.wait(now)? {
                self.log.debug("ended by a signal");
                return Ok(());
            }
        }
    }

    /// Takes what netlink says.
    fn look(&mut self, now: Nanos) {
        match &mut self.view {
            View::Blind(at) if *at <= now => self.open(now),
            View::Blind(_) => {}
            View::Open(netlink) => {
                let received = netlink.receive();
                match received {
                    Ok(Received::Nothing) => return,
                    Ok(Received::Other) => {}
                    Ok(Received::Change(seen)) => self.take(now, seen == Seen::There, self.ended),
                    Ok(Received::Overrun) => {
                        self.log.info("netlink messages were lost: looking again");
                        self.open(now);
                    }
                    Err(error) => self.blind(now, &error),
                }
                self.look(now);
            }
        }
    }

    /// Subscribes, and lists.
    fn open(&mut self, now: Nanos) {
        match self.opened() {
            Ok((netlink, there)) => {
                self.view = View::Open(netlink);
                self.take(now, there, self.ended);
            }
            Err(error) => self.blind(now, &error),
        }
    }

    fn opened(&mut self) -> Result<(Netlink, bool)> {
        if !self.inside {
            let path = Path::new(netns::NAMED).join(self.arguments.namespace.as_str());
            let doing = || format!("enter network namespace {}", path.display());
            let file = File::open(&path).with_context(doing)?;
            setns(file, CloneFlags::CLONE_NEWNET).with_context(doing)?;
            self.inside = true;
        }
        let mut netlink = Netlink::open(Wanted {
            interface: self.arguments.interface.clone(),
            address: self.arguments.address,
        })?;
        let there = netlink.list()?;
        Ok((netlink, there))
    }

    /// What cannot be seen is not said to be there.
    fn blind(&mut self, now: Nanos, error: &anyhow::Error) {
        if self.state.is_none() || matches!(self.view, View::Open(_)) {
            self.log.error(&format!("{error:#}: trying again"));
        }
        self.view = View::Blind(now.saturating_add(AGAIN));
        if self.state.is_none() {
            self.take(now, false, self.ended);
        }
    }

    /// Takes what the daemon says.
    fn follow(&mut self, now: Nanos) {
        loop {
            match self.leader.go_on(now) {
                News::Nothing => return,
                News::Registered => {
                    self.log.info("looked after by keepfast");
                    self.refused = false;
                }
                News::Ended(ended) => {
                    if ended {
                        self.log.info("keepalived has ended");
                    }
                    self.take(now, self.present, ended);
                }
                News::Gone(error) => {
                    self.log
                        .info(&format!("keepfast is gone, going on alone: {error:#}"));
                    self.take(now, self.present, false);
                }
                News::Refused(error) => {
                    if !std::mem::replace(&mut self.refused, true) {
                        self.log
                            .info(&format!("not registered with keepfast: {error:#}"));
                    }
                    return;
                }
            }
        }
    }

    /// What is known is this: a transition, unless the state was what follows already.
    fn take(&mut self, now: Nanos, present: bool, ended: bool) {
        (self.present, self.ended) = (present, ended);
        let state = if present && !ended {
            Published::Primary
        } else {
            Published::Backup
        };
        let before = self.state.replace(state);
        if before == Some(state) {
            return;
        }
        self.rewrite_at = Some(now);
        self.outbox.put(state);
        self.rewrite(now);
        let (router, word) = (&self.arguments.router, state.as_str());
        self.log.info(&match before {
            None => format!("Initial status of router {router} is {word}"),
            Some(_) => format!("Detected state change to: {word}"),
        });
    }

    /// Writes the state file, if that is due.
    fn rewrite(&mut self, now: Nanos) {
        let (Some(state), Some(at)) = (self.state, self.rewrite_at) else {
            return;
        };
        if now < at {
            return;
        }
        match self.place.write_state(state) {
            Ok(()) => {
                self.rewrite_at = None;
                let (router, word) = (&self.arguments.router, state.as_str());
                self.log
                    .info(&format!("Wrote router {router} state {word}"));
            }
            Err(error) => {
                self.rewrite_at = Some(now.saturating_add(AGAIN));
                self.log.error(&format!("{error:#}: trying again"));
            }
        }
    }

    /// Has connections synchronised, and the agent told, as far as that is possible now.
    fn deliver(&mut self, now: Nanos) {
        loop {
            if let Some(sync) = &mut self.sync {
                if !sync.go_on(now, self.log) {
                    return;
                }
                self.synced = Some(sync.state());
                let (router, word) = (&self.arguments.router, sync.state().as_str());
                let message =
                    format!("Synced connection tracking state on {word} for router {router}");
                self.sync = None;
                self.log.info(&message);
            }
            let progress = if self.courier.is_idle() {
                let Some(next) = self.outbox.next().filter(|_| self.outbox.retry_at() <= now)
                else {
                    return;
                };
                if self.arguments.conntrackd && self.synced != Some(next) {
                    self.sync = Some(Sync::new(next, &self.arguments.conf_dir));
                    continue;
                }
                let begun = self.courier.begin(now, next);
                begun.and_then(|()| self.courier.go_on(now))
            } else {
                self.courier.go_on(now)
            };
            match progress {
                Ok(Progress::Under) => return,
                Ok(Progress::Told(state)) => {
                    let failures = self.outbox.told(state);
                    let (router, word) = (&self.arguments.router, state.as_str());
                    let after = match failures {
                        0 => String::new(),
                        _ => format!(", after {failures} failures"),
                    };
                    let message = format!("Notified agent router {router}, state {word}{after}");
                    self.log.info(&message);
                }
                Err(error) => {
                    if self.outbox.failed(now) == 0 {
                        self.log.error(&format!("{error:#}: trying again"));
                    }
                }
            }
        }
    }
}
