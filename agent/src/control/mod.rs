//! The control socket and those who speak through it.
//!
//! A unix stream socket takes one [`Request`] per connection, as one line of JSON of
//! at most [`MOST_REQUEST`] bytes, and answers it with one [`Reply`], as one line of
//! JSON. It is for root, for the user that the daemon runs as, and for the group
//! that it was told of. A connection that registers a router stays open ([`lead`]).
//! [`Server`] is the daemon's side, [`command`] that of
//! `keepfast router`, [`act`] that of `keepfast failover` and its like.
//!
//! ```text
//! {"op":"apply","text":"...","origin":"r1.toml","wait_for_interfaces":false}
//! {"op":"delete","id":"r1"}
//! {"op":"list"}
//! {"op":"show","id":"r1"}
//! {"op":"status","id":null}
//! {"op":"register","id":"r2",...}
//! {"op":"failover","id":"r1"}
//! {"op":"drain_host"}
//! {"op":"undrain"}
//! {"op":"shadow","id":"r1","on":true}
//! {"op":"teardown"}
//! {"op":"diff","text":"...","origin":"r1.toml"}
//!
//! {"ok":true,"error":null,"result":...}
//! {"ok":false,"error":{"message":"...","kind":"bad_input"},"result":null}
//! ```

mod message;

mod server;

mod peer;

mod lead;

pub mod command;

pub mod act;

mod client;

mod words;

pub(crate) use client::ask;
pub use message::{ErrorKind, ErrorReply, MOST_REQUEST, Reply, Request};
pub use peer::Peer;
pub(crate) use server::group_id;
pub use server::{Incoming, Server, receive};

/// Where the daemon listens, unless another path is named.
pub const DEFAULT_SOCKET: &str = "/run/keepfast/control.sock";

#[cfg(test)]
mod tests;
