//! How connections end: what the peer sees, and the one end that the application is told.

use std::time::Duration;

use framecast::{
    CloseCode, Config, Initiator, Message,
    handshake::{ClientRequest, Url},
    proto::{Cause, CloseFrame, Limit, LimitError, ProtocolError},
};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use super::{
    peer::{BINARY, CLOSE, PING, REQUEST, TEXT, close, close_payload, frame},
    server::{Server, told},
};

fn closing_soon() -> Config {
    let soon = Duration::from_millis(400);
    Config::builder().close_within(soon).linger_within(soon).build().expect("valid")
}

/// RFC 6455 §5.5.1, §7.1.5 · catalogue: CL-02, CL-20, CL-21
#[tokio::test]
async fn a_peers_close_is_echoed_once_and_told_with_its_reason() {
    let mut server = Server::start();
    let mut peer = server.open().await;
    peer.send(&[close(4001, "enough"), frame(TEXT, b"late"), frame(PING, b"late"), close(1000, "")].concat())
        .await;
    let (opcode, payload) = peer.next().await.expect("the echo");
    assert_eq!((opcode, payload), (CLOSE, close_payload(4001, "")));
    assert_eq!(peer.next().await, None, "the server ends TCP first, and says nothing more");
    drop(peer);
    let (count, end) = server.end().await;
    assert_eq!((count, told(&end)), (0, (4001, "enough", Initiator::Peer, true)));
    let frame = CloseFrame { code: CloseCode(4001), reason: "enough".into() };
    assert_eq!(end.cause, Cause::Peer(Some(frame)));
}

/// RFC 6455 §7.1.5 · catalogue: CL-01
#[tokio::test]
async fn a_close_without_a_code_is_told_as_1005() {
    let mut server = Server::start();
    let mut peer = server.open().await;
    peer.send(&frame(CLOSE, b"")).await;
    assert_eq!(peer.next().await, Some((CLOSE, vec![])));
    drop(peer);
    let (_, end) = server.end().await;
    assert_eq!(told(&end), (1005, "", Initiator::Peer, true));
}

/// RFC 6455 §7.1.1 · catalogue: CL-23
#[tokio::test]
async fn our_close_that_is_answered_is_clean_and_has_the_answers_code() {
    let mut server = Server::start();
    let mut peer = server.open().await;
    peer.text("close").await;
    assert_eq!(peer.next().await, Some((CLOSE, close_payload(4242, "as asked"))));
    peer.send(&close(4999, "as you like")).await;
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    let (_, end) = server.end().await;
    assert_eq!(told(&end), (4999, "as you like", Initiator::Local, true));
    assert!(!server.has_another_end());
}

/// RFC 6455 §7.1.7
#[tokio::test]
async fn a_broken_rule_is_told_to_both() {
    let mut server = Server::start();
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"answer me"), vec![0x83, 0x80, 0, 0, 0, 0], frame(TEXT, b"late")].concat())
        .await;
    assert_eq!(peer.next_text().await, "answer me");
    assert_eq!(peer.next_close().await, 1002);
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    let (count, end) = server.end().await;
    assert_eq!((count, told(&end)), (1, (1002, "", Initiator::Local, false)));
    assert_eq!(end.cause, Cause::Protocol(ProtocolError::ReservedOpCode(3)));
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_limit_is_told_to_both() {
    let config = Config::builder().message_bytes_max(1000).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = server.open().await;
    peer.send(&frame(BINARY, &[0; 1000])).await;
    assert_eq!(peer.next().await.expect("exactly the limit is accepted").1.len(), 1000);
    peer.send(&frame(BINARY, &[0; 1001])).await;
    assert_eq!(peer.next_close().await, 1009);
    drop(peer);
    let (_, end) = server.end().await;
    let limit = end.cause;
    assert!(
        matches!(
            limit,
            Cause::Protocol(ProtocolError::Limit(LimitError {
                value: 1000,
                limit: Limit::MessageBytes | Limit::FrameBytes
            }))
        ),
        "{limit:?}"
    );
}

