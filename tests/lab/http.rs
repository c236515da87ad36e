//! As little of HTTP as a client needs that asks for metrics.

use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the other side may take for what it does at once.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks for the metrics in a format; the page.
///
/// # Errors
/// When they are refused, or are not whole.
pub fn get(address: SocketAddr, accept: &str) -> Result<String> {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: keepfast\r\nAccept: {accept}\r\n\r\n");
    let answer = say(address, request.as_bytes())?;
    let (head, body) = answer.split_once("\r\n\r\n").context("find the body")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "answered: {head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("find the length")?.parse()?;
    ensure!(body.len() == length, "{} bytes of {length}", body.len());
    Ok(body.to_owned())
}

/// Sends this, and returns all that comes until the other side closes.
///
/// # Errors
/// When nobody listens, or the other side is silent.
pub fn say(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = connect(address)?;
    // It may be refused half way.
    stream.write_all(bytes).unwrap_or_default();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error).context("read the answer"),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Connects.
///
/// # Errors
/// When nobody listens.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}
