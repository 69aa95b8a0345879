//! A process that has run out of file descriptors, alone in its binary as the limit is the process's.

use std::{fs::File, time::Duration};

use framecast::{Acceptor, Config, Listen, WebSocket, handshake::Endpoint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];

/// Nobody gets in while there is no file to be had, nobody is lost who was in, no core is burnt, and it goes on by itself
/// · catalogue: FT-20, V-88
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_waits_out_emfile_without_spinning() {
    let config =
        Config::builder().connections_max(Some(1000)).handshakes_max(Some(100)).build().expect("valid");
    let listener =
        Listen::new(Acceptor::new(config, Endpoint::new())).bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let serving = tokio::spawn(listener.serve(async |mut ws: WebSocket| while ws.recv().await.is_some() {}));
    let mut early = open(TcpStream::connect(addr).await.expect("a server")).await;

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: limit.maximum }).expect("lower");
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    // One for a client of ours, none for the server.
    files.pop();
    let mut waiting = TcpStream::connect(addr).await.expect("the kernel accepts");
    waiting.write_all(REQUEST).await.expect("the kernel takes it");
    let (before, started) = (cpu(), Instant::now());
    sleep(Duration::from_secs(2)).await;
    let (used, elapsed) = (cpu() - before, started.elapsed());
    assert!(used < elapsed / 20, "{used:?} of CPU in {elapsed:?}");
    assert!(!serving.is_finished());
    ping(&mut early).await;

    drop(files);
    let mut head = [0; 12];
    timeout(Duration::from_secs(3), waiting.read_exact(&mut head))
        .await
        .expect("in a second")
        .expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    ping(&mut early).await;
    setrlimit(Resource::Nofile, limit).expect("as it was");
}

async fn open(mut stream: TcpStream) -> TcpStream {
    stream.write_all(REQUEST).await.expect("a server");
    let mut head = [0; 129];
    stream.read_exact(&mut head).await.expect("an answer");
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

async fn ping(stream: &mut TcpStream) {
    stream.write_all(PING).await.expect("open");
    let mut pong = [0; 2];
    timeout(Duration::from_secs(5), stream.read_exact(&mut pong)).await.expect("in time").expect("open");
    assert_eq!(pong, [0x8a, 0]);
}

/// This process' CPU time.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}
