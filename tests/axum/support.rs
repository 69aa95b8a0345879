//! An app on a real socket, and a peer that writes its requests by hand.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use framecast::{
    Acceptor, Config, Endpoint, WebSocket,
    axum::{Upgrades, WebSocketUpgrade},
};
use tokio::net::{TcpListener, TcpStream};

#[path = "../support/peer.rs"]
mod peer;

pub(crate) use peer::*;

/// Serves `app` for as long as the test runs.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// An echo by any method, and a plain route; with these limits and terms.
pub(crate) fn echo_app(upgrades: Upgrades) -> Router {
    let upgrade = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    Router::new()
        .route("/", axum::routing::any(upgrade))
        .route("/plain", get(|| async { "plain" }))
        .with_state(upgrades)
}

pub(crate) fn upgrades(config: Config) -> Upgrades {
    Upgrades::new(Acceptor::new(config, Endpoint::new()))
}

pub(crate) async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        let Ok(()) = ws.send(message).await else { return };
    }
}

pub(crate) async fn connect(addr: SocketAddr) -> Peer<TcpStream> {
    Peer::new(TcpStream::connect(addr).await.expect("it listens"))
}

/// Sends the plain request to `path`, reads the 101.
pub(crate) async fn open(addr: SocketAddr, path: &str) -> Peer<TcpStream> {
    let mut peer = connect(addr).await;
    peer.send(&request(path, "")).await;
    let head = peer.head().await;
    assert_eq!(status(&head), 101, "{head}");
    peer
}

/// The smallest request that is right, to `path`, and more lines.
pub(crate) fn request(path: &str, more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(REQUEST).expect("ASCII");
    text.replace("GET / ", &format!("GET {path} "))
        .replace("\r\n\r\n", &format!("\r\n{more}\r\n"))
        .into_bytes()
}

/// The smallest request that is right, with `line` in the place of the one that begins like it; none takes it away.
pub(crate) fn request_with(start: &str, line: &str) -> Vec<u8> {
    let text = std::str::from_utf8(REQUEST).expect("ASCII");
    let lines = text.split_inclusive("\r\n");
    let lines = lines.map(|old| if old.starts_with(start) { line } else { old });
    lines.collect::<String>().into_bytes()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect(answer)
}
