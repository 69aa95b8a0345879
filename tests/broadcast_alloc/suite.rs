//! What topics allocate: for a publish, whatever the number of its subscribers, and for subscribers that do not read. Alone in its
//! binary, as it brings an allocator; one test, as others beside it would be counted too.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use framecast::{
    Acceptor, Config, Deflate, Endpoint, Listen, Message, WebSocket,
    broadcast::{ConflateBy, OverflowPolicy, Publish, Published, Subscription, Topics},
    reactor::{self, Handler, Reactor, Received},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ENGINE;

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "a binary is for one of them")]
pub(crate) enum Engine {
    Tokio,
    Reactor,
}

struct Counting;

/// Of the server's threads: the test's own allocate when they like.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Of all threads, as what one allocates another one may free.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIVE_MAX: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: every call is passed on to the system's allocator as it came; the counting beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), SeqCst) + layout.size();
        LIVE_MAX.fetch_max(live, SeqCst);
        if COUNTED.get() {
            CALLS.fetch_add(1, SeqCst);
            BYTES.fetch_add(layout.size(), SeqCst);
        }
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One after the other, as each counts what the process does.
#[test]
fn what_topics_allocate() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as usize;
    // In this order, as none sees to it that its connections' memory is given back before the next one.
    subscribers_that_never_read_are_bounded_and_share_what_waits();
    a_publish_compresses_once_for_each_window();
    a_publish_allocates_the_same_for_any_number(files);
}

/// The payload is there once, and a delivery allocates nothing · catalogue: DS-31, ZC-11
fn a_publish_allocates_the_same_for_any_number(files: usize) {
    const LARGE: usize = 64 << 10;
    let topics = Topics::new();
    let server = serve(Config::builder().ping_every(None).build().expect("valid"), &topics);
    // Both ends of each connection are this process's.
    let most = 10_000.min((files - 200) / 2);
    if most < 10_000 {
        eprintln!("of 10,000 subscribers {most} fit into {files} files");
    }
    let mut publisher = Client::open(server, "/publisher", None);
    let mut clients: Vec<Client> = Vec::with_capacity(most);
    let (mut of_small, mut of_large) = (Vec::<(usize, usize)>::new(), Vec::<(usize, usize)>::new());
    for count in [100, 1000, most] {
        while clients.len() < count {
            clients.push(Client::open(server, "/room", None));
        }
        until("all have subscribed", || topics.members("room") as usize == count);
        let mut measure = |bytes: usize, warm_up: usize, rounds: usize| {
            let (mut calls, mut allocated) = (0, 0);
            for round in 0..warm_up + rounds {
                let before = (CALLS.load(SeqCst), BYTES.load(SeqCst));
                let published = publisher.publish(bytes);
                assert_eq!(published.subscribers() as usize, count);
                for client in &mut clients {
                    client.read(bytes);
                }
                if round >= warm_up {
                    assert_eq!(published.delivered as usize, count, "{published:?}");
                    calls += CALLS.load(SeqCst) - before.0;
                    allocated += BYTES.load(SeqCst) - before.1;
                }
            }
            (calls / rounds, allocated / rounds)
        };
        let small = measure(128, 10, 10);
        let large = measure(LARGE, 3, 2);
        println!("{count} subscribers: {small:?} calls and bytes for 128 bytes, {large:?} for {LARGE}");
        match ENGINE {
            // The message, what it is published as, and the queues' list.
            Engine::Reactor => assert!(small.0 <= 8, "{small:?}"),
            // And the tasks.
            Engine::Tokio => assert!(small.0 <= 24, "{small:?}"),
        }
        assert!(small.1 <= 8 << 10, "{small:?}");
        of_small.push(small);
        of_large.push(large);
    }
    // As many for nine thousand deliveries more: none for each.
    assert!(of_small.iter().all(|small| small.0.abs_diff(of_small[0].0) <= 1), "{of_small:?}");
    let (first, last) = (of_large[0].1, of_large[2].1);
    assert!(last.abs_diff(first) < LARGE, "{of_large:?}");
    assert!(last < 4 * LARGE, "{of_large:?}");
}

