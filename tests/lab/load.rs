//! Busy loops, to see what holds when the processors are not idle.

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
        let stop = Arc::new(AtomicBool::new(false));
        let turn = || {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let loops = (0..count).map(|_| turn()).collect();
        Self { stop, loops }
    }
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
