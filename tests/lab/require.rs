//! What a test needs, and what happens where it is missing.

use nix::unistd::Uid;
use std::env;
use std::path::{Path, PathBuf};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// To be root.
    Root,
    /// A program, by name or by whole path.
    Tool(&'static str),
    /// A file that the kernel or a package provides.
    File(&'static str),
}

/// Whether all needs are met. If not, prints `skipped:` with the reason.
///
/// ```no_run
/// use lab::require::{Need, require};
/// if !require(&[Need::Root, Need::Tool("keepalived")]) {
///     return;
/// }
/// ```
///
/// Where KEEPFAST_REQUIRE is set, a missing need panics instead: a run that is meant to test
/// everything must not skip.
#[must_use]
pub fn require(needs: &[Need]) -> bool {
    let missing: Vec<_> = needs.iter().filter_map(missing).collect();
    if missing.is_empty() {
        return true;
    }
    let reason = missing.join(", ");
    assert!(
        env::var_os("KEEPFAST_REQUIRE").is_none(),
        "KEEPFAST_REQUIRE is set, but: {reason}"
    );
    println!("skipped: {reason}");
    false
}

fn missing(need: &Need) -> Option<String> {
    let (there, reason) = match need {
        Need::Root => (Uid::effective().is_root(), "not root".to_owned()),
        Need::Tool(name) => (find(name).is_some(), format!("no program {name}")),
        Need::File(path) => (Path::new(path).exists(), format!("no file {path}")),
    };
    (!there).then_some(reason)
}

/// Looks where root's shell would look, even if the path that we were given is shorter.
fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(&Need::Tool("sh")), None);
        assert_eq!(missing(&Need::Tool("/bin/sh")), None);
        assert_eq!(
            missing(&Need::Tool("no-such")).as_deref(),
            Some("no program no-such")
        );
        assert_eq!(
            missing(&Need::File("/no/such")).as_deref(),
            Some("no file /no/such")
        );
    }
}
