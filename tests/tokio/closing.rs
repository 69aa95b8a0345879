//! How a connection ends: what the peer sees, and what the application is told, once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use framecast::{
    CloseCode, CloseInfo, Config, Initiator, Listen, Message, SendError, WebSocket,
    proto::{Cause, CloseFrame, Limit, LimitError, ProtocolError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, Instant, sleep, timeout},
};

use crate::support::{
    BINARY, CLOSE, PING, Peer, REQUEST, TEXT, accept, acceptor, ask, close, close_payload, connect, echo,
    frame, run, settle, watchdog,
};

fn told(end: &CloseInfo) -> (u16, &str, Initiator, bool) {
    (end.code.0, &end.reason, end.initiator, end.clean)
}

// ---- CloseInfo, for each kind of end

/// RFC 6455 §5.5.1, §7.1.5 · catalogue: CL-02, CL-20, CL-21
#[tokio::test]
async fn a_peers_close_is_echoed_once_and_told_with_its_reason() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&[close(4001, "enough"), frame(TEXT, b"late"), frame(PING, b"late"), close(1000, "")].concat())
        .await;
    let (opcode, payload) = peer.next().await.expect("the echo");
    assert_eq!((opcode, payload), (CLOSE, close_payload(4001, "")));
    assert_eq!(peer.next().await, None, "the server ends TCP first, and says nothing more");
    drop(peer);
    let (count, end) = running.await.expect("no panic");
    assert_eq!((count, told(&end)), (0, (4001, "enough", Initiator::Peer, true)));
    let frame = CloseFrame { code: CloseCode(4001), reason: "enough".into() };
    assert_eq!(end.cause, Cause::Peer(Some(frame)));
}

/// RFC 6455 §7.1.5 · catalogue: CL-01
#[tokio::test]
async fn a_close_without_a_code_is_told_as_1005() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&frame(CLOSE, b"")).await;
    assert_eq!(peer.next().await, Some((CLOSE, vec![])));
    drop(peer);
    let end = running.await.expect("no panic").1;
    assert_eq!(told(&end), (1005, "", Initiator::Peer, true));
}

/// RFC 6455 §7.1.1 · catalogue: CL-23
#[tokio::test]
async fn our_close_that_is_answered_is_clean_and_has_the_answers_code() {
    let (mut peer, running, _) =
        run(Config::default(), async |mut ws: WebSocket| ws.close(CloseCode::AWAY, "maintenance").await)
            .await;
    assert_eq!(peer.next().await, Some((CLOSE, close_payload(1001, "maintenance"))));
    peer.send(&close(4999, "as you like")).await;
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    let (closed, end) = running.await.expect("no panic");
    assert_eq!(closed, Ok(end.clone()));
    assert_eq!(told(&end), (4999, "as you like", Initiator::Local, true));
}

/// RFC 6455 §7.1.7
#[tokio::test]
async fn a_broken_rule_is_told_to_both() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&[frame(TEXT, b"answer me"), vec![0x83, 0x80, 0, 0, 0, 0], frame(TEXT, b"late")].concat())
        .await;
    assert_eq!(peer.next_text().await, "answer me");
    assert_eq!(peer.next_close().await, 1002);
    assert_eq!(peer.rest().await, b"");
    drop(peer);
    let (count, end) = running.await.expect("no panic");
    assert_eq!((count, told(&end)), (1, (1002, "", Initiator::Local, false)));
    assert_eq!(end.cause, Cause::Protocol(ProtocolError::ReservedOpCode(3)));
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_limit_is_told_to_both() {
    let config = Config::builder().message_bytes_max(1000).build().expect("valid");
    let (mut peer, running, _) = run(config, echo).await;
    peer.send(&frame(BINARY, &[0; 1000])).await;
    assert_eq!(peer.next().await.expect("exactly the limit is accepted").1.len(), 1000);
    peer.send(&frame(BINARY, &[0; 1001])).await;
    assert_eq!(peer.next_close().await, 1009);
    drop(peer);
    let end = running.await.expect("no panic").1;
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
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), frame(TEXT, b"half")[..8].to_vec()].concat()).await;
    peer.half_close().await;
    assert_eq!(peer.next_text().await, "one");
    assert_eq!(peer.next_text().await, "two");
    assert_eq!(peer.rest().await, b"");
    let (count, end) = running.await.expect("no panic");
    assert_eq!(
        (count, told(&end), end.cause.clone()),
        (2, (1006, "", Initiator::Transport, false), Cause::Eof)
    );
}

