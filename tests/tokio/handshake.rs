//! The opening handshake on sockets and pipes: bounds, deadlines, what is said and what is not.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use framecast::{
    Acceptor, Config, Connector, Error, ErrorKind, Listen, Message, WebSocket,
    handshake::{Endpoint, Refusal},
};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant, sleep},
};

use crate::support::{
    BINARY, CLOSE, PIPE, Peer, REQUEST, TEXT, Tap, accept, acceptor, ask, bare_frame, close, close_payload,
    connect, echo, echo_all, frame, raw_frame, response_to, run, settle, watchdog,
};

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect(answer)
}

fn request_with(more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(REQUEST).expect("ASCII");
    text.replace("\r\n\r\n", &format!("\r\n{more}\r\n")).into_bytes()
}

/// What is read and thrown away behind it has a bound: time alone would let a fast peer send gigabytes ·
/// catalogue: HS-50, HS-51, CL-42
#[tokio::test(start_paused = true)]
async fn behind_a_refused_head_no_more_is_read_than_the_linger_bound() {
    const LINE: usize = 8 << 10;
    const LINGER: usize = 100 << 10;
    const SMALL_PIPE: usize = 4 << 10;
    watchdog();
    let config = Config::builder()
        .request_line_bytes_max(LINE)
        .linger_bytes_max(LINGER as u32)
        .build()
        .expect("valid");
    let (ours, mut theirs) = duplex(SMALL_PIPE);
    let flood = async {
        theirs.write_all(b"GET /").await.expect("it listens");
        let mut sent = 5;
        while sent < 4 << 20 {
            match theirs.write(&[b'x'; 1 << 10]).await {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        // Only the answer is left, and what ends a reader who has no bound.
        let mut answer = String::new();
        let _ = theirs.read_to_string(&mut answer).await;
        (sent, answer)
    };
    let acceptor = acceptor(config);
    let (result, (sent, answer)) = tokio::join!(acceptor.handshake(ours), flood);
    let refused = StatusCode::URI_TOO_LONG;
    assert_eq!(result.expect_err("refused").kind(), ErrorKind::Rejected(refused));
    assert_eq!(status(&answer), 414);
    // Each bound is met by a read of at most a pipe's content, and the last one lies in the pipe.
    assert!((LINE + LINGER..=LINE + LINGER + 3 * SMALL_PIPE).contains(&sent), "{sent}");
}

// The default times, which only a paused clock can wait for; the engines' suite has them by short ones.

/// The deadline is absolute, whatever drips in · catalogue: HS-52, DS-02
#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_is_told_408_at_the_deadline() {
    let (ours, theirs) = duplex(PIPE);
    let acceptor = acceptor(Config::default());
    let started = Instant::now();
    let mut peer = Peer::new(theirs);
    let drip = async {
        for byte in REQUEST {
            sleep(Duration::from_secs(1)).await;
            if peer.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            if started.elapsed() > Duration::from_secs(11) {
                break;
            }
        }
        String::from_utf8(peer.rest().await).expect("ASCII")
    };
    let (result, answer) = tokio::join!(acceptor.handshake(ours), drip);
    assert_eq!(result.expect_err("refused").kind(), ErrorKind::Timeout);
    assert_eq!(status(&answer), 408);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

/// catalogue: HS-52, DS-03
#[tokio::test(start_paused = true)]
async fn who_sends_nothing_is_cut_in_silence_at_the_deadline() {
    let (ours, theirs) = duplex(PIPE);
    let acceptor = acceptor(Config::default());
    let started = Instant::now();
    let mut peer = Peer::new(theirs);
    let (result, ()) = tokio::join!(acceptor.handshake(ours), async {
        assert_eq!(peer.rest().await, b"");
        assert_eq!(started.elapsed().as_secs(), 10);
    });
    assert_eq!(result.expect_err("refused").kind(), ErrorKind::Timeout);
}

/// Nothing is read while the application makes up its mind; the deadline goes on · catalogue: HS-78
#[tokio::test(start_paused = true)]
async fn a_delayed_accept_reads_nothing_meanwhile_and_then_everything() {
    let (ours, theirs) = duplex(16 << 10);
    let (tap, gauge) = Tap::new(ours);
    let server = tokio::spawn(async move {
        let incoming = acceptor(Config::default()).handshake(tap).await?;
        sleep(Duration::from_secs(5)).await;
        incoming.run(echo_count).await
    });
    let mut peer = Peer::new(theirs);
    peer.send(REQUEST).await;
    let (mut reading, mut writing) = tokio::io::split(peer.stream);
    let sending = tokio::spawn(async move {
        for _ in 0..16 {
            writing.write_all(&frame(BINARY, &vec![0; 65_000])).await.expect("read some time");
        }
        writing.write_all(&close(1000, "")).await.expect("read some time");
        writing
    });
    sleep(Duration::from_secs(4)).await;
    let polls = gauge.read_polls.load(SeqCst);
    assert!(polls <= 4, "{polls} reads before the answer");
    assert!(!sending.is_finished());
    let mut answer = Vec::new();
    reading.read_to_end(&mut answer).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    drop((sending.await.expect("no panic"), reading));
    assert_eq!(server.await.expect("no panic").expect("opened").0, 16);
}

async fn echo_count(mut ws: WebSocket) -> usize {
    let mut count = 0;
    while ws.recv().await.is_some() {
        count += 1;
    }
    count
}

/// catalogue: HS-56, HS-78
#[tokio::test(start_paused = true)]
async fn an_accept_after_the_deadline_is_told_503() {
    let (ours, theirs) = duplex(PIPE);
    let mut peer = Peer::new(theirs);
    peer.send(REQUEST).await;
    let acceptor = acceptor(Config::default());
    let incoming = acceptor.handshake(ours).await.expect("right");
    sleep(Duration::from_secs(10)).await;
    let (result, answer) = tokio::join!(incoming.accept(), async {
        peer.half_close().await;
        String::from_utf8(peer.rest().await).expect("ASCII")
    });
    assert_eq!(result.expect_err("too late").kind(), ErrorKind::Timeout);
    assert_eq!(status(&answer), 503);
    assert!(answer.to_ascii_lowercase().contains("retry-after:"), "{answer}");
}

/// Here for what the application is told, and at the default's time · catalogue: HS-79
#[tokio::test(start_paused = true)]
async fn a_101_that_is_not_taken_is_given_up_at_the_deadline() {
    let (ours, theirs) = duplex(PIPE);
    let (tap, gauge) = Tap::new(ours);
    let mut peer = Peer::new(theirs);
    peer.send(REQUEST).await;
    gauge.block();
    let started = Instant::now();
    let error = acceptor(Config::default()).accept(tap).await.expect_err("not taken");
    assert_eq!((error.kind(), started.elapsed().as_secs()), (ErrorKind::Timeout, 10));
    assert_eq!(peer.rest().await, b"");
}

/// A message that came with the request is answered behind the whole 101, however slowly that is taken ·
/// catalogue: SN-06, HS-75, HS-79
#[tokio::test(start_paused = true)]
async fn an_early_message_is_answered_behind_a_101_that_leaves_byte_by_byte() {
    watchdog();
    let plain = {
        let (ours, theirs) = duplex(PIPE);
        let _server = tokio::spawn(async move { acceptor(Config::default()).accept(ours).await });
        let mut peer = Peer::new(theirs);
        peer.send(REQUEST).await;
        peer.head().await.into_bytes()
    };
    let expected = [plain, bare_frame(TEXT, b"first")].concat();
    let (ours, theirs) = duplex(PIPE);
    let (tap, gauge) = Tap::new(ours);
    gauge.write_bytes_max.store(1, SeqCst);
    gauge.stutters.store(true, SeqCst);
    let mut peer = Peer::new(theirs);
    peer.send(&[REQUEST, &frame(TEXT, b"first")].concat()).await;
    tokio::spawn(async move { acceptor(Config::default()).run(tap, echo).await });
    let mut came = vec![0; expected.len()];
    peer.stream.read_exact(&mut came).await.expect("a 101 and an echo");
    assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(&expected));
    assert!(gauge.writes() >= expected.len(), "in drops");
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
}

/// The application sees the request, and answers as it likes · RFC 6455 §4.2.2
#[tokio::test]
async fn the_request_is_shown_and_the_answer_is_the_applications() {
    let endpoint = Endpoint::new().subprotocols(["v2", "v1"]).expect("tokens");
    let acceptor = Acceptor::new(Config::default(), endpoint);
    let (ours, theirs) = duplex(PIPE);
    let mut peer = Peer::new(theirs);
    let text =
        String::from_utf8(request_with("Sec-WebSocket-Protocol: v1, v2\r\nCookie: a=b\r\n")).expect("ASCII");
    peer.send(text.replace("GET /", "GET /room?id=7").as_bytes()).await;
    let incoming = acceptor.handshake(ours).await.expect("right");
    let request = incoming.request();
    assert_eq!((request.path(), request.query(), request.host()), ("/room", Some("id=7"), "t"));
    assert_eq!(request.headers()["cookie"], "a=b");
    assert_eq!(request.subprotocols(), ["v1", "v2"]);
    let incoming =
        incoming.header("x-node", "7").expect("a header").with_subprotocol(Some("v1")).expect("offered");
    let ws = incoming.accept().await.expect("written");
    assert_eq!(ws.subprotocol(), Some("v1"));
    let head = peer.head().await.to_ascii_lowercase();
    assert!(
        head.contains("\r\nx-node: 7\r\n") && head.contains("\r\nsec-websocket-protocol: v1\r\n"),
        "{head}"
    );
}

/// RFC 6455 §4.2.2 · catalogue: HS-55
#[tokio::test]
async fn the_application_refuses_with_any_status_and_body() {
    for (code, body) in [(401, "who are you?"), (404, ""), (302, "over there"), (599, "odd")] {
        let (ours, theirs) = duplex(PIPE);
        let mut peer = Peer::new(theirs);
        peer.send(&[REQUEST, &frame(TEXT, b"too early")].concat()).await;
        peer.half_close().await;
        let acceptor = acceptor(Config::default());
        let incoming = acceptor.handshake(ours).await.expect("right");
        let status_code = StatusCode::from_u16(code).expect("valid");
        let refusal = Refusal::new(status_code).header("x-why", "because").expect("a header").body(body);
        let error = incoming.refuse(refusal).await;
        assert_eq!(error.kind(), ErrorKind::Rejected(status_code));
        let answer = String::from_utf8(peer.rest().await).expect("ASCII");
        assert_eq!(status(&answer), code);
        assert!(
            answer.contains("x-why: because") && answer.ends_with(&format!("\r\n\r\n{body}")),
            "{answer}"
        );
    }
}

// ---- the listener's counts

// ---- the client

async fn answered(answer: &'static [u8]) -> Error {
    watchdog();
    let (ours, theirs) = duplex(1 << 20);
    let mut peer = Peer::new(theirs);
    let connector = Connector::default();
    let (result, ()) = tokio::join!(connector.connect_over(ask("ws://t/"), ours), async {
        peer.head().await;
        peer.send(answer).await;
        peer.half_close().await;
    });
    result.expect_err("no 101")
}

/// RFC 6455 §4.1 · catalogue: HC-01
#[tokio::test]
async fn a_client_is_told_status_headers_and_body_of_another_answer() {
    let error =
        answered(b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslowgarbage").await;
    assert_eq!(error.kind(), ErrorKind::Refused(StatusCode::TOO_MANY_REQUESTS));
    let response = error.response().expect("there is one");
    assert_eq!(
        (&response.headers["retry-after"], &response.body[..]),
        (&"7".parse().expect("valid"), &b"slow"[..])
    );
    let error = answered(b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\nuntil the end").await;
    let response = error.response().expect("there is one");
    assert_eq!((response.status, &response.body[..]), (StatusCode::FOUND, &b"until the end"[..]));
    assert_eq!(
        answered(b"HTTP/1.1 101 Fine\r\nUpgrade: h2c\r\n\r\n").await.kind(),
        ErrorKind::InvalidResponse
    );
    assert_eq!(answered(b"\x81\x02hi").await.kind(), ErrorKind::InvalidResponse);
}

/// One deadline for everything · catalogue: HC-08, HC-11
#[tokio::test(start_paused = true)]
async fn a_client_gives_up_at_its_deadline_whatever_drips_in() {
    let head = format!("HTTP/1.1 101 Switching Protocols\r\nx: {}", "y".repeat(1000));
    for answer in
        ["", &head, "HTTP/1.1 200 OK\r\n\r\nan endless body that goes on and on and on and on and on"]
    {
        let (ours, theirs) = duplex(PIPE);
        let started = Instant::now();
        let mut peer = Peer::new(theirs);
        let connector = Connector::default();
        let drip = async {
            peer.head().await;
            for byte in answer.bytes() {
                peer.send(&[byte]).await;
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            result = connector.connect_over(ask("ws://t/"), ours) => result.expect_err("too late"),
            () = drip => unreachable!(),
        };
        assert_eq!((error.kind(), started.elapsed().as_secs()), (ErrorKind::Timeout, 10), "{answer:.20}");
    }
}

/// Status, headers and what came of the body are not lost to the time-out · catalogue: HC-08
#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_has_no_end_is_told_as_one_at_the_deadline() {
    let (ours, theirs) = duplex(PIPE);
    let started = Instant::now();
    let mut peer = Peer::new(theirs);
    let connector = Connector::default();
    let refuse = async {
        peer.head().await;
        peer.send(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n").await;
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        result = connector.connect_over(ask("ws://t/"), ours) => result.expect_err("refused"),
        () = refuse => unreachable!(),
    };
    assert_eq!(
        (error.kind(), started.elapsed().as_secs()),
        (ErrorKind::Refused(StatusCode::UNAUTHORIZED), 10)
    );
    assert_eq!(error.response().expect("there is one").body, "3\r\nno!\r\n");
}

/// catalogue: HC-11
#[tokio::test]
async fn a_client_bounds_the_head_of_the_answer() {
    let huge = format!("HTTP/1.1 101 Switching Protocols\r\nx: {}\r\n\r\n", "y".repeat(20 << 10));
    let error = answered(Box::leak(huge.into_boxed_str()).as_bytes()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
}

/// catalogue: HC-13
#[tokio::test]
async fn a_client_whose_server_ends_or_resets_at_any_byte_gets_an_error() {
    watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let connector = Connector::default();
    for reset in [true, false] {
        for offset in 0..129 {
            let (result, ()) = tokio::join!(connector.connect(ask(&url)), async {
                let mut peer = Peer::new(listener.accept().await.expect("a client").0);
                let head = peer.head().await;
                let answer = response_to(&head);
                assert_eq!(answer.len(), 129);
                peer.send(&answer[..offset]).await;
                if reset {
                    peer.reset();
                }
            });
            let kind = result.expect_err("cut off").kind();
            assert!(
                matches!(kind, ErrorKind::Io(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)),
                "{offset}: {kind:?}"
            );
        }
    }
}

/// RFC 6455 §4.1: no byte behind the request until the answer is there, and a nonce of its own for each connection ·
/// catalogue: HC-32
#[tokio::test]
async fn a_client_sends_its_request_and_then_nothing_until_it_is_answered() {
    watchdog();
    let mut heads = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = duplex(PIPE);
        let mut peer = Peer::new(theirs);
        let connecting =
            tokio::spawn(async move { Connector::default().connect_over(ask("ws://t/"), ours).await });
        let head = peer.head().await;
        settle().await;
        let mut early = [0; 64];
        assert!(crate::support::once(peer.stream.read(&mut early)).await.is_none(), "sent too early");
        assert!(!connecting.is_finished());
        peer.send(&response_to(&head)).await;
        let ws = connecting.await.expect("no panic").expect("the answer is right");
        ws.send(Message::text("now")).await.expect("open");
        // The mask bit makes the frame a client's, so its six bytes of header are read by hand.
        let mut frame = [0; 9];
        peer.stream.read_exact(&mut frame).await.expect("a frame");
        assert_eq!(frame[..2], [0x81, 0x83]);
        heads.push(head);
    }
    assert_ne!(heads[0], heads[1], "the same nonce twice");
}

/// RFC 6455 §4.1 · catalogue: HC-50, V-65
#[tokio::test]
async fn a_client_receives_what_comes_in_the_segment_of_the_101() {
    let many: Vec<u8> = (0..600).flat_map(|_| bare_frame(BINARY, &[7; 100])).collect();
    let (mut ws, mut peer) = connect(Config::default(), &bare_frame(TEXT, b"hello")).await;
    assert_eq!(ws.recv().await, Some(Message::text("hello")));
    peer.send(&bare_frame(TEXT, b"more")).await;
    assert_eq!(ws.recv().await, Some(Message::text("more")));

    let (mut ws, mut peer) = connect(Config::default(), &bare_frame(TEXT, b"hello")[..4]).await;
    peer.send(&bare_frame(TEXT, b"hello")[4..]).await;
    assert_eq!(ws.recv().await, Some(Message::text("hello")));

    let (mut ws, _peer) = connect(Config::default(), &many).await;
    for _ in 0..600 {
        assert_eq!(ws.recv().await.expect("open").len(), 100);
    }

    let first_and_last =
        [bare_frame(TEXT, b"hello"), bare_frame(CLOSE, &close_payload(1001, "bye"))].concat();
    let (mut ws, mut peer) = connect(Config::default(), &first_and_last).await;
    assert_eq!(ws.recv().await, Some(Message::text("hello")));
    assert_eq!(ws.recv().await, None);
    assert_eq!(peer.next_close().await, 1001);
    drop(peer);
    assert_eq!(ws.closed().await.reason, "bye");
}

/// RFC 6455 §5.1 · catalogue: HC-40
#[tokio::test]
async fn a_client_refuses_a_masked_frame() {
    let (mut ws, mut peer) = connect(Config::default(), &raw_frame(0x81, b"hi", Some([1, 2, 3, 4]))).await;
    assert_eq!(ws.recv().await, None);
    assert_eq!(peer.next_close().await, 1002);
}

/// DESIGN "Drivers" · catalogue: HC-31
#[tokio::test]
async fn a_client_connects_by_name_and_by_ipv6_address() {
    watchdog();
    for (bind, host) in [("127.0.0.1:0", "localhost"), ("[::1]:0", "[::1]")] {
        let listener = match Listen::new(acceptor(Config::default())).bind(bind).await {
            Err(error) if bind == "[::1]:0" && error.kind() == io::ErrorKind::AddrNotAvailable => {
                eprintln!("not tested: a client at an IPv6 address, as this machine has no [::1]");
                continue;
            }
            bound => bound.expect("a port"),
        };
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(listener.serve(echo_all));
        let (answer, end) = Connector::default()
            .run(ask(&format!("ws://{host}:{port}/")), async |mut ws: WebSocket| {
                ws.send(Message::text("hi")).await.expect("open");
                ws.recv().await
            })
            .await
            .expect("a server");
        assert_eq!((answer, end.clean), (Some(Message::text("hi")), true));
    }
}

/// catalogue: G-10
#[tokio::test]
async fn a_client_that_finds_nobody_says_why() {
    watchdog();
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port();
    let error =
        Connector::default().connect(ask(&format!("ws://127.0.0.1:{port}/"))).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Io(io::ErrorKind::ConnectionRefused));
}

/// Giving up a connect leaves nothing behind · catalogue: RT-11
#[tokio::test]
async fn a_connect_that_is_dropped_drops_its_stream() {
    let (ours, theirs): (DuplexStream, DuplexStream) = duplex(PIPE);
    let mut peer = Peer::new(theirs);
    let connector = Connector::default();
    assert!(crate::support::once(connector.connect_over(ask("ws://t/"), ours)).await.is_none());
    peer.head().await;
    assert_eq!(peer.rest().await, b"");
}

/// A handler that never ends is no reason to keep others from connecting · catalogue: DS-07
#[tokio::test]
async fn a_handler_that_hangs_before_its_answer_blocks_nobody() {
    watchdog();
    let listener = Listen::new(acceptor(Config::default())).bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let serving = listener.serve_requests_until(std::future::pending(), move |incoming| {
        let first = count.fetch_add(1, SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            let _ = incoming.run(echo).await;
        }
    });
    tokio::spawn(serving);
    let mut stuck = Peer::new(TcpStream::connect(addr).await.expect("a server"));
    stuck.send(REQUEST).await;
    while asked.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        let mut peer = Peer::open(TcpStream::connect(addr).await.expect("a server")).await;
        peer.text("hi").await;
        assert_eq!(peer.next_text().await, "hi");
    }
}

/// What the wire has is what a handler of `accept` gets too · catalogue: HS-75
#[tokio::test]
async fn accept_and_run_agree_on_an_echo() {
    let (mut ws, mut peer, _) = accept(Config::default()).await;
    peer.text("hi").await;
    let message = ws.recv().await.expect("open");
    ws.send(message).await.expect("open");
    assert_eq!(peer.next_text().await, "hi");
    let (mut peer, _running, _) = run(Config::default(), echo).await;
    peer.text("hi").await;
    assert_eq!(peer.next_text().await, "hi");
    settle().await;
}
