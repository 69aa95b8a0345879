//! The port, storms, and an orderly end.

use std::{io, time::Duration};

use framecast::{Config, Endpoint, Initiator};
use tokio::{net::TcpStream, time::Instant};

use super::{
    peer::{PING, REQUEST, close, frame},
    server::{Server, told},
};

/// catalogue: FT-23
#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let first = Server::start();
    assert_ne!(first.addr.port(), 0);
    let second = Server::bind(&first.addr.to_string(), Config::default(), Endpoint::new());
    assert_eq!(second.err().expect("taken").kind(), io::ErrorKind::AddrInUse);
}

/// A server that is started again binds, whatever connections of the last one linger
#[tokio::test]
async fn a_port_can_be_bound_again_right_after_a_shutdown() {
    let server = Server::start();
    let addr = server.addr;
    let mut peer = server.open().await;
    let stopping = server.shut_down();
    assert_eq!(peer.next_close().await, 1001);
    peer.send(&close(1001, "")).await;
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    stopping.over().await;
    let again = Server::bind(&addr.to_string(), Config::default(), Endpoint::new());
    assert!(again.is_ok(), "TIME_WAIT is no reason");
}

/// RFC 6455 §7.4.1 · catalogue: FT-40, V-83, HS-53
#[tokio::test]
async fn a_shutdown_closes_all_with_1001_behind_what_was_sent_and_handshakes_get_503() {
    let server = Server::start();
    let addr = server.addr;
    let mut peers = Vec::new();
    for _ in 0..50 {
        let mut peer = server.open().await;
        peer.text("last words").await;
        peers.push(peer);
    }
    for peer in &mut peers {
        assert_eq!(peer.next_text().await, "last words");
    }
    let mut half = server.connect().await;
    half.send(&REQUEST[..20]).await;
    // It is accepted behind all others: one more that opens has been accepted behind it.
    peers.push(server.open().await);
    let stopping = server.shut_down();
    let head = half.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
    drop(half);
    for mut peer in peers {
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
        assert_eq!(peer.rest().await, b"");
    }
    let (took, ends) = stopping.over().await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(ends.len(), 51);
    for (_, end) in &ends {
        assert_eq!(told(end), (1001, "", Initiator::Local, true));
    }
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

/// catalogue: FT-43
#[tokio::test]
async fn a_shutdown_returns_in_time_though_peers_neither_read_nor_answer() {
    let second = Duration::from_secs(1);
    let config = Config::builder().close_within(second).linger_within(second).build().expect("valid");
    let server = Server::with_config(config);
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = server.open().await;
        // Fills the kernel's buffers.
        peer.text("flood 100000").await;
        peers.push(peer);
    }
    for peer in &mut peers {
        assert_eq!(peer.next().await.expect("an answer").1.len(), 100_000);
    }
    let (took, ends) = server.shut_down().over().await;
    assert!((1000..4000).contains(&took.as_millis()), "they had their time: {took:?}");
    assert_eq!(ends.len(), 20, "each is told");
}

/// catalogue: FT-41
#[tokio::test]
async fn a_shutdown_with_nobody_there_returns_at_once() {
    let (took, _) = Server::start().shut_down().over().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// A connect and close storm leaves a listener that listens · catalogue: DS-04
#[tokio::test]
async fn a_storm_of_connects_and_resets_leaves_the_listener_alive() {
    let server = Server::start();
    for n in 0..500 {
        let peer = server.connect().await;
        if n % 2 == 0 { peer.reset() } else { drop(peer) }
    }
    let mut peer = server.open().await;
    peer.send(&frame(PING, b"")).await;
    assert!(peer.next().await.is_some());
    drop(peer);
    let (took, _) = server.shut_down().over().await;
    assert!(took < Duration::from_secs(5), "nobody is left: {took:?}");
}

/// catalogue: FT-04, G-4
#[tokio::test]
async fn a_thousand_that_go_at_once_are_gone_within_a_second() {
    let mut server = Server::start();
    let mut peers = Vec::new();
    for _ in 0..1000 {
        peers.push(server.open().await);
    }
    let gone = Instant::now();
    drop(peers);
    for _ in 0..1000 {
        server.end().await;
    }
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    if let Some(remote) = server.remote() {
        let numbers = remote.numbers();
        assert_eq!((numbers.opened, numbers.ended), (1000, 1000));
    }
}
