//! `keepfast run --check-config`: what the daemon would say of its declarations.

use anyhow::{Context as _, Result};

use crate::cli::RunArgs;
use crate::config::command::check_directory;
use crate::control::group_id;
use crate::keepalived::render::Features;

use super::plan::Planner;

/// Reads all that is declared and what that names; starts nothing.
///
/// # Errors
///
/// Something is wrong, and has been told.
pub(super) fn check(args: &RunArgs) -> Result<()> {
    if let Some(group) = &args.group {
        group_id(group)?;
    }
    if !args.routers.exists() {
        eprintln!(
            "{} does not exist: no router is declared, and it will be made",
            args.routers.display()
        );
        return Ok(());
    }
    let program = std::env::current_exe().context("find the own program")?;
    // What keepalived understands changes how it is told, not whether.
    let planner = Planner::new(args.state.clone(), program, Features::of_version(""));
    check_directory(&args.routers, |router| planner.plan(router).map(drop))
}
