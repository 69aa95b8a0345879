//! A reactor whose every callback is one closure of the test's.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use framecast::{
    CloseInfo, Config, Endpoint, Refusal,
    handshake::{Request, Response},
    reactor::{Handler, Reactor, Received, Remote, WebSocket},
};
use http::StatusCode;
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::peer::{Peer, watchdog};

/// Which callback it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Open,
    Message(String),
    Ping,
    Pong,
    Drain,
    Close(CloseInfo),
}

type Does = Arc<dyn Fn(Call, &mut WebSocket<'_, u32>) + Send + Sync>;

pub(crate) struct Scripted(Does);

impl Handler for Scripted {
    type Data = u32;

    fn upgrade(&mut self, request: &Request, _: SocketAddr) -> Result<(Response, u32), Refusal> {
        assert_ne!(request.path(), "/panic", "as the test wants");
        if request.path() == "/slow" {
            thread::sleep(SLOW);
            return Err(Refusal::new(StatusCode::NOT_FOUND));
        }
        let response = request.accept();
        if let Some(bytes) = request.path().strip_prefix("/long/") {
            let long = "x".repeat(bytes.parse().expect("a number"));
            return Ok((response.header("x-long", long).expect("a header"), 0));
        }
        Ok((response, 0))
    }

    fn open(&mut self, ws: &mut WebSocket<'_, u32>) {
        (self.0)(Call::Open, ws);
    }

    fn message(&mut self, ws: &mut WebSocket<'_, u32>, message: Received<'_>) {
        (self.0)(Call::Message(message.as_text().unwrap_or("binary").to_owned()), ws);
    }

    fn ping(&mut self, ws: &mut WebSocket<'_, u32>, _: &[u8]) {
        (self.0)(Call::Ping, ws);
    }

    fn pong(&mut self, ws: &mut WebSocket<'_, u32>, _: &[u8]) {
        (self.0)(Call::Pong, ws);
    }

    fn drain(&mut self, ws: &mut WebSocket<'_, u32>) {
        (self.0)(Call::Drain, ws);
    }

    fn close(&mut self, ws: &mut WebSocket<'_, u32>, end: CloseInfo) {
        (self.0)(Call::Close(end), ws);
    }
}

/// What `upgrade` takes for `/slow`, which it refuses; `/long/BYTES` gets a long answer, `/panic` none.
pub(crate) const SLOW: Duration = Duration::from_millis(600);

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) remote: Remote,
    running: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) fn start(does: impl Fn(Call, &mut WebSocket<'_, u32>) + Send + Sync + 'static) -> Self {
        Self::with(Reactor::new(Config::default(), Endpoint::new()), does)
    }

    pub(crate) fn with(
        reactor: Reactor,
        does: impl Fn(Call, &mut WebSocket<'_, u32>) + Send + Sync + 'static,
    ) -> Self {
        watchdog();
        let bound = reactor.bind("127.0.0.1:0").expect("a free port");
        let (addr, remote) = (bound.local_addr(), bound.remote());
        let does: Does = Arc::new(does);
        let running = thread::spawn(move || bound.run(|_| Scripted(does.clone())));
        Self { addr, remote, running }
    }

    pub(crate) async fn open(&self) -> Peer<TcpStream> {
        Peer::open(TcpStream::connect(self.addr).await.expect("a server")).await
    }

    /// Ends it, in order.
    pub(crate) fn stop(self) {
        self.remote.shut_down();
        self.running.join().expect("no panic").expect("no error");
    }
}

/// A connection of TCP that takes little that is not read, less than 100 kB with what the server's end takes.
pub(crate) async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Small segments keep the kernel's buffer at the server's end small, too.
    SockRef::from(&socket).set_tcp_mss(536).expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a socket");
    socket.connect(addr).await.expect("a server")
}

/// The next of what a callback has told the test.
pub(crate) async fn next<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(Duration::from_secs(10), told.recv()).await.expect("in time").expect("the server runs")
}
