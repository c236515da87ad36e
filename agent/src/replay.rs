//! `keepfast replay`: what watching would have said, from a capture.
//!
//! Frames and timers run through the [`Tracker`] in the capture's own time. Time
//! ends with the last packet: what would have come due after it is not told, for
//! nobody knows what followed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use keepfast_common::counter::Counter;
use keepfast_common::event::Event;
use keepfast_common::maps::AddressKey;
use keepfast_common::wire::{IPV4, IPV6, Reject, widen};

use crate::cli::ReplayArgs;
use crate::exit::BadInput;
use crate::pcap::Capture;
use crate::report::clock::duration;
use crate::report::{ClockMapping, Format, Place, Reporter, words};
use crate::tracker::Tracker;

/// Captures have no namespaces.
const NETNS: u32 = 0;

/// Runs `keepfast replay`: lines to stdout, a summary to stderr.
///
/// # Errors
///
/// The file cannot be read, or is damaged: the lines until there and their
/// summary are written all the same. Or stdout cannot be written.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let naming = || format!("replay {}", args.file.display());
    let file = open(&args.file).with_context(naming)?;
    let capture = Capture::open(BufReader::new(file)).with_context(naming)?;
    let mut replay = Replay::new(capture, &args.gateway);
    let mut reporter = Reporter::new(Format::of(args.json), ClockMapping::capture());
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = replay.run(&mut reporter, &mut out);
    out.flush().context("write to stdout")?;
    eprint!("{}", replay.summary());
    outcome.with_context(naming)
}

fn open(path: &Path) -> Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(BadInput("there is no such file".to_owned()).into())
        }
        result => result.context("open the file"),
    }
}

/// A capture on its way through the tracker.
pub struct Replay<'a, R> {
    capture: Capture<R>,
    gateways: &'a [IpAddr],
    tracker: Tracker,
    /// The interfaces on which the gateways are watched.
    interfaces: BTreeSet<u32>,
    frames: u64,
    /// Frames of which the capture has the beginning only.
    cut: u64,
    /// Frames that were older than the one before.
    disordered: u64,
    /// Times of the first and of the youngest frame, nanoseconds since 1970.
    span_ns: Option<(u64, u64)>,
}

impl<'a, R: Read> Replay<'a, R> {
    /// One that has told nothing yet, and watches `gateways`.
    pub fn new(capture: Capture<R>, gateways: &'a [IpAddr]) -> Self {
        Self {
            capture,
            gateways,
            tracker: Tracker::new(),
            interfaces: BTreeSet::new(),
            frames: 0,
            cut: 0,
            disordered: 0,
            span_ns: None,
        }
    }

    /// Writes the lines of the whole capture.
    ///
    /// # Errors
    ///
    /// It is damaged, which ends it, or `out` cannot be written.
    pub fn run(&mut self, reporter: &mut Reporter, out: &mut impl Write) -> Result<()> {
        let mut events: Vec<Event> = Vec::new();
        while let Some(frame) = self.capture.next_frame()? {
            let (first_ns, latest_ns) = self.span_ns.unwrap_or((frame.time_ns, frame.time_ns));
            self.frames += 1;
            self.cut += u64::from(frame.cut);
            self.disordered += u64::from(frame.time_ns < latest_ns);
            self.span_ns = Some((first_ns, latest_ns.max(frame.time_ns)));
            if self.interfaces.insert(frame.ifindex) {
                for gateway in self.gateways {
                    self.tracker.watch_gateway(key_of(frame.ifindex, gateway));
                }
            }
            self.tracker.frame(
                frame.time_ns,
                NETNS,
                frame.ifindex,
                frame.bytes,
                frame.local,
                &mut events,
            );
            for event in events.drain(..) {
                let place = Place {
                    interface: self.capture.interface(event.ifindex),
                    netns: None,
                };
                writeln!(out, "{}", reporter.line(&event, &place)).context("write to stdout")?;
            }
        }
        Ok(())
    }

    /// What the capture contained.
    #[must_use]
    pub fn summary(&self) -> String {
        let (first_ns, latest_ns) = self.span_ns.unwrap_or_default();
        let mut summary = format!(
            "frames: {} in {}\n",
            self.frames,
            duration(latest_ns - first_ns)
        );
        // Writing to a string cannot fail.
        for (key, router) in self.tracker.routers() {
            let place = Place {
                interface: self.capture.interface(key.ifindex),
                netns: None,
            };
            _ = writeln!(
                summary,
                "  {}: adverts received: {}, sent: {}; the last master was {}, the longest gap {}",
                words::router(key, &place),
                router.adverts_received,
                router.adverts_sent,
                words::address(key.family, &router.master.address),
                duration(router.gap_max_ns),
            );
        }
        for reject in Reject::ALL {
            let count = Counter::of_reject(reject).map_or(0, |of| self.tracker.counted(of));
            if count > 0 {
                _ = writeln!(summary, "  rejected: {count}, {}", reject.words());
            }
        }
        for (count, what) in [
            (
                self.tracker.counted(Counter::MapFull),
                "not tracked: too many routers or addresses",
            ),
            (
                self.cut,
                "cut by the capture's snap length; adverts among them are rejected",
            ),
            (
                self.disordered,
                "older than the frame before; taken as simultaneous",
            ),
        ] {
            if count > 0 {
                _ = writeln!(summary, "  {count} {what}");
            }
        }
        summary
    }
}

fn key_of(ifindex: u32, address: &IpAddr) -> AddressKey {
    let (family, address) = match address {
        IpAddr::V4(address) => (IPV4, widen(address.octets())),
        IpAddr::V6(address) => (IPV6, address.octets()),
    };
    AddressKey {
        netns: NETNS,
        ifindex,
        family: u32::from(family),
        address,
    }
}

#[cfg(test)]
mod tests;
