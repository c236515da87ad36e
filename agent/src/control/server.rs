//! The daemon's side of the control socket.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _, chown,
};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{self, gid_t};
use nix::unistd::{Group, Uid};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::lead::{LINES, lead};
use super::message::{ErrorKind as Kind, MOST_REQUEST, Reply, Request};
use super::peer::{self, Peer};
use crate::exit::BadInput;

/// Connections at a time; others wait. Silent ones take little room, and go after
/// [`TALK_LIMIT`].
const MOST_CONNECTIONS: usize = 256;

/// Those of them that may be the group's: whatever its members do, root gets through.
const MOST_OF_OTHERS: usize = 160;

/// Requests that wait for the daemon.
const MOST_REQUESTS: usize = 32;

/// How long it may take to send a request, and to take a reply.
pub(super) const TALK_LIMIT: Duration = Duration::from_secs(5);

/// How long nobody is let in after that was refused by the kernel.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked for.
    pub request: Request,
    /// Who asks; they may.
    pub peer: Peer,
    /// Takes the answer. Dropped without one, it is a failure.
    pub answer: oneshot::Sender<Reply>,
    /// Of a registration: takes whether keepalived has ended. Dropped, the connection ends.
    pub lines: Option<mpsc::Sender<bool>>,
}

/// The control socket, removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// Device and inode of the socket: another daemon's is not ours to remove.
    identity: (u64, u64),
    requests: mpsc::Receiver<Incoming>,
    door: JoinHandle<()>,
}

impl Server {
    /// Listens at `path`, for root and the members of `group`. Its directory is made
    /// if it is missing; a socket that nobody listens at is replaced.
    ///
    /// # Errors
    ///
    /// Another daemon listens there, something else is there, others may write to
    /// the directory, or there is no such group.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self> {
        let group = group.map(group_id).transpose()?;
        let listener = listen(path, group)
            .with_context(|| format!("listen at control socket {}", path.display()))?;
        let (sender, requests) = mpsc::channel(MOST_REQUESTS);
        let metadata = fs::symlink_metadata(path)
            .with_context(|| format!("inspect control socket {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            requests,
            door: tokio::spawn(keep_door(listener, group, sender)),
        })
    }

    /// The next request. What is not complete, not understood or not allowed has
    /// been answered already.
    pub async fn next(&mut self) -> Incoming {
        match self.requests.recv().await {
            Some(incoming) => incoming,
            // The task at the door ends only with this.
            None => pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.door.abort();
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            warn!("remove control socket {}: {error}", self.path.display());
        }
    }
}

/// The number of a group.
///
/// # Errors
///
/// There is no such group, or it cannot be looked up.
pub(crate) fn group_id(name: &str) -> Result<gid_t> {
    let group = Group::from_name(name).with_context(|| format!("look up group {name:?}"))?;
    let group = group.ok_or_else(|| BadInput(format!("there is no group {name:?}")))?;
    Ok(group.gid.as_raw())
}

fn listen(path: &Path, group: Option<gid_t>) -> Result<UnixListener> {
    let directory = path.parent().filter(|parent| parent.is_absolute());
    let directory =
        directory.ok_or_else(|| BadInput("expected an absolute path of a file".to_owned()))?;
    // Locked while we look and bind, so that of two daemons that start at once
    // neither takes the other's socket for a stale one.
    let Ok(_lock) = Flock::lock(open_directory(directory)?, FlockArg::LockExclusiveNonblock) else {
        bail!("another daemon is starting there");
    };
    remove_stale(path)?;
    let listener = UnixListener::bind(path).context("bind")?;
    // Until then only this user could connect, or whoever is checked anyway.
    chown(path, None, group).context("give it to the group")?;
    fs::set_permissions(path, Permissions::from_mode(0o660)).context("set its mode")?;
    Ok(listener)
}

/// The directory, which nobody else may write to.
fn open_directory(path: &Path) -> Result<File> {
    let what = || format!("directory {}", path.display());
    match DirBuilder::new().mode(0o755).create(path) {
        // Whatever the umask took away.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)).with_context(what)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(what),
    }
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .with_context(what)?;
    let metadata = directory.metadata().with_context(what)?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    ensure!(
        uid == 0 || uid == Uid::effective().as_raw(),
        "{} belongs to uid {uid}: expected root",
        what()
    );
    ensure!(
        mode & 0o022 == 0,
        "{} has mode {mode:04o}: expected one that only its owner may write to",
        what()
    );
    Ok(directory)
}

/// Removes a socket that nobody listens at, and nothing else.
fn remove_stale(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata.context("look what is there")?,
    };
    ensure!(
        metadata.file_type().is_socket(),
        "something else is there: expected a socket or nothing"
    );
    match BlockingStream::connect(path) {
        Ok(_) => bail!("another daemon listens there already"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            debug!("removing the stale control socket {}", path.display());
            fs::remove_file(path).context("remove the stale socket")
        }
        Err(error) => Err(error).context("see whether somebody listens there"),
    }
}

