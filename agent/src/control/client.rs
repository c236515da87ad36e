//! Asking the daemon.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::message::{ErrorKind as Kind, ErrorReply, MOST_REQUEST, Reply, Request};
use crate::exit::BadInput;

/// How long the daemon may take to read a request.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// The most that is read of a reply: a thousand routers, each shown in full, and
/// many times that.
const MOST_REPLY: u64 = 64 * 1024 * 1024;

/// Asks the daemon that listens at `path`, and returns its result.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Value> {
    let mut line = serde_json::to_string(request).context("write the request")?;
    line.push('\n');
    if line.len() > MOST_REQUEST {
        return Err(BadInput(format!(
            "a request of {} bytes: expected at most {MOST_REQUEST}",
            line.len()
        ))
        .into());
    }
    let reply = exchange(path, &line, request.limit())?;
    match reply.error {
        None => Ok(reply.result),
        Some(error) => Err(as_error(error)),
    }
}

fn exchange(path: &Path, line: &str, limit: Duration) -> Result<Reply> {
    let mut stream = connect(path)?;
    let doing = || format!("ask the daemon at {}", path.display());
    stream
        .set_write_timeout(Some(SEND_LIMIT))
        .and_then(|()| stream.set_read_timeout(Some(limit + SEND_LIMIT * 2)))
        .with_context(doing)?;
    // A daemon that will not listen says why all the same.
    let sent = stream.write_all(line.as_bytes());
    let mut reply = Vec::new();
    let received = BufReader::new(stream.take(MOST_REPLY)).read_until(b'\n', &mut reply);
    if reply.is_empty() {
        sent.with_context(doing)?;
    }
    received.with_context(doing)?;
    ensure!(
        reply.ends_with(b"\n"),
        "the daemon at {} ended without a complete reply",
        path.display()
    );
    serde_json::from_slice(&reply)
        .with_context(|| format!("what the daemon at {} replied", path.display()))
}

fn connect(path: &Path) -> Result<UnixStream> {
    match UnixStream::connect(path) {
        Ok(stream) => Ok(stream),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            bail!(
                "no keepfast daemon listens at {}: `systemctl start keepfast` starts it",
                path.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("connect to {}", path.display())),
    }
}

/// With the exit code that is right for it.
fn as_error(error: ErrorReply) -> anyhow::Error {
    let ErrorReply { message, kind } = error;
    match kind {
        Kind::BadInput | Kind::NotFound => BadInput(message).into(),
        Kind::Denied => std::io::Error::new(ErrorKind::PermissionDenied, message).into(),
        Kind::Failure => anyhow!(message),
    }
}