/// catalogue: CL-30, G-10
#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends_after_five_seconds() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let started = Instant::now();
    let end = ws.close(CloseCode::NORMAL, "").await.expect("valid");
    assert!((5000..5100).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(
        (told(&end), end.cause.clone()),
        ((1006, "", Initiator::Local, false), Cause::CloseUnanswered)
    );
    assert_eq!(peer.next_close().await, 1000);
    assert_eq!(peer.rest().await, b"", "the end of TCP");
}

/// The deadline is absolute · catalogue: CL-33
#[tokio::test(start_paused = true)]
async fn bytes_that_drip_in_after_our_close_do_not_put_off_the_end() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let started = Instant::now();
    let drip = async {
        for byte in frame(BINARY, &[0; 1000]) {
            sleep(Duration::from_secs(1)).await;
            if peer.stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let (end, ()) = tokio::join!(ws.close(CloseCode::NORMAL, ""), drip);
    assert_eq!(end.expect("valid").cause, Cause::CloseUnanswered);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// A client waits for the server to end TCP, and not for ever · RFC 6455 §7.1.1 · catalogue: CL-31
#[tokio::test(start_paused = true)]
async fn a_client_ends_tcp_itself_if_the_server_does_not() {
    let (mut ws, mut peer) = connect(Config::default(), b"").await;
    let started = Instant::now();
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.next_close().await, 1000);
    let answer = peer.frame(CLOSE, &close_payload(1000, ""));
    peer.send(&answer).await;
    assert!(closing.await.expect("no panic").expect("valid").clean);
    assert!(started.elapsed().is_zero(), "the application is not kept waiting");
    assert_eq!(peer.rest().await, b"");
    assert!((2000..2100).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// catalogue: CL-32
#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_and_vanishes_holds_nothing() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&close(1000, "")).await;
    // The pipe stays open: nothing more comes, and no end.
    let (_, end) = timeout(Duration::from_secs(8), running).await.expect("in time").expect("no panic");
    assert_eq!(told(&end), (1000, "", Initiator::Peer, true));
    drop(peer);
}

/// catalogue: CL-34, CL-42
#[tokio::test(start_paused = true)]
async fn a_flood_after_our_close_is_read_no_further_than_the_bound() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.next_close().await, 1000);
    let flood = frame(BINARY, &[0; 10_000]);
    let mut sent = 0;
    while timeout(Duration::from_secs(60), peer.stream.write_all(&flood)).await.is_ok_and(|sent| sent.is_ok())
    {
        sent += flood.len();
    }
    // The pipe holds as much again.
    assert!(sent <= (256 << 10) + 2 * crate::support::PIPE, "{sent} bytes");
    let end = closing.await.expect("no panic").expect("valid");
    assert_eq!(end.cause, Cause::CloseUnanswered);
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_dropped_websocket_closes_with_1000_behind_what_it_sent() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let sender = ws.sender();
    ws.send(Message::text("last")).await.expect("open");
    drop(ws);
    assert_eq!(sender.try_send("later"), Err(SendError::Closed));
    assert_eq!(peer.next_text().await, "last");
    assert_eq!(peer.next_close().await, 1000);
    peer.send(&close(1000, "")).await;
    assert_eq!(told(&sender.closed().await), (1000, "", Initiator::Local, true));
    assert_eq!(peer.rest().await, b"");
}

