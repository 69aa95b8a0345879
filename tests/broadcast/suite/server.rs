//! The server of the suite, on whichever engine the binary is for: every connection takes part in the topics, tells the test who
//! it is, and does what the test says.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use framecast::{
    Acceptor, CloseCode, CloseInfo, Config, Endpoint, Listen, Message, SendError,
    broadcast::{Member, Topics},
    reactor::{self, Handler, Reactor, Received, Remote},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::peer::{Peer, watchdog};
use crate::ENGINE;

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "a binary is for one of them")]
pub(crate) enum Engine {
    Tokio,
    Reactor,
}

/// What a connection's callback, or its task, is at. Pings and drains are told by the reactor alone.
#[derive(Debug)]
pub(crate) enum On<'a> {
    Open,
    Message(&'a str),
    Ping,
    Drain,
    Close(&'a CloseInfo),
}

/// What it may touch.
pub(crate) struct At<'a> {
    pub(crate) member: &'a Member,
    pub(crate) topics: &'a Topics,
    send: &'a mut dyn FnMut(Message) -> Result<(), SendError>,
    close: &'a mut dyn FnMut(u16),
    close_behind_topics: &'a mut dyn FnMut(u16, &str) -> Result<(), SendError>,
}

impl At<'_> {
    pub(crate) fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        (self.send)(message.into())
    }

    pub(crate) fn close(&mut self, code: u16) {
        (self.close)(code);
    }

    pub(crate) fn close_behind_topics(&mut self, code: u16, reason: &str) -> Result<(), SendError> {
        (self.close_behind_topics)(code, reason)
    }
}

pub(crate) type Does = Arc<dyn Fn(On<'_>, At<'_>) + Send + Sync>;

pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) topics: Topics,
    pub(crate) threads: u16,
    pub(crate) does: Does,
}

impl Default for Setup {
    fn default() -> Self {
        Self { config: Config::default(), topics: Topics::new(), threads: 2, does: Arc::new(|_, _| {}) }
    }
}

impl Setup {
    pub(crate) fn does(mut self, does: impl Fn(On<'_>, At<'_>) + Send + Sync + 'static) -> Self {
        self.does = Arc::new(does);
        self
    }

    pub(crate) fn start(self) -> Server {
        watchdog();
        let Self { config, topics, threads, does } = self;
        let (joined, members) = mpsc::unbounded_channel();
        let app = App { topics: topics.clone(), joined, does, polls: Arc::default() };
        let polls = app.polls.clone();
        let (addr, stop, running) = match ENGINE {
            Engine::Tokio => app.on_tokio(config, threads),
            Engine::Reactor => app.on_reactor(config, threads),
        };
        Server { addr, topics, polls, members, stop: Some(stop), running: Some(running) }
    }
}

#[derive(Clone)]
struct App {
    topics: Topics,
    joined: mpsc::UnboundedSender<Member>,
    does: Does,
    polls: Arc<AtomicUsize>,
}

type Running = JoinHandle<std::io::Result<()>>;

impl App {
    fn on_tokio(self, config: Config, threads: u16) -> (SocketAddr, Stop, Running) {
        let (bound_to, bound) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(threads.into()).enable_all().build()?;
            // As a task, so that the workers do everything.
            let serving = runtime.spawn(async move {
                let listen = Listen::new(Acceptor::new(config, Endpoint::new()));
                let listener = listen.bind("127.0.0.1:0").await?;
                bound_to.send(listener.local_addr()?).expect("the test waits");
                let handler = move |ws| Counted(self.polls.clone(), Box::pin(on_tokio(ws, self.clone())));
                listener.serve_until(async move { drop(stopped.await) }, handler).await
            });
            runtime.block_on(serving).expect("no panic")
        });
        (bound.recv().expect("a free port"), Stop::Tokio(stop), running)
    }

    fn on_reactor(self, config: Config, threads: u16) -> (SocketAddr, Stop, Running) {
        let reactor = Reactor::new(config, Endpoint::new()).threads(threads).topics(&self.topics);
        let bound = reactor.bind("127.0.0.1:0").expect("a free port");
        let (addr, remote) = (bound.local_addr(), bound.remote());
        let running = thread::spawn(move || bound.run(|_| OnReactor(self.clone())));
        (addr, Stop::Reactor(remote), running)
    }
}

/// A future of the application's, and how often it and its like were polled.
struct Counted<F>(Arc<AtomicUsize>, Pin<Box<F>>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.fetch_add(1, SeqCst);
        self.1.as_mut().poll(cx)
    }
}

