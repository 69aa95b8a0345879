//! A server with a database of its own, those who watch, and who writes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use framecast::{
    Connector, Message, WebSocket,
    handshake::{ClientRequest, Url},
};
use framecast_hub::{Secret, Stop, Tokens};
use framecast_sports::{Options, Sports};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

pub(crate) const ADMIN: &str = "adm1n-t0ken";
/// Of what happens at all, it happens by then.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("framecast-sports-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("there is room");
        Self(path)
    }

    fn database(&self) -> PathBuf {
        Path::new(&self.0).join("sports.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<Stop>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// A server that everybody may watch.
    pub(crate) async fn start(folder: &Folder) -> Self {
        Self::with(folder, Tokens::new(), Duration::from_secs(10)).await
    }

    pub(crate) async fn with(folder: &Folder, tokens: Tokens, token_within: Duration) -> Self {
        let sports = Sports::open(Options {
            listen: "127.0.0.1:0".to_owned(),
            database: folder.database(),
            admin_token: Some(Secret::new(ADMIN)),
            tokens,
            token_within,
        });
        let sports = sports.await.expect("it starts");
        let (addr, (stop, stopped)) = (sports.local_addr(), oneshot::channel());
        assert_eq!(sports.url(), format!("http://{addr}/"));
        let ended = tokio::spawn(sports.serve(async { stopped.await.unwrap_or(Stop::Now) }));
        Self { addr, stop, ended }
    }

    /// Stops it, and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send(Stop::Now).expect("it serves");
        let ended = timeout(SOON, self.ended).await.expect("it ends");
        ended.expect("it has not panicked").expect("it has not failed");
    }

    pub(crate) async fn open(&self, path: &str) -> WebSocket {
        let url = Url::parse(&format!("ws://{}{path}", self.addr)).expect("it is a URL");
        let connector = Connector::default();
        let connecting = connector.connect(ClientRequest::new(url));
        timeout(SOON, connecting).await.expect("it is answered").expect("it is let in")
    }

    /// Somebody who watches a match: what it was told first.
    pub(crate) async fn watch(&self, path: &str) -> (WebSocket, Value) {
        let mut ws = self.open(path).await;
        assert_eq!(hear(&mut ws).await["type"], "connection_established");
        assert_eq!(hear(&mut ws).await["type"], "subscribed");
        let first = hear(&mut ws).await;
        assert_eq!((&first["type"], first.get("offset")), (&"message".into(), None));
        (ws, first["payload"].clone())
    }

    /// Asks as the admin; the status, and the body's JSON.
    pub(crate) async fn admin(&self, line: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.http(line, &format!("Authorization: Bearer {ADMIN}\r\n"), body).await;
        (status, serde_json::from_str(&body).expect("it is JSON"))
    }

    pub(crate) async fn http(&self, line: &str, more: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.addr).await.expect("it listens");
        let (addr, length) = (self.addr, body.len());
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        let read = timeout(SOON, stream.read_to_string(&mut answer)).await;
        read.expect("the answer has an end").expect("it is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("it has a status"), body.to_owned())
    }
}

pub(crate) async fn say(ws: &WebSocket, text: &str) {
    ws.send(Message::text(text)).await.expect("it is open");
}

pub(crate) async fn hear(ws: &mut WebSocket) -> Value {
    let heard = timeout(SOON, ws.recv()).await.expect("something comes").expect("it is open");
    serde_json::from_str(heard.as_text().expect("it is text")).expect("it is JSON")
}

/// The payload of the room's message that comes next.
pub(crate) async fn told(ws: &mut WebSocket) -> Value {
    hear(ws).await["payload"].take()
}

/// The close that comes next, and nothing before it.
pub(crate) async fn closed(ws: &mut WebSocket) -> (u16, String) {
    assert_eq!(timeout(SOON, ws.recv()).await.expect("it is closed"), None);
    let info = ws.closed().await;
    (info.code.0, info.reason)
}
