//! A hub whose messages go by a broker that is slow, fails, or is away. Nothing is acknowledged that the broker does not have.

use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use framecast::broadcast::{
    Broker, BrokerError, BrokerFuture, HistoryLimits, Page, Position, Present, Publish, Since, Topics,
};
use framecast_hub::{BrokerState, Limits};

use crate::support::World;

/// A broker elsewhere, which does what it is told.
#[derive(Clone)]
struct Remote(Arc<Mutex<State>>);

struct State {
    mode: Mode,
    nodes: HashMap<String, (Topics, HashSet<String>)>,
    /// What it keeps.
    topics: Topics,
    /// What it was asked and has done.
    done: Vec<String>,
    /// What is to be delivered later.
    late: Vec<(String, Position, Publish)>,
    /// What could not be delivered.
    missed: Vec<(String, Position)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Up,
    Slow,
    Away,
    Refuses,
    /// It answers, and delivers late.
    Lags,
}

impl Remote {
    fn new() -> Self {
        let topics = Topics::builder().history(HistoryLimits::default()).build();
        let (nodes, done, late, missed) = Default::default();
        Self(Arc::new(Mutex::new(State { mode: Mode::Up, nodes, topics, done, late, missed })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics")
    }

    fn is(&self, mode: Mode) {
        let mut state = self.lock();
        state.mode = mode;
        if mode == Mode::Up {
            for (room, position, publish) in std::mem::take(&mut state.late) {
                for (topics, _) in state.nodes.values() {
                    topics.deliver(&room, position, publish.clone()).expect("there is room");
                }
            }
            // What was lost meanwhile is told before what comes.
            for (room, position) in std::mem::take(&mut state.missed) {
                for (topics, _) in state.nodes.values() {
                    topics.lost(&room, position, position.offset).expect("it has a name");
                }
            }
        }
    }

    /// By another process of the hub: what is published has no place yet.
    fn publish_elsewhere(&self, room: &str, payload: u32) -> Position {
        let text = format!(
            r#"{{"type":"message","room":"{room}","payload":{payload},"user_id":null,"client_id":"eve","ts":1}}"#
        );
        self.lock().publish(room, Publish::new(text)).expect("there is room")
    }

    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().done)
    }

    fn answer<'b, T: 'b>(
        &'b self,
        mut f: impl FnMut(&mut State) -> Result<T, BrokerError> + Send + 'b,
    ) -> BrokerFuture<'b, T> {
        Box::pin(poll_fn(move |_| {
            let mut state = self.lock();
            match state.mode {
                Mode::Up | Mode::Lags => Poll::Ready(f(&mut state)),
                // Whoever wants to know asks again.
                Mode::Slow => Poll::Pending,
                Mode::Away => Poll::Ready(Err(BrokerError::Away)),
                Mode::Refuses => Poll::Ready(Err(BrokerError::Refused("NOAUTH s3cret".to_owned()))),
            }
        }))
    }
}

impl State {
    fn publish(&mut self, room: &str, publish: Publish) -> Result<Position, BrokerError> {
        let position = self.topics.publish(room, publish.clone())?.position();
        for (topics, rooms) in self.nodes.values() {
            match self.mode {
                _ if !rooms.contains(room) => {}
                Mode::Lags => self.late.push((room.to_owned(), position, publish.clone())),
                Mode::Away => self.missed.push((room.to_owned(), position)),
                _ => drop(topics.deliver(room, position, publish.clone())?),
            }
        }
        Ok(position)
    }

    fn rooms(&mut self, node: &str) -> &mut HashSet<String> {
        &mut self.nodes.get_mut(node).expect("it is attached").1
    }
}

impl Broker for Remote {
    fn attach(&self, node: &str, topics: &Topics) {
        self.lock().nodes.insert(node.to_owned(), (topics.clone(), HashSet::new()));
    }

