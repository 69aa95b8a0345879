//! Several nodes by one broker: the order is the same for all, each message comes once, and what is lost is told.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::simulation::{Clock, Sim, gap, message, say};
use crate::broadcast::{
    Broker, BrokerError, BrokerFuture, HistoryLimits, Local, MemoryBroker, NameError, Position, Present,
    Publish, Subscription, TopicError, Topics,
};

/// What a broker in memory answers at once.
fn at_once<T>(future: BrokerFuture<'_, T>) -> Result<T, BrokerError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it has to wait"),
    }
}

fn publish(broker: &MemoryBroker, topic: &str, offset: u64) -> Position {
    let position = at_once(broker.publish(topic, Publish::new(say(topic, offset, 0)))).expect("published");
    assert_eq!(position.offset, offset);
    position
}

fn subscribe(broker: &MemoryBroker, node: &str, topic: &str) -> Position {
    at_once(broker.subscribe(node, topic)).expect("subscribed")
}

fn node(topic: &str) -> Sim {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    sim.members[one].subscribe(topic, Subscription::new()).expect("subscribed");
    sim
}

/// catalogue: BR-09
#[test]
fn each_node_gets_each_message_once_and_in_the_same_order_the_publishers_own_too() {
    let broker = MemoryBroker::new(HistoryLimits::default());
    let mut nodes = [node("t"), node("t"), node("u")];
    for (at, sim) in nodes.iter().enumerate() {
        broker.attach(&at.to_string(), &sim.topics);
    }
    for node in ["0", "1"] {
        subscribe(&broker, node, "t");
        subscribe(&broker, node, "t");
    }
    subscribe(&broker, "2", "u");
    for offset in 1..=5 {
        publish(&broker, "t", offset);
    }
    let epoch = publish(&broker, "u", 1).epoch;
    let expected = [(1..=5).map(|offset| message("t", offset)).collect(), vec![message("u", 1)]];
    for (sim, expected) in nodes.iter_mut().zip([&expected[0], &expected[0], &expected[1]]) {
        sim.work();
        assert_eq!(sim.got(0), *expected);
    }
    assert_eq!(nodes[0].topics.position("u"), None, "who has not subscribed is not delivered to");
    assert_eq!(nodes[2].topics.position("u"), Some(Position { epoch, offset: 1 }));

    at_once(broker.unsubscribe("0", "t")).expect("unsubscribed");
    assert_eq!(subscribe(&broker, "1", "t").offset, 5);
    publish(&broker, "t", 6);
    nodes.iter_mut().for_each(Sim::work);
    assert_eq!((nodes[0].got(0), nodes[1].got(0)), (vec![], vec![message("t", 6)]));
}

/// Whoever publishes is told, and nobody gets it: the broker is the only way.
///
/// catalogue: BR-19
#[test]
fn what_cannot_be_published_is_an_error_and_no_local_matter() {
    let broker = MemoryBroker::new(HistoryLimits::NONE);
    let mut sim = node(">");
    broker.attach("a", &sim.topics);
    subscribe(&broker, "a", "*");
    let refused = at_once(broker.publish("*", "?".into()));
    assert_eq!(refused, Err(BrokerError::Topic(NameError::Wildcard.into())));
    sim.work();
    assert_eq!((sim.got(0), sim.topics.len()), (vec![], 0));
}

#[test]
fn who_is_attached_anew_has_not_subscribed_yet() {
    let broker = MemoryBroker::new(HistoryLimits::NONE);
    let (mut before, mut after) = (node("t"), node("t"));
    let nobody = at_once(broker.subscribe("a", "t"));
    assert_eq!(nobody, Err(BrokerError::Refused("no node a".into())));
    broker.attach("a", &before.topics);
    subscribe(&broker, "a", "t");
    broker.attach("a", &after.topics);
    publish(&broker, "t", 1);
    subscribe(&broker, "a", "t");
    publish(&broker, "t", 2);
    before.work();
    after.work();
    assert_eq!((before.got(0), after.got(0)), (vec![], vec![message("t", 2)]));
}

/// Members are numbered alike on every node; who is excepted is one of them.
#[test]
fn who_is_excepted_on_one_node_gets_what_others_say_on_another() {
    let broker = MemoryBroker::new(HistoryLimits::NONE);
    let mut nodes = [node("t"), node("t")];
    for (at, sim) in nodes.iter().enumerate() {
        broker.attach(&at.to_string(), &sim.topics);
        subscribe(&broker, &at.to_string(), "t");
    }
    let publish = Publish::new(say("t", 1, 0)).except(&nodes[0].members[0]);
    at_once(broker.publish("t", publish)).expect("published");
    nodes.iter_mut().for_each(Sim::work);
    assert_eq!((nodes[0].got(0), nodes[1].got(0)), (vec![], vec![message("t", 1)]));
}

#[test]
fn what_a_node_has_no_room_for_is_told_to_its_members_as_lost() {
    let broker = MemoryBroker::new(HistoryLimits::NONE);
    let (mut stuck, mut other) = (node("t"), node("t"));
    for (name, sim) in [("stuck", &stuck), ("other", &other)] {
        broker.attach(name, &sim.topics);
        subscribe(&broker, name, "t");
    }
    publish(&broker, "t", 1);
    stuck.work();
    let large = Publish::new(vec![0; 65 << 20]);
    stuck.topics.publish_to_all(large).expect("there is room");
    stuck.break_off(0);
    for offset in 2..=4 {
        publish(&broker, "t", offset);
    }
    let next = stuck.join(0);
    stuck.members[next].subscribe("t", Subscription::new()).expect("subscribed");
    publish(&broker, "t", 5);
    stuck.work();
    publish(&broker, "t", 6);
    stuck.work();
    other.work();
    assert_eq!(stuck.got(next), [gap("t", 5, 5, "broker"), message("t", 6)]);
    assert_eq!(other.got(0), (1..=6).map(|offset| message("t", offset)).collect::<Vec<_>>());
    assert_eq!(stuck.members[0].lost(), 0, "its connection is gone");
}