/// Lets in who comes, so many at a time.
async fn keep_door(listener: UnixListener, group: Option<gid_t>, requests: mpsc::Sender<Incoming>) {
    // Each says at its end whether it was root's.
    let mut connections: JoinSet<bool> = JoinSet::new();
    let mut others: usize = 0;
    loop {
        tokio::select! {
            // None of them panics.
            Some(ended) = connections.join_next() => if !ended.unwrap_or(true) {
                others = others.saturating_sub(1);
            },
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let roots = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
                    let busy = !roots && others >= MOST_OF_OTHERS;
                    others += usize::from(!roots);
                    let requests = requests.clone();
                    connections.spawn(async move {
                        if busy {
                            send_away(stream).await;
                        } else {
                            talk(stream, group, requests).await;
                        }
                        roots
                    });
                }
                Err(error) => {
                    warn!("control socket: accept: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// One connection, from its request to its reply.
async fn talk(mut stream: UnixStream, group: Option<gid_t>, requests: mpsc::Sender<Incoming>) {
    let mut registration = None;
    let reply = answer(&mut stream, group, &requests, &mut registration).await;
    let registration = registration.filter(|_| reply.ok);
    give(&mut stream, &reply, registration.is_none()).await;
    if let Some((id, peer, lines)) = registration {
        // Not one of the few that may ask at a time.
        tokio::spawn(lead(stream, id, peer, lines, requests));
    }
}

/// A connection too many.
async fn send_away(mut stream: UnixStream) {
    debug!("control socket: {MOST_OF_OTHERS} connections are open already");
    let many = format!("{MOST_OF_OTHERS} connections are open already: try again");
    give(&mut stream, &failure(many), true).await;
}

async fn give(stream: &mut UnixStream, reply: &Reply, ends: bool) {
    let sent = timeout(TALK_LIMIT, send(stream, reply, ends)).await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("control socket: send the reply: {error}"),
        Err(_) => debug!("control socket: the reply was not taken within {TALK_LIMIT:?}"),
    }
}

async fn answer(
    stream: &mut UnixStream,
    group: Option<gid_t>,
    requests: &mpsc::Sender<Incoming>,
    registration: &mut Option<(String, Peer, mpsc::Receiver<bool>)>,
) -> Reply {
    let peer = match admit(stream, group) {
        Ok(peer) => peer,
        Err(reply) => return reply,
    };
    let request = match timeout(TALK_LIMIT, receive(stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return bad_input(format!("{error:#}")),
        Err(_) => return bad_input(format!("no complete request within {TALK_LIMIT:?}")),
    };
    let (action, limit) = (request.action(), request.limit());
    let (answer, answered) = oneshot::channel();
    let mut lines = None;
    if let Request::Register { id, .. } = &request {
        let (sender, receiver) = mpsc::channel(LINES);
        lines = Some(sender);
        *registration = Some((id.clone(), peer, receiver));
    }
    let incoming = Incoming {
        request,
        peer,
        answer,
        lines,
    };
    let ask = async {
        requests.send(incoming).await.ok()?;
        answered.await.ok()
    };
    let reply = match timeout(limit, ask).await {
        Ok(Some(reply)) => reply,
        Ok(None) => failure("the daemon gave no answer".to_owned()),
        Err(_) => failure(format!("the daemon gave no answer within {limit:?}")),
    };
    if let Some(action) = action {
        match &reply.error {
            None => info!("{action} for {peer}: done"),
            Some(error) => warn!("{action} for {peer}: {}", error.message),
        }
    }
    reply
}

/// Who is there, if they may ask for something.
fn admit(stream: &UnixStream, group: Option<gid_t>) -> Result<Peer, Reply> {
    let unknown = |error: io::Error| failure(format!("find out who asks: {error}"));
    let credentials = stream.peer_cred().map_err(unknown)?;
    let peer = Peer {
        pid: credentials.pid(),
        uid: credentials.uid(),
        gid: credentials.gid(),
    };
    let may = peer.may_ask(group, || peer::groups(stream.as_fd()));
    if may.map_err(unknown)? {
        return Ok(peer);
    }
    warn!("control socket: refused {peer}");
    let message = format!("{peer} may not ask: expected root or a member of the daemon's group");
    Err(Reply::refused(Kind::Denied, message))
}

/// The request that somebody sends.
///
/// # Errors
///
/// It cannot be read, is too long, does not end, or is none that is known.
pub async fn receive(stream: impl AsyncRead + Unpin) -> Result<Request> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MOST_REQUEST as u64))
        .read_until(b'\n', &mut line)
        .await
        .context("read the request")?;
    if line.pop() != Some(b'\n') {
        let end = if line.len() + 1 >= MOST_REQUEST {
            "goes on"
        } else {
            "ends"
        };
        bail!(
            "the request {end} without an end of line: expected one line of at most {MOST_REQUEST} bytes"
        );
    }
    serde_json::from_slice(&line).context("the request is none that is known")
}

async fn send(stream: &mut UnixStream, reply: &Reply, ends: bool) -> Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    if ends {
        stream.shutdown().await?;
    }
    Ok(())
}

const fn bad_input(message: String) -> Reply {
    Reply::refused(Kind::BadInput, message)
}

const fn failure(message: String) -> Reply {
    Reply::refused(Kind::Failure, message)
}
