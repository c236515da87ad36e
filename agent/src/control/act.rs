//! `keepfast failover`, `drain`, `undrain` and `shadow`: has the daemon act, and prints how
//! that went.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::ask;
use super::command::print;
use super::{DEFAULT_SOCKET, Request};
use crate::config::RouterId;
use crate::printable::printable;

/// Arguments of `keepfast failover`.
#[derive(Debug, Args)]
pub struct FailoverArgs {
    /// The router.
    #[arg(value_name = "ROUTER")]
    pub router: RouterId,

    /// Where the daemon listens.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Arguments of `keepfast drain` and `keepfast undrain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Where the daemon listens.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Arguments of `keepfast shadow`.
#[derive(Debug, Args)]
pub struct ShadowArgs {
    /// Whether it is to be in shadow; `off` is what its file says.
    pub shadow: Switch,

    /// The router.
    #[arg(value_name = "ROUTER")]
    pub router: RouterId,

    /// Where the daemon listens.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Runs `keepfast failover`.
///
/// # Errors
///
/// No daemon listens, it refuses, or no other host took the router over.
pub fn failover(args: &FailoverArgs) -> Result<()> {
    let id = args.router.to_string();
    let result = ask(&args.socket, &Request::Failover { id })?;
    print(&format!("{}: {}\n", args.router, text(&result, "words")))
}

/// Runs `keepfast drain`.
///
/// # Errors
///
/// No daemon listens, it refuses, or a router stays.
pub fn drain(args: &DrainArgs) -> Result<()> {
    let result = ask(&args.socket, &Request::DrainHost)?;
    let routers = result["routers"].as_array().map_or(&[][..], Vec::as_slice);
    for router in routers {
        print(&format!(
            "{}: {}\n",
            text(router, "id"),
            text(router, "words")
        ))?;
    }
    match result["stay"].as_u64() {
        Some(0) => print("drained: this host takes nothing over until `keepfast undrain`\n"),
        stay => bail!(
            "this host takes nothing over any more, but {} of {} routers stay",
            stay.unwrap_or_default(),
            routers.len()
        ),
    }
}

/// Runs `keepfast undrain`.
///
/// # Errors
///
/// No daemon listens, or it refuses.
pub fn undrain(args: &DrainArgs) -> Result<()> {
    let result = ask(&args.socket, &Request::Undrain)?;
    if result["was_drained"] == false {
        return print("this host was not drained\n");
    }
    for router in result["routers"].as_array().into_iter().flatten() {
        let id = printable(router.as_str().unwrap_or_default());
        print(&format!("{id}: may be primary here again\n"))?;
    }
    print("undrained: this host takes over again\n")
}

/// Runs `keepfast shadow`.
///
/// # Errors
///
/// No daemon listens, it refuses, or the router has no fast path.
pub fn shadow(args: &ShadowArgs) -> Result<()> {
    let on = args.shadow == Switch::On;
    let id = args.router.to_string();
    ask(&args.socket, &Request::Shadow { id, on })?;
    let what = if on {
        "in shadow: it decides and logs, and does nothing"
    } else {
        "as its file says"
    };
    print(&format!("{}: {what}\n", args.router))
}

fn text(value: &Value, member: &str) -> String {
    printable(value[member].as_str().unwrap_or_default())
}
