//! Other threads, and several loops.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering::SeqCst},
    thread,
    time::Duration,
};

use framecast::{
    CloseCode, Config, Endpoint, SendError,
    proto::Message,
    reactor::{ConnectionId, Handler, Reactor},
};
use tokio::{net::TcpStream, sync::mpsc};

use crate::{
    peer::{CLOSE, Peer, REQUEST, TEXT, close, close_payload, frame},
    support::{Call, Server, narrow, next},
};

/// catalogue: RT-22
#[tokio::test]
async fn eight_threads_arrive_whole_once_and_each_in_order() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |call, ws| {
        if call == Call::Open {
            tell.send(ws.id()).expect("the test waits");
        }
    });
    let mut peer = server.open().await;
    let id = next(&mut told).await;
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let remote = server.remote.clone();
            thread::spawn(move || {
                for n in 0..1000 {
                    remote.send(id, Message::text(format!("{thread} {n}"))).expect("there is room");
                }
            })
        })
        .collect();
    let mut next_of = [0; 8];
    for _ in 0..8000 {
        let text = peer.next_text().await;
        let (thread, n) = text.split_once(' ').expect("two numbers");
        let expected = &mut next_of[thread.parse::<usize>().expect("a number")];
        assert_eq!(n.parse(), Ok(*expected));
        *expected += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let (answer, mut answered) = mpsc::unbounded_channel();
    server.remote.stats(id, move |stats| answer.send(stats).expect("the test waits")).expect("it runs");
    assert_eq!(next(&mut answered).await.expect("open").messages_sent, 8000);
    server.remote.close(id, CloseCode(4000), "enough").expect("it runs");
    assert_eq!(peer.next_close().await, 4000);
    drop(peer);
    // Without topics it is the same.
    let mut peer = server.open().await;
    let id = next(&mut told).await;
    let close = |code, reason| server.remote.close_behind_topics(id, CloseCode(code), reason);
    assert_eq!(close(1005, ""), Err(SendError::InvalidCloseCode(CloseCode::NO_STATUS)));
    close(4000, "enough").expect("it runs");
    assert_eq!(peer.next().await, Some((CLOSE, close_payload(4000, "enough"))));
    drop(peer);
    let remote = server.remote.clone();
    server.stop();
    assert_eq!(remote.send(id, Message::text("late")), Err(SendError::Closed));
}

/// A loop that is busy is woken once for all that gathers · catalogue: RT-22
#[tokio::test]
async fn a_busy_loop_is_woken_once_and_its_mailbox_has_a_bound() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let go = Arc::new(AtomicBool::new(false));
    let waits = go.clone();
    let server = Server::start(move |call, ws| match call {
        Call::Open => tell.send(ws.id()).expect("the test waits"),
        Call::Message(_) => {
            tell.send(ws.id()).expect("the test waits");
            while !waits.load(SeqCst) {
                thread::yield_now();
            }
        }
        _ => {}
    });
    let mut peer = server.open().await;
    let id = next(&mut told).await;
    peer.text("busy").await;
    next(&mut told).await;
    let turns = server.remote.numbers().turns;
    let mut sent = 0;
    while server.remote.send(id, Message::text("x")).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 64 << 10);
    let (refused, mut never) = mpsc::unbounded_channel::<()>();
    let stats = server.remote.stats(id, move |_| refused.send(()).expect("the test waits"));
    assert_eq!(stats, Err(SendError::Full));
    assert!(never.recv().await.is_none(), "`then` is dropped");
    go.store(true, SeqCst);
    // 16,384 messages have room in an outbox, the others are counted.
    for _ in 0..16 << 10 {
        assert_eq!(peer.next_text().await, "x");
    }
    while server.remote.numbers().undelivered < 48 << 10 {
        thread::sleep(Duration::from_millis(1));
    }
    let numbers = server.remote.numbers();
    assert_eq!(numbers.undelivered, 48 << 10);
    // That of the callback, and one for all of them; some more by the peer's reading.
    assert!(numbers.turns - turns <= 40, "{} turns", numbers.turns - turns);
    drop(peer);
    server.stop();
}

/// One message above the mailbox's bytes still gets through
#[tokio::test]
async fn a_message_of_any_size_can_be_posted() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |call, ws| {
        if call == Call::Open {
            tell.send(ws.id()).expect("the test waits");
        }
    });
    let mut peer = server.open().await;
    let id = next(&mut told).await;
    server.remote.send(id, Message::binary(vec![1; 70 << 20])).expect("it is the only one");
    assert_eq!(peer.next().await.expect("a message").1.len(), 70 << 20);
    drop(peer);
    server.stop();
}

