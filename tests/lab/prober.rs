//! A client that asks a virtual address all the time, and what it noticed.

use crate::clock::monotonic_ns;
use crate::netns::Namespace;
use crate::wait;
use anyhow::{Context, Result, anyhow};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a prober asks unless told otherwise.
pub const PERIOD: Duration = Duration::from_micros(500);
/// How long the receiver waits before it looks whether it shall end, and so how long the last
/// probes have to be answered.
const RECEIVE_LIMIT: Duration = Duration::from_millis(50);
/// Type, code, checksum, identifier and sequence number; the kernel fills in the middle ones.
const HEADER: usize = 8;

/// A running client: ICMP echo at a steady pace, answered by whoever holds the address.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<Result<Vec<u64>>>>,
    receiver: Option<JoinHandle<Result<Answers>>>,
}

/// The number of each answered probe, and when the answer came.
type Answers = Vec<(usize, u64)>;

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answers: AtomicU64,
}

impl Prober {
    /// Starts to probe `address` from a namespace, every [`PERIOD`].
    ///
    /// # Errors
    /// When the namespace cannot be entered or the socket not be made.
    pub fn start(namespace: &Namespace, address: IpAddr) -> Result<Self> {
        Self::start_every(namespace, address, PERIOD)
    }

    /// Starts to probe `address` every `period`.
    ///
    /// # Errors
    /// As [`Prober::start`].
    pub fn start_every(namespace: &Namespace, address: IpAddr, period: Duration) -> Result<Self> {
        let socket = namespace.run(|| open(address))?;
        let receiving = socket.try_clone().context("share the socket")?;
        let shared = Arc::new(Shared::default());
        let (of_sender, of_receiver) = (Arc::clone(&shared), Arc::clone(&shared));
        let echo = if address.is_ipv4() { 8 } else { 128 };
        let sender = thread::spawn(move || send(&socket, echo, period, &of_sender));
        let receiver = thread::spawn(move || receive(receiving, &of_receiver));
        Ok(Self {
            shared,
            sender: Some(sender),
            receiver: Some(receiver),
        })
    }

    /// Waits until `count` more probes than now are answered.
    ///
    /// # Errors
    /// When `limit` is over first.
    pub fn wait_answers(&self, count: u64, limit: Duration) -> Result<()> {
        let before = self.shared.answers.load(Ordering::Relaxed);
        wait::until(&format!("{count} answers"), limit, || {
            let more = self.shared.answers.load(Ordering::Relaxed) - before;
            if more >= count {
                Ok(())
            } else {
                Err(format!("{more}"))
            }
        })
    }

    /// Stops and returns what became of each probe.
    ///
    /// # Errors
    /// When one of its threads failed.
    pub fn stop(mut self) -> Result<Probes> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let sent = join(self.sender.take())?;
        let end_ns = monotonic_ns()?;
        let answers = join(self.receiver.take())?;
        let mut probes: Vec<_> = sent
            .into_iter()
            .map(|sent_ns| Probe {
                sent_ns,
                answered_ns: None,
            })
            .collect();
        for (number, answered_ns) in answers {
            let probe = probes
                .get_mut(number)
                .context("an answer to a probe never sent")?;
            // A second answer to the same probe changes nothing.
            probe.answered_ns.get_or_insert(answered_ns);
        }
        Ok(Probes { probes, end_ns })
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let sender = join(self.sender.take()).map(drop);
        let receiver = join(self.receiver.take()).map(drop);
        if let Err(error) = sender.and(receiver) {
            eprintln!("stop a prober: {error:#}");
        }
    }
}

/// One probe, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// When it was sent.
    pub sent_ns: u64,
    /// When the answer came, if it came.
    pub answered_ns: Option<u64>,
}

/// A time without an answer, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outage {
    /// The last answer before it.
    pub start_ns: u64,
    /// The first answer after it.
    pub end_ns: u64,
}

impl Outage {
    /// How long it was.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.end_ns.saturating_sub(self.start_ns))
    }
}

/// What became of the probes, in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Probes {
    /// All of them.
    pub probes: Vec<Probe>,
    /// When the prober stopped.
    pub end_ns: u64,
}

