//! Accepts TCP, with TLS or without, speaks HTTP until a connection is upgraded, and ends it all in order.
//!
//! What hyper leaves open is bounded here: how long a head may take, how many may be without one, and what happens when files run
//! out (catalogue: DS-01 to DS-07, FT-20 to FT-23, FT-40 to FT-44).

use std::{
    convert::Infallible, error::Error, fmt, future::pending, io, net::SocketAddr, pin::pin, time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use framecast::{CloseCode, driver::Patience};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    sync::watch,
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};
use tower_service::Service;
use tracing::{debug, info, warn};

use super::{Server, guests::Guests, metrics::Refused, tls::Tls};
use crate::{bridge::BrokerState, hub::Hub};

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// For good: every connection is closed with 1001 at once.
    Now,
    /// For another process to take over: closes with 1012 are spread over this time, and each says when to come back.
    Drain(Duration),
}

/// A server that has its port.
#[derive(Debug)]
#[must_use]
pub struct Bound {
    server: Server,
    socket: TcpListener,
    addr: SocketAddr,
    tls: Option<Tls>,
    app: Option<Router>,
}

/// Why a server does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeError {
    /// It can be reached from elsewhere, and anybody may do anything: tokens are wanted, or
    /// [`allow_anonymous`](crate::HubBuilder::allow_anonymous).
    OpenToAll(SocketAddr),
}

impl Server {
    /// Binds the first address that can be bound, such as `127.0.0.1:8000`, `[::]:0` or `localhost:80`.
    ///
    /// # Errors
    /// That of the last address, which it names.
    pub async fn bind(&self, addr: &str) -> io::Result<Bound> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for addr in lookup_host(addr).await? {
            match listen(addr).and_then(|socket| Ok((socket.local_addr()?, socket))) {
                Ok((addr, socket)) => {
                    return Ok(Bound { server: self.clone(), socket, addr, tls: None, app: None });
                }
                Err(error) => last = io::Error::new(error.kind(), format!("{addr}: {error}")),
            }
        }
        Err(last)
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Not to wait for connections of a process before us to leave TIME_WAIT; a port in use stays in use.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

impl Bound {
    /// Where it listens, with the port that was really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a URL, `http://HOST:PORT/`, or `https` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.addr)
    }

    /// Speaks TLS. Keep a clone, to [reload](Tls::reload) it.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves an application's routes as well, before the hub's own: its `/` is shown in place of the hub's page. What it has no route
    /// for is the hub's, so its fallback is not asked.
    pub fn app(mut self, routes: Router) -> Self {
        self.app = Some(routes);
        self
    }

    /// Serves until `stop`, and then until all connections are gone, or their time is up.
    ///
    /// While it drains, the port stays open, so that `/ready` can say so; upgrades get 503.
    ///
    /// # Errors
    /// The listening socket itself failed; or a [`ServeError`], as `InvalidInput`.
    pub async fn serve(self, stop: impl Future<Output = Stop>) -> io::Result<()> {
        let Self { server, socket, addr, tls, app } = self;
        if !addr.ip().to_canonical().is_loopback() && server.0.hub.is_open_by_default() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, ServeError::OpenToAll(addr)));
        }
        let config = server.0.upgrades.config().clone();
        let ending = watch::Sender::new(false);
        let host = Host {
            router: match app {
                Some(app) => app.fallback_service(server.router()),
                None => server.router(),
            },
            guests: Guests::new(GUESTS_MAX),
            head_within: config.handshake_within(),
            server,
            tls,
        };
        let result = {
            let mut accepting = pin!(host.run(&socket, &ending));
            let stop = tokio::select! {
                error = &mut accepting => return error,
                stop = stop => stop,
            };
            tokio::select! {
                error = &mut accepting => error,
                () = host.server.stop(stop) => Ok(()),
            }
        };
        drop(socket);
        // What is being answered is answered still.
        ending.send_replace(true);
        let _ = timeout(config.close_within(), ending.closed()).await;
        result
    }
}

impl Server {
    /// Closes what is connected, as `stop` says, and returns when all of it is gone, or its time to close is up.
    async fn stop(&self, stop: Stop) {
        let upgrades = &self.0.upgrades;
        match stop {
            Stop::Now => info!("stopping"),
            Stop::Drain(within) => {
                info!(seconds = within.as_secs_f64(), "draining");
                upgrades.drain(within, |left| (CloseCode::RESTART, self.come_back(left))).await;
            }
        }
        upgrades.shut_down().await;
        info!("stopped");
    }

    /// When to come back, if the last one is closed after this time: once there can be a process again, and not all at once.
    fn come_back(&self, left: Duration) -> String {
        let spread = self.0.hub.random().up_to(left.max(COME_BACK_WITHIN));
        format!("retry_after_ms={}", (left + RESTART_WITHIN + spread).as_millis())
    }
}

/// What connections need.
struct Host {
    server: Server,
    router: Router,
    guests: Guests,
    tls: Option<Tls>,
    head_within: Duration,
}

impl Host {
    /// Accepts, until that fails, looks after the broker, and has the rooms forget what is too old.
    async fn run(&self, socket: &TcpListener, ending: &watch::Sender<bool>) -> io::Result<()> {
        tokio::select! {
            failed = self.accept_all(socket, ending) => failed,
            never = tend_broker(self.server.hub()) => match never {},
            never = sweep(self.server.hub()) => match never {},
        }
    }