/// Connections are spread, names are unique over all loops, and a `Remote` finds each
#[tokio::test]
async fn several_loops_share_a_port_and_a_remote_reaches_all() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let seen = Mutex::new(Vec::<ConnectionId>::new());
    let reactor = Reactor::new(Config::default(), Endpoint::new()).threads(3);
    let server = Server::with(reactor, move |call, ws| match call {
        Call::Open => {
            let id = ws.id();
            let mut seen = seen.lock().expect("no panic");
            for other in seen.iter() {
                let same_loop = other.to_string().split('.').next() == id.to_string().split('.').next();
                assert_eq!(ws.at(*other).is_some(), same_loop);
            }
            seen.push(id);
            tell.send((id, thread::current().id())).expect("the test waits");
        }
        Call::Message(text) => drop(ws.send(text.as_str())),
        _ => {}
    });
    let mut peers = Vec::new();
    let (mut ids, mut threads) = (BTreeSet::new(), Vec::new());
    for _ in 0..60 {
        let peer = server.open().await;
        let (id, thread) = next(&mut told).await;
        ids.insert(id);
        threads.push(thread);
        peers.push((peer, id));
    }
    threads.dedup();
    assert_eq!(ids.len(), 60);
    assert!(threads.len() > 3, "the kernel spreads them");
    for (peer, id) in &mut peers {
        server.remote.send(*id, Message::text("to you")).expect("it runs");
        assert_eq!(peer.next_text().await, "to you");
        peer.send(&frame(TEXT, b"and back")).await;
        assert_eq!(peer.next_text().await, "and back");
    }
    assert_eq!(server.remote.numbers().connections, 60);
    server.remote.shut_down();
    for (peer, _) in &mut peers {
        assert_eq!(peer.next_close().await, 1001);
        peer.send(&close(1001, "")).await;
    }
    drop(peers);
    server.stop();
}

/// catalogue: FT-23
#[test]
fn a_port_of_ours_is_shared_with_no_stranger() {
    let reactor = Reactor::new(Config::default(), Endpoint::new());
    let first = reactor.clone().threads(2).bind("127.0.0.1:0").expect("a free port");
    for threads in [1, 2] {
        let error = reactor.clone().threads(threads).bind(first.local_addr()).expect_err("taken");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
    assert!(reactor.reuse_port(true).bind(first.local_addr()).is_ok(), "both asked for it");
}

struct Nothing;

impl Handler for Nothing {
    type Data = ();
}

/// Half a server is no server: a loop that ends takes the others with it · catalogue: FT-60
#[test]
fn a_loop_that_cannot_begin_ends_them_all() {
    let bound =
        Reactor::new(Config::default(), Endpoint::new()).threads(3).bind("127.0.0.1:0").expect("a port");
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bound.run(|number| {
            assert_ne!(number, 1, "as the test wants");
            Nothing
        })
    }));
    assert!(ran.is_err(), "the panic goes on");
}

/// What waits for a loop is answered however the loop ends, be it before it began, and whatever the answer does · catalogue: FT-60
#[tokio::test]
async fn what_waits_for_a_loop_that_never_runs_is_told_that_it_is_over() {
    let (tell_id, mut ids) = mpsc::unbounded_channel();
    let other = Server::start(move |call, ws| {
        if call == Call::Open {
            tell_id.send(ws.id()).expect("the test waits");
        }
    });
    let peer = other.open().await;
    // It names a place in the first loop of any reactor.
    let id = next(&mut ids).await;
    for run in [true, false] {
        let bound = Reactor::new(Config::default(), Endpoint::new()).bind("127.0.0.1:0").expect("a port");
        let (remote, (tell, mut told)) = (bound.remote(), mpsc::unbounded_channel());
        remote.stats(id, |_| panic!("as the test wants")).expect("there is room");
        remote
            .stats(id, move |stats| tell.send(stats.is_none()).expect("the test waits"))
            .expect("there is room");
        if run {
            let make = |_| -> Nothing { panic!("as the test wants") };
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bound.run(make)));
            assert!(ran.is_err(), "the panic goes on");
        } else {
            drop(bound);
        }
        assert_eq!(told.try_recv(), Ok(true));
        assert_eq!(remote.numbers().panics, 1);
        assert_eq!(remote.send(id, Message::text("late")), Err(SendError::Closed));
    }
    drop(peer);
    other.stop();
}

/// One whose 101 was on its way when the others were told was never told · RFC 6455 §7.4.1 · catalogue: FT-40, HS-79
#[tokio::test]
async fn a_connection_that_opens_during_a_shutdown_is_told_1001() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(move |call, _| {
        if let Call::Close(end) = call {
            tell.send((end.code.0, end.clean)).expect("the test waits");
        }
    });
    let mut peer = Peer::new(narrow(server.addr).await);
    let request = String::from_utf8(REQUEST.to_vec()).expect("ASCII").replace("GET / ", "GET /long/300000 ");
    peer.send(request.as_bytes()).await;
    peer.stream.readable().await.expect("some of the answer");
    server.remote.shut_down();
    while TcpStream::connect(server.addr).await.is_ok() {}
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(peer.next_close().await, 1001);
    peer.send(&close(1001, "")).await;
    assert_eq!(next(&mut told).await, (1001, true));
    drop(peer);
    server.stop();
}
