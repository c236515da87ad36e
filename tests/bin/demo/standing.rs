//! The network left standing, to be played with.

use crate::LIMIT;
use crate::agent::Agent;
use crate::network::{Network, VIRTUAL};
use anyhow::Result;
use lab::binary;
use lab::interrupt;
use std::thread;
use std::time::{Duration, Instant};

/// Nobody plays for longer; what was forgotten goes.
const AT_MOST: Duration = Duration::from_secs(3600);
/// How often it is looked for something new to tell.
const STEP: Duration = Duration::from_millis(200);

/// Gives the power back, says what can be done, and tells what happens until Ctrl-C.
pub(crate) fn stand(network: &Network, first: &mut Agent, second: &mut Agent) -> Result<()> {
    println!("\nThe power is back; the first router takes over again.");
    network.power.restore()?;
    first.wait_state("primary", LIMIT)?;
    second.wait_state("backup", LIMIT)?;
    let (switch, port) = (network.switch().name(), network.power.interface());
    let (second_host, client) = (network.second.name(), network.client.name());
    let keepfast = binary::path().display();
    let socket = second.daemon.socket();
    let socket = socket.display();
    println!(
        "\nIt stands until Ctrl-C here, an hour at most. In another terminal, as root:\n\
         \n\
         \x20 cut the power:      ip -n {switch} link set {port} down\n\
         \x20 give it back:       ip -n {switch} link set {port} up\n\
         \x20 be the client:      ip netns exec {client} ping -i 0.1 {VIRTUAL}\n\
         \x20 ask the agent:      {keepfast} router show demo --socket {socket}\n\
         \x20 watch in words:     {keepfast} watch --netns {second_host}\n\
         \x20 look into the maps: ls /sys/fs/bpf/keepfast/run-{}\n\
         \n\
         What happens:",
        second.daemon.pid()?,
    );
    let end = Instant::now() + AT_MOST;
    while !interrupt::came() && Instant::now() < end {
        first.tell_new("router1")?;
        second.tell_new("router2")?;
        thread::sleep(STEP);
    }
    Ok(())
}
