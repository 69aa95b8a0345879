//! How to listen, and the threads that do.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::Instant,
};

use mio::{Interest, Poll, Waker, net::TcpListener};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    accept::Accepting,
    event_loop::{EventLoop, LISTENER, WAKER},
    handler::Handler,
    remote::{Mailbox, Owned, Remote},
    world::{NOBODY, World},
};
use crate::{
    broadcast::Topics,
    driver::admission::counts,
    handshake::Endpoint,
    proto::{Config, Outbound},
};

/// A server of one event loop a thread, each with a listening socket of its own on the same port.
///
/// ```no_run
/// use framecast::{
///     Config, Endpoint,
///     reactor::{Handler, Reactor, Received, WebSocket},
/// };
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Data = ();
///
///     fn message(&mut self, ws: &mut WebSocket<'_, ()>, message: Received<'_>) {
///         let _ = ws.send(message);
///     }
/// }
///
/// let reactor = Reactor::new(Config::default(), Endpoint::new()).threads(2).bind("127.0.0.1:9001")?;
/// let remote = reactor.remote();
/// std::thread::spawn(move || {
///     std::thread::sleep(std::time::Duration::from_secs(60));
///     println!("{:?}", remote.numbers());
///     remote.shut_down();
/// });
/// reactor.run(|_| Echo)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Reactor {
    config: Arc<Config>,
    endpoint: Arc<Endpoint>,
    threads: u16,
    backlog: u32,
    reuse_port: bool,
    topics: Option<Topics>,
    #[cfg(feature = "reactor-tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Reactor {
    /// With these limits, and these terms for who may connect; one thread, a backlog of 1,024, a port of its own. Messages are
    /// assembled, whatever `parts` says.
    pub fn new(mut config: Config, endpoint: Endpoint) -> Self {
        config.parts = false;
        Self {
            config: Arc::new(config),
            endpoint: Arc::new(endpoint),
            threads: 1,
            backlog: 1024,
            reuse_port: false,
            topics: None,
            #[cfg(feature = "reactor-tls")]
            tls: None,
        }
    }

    /// Threads, each with a loop. Default 1; 0 counts as 1. The kernel spreads connections over them by their addresses
    /// (`SO_REUSEPORT`), and each one stays where it was put.
    pub fn threads(mut self, threads: u16) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Connections that the kernel keeps for each loop until it accepts them. Default 1,024; the kernel has a limit of its own.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Shares the port with other processes that ask for the same. Default no: a port that is taken is an error.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Has every connection take part in these topics, by [`WebSocket::member`](super::WebSocket::member). Each loop is a shard of them.
    pub fn topics(mut self, topics: &Topics) -> Self {
        self.topics = Some(topics.clone());
        self
    }

    /// Speaks TLS on every connection. Its handshake is part of the opening one's time, and comes first for those too that are told
    /// 503, for want of room or in a shutdown; tell the [`Endpoint`] that it is [`secure`](Endpoint::secure).
    #[cfg(feature = "reactor-tls")]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Binds the first address that can be bound.
    ///
    /// # Errors
    /// That of the last address; the system's, if it gives no sockets.
    pub fn bind(&self, addr: impl ToSocketAddrs) -> io::Result<Bound> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for addr in addr.to_socket_addrs()? {
            match self.bind_all(addr) {
                Ok(bound) => return Ok(bound),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_all(&self, addr: SocketAddr) -> io::Result<Bound> {
        let shares = self.reuse_port || self.threads > 1;
        // Our loops share the port with each other, but not with a stranger who would share it too.
        let probe = (shares && !self.reuse_port && addr.port() != 0).then(|| self.bind_one(addr, false));
        drop(probe.transpose()?);
        let first = self.bind_one(addr, shares)?;
        let addr = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..self.threads {
            sockets.push(self.bind_one(addr, true)?);
        }
        let loops: Vec<_> = sockets.into_iter().map(Ready::new).collect::<io::Result<_>>()?;
        let mailboxes = loops.iter().map(|ready| ready.mailbox.0.clone()).collect();
        let (connections_max, handshakes_max) = counts(&self.config);
        let remote = Remote::new(mailboxes, connections_max);
        // Each loop has its share of what may be unfinished, and the oldest of a loop is cut.
        let handshakes_max = handshakes_max.div_ceil(usize::from(self.threads));
        Ok(Bound { reactor: self.clone(), addr, loops, remote, connections_max, handshakes_max })
    }

    fn bind_one(&self, addr: SocketAddr, shares: bool) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // Not to wait for connections of a process before us to leave TIME_WAIT; a port in use stays in use.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shares)?;
        // Inherited by what is accepted, which saves a call for each.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(self.backlog.try_into().unwrap_or(i32::MAX))?;
        Ok(TcpListener::from_std(socket.into()))
    }
}

