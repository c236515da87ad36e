//! Packet captures by tcpdump, and what tshark reads in them.

use crate::clock;
use crate::netns::Namespace;
use crate::process::{self, Process};
use crate::workdir::WorkDir;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
/// For pcap: the VRRP adverts of both address families, also behind an authentication header.
pub const VRRP: &str = "ip proto 112 or ip proto 51 or ip6 proto 112";

/// A running tcpdump.
#[derive(Debug)]
pub struct Capture {
    // Before the directory, which holds its log.
    process: Process,
    directory: WorkDir,
    realtime_minus_monotonic: u64,
    reports: usize,
}

/// A finished capture; its file goes when this is dropped.
#[derive(Debug)]
pub struct Recording {
    directory: WorkDir,
    realtime_minus_monotonic: u64,
}

impl Capture {
    /// Starts a capture and waits until it sees every frame that comes from now on.
    ///
    /// `filter` is in the language of pcap; an empty one takes everything.
    ///
    /// # Errors
    /// When tcpdump does not start, for instance because there is no such interface.
    pub fn start(namespace: &Namespace, interface: &str, filter: &str) -> Result<Self> {
        let directory = WorkDir::new("capture")?;
        let mut command = namespace.command("tcpdump");
        command
            .args([
                "-n",
                "-U",
                "--immediate-mode",
                "--time-stamp-precision=nano",
                // More than any frame of the lab has: its buffer has room for whole ones only,
                // and with the longest there are it would be 64.
                "-s",
                "4096",
            ])
            // As root: another user could not write into a private directory.
            .args(["-B", "16384", "-Z", "root", "-i", interface, "-w"])
            .arg(file(&directory))
            .arg(filter);
        let log = directory.file("log");
        let mut process = Process::start("tcpdump", &mut command, &log)?;
        let listening = |log: &str| log.contains("listening on").then_some(());
        process.wait_log("tcpdump listening", READY, listening)?;
        let realtime_minus_monotonic = clock::realtime_minus_monotonic_ns()?;
        Ok(Self {
            process,
            directory,
            realtime_minus_monotonic,
            reports: 0,
        })
    }

    /// Waits until `count` more frames than now have been captured.
    ///
    /// # Errors
    /// When `limit` is over first.
    pub fn wait_more(&mut self, count: u64, limit: Duration) -> Result<()> {
        let before = self.report()?.captured;
        let end = Instant::now() + limit;
        loop {
            let more = self.report()?.captured - before;
            if more >= count {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "{more} of {count} frames after {limit:?}"
            );
            thread::sleep(PAUSE);
        }
    }

    /// Ends the capture when all that passed until now is in the file.
    ///
    /// # Errors
    /// When the kernel dropped frames, so that the recording has holes.
    pub fn stop(mut self) -> Result<Recording> {
        // tcpdump sleeps only when it has read every frame there is. Its counters do not tell:
        // a frame that came before its filter is received but never captured.
        process::wait_asleep(self.process.pid()).context("wait until tcpdump has read all")?;
        let dropped = self.report()?.dropped;
        ensure!(dropped == 0, "the kernel dropped {dropped} frames");
        self.process.stop(Signal::SIGINT)?;
        let Self {
            directory,
            realtime_minus_monotonic,
            ..
        } = self;
        Ok(Recording {
            directory,
            realtime_minus_monotonic,
        })
    }

    /// Has tcpdump print its counters.
    fn report(&mut self) -> Result<Report> {
        self.process.signal(Signal::SIGUSR1)?;
        let number = self.reports;
        self.reports += 1;
        self.process.wait_log("tcpdump's counters", READY, |log| {
            log.lines().filter_map(Report::parse).nth(number)
        })
    }
}

