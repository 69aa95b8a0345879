//! Slow handlers, and writes that fail.

use std::time::Duration;

use framecast::{Config, Initiator, proto::Cause};
use socket2::SockRef;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    peer::{BINARY, PING, PONG, Peer, TEXT, close, frame},
    server::{Server, told},
};

/// A handler that takes its time is nobody's fault but ours: nobody is cut for what came meanwhile · catalogue: FT-11, FT-62
#[tokio::test]
async fn a_slow_handler_costs_no_peer_its_life_and_is_counted() {
    let config = Config::builder()
        .ping_every(Some(Duration::from_millis(200)))
        .pong_within(Duration::from_millis(200))
        .build()
        .expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    let mut bystander = server.open().await;
    peer.text("sleep 1500").await;
    tokio::join!(answer_three_pings(&mut peer), answer_three_pings(&mut bystander));
    assert!(!server.has_another_end());
    if let Some(remote) = server.remote() {
        let numbers = remote.numbers();
        assert!(
            numbers.slow_turns >= 1 && numbers.longest_turn >= Duration::from_millis(1500),
            "{numbers:?}"
        );
    }
}

async fn answer_three_pings(peer: &mut Peer<TcpStream>) {
    for _ in 0..3 {
        let (opcode, payload) = peer.next().await.expect("a ping");
        assert_eq!(opcode, PING);
        peer.send(&frame(PONG, &payload)).await;
    }
}

/// What the peer had sent before its reset, or before we found that we cannot write, is still handed over · catalogue: RT-03
#[tokio::test]
async fn what_came_before_a_failed_write_is_received() {
    let mut server = Server::start();
    for _ in 0..50 {
        let mut peer = server.open().await;
        peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), close(4000, "bye")].concat()).await;
        // Our answers will meet a closed socket.
        drop(peer);
        let (count, end) = server.end().await;
        assert!(count == 2 || matches!(end.cause, Cause::Transport(_)), "{count}: {end}");
    }
}

/// Who was read far enough behind its Close, and then goes by RST, is not waited for: the reactor went round and round until
/// the deadline · catalogue: FT-02, CL-34
#[tokio::test]
async fn a_reset_while_nothing_is_read_any_more_ends_it_at_once() {
    const MESSAGE: usize = 1_000_000;
    const MUCH: usize = 64 << 20;
    let long = Duration::from_secs(60);
    let config = Config::builder().outbox_bytes_max(MUCH).outbox_bytes_low(MUCH).linger_bytes_max(10_000);
    let config = config.close_within(long).write_stall_after(long).ping_every(None).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    // More than the kernel takes of the echoes, so that our Close waits behind them.
    for _ in 0..20 {
        peer.send(&frame(BINARY, &[0; MESSAGE])).await;
    }
    peer.send(&close(4000, "")).await;
    let flood = async {
        let wait = Duration::from_millis(500);
        while timeout(wait, peer.stream.write(&[0; 10_000])).await.is_ok_and(|sent| sent.is_ok()) {}
    };
    timeout(Duration::from_secs(10), flood).await.expect("reading stops some time");
    peer.reset();
    let (count, end) = server.end().await;
    assert_eq!((count, told(&end)), (20, (4000, "", Initiator::Peer, false)));
}

/// TCP's urgent data wakes up whoever waits to read, and then there is nothing to be read: an urgent byte is no byte of the
/// stream. The kernel tells of it whatever state we are in.
#[tokio::test]
async fn a_wake_up_for_nothing_changes_nothing() {
    const MESSAGES: usize = 50;
    let mut server = Server::start();
    let turns = |server: &Server| server.remote().map_or(0, |remote| remote.numbers().turns);
    let mut peer = server.open().await;
    let (hello, before) = (frame(TEXT, b"hello"), turns(&server));
    for _ in 0..MESSAGES {
        // One that overtakes another would turn that into a byte of the stream.
        SockRef::from(&peer.stream).send_out_of_band(b"!").expect("it is sent");
        peer.send(&hello).await;
        assert_eq!(peer.next_text().await, "hello");
    }
    // One for the byte, one for the message, and one for each time that the socket can be written to again.
    let took = turns(&server) - before;
    assert!(took <= 4 * MESSAGES as u64, "{took} turns");
    assert!(!server.has_another_end());
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
    assert_eq!(server.end().await.0, MESSAGES);
}
