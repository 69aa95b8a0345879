//! Whether the peer is there, by real clocks and short times.

use std::time::Duration;

use framecast::{
    CloseCode, Config, Initiator,
    proto::{Cause, Limit, LimitError, ProtocolError},
};
use tokio::time::Instant;

use super::{
    peer::{CLOSE, PING, PONG, TEXT, frame},
    server::{Server, told},
};

fn impatient() -> Config {
    let (ping, pong) = (Duration::from_millis(500), Duration::from_millis(600));
    Config::builder().ping_every(Some(ping)).pong_within(pong).build().expect("valid")
}

/// RFC 6455 §5.5.2 · catalogue: FT-06
#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_told_1008() {
    let mut server = Server::with_config(impatient());
    let mut peer = server.open().await;
    let opened = Instant::now();
    assert_eq!(peer.next().await.expect("a ping").0, PING);
    let pinged = opened.elapsed();
    assert!((390..1500).contains(&pinged.as_millis()), "{pinged:?}");
    let (opcode, payload) = peer.next().await.expect("a Close");
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
    let closed = opened.elapsed() - pinged;
    assert!((590..2000).contains(&closed.as_millis()), "{closed:?}");
    drop(peer);
    let (_, end) = server.end().await;
    let limit = LimitError { limit: Limit::Pong, value: 600 };
    assert_eq!(end.cause, Cause::Protocol(ProtocolError::Limit(limit)));
    assert_eq!((end.code, end.initiator, end.clean), (CloseCode::POLICY, Initiator::Local, false));
}

/// catalogue: DS-22, DS-24
#[tokio::test]
async fn pings_and_wrong_pongs_of_its_own_do_not_save_a_peer() {
    let mut server = Server::with_config(impatient());
    let mut peer = server.open().await;
    let mut noise = tokio::time::interval(Duration::from_millis(50));
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        noise.tick().await;
        assert!(Instant::now() < until, "it lives");
        if server.remote().is_some_and(|remote| remote.numbers().ended == 1) {
            break;
        }
        let noisy = [frame(PING, b"me"), frame(PONG, b"wrong")].concat();
        if tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &noisy).await.is_err() {
            break;
        }
    }
    assert_eq!(server.end().await.1.code, CloseCode::POLICY);
}

/// RFC 6455 §5.5.3
#[tokio::test]
async fn a_peer_that_answers_lives() {
    let mut server = Server::with_config(impatient());
    let mut peer = server.open().await;
    for _ in 0..5 {
        let (opcode, payload) = peer.next().await.expect("a ping");
        assert_eq!(opcode, PING);
        peer.send(&frame(PONG, &payload)).await;
    }
    peer.text("still there").await;
    assert_eq!(peer.next_text().await, "still there");
    assert!(!server.has_another_end());
}

/// A message that drips in is given up · catalogue: DS-17
#[tokio::test]
async fn a_message_that_drips_in_is_told_1008() {
    let config = Config::builder().incomplete_window(Duration::from_millis(500)).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    let started = Instant::now();
    peer.send(&frame(TEXT, &[b'x'; 5000])[..100]).await;
    assert_eq!(peer.next_close().await, 1008);
    assert!((490..2500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    drop(peer);
    assert_eq!(told(&server.end().await.1), (1008, "", Initiator::Local, false));
}