/// RFC 6455 §7.1.5 · catalogue: FT-03
#[tokio::test]
async fn the_end_of_tcp_without_a_close_is_told_as_1006_after_what_came_before() {
    let mut server = Server::start();
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), frame(TEXT, b"half")[..8].to_vec()].concat()).await;
    peer.half_close().await;
    assert_eq!(peer.next_text().await, "one");
    assert_eq!(peer.next_text().await, "two");
    assert_eq!(peer.rest().await, b"");
    let (count, end) = server.end().await;
    assert_eq!((count, told(&end), &end.cause), (2, (1006, "", Initiator::Transport, false), &Cause::Eof));
}

/// RFC 6455 §7.1.1 · catalogue: CL-30, G-10
#[tokio::test]
async fn a_close_that_is_not_answered_ends_in_time() {
    let mut server = Server::with_config(closing_soon());
    let mut peer = server.open().await;
    let started = Instant::now();
    peer.text("close").await;
    assert_eq!(peer.next_close().await, 4242);
    assert_eq!(peer.rest().await, b"", "the end of TCP");
    let (_, end) = server.end().await;
    assert!((390..2400).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!((told(&end), &end.cause), ((1006, "", Initiator::Local, false), &Cause::CloseUnanswered));
}

/// The peer's time begins with our Close. What the application did before it counted on the reactor, so that a slow handler
/// left the peer none · catalogue: CL-30, FT-62
#[tokio::test]
async fn a_close_by_a_slow_handler_gives_the_peer_its_whole_time() {
    let server = Server::with_config(closing_soon());
    for (last, code) in [("close", 4242), ("panic", 1011)] {
        let mut peer = server.open().await;
        peer.send(&[frame(TEXT, b"sleep 600"), frame(TEXT, last.as_bytes())].concat()).await;
        assert_eq!(peer.next_close().await, code);
        let closed = Instant::now();
        assert_eq!(peer.rest().await, b"");
        assert!((200..2400).contains(&closed.elapsed().as_millis()), "{last}: {:?}", closed.elapsed());
    }
}

/// The deadline is absolute · catalogue: CL-33
#[tokio::test]
async fn bytes_that_drip_in_after_our_close_do_not_put_off_the_end() {
    let mut server = Server::with_config(closing_soon());
    let mut peer = server.open().await;
    peer.text("close").await;
    let started = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(50));
    for byte in frame(BINARY, &[0; 1000]) {
        drip.tick().await;
        if server.has_another_end() {
            break;
        }
        // It fails once the server has gone.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &[byte]).await;
    }
    assert!((390..2400).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// catalogue: CL-32, CL-34
#[tokio::test]
async fn a_flood_after_our_close_is_read_no_further_than_the_bound() {
    let config = Config::builder().linger_bytes_max(256 << 10).close_within(Duration::from_secs(1));
    let mut server = Server::with_config(config.build().expect("valid"));
    let mut peer = server.open().await;
    peer.text("close").await;
    assert_eq!(peer.next_close().await, 4242);
    let flood = frame(BINARY, &[0; 10_000]);
    let mut sent = 0;
    let flooding = async {
        while tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &flood).await.is_ok() {
            sent += flood.len();
        }
    };
    timeout(Duration::from_secs(10), flooding).await.expect("the socket goes in the end");
    // Two kernels' buffers hold the rest.
    assert!(sent <= 12 << 20, "{sent} bytes");
    assert_eq!(server.end().await.1.cause, Cause::CloseUnanswered);
}

/// RFC 6455 §7.4.1 · catalogue: G-1, HS-56, FT-60
#[tokio::test]
async fn a_panic_is_told_as_1011_and_ends_no_other_connection() {
    let mut server = Server::start();
    let mut bystander = server.open().await;
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"so far"), frame(TEXT, b"panic"), frame(TEXT, b"late")].concat()).await;
    assert_eq!(peer.next_text().await, "so far");
    assert_eq!(peer.next_close().await, 1011);
    peer.send(&close(1011, "")).await;
    assert_eq!(peer.rest().await, b"");
    let (count, end) = server.end().await;
    assert_eq!((count, told(&end)), (1, (1011, "", Initiator::Local, true)));
    bystander.text("still there?").await;
    assert_eq!(bystander.next_text().await, "still there?");
}

