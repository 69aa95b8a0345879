//! What the reactor allocates: nothing a message, and little for an idle connection. Alone in its binary, as it brings an
//! allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use framecast::{
    Config, Deflate, Endpoint,
    reactor::{Handler, Reactor, Received, WebSocket},
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is a loop of the reactor: the test's own threads and its runner's allocate when they like.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: every call is passed on to the system's allocator as it came; the counting beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTED.get() {
            LIVE.fetch_add(layout.size(), SeqCst);
            CALLS.fetch_add(1, SeqCst);
        }
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if COUNTED.get() {
            LIVE.fetch_sub(layout.size(), SeqCst);
        }
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

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn message(&mut self, ws: &mut WebSocket<'_, ()>, message: Received<'_>) {
        ws.send(message).expect("there is room for an answer");
    }
}

fn open(addr: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(addr).expect("a server");
    socket.write_all(REQUEST).expect("it reads");
    let mut head = [0; 129];
    socket.read_exact(&mut head).expect("an answer");
    assert!(head.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&head));
    socket
}

fn exchange(socket: &mut TcpStream, messages: usize) {
    let questions = QUESTION.repeat(messages);
    let mut answers = vec![0; ANSWER * messages];
    socket.write_all(&questions).expect("it reads");
    socket.read_exact(&mut answers).expect("echoes");
}

/// One after the other, as each counts what the process does.
#[test]
fn what_the_reactor_allocates() {
    let config = Config::builder().deflate(Some(Deflate::default())).build().expect("valid");
    let bound = Reactor::new(config, Endpoint::new()).bind("127.0.0.1:0").expect("a port");
    let addr = bound.local_addr();
    thread::spawn(move || {
        bound.run(|_| {
            COUNTED.set(true);
            Echo
        })
    });
    a_small_message_is_no_allocation(addr);
    an_idle_connection_holds_no_buffer(addr);
}

fn a_small_message_is_no_allocation(addr: SocketAddr) {
    let mut socket = open(addr);
    // The first sizes what is kept, and is over when the second is answered.
    exchange(&mut socket, 64);
    exchange(&mut socket, 64);
    for messages in [1, 32] {
        let before = CALLS.load(SeqCst);
        (0..100).for_each(|_| exchange(&mut socket, messages));
        assert_eq!(CALLS.load(SeqCst) - before, 0, "{messages} at a time");
    }
    assert_ne!(CALLS.load(SeqCst), 0, "what set the loop up was counted");
}

fn an_idle_connection_holds_no_buffer(addr: SocketAddr) {
    const CONNECTIONS: usize = 200;
    // What the thread keeps for all of them is there.
    let mut first = open(addr);
    exchange(&mut first, 1);
    let mut sockets = Vec::with_capacity(CONNECTIONS);
    let before = LIVE.load(SeqCst);
    for _ in 0..CONNECTIONS {
        let mut socket = open(addr);
        exchange(&mut socket, 1);
        sockets.push(socket);
    }
    let each = (LIVE.load(SeqCst).saturating_sub(before)) / CONNECTIONS;
    // Its place was reserved when the loop began.
    assert!(each <= 16, "{each} bytes each");
}