/// Each of them within its bounds, and what waits for all of them is there once · catalogue: DS-30, DS-31
fn subscribers_that_never_read_are_bounded_and_share_what_waits() {
    const SUBSCRIBERS: usize = 100;
    const BYTES_EACH: usize = 64 << 10;
    const MESSAGES: usize = (100 << 20) / BYTES_EACH;
    const OUTBOX: usize = 1 << 20;
    let policies = [
        ("/room/oldest", OverflowPolicy::DropOldest),
        ("/room/newest", OverflowPolicy::DropNewest),
        ("/room/conflate", OverflowPolicy::Conflate(ConflateBy::Key)),
        ("/room/disconnect", OverflowPolicy::default()),
    ];
    for (path, policy) in policies {
        let config = Config::builder()
            .outbox_bytes_max(OUTBOX)
            .ping_every(None)
            .write_stall_after(Duration::from_secs(600))
            .close_within(Duration::from_secs(600))
            .build()
            .expect("valid");
        let topics = Topics::new();
        let server = serve(config, &topics);
        let clients: Vec<Client> = (0..SUBSCRIBERS).map(|_| Client::open(server, path, None)).collect();
        until("all have subscribed", || topics.members("room") as usize == SUBSCRIBERS);
        let before = LIVE.load(SeqCst);
        LIVE_MAX.store(before, SeqCst);
        let payload = "x".repeat(BYTES_EACH);
        let mut last = Published::default();
        for number in 0..MESSAGES {
            // As many keys as fit, so that keys are no measure of what waits.
            let publish = Publish::new(Message::text(payload.clone())).key(number.to_string());
            last = wait(topics.publish("room", publish).expect("there is room"));
        }
        assert_eq!((last.delivered, last.subscribers() as usize), (0, SUBSCRIBERS), "all are behind");
        let grown = LIVE_MAX.load(SeqCst) - before;
        println!("{policy:?}: {grown} bytes at most for {SUBSCRIBERS} that never read");
        // An outbox's worth waits for all of them, and is there once; beside it what they have begun to leave with, which is not
        // the same for all, and the entries. Each by itself would be a hundred outboxes.
        assert!(grown <= 4 * OUTBOX, "{policy:?}: {grown}");
        drop(clients);
        until("all have left", || topics.members("room") == 0);
    }
}

/// For each window once, though there are twenty of each, and not for those who keep a context · catalogue: ZC-11
fn a_publish_compresses_once_for_each_window() {
    const EACH: usize = 20;
    const BYTES_EACH: usize = 32 << 10;
    let deflate: Deflate = "threshold=64".parse().expect("the largest terms");
    let config = Config::builder().deflate(deflate).ping_every(None).build().expect("valid");
    let topics = Topics::new();
    let server = serve(config, &topics);
    let mut publisher = Client::open(server, "/publisher", None);
    let offers = ["", "; server_max_window_bits=12", "; server_max_window_bits=9"]
        .map(|bits| format!("permessage-deflate; server_no_context_takeover{bits}"));
    let mut clients: Vec<Client> = Vec::new();
    let mut rounds: Vec<usize> = Vec::new();
    for round in 0..EACH {
        clients.extend(offers.iter().map(|offer| Client::open(server, "/room", Some(offer))));
        until("all have subscribed", || topics.members("room") as usize == clients.len());
        let mut allocated = 0;
        for warm in 0..3 {
            let before = BYTES.load(SeqCst);
            publisher.publish(BYTES_EACH);
            let wires: Vec<Vec<u8>> = clients.iter_mut().map(Client::frame).collect();
            // Byte by byte the same for who has the same window.
            for (at, wire) in wires.iter().enumerate() {
                assert_eq!(*wire, wires[at % offers.len()], "{at} of {round}");
            }
            if warm > 0 {
                allocated = BYTES.load(SeqCst) - before;
            }
        }
        rounds.push(allocated);
    }
    println!("three windows: {rounds:?} bytes with 3, 6, ... subscribers");
    let (first, last) = (rounds[0], rounds[EACH - 1]);
    assert!(last <= first + (8 << 10), "{rounds:?}");
}

// ---- the server

/// Who asks for `/room`, and what follows, subscribes on the terms that it names; the publisher's messages are numbers of bytes.
fn subscription(path: &str) -> Option<Subscription> {
    let policy = match path.strip_prefix("/room")? {
        "/oldest" => OverflowPolicy::DropOldest,
        "/newest" => OverflowPolicy::DropNewest,
        "/conflate" => OverflowPolicy::Conflate(ConflateBy::Key),
        _ => OverflowPolicy::default(),
    };
    Some(Subscription::new().policy(policy))
}

/// Publishes so many bytes, and answers with what came of it.
fn publish(topics: &Topics, bytes: &[u8], tell: mpsc::Sender<Published>) {
    let bytes: usize =
        std::str::from_utf8(bytes).ok().and_then(|bytes| bytes.parse().ok()).expect("a number");
    let publishing = topics.publish("room", Message::binary(vec![7; bytes])).expect("there is room");
    publishing.then(move |published| tell.send(published).expect("the test waits"));
}

static TOLD: std::sync::Mutex<Option<mpsc::Sender<Published>>> = std::sync::Mutex::new(None);

fn tell() -> mpsc::Sender<Published> {
    TOLD.lock().expect("no panic").clone().expect("a publisher")
}

