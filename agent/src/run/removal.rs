//! Removing a router: nothing of it stays.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::config::{NamespaceChoice, NamespaceName};
use crate::files::Dir;
use crate::netns::Namespace;
use crate::network::namespace;
use crate::notify::Notifier;

use super::jobs::{Job, Outcome};
use super::member::Member;
use super::network;
use super::site::Site;

/// How long the hooks of a router have to be told of its end.
const HOOKS_LIMIT: Duration = Duration::from_secs(2);

/// Where the name of a namespace is noted that was made for a router.
const MADE: &str = "made-namespace";

const MADE_LIMIT: usize = 256;

const HOOKS_STEP: Duration = Duration::from_millis(10);

/// Makes a router's namespace, and notes that it goes with the router.
pub(super) fn make_namespace(directory: &Dir, name: &NamespaceName) -> Result<Namespace> {
    // Noted first: killed in between, the next agent still knows whose it is.
    directory.replace(MADE, name.as_str().as_bytes(), 0o644)?;
    let made = namespace::create(name);
    if made.is_err() {
        directory.remove(MADE)?;
    }
    made
}

/// Whether the namespace was made here; another one was there before the router and
/// stays.
fn was_made(directory: &Dir, name: &NamespaceName) -> bool {
    let noted = directory.read(MADE, MADE_LIMIT).unwrap_or_default();
    noted.as_deref() == Some(name.as_str().as_bytes())
}

/// Waits until the hooks have been told all there is to tell, for a while.
pub(super) fn wait_for_hooks(notifier: &Rc<Notifier>) -> Job {
    let notifier = Rc::clone(notifier);
    Box::pin(async move {
        let end = Instant::now() + HOOKS_LIMIT;
        while notifier.status().iter().any(|hook| hook.pending != 0) && Instant::now() < end {
            sleep(HOOKS_STEP).await;
        }
        Outcome::Told
    })
}

/// Removes what a router has on the host, its programs having ended. What cannot be
/// removed is logged, and the rest is removed all the same.
pub(super) fn remove(base: &Dir, member: &Member, site: Option<&Site>) {
    let say = |what: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            warn!(router = %member.id, "remove {what}: {error:#}");
        }
    };
    if let (Some(site), Some(managed)) = (site, member.managed()) {
        let places = &member.plan().addresses;
        say("virtual addresses", network::clear(site, places, managed));
        say(
            "added addresses",
            network::remove_added(site, &member.directory),
        );
    }
    let id = member.id.as_str();
    if member.managed().is_some() {
        for suffix in ["keepalived", "keepalived-vrrp"] {
            let name = format!("{id}.pid.{suffix}");
            say("a pid file", base.remove(&name).map(drop));
        }
    }
    if let NamespaceChoice::Named { name, .. } = &member.plan().router.namespace
        && was_made(&member.directory, name)
        && site.is_none_or(|site| site.members.len() == 1)
    {
        say("the network namespace", namespace::delete(name));
    }
    say("the router's directory", base.remove_tree(id));
}
