//! A program on a terminal of its own, as an operator would run it.

use crate::process;
use crate::wait;
use anyhow::{Context, Result};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long it has to end.
const ENDING: Duration = Duration::from_secs(10);

/// The program, killed when this is dropped.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    terminal: File,
    /// Held open, so that the terminal can be looked at when the program has ended.
    slave: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// Starts it on a terminal of this size.
    ///
    /// # Errors
    /// When there is no terminal, or it cannot be started.
    pub fn start(command: &mut Command, columns: u16, lines: u16) -> Result<Self> {
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } =
            openpty(Some(&size), None).context("make a terminal")?;
        let end = || slave.try_clone().context("copy a terminal");
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let written = Arc::default();
        let terminal = File::from(master);
        let mut reader = terminal.try_clone().context("copy a terminal")?;
        let sink: Arc<Mutex<Vec<u8>>> = Arc::clone(&written);
        thread::spawn(move || {
            let mut some = [0; 4096];
            // It ends when nobody has the other end open any more.
            while let Ok(length @ 1..) = reader.read(&mut some) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend_from_slice(some.get(..length).unwrap_or_default());
            }
        });
        Ok(Self {
            child,
            terminal,
            slave,
            written,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// All that it has written, escape sequences and all.
    #[must_use]
    pub fn written(&self) -> String {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).into_owned()
    }

    /// Waits until it has written this, since it had written so many bytes.
    ///
    /// # Errors
    /// When `limit` is over first; with what it wrote.
    pub fn wait_written(&self, from: usize, text: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("{text:?} on the terminal"), limit, || {
            let written = self.written();
            let new = written.get(from..).unwrap_or_default();
            if new.contains(text) {
                Ok(())
            } else {
                Err(new.to_owned())
            }
        })
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn write(&mut self, keys: &str) -> Result<()> {
        let written = self.terminal.write_all(keys.as_bytes());
        written.context("type on a terminal")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("send {signal}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within ten seconds.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        process::wait_for(&mut self.child, ENDING)
    }

    /// Whether the terminal echoes what is typed and waits for whole lines, as it does at first.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn is_cooked(&self) -> Result<bool> {
        let modes = tcgetattr(&self.slave).context("look at a terminal")?;
        let cooked = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG;
        Ok(modes.local_flags.contains(cooked))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It has ended, as a rule.
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
