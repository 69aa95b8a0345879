//! A client's side: look-up, TCP, TLS, the opening handshake, all by one deadline.

use std::{io, sync::Arc};

use ::tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{error::Error, head::read_head, open::Opened, stream::Stream, websocket::WebSocket};
use crate::{
    driver::close_info::CloseInfo,
    handshake::{ClientRequest, ConnectError, Url, random_key},
    proto::{Config, Role},
};

/// Connects to a `ws://` or `wss://` URL, with the default limits: see [`Connector`].
///
/// # Errors
/// As for [`Connector::connect`]; a URL that is none.
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    Connector::default().connect(ClientRequest::new(Url::parse(url)?)).await
}

/// Opens connections as a client.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use framecast::{Connector, handshake::{ClientRequest, Url}, proto::Config};
///
/// let connector = Connector::new(Config::builder().message_bytes_max(16 << 20).build()?);
/// let request = ClientRequest::new(Url::parse("ws://localhost:9001/")?).header("authorization", "Bearer 123")?;
/// let mut ws = connector.connect(request).await?;
/// ws.send(framecast::Message::text("hi")).await?;
/// println!("{:?}", ws.recv().await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Connector {
    config: Arc<Config>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Connector {
    /// With these limits and time-outs; messages are assembled, whatever `parts` says.
    pub fn new(mut config: Config) -> Self {
        config.parts = false;
        Self {
            config: Arc::new(config),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// TLS as configured here, in place of the system's certificates.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects to the request's URL; the connection's I/O is done by a task that is spawned for it. Cancel safe: nothing
    /// is left behind.
    ///
    /// # Errors
    /// See [`ErrorKind`](super::ErrorKind); what the server answered instead of the 101 is in
    /// [`Error::response`]. Redirects are not followed.
    pub async fn connect(&self, request: ClientRequest) -> Result<WebSocket, Error> {
        // In a box, as in `run`: it would stay in the task of the caller.
        Box::pin(self.reach_and_open(&request)).await.map(Opened::spawn)
    }

    /// Connects, and runs `handler` and all I/O in this one task: see [`Acceptor::run`](super::Acceptor::run).
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn run<H, F>(&self, request: ClientRequest, handler: H) -> Result<(F::Output, CloseInfo), Error>
    where
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        Ok(Box::pin(self.reach_and_open(&request)).await?.run(handler).await)
    }

    /// Opens a connection over a stream that leads to the server already: a proxy's tunnel, a Unix socket, a pipe.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_over<S>(&self, request: ClientRequest, stream: S) -> Result<WebSocket, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Box::pin(self.open(&request, stream, self.deadline())).await.map(Opened::spawn)
    }

    /// [`connect_over`](Self::connect_over), and runs `handler` and all I/O in this one task.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn run_over<S, H, F>(
        &self,
        request: ClientRequest,
        stream: S,
        handler: H,
    ) -> Result<(F::Output, CloseInfo), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: FnOnce(WebSocket) -> F,
        F: Future,
    {
        Ok(Box::pin(self.open(&request, stream, self.deadline())).await?.run(handler).await)
    }

    /// One deadline for everything up to the 101.
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.handshake_within
    }

    async fn reach_and_open(&self, request: &ClientRequest) -> Result<Opened<Stream>, Error> {
        let deadline = self.deadline();
        let stream =
            timeout_at(deadline, self.reach(request.url())).await.map_err(|_| Error::timeout())??;
        self.open(request, stream, deadline).await
    }

    /// TCP, and TLS if it is asked for.
    async fn reach(&self, url: &Url) -> Result<Stream, Error> {
        let tcp = TcpStream::connect((url.host(), url.port())).await?;
        tcp.set_nodelay(true)?;
        if !url.is_secure() {
            return Ok(Stream::Plain(tcp));
        }
        #[cfg(feature = "tls")]
        {
            let tls = match &self.tls {
                Some(tls) => tls.clone(),
                None => super::tls::system_config()?,
            };
            super::tls::connect(tls, url.host(), tcp, self.config.tls_within).await
        }
        #[cfg(not(feature = "tls"))]
        Err(io::Error::new(io::ErrorKind::Unsupported, "wss needs the feature `tls`").into())
    }

    /// The opening handshake.
    async fn open<S>(
        &self,
        request: &ClientRequest,
        mut stream: S,
        deadline: Instant,
    ) -> Result<Opened<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (bytes, mut handshake) = request.start(&self.config, random_key()?);
        let asked = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        timeout_at(deadline, asked).await.map_err(|_| Error::timeout())??;
        let read = timeout_at(deadline, read_head(&mut stream, |input| handshake.receive(input))).await;
        let (established, early) = match read {
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(handshake.receive_eof().into());
            }
            Ok(read) => read??,
            // A refusal whose body has no end in sight is a refusal, with what came of its body.
            Err(_) => match handshake.receive_eof() {
                refused @ ConnectError::Refused(_) => return Err(refused.into()),
                _ => return Err(Error::timeout()),
            },
        };
        let subprotocol = established.subprotocol().map(Into::into);
        let deflate = established.deflate();
        Ok(Opened::new(stream, self.config.clone(), Role::Client, early, deflate, subprotocol, None, None))
    }
}
