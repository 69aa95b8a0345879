//! What an upgraded connection does: it is the connection that any listener has.

use std::time::Duration;

use axum::{
    Router,
    extract::{FromRef, State},
    routing::{get, post},
};
use framecast::{
    Config, Deflate, WebSocket,
    axum::{Upgrades, WebSocketUpgrade},
    broadcast::{Subscription, Topics},
};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::oneshot,
    time::sleep,
};

use crate::support::*;

#[tokio::test]
async fn echo_and_a_plain_route_live_side_by_side() {
    let addr = serve(echo_app(Upgrades::default())).await;
    let mut peer = open(addr, "/").await;
    let mut plain = connect(addr).await;
    plain.send(b"GET /plain HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
    assert!(plain.rest().await.ends_with(b"plain"));
    for text in ["one", "", &"three ".repeat(20_000)] {
        peer.text(text).await;
        assert_eq!(peer.next_text().await, text);
    }
    peer.send(&frame(PING, b"?")).await;
    assert_eq!(peer.next().await, Some((PONG, b"?".to_vec())));
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
    assert_eq!(peer.rest().await, b"");
}

#[tokio::test]
async fn requests_before_the_upgrade_are_answered_on_the_same_connection() {
    let addr = serve(echo_app(Upgrades::default())).await;
    let mut peer = connect(addr).await;
    let plain = b"GET /plain HTTP/1.1\r\nHost: t\r\n\r\n";
    peer.send(&[plain, plain, REQUEST, &frame(TEXT, b"all in one")].concat()).await;
    // Each body of five bytes stands before the next head.
    for (before, wanted) in [("", 200), ("plain", 200), ("plain", 101)] {
        let head = peer.head().await;
        assert_eq!(head.strip_prefix(before).map(status), Some(wanted), "{head}");
    }
    assert_eq!(peer.next_text().await, "all in one");
}

/// What hyper has read ahead is not lost, however much it is · catalogue: HS-75, HS-76
#[tokio::test]
async fn frames_behind_the_head_are_delivered_in_their_order() {
    let addr = serve(echo_app(Upgrades::default())).await;
    for (messages, len) in [(1, 5), (40, 100), (100, 3000)] {
        let mut peer = connect(addr).await;
        let mut input = REQUEST.to_vec();
        let text = |n: usize| format!("{n:0len$}");
        (0..messages).for_each(|n| input.extend(frame(TEXT, text(n).as_bytes())));
        peer.send(&input).await;
        assert_eq!(status(&peer.head().await), 101);
        for n in 0..messages {
            assert_eq!(peer.next_text().await, text(n));
        }
    }
    let mut peer = connect(addr).await;
    peer.send(&[REQUEST, b"GET / HTTP/1.1\r\n\r\n"].concat()).await;
    assert_eq!(status(&peer.head().await), 101);
    assert_eq!(peer.next_close().await, 1002);
}

/// What hyper has read ahead may be compressed, and much: it waits as what is on the socket does
#[tokio::test]
async fn what_was_read_ahead_is_not_taken_in_before_there_is_room() {
    let config =
        Config::builder().deflate(Deflate::default()).inbound_messages_max(4).build().expect("valid");
    let app = Router::new()
        .route(
            "/",
            get(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|mut ws| async move {
                    sleep(Duration::from_millis(50)).await;
                    let before = ws.stats().messages_received;
                    let _ = ws.send(before.to_string()).await;
                    while ws.recv().await.is_some() {}
                })
            }),
        )
        .with_state(upgrades(config));
    let addr = serve(app).await;
    let mut peer = connect(addr).await;
    let mut input = request("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    (0..70).for_each(|_| input.extend(frame(TEXT, &[b'a'; 94])));
    peer.send(&input).await;
    assert_eq!(status(&peer.head().await), 101);
    let before: usize = peer.next_text().await.parse().expect("a number");
    assert!((4..40).contains(&before), "{before} of 70");
    peer.send(&close(1000, "")).await;
    assert_eq!(peer.next_close().await, 1000);
}

#[tokio::test]
async fn handler_that_panics_ends_its_connection_with_1011_and_no_other() {
    let app = echo_app(Upgrades::default())
        .route(
            "/late",
            get(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|mut ws: WebSocket| async move {
                    ws.recv().await;
                    panic!("of the handler");
                })
            }),
        )
        .route(
            "/at-once",
            get(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|_| -> std::future::Ready<()> { panic!("before there is a future") })
            }),
        );
    let addr = serve(app).await;
    let mut other = open(addr, "/").await;
    let mut late = open(addr, "/late").await;
    late.text("go").await;
    assert_eq!(late.next_close().await, 1011);
    assert_eq!(open(addr, "/at-once").await.next_close().await, 1011);
    other.text("still here").await;
    assert_eq!(other.next_text().await, "still here");
}

