//! `keepfast watch`: attaches, prints a line for every transition, and leaves
//! nothing behind.
//!
//! One task owns everything; what happens comes to it as one of five:
//!
//! ```text
//! ring buffer ----> events ---\
//! routing netlink -> a change --> Watch ---> lines on stdout
//! clock ----------> tick -----/         \--> programs, watched addresses
//! programs -------> debug lines
//! signals --------> the end
//! ```

mod addresses;
mod site;

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use keepfast_common::event::{Event, EventKind};
use keepfast_common::maps::RouterKey;
use keepfast_common::track::VirtualRouter;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::cli::WatchArgs;
use crate::exit::BadInput;
use crate::netns::Namespace;
use crate::observe::{Observer, STAND_IN, Source, router_of};
use crate::report::{ClockMapping, Format, Place, Reporter};

use site::Site;

/// How often the addresses that the adverts list, the namespaces' names and the
/// wall clock are looked at anew.
const TICK: Duration = Duration::from_secs(1);

/// Changes of network configuration that wait to be looked at.
const CHANGES: usize = 1024;

/// Runs `keepfast watch` until SIGINT or SIGTERM.
///
/// # Errors
///
/// A namespace or a named interface does not exist, a privilege is missing, the
/// kernel refuses the programs, or stdout cannot be written. What was attached
/// until then is removed.
pub fn run(args: &WatchArgs) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(watch(args))
}

async fn watch(args: &WatchArgs) -> Result<()> {
    // Before anything is attached: a signal must find somebody who tidies up.
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
    raise_descriptor_limit();
    let namespaces = namespaces(&args.netns)?;
    let (observer, mut source) = Observer::load(&format!("watch-{}", std::process::id()))?;
    let (changed, mut changes) = mpsc::channel(CHANGES);
    let mut watch = Watch::new(args, observer)?;
    for namespace in namespaces {
        watch.add(namespace, args, &changed).await?;
    }
    watch.begin();
    let mut tick = interval(TICK);
    let mut stand_in = interval(STAND_IN);
    for timer in [&mut tick, &mut stand_in] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            outcome = watch.next_events(&mut source) => outcome?,
            Some(site) = changes.recv() => watch.reconcile(site).await?,
            _ = tick.tick() => watch.tick().await?,
            _ = stand_in.tick(), if watch.observer.must_stand_in() => watch.observer.stand_in()?,
        }
    }
    debug!("detaching");
    Ok(())
}

/// The namespaces named, or the own one.
fn namespaces(names: &[String]) -> Result<Vec<Namespace>> {
    if names.is_empty() {
        return Ok(vec![Namespace::current()?]);
    }
    let mut namespaces: Vec<Namespace> = Vec::with_capacity(names.len());
    for name in names {
        let namespace = Namespace::named(name).map_err(|error| BadInput(format!("{error:#}")))?;
        if !namespaces
            .iter()
            .any(|known| known.inode() == namespace.inode())
        {
            namespaces.push(namespace);
        }
    }
    Ok(namespaces)
}

/// Each namespace and each program takes a few descriptors.
pub(crate) fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!("raise the limit of open files: {error}");
    }
}

/// All that is watched.
struct Watch {
    sites: Vec<Site>,
    reporter: Reporter,
    gateways: Vec<IpAddr>,
    /// Events that are to be told.
    untold: Vec<Event>,
    // Dropped after the sites, whose programs it holds.
    observer: Observer,
}

impl Watch {
    fn new(args: &WatchArgs, observer: Observer) -> Result<Self> {
        Ok(Self {
            sites: Vec::new(),
            reporter: Reporter::new(Format::of(args.json), ClockMapping::now()?),
            gateways: args.gateway.clone(),
            untold: Vec::new(),
            observer,
        })
    }

