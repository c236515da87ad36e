//! Delivery to a unix stream socket: one connection for one transition.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{Published, Transition};

/// How long a connection that found the listener's backlog full waits. The kernel
/// does not say when there is room.
const FULL: Duration = Duration::from_millis(1);

/// The most that is read of an answer, and the most that Neutron reads of a request.
const MOST: usize = 4096;

/// What is spoken on the socket.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    /// A line of JSON, and any answer or none.
    Line,
    /// The HTTP request of `neutron-keepalived-state-change`, and `200`.
    Neutron,
}

/// A transition as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    router: &'a str,
    state: &'static str,
    previous: Option<&'static str>,
    reason: &'a str,
    sequence: u64,
    time: String,
}

/// Tells `transition` to the listener of `path`, within `limit`.
///
/// `turns` are those to connect. Waiting for them counts: they are only slow to come
/// where the listener is.
pub(super) async fn tell(
    path: &Path,
    protocol: Protocol,
    transition: &Transition,
    turns: &Semaphore,
    limit: Duration,
) -> Result<()> {
    timeout(limit, exchange(path, protocol, transition, turns))
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {limit:?}")))
        .with_context(|| format!("tell {}", path.display()))
}

async fn exchange(
    path: &Path,
    protocol: Protocol,
    transition: &Transition,
    turns: &Semaphore,
) -> Result<()> {
    let mut stream = connect(path, turns).await?;
    match protocol {
        Protocol::Line => {
            send(&stream, &line(transition)?).await?;
            stream.shutdown().await.context("end the line")?;
            // An answer or the end: both say that it was read.
            let mut answer = [0];
            stream.read(&mut answer).await.context("read the answer")?;
            Ok(())
        }
        Protocol::Neutron => {
            send(&stream, &neutron_request(transition)).await?;
            demand_success(&first_line(&mut stream).await?)
        }
    }
}

/// Connects. A full backlog is no failure: the listener lives and is only busy.
async fn connect(path: &Path, turns: &Semaphore) -> Result<UnixStream> {
    let _turn = turns.acquire().await.context("wait for a turn")?;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(FULL).await,
            outcome => return outcome.context("connect"),
        }
    }
}

/// Sends `request` at once: Neutron receives once, and has what is there by then.
async fn send(stream: &UnixStream, request: &[u8]) -> Result<()> {
    stream.writable().await.context("send")?;
    let sent = stream.try_write(request).context("send")?;
    ensure!(
        sent == request.len(),
        "sent {sent} of {} bytes",
        request.len()
    );
    Ok(())
}

/// The first line of the answer, without its end.
async fn first_line(stream: &mut UnixStream) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut limited = stream.take(MOST as u64);
    loop {
        let read = limited.read_buf(&mut answer).await;
        let read = read.context("read the answer")?;
        if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
            answer.truncate(end);
            return Ok(answer);
        }
        if read == 0 {
            return Ok(answer);
        }
    }
}

/// Whether the status line says 200.
fn demand_success(status_line: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(status_line);
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/") => Ok(()),
        (None, _) => bail!("closed without an answer: expected HTTP/1.1 200"),
        _ => bail!("answered {text:?}: expected HTTP/1.1 200"),
    }
}

fn line(transition: &Transition) -> Result<Vec<u8>> {
    let line = Line {
        router: &transition.router,
        state: transition.state.as_str(),
        previous: transition.previous.map(Published::as_str),
        reason: &transition.reason,
        sequence: transition.sequence,
        time: transition.time(),
    };
    let mut bytes = serde_json::to_vec(&line).context("write the line")?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// As curl sends it for `neutron-keepalived-state-change`.
fn neutron_request(transition: &Transition) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\n\
         Host: 127.0.0.1\r\n\
         User-Agent: keepfast\r\n\
         Accept: */*\r\n\
         X-Neutron-Router-Id: {}\r\n\
         X-Neutron-State: {}\r\n\
         Connection: close\r\n\
         \r\n",
        transition.router,
        transition.state.as_str()
    )
    .into_bytes()
}