/// catalogue: BR-20
#[test]
fn a_brokers_history_is_for_all_nodes() {
    let broker = MemoryBroker::new(HistoryLimits { messages: 3, ..HistoryLimits::default() });
    let mut late = node("another");
    broker.attach("late", &late.topics);
    for offset in 1..=5 {
        publish(&broker, "t", offset);
    }
    let position = subscribe(&broker, "late", "t");
    let page = |since| {
        let page = at_once(broker.history("t", since, 9)).expect("answered");
        let offsets = page.messages.iter().map(|publication| publication.position().offset);
        (offsets.collect::<Vec<_>>(), page.complete)
    };
    assert_eq!(page(None), (vec![3, 4, 5], true));
    assert_eq!(page(Some(Position { offset: 2, ..position })), (vec![3, 4, 5], true));
    assert_eq!(page(Some(Position { offset: 1, ..position })), (vec![], false));
    assert_eq!(page(Some(Position { offset: 6, ..position })), (vec![], false));
    assert_eq!(page(Some(Position { epoch: position.epoch + 1, offset: 4 })), (vec![], false));
    late.work();
    assert_eq!(late.got(0), []);
}

fn present(identity: &str, connections: u32) -> Present {
    Present { identity: identity.into(), connections }
}

#[test]
fn presence_is_the_sum_over_nodes_whose_lease_has_not_ended() {
    let (clock, lease) = (Clock::new(), Duration::from_secs(10));
    let broker = MemoryBroker::with_clock(HistoryLimits::NONE, lease, {
        let clock = clock.clone();
        move || clock.now()
    });
    for name in ["a", "b"] {
        broker.attach(name, &Sim::new(1).topics);
    }
    let say = |node, topic, present| at_once(broker.present(node, topic, present)).expect("said");
    let who = || at_once(broker.presence("t")).expect("answered");
    say("a", "t", vec![present("ann", 2), present("ben", 1)]);
    say("b", "t", vec![present("ann", 1), present("cat", 1)]);
    say("b", "another", vec![present("dan", 1)]);
    assert_eq!(who(), [present("ann", 3), present("ben", 1), present("cat", 1)]);
    say("a", "t", vec![present("ben", 2)]);
    assert_eq!(who(), [present("ann", 1), present("ben", 2), present("cat", 1)]);
    say("a", "t", vec![]);
    assert_eq!(who(), [present("ann", 1), present("cat", 1)]);
    say("a", "t", vec![present("ann", 1)]);

    clock.advance(Duration::from_secs(6));
    at_once(broker.renew("a")).expect("renewed");
    clock.advance(Duration::from_secs(4));
    assert_eq!(
        who(),
        [present("ann", 2), present("cat", 1)],
        "the lease ends after ten seconds, not with them"
    );
    clock.advance(Duration::from_millis(1));
    assert_eq!(who(), [present("ann", 1)], "b is not heard of any more");
    at_once(broker.renew("b")).expect("renewed");
    assert_eq!(who(), [present("ann", 2), present("cat", 1)]);
    broker.attach("b", &Sim::new(1).topics);
    assert_eq!(who(), [present("ann", 1)], "who was b before is no more");
    assert_eq!(at_once(broker.renew("c")), Err(BrokerError::Refused("no node c".into())));
}

/// Who subscribes first is told where the topic is at the broker, and comes back from there.
#[test]
fn a_place_is_taken_over_and_never_taken_back() {
    let topics = Topics::builder().history(HistoryLimits::default()).build();
    let at = |epoch, offset| Position { epoch, offset };
    topics.place("t", at(9, 5)).expect("it is a name");
    assert_eq!(topics.position("t"), Some(at(9, 5)));
    topics.deliver("t", at(9, 6), "six").expect("there is room");
    topics.place("t", at(9, 5)).expect("it is a name");
    assert_eq!(topics.position("t"), Some(at(9, 6)), "it was asked before and answered after");
    let local = Local::new(&topics);
    let back = local.member().subscribe("t", Subscription::new().since(at(9, 5))).expect("subscribed");
    assert_eq!((back.position, back.recovered), (Some(at(9, 6)), Some(1)));
    topics.place("t", at(8, 1)).expect("it is a name");
    assert_eq!(topics.position("t"), Some(at(8, 1)), "another run");
    assert_eq!(topics.place("t:*", at(8, 1)), Err(TopicError::Name(NameError::Wildcard)));
}

#[test]
fn what_is_delivered_may_tell_its_place() {
    let topics = Topics::builder()
        .tell_place(|position, message| match message.as_text()? {
            "panic" => panic!("for a test"),
            "as it is" => None,
            text => Some(format!("{text} at {}", position.offset).into()),
        })
        .build();
    let local = Local::new(&topics);
    local.member().subscribe("t", Subscription::new()).expect("subscribed");
    for (offset, text) in [(5, "this"), (6, "as it is"), (7, "panic")] {
        topics.deliver("t", Position { epoch: 9, offset }, text).expect("there is room");
    }
    topics.publish("t", "our own").expect("there is room");
    let taken = local.take(std::time::Instant::now());
    let texts: Vec<_> = taken.iter().filter_map(|message| message.as_text()).collect();
    assert_eq!(texts, ["this at 5", "as it is", "panic", "our own"]);
}
