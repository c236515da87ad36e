//! Checking, starting, adopting and ending keepalived.
//!
//! It stays in the foreground (`-n`), so that its id is known at once; it writes its
//! pid files, reloads at SIGHUP and resigns at SIGTERM as it does when it makes a
//! daemon of itself. Its VRRP process is a child of its own: killed alone, it is
//! started again; left alone, the kernel sends it SIGTERM and it resigns.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Uid;
use tracing::warn;

use crate::config::RouterId;
use crate::files::Dir;
use crate::netns::Namespace;
use crate::process::{self, Adoption, Identity, Process, Start, Stopped, adopt_by_pid_file};

/// Its program, and the name of its processes.
const NAME: &str = "keepalived";
/// How long it may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to check a configuration.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// How long it has to resign and end; Neutron, too, gives it this.
const GRACE: Duration = Duration::from_secs(5);
/// How long a VRRP process has that lost its parent: it ends within about a second.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);
/// How many lines of what it says about a configuration are told on.
const LINES: usize = 10;
/// How many characters of each.
const LINE_LENGTH: usize = 200;
/// Its exit statuses for a configuration that it has something to say about, and for
/// one where that is about the security of scripts.
const REMARKED: [i32; 2] = [5, 6];
/// What it remarks about every configuration of Neutron's, and does as it should all
/// the same. Anything else makes a configuration a wrong one.
const HARMLESS_REMARKS: [&str; 4] = [
    // Neutron does not ask it to look who may change the check script: only root may.
    "scripts are being executed but script_security not enabled",
    "since own interface",
    "Cannot specify scope for IPv6 addresses",
    "Route cannot be tracked if protocol is not RTPROT_KEEPALIVED",
];
/// How much of a configuration is searched for a password, bytes.
const CONF_LIMIT: u64 = 4 * 1024 * 1024;

/// The files of one keepalived, where Neutron has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Its configuration, `<directory>/<id>/keepalived.conf`.
    pub conf: PathBuf,
    /// With the id of its process, `<directory>/<id>.pid.keepalived`.
    pub pid: PathBuf,
    /// With the id of its VRRP process, `<directory>/<id>.pid.keepalived-vrrp`.
    pub vrrp_pid: PathBuf,
    /// What its environment names it, `keepalived-<id>`.
    tag: String,
}

impl Paths {
    /// Those of a router, below `directory`.
    pub fn new(directory: &Path, id: &RouterId) -> Self {
        let id = id.as_str();
        Self {
            conf: directory.join(id).join("keepalived.conf"),
            pid: directory.join(format!("{id}.pid.keepalived")),
            vrrp_pid: directory.join(format!("{id}.pid.keepalived-vrrp")),
            tag: format!("keepalived-{id}"),
        }
    }
}

/// What the installed keepalived calls itself, with its version.
///
/// # Errors
///
/// There is none, or it does not tell.
pub async fn version() -> Result<String> {
    let start = Start {
        program: NAME,
        arguments: vec!["--version".into()],
        namespace: None,
        environment: &[],
    };
    let finished = process::run(&start, VERSION_LIMIT).await?;
    let first = finished.output.lines().next().unwrap_or_default();
    ensure!(
        finished.status.success() && first.starts_with("Keepalived "),
        "{NAME} --version said {first:?}: expected its name and version"
    );
    Ok(first.to_owned())
}

/// Has keepalived check a configuration in the namespace where it is to run.
///
/// # Errors
///
/// It does not accept it, or finds something in it that it would leave out: with its
/// own words, less what could give a password away.
pub async fn check(namespace: &Namespace, conf: &Path) -> Result<()> {
    let start = Start {
        program: NAME,
        arguments: vec!["-t".into(), "-f".into(), conf.into()],
        namespace: Some(namespace),
        environment: &[],
    };
    let finished = process::run(&start, CHECK_LIMIT).await?;
    let code = finished.status.code();
    let remarked = code.is_some_and(|code| REMARKED.contains(&code));
    if finished.status.success() || remarked && are_harmless(&finished.output) {
        return Ok(());
    }
    let mut text = Vec::new();
    File::open(conf)
        .and_then(|file| file.take(CONF_LIMIT).read_to_end(&mut text))
        .with_context(|| format!("read {}", conf.display()))?;
    bail!(
        "{NAME} does not accept {} ({}): {}",
        conf.display(),
        finished.status,
        harmless(&finished.output, &String::from_utf8_lossy(&text))
    )
}

