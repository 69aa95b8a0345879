//! What the driver allocates: for an idle connection, for a message, for a message that is kept. Alone in its binary, as it
//! counts what the whole process does.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use framecast::{Acceptor, WebSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: every call is passed on to the system's allocator as it came; the counting beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// A binary message of 20 bytes, masked with 0.
const QUESTION: [u8; 26] = {
    let mut frame = [7; 26];
    (frame[0], frame[1]) = (0x82, 0x80 | 20);
    [frame[2], frame[3], frame[4], frame[5]] = [0; 4];
    frame
};
const ANSWER: usize = 22;

/// Its configuration is shared by all connections.
static ACCEPTOR: LazyLock<Acceptor> = LazyLock::new(Acceptor::default);

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        let Ok(()) = ws.send(message).await else { break };
    }
}

async fn run(stream: TcpStream) {
    let _ = ACCEPTOR.run(stream, echo).await;
}

async fn accept(stream: TcpStream) {
    if let Ok(ws) = ACCEPTOR.accept(stream).await {
        echo(ws).await;
    }
}

/// A client that has opened and had one message each way; the server's task.
async fn open<F>(listener: &TcpListener, serve: fn(TcpStream) -> F) -> (TcpStream, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a server");
    let serving = tokio::spawn(serve(listener.accept().await.expect("a client").0));
    client.write_all(REQUEST).await.expect("open");
    client.read_exact(&mut [0; 129]).await.expect("a 101");
    exchange(&mut client, 1).await;
    (client, serving)
}

/// `count` messages in one write, and their answers.
async fn exchange(client: &mut TcpStream, count: usize) {
    client.write_all(&QUESTION.repeat(count)).await.expect("open");
    client.read_exact(&mut vec![0; ANSWER * count]).await.expect("answers");
}

/// Live bytes of a connection's two ends, less what a bare pair of sockets holds in tokio.
async fn idle_bytes<F>(serve: fn(TcpStream) -> F) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    const COUNT: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut held: Vec<(TcpStream, JoinHandle<()>)> = Vec::with_capacity(2 * COUNT);
    let mut bare = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        held.push(open(&listener, serve).await);
    }
    let start = LIVE.load(Relaxed);
    for _ in 0..COUNT {
        held.push(open(&listener, serve).await);
    }
    let with_us = LIVE.load(Relaxed) - start;
    let start = LIVE.load(Relaxed);
    for _ in 0..COUNT {
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a server");
        bare.push((client, listener.accept().await.expect("a client")));
    }
    let sockets = LIVE.load(Relaxed) - start;
    (with_us - sockets) / COUNT
}

fn alone(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// One test, as others beside it would be counted too · DESIGN "The core" 4, 5 · catalogue: ZC-10, ZC-12, V-89, V-90
#[test]
fn what_the_driver_allocates() {
    alone(an_idle_connection_holds_no_buffer());
    alone(a_small_message_is_one_allocation());
    alone(a_kept_message_pins_no_buffer());
    alone(a_large_message_leaves_nothing_behind());
}

async fn an_idle_connection_holds_no_buffer() {
    let (running, accepted) = (idle_bytes(run).await, idle_bytes(accept).await);
    println!("idle: {running} bytes by `run`, {accepted} by `accept`");
    assert!(running <= RUN_BYTES_MAX, "{running}");
    assert!(accepted <= ACCEPT_BYTES_MAX, "{accepted}");
}

/// 880 and 1,008 when this was written, the task and its share of tokio included; DESIGN promised 1.2 KiB and 1.7 KiB. Close
/// above what it is, as a queue that is kept would be 128 bytes more.
const RUN_BYTES_MAX: usize = 960;
const ACCEPT_BYTES_MAX: usize = 1088;

async fn a_small_message_is_one_allocation() {
    const ROUNDS: usize = 500;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    for (name, opened) in [("run", open(&listener, run).await), ("accept", open(&listener, accept).await)] {
        let (mut client, _serving) = opened;
        let questions = QUESTION.repeat(32);
        let mut answers = vec![0; ANSWER * 32];
        let mut calls = 0;
        for round in 0..ROUNDS + 100 {
            if round == 100 {
                calls = CALLS.load(Relaxed);
            }
            client.write_all(&questions).await.expect("open");
            client.read_exact(&mut answers).await.expect("answers");
        }
        let each = (CALLS.load(Relaxed) - calls) as f64 / (ROUNDS * 32) as f64;
        println!("{name}: {each:.4} allocations a message");
        assert!(each <= 1.0, "{name}: {each}");
    }
}

async fn a_kept_message_pins_no_buffer() {
    const COUNT: usize = 100_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a server");
    client.write_all(REQUEST).await.expect("open");
    let stream = listener.accept().await.expect("a client").0;
    let serving = tokio::spawn(Acceptor::default().run_keeping(stream, COUNT));
    client.read_exact(&mut [0; 129]).await.expect("a 101");
    let before = LIVE.load(Relaxed);
    for _ in 0..COUNT / 1000 {
        client.write_all(&QUESTION.repeat(1000)).await.expect("open");
    }
    client.shutdown().await.expect("open");
    let kept = serving.await.expect("no panic");
    let each = LIVE.load(Relaxed).saturating_sub(before) / COUNT;
    println!("kept: {each} bytes for a message of 20");
    assert_eq!(kept.len(), COUNT);
    assert!(each <= 160, "{each}");
}

trait RunKeeping {
    fn run_keeping(self, stream: TcpStream, count: usize) -> impl Future<Output = Vec<Bytes>> + Send;
}

impl RunKeeping for Acceptor {
    async fn run_keeping(self, stream: TcpStream, count: usize) -> Vec<Bytes> {
        let kept = self.run(stream, async move |mut ws: WebSocket| {
            let mut kept = Vec::new();
            while kept.len() < count {
                kept.push(ws.recv().await.expect("open").into_bytes());
            }
            kept
        });
        kept.await.expect("opened").0
    }
}

async fn a_large_message_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut opened = Vec::new();
    for _ in 0..20 {
        opened.push(open(&listener, run).await);
    }
    let before = LIVE.load(Relaxed);
    for (client, _) in &mut opened {
        let (mut reading, mut writing) = client.split();
        let question = [&[0x82, 0xff, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0][..], &vec![7; 1 << 20]].concat();
        let mut answer = vec![0; 10 + (1 << 20)];
        let (written, read) = tokio::join!(writing.write_all(&question), reading.read_exact(&mut answer));
        written.expect("open");
        read.expect("an answer");
        exchange(client, 1).await;
    }
    let each = LIVE.load(Relaxed).saturating_sub(before) / opened.len();
    println!("after a mebibyte each way: {each} bytes more");
    assert!(each <= 1000, "{each}");
}