    /// Attaches to a namespace.
    async fn add(
        &mut self,
        namespace: Namespace,
        args: &WatchArgs,
        changed: &mpsc::Sender<usize>,
    ) -> Result<()> {
        let netns = if self.observer.kernel.tells_namespaces() {
            namespace.inode()
        } else if self.sites.is_empty() {
            0
        } else {
            return Err(BadInput(
                "this kernel does not let its programs tell network namespaces apart: \
                 expected one namespace only"
                    .to_owned(),
            )
            .into());
        };
        let mut site = Site::open(
            namespace,
            self.sites.len(),
            args.interface.clone(),
            changed.clone(),
            netns,
        )?;
        let snapshot = site.look().await?;
        site.demand_named(&snapshot)?;
        site.reconcile(
            snapshot,
            &mut self.observer.kernel,
            &self.observer.pins,
            &self.gateways,
        )?;
        self.sites.push(site);
        Ok(())
    }

    fn begin(&self) {
        let interfaces: usize = self.sites.iter().map(Site::attached).sum();
        if interfaces == 0 {
            warn!("no Ethernet interface yet; waiting for one");
        }
        info!(
            "watching {interfaces} interfaces in {} namespaces; maps are in {}",
            self.sites.len(),
            self.observer.pins.path().display()
        );
    }

    /// Waits for events and tells them.
    async fn next_events(&mut self, source: &mut Source) -> Result<()> {
        self.observer.next(source, &mut self.untold).await?;
        self.tell_all()
    }

    /// Tells the events that came, and watches the addresses that a new master lists.
    fn tell_all(&mut self) -> Result<()> {
        for event in std::mem::take(&mut self.untold) {
            self.tell(&event)?;
            if let Some(
                EventKind::MasterAppeared | EventKind::MasterChanged | EventKind::LocalMaster,
            ) = EventKind::from_number(event.kind)
            {
                let key = router_of(&event);
                if let Some(router) = self.observer.kernel.maps().router(key)? {
                    self.learn(&key, &router)?;
                }
            }
        }
        Ok(())
    }

    /// Prints the line of one event.
    fn tell(&mut self, event: &Event) -> Result<()> {
        let site = self.sites.iter().find(|site| site.netns() == event.netns);
        let unknown = format!("if{}", event.ifindex);
        let place = Place {
            interface: site
                .and_then(|site| site.interface_name(event.ifindex))
                .unwrap_or(&unknown),
            netns: site.and_then(Site::name),
        };
        let mut line = self.reporter.line(event, &place);
        line.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes()).context("write to stdout")?;
        out.flush().context("write to stdout")
    }

    /// Watches the addresses that the adverts of a virtual router list.
    fn learn(&mut self, key: &RouterKey, router: &VirtualRouter) -> Result<()> {
        if let Some(site) = self.sites.iter_mut().find(|site| site.netns() == key.netns) {
            site.learn(key, router, self.observer.kernel.maps())?;
        }
        Ok(())
    }

    /// The configuration of a namespace has changed.
    async fn reconcile(&mut self, site: usize) -> Result<()> {
        let Some(site) = self.sites.get_mut(site) else {
            return Ok(());
        };
        if site.is_closed() {
            return Ok(());
        }
        let snapshot = site.look().await?;
        site.reconcile(
            snapshot,
            &mut self.observer.kernel,
            &self.observer.pins,
            &self.gateways,
        )
    }

    async fn tick(&mut self) -> Result<()> {
        self.reporter.set_clock(ClockMapping::now()?);
        for site in &mut self.sites {
            site.close_if_gone(self.observer.kernel.maps())?;
        }
        self.observer.tick(&mut self.untold)?;
        self.tell_all()?;
        for label in 0..self.sites.len() {
            if self.sites.get(label).is_some_and(Site::is_due) {
                self.reconcile(label).await?;
            }
        }
        for (key, router) in self.observer.kernel.maps().routers()? {
            self.learn(&key, &router)?;
        }
        Ok(())
    }
}