/// RFC 6455 §7.4.1 · catalogue: G-1, HS-56
#[tokio::test]
async fn a_panic_in_a_handler_is_told_as_1011_and_ends_no_other_connection() {
    let (mut bystander, _running, _) = run(Config::default(), echo).await;
    let (mut peer, running, _) = run(Config::default(), async |mut ws: WebSocket| {
        ws.send(Message::text("so far")).await.expect("open");
        ws.recv().await;
        panic!("as the test wants");
    })
    .await;
    peer.text("go").await;
    assert_eq!(peer.next_text().await, "so far");
    assert_eq!(peer.next_close().await, 1011);
    peer.send(&close(1011, "")).await;
    assert!(running.await.expect_err("the panic goes on").is_panic());
    bystander.text("still there?").await;
    assert_eq!(bystander.next_text().await, "still there?");
}

/// A handler that panicked before it made its future was told to the peer by a reset · RFC 6455 §7.4.1 · catalogue: HS-56
#[tokio::test]
async fn a_panic_before_the_handlers_first_poll_is_told_as_1011() {
    let (mut peer, running, _) = run(Config::default(), |ws: WebSocket| {
        assert!(ws.subprotocol().is_some(), "as the test wants");
        echo(ws)
    })
    .await;
    assert_eq!(peer.next_close().await, 1011);
    peer.send(&close(1011, "")).await;
    assert!(running.await.expect_err("the panic goes on").is_panic());
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn a_panic_of_a_spawned_user_is_told_as_1011() {
    let (ws, mut peer, _) = accept(Config::default()).await;
    let user = tokio::spawn(async move {
        let _ws = ws;
        panic!("as the test wants");
    });
    assert!(user.await.is_err());
    assert_eq!(peer.next_close().await, 1011);
}

/// catalogue: RT-13
#[test]
fn senders_learn_that_their_runtime_was_shut_down() {
    watchdog();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (ws, _peer, _) = runtime.block_on(accept(Config::default()));
    let (_peer2, _running, _) = runtime.block_on(run(Config::default(), echo));
    let sender = ws.sender();
    let waiting = std::thread::spawn(move || {
        let other = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        other.block_on(sender.closed())
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let end = waiting.join().expect("no panic");
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(ws.try_send("late"), Err(SendError::Closed));
}

/// Data first, then the end: a write that fails does not hide what the peer had sent · catalogue: RT-03, FT-02
#[tokio::test]
async fn what_came_before_a_failed_write_is_received_and_the_peers_close_told() {
    let (mut peer, running, gauge) = run(Config::default(), async |mut ws: WebSocket| {
        let mut got = Vec::new();
        ws.recv().await;
        ws.send(Message::text("fails")).await.expect("open");
        while let Some(message) = ws.recv().await {
            got.push(message.as_text().expect("text").to_owned());
        }
        got
    })
    .await;
    gauge.read_bytes_max.store(frame(TEXT, b"go").len(), SeqCst);
    gauge.fail_writes(io::ErrorKind::BrokenPipe);
    peer.send(&[frame(TEXT, b"go"), frame(TEXT, b"one"), frame(TEXT, b"two"), close(1001, "gone")].concat())
        .await;
    drop(peer);
    let (got, end) = running.await.expect("no panic");
    assert_eq!(got, ["one", "two"]);
    assert_eq!(told(&end), (1001, "gone", Initiator::Peer, false));
}

/// catalogue: FT-02, FT-16
#[tokio::test]
async fn a_write_that_fails_with_nothing_to_read_is_told_as_1006() {
    let (ws, _peer, gauge) = accept(Config::default()).await;
    gauge.fail_writes(io::ErrorKind::BrokenPipe);
    ws.send(Message::text("x")).await.expect("open");
    let end = ws.closed().await;
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(end.cause, Cause::Transport(io::ErrorKind::BrokenPipe));
    assert_eq!(ws.send(Message::text("x")).await, Err(SendError::Closed));
}

/// RFC 6455 §5.5.1 · catalogue: CL-24
#[tokio::test]
async fn what_came_before_a_close_is_answered_before_ours() {
    let (mut peer, running, _) = run(Config::default(), echo).await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), close(1000, "")].concat()).await;
    assert_eq!(peer.next_text().await, "one");
    assert_eq!(peer.next_text().await, "two");
    assert_eq!(peer.next_close().await, 1000);
    drop(peer);
    assert_eq!(running.await.expect("no panic").0, 2);
}

