//! The network left standing, to be played with.

use crate::LIMIT;
use crate::network::{FIRST, Network, VIRTUAL};
use crate::watch::Watch;
use anyhow::Result;
use keepfast_common::maps;
use lab::binary;
use std::time::Duration;

/// Nobody plays for longer; what was forgotten goes.
const AT_MOST: Duration = Duration::from_secs(3600);

/// Gives the power back, says what can be done, and tells what happens until Ctrl-C.
pub(crate) fn stand(network: &Network, watch: &mut Watch) -> Result<()> {
    println!("\nThe power is back; the first router takes over again.");
    network.power.restore()?;
    watch.wait("the first router as master again", LIMIT, |event| {
        event.is("master_changed") && event.text("/new/address") == FIRST
    })?;
    let (switch, port) = (network.switch().name(), network.power.interface());
    let (second, client) = (network.second.name(), network.client.name());
    let keepfast = binary::path().display();
    let pins = watch.pins();
    let routers = pins.join(maps::ROUTERS);
    println!(
        "\nIt stands until Ctrl-C here, an hour at most. In another terminal, as root:\n\
         \n\
         \x20 cut the power:      ip -n {switch} link set {port} down\n\
         \x20 give it back:       ip -n {switch} link set {port} up\n\
         \x20 be the client:      ip netns exec {client} ping -i 0.1 {VIRTUAL}\n\
         \x20 watch in words:     {keepfast} watch --netns {second}\n\
         \x20 look into a map:    bpftool map dump pinned {}\n\
         \x20 what else there is: ls {}\n\
         \n\
         What keepfast sees:",
        routers.display(),
        pins.display(),
    );
    watch.follow(AT_MOST)
}
