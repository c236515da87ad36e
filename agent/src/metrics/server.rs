//! The HTTP side: `GET /metrics`, and nothing else.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::kernel::Sessions;
use super::listen::Listen;
use super::page::{self, Format};
use super::scrape::Scrape;
use crate::kernel::Reader;

/// The only path.
const PATH: &str = "/metrics";

/// Connections at a time; others wait.
const MOST_CONNECTIONS: usize = 64;

/// How long a request's head may take, how much it may be, and of how many lines.
const HEAD_LIMIT: Duration = Duration::from_secs(3);
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_LINES: usize = 64;

/// How long a whole connection may last, which is one request.
const TALK_LIMIT: Duration = Duration::from_secs(15);

/// How long the daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A page as young as this is given again: who asks often does not disturb the daemon.
const YOUNG: Duration = Duration::from_millis(200);

/// How long nobody is let in after that was refused by the kernel.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two attempts to listen.
const LISTEN_PAUSE: Duration = Duration::from_secs(10);

/// Takes how all is. Dropped without, it is a failure.
pub type Question = oneshot::Sender<Gathered>;

/// What the daemon gathers.
pub struct Gathered {
    /// All but what the kernel programs know.
    pub scrape: Scrape,
    /// By which they are asked; `None`: there are none.
    pub kernel: Option<Arc<Reader>>,
}

/// The endpoint, closed when this is dropped.
#[derive(Debug)]
pub struct Server {
    questions: mpsc::Receiver<Question>,
    door: Option<JoinHandle<()>>,
}

/// What all connections share.
struct Desk {
    questions: mpsc::Sender<Question>,
    /// The last pages; held while one is made, so that one is made at a time.
    pages: Mutex<Vec<Page>>,
    sessions: Arc<Sessions>,
}

struct Page {
    made: Instant,
    format: Format,
    text: String,
}

impl Server {
    /// Listens, on the current runtime. An address that is not to be had is told, and
    /// tried again.
    #[must_use]
    pub fn start(listen: Listen) -> Self {
        let (sender, questions) = mpsc::channel(1);
        let door = match listen {
            Listen::Off => None,
            Listen::At(address) => Some(tokio::spawn(keep_door(address, sender))),
        };
        Self { questions, door }
    }

    /// The next question; for ever where there is none.
    pub async fn next(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            None => pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(door) = &self.door {
            door.abort();
        }
    }
}

/// Lets in who comes, a few at a time.
async fn keep_door(address: SocketAddr, questions: mpsc::Sender<Question>) {
    let listener = listen(address).await;
    let desk = Arc::new(Desk {
        questions,
        pages: Mutex::default(),
        sessions: Arc::default(),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(talk(stream, Arc::clone(&desk)));
                }
                Err(error) => {
                    warn!("metrics: accept: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Listens, as soon as that is possible.
async fn listen(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        let listener = TcpListener::bind(address).await;
        match listener.and_then(|it| Ok((it.local_addr()?, it))) {
            Ok((address, listener)) => {
                info!("metrics at http://{address}{PATH}");
                if !address.ip().is_loopback() {
                    warn!("whoever reaches {address} can read the metrics");
                }
                return listener;
            }
            Err(error) if told => debug!("listen at {address}: {error}"),
            Err(error) => {
                let pause = LISTEN_PAUSE.as_secs();
                warn!("no metrics, tried again every {pause} s: listen at {address}: {error}");
                told = true;
            }
        }
        sleep(LISTEN_PAUSE).await;
    }
}

/// One connection, of one request.
async fn talk(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(TALK_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("metrics: {error}"),
        Err(_) => debug!("metrics: a connection was closed after {TALK_LIMIT:?}"),
    }
}

impl Desk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        if request.uri().path() != PATH {
            return refusal(StatusCode::NOT_FOUND, &format!("expected {PATH}\n"));
        }
        if request.method() != Method::GET {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        let accept = request.headers().get(ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        match self.page(format).await {
            Ok(text) => response(StatusCode::OK, format.content_type(), text),
            Err(error) => {
                warn!("metrics: {error:#}");
                refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the daemon does not answer\n",
                )
            }
        }
    }

    /// A page that is young.
    async fn page(&self, format: Format) -> Result<String> {
        let mut pages = self.pages.lock().await;
        pages.retain(|page| page.made.elapsed() < YOUNG);
        if let Some(page) = pages.iter().find(|page| page.format == format) {
            return Ok(page.text.clone());
        }
        let (question, answer) = oneshot::channel();
        let ask = async {
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        let gathered = timeout(ANSWER_LIMIT, ask).await.ok().flatten();
        let gathered = gathered.context("the daemon gave no answer")?;
        let made = Instant::now();
        let sessions = Arc::clone(&self.sessions);
        let text = spawn_blocking(move || write(gathered, &sessions, format))
            .await
            .context("write the page")??;
        pages.push(Page {
            made,
            format,
            text: text.clone(),
        });
        Ok(text)
    }
}

/// Makes the page, by a thread of its own.
fn write(gathered: Gathered, sessions: &Sessions, format: Format) -> Result<String> {
    let Gathered { mut scrape, kernel } = gathered;
    if let Some(kernel) = kernel
        && let Err(error) = scrape.ask_kernel(&kernel, sessions)
    {
        warn!("metrics without those of the kernel programs: {error:#}");
    }
    Ok(page::write(scrape, format)?)
}

fn refusal(status: StatusCode, words: &str) -> Response<String> {
    response(status, "text/plain; charset=utf-8", words.to_owned())
}

fn response(status: StatusCode, content: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}
