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
mod told;

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use keepfast_common::counter::Counter;
use keepfast_common::event::{Event, EventKind};
use keepfast_common::maps::RouterKey;
use keepfast_common::track::VirtualRouter;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, enabled, info, warn};

use crate::cli::WatchArgs;
use crate::exit::BadInput;
use crate::kernel::{Events, Kernel, LoadOptions, PinDirectory};
use crate::netns::Namespace;
use crate::report::{ClockMapping, Format, Place, Reporter};

use site::Site;
use told::Told;

/// How often the addresses that the adverts list, the namespaces' names and the
/// wall clock are looked at anew.
const TICK: Duration = Duration::from_secs(1);

/// How often refused timers are stood in for.
const STAND_IN: Duration = Duration::from_millis(50);

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
    let pins = PinDirectory::create(&format!("watch-{}", std::process::id()))?;
    let debug_lines = enabled!(target: "keepfast_ebpf", tracing::Level::DEBUG);
    let mut kernel = Kernel::load(
        &LoadOptions {
            debug: debug_lines,
            ..LoadOptions::default()
        },
        Some(&pins),
    )?;
    let mut events = kernel.take_events()?;
    let mut debug_log = if debug_lines {
        Some(kernel.take_debug_lines()?)
    } else {
        None
    };
    let (changed, mut changes) = mpsc::channel(CHANGES);
    let mut watch = Watch::new(args, kernel, pins)?;
    for namespace in namespaces {
        watch.add(namespace, args, &changed).await?;
    }
    watch.begin();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            outcome = watch.next_events(&mut events) => outcome?,
            Some(site) = changes.recv() => watch.reconcile(site).await?,
            _ = tick.tick() => watch.tick().await?,
            () = sleep(STAND_IN), if watch.refused != 0 => watch.stand_in()?,
            outcome = async {
                match debug_log.as_mut() {
                    Some(lines) => lines.forward().await,
                    None => std::future::pending().await,
                }
            } => outcome?,
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
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!("raise the limit of open files: {error}");
    }
}

/// All that is watched.
struct Watch {
    sites: Vec<Site>,
    told: Told,
    reporter: Reporter,
    gateways: Vec<IpAddr>,
    batch: Vec<Event>,
    /// Virtual routers without a timer, as of the last look.
    refused: usize,
    /// Events that the numbers of others show to be missing.
    missed: u64,
    /// Lost events that were told.
    loss_told: u64,
    // Dropped after the sites, whose programs it holds.
    kernel: Kernel,
    // Dropped last, when the links' own pins are gone.
    pins: PinDirectory,
}

impl Watch {
    fn new(args: &WatchArgs, kernel: Kernel, pins: PinDirectory) -> Result<Self> {
        Ok(Self {
            sites: Vec::new(),
            told: Told::default(),
            reporter: Reporter::new(Format::of(args.json), ClockMapping::now()?),
            gateways: args.gateway.clone(),
            batch: Vec::new(),
            refused: 0,
            missed: 0,
            loss_told: 0,
            kernel,
            pins,
        })
    }

    /// Attaches to a namespace.
    async fn add(
        &mut self,
        namespace: Namespace,
        args: &WatchArgs,
        changed: &mpsc::Sender<usize>,
    ) -> Result<()> {
        let netns = if self.kernel.tells_namespaces() {
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
        site.reconcile(snapshot, &mut self.kernel, &self.pins, &self.gateways)?;
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
            self.pins.path().display()
        );
    }

    /// Waits for events and tells them.
    async fn next_events(&mut self, events: &mut Events) -> Result<()> {
        let batch = &mut self.batch;
        let mut lost = 0;
        events
            .read(|event, loss| {
                batch.push(*event);
                lost += loss.map_or(0, |loss| loss.0);
            })
            .await?;
        // The CPUs' records enter the ring nearly, but not quite, in order of time.
        self.batch.sort_by_key(|event| event.time_ns);
        for event in std::mem::take(&mut self.batch) {
            self.tell(&event)?;
            if let Some(
                EventKind::MasterAppeared | EventKind::MasterChanged | EventKind::LocalMaster,
            ) = EventKind::from_number(event.kind)
            {
                let key = router_of(&event);
                if let Some(router) = self.kernel.maps().router(key)? {
                    self.learn(&key, &router)?;
                }
            }
        }
        if lost != 0 {
            self.missed += lost;
            self.make_up_for_loss()?;
        }
        Ok(())
    }

    /// Says how many events were lost since it was last said, and catches up.
    ///
    /// A gap in the numbers shows only with the next event of that CPU, which may
    /// never come; the programs' own count shows it anyway.
    fn make_up_for_loss(&mut self) -> Result<()> {
        let counters = self.kernel.maps().counters()?;
        let counted: u64 = counters
            .iter()
            .filter(|(_, _, counter, _)| *counter == Counter::EventLost)
            .map(|(_, _, _, count)| count)
            .sum();
        let total = counted.max(self.missed);
        let lost = total.saturating_sub(self.loss_told);
        if lost != 0 {
            warn!("{lost} events lost: the ring buffer was full; catching up from the maps");
            self.loss_told = total;
            self.catch_up()?;
        }
        Ok(())
    }

    /// Prints the line of one event.
    fn tell(&mut self, event: &Event) -> Result<()> {
        self.told.note(event);
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

    /// Tells what the maps say and the lost events would have told.
    fn catch_up(&mut self) -> Result<()> {
        for (key, router) in self.kernel.maps().routers()? {
            if let Some(event) = self.told.missing(&key, &router) {
                self.tell(&event)?;
            }
            self.learn(&key, &router)?;
        }
        Ok(())
    }

    /// Watches the addresses that the adverts of a virtual router list.
    fn learn(&mut self, key: &RouterKey, router: &VirtualRouter) -> Result<()> {
        if let Some(site) = self.sites.iter_mut().find(|site| site.netns() == key.netns) {
            site.learn(key, router, self.kernel.maps())?;
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
        site.reconcile(snapshot, &mut self.kernel, &self.pins, &self.gateways)
    }

    /// Stands in for the timers that the kernel refused.
    fn stand_in(&mut self) -> Result<()> {
        let refused = self.kernel.rearm()?;
        if refused != 0 && self.refused == 0 {
            let step = STAND_IN.as_millis();
            warn!("the kernel refused {refused} timers; deadlines there are kept to {step} ms");
        } else if refused == 0 && self.refused != 0 {
            info!("the kernel refuses no timers any more");
        }
        self.refused = refused;
        Ok(())
    }

    async fn tick(&mut self) -> Result<()> {
        self.reporter.set_clock(ClockMapping::now()?);
        for site in &mut self.sites {
            site.close_if_gone(self.kernel.maps())?;
        }
        self.make_up_for_loss()?;
        self.stand_in()?;
        for label in 0..self.sites.len() {
            if self.sites.get(label).is_some_and(Site::is_due) {
                self.reconcile(label).await?;
            }
        }
        for (key, router) in self.kernel.maps().routers()? {
            self.learn(&key, &router)?;
        }
        Ok(())
    }
}

fn router_of(event: &Event) -> RouterKey {
    RouterKey {
        netns: event.netns,
        ifindex: event.ifindex,
        vlan: event.vlan,
        inner_vlan: event.inner_vlan,
        family: event.family,
        vrid: event.vrid,
        reserved: 0,
    }
}