#[tokio::test]
async fn handler_that_returns_closes_with_1000() {
    let app = Router::new().route("/", get(|up: WebSocketUpgrade| async { up.on_upgrade(|_| async {}) }));
    assert_eq!(open(serve(app).await, "/").await.next_close().await, 1000);
}

#[derive(Clone)]
struct App {
    topics: Topics,
    upgrades: Upgrades,
}

impl FromRef<App> for Upgrades {
    fn from_ref(app: &App) -> Self {
        app.upgrades.clone()
    }
}

/// Subscribers by WebSocket, publishers by HTTP; who is subscribed is told by a message.
fn board() -> (App, Router) {
    let app = App { topics: Topics::new(), upgrades: upgrades(Config::default()) };
    let subscribe = |upgrade: WebSocketUpgrade, State(app): State<App>| async move {
        upgrade.on_upgrade(move |mut ws| async move {
            ws.join(&app.topics).subscribe("news", Subscription::new()).expect("a topic");
            let _ = ws.send("subscribed").await;
            while ws.recv().await.is_some() {}
        })
    };
    let publish = |State(app): State<App>, text: String| async move {
        let published = app.topics.publish("news", text).expect("a topic").await;
        format!("{} {}", published.delivered, published.queued)
    };
    let router = Router::new().route("/", get(subscribe)).route("/news", post(publish));
    (app.clone(), router.with_state(app))
}

fn post_of(text: &str) -> Vec<u8> {
    let len = text.len();
    format!("POST /news HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{text}")
        .into_bytes()
}

/// The typical app. Over TCP itself the sockets are written to where it is published.
#[tokio::test]
async fn what_a_rest_handler_publishes_is_read_by_all_subscribers() {
    let (_, router) = board();
    let addr = serve(router).await;
    let mut subscribers = [open(addr, "/").await, open(addr, "/").await, open(addr, "/").await];
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next_text().await, "subscribed");
    }
    let mut counts = Vec::new();
    for text in ["it rains", "it rains still"] {
        let mut publisher = connect(addr).await;
        publisher.send(&post_of(text)).await;
        let answer = String::from_utf8(publisher.rest().await).expect("ASCII");
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next_text().await, text);
        }
        counts.push(answer.split("\r\n\r\n").nth(1).expect("a body").to_owned());
    }
    // The first one asks the pumps to share.
    assert_eq!(counts[1], "3 0", "{counts:?}");
}

/// What is no TCP has its own task write
#[tokio::test]
async fn unix_sockets_are_upgraded_too() {
    watchdog();
    let path = std::env::temp_dir().join(format!("framecast-axum-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a path");
    let (app, router) = board();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut peer = Peer::new(UnixStream::connect(&path).await.expect("it listens"));
    std::fs::remove_file(&path).expect("it is there");
    peer.send(&[REQUEST, &frame(PING, b"early")].concat()).await;
    assert_eq!(status(&peer.head().await), 101);
    let mut seen = [peer.next().await.expect("a frame"), peer.next().await.expect("a frame")];
    seen.sort();
    assert_eq!(seen, [(TEXT, b"subscribed".to_vec()), (PONG, b"early".to_vec())]);
    for text in ["one", "two"] {
        let published = app.topics.publish("news", text).expect("a topic").await;
        assert_eq!(published.subscribers(), 1);
        assert_eq!(peer.next_text().await, text);
    }
}

/// RFC 6455 §7.4.1
#[tokio::test]
async fn shutdown_closes_with_1001_and_then_lets_the_server_end() {
    watchdog();
    let (app, router) = board();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let upgrades = app.upgrades.clone();
    let ending = async move {
        let _ = stopped.await;
        upgrades.shut_down().await;
    };
    let server =
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(ending).await });
    let (mut prompt, mut silent) = (open(addr, "/").await, open(addr, "/").await);
    for peer in [&mut prompt, &mut silent] {
        assert_eq!(peer.next_text().await, "subscribed");
    }
    stop.send(()).expect("it waits");
    assert_eq!(silent.next_close().await, 1001);
    // Others are still there, so the server is; but nobody else is let in.
    let mut late = connect(addr).await;
    late.send(REQUEST).await;
    assert_eq!(status(&late.head().await), 503);
    assert_eq!(prompt.next_close().await, 1001);
    prompt.send(&close(1001, "")).await;
    assert_eq!(prompt.rest().await, b"");
    silent.reset();
    drop(late);
    let ended = tokio::time::timeout(Duration::from_secs(4), server).await;
    ended.expect("before anybody's deadline").expect("no panic").expect("no error");
}
