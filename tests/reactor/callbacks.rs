//! What callbacks may do to their own connection and to others, and what a panic in one does.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use framecast::{
    CloseCode, Config, Endpoint, Initiator, SendError,
    proto::{Admission, Message},
    reactor::{ConnectionId, Reactor},
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    peer::{BINARY, PING, PONG, Peer, REQUEST, TEXT, close, frame},
    support::{Call, Server, next},
};

/// Each callback sends to its own connection, to another one, and is followed by no other inside of it
/// · catalogue: ZC-31, ZC-32, FT-61
#[tokio::test]
async fn every_callback_can_send_to_itself_and_to_others() {
    let other = Arc::new(Mutex::new(None::<ConnectionId>));
    let server = Server::start(move |call, ws| {
        let name = match &call {
            Call::Open if other.lock().expect("no panic").is_none() => {
                *other.lock().expect("no panic") = Some(ws.id());
                return;
            }
            Call::Message(text) => format!("message {text}"),
            Call::Close(end) => format!("close {}", end.code),
            call => format!("{call:?}"),
        };
        let own = ws.send(name.as_str());
        assert_eq!(own.is_err(), matches!(call, Call::Close(_)), "an end is an end");
        let other = other.lock().expect("no panic").expect("it came first");
        let mut other = ws.at(other).expect("it is open");
        other.send(name.as_str()).expect("open");
    });
    let mut other = server.open().await;
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"hi"), frame(PING, b""), frame(PONG, b""), close(4000, "")].concat()).await;
    for expected in ["Open", "message hi", "Ping", "Pong"] {
        // The pong overtakes what is queued.
        let (opcode, text) = match peer.next().await.expect("a frame") {
            (PONG, _) => peer.next().await.expect("a frame"),
            frame => frame,
        };
        assert_eq!((opcode, text.as_slice()), (TEXT, expected.as_bytes()));
    }
    assert_eq!(peer.next_close().await, 4000);
    for expected in ["Open", "message hi", "Ping", "Pong", "close 4000"] {
        assert_eq!(other.next_text().await, expected);
    }
    drop((peer, other));
    server.stop();
}

/// catalogue: ZC-31, FT-61
#[tokio::test]
async fn every_callback_can_close_itself_and_others_and_each_is_told_once() {
    for (at, trigger) in
        [("open", None), ("message", Some(frame(TEXT, b"go"))), ("ping", Some(frame(PING, b"")))]
    {
        let (tell, mut told) = mpsc::unbounded_channel();
        let others = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start(move |call, ws| {
            let is_it = match &call {
                Call::Open => {
                    others.lock().expect("no panic").push(ws.id());
                    at == "open" && others.lock().expect("no panic").len() == 3
                }
                Call::Message(_) => at == "message",
                Call::Ping => at == "ping",
                Call::Close(end) => {
                    tell.send((ws.id(), end.code.0, end.initiator)).expect("the test waits");
                    // Closing what is closed, from inside: an error and nothing else.
                    assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
                    return;
                }
                _ => return,
            };
            if is_it {
                for id in others.lock().expect("no panic").iter() {
                    ws.at(*id).expect("open").close(CloseCode(4001), "all of you").expect("open");
                }
                assert_eq!(ws.send("too late"), Err(SendError::Closed));
            }
        });
        let mut peers = [server.open().await, server.open().await, server.open().await];
        if let Some(trigger) = &trigger {
            peers[2].send(trigger).await;
        }
        for peer in &mut peers {
            let code = loop {
                match peer.next().await.expect("a Close") {
                    (PONG, _) => {}
                    (_, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
                }
            };
            assert_eq!(code, 4001, "{at}");
            peer.send(&close(4001, "")).await;
        }
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (id, code, initiator) = next(&mut told).await;
            assert_eq!((code, initiator), (4001, Initiator::Local));
            ids.push(id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "each once");
        drop(peers);
        server.stop();
        assert!(told.try_recv().is_err(), "and no more");
    }
}

/// RFC 6455 §7.4.1 · catalogue: FT-60, G-1, G-6
#[tokio::test]
async fn a_panic_in_any_callback_ends_its_connection_with_1011_and_no_other() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |call, ws| match call {
        Call::Open if *ws.data() == 0 && ws.remote().numbers().opened > 6 => panic!("as the test wants"),
        Call::Message(text) if text == "panic" => panic!("as the test wants"),
        Call::Message(text) if text == "close" => {
            *ws.data() = 1;
            ws.close(CloseCode::NORMAL, "").expect("open");
        }
        Call::Message(text) if text == "drain" => while ws.send([7; 1000].as_slice()).is_ok() {},
        Call::Message(text) => drop(ws.send(text.as_str())),
        Call::Ping | Call::Pong | Call::Drain => panic!("as the test wants"),
        Call::Close(end) => {
            tell.send((end.code.0, end.clean)).expect("the test waits");
            assert_eq!(*ws.data(), 0, "as the test wants");
        }
        _ => {}
    });
    let mut bystander = server.open().await;
    for (input, code) in [
        (frame(TEXT, b"panic"), 1011),
        (frame(PING, b""), 1011),
        (frame(PONG, b""), 1011),
        (frame(TEXT, b"close"), 1000),
    ] {
        let mut peer = server.open().await;
        // What follows in the same read is dropped, but the peer's Close is found in it.
        peer.send(&[input, frame(TEXT, b"late"), close(code, "")].concat()).await;
        let told_code = loop {
            match peer.next().await.expect("a Close") {
                (PONG, _) => {}
                (_, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            }
        };
        assert_eq!(told_code, code);
        assert_eq!(peer.rest().await, b"");
        drop(peer);
        assert_eq!(next(&mut told).await, (code, true));
    }
    // In `drain`, once the kernel has taken what was too much.
    let mut peer = server.open().await;
    peer.text("drain").await;
    let payload = loop {
        match peer.next().await.expect("a Close") {
            (BINARY, _) => {}
            (_, payload) => break payload,
        }
    };
    assert_eq!(payload, 1011_u16.to_be_bytes());
    peer.send(&close(1011, "")).await;
    drop(peer);
    assert_eq!(next(&mut told).await, (1011, true));
    // In `open`.
    let mut peer = server.open().await;
    assert_eq!(peer.next_close().await, 1011);
    drop(peer);
    next(&mut told).await;
    // In `upgrade`.
    let mut peer = Peer::new(TcpStream::connect(server.addr).await.expect("a server"));
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /panic ");
    peer.send(request.as_bytes()).await;
    assert!(peer.head().await.starts_with("HTTP/1.1 500 "));
    drop(peer);
    bystander.text("still there?").await;
    assert_eq!(bystander.next_text().await, "still there?");
    assert_eq!(server.remote.numbers().panics, 7);
    drop(bystander);
    server.stop();
}

