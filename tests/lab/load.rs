//! Busy loops, to see what holds when the processors are not idle.

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::libc;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Threads that do nothing but turn, until this is dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    loops: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts this many loops.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_after(count, || {})
    }

    /// Starts this many loops that go before all that is not of a real-time class, at this
    /// priority of SCHED_FIFO, 1 to 99.
    ///
    /// # Errors
    /// When the kernel does not allow it, or there is no such priority.
    pub fn start_fifo(count: usize, priority: i32) -> Result<Self> {
        // Asked for once here: a loop could only say so.
        thread::spawn(move || fifo(priority))
            .join()
            .map_err(|_| anyhow!("a thread panicked"))?
            .context("become SCHED_FIFO")?;
        Ok(Self::start_after(count, move || {
            if let Err(error) = fifo(priority) {
                eprintln!("become SCHED_FIFO: {error}");
            }
        }))
    }

    /// Starts this many, each of which does this first.
    fn start_after(count: usize, first: impl Fn() + Send + Clone + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let turn = || {
            let (stop, first) = (Arc::clone(&stop), first.clone());
            thread::spawn(move || {
                first();
                while !stop.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let loops = (0..count).map(|_| turn()).collect();
        Self { stop, loops }
    }
}

/// Makes the calling thread one of SCHED_FIFO.
fn fifo(priority: i32) -> nix::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the call reads one live structure, of the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    Errno::result(done).map(drop)
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for turning in self.loops.drain(..) {
            if turning.join().is_err() {
                eprintln!("a busy loop panicked");
            }
        }
    }
}
