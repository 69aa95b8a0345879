//! Deadlines begin when they are set, whatever callbacks took before in the same turn (FT-62).

use std::{thread, time::Duration};

use framecast::{Config, Endpoint, proto::ConfigBuilder, reactor::Reactor};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    peer::{PING, PONG, Peer, REQUEST, TEXT, close, frame},
    support::{Call, SLOW, Server, next},
};

const SHORT: Duration = Duration::from_millis(400);

/// Each message takes [`SLOW`]; that it began, and how a connection ended, is told.
fn slow(
    config: ConfigBuilder,
) -> (Server, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<(u16, bool)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let (tell_end, ends) = mpsc::unbounded_channel();
    let reactor = Reactor::new(config.build().expect("valid"), Endpoint::new());
    let server = Server::with(reactor, move |call, _| match call {
        Call::Message(_) => {
            let _ = tell.send(());
            thread::sleep(SLOW);
        }
        Call::Close(end) => drop(tell_end.send((end.code.0, end.clean))),
        _ => {}
    });
    (server, told, ends)
}

/// The time until the server has let go of all of them.
async fn lingers(server: &Server) -> Duration {
    let since = Instant::now();
    while server.remote.numbers().connections + server.remote.numbers().handshakes > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    since.elapsed()
}

/// catalogue: HS-52
#[tokio::test]
async fn a_client_that_is_accepted_behind_a_slow_callback_has_its_whole_time() {
    let (server, mut told, _) = slow(Config::builder().handshake_within(SHORT));
    let (mut first, mut second) = (server.open().await, server.open().await);
    first.text("slow").await;
    next(&mut told).await;
    // Both are found by the same look at the sockets, and the callback comes first.
    second.text("slow").await;
    let mut peer = Peer::new(TcpStream::connect(server.addr).await.expect("a server"));
    peer.send(REQUEST).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    drop((first, second, peer));
    server.stop();
}

/// catalogue: FT-43
#[tokio::test]
async fn a_shutdown_behind_a_slow_callback_gives_peers_their_whole_time() {
    let (server, mut told, mut ends) =
        slow(Config::builder().close_within(SHORT / 2).linger_within(SHORT / 2));
    let (mut first, mut second) = (server.open().await, server.open().await);
    first.text("slow").await;
    next(&mut told).await;
    second.text("slow").await;
    server.remote.shut_down();
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
        assert_eq!(next(&mut ends).await, (1001, true));
    }
    drop((first, second));
    server.stop();
}

/// A look at the sockets finds 1,024 of them. Those behind were timed out with their pong in the socket · catalogue: FT-11
#[tokio::test]
async fn a_pong_that_waits_behind_a_thousand_events_is_seen_before_its_time_is_up() {
    const CROWD: usize = 1100;
    let (ping, pong) = (Duration::from_millis(100), Duration::from_secs(4));
    let config = Config::builder().ping_every(Some(ping)).pong_within(pong).handshakes_max(Some(2 * CROWD));
    let (tell, mut told) = mpsc::unbounded_channel();
    let reactor = Reactor::new(config.build().expect("valid"), Endpoint::new());
    // Half of a quarter of the pong's time late, which is not so late that we would blame ourselves.
    let asleep_until = std::time::Instant::now() + ping + pong * 9 / 8;
    let server = Server::with(reactor, move |call, ws| match call {
        Call::Message(text) if text == "sleep" => {
            tell.send(()).expect("the test waits");
            thread::sleep(asleep_until.saturating_duration_since(std::time::Instant::now()));
        }
        Call::Message(text) => drop(ws.send(text.as_str())),
        _ => {}
    });
    let (mut sleeper, mut peer) = (server.open().await, server.open().await);
    let (opcode, pinged) = peer.next().await.expect("a ping");
    assert_eq!(opcode, PING);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(server.addr).await.expect("a server"));
    }
    tokio::time::sleep_until(Instant::from_std(asleep_until) - pong / 4).await;
    sleeper.text("sleep").await;
    next(&mut told).await;
    for stream in &mut crowd {
        stream.write_all(b"G").await.expect("it reads some time");
    }
    peer.send(&frame(PONG, &pinged)).await;
    peer.text("still there?").await;
    while peer.next().await.expect("the echo, and pings before it") != (TEXT, b"still there?".to_vec()) {}
    drop((sleeper, peer, crowd));
    server.stop();
}

/// RFC 6455 §7.1.1 · catalogue: CL-42
#[tokio::test]
async fn a_slow_refusal_lingers_as_long_as_a_quick_one() {
    let (server, ..) = slow(Config::builder().linger_within(SHORT));
    let mut peer = Peer::new(TcpStream::connect(server.addr).await.expect("a server"));
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /slow ");
    peer.send(request.as_bytes()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 404 "));
    let lingered = lingers(&server).await;
    assert!((200..2400).contains(&lingered.as_millis()), "{lingered:?}");
    drop(peer);
    server.stop();
}

/// RFC 6455 §7.1.1 · catalogue: CL-32
#[tokio::test]
async fn a_close_behind_a_slow_message_is_waited_for_as_long_as_any() {
    let (server, ..) = slow(Config::builder().linger_within(SHORT));
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"slow"), close(1000, "")].concat()).await;
    assert_eq!(peer.next_close().await, 1000);
    let lingered = lingers(&server).await;
    assert!((200..2400).contains(&lingered.as_millis()), "{lingered:?}");
    drop(peer);
    server.stop();
}