/// catalogue: ZC-37, RT-20
#[tokio::test]
async fn a_stale_id_is_an_error_and_never_the_places_next_owner() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let first = Arc::new(Mutex::new(None::<ConnectionId>));
    let server = Server::start(move |call, ws| {
        let stale = *first.lock().expect("no panic");
        match (call, stale) {
            (Call::Open, None) => *first.lock().expect("no panic") = Some(ws.id()),
            (Call::Open, Some(stale)) => {
                assert!(ws.at(stale).is_none());
                tell.send((stale, ws.id())).expect("the test waits");
            }
            _ => {}
        }
    });
    drop(server.open().await);
    while server.remote.numbers().connections > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut peer = server.open().await;
    let (stale, new) = next(&mut told).await;
    let place = |id: ConnectionId| id.to_string().rsplit_once('.').map(|(place, _)| place.to_owned());
    assert_eq!(place(stale), place(new), "it has the same place");
    assert_ne!(stale, new);
    let (answer, mut answered) = mpsc::unbounded_channel();
    let then = move |sent| {
        let _ = answer.send(sent);
    };
    server.remote.send_then(stale, Message::text("for another"), Default::default(), then).expect("it runs");
    assert_eq!(next(&mut answered).await, Err(SendError::Closed));
    server.remote.close(stale, CloseCode::NORMAL, "").expect("it runs");
    server.remote.send(stale, Message::text("for another")).expect("it runs");
    server.remote.send(new, Message::text("for you")).expect("it runs");
    assert_eq!(peer.next_text().await, "for you");
    assert_eq!(server.remote.numbers().undelivered, 2);
    drop(peer);
    server.stop();
}

/// catalogue: DS-30
#[tokio::test]
async fn drain_is_called_once_the_outbox_is_low_and_everything_arrives() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |call, ws| match call {
        Call::Message(_) => {
            let mut sent = 0;
            while ws.send(vec![7; 100_000].as_slice()) == Ok(Admission::Below) {
                sent += 1;
            }
            tell.send((sent, ws.stats().queued_bytes)).expect("the test waits");
        }
        Call::Drain => tell.send((0, ws.stats().queued_bytes)).expect("the test waits"),
        _ => {}
    });
    let mut peer = server.open().await;
    // Each time the kernel takes some, and says no in the end.
    let mut drained = false;
    for _ in 0..200 {
        peer.text("more").await;
        if timeout(Duration::from_millis(300), told.recv()).await.is_err() {
            drained = true;
            break;
        }
    }
    assert!(drained, "a peer that does not read holds up what it asks for");
    let mut bytes = 0;
    while let Ok(Some((opcode, payload))) = timeout(Duration::from_millis(500), peer.next()).await {
        assert_eq!((opcode, payload.len()), (BINARY, 100_000));
        bytes += payload.len();
    }
    assert!(bytes > 1 << 20);
    let mut low = None;
    while let Ok((0, queued)) = told.try_recv() {
        low = Some(queued);
    }
    assert!(low.is_some_and(|queued| queued <= 64 << 10), "{low:?}");
    drop(peer);
    server.stop();
}

