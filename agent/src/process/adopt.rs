//! Finding a process that was started before: by its id, and only if it is the one
//! that is meant.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::linux::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use nix::libc;
use tracing::warn;

use super::Process;
use crate::files::Dir;

/// The most that is read of a file in `/proc`, bytes.
const PROC_LIMIT: u64 = 64 * 1024;
/// The most that a pid file may hold, bytes.
const PID_FILE_LIMIT: usize = 32;

/// What a process must be to be the one that is meant.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// Its name as the kernel keeps it (`/proc/<pid>/comm`).
    pub name: &'a str,
    /// One whole argument of its command line; `None`: any.
    pub argument: Option<&'a str>,
    /// The inode number of its network namespace; `None`: any.
    pub namespace: Option<u32>,
    /// Who has started it, its real user; `None`: anybody. Name and arguments are what a
    /// process says of itself, and a pid file may outlive its process.
    pub user: Option<u32>,
}

/// What a pid file leads to.
#[derive(Debug)]
pub enum Adoption {
    /// The process that is meant.
    Running(Process),
    /// A process that is not, with this id.
    Foreign(i32),
    /// No process.
    Gone,
    /// There is no pid file.
    NoFile,
}

/// Holds the process `pid` if it is the one that is meant and runs.
///
/// # Errors
///
/// It cannot be looked at.
pub fn adopt(pid: i32, identity: &Identity<'_>) -> Result<Option<Process>> {
    match examine(pid, identity)? {
        Adoption::Running(process) => Ok(Some(process)),
        _ => Ok(None),
    }
}

/// Holds the process that a pid file names, if it is the one that is meant and runs.
///
/// # Errors
///
/// The file is no small regular file, or the process cannot be looked at.
pub fn adopt_by_pid_file(dir: &Dir, name: &str, identity: &Identity<'_>) -> Result<Adoption> {
    let Some(content) = dir.read(name, PID_FILE_LIMIT)? else {
        return Ok(Adoption::NoFile);
    };
    match pid(&content) {
        Some(pid) => examine(pid, identity),
        None => {
            // Torn, or somebody's mistake: nobody can be found by it.
            warn!(
                "{}/{name} holds {:?}: expected a process id",
                dir.path().display(),
                String::from_utf8_lossy(&content)
            );
            Ok(Adoption::Gone)
        }
    }
}

/// The id of a process's parent; `None` where it is gone.
pub(super) fn parent(pid: i32) -> Result<Option<i32>> {
    let Some(stat) = stat(pid)? else {
        return Ok(None);
    };
    let parent = stat.split_whitespace().nth(1);
    parent
        .and_then(|parent| parent.parse().ok())
        .with_context(|| format!("/proc/{pid}/stat: expected the id of a parent"))
        .map(Some)
}

/// Whether a process is stopped (SIGSTOP, or a tracer); `None` where it is gone.
pub(super) fn is_stopped(pid: i32) -> Result<Option<bool>> {
    let stat = stat(pid)?;
    Ok(stat.map(|stat| stat.trim_start().starts_with(['T', 't'])))
}

/// What the kernel says of a process, from its state on; `None` where it is gone.
fn stat(pid: i32) -> Result<Option<String>> {
    let Some(stat) = read(pid, "stat")? else {
        return Ok(None);
    };
    // The name is in brackets and may hold any character; state and parent follow.
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat
        .rsplit_once(')')
        .with_context(|| format!("/proc/{pid}/stat: expected a name in brackets"))?;
    Ok(Some(rest.to_owned()))
}

/// Decimal digits and perhaps a line end.
fn pid(content: &[u8]) -> Option<i32> {
    let text = str::from_utf8(content).ok()?.trim_ascii_end();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|pid| digits && *pid > 0)
}

fn examine(pid: i32, identity: &Identity<'_>) -> Result<Adoption> {
    // Held first and asked last whether it runs: so all that was seen in between
    // belongs to it and to no successor with the same id.
    let Some(process) = Process::hold(pid, false)? else {
        return Ok(Adoption::Gone);
    };
    let matches = identity.matches(pid)?;
    Ok(match (process.is_running()?, matches) {
        (false, _) => Adoption::Gone,
        (true, false) => Adoption::Foreign(pid),
        (true, true) => Adoption::Running(process),
    })
}

impl Identity<'_> {
    fn matches(&self, pid: i32) -> Result<bool> {
        let (Some(name), Some(arguments)) = (read(pid, "comm")?, read(pid, "cmdline")?) else {
            return Ok(false);
        };
        let has_argument = self.argument.is_none_or(|argument| {
            arguments
                .split_inclusive(|byte| *byte == 0)
                .any(|part| part.strip_suffix(&[0]) == Some(argument.as_bytes()))
        });
        if name.trim_ascii_end() != self.name.as_bytes() || !has_argument {
            return Ok(false);
        }
        if self.user.is_some() && self.user != user(pid)? {
            return Ok(false);
        }
        // Asked last: of a process that is not meant it may be a secret.
        match self.namespace {
            None => Ok(true),
            Some(expected) => Ok(namespace(pid)? == Some(expected)),
        }
    }
}

/// The real user of a process; `None` where it is gone.
fn user(pid: i32) -> Result<Option<u32>> {
    let Some(status) = read(pid, "status")? else {
        return Ok(None);
    };
    let status = String::from_utf8_lossy(&status);
    // Real, effective, saved and of the file system.
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    users
        .and_then(|users| users.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc/{pid}/status: expected a user"))
        .map(Some)
}

/// The inode number of a process's network namespace; `None` where it is gone.
fn namespace(pid: i32) -> Result<Option<u32>> {
    let path = format!("/proc/{pid}/ns/net");
    // Inode numbers of namespaces are 32 bits wide in the kernel.
    unless_gone(fs::metadata(&path).map(|metadata| metadata.st_ino() as u32))
        .with_context(|| format!("inspect {path}"))
}

/// The beginning of a file of a process; `None` where it is gone.
fn read(pid: i32, name: &str) -> Result<Option<Vec<u8>>> {
    let path = format!("/proc/{pid}/{name}");
    let mut content = Vec::new();
    let result = File::open(&path)
        .and_then(|file| file.take(PROC_LIMIT).read_to_end(&mut content))
        .map(|_| content);
    unless_gone(result).with_context(|| format!("read {path}"))
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