/// RFC 6455 §7.1.1
#[tokio::test]
async fn recv_gives_everything_before_the_end_then_none_for_ever() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    peer.send(&[frame(TEXT, b"one"), frame(TEXT, b"two"), close(1000, "")].concat()).await;
    peer.half_close().await;
    settle().await;
    assert_eq!(ws.recv().await, Some(Message::text("one")));
    assert_eq!(ws.recv().await, Some(Message::text("two")));
    assert_eq!(ws.recv().await, None);
    assert_eq!(ws.recv().await, None);
    let end = ws.closed().await;
    assert_eq!((ws.closed().await, ws.sender().closed().await), (end.clone(), end), "one end, however often");
}

// ---- half-close, without spinning

/// catalogue: CL-05, FT-03, FT-05, V-86
#[tokio::test(start_paused = true)]
async fn a_half_close_in_any_state_does_not_spin() {
    for state in ["open", "mid-message", "closing", "blocked", "peer closed"] {
        let (mut peer, running, gauge) = run(Config::default(), async move |mut ws: WebSocket| {
            match state {
                "closing" => drop(ws.close(CloseCode::AWAY, "").await),
                "blocked" => {
                    ws.send(Message::binary(vec![0; 1000])).await.expect("open");
                    ws.closed().await;
                }
                _ => while ws.recv().await.is_some() {},
            }
            sleep(Duration::from_secs(100)).await;
        })
        .await;
        if state == "blocked" {
            gauge.block();
        }
        settle().await;
        match state {
            "mid-message" => peer.send(&frame(TEXT, b"half")[..7]).await,
            "peer closed" => peer.send(&close(1000, "")).await,
            _ => {}
        }
        peer.half_close().await;
        settle().await;
        let before = gauge.polls();
        sleep(Duration::from_secs(50)).await;
        assert!(gauge.polls() - before < 10, "{state}: {} polls", gauge.polls() - before);
        running.await.expect("no panic");
    }
}

// ---- real TCP

async fn listening(config: Config) -> (std::net::SocketAddr, Arc<Ends>) {
    watchdog();
    let listener = Listen::new(acceptor(config)).bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let ends = Arc::new(Ends::default());
    let told = ends.clone();
    tokio::spawn(listener.serve(move |mut ws: WebSocket| {
        let told = told.clone();
        async move {
            told.begun.fetch_add(1, SeqCst);
            while let Some(message) = ws.recv().await {
                if message.as_text() == Some("close") {
                    let end = ws.close(CloseCode(4242), "as asked").await.expect("valid");
                    if end.clean {
                        told.clean.fetch_add(1, SeqCst);
                    }
                    break;
                }
                let _ = ws.send(message).await;
            }
            ws.closed().await;
            told.ended.fetch_add(1, SeqCst);
        }
    }));
    (addr, ends)
}

#[derive(Default)]
struct Ends {
    begun: AtomicUsize,
    ended: AtomicUsize,
    clean: AtomicUsize,
}

impl Ends {
    async fn all_ended(&self) {
        let all = async {
            while self.begun.load(SeqCst) != self.ended.load(SeqCst) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), all).await.expect("each has its end");
    }
}

