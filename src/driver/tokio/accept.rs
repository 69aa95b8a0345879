//! A server's side of one connection, on any stream: the head is read, the application is asked, the 101 is written.

use std::{io, sync::Arc};

use http::StatusCode;

use ::tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    runtime::Handle,
    select,
    time::{Instant, timeout, timeout_at},
};

use super::{
    book::Entry, error::Error, head::read_head, lent::with_lent, line::Split, open::Opened,
    websocket::WebSocket,
};
use crate::{
    driver::{admission, close_info::CloseInfo},
    handshake::{Endpoint, HeaderError, Refusal, Request, Response, ServerHandshake, SubprotocolError},
    proto::{Config, Role},
};

/// Opens connections as a server, on any `AsyncRead + AsyncWrite`: TCP, TLS, a pipe in a test.
///
/// ```
/// # async fn on(stream: tokio::io::DuplexStream) -> Result<(), framecast::Error> {
/// use framecast::Acceptor;
///
/// let acceptor = Acceptor::default();
/// let (count, close) = acceptor
///     .run(stream, |mut ws| async move {
///         let mut count = 0;
///         while let Some(message) = ws.recv().await {
///             count += 1;
///             let Ok(()) = ws.send(message).await else { break };
///         }
///         count
///     })
///     .await?;
/// println!("{count} messages, then {close}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    config: Arc<Config>,
    endpoint: Arc<Endpoint>,
}

impl Acceptor {
    /// With these limits, and these terms for who may connect; messages are assembled, whatever `parts` says.
    pub fn new(mut config: Config, endpoint: Endpoint) -> Self {
        config.parts = false;
        Self { config: Arc::new(config), endpoint: Arc::new(endpoint) }
    }

    /// The limits that hold.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    #[cfg(feature = "axum")]
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a connection and runs `handler` and all of its I/O in this one task, to the end of both.
    ///
    /// What the handler sends leaves when it next waits for something, in one write: 32 requests that came in one read are
    /// answered in one write. When the handler returns, the connection is closed with 1000; if it panics, with 1011, and
    /// the panic goes on. Dropping the future drops the connection.
    ///
    /// The connection's state is locked while the stream is written to: a stream of your own must not use its own connection's
    /// handles from within.
    ///
    /// # Errors
    /// The connection did not open: see [`handshake`](Self::handshake).
    pub async fn run<S, H, F>(&self, stream: S, handler: H) -> Result<(F::Output, CloseInfo), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        // What the handshake needs goes with its box; the connection lives longer, and there may be many.
        let opened = Box::pin(async { self.handshake(stream).await?.0.open().await }).await?;
        Ok(opened.run(handler).await)
    }

    /// Opens a connection; its I/O is done by a task that is spawned for it.
    ///
    /// Convenient, and a little dearer than [`run`](Self::run). It batches as well while its user is a spawned task too, and
    /// less so in the body of `#[tokio::main]`, which is no worker's. On several
    /// workers another one may take the pump first; that what came before an end can still be answered is then [`run`](Self::run)'s
    /// promise alone.
    ///
    /// # Errors
    /// The connection did not open: see [`handshake`](Self::handshake).
    pub async fn accept<S>(&self, stream: S) -> Result<WebSocket, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // In a box, as in `run`: it would stay in the task of the caller.
        Box::pin(async { self.handshake(stream).await?.accept().await }).await
    }

    /// Reads the request, refuses what breaks a rule, and leaves the answer to you. Cancel safe: the stream is dropped.
    ///
    /// # Errors
    /// What was refused with which status; the time-out, the stream's errors.
    pub async fn handshake<S>(&self, stream: S) -> Result<Incoming<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake_unless(stream, std::future::pending(), None, None).await
    }

    /// [`handshake`](Self::handshake), unless the answer can only be 503.
    pub(super) async fn handshake_unless<S>(
        &self,
        mut stream: S,
        unavailable: impl Future<Output = ()>,
        entry: Option<Entry>,
        of_listener: Option<OfListener<S>>,
    ) -> Result<Incoming<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.clone();
        let deadline = Instant::now() + config.handshake_within;
        let mut handshake = ServerHandshake::new(&config, self.endpoint.clone());
        let read = select! {
            biased;
            () = unavailable => {
                refuse(stream, &Refusal::unavailable(retry_after_seconds()), &config).await;
                return Err(Error::unavailable());
            }
            read = timeout_at(deadline, read_head(&mut stream, |input| handshake.receive(input))) => read,
        };
        match read {
            Ok(Ok(Ok((request, early)))) => {
                let response = request.accept();
                let stream = Some(stream);
                let waiting =
                    Waiting { stream, request, response, early, deadline, config, entry, of_listener };
                Ok(Incoming(Box::new(waiting)))
            }
            Ok(Ok(Err(error))) => {
                refuse(stream, &error.refusal(), &config).await;
                Err(error.into())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                // Who sent nothing is told nothing (catalogue: HS-52).
                if handshake.received_any() {
                    refuse(stream, &Refusal::request_timeout(), &config).await;
                }
                Err(Error::timeout())
            }
        }
    }
}

/// A request that waits for an answer. Nothing is read meanwhile; the answer is due by `handshake_within`.
#[derive(Debug)]
#[must_use = "a request wants an answer"]
pub struct Incoming<S>(Box<Waiting<S>>);