fn serve(config: Config, topics: &Topics) -> SocketAddr {
    let topics = topics.clone();
    match ENGINE {
        Engine::Reactor => {
            let reactor = Reactor::new(config, Endpoint::new()).topics(&topics);
            let bound = reactor.bind("127.0.0.1:0").expect("a port");
            let addr = bound.local_addr();
            thread::spawn(move || {
                bound.run(|_| {
                    COUNTED.set(true);
                    OnReactor(topics.clone())
                })
            });
            addr
        }
        Engine::Tokio => {
            let (addr_to, addr) = mpsc::channel();
            thread::spawn(move || {
                COUNTED.set(true);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let listen = Listen::new(Acceptor::new(config, Endpoint::new()));
                    let listener = listen.bind("127.0.0.1:0").await.expect("a port");
                    addr_to.send(listener.local_addr().expect("bound")).expect("the test waits");
                    let handler = move |incoming: framecast::Incoming<tokio::net::TcpStream>| {
                        let (topics, path) = (topics.clone(), incoming.request().path().to_owned());
                        async move { drop(incoming.run(|ws| on_tokio(ws, topics, path)).await) }
                    };
                    listener.serve_requests_until(std::future::pending(), handler).await
                })
            });
            addr.recv().expect("it runs")
        }
    }
}

async fn on_tokio(mut ws: WebSocket, topics: Topics, path: String) {
    let member = ws.join(&topics);
    if let Some(subscription) = subscription(&path) {
        member.subscribe("room", subscription).expect("open");
    }
    while let Some(message) = ws.recv().await {
        publish(&topics, message.as_bytes(), tell());
    }
}

struct OnReactor(Topics);

impl Handler for OnReactor {
    type Data = String;

    fn upgrade(
        &mut self,
        request: &framecast::Request,
        _: SocketAddr,
    ) -> Result<(framecast::handshake::Response, String), framecast::Refusal> {
        Ok((request.accept(), request.path().to_owned()))
    }

    fn open(&mut self, ws: &mut reactor::WebSocket<'_, String>) {
        if let Some(subscription) = subscription(ws.data()) {
            ws.subscribe("room", subscription).expect("open");
        }
    }

    fn message(&mut self, _: &mut reactor::WebSocket<'_, String>, message: Received<'_>) {
        publish(&self.0, message.as_bytes(), tell());
    }
}

// ---- the clients

struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    told: Option<mpsc::Receiver<Published>>,
}

impl Client {
    fn open(server: SocketAddr, path: &str, offer: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(server).expect("a server");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let offer = offer.map_or(String::new(), |offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let told = (path == "/publisher").then(|| {
            let (tell, told) = mpsc::channel();
            *TOLD.lock().expect("no panic") = Some(tell);
            told
        });
        Self { socket, buffer: Vec::new(), told }
    }

    /// Has so many bytes published; what came of it.
    fn publish(&mut self, bytes: usize) -> Published {
        let text = bytes.to_string();
        let frame = [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0][..], text.as_bytes()].concat();
        self.socket.write_all(&frame).expect("it reads");
        self.told.as_ref().expect("a publisher").recv_timeout(DEADLINE).expect("in time")
    }

    /// Reads a message of so many bytes.
    fn read(&mut self, bytes: usize) {
        let head: &[u8] = match bytes {
            0..126 => &[0x82, bytes as u8],
            126..=0xffff => &[&[0x82, 126][..], &(bytes as u16).to_be_bytes()].concat(),
            _ => &[&[0x82, 127][..], &(bytes as u64).to_be_bytes()].concat(),
        };
        self.buffer.resize(head.len() + bytes, 0);
        self.socket.read_exact(&mut self.buffer).expect("it comes");
        assert!(self.buffer.starts_with(head) && self.buffer.ends_with(&[7]));
    }

    /// Reads one frame, as it is on the wire.
    fn frame(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 2];
        self.socket.read_exact(&mut frame).expect("it comes");
        let more = match frame[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        frame.resize(2 + more, 0);
        self.socket.read_exact(&mut frame[2..]).expect("it comes");
        let len = frame[2..].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        let len = if more == 0 { usize::from(frame[1]) } else { len };
        assert_eq!(frame[0], 0xc2, "compressed");
        let head = frame.len();
        frame.resize(head + len, 0);
        self.socket.read_exact(&mut frame[head..]).expect("it comes");
        frame
    }
}

fn wait(publishing: framecast::broadcast::Publishing) -> Published {
    let (tell, told) = mpsc::channel();
    publishing.then(move |published| tell.send(published).expect("we wait"));
    told.recv_timeout(DEADLINE).expect("in time")
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let by = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < by, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

const DEADLINE: Duration = Duration::from_secs(60);
