//! The opening handshake over real sockets: what is refused, how, and what comes behind it.

use std::time::Duration;

use framecast::{Config, Endpoint, proto::Cause};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    peer::{BINARY, Peer, REQUEST, TEXT, close, frame},
    server::Server,
};

fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn request_with(more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(REQUEST).expect("ASCII");
    text.replace("\r\n\r\n", &format!("\r\n{more}\r\n")).into_bytes()
}

/// What the server says to these bytes, to the end.
async fn answer_to(server: &Server, bytes: &[u8]) -> String {
    let mut peer = server.connect().await;
    let (mut reading, mut writing) = peer.stream.split();
    let (_, answer) = tokio::join!(
        async {
            // The server may have gone by then.
            let _ = writing.write_all(bytes).await;
            let _ = writing.shutdown().await;
        },
        async {
            let mut answer = Vec::new();
            let _ = reading.read_to_end(&mut answer).await;
            answer
        }
    );
    String::from_utf8(answer).expect("ASCII")
}

/// RFC 9112 §3 · catalogue: HS-50, HS-51, DS-01
#[tokio::test]
async fn a_head_that_is_too_big_is_refused_at_the_limit() {
    let server = Server::start();
    let long_line = [b"GET /", &b"x".repeat(100 << 10)[..], b" HTTP/1.1\r\n"].concat();
    let many_headers: String = (0..10_000).map(|n| format!("h{n}: v\r\n")).collect();
    let long_name = format!("{}: v\r\n", "n".repeat(64 << 10));
    for (bytes, expected) in
        [(long_line, 414), (request_with(&many_headers), 431), (request_with(&long_name), 431)]
    {
        assert_eq!(status(&answer_to(&server, &bytes).await), expected);
    }
}