async fn on_tokio(mut ws: framecast::WebSocket, app: App) {
    let member = ws.join(&app.topics);
    let sender = ws.sender();
    let does = |on: On<'_>| {
        let mut send = |message: Message| sender.try_send(message);
        let mut close = |code| sender.close(CloseCode(code), "").unwrap_or_default();
        let mut behind = |code, reason: &str| sender.close_behind_topics(CloseCode(code), reason);
        let at = At {
            member: &member,
            topics: &app.topics,
            send: &mut send,
            close: &mut close,
            close_behind_topics: &mut behind,
        };
        (app.does)(on, at);
    };
    does(On::Open);
    // The test may be over.
    let _ = app.joined.send(member.clone());
    while let Some(message) = ws.recv().await {
        does(On::Message(message.as_text().unwrap_or("binary")));
    }
    let info = ws.closed().await;
    does(On::Close(&info));
}

struct OnReactor(App);

impl OnReactor {
    fn does(&self, on: On<'_>, ws: &mut reactor::WebSocket<'_, ()>) {
        let member = ws.member().expect("the reactor has topics").clone();
        let ws = std::cell::RefCell::new(ws);
        let mut send = |message: Message| ws.borrow_mut().send(message).map(drop);
        let mut close = |code| ws.borrow_mut().close(CloseCode(code), "").unwrap_or_default();
        let mut behind = |code, reason: &str| ws.borrow_mut().close_behind_topics(CloseCode(code), reason);
        let at = At {
            member: &member,
            topics: &self.0.topics,
            send: &mut send,
            close: &mut close,
            close_behind_topics: &mut behind,
        };
        (self.0.does)(on, at);
    }
}

impl Handler for OnReactor {
    type Data = ();

    fn open(&mut self, ws: &mut reactor::WebSocket<'_, ()>) {
        self.does(On::Open, ws);
        let _ = self.0.joined.send(ws.member().expect("the reactor has topics").clone());
    }

    fn message(&mut self, ws: &mut reactor::WebSocket<'_, ()>, message: Received<'_>) {
        self.does(On::Message(message.as_text().unwrap_or("binary")), ws);
    }

    fn ping(&mut self, ws: &mut reactor::WebSocket<'_, ()>, _: &[u8]) {
        self.does(On::Ping, ws);
    }

    fn drain(&mut self, ws: &mut reactor::WebSocket<'_, ()>) {
        self.does(On::Drain, ws);
    }

    fn close(&mut self, ws: &mut reactor::WebSocket<'_, ()>, end: CloseInfo) {
        self.does(On::Close(&end), ws);
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) topics: Topics,
    /// Polls of the application's futures, on tokio.
    #[allow(dead_code, reason = "there are none on the reactor")]
    pub(crate) polls: Arc<AtomicUsize>,
    members: mpsc::UnboundedReceiver<Member>,
    stop: Option<Stop>,
    running: Option<Running>,
}

enum Stop {
    Tokio(oneshot::Sender<()>),
    Reactor(Remote),
}

impl Server {
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// A connection that is open, and who it is among the members.
    pub(crate) async fn open(&mut self) -> (Peer<TcpStream>, Member) {
        let stream = TcpStream::connect(self.addr).await.expect("a server");
        stream.set_nodelay(true).expect("a socket");
        let peer = Peer::open(stream).await;
        (peer, self.joined().await)
    }

    /// The same, whose socket holds as little as it can of what it does not read.
    pub(crate) async fn open_narrow(&mut self) -> (Peer<TcpStream>, Member) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("an option of it");
        let stream = socket.connect(self.addr).await.expect("a server");
        (Peer::open(stream).await, self.joined().await)
    }

    /// `count` of them.
    pub(crate) async fn open_many(&mut self, count: usize) -> Vec<(Peer<TcpStream>, Member)> {
        let mut opened = Vec::with_capacity(count);
        for _ in 0..count {
            opened.push(self.open().await);
        }
        opened
    }

    /// Who has joined.
    pub(crate) async fn joined(&mut self) -> Member {
        timeout(DEADLINE, self.members.recv()).await.expect("in time").expect("the server runs")
    }

    /// Tells it to stop.
    pub(crate) fn shut_down(&mut self) {
        match self.stop.take() {
            Some(Stop::Tokio(stop)) => drop(stop.send(())),
            Some(Stop::Reactor(remote)) => remote.shut_down(),
            None => {}
        }
    }

    /// Waits until it has stopped.
    pub(crate) async fn over(mut self) {
        let running = self.running.take().expect("it runs");
        let joining = tokio::task::spawn_blocking(move || running.join());
        let joined = timeout(DEADLINE, joining).await.expect("in time").expect("joined");
        joined.expect("no panic").expect("no error");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Waits until it is so; the test fails if it is not in time.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let by = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < by, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
