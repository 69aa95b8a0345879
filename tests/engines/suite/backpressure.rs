//! Peers that do not read: what they are sent is bounded, and so is what is read of them.

use std::time::Duration;

use framecast::{Config, Initiator, proto::Cause};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    peer::{BINARY, Peer, TEXT, close, frame},
    server::{Server, told},
};

/// catalogue: DS-30
#[tokio::test]
async fn an_echo_whose_peer_does_not_read_stops_reading_and_loses_nothing() {
    let config = Config::builder().outbox_bytes_max(10_000).outbox_bytes_low(1000).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    let one = frame(BINARY, &[b'x'; 5000]);
    let mut written = Vec::new();
    let mut sent = 0;
    // The kernel's buffers of both ends and both directions take some megabytes.
    while sent < 40_000 {
        match timeout(Duration::from_millis(500), peer.stream.write(&one[written.len()..])).await {
            Ok(bytes) => {
                let bytes = bytes.expect("open");
                written.extend_from_slice(&one[written.len()..][..bytes]);
            }
            Err(_) => break,
        }
        if written.len() == one.len() {
            written.clear();
            sent += 1;
        }
    }
    assert!(sent < 4000, "{sent} messages of 5,000 bytes, and nobody said stop");
    // Now it reads: each one comes back, and then the rest of the last one does.
    let rest = one[written.len()..].to_vec();
    for at in 0..sent {
        assert_eq!(peer.next().await.expect("an echo").1, [b'x'; 5000], "{at}");
    }
    if !written.is_empty() {
        peer.send(&rest).await;
        assert_eq!(peer.next().await.expect("an echo").1, [b'x'; 5000]);
    }
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
    drop(peer);
    assert_eq!(server.end().await.0, sent + usize::from(!written.is_empty()));
}

/// catalogue: DS-31
#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut_when_writing_stalls() {
    let config = Config::builder().write_stall_after(Duration::from_millis(500)).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    // More than the kernel takes: the connection's own room is a mebibyte.
    for _ in 0..20 {
        peer.text("flood 1000000").await;
    }
    let (_, end) = server.end().await;
    assert_eq!((told(&end), &end.cause), ((1006, "", Initiator::Local, false), &Cause::WriteStall));
}

/// However slowly, a peer that reads is not cut · catalogue: DS-33
#[tokio::test]
async fn a_peer_that_takes_something_in_each_time_of_a_stall_lives() {
    const BYTES: usize = 1_000_000;
    let config = Config::builder().outbox_bytes_max(10_000).outbox_bytes_low(1000).ping_every(None);
    let config = config.write_stall_after(Duration::from_millis(1000)).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = Peer::open(server.connect_narrow().await).await;
    peer.text(&format!("flood {BYTES}")).await;
    let (started, mut slowly) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
    let (mut bytes, mut read) = (vec![0; 4 << 10], 0);
    while read < BYTES {
        slowly.tick().await;
        match peer.stream.read(&mut bytes).await.expect("open") {
            0 => panic!("cut after {read}"),
            count => read += count,
        }
    }
    // What the kernel does not take at once waits for more than twice the time of a stall.
    assert!(started.elapsed() > Duration::from_secs(2), "too quick to tell: {:?}", started.elapsed());
    assert!(!server.has_another_end());
}

/// A Close leaves behind what waits, though nothing had room any more · catalogue: CL-25, DS-34
#[tokio::test]
async fn a_close_leaves_behind_a_full_outbox() {
    let config = Config::builder().outbox_bytes_max(100_000).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = Peer::open(server.connect_narrow().await).await;
    peer.text("farewell 30000").await;
    for _ in 0..3 {
        assert_eq!(peer.next().await, Some((BINARY, vec![0; 30_000])));
    }
    assert_eq!(peer.next_close().await, 4242);
    peer.send(&close(4242, "")).await;
    assert_eq!(told(&server.end().await.1), (4242, "", Initiator::Local, true));
}

/// What one read brought is answered in one write: it arrives in one piece
#[tokio::test]
async fn thirty_two_requests_of_one_read_are_answered_in_one_write() {
    let server = Server::start();
    let mut peer = server.open().await;
    let requests: Vec<u8> = (0..32u8).flat_map(|n| frame(TEXT, &[b'a' + n % 26; 20])).collect();
    for _ in 0..100 {
        peer.send(&requests).await;
        let mut answer = vec![0; 64 << 10];
        let read = peer.stream.read(&mut answer).await.expect("open");
        assert_eq!(read, 32 * 22);
    }
}

/// Two mebibytes at a time through a room of one: the messages wait for each other, and none is lost
#[tokio::test]
async fn messages_as_large_as_the_room_are_echoed_one_by_one() {
    let server = Server::start();
    let peer = server.open().await;
    let messages: Vec<Vec<u8>> = (0..8u8).map(|n| vec![n; (1 << 20) - usize::from(n)]).collect();
    let wire: Vec<u8> = messages.iter().flat_map(|message| frame(BINARY, message)).collect();
    let (mut reading, mut writing) = peer.stream.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(&wire).await.expect("read some time");
        writing
    });
    for message in messages {
        let mut answer = vec![0; 10 + message.len()];
        reading.read_exact(&mut answer).await.expect("an echo");
        assert!(answer[10..] == message, "another message");
    }
    sending.await.expect("no panic");
}
