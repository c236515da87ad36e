//! A connection that stays: that of a registered router's monitor ([`crate::neutron`]).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::message::Request;
use super::peer::Peer;
use super::server::{Incoming, TALK_LIMIT};
use crate::neutron::leading_line;

/// Lines on their way to a monitor; one that is further behind goes on alone.
pub(super) const LINES: usize = 64;

/// Tells the monitor of router `id` whether keepalived has ended, until one of the two lets go.
/// If that is the monitor, the router is looked after no more.
pub(super) async fn lead(
    mut stream: UnixStream,
    id: String,
    peer: Peer,
    mut lines: mpsc::Receiver<bool>,
    requests: mpsc::Sender<Incoming>,
) {
    let mut ignored = [0; 16];
    loop {
        tokio::select! {
            ended = lines.recv() => {
                // The daemon has let go: dropping the stream says so.
                let Some(ended) = ended else { return };
                let line = leading_line(ended).as_bytes();
                if !matches!(timeout(TALK_LIMIT, stream.write_all(line)).await, Ok(Ok(()))) {
                    break;
                }
            }
            // A monitor says nothing more: this is its end.
            _ = stream.read(&mut ignored) => break,
        }
    }
    debug!("the monitor of {id:?} is gone");
    let (answer, _) = oneshot::channel();
    let request = Request::Unregister { id };
    let incoming = Incoming {
        request,
        peer,
        answer,
        lines: None,
    };
    if requests.send(incoming).await.is_err() {
        debug!("the daemon is ending");
    }
}
