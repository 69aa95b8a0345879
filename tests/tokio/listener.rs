//! A listener: its port, and its shutdown.

use std::io;

use framecast::{Config, Incoming, Listen};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Duration, Instant},
};

use crate::support::{Peer, REQUEST, TEXT, acceptor, close, echo_all, frame, watchdog};

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
