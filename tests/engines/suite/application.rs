//! The application of the suite, once for each engine: an echo that takes orders, and tells each end.

use std::{net::SocketAddr, thread, time::Duration};

use framecast::{
    CloseCode, CloseInfo, Incoming, Message, Refusal,
    handshake::{Request, Response},
    reactor::{self, Handler, Received},
};
use http::StatusCode;
use tokio::{net::TcpStream, sync::mpsc::UnboundedSender};

/// How many messages were echoed, and how it ended.
pub(crate) type End = (usize, CloseInfo);

/// What a text message asks for.
enum Order {
    Echo,
    /// `close`: with 4242, as asked.
    Close,
    /// `panic`
    Panic,
    /// `flood N`: messages of so many bytes, as many as there is room for.
    Flood(usize),
    /// `farewell N`: the same, and then as `close`.
    Farewell(usize),
    /// `sleep N`: milliseconds, of the whole loop.
    Sleep(u64),
}

impl Order {
    fn of(text: Option<&str>) -> Self {
        let mut words = text.unwrap_or_default().split(' ');
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).unwrap_or(0);
        match (words.next(), words.next()) {
            (Some("close"), None) => Self::Close,
            (Some("panic"), None) => Self::Panic,
            (Some("flood"), bytes) => Self::Flood(number(bytes)),
            (Some("farewell"), bytes) => Self::Farewell(number(bytes)),
            (Some("sleep"), millis) => Self::Sleep(number(millis) as u64),
            _ => Self::Echo,
        }
    }
}

/// What a path asks for: `/refuse/STATUS/BODY`, `/room` with a header and a subprotocol, `/long/BYTES` with a long one, `/panic`.
fn decide(request: &Request) -> Result<Option<(String, Option<&'static str>)>, Refusal> {
    let mut parts = request.path().split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("refuse"), Some(status), body) => {
            let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
            let refusal = Refusal::new(status).header("x-why", "because").expect("a header");
            Err(refusal.body(body.unwrap_or_default().to_owned()))
        }
        (Some("room"), ..) => {
            assert_eq!((request.query(), request.host()), (Some("id=7"), "t"));
            assert_eq!(request.headers()["cookie"], "a=b");
            assert_eq!(request.subprotocols(), ["v1", "v2"]);
            Ok(Some(("7".into(), Some("v1"))))
        }
        (Some("long"), Some(bytes), _) => Ok(Some(("x".repeat(bytes.parse().expect("a number")), None))),
        (Some("panic"), ..) => panic!("as the test wants"),
        _ => Ok(None),
    }
}

pub(crate) async fn on_tokio(incoming: Incoming<TcpStream>, ends: UnboundedSender<End>) {
    let incoming = match decide(incoming.request()) {
        Err(refusal) => return drop(incoming.refuse(refusal).await),
        Ok(None) => incoming,
        Ok(Some((node, subprotocol))) => {
            incoming.header("x-node", node).expect("a header").with_subprotocol(subprotocol).expect("offered")
        }
    };
    let opened = incoming.run(|mut ws| {
        let ends = ends.clone();
        async move {
            let mut echoed = 0;
            // Told even if we panic, and once: behind everything.
            let sender = ws.sender();
            let watch = tokio::spawn(async move { sender.closed().await });
            while let Some(message) = ws.recv().await {
                match Order::of(message.as_text()) {
                    Order::Close => drop(ws.close(CloseCode(4242), "as asked").await),
                    Order::Panic => {
                        tokio::spawn(async move { ends.send((echoed, watch.await.expect("no panic"))) });
                        panic!("as the test wants");
                    }
                    Order::Flood(bytes) => {
                        while ws.try_send(Message::binary(vec![0; bytes])).is_ok() {}
                        let _ = ws.send(Message::binary(vec![0; bytes])).await;
                    }
                    Order::Farewell(bytes) => {
                        while ws.try_send(Message::binary(vec![0; bytes])).is_ok() {}
                        let _ = ws.close(CloseCode(4242), "as asked").await;
                    }
                    Order::Sleep(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                    Order::Echo => {
                        echoed += 1;
                        let _ = ws.send(message).await;
                    }
                }
            }
            let _ = ends.send((echoed, ws.closed().await));
        }
    });
    // Why one connection did not open is no matter of the others.
    let _ = opened.await;
}

pub(crate) struct OnReactor(pub(crate) UnboundedSender<End>);

impl Handler for OnReactor {
    /// Messages that were echoed.
    type Data = usize;

    fn upgrade(&mut self, request: &Request, peer: SocketAddr) -> Result<(Response, usize), Refusal> {
        assert!(peer.ip().is_loopback());
        let response = match decide(request)? {
            None => request.accept(),
            Some((node, subprotocol)) => request
                .accept()
                .header("x-node", node)
                .expect("a header")
                .with_subprotocol(subprotocol)
                .expect("offered"),
        };
        Ok((response, 0))
    }

    fn message(&mut self, ws: &mut reactor::WebSocket<'_, usize>, message: Received<'_>) {
        match Order::of(message.as_text()) {
            Order::Close => ws.close(CloseCode(4242), "as asked").expect("open"),
            Order::Panic => panic!("as the test wants"),
            Order::Flood(bytes) => while ws.send(Message::binary(vec![0; bytes])).is_ok() {},
            Order::Farewell(bytes) => {
                while ws.send(Message::binary(vec![0; bytes])).is_ok() {}
                ws.close(CloseCode(4242), "as asked").expect("open");
            }
            Order::Sleep(millis) => thread::sleep(Duration::from_millis(millis)),
            Order::Echo => {
                *ws.data() += 1;
                ws.send(message).expect("there is room for an answer");
            }
        }
    }

    fn close(&mut self, ws: &mut reactor::WebSocket<'_, usize>, end: CloseInfo) {
        let _ = self.0.send((*ws.data(), end));
    }
}
