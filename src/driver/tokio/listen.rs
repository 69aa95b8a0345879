//! A listener: accepts TCP, opens connections within its limits, runs a handler for each, and ends them all in order.

use std::{io, net::SocketAddr, sync::Arc};

use super::{
    accept::{Acceptor, Incoming, OfListener, spawn_refusal},
    book::Book,
    error::Error,
    line::split_tcp,
    websocket::WebSocket,
};
use crate::driver::admission::Patience;
use ::tokio::{
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
    select,
    time::{sleep, sleep_until},
};

/// Binds `addr`, with the default limits and terms: see [`Listen`].
///
/// # Errors
/// The address is taken or not ours.
pub async fn listen(addr: impl ToSocketAddrs) -> io::Result<Listener> {
    Listen::new(Acceptor::default()).bind(addr).await
}

/// How to listen.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use framecast::{Acceptor, Listen};
///
/// let listener = Listen::new(Acceptor::default()).reuse_port(true).bind("127.0.0.1:9001").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Listen {
    acceptor: Acceptor,
    backlog: u32,
    reuse_port: bool,
}

impl Listen {
    /// With these limits and terms; a backlog of 1,024, a port of its own.
    pub fn new(acceptor: Acceptor) -> Self {
        Self { acceptor, backlog: 1024, reuse_port: false }
    }

    /// Connections that the kernel keeps until we accept them. Default 1,024; the kernel has a limit of its own.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Shares the port with whoever asks for the same (`SO_REUSEPORT`). Default no: a port that is taken is an error.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Binds the first address that can be bound.
    ///
    /// # Errors
    /// That of the last address.
    pub async fn bind(&self, addr: impl ToSocketAddrs) -> io::Result<Listener> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for addr in lookup_host(addr).await? {
            match self.bind_one(addr) {
                Ok(socket) => return Ok(Listener::new(socket, self.acceptor.clone())),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_one(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Not to wait for connections of a process before us to leave TIME_WAIT; a port in use stays in use.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(self.reuse_port)?;
        socket.bind(addr)?;
        socket.listen(self.backlog)
    }
}

/// A bound socket that accepts WebSocket connections.
///
/// It holds [`connections_max`](crate::proto::ConfigBuilder::connections_max) at most, and [`handshakes_max`](crate::proto::ConfigBuilder::handshakes_max) that have
/// not finished their opening handshake; above the first, clients get 503; above the second, the oldest one is cut.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    acceptor: Acceptor,
    book: Arc<Book>,
}

impl Listener {
    fn new(socket: TcpListener, acceptor: Acceptor) -> Self {
        let book = Arc::new(Book::new(acceptor.config()));
        Self { socket, acceptor, book }
    }

    /// Where it listens, with the port that was really bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Runs `handler` for each connection, for ever: see [`Acceptor::run`], which it runs by, in a task each.
    ///
    /// # Errors
    /// The listening socket itself failed. What a single connection meets is its own end.
    pub async fn serve<H, F>(self, handler: H) -> io::Result<()>
    where
        H: Fn(WebSocket) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        self.serve_until(std::future::pending(), handler).await
    }

    /// [`serve`](Self::serve), until `shutdown`: then no more are accepted, handshakes get 503, connections are closed with
    /// 1001, and this returns when they are gone, or after their time to close. What topics have for a connection comes before its
    /// Close, if it takes it within [`linger_within`](crate::proto::ConfigBuilder::linger_within).
    ///
    /// # Errors
    /// The listening socket itself failed.
    pub async fn serve_until<H, F>(self, shutdown: impl Future<Output = ()>, handler: H) -> io::Result<()>
    where
        H: Fn(WebSocket) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let handler = move |incoming: Incoming<TcpStream>| {
            let handler = handler.clone();
            async move {
                // Why one connection did not open is no matter of the others.
                let _ = incoming.run(handler).await;
            }
        };
        self.serve_all(shutdown, handler, Answers::AtOnce).await
    }

    /// [`serve_until`](Self::serve_until), with the request shown to `handler`, which answers it: by
    /// [`Incoming::run`], [`Incoming::accept`] or [`Incoming::refuse`].
    ///
    /// Without an answer by `handshake_within`, or when the request has to make room for newer ones, the handler's future is
    /// dropped and the client gets 503; one that panics, or drops the request, gives it 500.
    ///
    /// # Errors
    /// The listening socket itself failed.
    pub async fn serve_requests_until<H, F>(
        self,
        shutdown: impl Future<Output = ()>,
        handler: H,
    ) -> io::Result<()>
    where
        H: Fn(Incoming<TcpStream>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        self.serve_all(shutdown, handler, Answers::Later).await
    }

    async fn serve_all<H, F>(
        self,
        shutdown: impl Future<Output = ()>,
        handler: H,
        answers: Answers,
    ) -> io::Result<()>
    where
        H: Fn(Incoming<TcpStream>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let Self { socket, acceptor, book } = self;
        let result = select! {
            result = accept_all(&socket, &acceptor, &book, handler, answers) => result,
            () = shutdown => Ok(()),
        };
        drop(socket);
        book.shut_down(acceptor.config()).await;
        result
    }
}

async fn accept_all<H, F>(
    socket: &TcpListener,
    acceptor: &Acceptor,
    book: &Arc<Book>,
    handler: H,
    answers: Answers,
) -> io::Result<()>
where
    H: Fn(Incoming<TcpStream>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let mut patience = Patience::default();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                patience = Patience::default();
                // A peer that is gone already has no options to set; its socket says so soon enough.
                let _ = stream.set_nodelay(true);
                spawn_one(stream, acceptor.clone(), book, handler.clone(), answers);
            }
            Err(error) => {
                let wait = patience.after(error)?;
                if !wait.is_zero() {
                    sleep(wait).await;
                }
            }
        }
    }
}

const OF_LISTENER: OfListener<TcpStream> =
    OfListener { unanswered: spawn_refusal::<TcpStream>, split: split_tcp };

/// One task a connection, in the book from the start to the end.
fn spawn_one<H, F>(stream: TcpStream, acceptor: Acceptor, book: &Arc<Book>, handler: H, answers: Answers)
where
    H: FnOnce(Incoming<TcpStream>) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let entry = book.enter();
    let id = entry.id();
    let watched = (answers == Answers::Later).then(|| book.clone());
    // In a box, which goes when it is done.
    let handshake = Box::pin(async move {
        let unavailable = entry.unavailable();
        let incoming = acceptor.handshake_unless(stream, unavailable, Some(entry), Some(OF_LISTENER)).await?;
        if let Some(book) = watched {
            let deadline = incoming.deadline();
            // A task of its own, and not a timer in this one, which lives as long as the connection.
            ::tokio::spawn(async move {
                sleep_until(deadline).await;
                book.cut_if_unfinished(id);
            });
        }
        Ok::<_, Error>(handler(incoming))
    });
    let task = ::tokio::spawn(async move {
        // Why one connection did not open is no matter of the others.
        let Ok(handling) = handshake.await else { return };
        handling.await;
    });
    book.can_cut(id, task.abort_handle());
}

/// When a handler answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    AtOnce,
    /// It may take its time, so that somebody has to look at the clock.
    Later,
}