/// A reactor that is bound, and does not run yet: the kernel accepts for it already.
#[derive(Debug)]
#[must_use]
pub struct Bound {
    reactor: Reactor,
    addr: SocketAddr,
    loops: Vec<Ready>,
    remote: Remote,
    connections_max: usize,
    handshakes_max: usize,
}

/// What a loop's thread is given.
#[derive(Debug)]
struct Ready {
    poll: Poll,
    listener: TcpListener,
    mailbox: Owned,
}

impl Ready {
    fn new(mut listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mailbox = Owned(Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKER)?)));
        Ok(Self { poll, listener, mailbox })
    }
}

impl Bound {
    /// Where it listens, with the port that was really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What reaches the loops from other threads.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Runs the loops, one on this thread, until [`Remote::shut_down`]. `make` is called on each loop's thread, with its number.
    ///
    /// # Errors
    /// A listening socket or a poll failed, or a thread could not be had: the other loops are shut down in order.
    ///
    /// # Panics
    /// If `make` does: the other loops are shut down in order, first.
    pub fn run<H: Handler>(self, make: impl Fn(u16) -> H + Sync) -> io::Result<()> {
        let Self { reactor, loops, remote, connections_max, handshakes_max, .. } = self;
        let share = Share {
            reactor: &reactor,
            remote: &remote,
            slots: connections_max.div_ceil(loops.len()).min(SLOTS_RESERVED_MAX),
            handshakes_max,
        };
        let make = &make;
        thread::scope(|scope| {
            let mut numbered = (0..).zip(loops);
            let first = numbered.next();
            let mut spawned = Vec::new();
            let mut result = Ok(());
            for (number, ready) in numbered {
                let name = format!("framecast-{number}");
                let run = move || share.run(number, ready, make);
                match thread::Builder::new().name(name).spawn_scoped(scope, run) {
                    Ok(thread) => spawned.push(thread),
                    Err(error) => {
                        remote.shut_down();
                        result = Err(error);
                        break;
                    }
                }
            }
            if let Some((number, ready)) = first {
                result = result.and(share.run(number, ready, make));
            }
            for thread in spawned {
                match thread.join() {
                    Ok(ended) => result = result.and(ended),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            result
        })
    }
}

/// What all loops are given.
#[derive(Clone, Copy)]
struct Share<'r> {
    reactor: &'r Reactor,
    remote: &'r Remote,
    /// Places that are reserved, though not touched, so that none is ever moved.
    slots: usize,
    handshakes_max: usize,
}

impl Share<'_> {
    fn run<H: Handler>(self, number: u16, ready: Ready, make: impl Fn(u16) -> H) -> io::Result<()> {
        let Ready { poll, listener, mailbox } = ready;
        // A loop that ends, be it by a panic, takes the others with it, in order: half a server is no server.
        let _others = ShutDownOnDrop(self.remote);
        let accepting = Accepting::new(listener, self.reactor.endpoint.clone(), self.handshakes_max);
        #[cfg(feature = "reactor-tls")]
        let accepting = accepting.with_tls(self.reactor.tls.clone());
        let world = World {
            slots: Slab::with_capacity(self.slots),
            outbound: Outbound::default(),
            dirty: Vec::new(),
            active: NOBODY,
            now: Instant::now(),
            config: self.reactor.config.clone(),
            remote: self.remote.clone(),
            loop_number: number,
            next_serial: 1,
        };
        EventLoop::new(poll, make(number), world, accepting, mailbox)
            .with_topics(self.reactor.topics.as_ref())
            .run()
    }
}

struct ShutDownOnDrop<'r>(&'r Remote);

impl Drop for ShutDownOnDrop<'_> {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// Places reserved for connections: what is not used is address space and no memory.
const SLOTS_RESERVED_MAX: usize = 64 << 10;