/// Behind a box, as what is needed until the 101 would otherwise stay in the task of the connection.
#[derive(Debug)]
struct Waiting<S> {
    /// Taken by the answer.
    stream: Option<S>,
    request: Request,
    response: Response,
    /// What came behind the head.
    early: Vec<u8>,
    deadline: Instant,
    config: Arc<Config>,
    /// Its place in the listener's book.
    entry: Option<Entry>,
    of_listener: Option<OfListener<S>>,
}

/// What a listener knows of its streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfListener<S> {
    /// What becomes of one whose request is dropped without an answer: it is refused in a task of its own.
    pub(super) unanswered: fn(S, Refusal, Arc<Config>),
    /// How it is split.
    pub(super) split: Split<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// What it came by; a [`Listener`](super::Listener)'s TCP stream knows the peer's address.
    ///
    /// # Panics
    /// Never: the stream is there until the request is answered, and the answer takes `self`.
    pub fn stream(&self) -> &S {
        self.0.stream.as_ref().expect("it is there until the answer")
    }

    /// What is asked for: method, path, query, headers, subprotocols.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// By when it is to be answered.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Adds a header to the 101.
    ///
    /// # Errors
    /// A name or value that cannot be a header's, or is the handshake's own.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        self.0.response = self.0.response.clone().header(name, value)?;
        Ok(self)
    }

    /// Chooses a subprotocol, or none, in place of the endpoint's choice.
    ///
    /// # Errors
    /// One that the client did not offer.
    pub fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Result<Self, SubprotocolError> {
        self.0.response = self.0.response.clone().with_subprotocol(subprotocol)?;
        Ok(self)
    }

    /// Declines compression, whatever was offered.
    pub fn without_deflate(mut self) -> Self {
        self.0.response = self.0.response.clone().without_deflate();
        self
    }

    /// Answers with 101 and runs the connection: see [`Acceptor::run`].
    ///
    /// # Errors
    /// The answer could not be written in time.
    pub async fn run<H, F>(self, handler: H) -> Result<(F::Output, CloseInfo), Error>
    where
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        // In a statement of its own: what is left of one lives as long as the connection.
        let run = Box::pin(async move { Ok::<_, Error>(self.0.open().await?.run(handler)) }).await?;
        Ok(run.await)
    }

    /// Answers with 101 and spawns the connection's I/O: see [`Acceptor::accept`].
    ///
    /// # Errors
    /// The answer could not be written in time.
    pub async fn accept(self) -> Result<WebSocket, Error>
    where
        S: Send + 'static,
    {
        Ok(self.0.open().await?.spawn())
    }

    /// Answers with any status and body, and ends the connection without a reset.
    pub async fn refuse(self, refusal: Refusal) -> Error {
        let mut waiting = self.0;
        if let Some(stream) = waiting.stream.take() {
            refuse(stream, &refusal, &waiting.config).await;
        }
        Error::rejected(&refusal)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Waiting<S> {
    /// Writes the 101.
    async fn open(mut self: Box<Self>) -> Result<Opened<S>, Error> {
        let Some(mut stream) = self.stream.take() else { return Err(Error::unavailable()) };
        if Instant::now() >= self.deadline {
            // The application took its time, and the client's with it (catalogue: HS-56, HS-78).
            refuse(stream, &Refusal::unavailable(retry_after_seconds()), &self.config).await;
            return Err(Error::timeout());
        }
        let answer = self.response.encode();
        let written = timeout_at(self.deadline, async {
            stream.write_all(&answer).await?;
            stream.flush().await
        });
        written.await.map_err(|_| Error::timeout())??;
        let subprotocol = self.response.subprotocol().map(Into::into);
        let (early, entry) = (std::mem::take(&mut self.early), self.entry.take());
        let deflate = self.response.deflate();
        let (config, split) = (self.config.clone(), self.of_listener.as_ref().map(|of| of.split));
        Ok(Opened::new(stream, config, Role::Server, early, deflate, subprotocol, entry, split))
    }
}

/// Without an answer, by a panic or by oversight, the client is told 500; 503 if it had to make room or its time is up
/// (catalogue: HS-56).
impl<S> Drop for Waiting<S> {
    fn drop(&mut self) {
        let (Some(stream), Some(of_listener)) = (self.stream.take(), self.of_listener.take()) else { return };
        let was_cut = self.entry.as_ref().is_some_and(Entry::was_cut);
        let refusal = if was_cut || Instant::now() >= self.deadline {
            Refusal::unavailable(retry_after_seconds())
        } else {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR)
        };
        (of_listener.unanswered)(stream, refusal, self.config.clone());
    }
}

/// Refuses in a task of its own.
pub(super) fn spawn_refusal<S>(stream: S, refusal: Refusal, config: Arc<Config>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { refuse(stream, &refusal, &config).await });
    }
}

pub(super) fn retry_after_seconds() -> u32 {
    with_lent(|lent| admission::retry_after_seconds(&mut lent.outbound.masks))
}

/// Answers with a refusal, then ends TCP so that the answer arrives: what the client still sends is read and thrown away,
/// for a while (RFC 6455 §7.1.1; catalogue: CL-42). Nothing of it is looked at (catalogue: HS-70).
pub(super) async fn refuse<S>(mut stream: S, refusal: &Refusal, config: &Config)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async {
        stream.write_all(&refusal.encode()).await?;
        stream.shutdown().await?;
        let mut thrown_away = vec![0; 4 << 10];
        let mut left = config.linger_bytes_max as usize;
        while left > 0 {
            match stream.read(&mut thrown_away).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // A client that does not take its refusal goes without.
    let _ = timeout(config.linger_within, farewell).await;
}