/// A handler that fills its outbox up whenever it is told that there is room was called without end where `outbox_messages_max`
/// said no, or where a message did not fit above the low-water mark · catalogue: DS-30
#[tokio::test]
async fn drain_is_not_called_again_before_something_was_written() {
    let many = Config::builder().outbox_messages_max(100);
    let large = Config::builder().outbox_bytes_max(10_000).outbox_bytes_low(8000);
    for (config, size) in [(many, 100), (large, 6000)] {
        let reactor = Reactor::new(config.build().expect("valid"), Endpoint::new());
        let server = Server::with(reactor, move |call, ws| match call {
            Call::Message(_) | Call::Drain => while ws.send(vec![7; size].as_slice()).is_ok() {},
            _ => {}
        });
        let mut peer = server.open().await;
        peer.text("go").await;
        // Until the kernel's buffers are full.
        let full = timeout(Duration::from_secs(10), async {
            let mut turns = 0;
            while server.remote.numbers().turns != turns {
                turns = server.remote.numbers().turns;
                sleep(Duration::from_millis(300)).await;
            }
        });
        full.await.expect("nothing can be done, and the loop goes on");
        for _ in 0..(20 << 20) / size {
            assert_eq!(peer.next().await.expect("it goes on").1.len(), size);
        }
        drop(peer);
        server.stop();
    }
}

/// What one read brought is kept while reading is paused, and nothing is lost or doubled by it. A pause in `open`, `ping` or
/// `pong` let one more message through.
#[tokio::test]
async fn a_pause_stops_at_the_next_message_and_goes_on_where_it_was() {
    for (at, pauses) in [
        (Call::Open, vec![]),
        (Call::Message("pause".into()), frame(TEXT, b"pause")),
        (Call::Ping, frame(PING, b"")),
        (Call::Pong, frame(PONG, b"")),
    ] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let paused = Mutex::new(None::<ConnectionId>);
        let pauses_at = at.clone();
        let server = Server::start(move |call, ws| {
            let mut paused = paused.lock().expect("no panic");
            if call == Call::Message("go on".into()) {
                ws.at(paused.expect("one is")).expect("it is open").pause_reading(false);
            } else if call == pauses_at && (call != Call::Open || ws.remote().numbers().opened == 2) {
                ws.pause_reading(true);
                *paused = Some(ws.id());
            }
            let _ = tell.send(call);
        });
        let mut other = server.open().await;
        assert_eq!(next(&mut told).await, Call::Open);
        let mut peer = Peer::new(TcpStream::connect(server.addr).await.expect("a server"));
        peer.send(&[REQUEST, &pauses, &frame(TEXT, b"one"), &frame(TEXT, b"two")].concat()).await;
        assert_eq!(next(&mut told).await, Call::Open);
        if at != Call::Open {
            assert_eq!(next(&mut told).await, at);
        }
        peer.text("three").await;
        other.text("go on").await;
        for text in ["go on", "one", "two", "three"] {
            assert_eq!(next(&mut told).await, Call::Message(text.into()), "paused in {at:?}");
        }
        drop((peer, other));
        server.stop();
    }
}

/// The end is told although the application reads no more · catalogue: FT-02
#[tokio::test]
async fn a_shutdown_ends_a_connection_that_is_paused() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let config = Config::builder().close_within(Duration::from_millis(500)).build().expect("valid");
    let server = Server::with(Reactor::new(config, Endpoint::new()), move |call, ws| match call {
        Call::Message(_) => ws.pause_reading(true),
        Call::Close(end) => tell.send((end.code.0, end.clean)).expect("the test waits"),
        _ => {}
    });
    let mut peer = server.open().await;
    peer.send(&[frame(TEXT, b"pause"), frame(TEXT, b"kept"), frame(PING, b"")].concat()).await;
    while server.remote.numbers().turns < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    server.remote.shut_down();
    let code = loop {
        match peer.next().await.expect("a Close") {
            (PONG, _) => {}
            (_, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
        }
    };
    assert_eq!(code, 1001);
    peer.send(&close(1001, "")).await;
    assert_eq!(next(&mut told).await, (1001, true));
    drop(peer);
    server.stop();
}