/// The peer's input lies unread in our kernel buffer when we close: TCP's answer to that is a reset, which takes the Close
/// with it · RFC 6455 §7.1.1 · catalogue: CL-40, CL-41, CL-42, V-82
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_closes_with_unread_input_are_all_seen() {
    let (addr, ends) = listening(Config::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        clients.spawn(async move {
            for round in 0..50 {
                let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
                let mut flood = frame(TEXT, b"close");
                for _ in 0..100 {
                    flood.extend(frame(BINARY, &[0; 1000]));
                }
                peer.send(&flood).await;
                assert_eq!(peer.next_close().await, 4242, "round {round}");
                let more = peer.frame(BINARY, &[0; 10_000]);
                peer.send(&more).await;
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
    ends.all_ended().await;
    assert_eq!((ends.begun.load(SeqCst), ends.clean.load(SeqCst)), (1000, 500));
}

/// The same where the rule was broken: what follows the bad frame lies unread · RFC 6455 §7.1.7 · catalogue: CL-41, G-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_with_unread_input_is_seen() {
    let (addr, ends) = listening(Config::default()).await;
    for _ in 0..100 {
        let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
        let mut flood = vec![0x83, 0x80, 0, 0, 0, 0];
        flood.resize(150_000, 0);
        peer.send(&flood).await;
        assert_eq!(peer.next_close().await, 1002);
        let mut rest = Vec::new();
        // The server ends first, and waits for us.
        peer.stream.read_to_end(&mut rest).await.expect("an end, and not a reset");
    }
    ends.all_ended().await;
}

/// catalogue: FT-01, HS-77, G-1, G-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_or_an_end_at_any_byte_is_one_end_and_no_panic() {
    let (addr, ends) = listening(Config::default()).await;
    let conversation = [REQUEST, &frame(TEXT, b"one"), &frame(BINARY, &[0; 300]), &close(1000, "")].concat();
    for reset in [true, false] {
        for offset in 0..=conversation.len() {
            let mut peer = Peer::new(TcpStream::connect(addr).await.expect("a server"));
            peer.send(&conversation[..offset]).await;
            // Half of them after the answer is in, half of them at once.
            if offset >= REQUEST.len() && offset % 2 == 0 {
                peer.head().await;
            }
            if reset { peer.reset() } else { drop(peer) }
        }
    }
    let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
    peer.text("still there?").await;
    assert_eq!(peer.next_text().await, "still there?");
    drop(peer);
    ends.all_ended().await;
}

/// catalogue: FT-01, FT-02
#[tokio::test]
async fn a_reset_is_told_as_1006() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (accepted, peer) = tokio::join!(
        async { acceptor(Config::default()).accept(listener.accept().await.expect("one").0).await },
        async { Peer::open(TcpStream::connect(addr).await.expect("a server")).await }
    );
    let mut ws = accepted.expect("the request is right");
    peer.reset();
    assert_eq!(ws.recv().await, None);
    let end = ws.closed().await;
    assert_eq!(told(&end), (1006, "", Initiator::Transport, false));
    assert_eq!(end.cause, Cause::Transport(io::ErrorKind::ConnectionReset));
}

/// Both ends are ours · RFC 6455 §7.1.1 · catalogue: CL-23, CL-40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_and_our_server_close_cleanly() {
    let (addr, ends) = listening(Config::default()).await;
    let connector = framecast::Connector::default();
    for _ in 0..100 {
        let mut ws = connector.connect(ask(&format!("ws://{addr}/"))).await.expect("a server");
        ws.send(Message::text("hi")).await.expect("open");
        assert_eq!(ws.recv().await, Some(Message::text("hi")));
        let end = ws.close(CloseCode::NORMAL, "").await.expect("valid");
        assert_eq!(told(&end), (1000, "", Initiator::Local, true));
    }
    for _ in 0..100 {
        let mut ws = connector.connect(ask(&format!("ws://{addr}/"))).await.expect("a server");
        ws.send(Message::text("close")).await.expect("open");
        assert_eq!(ws.recv().await, None);
        assert_eq!(told(&ws.closed().await), (4242, "as asked", Initiator::Peer, true));
    }
    ends.all_ended().await;
}
