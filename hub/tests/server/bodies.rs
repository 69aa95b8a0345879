//! The body of a POST is the payload: JSON, untouched, of a bounded size, within a bounded time.

use std::time::Duration;

use framecast_hub::Limits;
use tokio::time::{Instant, timeout};

use crate::support::*;

#[tokio::test]
async fn a_payload_arrives_byte_for_byte() {
    let running = Running::of(hub(|hub| hub.tokens(tokens())), with_admin).await;
    let mut ada = running.enter("/ws?token=ada-token").await;
    say(&ada, r#"{"type":"subscribe","room":"r"}"#).await;
    hear(&mut ada).await;
    for payload in [
        r#"{"a":1.0000000000000000001}"#,
        r#"{"b":1,"a":2,"b":3}"#,
        r#"[ 1e400 , -0.0,	12345678901234567890123456789 ]"#,
        "{\n  \"spread\": \"over\",\r\n  \"lines\": null\n}",
        r#""\u00e9 é 🎈 \/ \ud83c\udf88""#,
        "null",
        "0",
    ] {
        for path in ["/broadcast", "/broadcast/r", "/users/ada/messages"] {
            let answer = running.admin(&format!("POST {path}"), payload).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let heard = hear(&mut ada).await;
            assert!(heard.contains(&format!(r#""payload":{payload},""#)), "{path}: {heard}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_is_told_400_and_sent_to_nobody() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let wanted = "{\"code\":\"bad_json\",\"message\":\"the body is the payload: JSON\"}\n";
    for body in ["", " ", "{", "1 2", "{'a':1}", "nul", "[1,]", "\u{feff}1", "1,\"type\":\"gap\""] {
        for path in ["/broadcast", "/broadcast/r", "/users/ada/messages"] {
            let answer = running.admin(&format!("POST {path}"), body).await;
            assert_eq!(answer.seen(), (400, Some("application/json"), wanted), "{path} {body:?}");
        }
    }
    let head = format!(
        "POST /broadcast HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 3\r\n\r\n",
        running.addr
    );
    let answer = running.send(&[head.as_bytes(), b"\"\xff\""].concat()).await;
    assert_eq!(answer.seen(), (400, Some("application/json"), wanted));
    assert_eq!(running.metric("framecast_messages_out_total").await, 0);
    assert_eq!(running.metric("framecast_refused_total{reason=\"payload\"}").await, 9 * 3 + 1);
}

/// catalogue: DS-16
#[tokio::test]
async fn a_payload_that_is_nested_too_deep_is_told_413() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(running.admin("POST /broadcast/r", &nested(128)).await.status, 200);
    let wanted = "{\"code\":\"too_large\",\"message\":\"nested deeper than 128\"}\n";
    for depth in [129, 100_000] {
        let answer = running.admin("POST /broadcast/r", &nested(depth)).await;
        assert_eq!(answer.seen(), (413, Some("application/json"), wanted));
    }
}

#[tokio::test]
async fn what_a_path_or_a_query_does_not_say_right_is_told_400_as_json() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    for (line, body) in [
        ("GET /rooms?limit=x".to_owned(), ""),
        ("GET /rooms?limit=1&limit=2".to_owned(), ""),
        ("POST /broadcast/%ff".to_owned(), "1"),
        ("POST /broadcast/r?key=a&key=b".to_owned(), "1"),
        (format!("POST /broadcast/r?key={}", "k".repeat(256)), "1"),
        ("POST /users/%ff/messages".to_owned(), "1"),
        ("DELETE /users/%ff".to_owned(), ""),
    ] {
        let answer = running.admin(&line, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")), "{line}");
        assert!(answer.body.starts_with(r#"{"code":"bad_request","message":""#), "{line}: {}", answer.body);
    }
    assert_eq!(running.admin(&format!("POST /broadcast/r?key={}", "k".repeat(255)), "1").await.status, 200);
}

#[tokio::test]
async fn a_payload_has_its_size_and_not_a_byte_more() {
    let mut limits = Limits::default();
    limits.payload_bytes_max = 100;
    let running = Running::of(hub(|hub| hub.limits(limits)), with_admin).await;
    let whole = format!("\"{}\"", "x".repeat(98));
    assert_eq!(running.admin("POST /broadcast", &whole).await.status, 200);
    let wanted =
        "{\"code\":\"too_large\",\"message\":\"a payload has 100 bytes at most, and a length that holds\"}\n";
    for len in [101, 10_000, 3 << 20] {
        let body = format!("\"{}\"", "x".repeat(len - 2));
        // What is beyond is not read: the peer may be told so by a reset, before or after it has its answer.
        let mut peer = running.raw().await;
        let head = format!("Authorization: Bearer {ADMIN}\r\n");
        let request = request("POST /broadcast", running.addr, &head, &body);
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &request[..request.len().min(200_000)])
            .await;
        let answer = Answer::new(&peer.rest().await);
        assert_eq!(answer.seen(), (413, Some("application/json"), wanted), "{len}");
    }
    let more = format!("Authorization: Bearer {ADMIN}\r\nTransfer-Encoding: chunked\r\n");
    let chunks = format!("65\r\n\"{}\"\r\n0\r\n\r\n", "x".repeat(99));
    let mut chunked = request("POST /broadcast", running.addr, &more, "");
    chunked.extend(chunks.bytes());
    assert_eq!(running.send(&chunked).await.seen(), (413, Some("application/json"), wanted));
}

/// By the clock of the runtime, which stands while anybody works · catalogue: DS-02
#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_10_s_is_told_408() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let head = format!("Content-Length: 5\r\nAuthorization: Bearer {ADMIN}\r\n");
    for begun in ["", "\"abc"] {
        let started = Instant::now();
        let input = [request("POST /broadcast/r", running.addr, &head, ""), begun.into()].concat();
        let answer = running.send(&input).await;
        let wanted = "{\"code\":\"bad_request\",\"message\":\"the body takes too long\"}\n";
        assert_eq!(answer.seen(), (408, Some("application/json"), wanted));
        let seconds = started.elapsed().as_secs_f64();
        assert!((10.0..10.1).contains(&seconds), "{seconds} s");
    }
}

/// A head that is not there by its time ends its connection, whenever it has begun · catalogue: DS-02, DS-03, HS-52
#[tokio::test(start_paused = true)]
async fn a_head_that_takes_longer_than_10_s_ends_its_connection() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let head = &b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "[..];
    for (silent_s, begun) in [(0, &b""[..]), (0, b"G"), (0, head), (8, head)] {
        let mut peer = running.raw().await;
        let started = Instant::now();
        tokio::time::sleep(Duration::from_secs(silent_s)).await;
        peer.send(begun).await;
        let answer = timeout(SOON, peer.rest()).await.expect("it ends");
        assert!(answer.is_empty(), "{answer:?}");
        let seconds = started.elapsed().as_secs_f64();
        assert!((9.9..10.1).contains(&seconds), "{seconds} s after {:?}", String::from_utf8_lossy(begun));
    }
    assert_eq!(running.metric("framecast_refused_total{reason=\"late\"}").await, 4);
}

/// One byte at a time, each well within the time of a read · catalogue: DS-02
#[tokio::test(start_paused = true)]
async fn a_head_that_drips_has_10_s_in_all() {
    let running = Running::start().await;
    let mut peer = running.raw().await;
    let started = Instant::now();
    for byte in upgrade("/ws", running.addr, &format!("X: {}\r\n", "x".repeat(5000))) {
        if tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    assert!((9.9..12.1).contains(&seconds), "{seconds} s");
}

#[tokio::test]
async fn what_is_no_http_is_told_400_and_counted() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let tls: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n";
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for input in [tls, b"\0\0\0\0\r\n\r\n", b"hello\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n", http2] {
        let mut peer = running.raw().await;
        peer.send(input).await;
        let answer = timeout(SOON, peer.rest()).await.expect("it ends");
        assert!(answer.is_empty() || Answer::new(&answer).status == 400, "{answer:?}");
    }
    running.metric_becomes("framecast_refused_total{reason=\"http\"}", 5).await;
}

/// catalogue: DS-01
#[tokio::test]
async fn a_head_over_16_kib_is_told_431() {
    let running = Running::start().await;
    let long = format!("X: {}\r\n", "x".repeat(16 << 10));
    for input in [
        request("GET /health", running.addr, &long, ""),
        upgrade("/ws", running.addr, &long),
        upgrade("/ws", running.addr, &"a: b\r\n".repeat(200)),
    ] {
        let mut peer = running.raw().await;
        // Byte by byte would be no different, as hyper takes what is there.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &input).await;
        assert_eq!(Answer::new(&peer.rest().await).status, 431);
    }
    let fits = format!("X: {}\r\n", "x".repeat(12 << 10));
    assert_eq!(running.http("GET /health", &fits, "").await.status, 200);
}