/// The peer's input lies unread in our kernel buffer when we close: TCP's answer to that is a reset, which takes the Close
/// with it · RFC 6455 §7.1.1 · catalogue: CL-40, CL-41, CL-42, V-82
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_closes_with_unread_input_are_all_seen() {
    let mut server = Server::start();
    let addr = server.addr;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        clients.spawn(async move {
            for round in 0..50 {
                let stream = tokio::net::TcpStream::connect(addr).await.expect("a server");
                let mut peer = super::peer::Peer::open(stream).await;
                let mut flood = frame(TEXT, b"close");
                for _ in 0..100 {
                    flood.extend(frame(BINARY, &[0; 1000]));
                }
                peer.send(&flood).await;
                assert_eq!(peer.next_close().await, 4242, "round {round}");
                peer.send(&frame(BINARY, &[0; 10_000])).await;
                if round % 2 == 0 {
                    peer.send(&close(4242, "")).await;
                }
                peer.half_close().await;
                let mut rest = Vec::new();
                peer.stream.read_to_end(&mut rest).await.expect("an end, and not a reset");
                assert_eq!(rest, b"");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    let mut clean = 0;
    for _ in 0..1000 {
        clean += usize::from(server.end().await.1.clean);
    }
    assert_eq!((clean, server.has_another_end()), (500, false));
}

/// The same where the rule was broken: what follows the bad frame lies unread · RFC 6455 §7.1.7 · catalogue: CL-41, G-11
#[tokio::test]
async fn a_failure_with_unread_input_is_seen() {
    let mut server = Server::start();
    for _ in 0..100 {
        let mut peer = server.open().await;
        let mut flood = vec![0x83, 0x80, 0, 0, 0, 0];
        flood.resize(150_000, 0);
        peer.send(&flood).await;
        assert_eq!(peer.next_close().await, 1002);
        let mut rest = Vec::new();
        // The server ends first, and waits for us.
        peer.stream.read_to_end(&mut rest).await.expect("an end, and not a reset");
        assert_eq!(server.end().await.1.code, CloseCode::PROTOCOL);
    }
}

/// catalogue: FT-01, HS-77, G-1, G-6
#[tokio::test]
async fn a_reset_or_an_end_at_any_byte_is_one_end_and_no_panic() {
    let mut server = Server::start();
    let conversation = [REQUEST, &frame(TEXT, b"one"), &frame(BINARY, &[0; 300]), &close(1000, "")].concat();
    let mut opened = 0;
    for reset in [true, false] {
        for offset in 0..=conversation.len() {
            let mut peer = server.connect().await;
            peer.send(&conversation[..offset]).await;
            // Half of them after the answer is in, half of them at once.
            if offset >= REQUEST.len() && offset % 2 == 0 {
                peer.head().await;
                opened += 1;
            }
            if reset { peer.reset() } else { drop(peer) }
        }
    }
    let mut peer = server.open().await;
    peer.text("still there?").await;
    assert_eq!(peer.next_text().await, "still there?");
    // Whoever had its answer has its end; those that went at once may not have been opened.
    for _ in 0..opened {
        server.end().await;
    }
}

/// catalogue: FT-01, FT-02
#[tokio::test]
async fn a_reset_is_told_as_1006() {
    let mut server = Server::start();
    server.open().await.reset();
    let (_, end) = server.end().await;
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(end.cause, Cause::Transport(std::io::ErrorKind::ConnectionReset));
}

/// Both ends are ours · RFC 6455 §7.1.1 · catalogue: CL-23, CL-40
#[tokio::test]
async fn our_client_and_our_server_close_cleanly() {
    let mut server = Server::start();
    let connector = framecast::Connector::default();
    let ask = ClientRequest::new(Url::parse(&format!("ws://{}/", server.addr)).expect("a URL"));
    for _ in 0..100 {
        let mut ws = connector.connect(ask.clone()).await.expect("a server");
        ws.send(Message::text("hi")).await.expect("open");
        assert_eq!(ws.recv().await, Some(Message::text("hi")));
        let end = ws.close(CloseCode::NORMAL, "").await.expect("valid");
        assert_eq!(told(&end), (1000, "", Initiator::Local, true));
        assert_eq!(told(&server.end().await.1), (1000, "", Initiator::Peer, true));
    }
    for _ in 0..100 {
        let mut ws = connector.connect(ask.clone()).await.expect("a server");
        ws.send(Message::text("close")).await.expect("open");
        assert_eq!(ws.recv().await, None);
        assert_eq!(told(&ws.closed().await), (4242, "as asked", Initiator::Peer, true));
        assert_eq!(told(&server.end().await.1), (4242, "", Initiator::Local, true));
    }
}