/// Starts keepalived. Pid files that are there must be its own: it would not start
/// besides a process that one of them names, whatever that is; [`kill_orphan`] sees
/// to that.
///
/// # Errors
///
/// It cannot be started; what it thinks of its configuration is seen later only.
pub fn start(namespace: &Namespace, paths: &Paths, debug: bool) -> Result<Process> {
    let mut arguments: Vec<OsString> = vec!["-n".into(), "-P".into()];
    for (option, path) in [
        ("-f", &paths.conf),
        ("-p", &paths.pid),
        ("-r", &paths.vrrp_pid),
    ] {
        arguments.push(option.into());
        arguments.push(path.into());
    }
    if debug {
        arguments.push("-D".into());
    }
    process::start(&Start {
        program: NAME,
        arguments,
        namespace: Some(namespace),
        environment: &[("PROCESS_TAG", &paths.tag)],
    })
}

/// A keepalived that already runs with these files in this namespace, whoever
/// started it. Without its own pid file it is found by that of its VRRP process.
/// `directory` is where the pid files are.
///
/// # Errors
///
/// A pid file is no regular file, or a process cannot be looked at.
pub fn adopt(directory: &Dir, paths: &Paths, namespace: &Namespace) -> Result<Option<Process>> {
    let identity = identity(paths, namespace)?;
    if let Adoption::Running(process) =
        adopt_by_pid_file(directory, file_name(&paths.pid)?, &identity)?
    {
        return Ok(Some(process));
    }
    match any_vrrp_process(directory, paths, &identity)?
        .map(|child| child.parent())
        .transpose()?
        .flatten()
    {
        Some(parent) => process::adopt(parent, &identity),
        None => Ok(None),
    }
}

/// The VRRP process that runs with these files in this namespace, whosever child it
/// is.
///
/// # Errors
///
/// As [`adopt`].
pub fn vrrp_process(
    directory: &Dir,
    paths: &Paths,
    namespace: &Namespace,
) -> Result<Option<Process>> {
    any_vrrp_process(directory, paths, &identity(paths, namespace)?)
}

/// Clears the way for [`start`]: ends a VRRP process that lost its parent, and
/// removes pid files of nobody or of somebody else, whom it leaves alone. Returns
/// whether there was such a process. Where a whole keepalived runs, nothing is done.
///
/// # Errors
///
/// It does not end even if killed, or a pid file is no regular file.
pub async fn kill_orphan(directory: &Dir, paths: &Paths, namespace: &Namespace) -> Result<bool> {
    if adopt(directory, paths, namespace)?.is_some() {
        return Ok(false);
    }
    let orphan = any_vrrp_process(directory, paths, &identity(paths, namespace)?)?;
    if let Some(orphan) = &orphan {
        // Rather than killed at once: resigning, it takes its addresses along.
        let stopped = process::stop(orphan, ORPHAN_GRACE).await?;
        warn!(
            "{NAME}'s VRRP process {} had lost its parent and was {}",
            orphan.pid(),
            match stopped {
                Stopped::Ended => "ended",
                Stopped::Killed => "killed",
            }
        );
    }
    for path in [&paths.pid, &paths.vrrp_pid] {
        directory.remove(file_name(path)?)?;
    }
    Ok(orphan.is_some())
}

/// Ends keepalived: it resigns, or is killed after five seconds, as is its VRRP
/// process then. The pid files go last.
///
/// # Errors
///
/// It does not end even if killed, or as [`kill_orphan`].
pub async fn stop(
    process: &Process,
    directory: &Dir,
    paths: &Paths,
    namespace: &Namespace,
) -> Result<Stopped> {
    let stopped = process::stop(process, GRACE).await?;
    kill_orphan(directory, paths, namespace).await?;
    Ok(stopped)
}

/// The VRRP process that runs with these files, whosever child it is.
fn any_vrrp_process(
    directory: &Dir,
    paths: &Paths,
    identity: &Identity<'_>,
) -> Result<Option<Process>> {
    let found = adopt_by_pid_file(directory, file_name(&paths.vrrp_pid)?, identity)?;
    Ok(match found {
        Adoption::Running(process) => Some(process),
        Adoption::Foreign(_) | Adoption::Gone | Adoption::NoFile => None,
    })
}

