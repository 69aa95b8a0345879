//! A server that sends its connections away one by one, and takes nothing from them by that.

use std::{sync::Arc, time::Duration};

use framecast::{
    CloseInfo, Config, SendError,
    broadcast::{Member, Subscription, Topics},
};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};

use super::{
    peer::{CLOSE, Peer, close, close_payload},
    server::{At, DEADLINE, On, Server, Setup, until},
};

const REASON: &str = "retry_after_ms=1234";

/// Does what a message says.
fn does(on: On<'_>, mut at: At<'_>) {
    let On::Message(message) = on else { return };
    let (closed, expected) = match message {
        "restart" => (at.close_behind_topics(1012, REASON), Ok(())),
        "another" => (at.close_behind_topics(1001, "another"), Ok(())),
        "local" => {
            let code = framecast::CloseCode::ABNORMAL;
            (at.close_behind_topics(1006, ""), Err(SendError::InvalidCloseCode(code)))
        }
        "long" => {
            (at.close_behind_topics(1012, &"x".repeat(124)), Err(SendError::ReasonTooLong { bytes: 124 }))
        }
        "leave" => return at.member.leave(),
        "twice" => {
            at.close(1000);
            (at.close_behind_topics(1012, REASON), Err(SendError::Closed))
        }
        "now" => return at.close(1012),
        _ => unreachable!("{message}"),
    };
    assert_eq!(closed, expected, "{message}");
}

/// No deadline but that of a Close cuts who does not read.
fn setup() -> Setup {
    let config = Config::builder()
        .write_stall_after(Duration::from_secs(600))
        .close_within(Duration::from_millis(300))
        .linger_within(Duration::from_millis(300))
        .ping_every(None)
        .build()
        .expect("valid");
    Setup { config, ..Setup::default() }
}

async fn next_close(peer: &mut Peer<TcpStream>) -> Vec<u8> {
    let (opcode, payload) = peer.next().await.expect("a Close, and not the end");
    assert_eq!(opcode, CLOSE, "{payload:?}");
    payload
}

fn text(number: usize) -> String {
    format!("{number:016384}")
}

/// Publishes until twenty wait for somebody who does not read; how many it was.
async fn fall_behind(topics: &Topics) -> usize {
    let (mut number, mut waiting) = (0, 0);
    while waiting < 20 {
        let published = topics.publish("room", text(number)).expect("room").await;
        assert_eq!(published.dropped, 0);
        waiting += published.queued;
        number += 1;
    }
    number
}

/// Somebody who is behind and is to be closed, and how many messages it is to get before.
async fn sent_away(server: &mut Server) -> (Peer<TcpStream>, Member, usize) {
    let topics = server.topics.clone();
    let (mut slow, member) = server.open_narrow().await;
    member.subscribe("room", Subscription::new()).expect("open");
    let mut owed = fall_behind(&topics).await;
    slow.text("restart").await;
    // Once the server has heard of it, it gets no more.
    while topics.publish("room", text(owed)).expect("room").await.dropped == 0 {
        owed += 1;
    }
    (slow, member, owed)
}

/// catalogue: FT-40
#[tokio::test]
async fn what_waits_comes_before_a_close_with_its_code_and_reason() {
    let mut server = setup().does(does).start();
    let topics = server.topics.clone();
    let (mut rated, member) = server.open().await;
    let rare = Subscription::new().at_most_every(Duration::from_secs(600));
    member.subscribe("rare", rare).expect("open");
    topics.publish("rare", "one").expect("room").await;
    assert_eq!(topics.publish("rare", "two").expect("room").await.queued, 1);
    rated.text("restart").await;
    for expected in ["one", "two"] {
        assert_eq!(rated.next_text().await, expected);
    }
    assert_eq!(next_close(&mut rated).await, close_payload(1012, REASON));

    let (mut slow, _, owed) = sent_away(&mut server).await;
    slow.text("another").await;
    for expected in 0..owed {
        assert_eq!(slow.next_text().await, text(expected));
    }
    assert_eq!(next_close(&mut slow).await, close_payload(1012, REASON), "the first one counts");
    slow.send(&close(1012, "")).await;
    assert_eq!(slow.next().await, None);
}

/// catalogue: FT-40
#[tokio::test]
async fn who_takes_nothing_is_cut_by_a_close_that_comes_later() {
    let (told, mut ends) = mpsc::unbounded_channel::<CloseInfo>();
    let server = setup().does(move |on, at| match on {
        On::Close(info) => drop(told.send(info.clone())),
        on => does(on, at),
    });
    let mut server = server.start();
    let topics = server.topics.clone();
    let (mut slow, member, owed) = sent_away(&mut server).await;
    // The server goes on as long as it likes: it is open still.
    assert_eq!((topics.members("room"), member.is_subscribed("room")), (1, true));
    assert!(ends.try_recv().is_err());
    slow.text("now").await;
    let end = timeout(DEADLINE, ends.recv()).await.expect("in time").expect("it ends");
    assert!(!end.clean, "{end}");
    until("it has left", || topics.members("room") == 0).await;
    let mut came = 0;
    while let Some((opcode, payload)) = slow.next_or_torn().await {
        match opcode {
            CLOSE => assert_eq!(payload, close_payload(1012, "")),
            _ => assert_eq!(payload, text(came).as_bytes()),
        }
        came += usize::from(opcode != CLOSE);
    }
    assert!(came < owed, "what waited is dropped");
}

#[tokio::test]
async fn for_whom_nothing_waits_is_closed_at_once() {
    let mut server = setup().does(does).start();
    let (mut idle, _) = server.open().await;
    for message in ["local", "long", "restart"] {
        idle.text(message).await;
    }
    assert_eq!(next_close(&mut idle).await, close_payload(1012, REASON));

    let (mut left, member) = server.open().await;
    member.subscribe("room", Subscription::new()).expect("open");
    left.text("leave").await;
    left.text("restart").await;
    assert_eq!(next_close(&mut left).await, close_payload(1012, REASON));

    let (mut closed, _) = server.open().await;
    closed.text("twice").await;
    assert_eq!(next_close(&mut closed).await, close_payload(1000, ""));
}

/// Who takes part no more gets nothing more, and need not wait for it.
#[tokio::test]
async fn who_leaves_while_something_waits_is_closed_then() {
    let mut server = Setup { does: Arc::new(does), ..setup() }.start();
    let (mut slow, member, owed) = sent_away(&mut server).await;
    member.leave();
    let mut came = 0;
    let last = loop {
        let (opcode, payload) = slow.next().await.expect("a Close, and not the end");
        if opcode == CLOSE {
            break payload;
        }
        assert_eq!(payload, text(came).as_bytes());
        came += 1;
    };
    assert_eq!(last, close_payload(1012, REASON));
    assert!(came < owed);
}
