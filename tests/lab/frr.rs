//! FRR: zebra and vrrpd in a namespace, with the macvlan devices that vrrpd looks for.

use crate::keepalived::{Family, Version};
use crate::link;
use crate::netns::Namespace;
use crate::process::Process;
use crate::workdir::WorkDir;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::User;
use std::fmt::Write;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

const READY: Duration = Duration::from_secs(10);

/// One virtual router of vrrpd. Name in a test only what the test is about.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its address family.
    pub family: Family,
    /// Its protocol version.
    pub version: Version,
    /// The interface it speaks on.
    pub interface: String,
    /// Its virtual router id.
    pub vrid: u8,
    /// Its priority.
    pub priority: u8,
    /// The time between adverts.
    pub interval: Duration,
    /// The virtual addresses, each with its prefix length.
    pub addresses: Vec<String>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            family: Family::V4,
            version: Version::V3,
            interface: "eth0".into(),
            vrid: 7,
            priority: 100,
            interval: Duration::from_secs(1),
            addresses: vec!["10.99.0.100/24".into()],
        }
    }
}

impl Router {
    /// vrrpd takes the device with the virtual hardware address and the virtual addresses.
    fn device(&self) -> Result<String> {
        let Self {
            vrid, interface, ..
        } = self;
        let family = self.digit();
        let name = format!("vrrp{family}-{vrid}");
        let hardware = format!(
            "00:00:5e:00:0{}:{vrid:02x}",
            if family == 4 { 1 } else { 2 }
        );
        let mut lines = format!(
            "link add {name} link {interface} address {hardware} type macvlan mode bridge\n"
        );
        for address in &self.addresses {
            writeln!(lines, "address add {address} dev {name}")?;
        }
        writeln!(lines, "link set {name} up")?;
        Ok(lines)
    }

    fn configuration(&self) -> Result<String> {
        let Self {
            vrid,
            interface,
            priority,
            ..
        } = self;
        let version = if self.version == Version::V2 { 2 } else { 3 };
        let word = if self.family == Family::V4 {
            "ip"
        } else {
            "ipv6"
        };
        let mut lines = format!(
            "interface {interface}\n vrrp {vrid} version {version}\n \
             vrrp {vrid} priority {priority}\n vrrp {vrid} advertisement-interval {}\n",
            self.interval.as_millis()
        );
        for address in &self.addresses {
            let host = address.split('/').next().unwrap_or(address);
            writeln!(lines, " vrrp {vrid} {word} {host}")?;
        }
        Ok(lines)
    }

    const fn digit(&self) -> u8 {
        match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }
}

/// A running vrrpd with its zebra, stopped when dropped. Their logs are shown if the test fails.
#[derive(Debug)]
pub struct Frr {
    // In this order: vrrpd before zebra, which it needs to resign, and both before their files.
    vrrpd: Process,
    zebra: Process,
    _scratch: [Scratch; 2],
    _directory: WorkDir,
}

impl Frr {
    /// Makes the devices, starts zebra and vrrpd and waits until every router runs.
    ///
    /// # Errors
    /// When a device cannot be made or a router does not run after ten seconds.
    pub fn start(namespace: &Namespace, routers: &[Router]) -> Result<Self> {
        let directory = WorkDir::new("frr")?;
        let mut configuration = String::new();
        for router in routers {
            link::ip(namespace, &router.device()?)?;
            configuration += &router.configuration()?;
        }
        fs::write(directory.file("zebra.conf"), "").context("write zebra.conf")?;
        fs::write(directory.file("vrrpd.conf"), configuration).context("write vrrpd.conf")?;
        give_to_frr(directory.path())?;
        let (mut zebra, zebra_scratch) = daemon(namespace, "zebra", &directory)?;
        let socket = directory.file("zserv.api");
        let listening = |_: &str| socket.exists().then_some(());
        zebra.wait_log("zebra's socket", READY, listening)?;
        let (mut vrrpd, vrrpd_scratch) = daemon(namespace, "vrrpd", &directory)?;
        for router in routers {
            let running = format!(
                "[VRID {}] [IPv{}] Initialize -> ",
                router.vrid,
                router.digit()
            );
            let started = |log: &str| log.contains(&running).then_some(());
            vrrpd.wait_log("a running virtual router", READY, started)?;
        }
        let scratch = [zebra_scratch, vrrpd_scratch];
        Ok(Self {
            vrrpd,
            zebra,
            _scratch: scratch,
            _directory: directory,
        })
    }

