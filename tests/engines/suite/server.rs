//! The server of the suite, on whichever engine the binary is for.

use std::{
    net::SocketAddr,
    thread::{self, JoinHandle},
    time::Duration,
};

use framecast::{
    Acceptor, CloseInfo, Config, Endpoint, Listen,
    reactor::{Reactor, Remote},
};
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    application::{End, OnReactor, on_tokio},
    peer::{Peer, watchdog},
};
use crate::ENGINE;

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "a binary is for one of them")]
pub(crate) enum Engine {
    Tokio,
    Reactor,
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    ends: mpsc::UnboundedReceiver<End>,
    stop: Stop,
    running: JoinHandle<std::io::Result<()>>,
}

enum Stop {
    Tokio(oneshot::Sender<()>),
    Reactor(Remote),
}

impl Server {
    /// The application with the default limits and terms.
    pub(crate) fn start() -> Self {
        Self::with(Config::default(), Endpoint::new())
    }

    pub(crate) fn with_config(config: Config) -> Self {
        Self::with(config, Endpoint::new())
    }

    /// In a thread of its own, on a free port.
    pub(crate) fn with(config: Config, endpoint: Endpoint) -> Self {
        Self::bind("127.0.0.1:0", config, endpoint).expect("a free port")
    }

    pub(crate) fn bind(addr: &str, config: Config, endpoint: Endpoint) -> std::io::Result<Self> {
        watchdog();
        let (tell_end, ends) = mpsc::unbounded_channel();
        match ENGINE {
            Engine::Tokio => {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
                let listen = Listen::new(Acceptor::new(config, endpoint));
                let bound = thread::scope(|scope| {
                    scope.spawn(|| runtime.block_on(listen.bind(addr))).join().expect("no panic")
                });
                let listener = match bound {
                    Ok(listener) => listener,
                    Err(error) => {
                        // Not dropped here, where a test's own runtime is at work.
                        runtime.shutdown_background();
                        return Err(error);
                    }
                };
                let addr = listener.local_addr()?;
                let (stop, stopped) = oneshot::channel::<()>();
                let running = thread::spawn(move || {
                    runtime.block_on(
                        listener.serve_requests_until(async move { drop(stopped.await) }, move |incoming| {
                            on_tokio(incoming, tell_end.clone())
                        }),
                    )
                });
                Ok(Self { addr, ends, stop: Stop::Tokio(stop), running })
            }
            Engine::Reactor => {
                let bound = Reactor::new(config, endpoint).bind(addr)?;
                let (addr, remote) = (bound.local_addr(), bound.remote());
                let running = thread::spawn(move || bound.run(|_| OnReactor(tell_end.clone())));
                Ok(Self { addr, ends, stop: Stop::Reactor(remote), running })
            }
        }
    }

    /// A connection of TCP.
    pub(crate) async fn connect(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.addr).await.expect("a server"))
    }

    /// A connection of TCP that takes little that is not read, less than 100 kB with what the server's end takes.
    pub(crate) async fn connect_narrow(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Small segments keep the kernel's buffer at the server's end small, too.
        SockRef::from(&socket).set_tcp_mss(536).expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a socket");
        socket.connect(self.addr).await.expect("a server")
    }

    /// A connection that is open.
    pub(crate) async fn open(&self) -> Peer<TcpStream> {
        Peer::open(TcpStream::connect(self.addr).await.expect("a server")).await
    }

    /// The next end of a connection that is told.
    pub(crate) async fn end(&mut self) -> End {
        timeout(DEADLINE, self.ends.recv()).await.expect("in time").expect("the server runs")
    }

    /// Whether an end was told that nobody has asked for.
    pub(crate) fn has_another_end(&mut self) -> bool {
        self.ends.try_recv().is_ok()
    }

    /// What [`numbers`](Remote::numbers) says, on the reactor.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.stop {
            Stop::Tokio(_) => None,
            Stop::Reactor(remote) => Some(remote),
        }
    }

    /// Tells it to stop.
    pub(crate) fn shut_down(self) -> Stopping {
        match self.stop {
            Stop::Tokio(stop) => stop.send(()).expect("it runs"),
            Stop::Reactor(remote) => remote.shut_down(),
        }
        Stopping { ends: self.ends, running: self.running, since: Instant::now() }
    }
}

/// A server that was told to stop.
pub(crate) struct Stopping {
    ends: mpsc::UnboundedReceiver<End>,
    running: JoinHandle<std::io::Result<()>>,
    since: Instant,
}

impl Stopping {
    /// How long it took until it returned, and the ends that it told and nobody took.
    pub(crate) async fn over(mut self) -> (Duration, Vec<End>) {
        let joining = tokio::task::spawn_blocking(move || self.running.join());
        let joined = timeout(DEADLINE, joining).await.expect("in time").expect("joined");
        joined.expect("no panic").expect("no error");
        let mut ends = Vec::new();
        while let Ok(end) = self.ends.try_recv() {
            ends.push(end);
        }
        (self.since.elapsed(), ends)
    }
}

/// An end in brief.
pub(crate) fn told(end: &CloseInfo) -> (u16, &str, framecast::Initiator, bool) {
    (end.code.0, &end.reason, end.initiator, end.clean)
}

const DEADLINE: Duration = Duration::from_secs(20);
