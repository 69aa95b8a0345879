//! What the tests of the tokio driver stand on: a stream between it and its peer that counts and misbehaves.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use framecast::{
    Acceptor, CloseInfo, Config, Connector, WebSocket,
    handshake::{ClientRequest, Endpoint, Url},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
};

#[path = "../support/peer.rs"]
mod peer;

pub(crate) use peer::*;

// ---- the stream between

type Hook = Box<dyn FnOnce() + Send>;

/// What a [`Tap`] counts and is told.
#[derive(Default)]
pub(crate) struct Gauge {
    /// Calls that wrote.
    pub(crate) writes: AtomicUsize,
    pub(crate) write_polls: AtomicUsize,
    pub(crate) read_polls: AtomicUsize,
    /// Most bytes that a write takes; 0: all.
    pub(crate) write_bytes_max: AtomicUsize,
    /// Most bytes that a read gives; 0: all.
    pub(crate) read_bytes_max: AtomicUsize,
    /// Every other call of each kind says pending, and wakes.
    pub(crate) stutters: AtomicBool,
    stuttered: [AtomicUsize; 2],
    blocked: AtomicBool,
    waiting: Mutex<Option<Waker>>,
    write_fails: Mutex<Option<io::ErrorKind>>,
    on_read: Mutex<Option<Hook>>,
}

impl Gauge {
    /// Writes so far.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(SeqCst)
    }

    /// Calls of any kind so far.
    pub(crate) fn polls(&self) -> usize {
        self.write_polls.load(SeqCst) + self.read_polls.load(SeqCst)
    }

    /// No more writes are taken, until [`unblock`](Self::unblock).
    pub(crate) fn block(&self) {
        self.blocked.store(true, SeqCst);
    }

    pub(crate) fn unblock(&self) {
        self.blocked.store(false, SeqCst);
        if let Some(waker) = lock(&self.waiting).take() {
            waker.wake();
        }
    }

    /// Writes fail from now on.
    pub(crate) fn fail_writes(&self, kind: io::ErrorKind) {
        *lock(&self.write_fails) = Some(kind);
    }

    /// Does something once, inside the next read that finds nothing.
    pub(crate) fn on_read(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.on_read) = Some(Box::new(hook));
    }

    fn stutter(&self, cx: &Context<'_>, kind: usize) -> bool {
        let now = self.stutters.load(SeqCst) && self.stuttered[kind].fetch_add(1, SeqCst).is_multiple_of(2);
        if now {
            cx.waker().wake_by_ref();
        }
        now
    }

    fn admit(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.write_polls.fetch_add(1, SeqCst);
        if let Some(kind) = *lock(&self.write_fails) {
            return Poll::Ready(Err(kind.into()));
        }
        if self.blocked.load(SeqCst) {
            *lock(&self.waiting) = Some(cx.waker().clone());
            // Whoever unblocks meanwhile has seen the waker, or is seen here.
            if self.blocked.load(SeqCst) {
                return Poll::Pending;
            }
        }
        if self.stutter(cx, 0) {
            return Poll::Pending;
        }
        let max = self.write_bytes_max.load(SeqCst);
        Poll::Ready(Ok(if max == 0 { usize::MAX } else { max }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that counts what the driver asks of it, and does as its [`Gauge`] is told.
pub(crate) struct Tap<S> {
    stream: S,
    gauge: Arc<Gauge>,
}

impl<S> Tap<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        (Self { stream, gauge: gauge.clone() }, gauge)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.gauge.read_polls.fetch_add(1, SeqCst);
        if self.gauge.stutter(cx, 1) {
            return Poll::Pending;
        }
        let max = self.gauge.read_bytes_max.load(SeqCst);
        let max = if max == 0 { buffer.remaining() } else { max.min(buffer.remaining()) };
        let mut few = ReadBuf::new(buffer.initialize_unfilled_to(max));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut few);
        let filled = few.filled().len();
        buffer.advance(filled);
        if read.is_pending() {
            let hook = lock(&self.gauge.on_read).take();
            if let Some(hook) = hook {
                hook();
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let max = std::task::ready!(self.gauge.admit(cx))?;
        // Counted before the peer can see it.
        self.gauge.writes.fetch_add(1, SeqCst);
        let written = Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(max)]);
        if written.is_pending() {
            self.gauge.writes.fetch_sub(1, SeqCst);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// ---- the driver's side

/// A pipe wide enough for what tests send at once.
pub(crate) const PIPE: usize = 256 << 10;

pub(crate) fn acceptor(config: Config) -> Acceptor {
    Acceptor::new(config, Endpoint::new())
}

/// What a spawned `run` comes to: the handler's result and the end.
pub(crate) type Running<T> = JoinHandle<(T, CloseInfo)>;

/// A server in one task, its peer, and what is between them.
pub(crate) async fn run<H, F, T>(config: Config, handler: H) -> (Peer<DuplexStream>, Running<T>, Arc<Gauge>)
where
    H: FnOnce(WebSocket) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    run_over(config, PIPE, handler).await
}

/// [`run`], over a pipe of `bytes`.
pub(crate) async fn run_over<H, F, T>(
    config: Config,
    bytes: usize,
    handler: H,
) -> (Peer<DuplexStream>, Running<T>, Arc<Gauge>)
where
    H: FnOnce(WebSocket) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    watchdog();
    let (ours, theirs) = duplex(bytes);
    let (tap, gauge) = Tap::new(ours);
    let running =
        tokio::spawn(async move { acceptor(config).run(tap, handler).await.expect("the request is right") });
    let peer = Peer::open(theirs).await;
    gauge.writes.store(0, SeqCst);
    (peer, running, gauge)
}

/// A server whose I/O is done by a task of its own.
pub(crate) async fn accept(config: Config) -> (WebSocket, Peer<DuplexStream>, Arc<Gauge>) {
    accept_over(config, PIPE).await
}

pub(crate) async fn accept_over(config: Config, bytes: usize) -> (WebSocket, Peer<DuplexStream>, Arc<Gauge>) {
    watchdog();
    let (ours, theirs) = duplex(bytes);
    let (tap, gauge) = Tap::new(ours);
    let acceptor = acceptor(config);
    let (ws, peer) = tokio::join!(acceptor.accept(tap), Peer::open(theirs));
    gauge.writes.store(0, SeqCst);
    (ws.expect("the request is right"), peer, gauge)
}

/// A client whose I/O is done by a task of its own; `more` comes with the 101.
pub(crate) async fn connect(config: Config, more: &[u8]) -> (WebSocket, Peer<DuplexStream>) {
    watchdog();
    let (ours, theirs) = duplex(PIPE);
    let connector = Connector::new(config);
    let (ws, peer) = tokio::join!(connector.connect_over(ask("ws://t/"), ours), Peer::serve(theirs, more));
    (ws.expect("the answer is right"), peer)
}

pub(crate) fn ask(url: &str) -> ClientRequest {
    ClientRequest::new(Url::parse(url).expect("a URL"))
}

/// Sends every message back, to the end.
pub(crate) async fn echo(mut ws: WebSocket) -> usize {
    let mut count = 0;
    while let Some(message) = ws.recv().await {
        count += 1;
        let Ok(()) = ws.send(message).await else { break };
    }
    count
}

/// [`echo`] for a listener, which wants nothing back.
pub(crate) async fn echo_all(ws: WebSocket) {
    echo(ws).await;
}

/// Lets everything happen that can happen without time passing.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Polls a future once.
pub(crate) async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