    /// Waits until the virtual router's last change of state was to master.
    ///
    /// # Errors
    /// When `limit` is over first; with the log.
    pub fn wait_master(&mut self, family: Family, vrid: u8, limit: Duration) -> Result<()> {
        self.wait_state("Master", family, vrid, limit)
    }

    /// Waits until the virtual router's last change of state was to backup.
    ///
    /// # Errors
    /// When `limit` is over first; with the log.
    pub fn wait_backup(&mut self, family: Family, vrid: u8, limit: Duration) -> Result<()> {
        self.wait_state("Backup", family, vrid, limit)
    }

    /// Stops both as the service manager would: every router resigns.
    ///
    /// # Errors
    /// When one had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        self.vrrpd.stop(Signal::SIGTERM)?;
        self.zebra.stop(Signal::SIGTERM)
    }

    /// Kills vrrpd as a crash would: nothing resigns, and the addresses stay.
    ///
    /// # Errors
    /// When it is gone already or does not end.
    pub fn kill(&mut self) -> Result<()> {
        self.vrrpd.signal(Signal::SIGKILL)?;
        self.vrrpd.wait_end()?;
        Ok(())
    }

    /// What vrrpd logged up to now.
    #[must_use]
    pub fn log(&self) -> String {
        self.vrrpd.log()
    }

    fn wait_state(&mut self, state: &str, family: Family, vrid: u8, limit: Duration) -> Result<()> {
        let router = Router {
            family,
            vrid,
            ..Router::default()
        };
        let of_router = format!("[VRID {vrid}] [IPv{}] ", router.digit());
        self.vrrpd
            .wait_log(&format!("{of_router}{state}"), limit, |log| {
                let mut changes = log
                    .lines()
                    .filter_map(|line| line.split_once(&of_router)?.1.split_once(" -> "));
                let (_, last) = changes.next_back()?;
                (last == state).then_some(())
            })
    }
}

/// Where an FRR daemon notes its crashes; it makes the folder at its start and leaves it.
#[derive(Debug)]
struct Scratch(String);

impl Drop for Scratch {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("remove {}: {error}", self.0);
            }
            _ => {}
        }
    }
}

fn daemon(namespace: &Namespace, name: &str, directory: &WorkDir) -> Result<(Process, Scratch)> {
    let mut command = namespace.command(&format!("/usr/lib/frr/{name}"));
    command
        .args(["--log", "stdout", "-P", "0", "--vty_socket"])
        .arg(directory.path())
        .arg("-z")
        .arg(directory.file("zserv.api"))
        .arg("-i")
        .arg(directory.file(&format!("{name}.pid")))
        .arg("-f")
        .arg(directory.file(&format!("{name}.conf")));
    let process = Process::start(name, &mut command, &directory.file(&format!("{name}.log")))?;
    let scratch = Scratch(format!("/var/tmp/frr/{name}.{}", process.pid()));
    Ok((process, scratch))
}

/// FRR's daemons give up root and can then only use what belongs to their own user.
fn give_to_frr(directory: &Path) -> Result<()> {
    let user = User::from_name("frr")?.context("find the user frr")?;
    let own = |path: &Path| chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
    own(directory)?;
    for entry in fs::read_dir(directory)? {
        own(&entry?.path())?;
    }
    Ok(())
}
