//! A client of the hub's, and a request by hand.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, OnceLock},
};

use framecast::{ClientRequest, CloseInfo, Config, Connector, Message, Url, WebSocket};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

use crate::process::{DEADLINE, Serve};

pub(crate) struct Client(WebSocket);

impl Client {
    /// Connects by a path such as `/ws?token=…`, and is welcomed.
    pub(crate) fn open(serve: &Serve, path: &str) -> Self {
        Self::open_over(serve, path, None)
    }

    pub(crate) fn open_over(serve: &Serve, path: &str, tls: Option<Arc<ClientConfig>>) -> Self {
        let mut client = Self::connect(serve, path, tls);
        assert_eq!(client.next()["type"], "connection_established");
        client
    }

    /// Connects; whatever comes first is still to be read.
    pub(crate) fn connect(serve: &Serve, path: &str, tls: Option<Arc<ClientConfig>>) -> Self {
        let port = serve.address().rsplit_once(':').expect("a port").1;
        let url = match &tls {
            Some(_) => format!("wss://localhost:{port}{path}"),
            None => format!("ws://127.0.0.1:{port}{path}"),
        };
        let connector = Connector::new(Config::default());
        let connector = match tls {
            Some(tls) => connector.with_tls(tls),
            None => connector,
        };
        let request = ClientRequest::new(Url::parse(&url).expect("a URL"));
        Self(runtime().block_on(connector.connect(request)).expect("it serves"))
    }

    pub(crate) fn subscribe(&mut self, room: &str) {
        self.send(&serde_json::json!({ "type": "subscribe", "room": room }).to_string());
        assert_eq!(self.next()["type"], "subscribed");
    }

    pub(crate) fn send(&mut self, text: &str) {
        runtime().block_on(self.0.send(Message::text(text))).expect("it is open");
    }

    pub(crate) fn next_text(&mut self) -> Option<String> {
        let message = runtime().block_on(async { timeout(DEADLINE, self.0.recv()).await });
        message.expect("in time").map(|message| message.as_text().expect("text").to_owned())
    }

    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_text().expect("it is open")).expect("JSON")
    }

    /// Reads to the end.
    pub(crate) fn closed(mut self) -> CloseInfo {
        while self.next_text().is_some() {}
        runtime().block_on(self.0.closed())
    }
}

/// The head and the body that `GET path` is answered with.
pub(crate) fn get(serve: &Serve, path: &str) -> String {
    let mut stream = TcpStream::connect(serve.address()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A connection that has upgraded, and then says nothing.
pub(crate) fn upgraded(serve: &Serve) -> TcpStream {
    let mut stream = TcpStream::connect(serve.address()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    })
}
