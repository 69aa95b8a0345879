//! A raw peer that reads and writes frames by hand, and a stream between it and the driver that counts and misbehaves.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use base64::Engine;
use framecast::{
    Acceptor, CloseInfo, Config, Connector, WebSocket,
    handshake::{ClientRequest, Endpoint, Url},
};
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::TcpStream,
    task::JoinHandle,
};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The smallest request that is right.
pub(crate) const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// ---- frames by hand

/// A whole client's frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// A whole server's frame.
pub(crate) fn bare_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload, None)
}

pub(crate) fn raw_frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(bit | len as u8),
        len @ 126..=0xffff => {
            out.push(bit | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    if mask.is_some() {
        out.extend(key);
    }
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A client's Close.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &close_payload(code, reason))
}

// ---- the peer

/// The other end, which knows frames and nothing else.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
    is_client: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new(), is_client: true }
    }

    /// Sends the request, reads the 101.
    pub(crate) async fn open(stream: S) -> Self {
        let mut peer = Self::new(stream);
        peer.send(REQUEST).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    /// Reads a client's request, answers with a 101 and `more` in one write.
    pub(crate) async fn serve(stream: S, more: &[u8]) -> Self {
        let mut peer = Self::new(stream);
        peer.is_client = false;
        let head = peer.head().await;
        peer.send(&[&response_to(&head), more].concat()).await;
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the driver reads");
    }

    /// A text message.
    pub(crate) async fn text(&mut self, text: &str) {
        let bytes = self.frame(TEXT, text.as_bytes());
        self.send(&bytes).await;
    }

    pub(crate) fn frame(&self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        if self.is_client { frame(opcode, payload) } else { bare_frame(opcode, payload) }
    }

    /// The head of a request or a response, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is ASCII");
            }
            assert!(self.more().await, "ended inside a head: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// The next frame; `None` at the end, be it a reset.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "ended inside a frame: {} bytes", self.read.len());
                return None;
            }
        }
    }

    pub(crate) async fn next_text(&mut self) -> String {
        let (opcode, payload) = self.next().await.expect("a frame");
        assert_eq!(opcode, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("text is UTF-8")
    }

    /// The code of the Close that comes next.
    pub(crate) async fn next_close(&mut self) -> u16 {
        let (opcode, payload) = self.next().await.expect("a Close, and not the end");
        assert_eq!(opcode, CLOSE, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// All that is left, to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Shuts down our direction and no more.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("the driver is there");
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        read > 0
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.read.first()?, *self.read.get(1)?);
        assert_eq!(second & 0x80 == 0, self.is_client, "masked: the client's frames, and no others");
        let (len, mut start) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?) as usize, 10),
            short => (usize::from(short), 2),
        };
        let mut key = [0; 4];
        if !self.is_client {
            key.copy_from_slice(self.read.get(start..start + 4)?);
            start += 4;
        }
        let payload = self.read.get(start..start + len)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.read.drain(..start + len);
        assert_eq!(first & 0xf0, 0x80, "one whole frame a message");
        Some((first & 0xf, payload))
    }
}

impl Peer<TcpStream> {
    /// Goes by RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}

/// The 101 for a request.
pub(crate) fn response_to(request: &str) -> Vec<u8> {
    let key = request
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim())
        })
        .expect("a key");
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        .into_bytes()
}

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

/// A test that hangs ends: by real time, whatever tokio's clock says.
pub(crate) fn watchdog() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(120));
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
}
