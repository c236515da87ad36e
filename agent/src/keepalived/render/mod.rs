//! The text of keepalived.conf, and of the script by which keepalived asks
//! whether the gateways live.
//!
//! Pure: the same input gives the same bytes, so a file that is the same need not
//! be written and keepalived not be told.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{AuthenticationKind, Managed, Mode, Profile, Router, VirtualRoute, Vrrp};
use crate::lines::Lines;

mod check;

mod neutron;

mod plain;

pub use check::{Gateway, check_script, gateways};

/// Files that keepalived.conf names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The script of [`check_script`].
    pub check_script: PathBuf,
    /// The file of [`super::raise`].
    pub raise: PathBuf,
}

/// What the installed keepalived understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `no_track` of addresses and routes: somebody else removing one is not a
    /// fault of the instance.
    pub no_track: bool,
}

impl Features {
    /// The features of the version that `keepalived --version` names in the first
    /// line on its stderr; of an unknown version, none.
    #[must_use]
    pub fn of_version(line: &str) -> Self {
        let version = version(line).unwrap_or_default();
        Self {
            no_track: version >= (2, 0, 3),
        }
    }
}

/// The numbers in `Keepalived v2.2.7 (01/16,2022)`.
fn version(line: &str) -> Option<(u16, u16, u16)> {
    let (_, version) = line.split_once("Keepalived v")?;
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// The keepalived.conf of `router`, which is `managed`.
///
/// `secret` is the password of its authentication; without one there is none.
#[must_use]
pub fn render(
    router: &Router,
    managed: &Managed,
    secret: Option<&str>,
    paths: &Paths,
    features: Features,
) -> String {
    match managed.profile {
        Profile::Neutron => neutron::render(router, managed, secret, paths, features),
        Profile::Plain => plain::render(router, managed, secret, paths, features),
    }
}

/// The name of keepfast's own track file.
const RAISE: &str = "keepfast";

/// Whether keepalived's priority is to be raised by a file. A fast path that only
/// looks has it too: to arm it must not need a reload.
fn is_raised(router: &Router) -> bool {
    router.fast_path.mode != Mode::Off
}

/// The file by which it is raised. Without `init_file`: what is in it stays.
fn raise_file(lines: &mut Lines, paths: &Paths) {
    lines.block(format_args!("track_file {RAISE}"), |lines| {
        lines.line(format_args!("file \"{}\"", paths.raise.display()));
        lines.line("weight 1");
    });
}

/// Of the instance: that it is raised so.
fn raised(lines: &mut Lines) {
    lines.list("track_file", [format_args!("{RAISE} weight 1")]);
}

/// How adverts are authenticated; without a password, not at all.
fn authentication(lines: &mut Lines, vrrp: &Vrrp, secret: Option<&str>) {
    let (Some(authentication), Some(secret)) = (&vrrp.authentication, secret) else {
        return;
    };
    let kind = match authentication.kind {
        AuthenticationKind::Pass => "PASS",
        AuthenticationKind::Ah => "AH",
    };
    lines.block("authentication", |lines| {
        lines.line(format_args!("auth_type {kind}"));
        lines.line(format_args!("auth_pass {secret}"));
    });
}

/// Whole seconds, or seconds and hundredths.
fn seconds(time: Duration) -> String {
    let hundredths = time.as_millis() / 10;
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match rest {
        0 => format!("{whole}"),
        _ => format!("{whole}.{rest:02}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// Where a route goes by.
fn way(route: &VirtualRoute) -> String {
    let mut text = String::new();
    if let Some(via) = route.via {
        text += &format!(" via {via}");
    }
    if let Some(interface) = &route.interface {
        text += &format!(" dev {interface}");
    }
    if route.link_scope {
        text += " scope link";
    }
    text
}

#[cfg(test)]
mod tests;