/// The deadline is absolute, whatever drips in · catalogue: HS-52, DS-02
#[tokio::test]
async fn a_head_that_drips_in_is_told_408_at_the_deadline() {
    let config = Config::builder().handshake_within(Duration::from_millis(500)).build().expect("valid");
    let server = Server::with_config(config);
    let mut peer = server.connect().await;
    let started = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(50));
    let (mut reading, mut writing) = peer.stream.split();
    let dripping = async {
        for byte in REQUEST {
            drip.tick().await;
            let _ = writing.write_all(&[*byte]).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = dripping => panic!("let in after {:?}", started.elapsed()),
        _ = reading.read_to_end(&mut answer) => {}
    }
    assert_eq!(status(std::str::from_utf8(&answer).expect("ASCII")), 408);
    assert!((490..2500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// catalogue: HS-52, DS-03
#[tokio::test]
async fn who_sends_nothing_is_cut_in_silence_at_the_deadline() {
    let config = Config::builder().handshake_within(Duration::from_millis(500)).build().expect("valid");
    let server = Server::with_config(config);
    let mut peer = server.connect().await;
    let started = Instant::now();
    assert_eq!(peer.rest().await, b"");
    assert!((490..2500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// catalogue: HS-70, HS-71, HS-72, V-48
#[tokio::test]
async fn nothing_after_a_refused_head_is_looked_at() {
    let server = Server::start();
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII");
    for (head, expected) in
        [(request.replace("Version: 13", "Version: 12"), 426), (request.replace("GET", "POST"), 405)]
    {
        let bytes = [head.as_bytes(), b"GET /admin HTTP/1.1\r\nHost: t\r\n\r\n", REQUEST].concat();
        let answer = answer_to(&server, &bytes).await;
        assert_eq!(status(&answer), expected);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
}

/// catalogue: HS-72, HS-73
#[tokio::test]
async fn a_right_request_behind_a_refusal_gets_nothing() {
    let server = Server::start();
    for _ in 0..300 {
        let mut peer = server.connect().await;
        peer.send(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: keep-alive\r\n\r\n").await;
        assert!(!peer.head().await.starts_with("HTTP/1.1 101"));
        peer.send(REQUEST).await;
        peer.half_close().await;
        let rest = String::from_utf8(peer.rest().await).expect("ASCII");
        assert!(!rest.contains("HTTP/1.1"), "{rest}");
    }
}

/// RFC 6455 §4.1 · catalogue: HS-75
#[tokio::test]
async fn frames_in_the_segment_of_the_head_are_delivered() {
    let mut server = Server::start();
    let many: Vec<u8> = (0..640).flat_map(|_| frame(BINARY, &[7; 100])).collect();
    let half = frame(TEXT, b"half");
    for (early, later, count) in [
        (frame(TEXT, b"hello"), vec![], 1),
        (half[..3].to_vec(), half[3..].to_vec(), 1),
        (many[..60_000].to_vec(), many[60_000..].to_vec(), 640),
    ] {
        let mut peer = server.connect().await;
        peer.send(&[REQUEST, &early].concat()).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 101"));
        peer.send(&later).await;
        for _ in 0..count {
            peer.next().await.expect("an echo");
        }
        peer.send(&close(1000, "")).await;
        assert_eq!(peer.next_close().await, 1000);
        drop(peer);
        assert_eq!(server.end().await.0, count);
    }
}

/// catalogue: HS-76
#[tokio::test]
async fn garbage_in_the_segment_of_the_head_is_told_1002_behind_the_101() {
    let server = Server::start();
    let mut peer = server.connect().await;
    peer.send(&[REQUEST, b"GET / HTTP/1.1\r\n"].concat()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(peer.next_close().await, 1002);
}

/// catalogue: HS-77
#[tokio::test]
async fn an_end_right_behind_the_head_is_one_connection_with_one_end() {
    let mut server = Server::start();
    let mut peer = server.connect().await;
    peer.send(&[REQUEST, &frame(TEXT, b"bye")].concat()).await;
    peer.half_close().await;
    assert!(peer.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(peer.next_text().await, "bye");
    let (count, end) = server.end().await;
    assert_eq!((count, end.cause), (1, Cause::Eof));
    assert!(!server.has_another_end());
}

/// catalogue: FT-14
#[tokio::test]
async fn a_byte_at_a_time_arrives_whole() {
    let server = Server::start();
    let mut peer = server.connect().await;
    peer.stream.set_nodelay(true).expect("a socket");
    let conversation = [REQUEST, &frame(TEXT, "äöü".as_bytes()), &frame(BINARY, &[9; 300]), &close(1000, "")];
    for byte in conversation.concat() {
        peer.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(peer.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(peer.next_text().await, "äöü");
    assert_eq!(peer.next().await, Some((BINARY, vec![9; 300])));
    assert_eq!(peer.next_close().await, 1000);
}

/// What came with the request is answered behind it · catalogue: HS-75, HS-79, SN-06
#[tokio::test]
async fn a_101_that_is_taken_a_byte_at_a_time_is_whole() {
    let server = Server::start();
    let mut peer = Peer::new(server.connect_narrow().await);
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /long/300000 ");
    peer.send(&[request.as_bytes(), &frame(TEXT, b"early")].concat()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.stream.read_u8().await.expect("the rest of the 101"));
    }
    let head = String::from_utf8(head).expect("ASCII").to_ascii_lowercase();
    let long = format!("\r\nx-node: {}\r\n", "x".repeat(300_000));
    assert!(head.starts_with("http/1.1 101 ") && head.contains(&long), "{} bytes", head.len());
    assert_eq!(peer.next_text().await, "early");
}

/// catalogue: HS-79
#[tokio::test]
async fn a_101_that_is_not_taken_is_given_up_at_the_deadline() {
    let config = Config::builder().handshake_within(Duration::from_millis(500)).build().expect("valid");
    let mut server = Server::with_config(config);
    let mut peer = Peer::new(server.connect_narrow().await);
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /long/300000 ");
    let started = Instant::now();
    peer.send(request.as_bytes()).await;
    let mut drip = tokio::time::interval(Duration::from_millis(20));
    // Until there is nobody any more to take it.
    while peer.stream.write_all(b"x").await.is_ok() {
        drip.tick().await;
    }
    assert!((490..2500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let rest = peer.rest().await;
    assert!(rest.len() < 100_000, "{} bytes", rest.len());
    assert!(!server.has_another_end(), "it was never open");
}

/// RFC 6455 §4.2.2
#[tokio::test]
async fn the_request_is_shown_and_the_answer_is_the_applications() {
    let endpoint = Endpoint::new().subprotocols(["v2", "v1"]).expect("tokens");
    let server = Server::with(Config::default(), endpoint);
    let mut peer = server.connect().await;
    let text =
        String::from_utf8(request_with("Sec-WebSocket-Protocol: v1, v2\r\nCookie: a=b\r\n")).expect("ASCII");
    peer.send(text.replace("GET /", "GET /room?id=7").as_bytes()).await;
    let head = peer.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    let has = |header| head.contains(&format!("\r\n{header}\r\n"));
    assert!(has("x-node: 7") && has("sec-websocket-protocol: v1"), "{head}");
}

/// RFC 6455 §4.2.2 · catalogue: HS-55
#[tokio::test]
async fn the_application_refuses_with_any_status_and_body() {
    let server = Server::start();
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII");
    for (code, body) in [(401, "who-are-you"), (404, ""), (302, "over-there"), (599, "odd")] {
        let asks = request.replace("GET /", &format!("GET /refuse/{code}/{body}"));
        let bytes = [asks.as_bytes(), &frame(TEXT, b"too early")].concat();
        let answer = answer_to(&server, &bytes).await;
        assert_eq!(status(&answer), code);
        assert!(
            answer.contains("x-why: because") && answer.ends_with(&format!("\r\n\r\n{body}")),
            "{answer}"
        );
    }
}

/// catalogue: HS-56
#[tokio::test]
async fn a_panic_before_the_answer_gives_500_and_the_others_their_echo() {
    let server = Server::start();
    let mut bystander = server.open().await;
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII");
    let answer = answer_to(&server, request.replace("GET /", "GET /panic").as_bytes()).await;
    assert_eq!(status(&answer), 500);
    bystander.text("still there?").await;
    assert_eq!(bystander.next_text().await, "still there?");
}

/// A client that still sends is not answered with a reset · RFC 6455 §7.1.1 · catalogue: CL-42, HS-70
#[tokio::test]
async fn a_refusal_arrives_although_the_client_still_sends() {
    let server = Server::start();
    for _ in 0..100 {
        let mut peer = server.connect().await;
        peer.send(&[b"POST / HTTP/1.1\r\nHost: t\r\n\r\n", &[b'x'; 100_000][..]].concat()).await;
        let mut answer = Vec::new();
        peer.half_close().await;
        peer.stream.read_to_end(&mut answer).await.expect("an end, and not a reset");
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
}

// ---- the counts

/// catalogue: HS-53, FT-20
#[tokio::test]
async fn a_connection_above_the_cap_is_told_503_and_one_that_leaves_makes_room() {
    let config = Config::builder().connections_max(Some(2)).handshakes_max(Some(10)).build().expect("valid");
    let server = Server::with_config(config);
    let mut first = server.open().await;
    let _second = server.open().await;
    // Refused, and in no hurry to leave.
    let mut lingering = Vec::new();
    for _ in 0..3 {
        let mut third = server.connect().await;
        third.send(REQUEST).await;
        let head = third.head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 503") && head.contains("\r\nretry-after: "), "{head}");
        lingering.push(third);
    }
    first.send(&close(1000, "")).await;
    assert_eq!(first.next_close().await, 1000);
    assert_eq!(first.rest().await, b"");
    drop(first);
    // The server learns of it a moment later.
    let in_time = timeout(Duration::from_millis(1500), async {
        loop {
            let mut next = server.connect().await;
            next.send(REQUEST).await;
            if next.head().await.starts_with("HTTP/1.1 101") {
                return;
            }
        }
    });
    in_time.await.expect("who was refused takes no place");
}

/// Those who are refused together are not told to come back together · catalogue: HS-53
#[tokio::test]
async fn retry_after_is_one_to_four_seconds_and_not_the_same_for_all() {
    let server = Server::with_config(Config::builder().connections_max(Some(1)).build().expect("valid"));
    let _first = server.open().await;
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let mut refused = server.connect().await;
        refused.send(REQUEST).await;
        let head = refused.head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 503 "), "{head}");
        let seconds = head.split("\r\nretry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        told.insert(seconds.and_then(|seconds| seconds.parse::<u32>().ok()).expect("a Retry-After"));
    }
    assert!(told.len() > 1 && told.iter().all(|seconds| (1..=4).contains(seconds)), "{told:?}");
}

/// catalogue: DS-02, DS-03, DS-07
#[tokio::test]
async fn the_oldest_unfinished_handshakes_are_cut_and_honest_clients_get_in() {
    let config = Config::builder().connections_max(Some(1000)).handshakes_max(Some(10));
    let server = Server::with_config(config.build().expect("valid"));
    let mut silent = Vec::new();
    for n in 0..100 {
        let mut peer = server.connect().await;
        if n % 2 == 0 {
            peer.send(b"GET / HT").await;
        }
        silent.push(peer);
        if n % 10 == 9 {
            let mut honest = server.open().await;
            honest.text("in").await;
            assert_eq!(honest.next_text().await, "in");
        }
    }
    for peer in &mut silent[..80] {
        assert_eq!(peer.rest().await, b"", "cut, and told nothing");
    }
    let mut youngest = silent.pop().expect("some");
    youngest.send(REQUEST).await;
    assert!(youngest.head().await.starts_with("HTTP/1.1 101"), "it sent nothing yet, and is let finish");
}