    fn subscribe<'b>(&'b self, node: &'b str, room: &'b str) -> BrokerFuture<'b, Position> {
        self.answer(move |state| {
            state.done.push(format!("subscribe {room}"));
            state.rooms(node).insert(room.to_owned());
            Ok(state.topics.position(room).unwrap_or(Position { epoch: 0, offset: 0 }))
        })
    }

    fn unsubscribe<'b>(&'b self, node: &'b str, room: &'b str) -> BrokerFuture<'b, ()> {
        self.answer(move |state| {
            state.done.push(format!("unsubscribe {room}"));
            state.rooms(node).remove(room);
            Ok(())
        })
    }

    fn publish<'b>(&'b self, room: &'b str, publish: Publish) -> BrokerFuture<'b, Position> {
        self.answer(move |state| {
            state.done.push(format!("publish {room}"));
            state.publish(room, publish.clone())
        })
    }

    fn history<'b>(&'b self, room: &'b str, since: Option<Since>, limit: usize) -> BrokerFuture<'b, Page> {
        self.answer(move |state| {
            state.done.push(format!("history {room}"));
            Ok(state.topics.history(room, since, limit))
        })
    }

    fn present<'b>(&'b self, _: &'b str, _: &'b str, _: Vec<Present>) -> BrokerFuture<'b, ()> {
        self.answer(|_| Ok(()))
    }

    fn renew<'b>(&'b self, _: &'b str) -> BrokerFuture<'b, ()> {
        // As fast as ever: it is what has to be done that is slow.
        let answer = if self.lock().mode == Mode::Away { Err(BrokerError::Away) } else { Ok(()) };
        Box::pin(std::future::ready(answer))
    }

    fn presence<'b>(&'b self, _: &'b str) -> BrokerFuture<'b, Vec<Present>> {
        self.answer(|_| Ok(Vec::new()))
    }
}

fn world(limits: Limits) -> (World, Remote) {
    let remote = Remote::new();
    let world = World::with(|hub| hub.limits(limits).broker(Arc::new(remote.clone())));
    (world, remote)
}

/// What a server does every second.
fn tend(world: &World) -> Option<Result<(), BrokerError>> {
    match pin!(world.hub.tend_broker()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(tended) => Some(tended),
        Poll::Pending => None,
    }
}