/// What both of its processes are known by.
fn identity<'a>(paths: &'a Paths, namespace: &Namespace) -> Result<Identity<'a>> {
    Ok(Identity {
        name: NAME,
        argument: Some(text(paths.conf.as_os_str(), &paths.conf)?),
        namespace: Some(namespace.inode()),
        user: Some(Uid::current().as_raw()),
    })
}

fn file_name(path: &Path) -> Result<&str> {
    text(path.file_name().unwrap_or_default(), path)
}

fn text<'a>(part: &'a std::ffi::OsStr, path: &Path) -> Result<&'a str> {
    part.to_str()
        .with_context(|| format!("{}: expected a path in UTF-8", path.display()))
}

/// Whether it has said something, and nothing that matters.
fn are_harmless(said: &str) -> bool {
    let known = |line: &str| HARMLESS_REMARKS.iter().any(|remark| line.contains(remark));
    let mut lines = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    lines.peek().is_some() && lines.all(known)
}

/// What keepalived said, without the lines that could hold a password of `conf`, and
/// not too much of it.
fn harmless(said: &str, conf: &str) -> String {
    // A password that is not taken as one word turns up piece by piece.
    let secrets: Vec<&str> = conf
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("auth_pass"))
        .flat_map(str::split_whitespace)
        .collect();
    let is_harmless = |line: &&str| {
        let names_it = line.to_ascii_lowercase().contains("auth");
        !names_it && !secrets.iter().any(|secret| line.contains(secret))
    };
    let all = said.lines().count();
    let lines: Vec<String> = said
        .lines()
        .filter(is_harmless)
        .take(LINES)
        .map(|line| line.chars().take(LINE_LENGTH).collect())
        .collect();
    let withheld = match all - lines.len() {
        0 => String::new(),
        count => format!(" ({count} more not shown)"),
    };
    format!("{}{withheld}", lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_neutron_has_them() {
        let id: RouterId = "5a7c".parse().unwrap();
        let paths = Paths::new(Path::new("/var/lib/neutron/ha_confs"), &id);
        let below = |name: &str| Path::new("/var/lib/neutron/ha_confs").join(name);
        assert_eq!(paths.conf, below("5a7c/keepalived.conf"));
        assert_eq!(paths.pid, below("5a7c.pid.keepalived"));
        assert_eq!(paths.vrrp_pid, below("5a7c.pid.keepalived-vrrp"));
    }

    #[test]
    fn only_known_remarks_are_harmless() {
        let own = "(VR_5) Ignoring track_interface ha-1 since own interface\n";
        let scope = "(x.conf: Line 21) Cannot specify scope for IPv6 addresses (fe80::1/64)\n";
        let script = "SECURITY VIOLATION - scripts are being executed but script_security \
                      not enabled.\n";
        let unsafe_script = "Unsafe permissions found for script '/x'.\n";
        let wrong = "(x.conf: Line 9) Unknown keyword 'nopreemptx'\n";
        for (said, expected) in [
            (own.to_owned(), true),
            (format!("{own}\n{scope}"), true),
            (format!("{own}{script}"), true),
            (format!("{own}{script}{unsafe_script}"), false),
            (format!("{own}{wrong}{scope}"), false),
            (String::new(), false),
        ] {
            assert_eq!(are_harmless(&said), expected, "{said:?}");
        }
    }

    #[test]
    fn complaints_are_told_without_the_password() {
        let check = |said: &str, conf: &str, expected: &str| {
            assert_eq!(harmless(said, conf), expected, "{said:?}");
        };
        let conf = "    auth_type PASS\n    auth_pass hush hu}sh\n";
        check("one\ntwo", conf, "one; two");
        check(
            "Unknown keyword 'hush'\ntwo",
            conf,
            "two (1 more not shown)",
        );
        check("Unexpected 'hu}sh'", conf, " (1 more not shown)");
        check("Truncating auth_pass x", "", " (1 more not shown)");
        check("Unknown keyword 'AUTH_PAS'", "", " (1 more not shown)");
        check("Unknown 'x'", "auth_passs x\n", " (1 more not shown)");
        check("", conf, "");
        let many = "line\n".repeat(12);
        let first = ["line"; 10].join("; ");
        check(&many, conf, &format!("{first} (2 more not shown)"));
        check(&"x".repeat(300), "", &"x".repeat(200));
    }
}
