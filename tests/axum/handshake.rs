//! What is upgraded, what is refused, and how. That the rules are those of raw heads, `tests/handshake` asks for each of them.

use std::time::Duration;

use axum::{Router, response::IntoResponse, routing::get};
use framecast::{
    Acceptor, Config, Connector, Deflate, Endpoint, OriginPolicy, Refusal,
    axum::{UpgradeRejection, Upgrades, WebSocketUpgrade},
    handshake::{ClientRequest, Url},
};
use tokio::time::sleep;

use crate::support::*;

/// Sends `input` and a request behind it; the answer, which is all there is until the end.
async fn only_answer(addr: std::net::SocketAddr, input: &[u8]) -> String {
    let mut peer = connect(addr).await;
    peer.send(&[input, b"GET /plain HTTP/1.1\r\nHost: t\r\n\r\n"].concat()).await;
    let answer = String::from_utf8(peer.rest().await).expect("ASCII");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "one answer: {answer}");
    answer.to_ascii_lowercase()
}

/// RFC 6455 §4.2.2 · catalogue: HS-01, HS-02
#[tokio::test]
async fn base_request_is_answered_with_the_101_and_no_body() {
    let addr = serve(echo_app(Upgrades::default())).await;
    let text = String::from_utf8(REQUEST.to_vec()).expect("ASCII");
    for input in [text.clone(), text.replace("Connection: Upgrade", "cOnnection: keep-alive, UPGRADE")] {
        let mut peer = connect(addr).await;
        peer.send(input.as_bytes()).await;
        let head = peer.head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
        for line in [
            "upgrade: websocket",
            "connection: upgrade",
            "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        for name in
            ["content-length", "transfer-encoding", "sec-websocket-protocol", "sec-websocket-extensions"]
        {
            assert!(!head.contains(name), "{head}");
        }
        peer.text("first").await;
        assert_eq!(peer.next_text().await, "first");
    }
}

/// What is behind a refused request is never looked at, as it may be meant for a proxy in front ·
/// catalogue: HS-05, HS-06, HS-10, HS-12, HS-15, HS-16, HS-20, HS-22, HS-23, HS-25, HS-41, HS-44, HS-46, HS-47, HS-70, HS-71, V-48
#[tokio::test]
async fn refusals_have_their_status_and_close_without_a_second_answer() {
    let addr = serve(echo_app(Upgrades::default())).await;
    let no_version = request_with("Sec-WebSocket-Version", "");
    let version_8 = request_with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n");
    let versions = request("/", "Sec-WebSocket-Version: 13\r\n");
    let of_version = [no_version.clone(), version_8.clone(), versions.clone()];
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (input, wanted) in [
        (request_with("GET", "POST / HTTP/1.1\r\n"), 405),
        (request_with("GET", "PUT / HTTP/1.1\r\n"), 405),
        (request_with("GET", "GETT / HTTP/1.1\r\n"), 405),
        (request_with("GET", "GET / HTTP/1.0\r\n"), 505),
        (request_with("GET", "GET http://elsewhere/ HTTP/1.1\r\n"), 400),
        (request_with("Host", ""), 400),
        (request("/", "Host: t\r\n"), 400),
        (request("/", "Host: other\r\n"), 400),
        (request_with("Host", "Host: t, other\r\n"), 400),
        (request("/", "Content-Length: 5\r\n"), 400),
        (request("/", "Content-Length: 00\r\n"), 400),
        (request("/", "Content-Length: 34\r\nContent-Length: 34\r\n"), 400),
        (request("/", "Transfer-Encoding: chunked\r\n"), 400),
        (request("/", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request("/", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request("/", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request("/", "Expect: 100-continue\r\n"), 417),
        (request_with("Upgrade", ""), 426),
        (request_with("Upgrade", "Upgrade: h2c\r\n"), 426),
        (request_with("Upgrade", "Upgrade: websocket, h2c\r\n"), 400),
        (request("/", "Upgrade: websocket\r\n"), 426),
        (request("/", "HTTP2-Settings: AAMAAABk\r\n"), 400),
        (request_with("Connection", ""), 426),
        (request_with("Connection", "Connection: keep-alive\r\n"), 426),
        (request_with("Connection", "Connection: Upgrade, Host\r\n"), 400),
        (request_with("Sec-WebSocket-Key", ""), 400),
        (request_with("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400),
        (request("/", key), 400),
        (no_version, 426),
        (version_8, 426),
        (versions, 400),
        (request("/", "Sec-WebSocket-Protocol: a, a\r\n"), 400),
        (request("/", "Sec-WebSocket-Extensions: a;\r\n"), 400),
    ] {
        let shown = String::from_utf8_lossy(&input).into_owned();
        let answer = only_answer(addr, &input).await;
        assert_eq!(status(&answer), wanted, "{shown}");
        assert!(answer.contains("\r\nconnection: close"), "{answer}");
        let is_of_version = of_version.contains(&input);
        assert_eq!(answer.contains("\r\nsec-websocket-version: 13\r\n"), is_of_version, "{answer}");
        assert_eq!(answer.contains("\r\nallow: get\r\n"), wanted == 405, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(body.len() < 40 && body.ends_with('\n'), "{body}");
    }
}

/// Some duplicates hyper judges itself: two lengths that differ, and what it drops before we see it · catalogue: HS-43, HS-45, HS-46
#[tokio::test]
async fn lengths_that_contradict_each_other_are_nobodys_upgrade() {
    let addr = serve(echo_app(Upgrades::default())).await;
    for more in [
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        let mut peer = connect(addr).await;
        peer.send(&request("/", more)).await;
        let answer = String::from_utf8(peer.rest().await).expect("ASCII");
        assert!(answer.is_empty() || status(&answer) == 400, "{more}: {answer}");
    }
    for more in ["Content-Length: 0\r\n", "Content-Length: 0\r\nContent-Length: 0\r\n"] {
        let mut peer = connect(addr).await;
        peer.send(&request("/", more)).await;
        assert_eq!(status(&peer.head().await), 101, "{more}");
    }
}

/// hyper's limits come first, ours hold where they are lower · RFC 6585 §5 · catalogue: HS-50, HS-51
#[tokio::test]
async fn limits_on_the_head_are_ours_too() {
    let config = Config::builder().headers_max(8).request_line_bytes_max(100).head_bytes_max(1000);
    let addr = serve(echo_app(upgrades(config.build().expect("valid")))).await;
    for (input, wanted) in [
        (request("/", "a: b\r\na: b\r\na: b\r\n"), 101),
        (request("/", "a: b\r\na: b\r\na: b\r\na: b\r\n"), 431),
        (request(&format!("/?{}", "a".repeat(100)), ""), 414),
        (request("/", &format!("a: {}\r\n", "b".repeat(1000))), 431),
    ] {
        let mut peer = connect(addr).await;
        peer.send(&input).await;
        assert_eq!(status(&peer.head().await), wanted);
    }
}

/// RFC 6455 §4.2.2 item 4 · catalogue: HS-80, HS-81, HS-82
#[tokio::test]
async fn pages_of_another_origin_are_refused_unless_they_are_named() {
    let named = OriginPolicy::list(["https://example.com"]).expect("an origin");
    let named = Acceptor::new(Config::default(), Endpoint::new().origins(named));
    let (same, named) =
        (serve(echo_app(Upgrades::default())).await, serve(echo_app(Upgrades::new(named))).await);
    for (addr, origin, wanted) in [
        (same, "http://t", 101),
        (same, "https://example.com", 403),
        (same, "null", 403),
        (same, "http://t\r\nOrigin: http://t", 400),
        (named, "https://example.com", 101),
        (named, "http://t", 403),
    ] {
        let mut peer = connect(addr).await;
        peer.send(&request("/", &format!("Origin: {origin}\r\n"))).await;
        assert_eq!(status(&peer.head().await), wanted, "{origin}");
    }
}

/// RFC 6455 §4.2.2 item 5 · catalogue: HS-60, HS-61, HS-68
#[tokio::test]
async fn subprotocol_is_the_endpoints_choice_or_the_handlers() {
    let endpoint = Endpoint::new().subprotocols(["b", "a"]).expect("tokens");
    let app = Router::new()
        .route(
            "/ours",
            get(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|ws| async move {
                    let _ = ws.send(format!("{:?}", ws.subprotocol())).await;
                })
            }),
        )
        .route(
            "/chosen",
            get(|upgrade: WebSocketUpgrade| async {
                assert!(upgrade.request().subprotocols() == ["a", "b", "c"]);
                let upgrade = upgrade.with_subprotocol(Some("c")).expect("offered");
                let upgrade = upgrade.header("x-node", "7").expect("a header");
                upgrade.on_upgrade(echo)
            }),
        )
        .route(
            "/wrong",
            get(|upgrade: WebSocketUpgrade| async {
                match upgrade.header("Sec-WebSocket-Accept", "x") {
                    Ok(upgrade) => upgrade.on_upgrade(echo),
                    Err(error) => error.to_string().into_response(),
                }
            }),
        )
        .with_state(Upgrades::new(Acceptor::new(Config::default(), endpoint)));
    let addr = serve(app).await;
    let ask = |path: &'static str, offer: &'static str| async move {
        let mut peer = connect(addr).await;
        peer.send(&request(path, offer)).await;
        (peer.head().await, peer)
    };
    let (head, mut peer) = ask("/ours", "Sec-WebSocket-Protocol: a, b, c\r\n").await;
    assert!(head.contains("\r\nsec-websocket-protocol: b\r\n"), "{head}");
    assert_eq!(peer.next_text().await, "Some(\"b\")");
    let (head, _) = ask("/ours", "").await;
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
    let (head, _) = ask("/chosen", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n").await;
    assert!(
        head.contains("\r\nsec-websocket-protocol: c\r\n") && head.contains("\r\nx-node: 7\r\n"),
        "{head}"
    );
    let (head, _) = ask("/wrong", "").await;
    assert_eq!(status(&head), 200);
}

/// RFC 7692 §5
#[tokio::test]
async fn compression_is_negotiated_and_can_be_declined() {
    let config = || Config::builder().deflate(Deflate::default()).build().expect("valid");
    let app = echo_app(upgrades(config())).merge(
        Router::new()
            .route(
                "/plainly",
                get(|upgrade: WebSocketUpgrade| async { upgrade.without_deflate().on_upgrade(echo) }),
            )
            .with_state(upgrades(config())),
    );
    let addr = serve(app).await;
    for (path, compresses) in [("/", true), ("/plainly", false)] {
        let url = Url::parse(&format!("ws://{addr}{path}")).expect("a URL");
        let mut ws = Connector::new(config()).connect(ClientRequest::new(url)).await.expect("opened");
        assert_eq!(ws.deflate().is_some(), compresses);
        let text = "a text of many words, of many words, of many words, ".repeat(1000);
        ws.send(text.clone()).await.expect("open");
        assert_eq!(ws.recv().await.expect("an echo").as_text(), Some(text.as_str()));
    }
}

/// catalogue: HS-55, HS-90
#[tokio::test]
async fn handler_may_refuse_and_may_hear_of_refusals() {
    let app = Router::new()
        .route("/401", get(|_: WebSocketUpgrade| async { Refusal::unauthorized("Bearer").expect("ASCII") }))
        .route(
            "/page",
            get(|upgrade: Result<WebSocketUpgrade, UpgradeRejection>| async {
                match upgrade {
                    Ok(upgrade) => upgrade.on_upgrade(echo),
                    Err(UpgradeRejection::Handshake(error)) => error.to_string().into_response(),
                    Err(error) => error.into_response(),
                }
            }),
        );
    // The state is `()`: the defaults.
    let addr = serve(app).await;
    let answer = only_answer(addr, &request("/401", "")).await;
    assert_eq!(status(&answer), 401);
    assert!(answer.contains("\r\nwww-authenticate: bearer\r\n"), "{answer}");
    let mut peer = connect(addr).await;
    peer.send(b"GET /page HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!(status(&peer.head().await), 200);
    open(addr, "/page").await;
}

/// catalogue: HS-56, HS-78
#[tokio::test]
async fn handler_that_takes_its_time_past_the_deadline_answers_503() {
    let config = Config::builder().handshake_within(Duration::from_millis(50)).build().expect("valid");
    let app = Router::new()
        .route(
            "/",
            get(|upgrade: WebSocketUpgrade| async {
                sleep(Duration::from_millis(60)).await;
                upgrade.on_upgrade(echo)
            }),
        )
        .with_state(upgrades(config));
    let answer = only_answer(serve(app).await, &request("/", "")).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
}

/// catalogue: HS-53
#[tokio::test]
async fn one_above_connections_max_is_told_503_until_there_is_room() {
    let config = Config::builder().connections_max(Some(1)).build().expect("valid");
    let addr = serve(echo_app(upgrades(config))).await;
    let mut first = open(addr, "/").await;
    let answer = only_answer(addr, &request("/", "")).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
    first.send(&close(1000, "")).await;
    assert_eq!(first.next_close().await, 1000);
    assert_eq!(first.rest().await, b"");
    // Its place is free a moment after its socket is.
    loop {
        let mut peer = connect(addr).await;
        peer.send(REQUEST).await;
        if status(&peer.head().await) == 101 {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// In a nest, as in axum itself, a path is what the router has left of it
#[tokio::test]
async fn path_in_a_nest_is_the_rest() {
    let inner = Router::new().route(
        "/ws",
        get(|upgrade: WebSocketUpgrade| async {
            let path = upgrade.request().path().to_owned();
            upgrade.on_upgrade(move |ws| async move {
                let _ = ws.send(path).await;
            })
        }),
    );
    let addr = serve(Router::new().nest("/app", inner)).await;
    assert_eq!(open(addr, "/app/ws").await.next_text().await, "/ws");
}