/// tcpdump's line of counters.
struct Report {
    captured: u64,
    dropped: u64,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let counters = line.strip_prefix("tcpdump: ")?;
        let number = |part: &str| part.split(' ').next()?.parse().ok();
        let [captured, _received, dropped] = counters.split(", ").collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Self {
            captured: number(captured)?,
            dropped: number(dropped)?,
        })
    }
}

impl Recording {
    /// The capture file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        file(&self.directory)
    }

    /// Has tshark read `fields` of the frames that `filter` (in tshark's language) selects, one
    /// row for each frame. Where a frame has a field several times the first one counts.
    ///
    /// # Errors
    /// When tshark does not know the filter or a field.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut command = Command::new("tshark");
        command
            .args(["-n", "-r"])
            .arg(self.path())
            .args(["-Y", filter, "-T", "fields"]);
        command.args(["-E", "separator=/t", "-E", "occurrence=f"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let rows = process::output(&mut command)?;
        Ok(rows
            .lines()
            .map(|row| row.split('\t').map(str::to_owned).collect())
            .collect())
    }

    /// tshark's one line for each frame, to be shown when something expected is missing.
    ///
    /// # Errors
    /// When tshark cannot read the file.
    pub fn summary(&self) -> Result<String> {
        process::output(Command::new("tshark").args(["-n", "-r"]).arg(self.path()))
    }

    /// CLOCK_MONOTONIC nanoseconds of tshark's `frame.time_epoch`.
    ///
    /// # Errors
    /// When it is not such a time.
    pub fn monotonic_ns(&self, epoch: &str) -> Result<u64> {
        let (seconds, fraction) = epoch.split_once('.').context("find the decimal point")?;
        ensure!(fraction.len() == 9, "not nanoseconds: {epoch}");
        let nanos = seconds.parse::<u64>()? * 1_000_000_000 + fraction.parse::<u64>()?;
        nanos
            .checked_sub(self.realtime_minus_monotonic)
            .context("before the start of time")
    }

    /// The bytes of the frames that `filter` selects.
    ///
    /// # Errors
    /// When tshark does not know the filter, or the file is not a capture.
    pub fn frames(&self, filter: &str) -> Result<Vec<Vec<u8>>> {
        let all = read_frames(&self.path())?;
        self.fields(filter, &["frame.number"])?
            .iter()
            .map(|row| {
                let number: usize = row.concat().parse().context("read a frame number")?;
                all.get(number - 1)
                    .cloned()
                    .with_context(|| format!("find frame {number}"))
            })
            .collect()
    }
}

fn file(directory: &WorkDir) -> PathBuf {
    directory.file("capture.pcap")
}

/// Splits a capture of this machine's byte order into frames.
fn read_frames(path: &Path) -> Result<Vec<Vec<u8>>> {
    const MAGIC_NANOSECONDS: [u8; 4] = 0xa1b2_3c4d_u32.to_ne_bytes();
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let (header, mut rest) = bytes.split_at_checked(24).context("no capture header")?;
    ensure!(
        header.starts_with(&MAGIC_NANOSECONDS),
        "not a nanosecond capture of this machine"
    );
    let mut frames = Vec::new();
    // Each frame follows seconds, nanoseconds, its length in the file and its length.
    while let Some((record, after)) = rest.split_at_checked(16) {
        let length: [u8; 4] = record[8..12].try_into()?;
        let length = usize::try_from(u32::from_ne_bytes(length))?;
        let (frame, after) = after
            .split_at_checked(length)
            .context("the capture is cut off")?;
        frames.push(frame.to_vec());
        rest = after;
    }
    ensure!(rest.is_empty(), "the capture ends within a record");
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_tcpdump_are_read() {
        let line = "tcpdump: 1 packet captured, 3 packets received by filter, \
                    2 packets dropped by kernel";
        let Report { captured, dropped } = Report::parse(line).unwrap();
        assert_eq!((captured, dropped), (1, 2));
        assert!(Report::parse("tcpdump: listening on br0, link-type EN10MB").is_none());
    }
}
