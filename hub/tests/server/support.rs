//! A server on a port of its own, framecast's client, and requests written by hand.

#![allow(dead_code, reason = "not every binary that has it needs all of it")]

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use framecast::{
    Connector, Message, WebSocket,
    handshake::{ClientRequest, Url},
    proto::CloseCode,
};
use framecast_hub::{Bound, Hub, HubBuilder, Secret, Server, ServerBuilder, Stop, Tokens};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle, time::timeout};
use tower_service::Service;

#[path = "../../../tests/support/peer.rs"]
mod peer;

pub(crate) use peer::*;

/// The admin of a server that has one.
pub(crate) const ADMIN: &str = "adm1n-t0ken";
/// Of what happens at all, it happens by then.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A server that runs; it ends with its test.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<Stop>>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// A hub that everybody may use, and its server with the defaults.
    pub(crate) async fn start() -> Self {
        Self::of(hub(|hub| hub), |server| server).await
    }

    pub(crate) async fn of(hub: Hub, terms: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::bound(terms(Server::builder(hub)).build(), |bound| bound).await
    }

    pub(crate) async fn bound(server: Server, how: impl FnOnce(Bound) -> Bound) -> Self {
        watchdog();
        let bound = how(server.bind("127.0.0.1:0").await.expect("there is a port"));
        let addr = bound.local_addr();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(bound.serve(async { stopped.await.unwrap_or(Stop::Now) }));
        Self { server, addr, stop: Some(stop), ended }
    }

    /// Tells it to stop; a second time does nothing.
    pub(crate) fn stop(&mut self, stop: Stop) {
        if let Some(tell) = self.stop.take() {
            tell.send(stop).expect("it serves");
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        let ended = timeout(SOON, &mut self.ended).await.expect("it ends");
        ended.expect("it has not panicked").expect("it has not failed");
    }

    /// A request for a path of this server.
    pub(crate) fn ask(&self, path: &str) -> ClientRequest {
        ClientRequest::new(Url::parse(&format!("ws://{}{path}", self.addr)).expect("it is a URL"))
    }

    /// Connects by a path.
    pub(crate) async fn open(&self, path: &str) -> WebSocket {
        open(self.ask(path)).await
    }

    /// Connects by a path, and is welcome.
    pub(crate) async fn enter(&self, path: &str) -> WebSocket {
        let mut ws = self.open(path).await;
        let welcome = hear(&mut ws).await;
        assert!(welcome.starts_with(r#"{"type":"connection_established","client_id":""#), "{welcome}");
        ws
    }

    /// Somebody in a room.
    pub(crate) async fn inside(&self, room: &str) -> WebSocket {
        let mut ws = self.enter("/ws").await;
        say(&ws, &format!(r#"{{"type":"subscribe","room":"{room}"}}"#)).await;
        let subscribed = hear(&mut ws).await;
        assert!(subscribed.starts_with(r#"{"type":"subscribed""#), "{subscribed}");
        ws
    }

    /// A raw connection.
    pub(crate) async fn raw(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.addr).await.expect("it listens"))
    }

    /// Asks by HTTP for `line`, a method and a target, with more lines, each with its end, and a body.
    pub(crate) async fn http(&self, line: &str, more: &str, body: &str) -> Answer {
        self.send(&request(line, self.addr, more, body)).await
    }

    /// [`http`](Self::http) as the admin.
    pub(crate) async fn admin(&self, line: &str, body: &str) -> Answer {
        self.http(line, &format!("Authorization: Bearer {ADMIN}\r\n"), body).await
    }

    /// Sends these bytes, and reads all that comes.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        let mut peer = self.raw().await;
        peer.send(bytes).await;
        let answer = timeout(SOON, peer.rest()).await.expect("the answer has an end");
        Answer::new(&answer)
    }

    /// A metric's value, by its name and labels; by the router, whatever is spoken on the port.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let request = http::Request::get("/metrics").header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {ADMIN}"));
        let request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let request = request.body(Body::empty()).expect("it is a request");
        let answer = self.server.router().call(request).await.expect("a router answers");
        let page = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("it has an end");
        let page = String::from_utf8(page.to_vec()).expect("it is text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().expect("it is a number")
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_becomes(&self, name: &str, wanted: u64) {
        let mut value = 0;
        let becomes = async {
            loop {
                value = self.metric(name).await;
                if value == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(SOON, becomes).await;
        assert!(in_time.is_ok(), "{name} is {value}, not {wanted}");
    }
}

/// What came back by HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, with its lines' ends.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("it is text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        Self {
            status: status(head),
            head: format!("{}\r\n", head.to_ascii_lowercase()),
            body: body.to_owned(),
        }
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.head.lines().filter_map(|line| line.split_once(": ").filter(|(of, _)| *of == name));
        let value = values.next().map(|(_, value)| value);
        assert!(values.next().is_none(), "{name} is there twice: {}", self.head);
        value
    }

    /// Its status and content type, and all of its body.
    pub(crate) fn seen(&self) -> (u16, Option<&str>, &str) {
        (self.status, self.header("content-type"), &self.body)
    }
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head:?}"))
}

/// A request whose connection is closed behind it.
pub(crate) fn request(line: &str, host: impl std::fmt::Display, more: &str, body: &str) -> Vec<u8> {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{length}{more}\r\n{body}").into_bytes()
}

/// The smallest upgrade that is right, of `target`, with more lines.
pub(crate) fn upgrade(target: &str, host: impl std::fmt::Display, more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(REQUEST).expect("it is ASCII");
    text.replace("GET / ", &format!("GET {target} "))
        .replace("Host: t\r\n", &format!("Host: {host}\r\n{more}"))
        .into_bytes()
}

pub(crate) fn hub(build: impl FnOnce(HubBuilder) -> HubBuilder) -> Hub {
    build(Hub::builder()).build().expect("it can be")
}

/// `ada-token` and `bob-token`.
pub(crate) fn tokens() -> Tokens {
    Tokens::new().with_file("ada-token ada\nbob-token bob\n").expect("it is a file")
}

pub(crate) fn with_admin(server: ServerBuilder) -> ServerBuilder {
    server.admin_token(Secret::new(ADMIN))
}

pub(crate) async fn open(request: ClientRequest) -> WebSocket {
    let connector = Connector::default();
    timeout(SOON, connector.connect(request)).await.expect("it is answered").expect("it is let in")
}

pub(crate) async fn say(ws: &WebSocket, text: &str) {
    ws.send(Message::text(text)).await.expect("it is open");
}

pub(crate) async fn hear(ws: &mut WebSocket) -> String {
    let heard = timeout(SOON, ws.recv()).await.expect("something comes");
    heard.expect("it is open").as_text().expect("it is text").to_owned()
}

/// The close that comes next, and nothing before it.
pub(crate) async fn closed(ws: &mut WebSocket) -> (CloseCode, String) {
    let heard = timeout(SOON, ws.recv()).await.expect("it is closed");
    assert_eq!(heard, None);
    let info = ws.closed().await;
    (info.code, info.reason)
}

/// The value of a name in JSON that has it once: a number, or a text in its quotes.
pub(crate) fn field<'j>(json: &'j str, name: &str) -> &'j str {
    let start = json.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {json}")).1;
    match start.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => start.split([',', '}']).next(),
    }
    .expect("there is a first")
}

/// The CPU time of this thread, which is that of a whole test with a runtime of one: a machine that others use may be slow for
/// reasons of theirs.
pub(crate) fn cpu_of_worker() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}
