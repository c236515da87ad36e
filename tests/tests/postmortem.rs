//! What `keepfast postmortem` says of failovers of real keepalived, against independent captures.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::require::Need;

#[path = "postmortem/browser.rs"]
mod browser;
#[path = "postmortem/failovers.rs"]
mod failovers;
#[path = "postmortem/pair.rs"]
mod pair;
#[path = "postmortem/salvage.rs"]
mod salvage;

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("tcpdump"),
            Need::Tool("tshark"),
        ],
        test,
    );
}
