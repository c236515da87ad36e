//! Tests on other kernels, with the keepalived of their releases: each in an emulated machine.

mod guest;
mod image;
mod subset;

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::project::Project;
use crate::test::Counts;

pub(crate) use subset::only_there;

/// A kernel of Debian's.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12's, with its keepalived 2.2.
    #[value(name = "6.1")]
    Linux6_1,
    /// Debian 13's, with its keepalived 2.3.
    #[value(name = "6.12")]
    Linux6_12,
    /// The newest of the archive, with the programs of Debian 13: those of unstable cannot always be
    /// installed together.
    Newest,
}

impl Kernel {
    /// Those that must work at all times.
    pub(crate) const SUPPORTED: [Self; 2] = [Self::Linux6_1, Self::Linux6_12];

    /// As the command line calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Linux6_1 => "6.1",
            Self::Linux6_12 => "6.12",
            Self::Newest => "newest",
        }
    }

    /// The release whose programs run on it.
    fn release(self) -> &'static str {
        match self {
            Self::Linux6_1 => "bookworm",
            Self::Linux6_12 | Self::Newest => "trixie",
        }
    }

    /// Where the kernel is looked for: the newest of these.
    fn suites(self) -> &'static str {
        match self {
            Self::Linux6_1 | Self::Linux6_12 => self.release(),
            Self::Newest => "sid experimental trixie-backports",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes what the supported ones boot from.
pub(crate) fn provide(project: &Project) -> Result<()> {
    let mut kernels = Kernel::SUPPORTED.into_iter();
    kernels.try_for_each(|kernel| image::provide(project, kernel).map(drop))
}

/// Runs the subset on a kernel, or these tests instead: each is a file of `tests/tests`, and may
/// go on with `::` and a part of the names of its tests.
pub(crate) fn test(
    project: &Project,
    kernel: Kernel,
    only: &[String],
    counts: &mut Counts,
) -> Result<()> {
    let chosen: Vec<_> = if only.is_empty() {
        subset::SUBSET.iter().map(guest::Run::exact).collect()
    } else {
        only.iter().map(|word| guest::Run::matching(word)).collect()
    };
    let watched =
        guest::run(project, kernel, &chosen).with_context(|| format!("test on Linux {kernel}"))?;
    let own = watched.counts;
    *counts += own;
    ensure!(
        watched.status.success() && guest::ended(&watched.output),
        "on Linux {kernel}: ended before its tests, after {own}: {}",
        watched.status
    );
    ensure!(own.failed == 0, "on Linux {kernel}: {own}");
    ensure!(own.passed > 0, "on Linux {kernel}: no test ran");
    if only.is_empty() {
        let wanted = subset::size(subset::SUBSET);
        ensure!(
            own.passed == wanted,
            "on Linux {kernel}: {} of {wanted} tests ran",
            own.passed
        );
    }
    Ok(())
}
