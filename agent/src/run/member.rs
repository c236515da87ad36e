//! A router that the daemon looks after: its engine and what it has of the host.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use keepfast_common::blackbox::REASON_NONE;

use crate::config::{Keepalived, Managed, Mode, RouterId};
use crate::engine::{Engine, Nanos, Plan, Program, Published, State};
use crate::event_log::EventLog;
use crate::exit::BadInput;
use crate::files::Dir;
use crate::notify::Notifier;
use crate::postmortem::Reason;
use crate::process::Process;
use crate::status::FailoverStatus;

use super::claims::Claims;
use super::jobs::Chain;
use super::registered::Registered;

/// A router that is looked after.
pub(super) struct Member {
    pub(super) id: RouterId,
    pub(super) engine: Engine,
    /// Its own directory.
    pub(super) directory: Rc<Dir>,
    /// The namespace it is in, while that is there.
    pub(super) site: Option<usize>,
    pub(super) notifier: Rc<Notifier>,
    pub(super) log: EventLog,
    pub(super) chain: Chain,
    /// What runs of it.
    pub(super) processes: BTreeMap<Program, Rc<Process>>,
    /// A state file that could not be written; it is tried again.
    pub(super) unwritten: Option<Published>,
    /// Of its addresses, by others.
    pub(super) claims: Claims,
    /// Events that could not be written into the log.
    pub(super) unlogged: u64,
    /// When this host resigned last, CLOCK_MONOTONIC nanoseconds; 0: never.
    pub(super) resigned_ns: u64,
    /// Of a router of Neutron's whose monitor registered it.
    pub(super) registered: Option<Registered>,
    /// When this host was last known to be the primary, same clock; 0: never.
    pub(super) served_ns: u64,
    /// Why this host gave up its role lately, and when, same clock.
    pub(super) gave_up: Option<(Reason, u64)>,
    /// The configuration file of somebody else's keepalived, as it was read last.
    pub(super) version: Option<FileVersion>,
    /// The last change of its state; `None`: there was none yet.
    pub(super) last: Option<Changed>,
    /// The last time that it changed hands; `None`: it did not.
    pub(super) failover: Option<FailoverStatus>,
    /// An operator has put it into shadow.
    shadowed: bool,
}

/// A change of a router's state.
pub(super) struct Changed {
    /// When, CLOCK_MONOTONIC.
    pub(super) at: Nanos,
    pub(super) from: State,
    pub(super) to: State,
    /// Why, in words.
    pub(super) reason: String,
}

/// Tells a file from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileVersion {
    inode: u64,
    length: u64,
    modified: SystemTime,
}

impl FileVersion {
    /// The file at `path`; `None` where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            length: found.len(),
            modified: found.modified().ok()?,
        })
    }
}

/// The file in its directory that says that an operator has put it into shadow.
const SHADOW: &str = "shadow";

impl Member {
    /// A router of which nothing is known but this.
    pub(super) fn new(
        engine: Engine,
        directory: Rc<Dir>,
        notifier: Rc<Notifier>,
        version: Option<FileVersion>,
        registered: Option<Registered>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            id: engine.plan().router.id.clone(),
            log: EventLog::open(&directory, "events.jsonl")?,
            shadowed: directory.read(SHADOW, 1)?.is_some(),
            engine,
            directory,
            notifier,
            version,
            registered,
            site: None,
            chain: Chain::default(),
            processes: BTreeMap::new(),
            unwritten: None,
            claims: Claims::default(),
            unlogged: 0,
            resigned_ns: 0,
            served_ns: 0,
            gave_up: None,
            last: None,
            failover: None,
        })
    }

    /// What its fast path may do: what is declared, or less where an operator says so.
    pub(super) fn mode(&self) -> Mode {
        match self.plan().router.fast_path.mode {
            Mode::Armed if self.shadowed => Mode::Shadow,
            declared => declared,
        }
    }

    /// Whether an operator has put it into shadow.
    pub(super) const fn is_shadowed(&self) -> bool {
        self.shadowed
    }

    /// Puts it into shadow, or takes that back, for good.
    pub(super) fn set_shadowed(&mut self, shadowed: bool) -> anyhow::Result<()> {
        if self.plan().router.fast_path.mode == Mode::Off {
            return Err(BadInput(format!(
                "router {} has no fast path: expected one with a table [fast_path]",
                self.id
            ))
            .into());
        }
        if shadowed {
            self.directory.replace(SHADOW, b"", 0o644)?;
        } else {
            self.directory.remove(SHADOW)?;
        }
        self.shadowed = shadowed;
        Ok(())
    }

    /// Whether its priority is lowered while the host is drained: by the file that
    /// raises it, too.
    pub(super) fn is_lowered(&self) -> bool {
        self.managed().is_some() && self.plan().router.fast_path.mode != Mode::Off
    }

    /// Its plan.
    pub(super) const fn plan(&self) -> &Plan {
        self.engine.plan()
    }

    /// What it is told to manage; `None` where keepalived is somebody else's.
    pub(super) fn managed(&self) -> Option<&Managed> {
        managed(self.plan())
    }

    /// The interface that adverts are exchanged on, if that is known.
    pub(super) fn advert_interface(&self) -> Option<&str> {
        self.plan()
            .instance
            .as_ref()
            .map(|it| it.interface.as_str())
    }

    /// Why this host gave up its role lately, as peers are told.
    pub(super) fn reason(&self) -> u8 {
        self.gave_up
            .map_or(REASON_NONE, |(reason, _)| reason.number())
    }

    /// Writes the state file.
    pub(super) fn write_state(&mut self, state: Published) -> anyhow::Result<()> {
        self.unwritten = Some(state);
        // Not waited for: a slow disk would hold up every router, and it is written
        // anew before a keepalived starts.
        self.directory
            .replace_soon("state", state.as_str().as_bytes(), 0o644)?;
        self.unwritten = None;
        Ok(())
    }
}

/// What a plan has keepfast manage.
pub(super) fn managed(plan: &Plan) -> Option<&Managed> {
    match &plan.router.keepalived {
        Keepalived::Managed(managed) => Some(managed),
        Keepalived::Attached(_) => None,
    }
}