fn message(id: u32, room: &str) -> String {
    format!(r#"{{"type":"message","id":{id},"room":"{room}","payload":{id}}}"#)
}

fn said(room: &str, payload: u32, offset: u64, ts: u64) -> String {
    let client_id = if ts == 1 { "eve" } else { "ada" };
    format!(
        r#"{{"type":"message","room":"{room}","payload":{payload},"user_id":null,"client_id":"{client_id}","epoch":7,"offset":{offset},"ts":{ts}}}"#
    )
}

const TS: u64 = crate::support::START_MS;

#[test]
fn what_the_broker_has_is_acknowledged_and_what_it_has_not_is_not() {
    let (world, remote) = world(Limits::default());
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").inside(&["r"]));
    remote.is(Mode::Slow);
    assert_eq!(ada.asks(&message(1, "r")), [] as [&str; 0]);
    // Nothing else of the connection waits; the same message sent again is on its way.
    assert!(ada.asks(r#"{"type":"ping"}"#)[0].contains("pong"));
    assert!(ada.asks(&message(1, "r"))[0].contains("this message is on its way"));
    assert_eq!((bob.hears(), remote.done()), (vec![], vec!["subscribe r".to_owned()]));
    remote.is(Mode::Up);
    ada.asks_the_broker();
    assert_eq!(ada.hears(), [r#"{"type":"ack","id":1,"offset":1}"#]);
    assert_eq!(bob.hears(), [said("r", 1, 1, TS)]);
    assert_eq!(ada.asks(&message(1, "r")), [r#"{"type":"ack","id":1,"offset":1}"#]);
    assert_eq!(remote.done(), ["publish r"]);
}

#[test]
fn a_broker_that_fails_is_told_and_what_failed_may_be_sent_again() {
    let (world, remote) = world(Limits::default());
    let ada = world.anonymous("ada").greeted();
    let unavailable = |id: &str, message: &str| {
        format!(r#"{{"type":"error","id":{id},"code":"unavailable","message":"{message}"}}"#)
    };
    remote.is(Mode::Away);
    for _ in 0..2 {
        assert_eq!(ada.asks(&message(1, "r")), [unavailable("1", "the broker cannot be reached")]);
    }
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Away));
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":"s","room":"r"}"#),
        [unavailable("\"s\"", "the broker cannot be reached")]
    );
    assert_eq!(world.hub.topics().members("r"), 0);
    remote.is(Mode::Refuses);
    assert_eq!(ada.asks(&message(1, "r")), [unavailable("1", "the broker refused")], "why, is not theirs");
    assert_eq!(
        ada.asks(r#"{"jsonrpc":"2.0","method":"publish","params":{"room":"r","payload":1},"id":9}"#),
        [
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"the broker refused","data":{"code":"unavailable"}},"id":9}"#
        ]
    );
    remote.is(Mode::Up);
    assert_eq!(ada.asks(&message(1, "r")), [r#"{"type":"ack","id":1,"offset":1}"#]);
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Up));
    let counts = world.hub.counts();
    assert_eq!(counts.get("publishes_refused", Some("broker_away")), Some(2));
    assert_eq!(counts.get("publishes_refused", Some("broker_refused")), Some(2));
    assert_eq!(counts.get("joins_refused", Some("unavailable")), Some(1));
}

#[test]
fn what_takes_too_long_is_given_up_and_comes_no_more() {
    let (world, remote) = world(Limits::default());
    let ada = world.anonymous("ada").greeted();
    assert_eq!(tend(&world), Some(Ok(())));
    remote.is(Mode::Slow);
    ada.says(&message(1, "r"));
    world.passes(1_000);
    ada.says(&message(2, "r")).says(r#"{"type":"history","id":3,"room":"r"}"#);
    assert_eq!(ada.session.borrow().poll_timeout().map(|at| (at - world.now()).as_millis()), Some(4_000));
    world.passes(3_999);
    assert_eq!(ada.wakes().hears(), [] as [&str; 0]);
    world.passes(1);
    let late = |id: u32| {
        format!(
            r#"{{"type":"error","id":{id},"code":"unavailable","message":"the broker did not answer in time"}}"#
        )
    };
    assert_eq!(ada.wakes().hears(), [late(1)]);
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Away));
    world.passes(1_000);
    assert_eq!(ada.wakes().hears(), [late(2), late(3)]);
    remote.is(Mode::Up);
    ada.asks_the_broker();
    assert_eq!((ada.errands(), remote.done()), (0, vec![]), "what was given up is not done later");
    assert_eq!(ada.asks(&message(1, "r")), [r#"{"type":"ack","id":1,"offset":1}"#]);
}

#[test]
fn a_senders_messages_keep_their_order() {
    let (world, remote) = world(Limits::default());
    let ada = world.anonymous("ada").inside(&["r"]);
    remote.is(Mode::Slow);
    for id in 1..=5 {
        ada.says(&message(id, "r"));
        assert_eq!(ada.errands(), 1, "one at a time");
    }
    ada.says(r#"{"type":"unsubscribe","room":"r"}"#).says(&message(6, "r"));
    remote.is(Mode::Up);
    ada.asks_the_broker();
    let heard = ada.hears();
    let of = |kind: &str| -> Vec<String> {
        heard.iter().filter(|heard| heard.contains(&format!(r#""type":"{kind}""#))).cloned().collect()
    };
    let messages: Vec<_> = (1..=5).map(|id| said("r", id, u64::from(id), TS)).collect();
    assert_eq!(of("message"), messages, "and none that came after it had left");
    let acks: Vec<_> = (1..=6).map(|id| format!(r#"{{"type":"ack","id":{id},"offset":{id}}}"#)).collect();
    assert_eq!(of("ack"), acks);
    assert_eq!(of("unsubscribed").len(), 1);
}

#[test]
fn a_room_is_subscribed_to_once_however_many_are_in_it() {
    let (world, remote) = world(Limits::default());
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    remote.is(Mode::Slow);
    let subscribe = r#"{"type":"subscribe","room":"r"}"#;
    for peer in [&ada, &bob] {
        assert_eq!(peer.asks(subscribe), [] as [&str; 0]);
    }
    remote.is(Mode::Up);
    for (peer, members) in [(&ada, 1), (&bob, 2)] {
        peer.asks_the_broker();
        assert!(
            peer.hears()[0].contains(&format!(r#"{{"type":"subscribed","room":"r","members":{members},"#))
        );
    }
    let cem = world.anonymous("cem").inside(&["r"]);
    assert_eq!(remote.done(), ["subscribe r"]);
    // It is given back with the last one, and not before.
    ada.hangs_up();
    bob.says(r#"{"type":"unsubscribe","room":"r"}"#);
    assert_eq!((tend(&world), remote.done()), (Some(Ok(())), vec![]));
    cem.hangs_up();
    // Nor if somebody is in it again.
    let cem = world.anonymous("cem2").inside(&["r"]);
    assert_eq!((tend(&world), remote.done()), (Some(Ok(())), vec![]));
    cem.hangs_up();
    remote.is(Mode::Away);
    assert_eq!(tend(&world), Some(Err(BrokerError::Away)));
    remote.is(Mode::Slow);
    assert_eq!(tend(&world), None, "and it is dropped");
    remote.is(Mode::Up);
    assert_eq!(tend(&world), Some(Ok(())));
    assert_eq!(tend(&world), Some(Ok(())));
    assert_eq!(remote.done(), ["unsubscribe r"]);
    let _dan = world.anonymous("dan").inside(&["r"]);
    assert_eq!(remote.done(), ["subscribe r"]);
}

/// Whoever asked first is gone: the next one asks for itself.
#[test]
fn nobody_waits_for_somebody_who_is_gone() {
    let (world, remote) = world(Limits::default());
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    remote.is(Mode::Slow);
    for peer in [&ada, &bob] {
        peer.says(r#"{"type":"subscribe","room":"r"}"#);
    }
    ada.hangs_up();
    remote.is(Mode::Up);
    bob.asks_the_broker();
    assert!(bob.hears()[0].contains("subscribed"));
    ada.asks_the_broker();
    assert_eq!((ada.errands(), ada.hears().len()), (0, 0));
    bob.hangs_up();
    assert_eq!(
        (tend(&world), remote.done()),
        (Some(Ok(())), vec!["subscribe r".into(), "unsubscribe r".into()])
    );
}

#[test]
fn what_was_lost_while_the_broker_was_away_is_told() {
    let (world, remote) = world(Limits::default());
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Away), "it has not been asked");
    assert_eq!(tend(&world), Some(Ok(())));
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Up));
    let ada = world.anonymous("ada").inside(&["r"]);
    remote.publish_elsewhere("r", 1);
    remote.is(Mode::Away);
    assert_eq!(tend(&world), Some(Err(BrokerError::Away)));
    assert_eq!(world.hub.broker_state(), Some(BrokerState::Away));
    for payload in 2..=4 {
        remote.publish_elsewhere("r", payload);
    }
    assert_eq!(ada.hears(), [said("r", 1, 1, 1)]);
    remote.is(Mode::Up);
    remote.publish_elsewhere("r", 5);
    assert_eq!(
        ada.hears(),
        [r#"{"type":"gap","room":"r","from":2,"to":4,"reason":"broker"}"#.to_owned(), said("r", 5, 5, 1)]
    );
    // The broker's history fills it.
    let epoch = world.hub.topics().position("r").expect("it is known").epoch;
    let heard = ada.asks(&format!(
        r#"{{"type":"history","id":1,"room":"r","since":{{"epoch":{epoch},"offset":1}},"limit":3}}"#
    ));
    let messages = [said("r", 2, 2, 1), said("r", 3, 3, 1), said("r", 4, 4, 1)].join(",");
    assert_eq!(
        heard,
        [format!(r#"{{"type":"history","id":1,"room":"r","epoch":7,"offset":5,"messages":[{messages}]}}"#)]
    );
}

#[test]
fn who_comes_from_another_process_gets_what_it_missed() {
    let (world, remote) = world(Limits::default());
    let first = remote.publish_elsewhere("r", 1);
    for payload in 2..=4 {
        remote.publish_elsewhere("r", payload);
    }
    let ada = world.anonymous("ada").greeted();
    let since = |epoch: u64, offset: u64| {
        format!(r#"{{"type":"subscribe","room":"r","since":{{"epoch":{epoch},"offset":{offset}}}}}"#)
    };
    let subscribed = |members: u32, offset: u32, recovered: bool| {
        format!(
            r#"{{"type":"subscribed","room":"r","members":{members},"epoch":7,"offset":{offset},"recovered":{recovered}}}"#
        )
    };
    assert_eq!(
        ada.asks(&since(first.epoch, 2)),
        [subscribed(1, 4, true), said("r", 3, 3, 1), said("r", 4, 4, 1)]
    );
    // And goes on from there; the next one has nothing to catch up with, or comes from where nobody knows.
    remote.publish_elsewhere("r", 5);
    assert_eq!(ada.hears(), [said("r", 5, 5, 1)]);
    let (bob, cem) = (world.anonymous("bob").greeted(), world.anonymous("cem").greeted());
    assert_eq!(bob.asks(&since(first.epoch, 5)), [subscribed(2, 5, true)]);
    assert_eq!(cem.asks(&since(first.epoch ^ 1, 1)), [subscribed(3, 5, false)]);
}

/// What comes while the answer is on its way comes once.
#[test]
fn what_is_published_while_somebody_comes_back_comes_once() {
    let (world, remote) = world(Limits::default());
    let first = remote.publish_elsewhere("r", 1);
    let _bob = world.anonymous("bob").inside(&["r"]);
    let ada = world.anonymous("ada").greeted();
    let session = &ada.session;
    let mut out = Vec::new();
    let subscribe =
        format!(r#"{{"type":"subscribe","room":"r","since":{{"epoch":{},"offset":0}}}}"#, first.epoch);
    session.borrow_mut().receive(&framecast::Message::text(subscribe), &mut out);
    let framecast_hub::Action::Subscribe(subscribe) = out.remove(0) else { panic!("it is allowed") };
    session.borrow_mut().subscribe(subscribe, &mut out);
    let framecast_hub::Action::Errand(errand) = out.remove(0) else { panic!("there is a broker") };
    let Poll::Ready(returned) = pin!(errand).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it is up")
    };
    remote.publish_elsewhere("r", 2);
    session.borrow_mut().returned(returned, &mut out);
    remote.publish_elsewhere("r", 3);
    assert_eq!(ada.hears()[1..], [said("r", 1, 1, 1), said("r", 2, 2, 1), said("r", 3, 3, 1)]);
}

/// The broker's history may be ahead of what it has delivered.
#[test]
fn what_is_still_to_be_delivered_comes_once() {
    let (world, remote) = world(Limits::default());
    let first = remote.publish_elsewhere("r", 1);
    let bob = world.anonymous("bob").inside(&["r"]);
    remote.is(Mode::Lags);
    remote.publish_elsewhere("r", 2);
    let ada = world.anonymous("ada").greeted();
    let subscribe =
        format!(r#"{{"type":"subscribe","room":"r","since":{{"epoch":{},"offset":0}}}}"#, first.epoch);
    assert_eq!(
        ada.asks(&subscribe),
        [
            r#"{"type":"subscribed","room":"r","members":2,"epoch":7,"offset":1,"recovered":true}"#
                .to_owned(),
            said("r", 1, 1, 1)
        ]
    );
    remote.is(Mode::Up);
    assert_eq!(ada.hears(), [said("r", 2, 2, 1)]);
    assert_eq!(bob.hears(), [said("r", 2, 2, 1)]);
}

#[test]
fn what_waits_is_bounded() {
    let mut limits = Limits::default();
    (limits.broker_waiting_max, limits.broker_waiting_bytes_max) = (3, 100);
    let (world, remote) = world(limits);
    let (ada, bob) = (world.anonymous("ada").greeted(), world.anonymous("bob").greeted());
    remote.is(Mode::Slow);
    for id in 1..=3 {
        assert_eq!(ada.asks(&message(id, "r")), [] as [&str; 0]);
    }
    let busy = r#"{"type":"error","id":4,"code":"unavailable","message":"too much waits for the broker"}"#;
    assert_eq!(ada.asks(&message(4, "r")), [busy]);
    let big = |len: usize| {
        let payload = "x".repeat(len - 2);
        format!(r#"{{"type":"message","id":4,"room":"r","payload":"{payload}"}}"#)
    };
    assert_eq!(bob.asks(&big(98)), [busy]);
    assert_eq!(bob.asks(&big(97)), [] as [&str; 0]);
    remote.is(Mode::Up);
    ada.asks_the_broker();
    bob.asks_the_broker();
    assert_eq!((ada.hears().len(), bob.hears().len()), (3, 1));
    assert!(ada.asks(&big(100))[0].contains("ack"), "the room is free again");
    // And with who is gone.
    remote.is(Mode::Slow);
    ada.says(&message(5, "r")).says(&message(6, "r")).hangs_up();
    assert_eq!(bob.asks(&big(100).replace("\"id\":4", "\"id\":7")), [] as [&str; 0], "it fits");
    assert_eq!(world.hub.counts().get("publishes_refused", Some("broker_busy")), Some(2));
}

#[test]
fn wildcards_are_not_subscribed_to_by_halves() {
    let (world, remote) = world(Limits::default());
    let ada = world.anonymous("ada").greeted();
    assert_eq!(
        ada.asks(r#"{"type":"subscribe","id":1,"room":"a:*"}"#),
        [r#"{"type":"error","id":1,"code":"unavailable","message":"no wildcards with a broker"}"#]
    );
    assert_eq!(remote.done(), [] as [&str; 0]);
}