    async fn accept_all(&self, socket: &TcpListener, ending: &watch::Sender<bool>) -> io::Result<()> {
        let mut patience = Patience::default();
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    patience = Patience::default();
                    let (guest, has_cut) = self.guests.enter();
                    if has_cut {
                        self.server.0.metrics.refused(Refused::Crowded);
                    }
                    guest.run(self.connection(stream, peer, ending.subscribe()));
                    // A crowd that comes at once waits in the backlog, and not here, where the oldest would have to go although it has
                    // said all that it has to say.
                    if self.guests.len() > GUESTS_AT_ONCE {
                        yield_now().await;
                    }
                }
                Err(error) => {
                    self.server.0.metrics.refused(Refused::Accept);
                    let text = error.to_string();
                    let wait = patience.after(error)?;
                    if !wait.is_zero() {
                        warn!(error = text, ?wait, "cannot accept connections");
                        // Files have run out: who is not connected yet, and has been at it for longest, gives one back.
                        self.guests.cut_one();
                        sleep(wait).await;
                    }
                }
            }
        }
    }

    /// From TCP to the end of HTTP, which is an upgrade perhaps.
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        mut ending: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (router, deadline) = (self.router.clone(), Instant::now() + self.head_within);
        let (tls, server) = (self.tls.as_ref().map(Tls::acceptor), self.server.clone());
        async move {
            // A peer that is gone already has no options to set; its socket says so soon enough.
            let _ = stream.set_nodelay(true);
            // Who has said nothing yet costs nothing yet either, and is not waited for at the end. That a new socket is readable tokio
            // says before it knows.
            let mut first = [0];
            let spoken = tokio::select! {
                biased;
                spoken = timeout_at(deadline, stream.peek(&mut first)) => spoken,
                () = has_begun(&mut ending) => return,
            };
            let why = match (spoken, tls) {
                (Ok(Ok(1..)), None) => speak(stream, router, peer, deadline, ending).await,
                (Ok(Ok(1..)), Some(acceptor)) => {
                    let accepted = tokio::select! {
                        biased;
                        accepted = timeout_at(deadline, acceptor.accept(stream)) => accepted,
                        () = has_begun(&mut ending) => return,
                    };
                    match accepted {
                        Ok(Ok(stream)) => Box::pin(speak(stream, router, peer, deadline, ending)).await,
                        Ok(Err(error)) => {
                            debug!(%peer, %error, "TLS has failed");
                            Some(Refused::Tls)
                        }
                        Err(_) => Some(Refused::Late),
                    }
                }
                // It went without a word.
                (Ok(_), _) => None,
                (Err(_), _) => Some(Refused::Late),
            };
            if let Some(why) = why {
                server.0.metrics.refused(why);
            }
        }
    }
}

/// Serves HTTP; why it was refused, if it was no HTTP or came too late. A later request of the same connection has as long as was
/// left for its first one, a second at least.
async fn speak<S>(
    stream: S,
    router: Router,
    peer: SocketAddr,
    deadline: Instant,
    mut ending: watch::Receiver<bool>,
) -> Option<Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline.saturating_duration_since(Instant::now()).max(HEAD_WITHIN_MIN))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = has_begun(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    let error = ended.err()?;
    debug!(%peer, %error, "an HTTP connection has failed");
    match error {
        error if error.is_timeout() => Some(Refused::Late),
        error if error.is_parse() => Some(Refused::Http),
        _ => None,
    }
}

/// Looks after the broker, if there is one, and says when it goes and when it is back.
async fn tend_broker(hub: &Hub) -> Infallible {
    let mut was = hub.broker_state();
    loop {
        if was.is_none() {
            return pending().await;
        }
        let _ = timeout(hub.broker_within(), hub.tend_broker()).await;
        let is = hub.broker_state();
        if is != was {
            match is {
                Some(BrokerState::Away) => warn!("the broker is away"),
                _ => info!("the broker is there"),
            }
        }
        was = is;
        sleep(TEND_EVERY).await;
    }
}

/// Gives back the memory of what is too old, where nobody publishes any more.
async fn sweep(hub: &Hub) -> Infallible {
    loop {
        sleep(SWEEP_EVERY).await;
        hub.topics().sweep();
    }
}

async fn has_begun(ending: &mut watch::Receiver<bool>) {
    // An error would say that nobody is left who waits for it.
    let _ = ending.wait_for(|on| *on).await;
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenToAll(addr) => {
                write!(f, "{addr} can be reached from elsewhere, and no token is asked for")
            }
        }
    }
}

impl Error for ServeError {}

/// Connections that the kernel keeps until we accept them; it has a limit of its own.
const BACKLOG: u32 = 1024;
/// Connections that speak HTTP, at once.
const GUESTS_MAX: usize = 1024;
/// Those who are accepted without a look at who is there already.
const GUESTS_AT_ONCE: usize = 32;
/// A request's head, and what is read at once of its body; the engine holds the same against an upgrade's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How often a broker is looked after.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// How often the rooms forget what is too old.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Whoever has come to its head has this long for it, however late.
const HEAD_WITHIN_MIN: Duration = Duration::from_secs(1);
/// From the last close to the next process.
const RESTART_WITHIN: Duration = Duration::from_millis(500);
/// Those who were closed last come back within this time, at the earliest one after the other.
const COME_BACK_WITHIN: Duration = Duration::from_secs(1);
