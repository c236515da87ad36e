//! Others that want what the fast path wants.

use anyhow::{Context, Result};
use lab::workdir::WorkDir;
use nix::errno::Errno;
use nix::libc;
use std::fs::{self, File};
use std::hint;
use std::io::{Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many loops: as many as a small machine has processors.
const LOOPS: usize = 2;

/// Below and above the fast path's own 51.
const BELOW: i32 = 50;
const ABOVE: i32 = 60;

/// Above all of them.
const FIRST: i32 = 80;

/// The part of the memory that is free that is taken: one in so many.
const PART: u64 = 2;

/// What is written at once.
const BLOCK: usize = 1 << 20;

const PAGE: usize = 4096;

/// What others want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Idle,
    Fair,
    Below,
    Above,
    Memory,
    Disk,
}

pub(crate) const LOADS: [Load; 6] = [
    Load::Idle,
    Load::Fair,
    Load::Below,
    Load::Above,
    Load::Memory,
    Load::Disk,
];

/// What was put on; taken off when dropped.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _directory: Option<WorkDir>,
}

impl Load {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "nothing",
            Self::Fair => "2 busy loops",
            Self::Below => "2 loops of SCHED_FIFO 50",
            Self::Above => "2 loops of SCHED_FIFO 60",
            Self::Memory => "half of the free memory written again and again",
            Self::Disk => "2 writers that wait for the disk",
        }
    }

    /// Puts it on.
    pub(crate) fn put(self) -> Result<Running> {
        let directory = match self {
            Self::Disk => Some(WorkDir::new("starve")?),
            _ => None,
        };
        let mut running = Running {
            stop: Arc::default(),
            threads: Vec::new(),
            _directory: None,
        };
        let count = match self {
            Self::Idle => 0,
            Self::Memory => 1,
            _ => LOOPS,
        };
        for number in 0..count {
            let stop = Arc::clone(&running.stop);
            let work: Box<dyn FnOnce(&AtomicBool) + Send> = match (self, &directory) {
                (Self::Memory, _) => {
                    let bytes = usize::try_from(free_memory()? / PART)?;
                    Box::new(move |stop| fill(stop, bytes))
                }
                (_, Some(directory)) => {
                    let file = File::create(directory.file(&format!("block.{number}")))?;
                    Box::new(move |stop| store(stop, file))
                }
                (Self::Below, _) => Box::new(|stop| turn(stop, Some(BELOW))),
                (Self::Above, _) => Box::new(|stop| turn(stop, Some(ABOVE))),
                _ => Box::new(|stop| turn(stop, None)),
            };
            running.threads.push(thread::spawn(move || work(&stop)));
        }
        running._directory = directory;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("a load panicked");
            }
        }
    }
}

fn turn(stop: &AtomicBool, priority: Option<i32>) {
    if let Some(priority) = priority
        && let Err(error) = schedule(libc::SCHED_FIFO, priority)
    {
        eprintln!("no load of SCHED_FIFO {priority}: {error}");
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        hint::spin_loop();
    }
}

fn fill(stop: &AtomicBool, bytes: usize) {
    let mut memory = vec![0u8; bytes];
    let mut value = 0u8;
    while !stop.load(Ordering::Relaxed) {
        value = value.wrapping_add(1);
        for page in memory.chunks_mut(PAGE) {
            if let Some(byte) = page.first_mut() {
                *byte = hint::black_box(value);
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn store(stop: &AtomicBool, mut file: File) {
    let block = vec![7u8; BLOCK];
    while !stop.load(Ordering::Relaxed) {
        let written = file
            .rewind()
            .and_then(|()| file.write_all(&block))
            .and_then(|()| file.sync_all());
        if let Err(error) = written {
            eprintln!("a writer: {error}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}

/// Bytes.
fn free_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .context("find the memory that is free")?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024)
}

fn schedule(policy: i32, sched_priority: i32) -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the structure is there until the call returns; 0 is this thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, policy, &parameters) }).map(drop)
}

/// This thread, and what it starts, goes before all loads until this is dropped.
pub(crate) struct First(());

impl First {
    pub(crate) fn take() -> Result<Self> {
        schedule(libc::SCHED_FIFO, FIRST).context("go before all loads")?;
        Ok(Self(()))
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if let Err(error) = schedule(libc::SCHED_OTHER, 0) {
            eprintln!("go back behind the loads: {error}");
        }
    }
}
