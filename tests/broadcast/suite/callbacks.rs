//! Publishing, subscribing and leaving from wherever an application is called.

use framecast::{
    Message,
    broadcast::{Subscription, TopicError, Topics},
};
use tokio::sync::mpsc;

use super::{
    peer::{PING, close, frame},
    server::{Engine, On, Server, Setup, until},
};
use crate::ENGINE;

/// catalogue: FT-61, ZC-31
#[tokio::test]
async fn every_callback_publishes() {
    let setup = Setup::default().does(|on, mut at| {
        let told = match on {
            On::Open => "open".to_owned(),
            On::Message("flood") => {
                // More than the low-water mark, and no more than a socket takes.
                (0..10).for_each(|_| at.send(Message::binary(vec![0; 16 << 10])).expect("there is room"));
                "flooded".to_owned()
            }
            On::Message(text) => format!("message {text}"),
            On::Ping => "ping".to_owned(),
            On::Drain => "drain".to_owned(),
            On::Close(info) => format!("close {}", info.code.0),
        };
        at.topics.publish("told", told).expect("there is room");
    });
    let mut server = setup.start();
    let (mut witness, member) = server.open().await;
    member.subscribe("told", Subscription::new()).expect("open");
    let (mut actor, _) = server.open().await;
    assert_eq!(witness.next_text().await, "open");
    actor.text("hello").await;
    assert_eq!(witness.next_text().await, "message hello");
    if ENGINE == Engine::Reactor {
        actor.send(&frame(PING, b"")).await;
        assert_eq!(witness.next_text().await, "ping");
        assert_eq!(actor.next().await, Some((10, vec![])));
    }
    actor.text("flood").await;
    assert_eq!(witness.next_text().await, "flooded");
    if ENGINE == Engine::Reactor {
        assert_eq!(witness.next_text().await, "drain");
    }
    actor.send(&close(4001, "")).await;
    actor.rest().await;
    assert_eq!(witness.next_text().await, "close 4001");
}

/// catalogue: ZC-32
#[tokio::test]
async fn a_callback_subscribes_publishes_and_unsubscribes_in_its_own_order() {
    let setup = Setup::default().does(|on, at| {
        let say = |text: &str| drop(at.topics.publish("room", text.to_owned()).expect("room"));
        match on {
            On::Open => {
                say("before it came");
                at.member.subscribe("room", Subscription::new()).expect("open");
                say("open");
            }
            On::Message("again") => {
                say("one");
                assert!(at.member.unsubscribe("room"));
                say("while it was away");
                at.member.subscribe("room", Subscription::new()).expect("open");
                at.member.subscribe("room", Subscription::new()).expect("open");
                say("two");
            }
            On::Message("leave") => {
                assert!(at.member.unsubscribe("room"));
                say("after it left");
                at.topics.publish_to_all("the end").expect("room");
            }
            _ => {}
        }
    });
    let mut server = setup.start();
    let (mut peer, _) = server.open().await;
    peer.text("again").await;
    peer.text("leave").await;
    for expected in ["open", "one", "two", "the end"] {
        assert_eq!(peer.next_text().await, expected);
    }
    assert_eq!(server.topics.members("room"), 0);
}

/// catalogue: ZC-31
#[tokio::test]
async fn who_closes_in_its_own_callback_publishes_and_gets_no_more() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let setup = Setup::default().does(move |on, mut at| match on {
        On::Open => drop(at.member.subscribe("room", Subscription::new()).expect("open")),
        On::Message(_) => {
            at.topics.publish("room", "before").expect("room").then(|_| {});
            at.close(4000);
            let tell = tell.clone();
            let publishing = at.topics.publish("room", "after").expect("room");
            publishing.then(move |published| tell.send(published).unwrap_or_default());
        }
        On::Close(_) => {
            let again = at.member.subscribe("room", Subscription::new());
            assert_eq!(again.err(), Some(TopicError::Closed));
            at.topics.publish("room", "closed").expect("room");
        }
        _ => {}
    });
    let mut server = setup.start();
    let (mut other, _) = server.open().await;
    for _ in 0..20 {
        let (mut closer, _) = server.open().await;
        closer.text("close").await;
        for expected in ["before", "after"] {
            assert_eq!(other.next_text().await, expected);
        }
        let published = told.recv().await.expect("it was counted");
        // It gets what was published before it closed, or, as the turn had not come to it, does not.
        let mut got = Vec::new();
        let code = loop {
            match closer.next().await.expect("a Close, and not the end") {
                (8, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
                (_, payload) => got.push(payload),
            }
        };
        assert!(code == 4000 && (got.is_empty() || got == [b"before"]), "{code} {got:?}");
        assert_eq!((published.subscribers(), published.dropped), (2, 1));
        closer.send(&close(4000, "")).await;
        assert_eq!(closer.next().await, None);
        assert_eq!(other.next_text().await, "closed");
        until("it has left", || server.topics.members("room") == 1).await;
    }
}

/// catalogue: FT-61
#[tokio::test]
async fn what_is_told_of_a_publish_may_use_the_topics() {
    let topics = Topics::new();
    let setup = Setup::default().does(|on, at| {
        let (topics, member) = (at.topics.clone(), at.member.clone());
        match on {
            On::Message(_) => {
                // Of a shard's thread, in the midst of its work.
                at.topics.publish("room", "one").expect("room").then(move |published| {
                    assert_eq!(published.subscribers(), 1);
                    member.subscribe("mine", Subscription::new()).expect("open");
                    let again = topics.clone();
                    topics.publish("mine", "two").expect("room").then(move |_| {
                        again.publish_to_all("three").expect("room");
                    });
                });
            }
            On::Close(_) => {
                at.topics.publish("room", "gone").expect("room").then(move |_| {
                    assert_eq!(member.subscribe("room", Subscription::new()).err(), Some(TopicError::Closed));
                    topics.publish_to_all("four").expect("room");
                });
            }
            _ => {}
        }
    });
    let mut server = Setup { topics, ..setup }.start();
    let (mut other, member) = server.open().await;
    member.subscribe("room", Subscription::new()).expect("open");
    for _ in 0..20 {
        let (mut actor, _) = server.open().await;
        actor.text("go").await;
        for expected in ["two", "three"] {
            assert_eq!(actor.next_text().await, expected);
        }
        actor.send(&close(1000, "")).await;
        assert_eq!(actor.next_close().await, 1000);
        for expected in ["one", "three", "gone", "four"] {
            assert_eq!(other.next_text().await, expected);
        }
    }
}

#[tokio::test]
async fn names_that_are_none_and_limits_are_told_in_callbacks_as_elsewhere() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let setup = Setup::default().does(move |on, at| {
        if let On::Message(name) = on {
            let _ = tell.send(at.member.subscribe(name, Subscription::new()).map(|_| ()));
        }
    });
    let topics = Topics::builder().subscriptions_max(2).topics_max(3).build();
    let mut server: Server = Setup { topics, ..setup }.start();
    let (mut peer, _) = server.open().await;
    for name in ["a", "", ">:a", "b", "c", "a"] {
        peer.text(name).await;
    }
    let mut next = async || told.recv().await.expect("it runs");
    use framecast::broadcast::NameError;
    assert_eq!(next().await, Ok(()));
    assert_eq!(next().await, Err(TopicError::Name(NameError::Empty)));
    assert_eq!(next().await, Err(TopicError::Name(NameError::Wildcard)));
    assert_eq!(next().await, Ok(()));
    assert_eq!(next().await, Err(TopicError::TooManySubscriptions { max: 2 }));
    assert_eq!(next().await, Ok(()));
}
