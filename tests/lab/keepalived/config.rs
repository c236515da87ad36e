//! A keepalived configuration as a value.

use anyhow::{Context, Result};
use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The address family of an instance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6, which needs [`Version::V3`].
    V6,
}

/// The protocol version of an instance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Version {
    /// RFC 3768: whole seconds, IPv4 only.
    V2,
    /// RFC 5798 and RFC 9568: hundredths of a second.
    #[default]
    V3,
}

/// The authentication of a version 2 instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Authentication {
    /// None.
    #[default]
    None,
    /// A password in clear, of which eight characters count.
    Pass(String),
    /// An IPsec authentication header.
    Ah(String),
}

/// Which source hardware address an instance uses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Vmac {
    /// The interface's own.
    #[default]
    No,
    /// The virtual one, for adverts too.
    Yes,
    /// The virtual one for the addresses, the interface's own for adverts.
    XmitBase,
}

/// Adverts to peers instead of to the group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unicast {
    /// Our own address.
    pub source: String,
    /// Theirs.
    pub peers: Vec<String>,
}

/// A file whose number, times the weight, is added to the priority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackFile {
    /// The name that instances refer to.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What the number is multiplied by.
    pub weight: i32,
}

/// One `vrrp_instance`. Name in a test only what the test is about: `..Instance::default()`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name.
    pub name: String,
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
    /// Whether it starts as MASTER instead of as BACKUP.
    pub starts_as_master: bool,
    /// Whether a master of lower priority is left alone.
    pub nopreempt: bool,
    /// Whom to send to, if not the group.
    pub unicast: Option<Unicast>,
    /// Its source hardware address.
    pub vmac: Vmac,
    /// Its authentication.
    pub authentication: Authentication,
    /// The virtual addresses, each with its prefix length.
    pub addresses: Vec<String>,
    /// The name of the [`TrackFile`] that it follows.
    pub track_file: Option<String>,
    /// Further lines.
    pub extra: Vec<String>,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            name: "VI_1".into(),
            family: Family::V4,
            version: Version::V3,
            interface: "eth0".into(),
            vrid: 7,
            priority: 100,
            interval: Duration::from_secs(1),
            starts_as_master: false,
            nopreempt: false,
            unicast: None,
            vmac: Vmac::No,
            authentication: Authentication::None,
            addresses: vec!["10.99.0.100/24".into()],
            track_file: None,
            extra: Vec::new(),
        }
    }
}

/// A whole keepalived.conf.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Further lines of `global_defs`, such as `vrrp_notify_fifo /run/x`.
    pub globals: Vec<String>,
    /// The tracked files; made with the number 0 if they are not there.
    pub track_files: Vec<TrackFile>,
    /// The instances.
    pub instances: Vec<Instance>,
    /// Further blocks, such as a `vrrp_sync_group`.
    pub extra: Vec<String>,
}

impl From<Instance> for Config {
    fn from(instance: Instance) -> Self {
        Self {
            instances: vec![instance],
            ..Self::default()
        }
    }
}

impl Config {
    /// Writes it as a file that keepalived reads.
    ///
    /// # Errors
    /// When the file, or one that is tracked, cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        for TrackFile { path, .. } in &self.track_files {
            if !path.exists() {
                fs::write(path, "0\n").with_context(|| format!("write {}", path.display()))?;
            }
        }
        fs::write(file, self.to_string()).with_context(|| format!("write {}", file.display()))
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let globals = self.globals.iter().map(String::as_str);
        // Fixed, so that nothing depends on the host's name or on looking it up.
        block(
            f,
            "global_defs",
            ["router_id lab"].into_iter().chain(globals),
        )?;
        for TrackFile { name, path, weight } in &self.track_files {
            let file = format!("file {}", path.display());
            block(
                f,
                &format!("track_file {name}"),
                [file, format!("weight {weight}")],
            )?;
        }
        for instance in &self.instances {
            write!(f, "{instance}")?;
        }
        self.extra
            .iter()
            .try_for_each(|lines| writeln!(f, "{lines}"))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = self.extra.clone();
        body.push(format!("interface {}", self.interface));
        body.push(format!(
            "state {}",
            if self.starts_as_master {
                "MASTER"
            } else {
                "BACKUP"
            }
        ));
        body.push(format!(
            "version {}",
            if self.version == Version::V2 { 2 } else { 3 }
        ));
        body.push(format!("virtual_router_id {}", self.vrid));
        body.push(format!("priority {}", self.priority));
        body.push(format!("advert_int {}", self.interval.as_secs_f64()));
        if self.family == Family::V6 {
            body.push("native_ipv6".into());
        }
        if self.nopreempt {
            body.push("nopreempt".into());
        }
        match self.vmac {
            Vmac::No => {}
            Vmac::Yes => body.push("use_vmac".into()),
            Vmac::XmitBase => body.extend(["use_vmac".into(), "vmac_xmit_base".into()]),
        }
        if let Some(Unicast { source, peers }) = &self.unicast {
            body.push(format!("unicast_src_ip {source}"));
            body.push(nested("unicast_peer", peers)?);
        }
        match &self.authentication {
            Authentication::None => {}
            Authentication::Pass(password) => body.push(authentication("PASS", password)?),
            Authentication::Ah(password) => body.push(authentication("AH", password)?),
        }
        if let Some(name) = &self.track_file {
            body.push(nested("track_file", [name])?);
        }
        body.push(nested("virtual_ipaddress", &self.addresses)?);
        block(f, &format!("vrrp_instance {}", self.name), body)
    }
}

fn authentication(kind: &str, password: &str) -> Result<String, fmt::Error> {
    nested(
        "authentication",
        [format!("auth_type {kind}"), format!("auth_pass {password}")],
    )
}

fn nested(
    title: &str,
    lines: impl IntoIterator<Item = impl fmt::Display>,
) -> Result<String, fmt::Error> {
    let mut text = String::new();
    block(&mut text, title, lines)?;
    Ok(text)
}

fn block(
    f: &mut impl Write,
    title: &str,
    lines: impl IntoIterator<Item = impl fmt::Display>,
) -> fmt::Result {
    writeln!(f, "{title} {{")?;
    lines
        .into_iter()
        .try_for_each(|line| writeln!(f, "{line}"))?;
    writeln!(f, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_reaches_the_file() {
        let config = Config {
            globals: vec!["vrrp_rt_priority 50".into()],
            track_files: vec![TrackFile {
                name: "raise".into(),
                path: "/x".into(),
                weight: 1,
            }],
            instances: vec![Instance {
                version: Version::V2,
                interval: Duration::from_millis(2500),
                nopreempt: true,
                starts_as_master: true,
                unicast: Some(Unicast {
                    source: "1.1.1.1".into(),
                    peers: vec!["2.2.2.2".into()],
                }),
                vmac: Vmac::XmitBase,
                authentication: Authentication::Pass("secret".into()),
                track_file: Some("raise".into()),
                extra: vec!["debug 4".into()],
                ..Instance::default()
            }],
            extra: vec!["# end".into()],
        };
        let text = config.to_string();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "global_defs { router_id lab vrrp_rt_priority 50 } \
             track_file raise { file /x weight 1 } \
             vrrp_instance VI_1 { debug 4 interface eth0 state MASTER version 2 \
             virtual_router_id 7 priority 100 advert_int 2.5 nopreempt use_vmac vmac_xmit_base \
             unicast_src_ip 1.1.1.1 unicast_peer { 2.2.2.2 } \
             authentication { auth_type PASS auth_pass secret } track_file { raise } \
             virtual_ipaddress { 10.99.0.100/24 } } # end"
        );
    }
}