impl Probes {
    /// The longest time between two answers.
    ///
    /// The first probe counts as an answer, and so does the end: a service that never came back
    /// was out until the prober stopped.
    #[must_use]
    pub fn outage(&self) -> Outage {
        self.outage_since(0)
    }

    /// The longest of those that were not over at `from_ns`, nanoseconds of CLOCK_MONOTONIC: a
    /// pause of the machine before what matters is not that.
    #[must_use]
    pub fn outage_since(&self, from_ns: u64) -> Outage {
        let start = self
            .probes
            .first()
            .map_or(self.end_ns, |probe| probe.sent_ns);
        let mut times: Vec<_> = self
            .probes
            .iter()
            .filter_map(|probe| probe.answered_ns)
            .collect();
        times.extend([start, self.end_ns]);
        longest_gap(times, from_ns)
    }

    /// The longest time between two probes: no outage can be measured more finely than this.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        longest_gap(self.probes.iter().map(|probe| probe.sent_ns).collect(), 0).length()
    }

    /// How many probes were never answered.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.probes
            .iter()
            .filter(|probe| probe.answered_ns.is_none())
            .count()
    }
}

fn longest_gap(mut times: Vec<u64>, from_ns: u64) -> Outage {
    times.sort_unstable();
    let gaps = times.windows(2).filter_map(|pair| match *pair {
        [start_ns, end_ns] if end_ns > from_ns => Some(Outage { start_ns, end_ns }),
        _ => None,
    });
    gaps.max_by_key(Outage::length).unwrap_or(Outage {
        start_ns: 0,
        end_ns: 0,
    })
}

/// A ping socket: the kernel gives it an identifier of its own and only the answers to it.
fn open(address: IpAddr) -> Result<Socket> {
    let allowed = "/proc/sys/net/ipv4/ping_group_range";
    fs::write(allowed, "0 0").with_context(|| format!("write {allowed}"))?;
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol)).context("open a ping socket")?;
    socket.set_read_timeout(Some(RECEIVE_LIMIT))?;
    socket
        .connect(&SockAddr::from(SocketAddr::new(address, 0)))
        .with_context(|| format!("connect to {address}"))?;
    Ok(socket)
}

/// Sends at fixed times, so that a late probe does not delay those after it.
fn send(socket: &Socket, echo: u8, period: Duration, shared: &Shared) -> Result<Vec<u64>> {
    let mut sent = Vec::new();
    let mut due = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let number = u64::try_from(sent.len())?;
        let mut probe = [0; HEADER + 8];
        probe[0] = echo;
        probe[HEADER..].copy_from_slice(&number.to_be_bytes());
        sent.push(monotonic_ns()?);
        match socket.send(&probe) {
            Ok(_) => {}
            Err(error) if is_outage(error.kind()) => {}
            Err(error) => return Err(error).context("send a probe"),
        }
        due = (due + period).max(Instant::now() - period);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

fn receive(mut socket: Socket, shared: &Shared) -> Result<Answers> {
    let mut answers = Vec::new();
    let mut buffer = [0; 128];
    loop {
        match socket.read(&mut buffer) {
            Ok(length) => {
                let now = monotonic_ns()?;
                let answer = buffer.get(..length).and_then(|answer| answer.get(HEADER..));
                let number = answer.and_then(|payload| payload.try_into().ok());
                let number = u64::from_be_bytes(number.context("an answer of another length")?);
                answers.push((usize::try_from(number)?, now));
                shared.answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if shared.stop.load(Ordering::Relaxed) {
                    return Ok(answers);
                }
            }
            Err(error) if is_outage(error.kind()) => {}
            Err(error) => return Err(error).context("receive an answer"),
        }
    }
}

/// What the network says while nobody holds the address.
fn is_outage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::ConnectionRefused
    )
}

fn join<T: Default>(thread: Option<JoinHandle<Result<T>>>) -> Result<T> {
    match thread {
        None => Ok(T::default()),
        Some(thread) => thread
            .join()
            .map_err(|_| anyhow!("a prober's thread panicked"))?,
    }
}
