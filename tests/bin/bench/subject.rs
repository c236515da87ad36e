//! A process that watches, seen from outside: what it holds, what it takes, what it prints.

use crate::held;
use anyhow::{Context, Result, bail};
use lab::clock;
use lab::workdir::WorkDir;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Open files that a process may have where nobody says otherwise; one that needs more has to
/// raise this itself.
const USUAL_FILES: u64 = 1_024;

/// A running process, ended when this is dropped.
pub(crate) struct Subject {
    child: Child,
    lines: Receiver<(u64, String)>,
    directory: WorkDir,
}

impl Subject {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let directory = WorkDir::new("subject")?;
        let errors = File::create(directory.file("log")).context("make a log")?;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("ask how many files")?;
        let prepare = move || {
            setrlimit(Resource::RLIMIT_NOFILE, USUAL_FILES.min(most), most)?;
            // It would go on for ever where this process is killed.
            prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("start the process that watches")?;
        let output = child.stdout.take().context("read what it prints")?;
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(now) = clock::monotonic_ns() else {
                    break;
                };
                if send.send((now, line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            directory,
        })
    }

    /// The next line it prints, and when that was read; `None` if none comes for `limit`.
    ///
    /// # Errors
    /// When it has ended; with what it complained about.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<Option<(u64, String)>> {
        let line = self.lines.recv_timeout(limit).ok();
        if line.is_none() {
            self.check_runs()?;
        }
        Ok(line)
    }

    /// How many BPF links it holds.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub(crate) fn links(&mut self) -> Result<usize> {
        self.check_runs()?;
        held::links(self.child.id())
    }

    fn check_runs(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}: {}", self.complaints());
        }
        Ok(())
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        held::resident(self.child.id())
    }

    /// What its maps and programs take in the kernel, in bytes.
    pub(crate) fn kernel_memory(&self) -> Result<u64> {
        held::kernel_memory(self.child.id())
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.directory.file("log")).unwrap_or_default()
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill(
                Pid::from_raw(self.child.id().cast_signed()),
                Signal::SIGTERM,
            )?;
        }
        let limit = Duration::from_secs(60);
        let ended = lab::wait::until("its end", limit, || match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if ended.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        ended
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("end the process that watches: {error:#}");
        }
    }
}
