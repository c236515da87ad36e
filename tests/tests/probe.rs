//! Probes between two hosts, by the programs in the kernel and the maps alone: who answers which,
//! what an answer says, what is believed, when silence is told, and what a fence holds back.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "probe/bounce.rs"]
mod bounce;
#[path = "probe/fence.rs"]
mod fence;
#[path = "probe/frames.rs"]
mod frames;
#[path = "probe/pair.rs"]
mod pair;
#[path = "probe/silence.rs"]
mod silence;
