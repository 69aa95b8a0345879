//! A listener: its port, and its shutdown.

use std::io;

use framecast::{Config, Incoming, Initiator, Listen, Message, WebSocket};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Duration, Instant, timeout},
};

use crate::support::{PING, Peer, REQUEST, TEXT, acceptor, close, echo_all, frame, watchdog};

fn listen() -> Listen {
    watchdog();
    Listen::new(acceptor(Config::default()))
}

/// catalogue: FT-23
#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let first = listen().bind("127.0.0.1:0").await.expect("a port");
    let addr = first.local_addr().expect("bound");
    assert_ne!(addr.port(), 0);
    let error = listen().bind(addr).await.expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let error = listen().reuse_port(true).bind(addr).await.expect_err("the first did not share");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// catalogue: FT-47
#[tokio::test]
async fn a_port_is_shared_where_both_ask_for_it() {
    let first = listen().reuse_port(true).bind("127.0.0.1:0").await.expect("a port");
    let addr = first.local_addr().expect("bound");
    listen().reuse_port(true).bind(addr).await.expect("shared");
    assert_eq!(listen().bind(addr).await.expect_err("not asked for").kind(), io::ErrorKind::AddrInUse);
}

/// A server that is started again binds, whatever connections of the last one linger
#[tokio::test]
async fn a_port_can_be_bound_again_right_after_a_shutdown() {
    let (addr, stop, serving) = serve(echo_all).await;
    let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
    stop.send(()).expect("serving");
    assert_eq!(peer.next_close().await, 1001);
    peer.send(&close(1001, "")).await;
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    serving.await.expect("no panic").expect("no error");
    listen().bind(addr).await.expect("TIME_WAIT is no reason");
}

type Serving = (std::net::SocketAddr, oneshot::Sender<()>, JoinHandle<io::Result<()>>);

async fn serve<H, F>(handler: H) -> Serving
where
    H: Fn(WebSocket) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let listener = listen().bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        listener.serve_until(stopped, handler).await
    });
    (addr, stop, serving)
}

/// RFC 6455 §7.4.1 · catalogue: FT-40, V-83, HS-53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_closes_all_with_1001_behind_what_was_sent_and_handshakes_get_503() {
    let (addr, stop, serving) = serve(async |mut ws: WebSocket| {
        while ws.recv().await.is_some() {
            ws.send(Message::text("last words")).await.expect("open");
        }
        let end = ws.closed().await;
        assert_eq!((end.code.0, end.initiator, end.clean), (1001, Initiator::Local, true));
    })
    .await;
    let mut peers = Vec::new();
    for _ in 0..50 {
        let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
        peer.text("x").await;
        peers.push(peer);
    }
    for peer in &mut peers {
        assert_eq!(peer.next_text().await, "last words");
    }
    let mut half = Peer::new(TcpStream::connect(addr).await.expect("a server"));
    half.send(&REQUEST[..20]).await;
    // It is accepted behind all others: one more that opens has been accepted behind it.
    peers.push(Peer::open(TcpStream::connect(addr).await.expect("a server")).await);
    let started = Instant::now();
    stop.send(()).expect("serving");
    let head = half.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
    drop(half);
    for mut peer in peers {
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
        assert_eq!(peer.rest().await, b"");
    }
    serving.await.expect("no panic").expect("no error");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

/// catalogue: FT-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_returns_in_time_though_peers_neither_read_nor_answer() {
    let (addr, stop, serving) = serve(async |ws: WebSocket| {
        // Fills the kernel's buffers.
        while ws.send(Message::binary(vec![0; 100_000])).await.is_ok() {}
        std::future::pending().await
    })
    .await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(Peer::open(TcpStream::connect(addr).await.expect("a server")).await);
    }
    let started = Instant::now();
    stop.send(()).expect("serving");
    timeout(Duration::from_secs(9), serving).await.expect("in time").expect("no panic").expect("no error");
    assert!(started.elapsed() > Duration::from_secs(4), "they had their time: {:?}", started.elapsed());
}

/// catalogue: FT-41
#[tokio::test]
async fn a_shutdown_with_nobody_there_returns_at_once() {
    let (_, stop, serving) = serve(echo_all).await;
    stop.send(()).expect("serving");
    timeout(Duration::from_secs(1), serving).await.expect("at once").expect("no panic").expect("no error");
}

/// The socket of a free `WebSocket` is the listener's too · catalogue: FT-40
#[tokio::test]
async fn a_shutdown_reaches_connections_that_were_accepted_and_moved_elsewhere() {
    let listener = listen().bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let (hand_out, mut handed_out) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        let handler = move |incoming: Incoming<TcpStream>| {
            let hand_out = hand_out.clone();
            async move { drop(hand_out.send(incoming.accept().await.expect("opened"))) }
        };
        listener.serve_requests_until(stopped, handler).await
    });
    let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
    let mut ws = handed_out.recv().await.expect("opened");
    stop.send(()).expect("serving");
    assert_eq!(peer.next_close().await, 1001);
    assert!(!serving.is_finished(), "it waits for those who close");
    peer.send(&close(1001, "")).await;
    assert_eq!(ws.recv().await, None);
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    serving.await.expect("no panic").expect("no error");
}

/// A connect and close storm leaves a listener that listens · catalogue: DS-04
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connects_and_resets_leaves_the_listener_alive() {
    let (addr, stop, serving) = serve(echo_all).await;
    for n in 0..500 {
        let peer = Peer::new(TcpStream::connect(addr).await.expect("a server"));
        if n % 2 == 0 { peer.reset() } else { drop(peer) }
    }
    let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
    let ping = peer.frame(PING, b"");
    peer.send(&ping).await;
    assert!(peer.next().await.is_some());
    drop(peer);
    stop.send(()).expect("serving");
    timeout(Duration::from_secs(5), serving)
        .await
        .expect("nobody is left")
        .expect("no panic")
        .expect("no error");
}

/// A handler that panics before it answers gives its client 500, one that drops the request too, one that does not answer
/// gives it 503 when the time is up; nobody else notices · catalogue: HS-56, HS-78
#[tokio::test]
async fn a_request_without_an_answer_gets_500_or_503_and_the_others_their_echo() {
    let config = Config::builder().handshake_within(Duration::from_millis(300)).build().expect("valid");
    watchdog();
    let listener = Listen::new(acceptor(config)).bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(listener.serve_requests_until(
        std::future::pending(),
        async |incoming: Incoming<TcpStream>| {
            assert!(incoming.stream().peer_addr().is_ok());
            match incoming.request().path() {
                "/panic" => panic!("the test asked for it"),
                "/drop" => drop(incoming),
                "/silence" => std::future::pending().await,
                _ => drop(incoming.run(echo_all).await),
            }
        },
    ));
    for (path, status) in [("/panic", "500"), ("/drop", "500"), ("/silence", "503")] {
        let mut peer = Peer::new(TcpStream::connect(addr).await.expect("a server"));
        let started = Instant::now();
        let request =
            String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET /", &format!("GET {path}"));
        peer.send(request.as_bytes()).await;
        let answer = String::from_utf8(peer.rest().await).expect("ASCII");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(answer.contains("Retry-After: ") || answer.contains("retry-after: "), status == "503");
        let millis = started.elapsed().as_millis();
        assert!(status == "500" || (300..3000).contains(&millis), "{path}: {millis} ms");
        let mut other = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
        other.send(&frame(TEXT, b"still there?")).await;
        assert_eq!(other.next_text().await, "still there?");
    }
}
