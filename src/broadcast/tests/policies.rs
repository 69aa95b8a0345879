//! What each policy keeps of ten messages to a socket that takes nothing, to the message.

use std::{sync::Arc, time::Duration};

use super::simulation::{Sim, gap, message, say};
use crate::{
    broadcast::{ConflateBy, OverflowPolicy, Publish, Published, Publishing, Subscription},
    proto::CloseCode,
};

/// Publishes ten to one who takes nothing and of whose messages three may wait, at once or one a turn; what came of each.
fn ten_to_a_stalled_one(sim: &mut Sim, policy: OverflowPolicy, at_once: bool) -> Vec<[u32; 4]> {
    let one = sim.join(0);
    let subscription = Subscription::new().policy(policy).messages_max(3);
    sim.members[one].subscribe("t", subscription).expect("subscribed");
    sim.work();
    sim.stall(one);
    let mut publishings: Vec<Publishing> = Vec::new();
    for at in 0..10 {
        let key = ["a", "b"][at % 2];
        publishings.push(sim.publish_with("t", 0, |publish| publish.key(key)).expect("published"));
        if !at_once {
            sim.work();
        }
    }
    sim.work();
    publishings.iter().map(counts).collect()
}

fn counts(publishing: &Publishing) -> [u32; 4] {
    let Published { delivered, queued, dropped, displaced } =
        publishing.published().expect("all have counted");
    [delivered, queued, dropped, displaced]
}

const QUEUED: [u32; 4] = [0, 1, 0, 0];
const DROPPED: [u32; 4] = [0, 0, 1, 0];
const DISPLACES: [u32; 4] = [0, 1, 0, 1];

fn both(test: impl Fn(bool)) {
    test(true);
    test(false);
}

#[test]
fn drop_newest_keeps_the_first_and_tells_the_rest_as_one_gap() {
    both(|at_once| {
        let mut sim = Sim::new(1);
        let counted = ten_to_a_stalled_one(&mut sim, OverflowPolicy::DropNewest, at_once);
        // One is being written, three wait.
        assert_eq!(counted, [[QUEUED; 4].as_slice(), &[DROPPED; 6]].concat());
        assert_eq!(sim.members[0].lost(), 6);
        assert_eq!(sim.waiting(0), [("t".into(), 3, 3 * 8, 1)]);
        sim.drain();
        let mut expected: Vec<_> = (1..=4).map(|offset| message("t", offset)).collect();
        expected.push(gap("t", 5, 10, "slow"));
        assert_eq!(sim.got(0), expected);
        assert_eq!(sim.members[0].lost(), 6);
    });
}

#[test]
fn drop_oldest_keeps_the_last_and_tells_the_rest_as_one_gap() {
    both(|at_once| {
        let mut sim = Sim::new(1);
        let counted = ten_to_a_stalled_one(&mut sim, OverflowPolicy::DropOldest, at_once);
        assert_eq!(counted, [[QUEUED; 4].as_slice(), &[DISPLACES; 6]].concat());
        assert_eq!(sim.members[0].lost(), 6);
        sim.drain();
        let [first, lost] = [message("t", 1), gap("t", 2, 7, "slow")];
        assert_eq!(sim.got(0), [first, lost, message("t", 8), message("t", 9), message("t", 10)]);
    });
}

#[test]
fn conflate_by_key_keeps_the_newest_of_each() {
    both(|at_once| {
        let mut sim = Sim::new(1);
        let policy = OverflowPolicy::Conflate(ConflateBy::Key);
        let counted = ten_to_a_stalled_one(&mut sim, policy, at_once);
        // The first of a is being written; b's and a's first that wait displace nobody.
        assert_eq!(counted, [[QUEUED; 3].as_slice(), &[DISPLACES; 7]].concat());
        assert_eq!(sim.members[0].lost(), 7);
        sim.drain();
        assert_eq!(sim.got(0), [message("t", 1), gap("t", 2, 8, "slow"), message("t", 9), message("t", 10)]);
    });
}

#[test]
fn conflate_by_topic_keeps_the_newest() {
    both(|at_once| {
        let mut sim = Sim::new(1);
        let policy = OverflowPolicy::Conflate(ConflateBy::Topic);
        let counted = ten_to_a_stalled_one(&mut sim, policy, at_once);
        assert_eq!(counted, [[QUEUED; 2].as_slice(), &[DISPLACES; 8]].concat());
        sim.drain();
        assert_eq!(sim.got(0), [message("t", 1), gap("t", 2, 9, "slow"), message("t", 10)]);
        assert_eq!(sim.members[0].lost(), 8);
    });
}

/// catalogue: DS-30
#[test]
fn who_is_too_slow_is_closed_with_the_subscriptions_code_and_told_how_much_was_dropped() {
    both(|at_once| {
        let mut sim = Sim::new(1);
        let policy = OverflowPolicy::Disconnect(CloseCode::AWAY);
        let counted = ten_to_a_stalled_one(&mut sim, policy, at_once);
        assert_eq!(counted, [[QUEUED; 4].as_slice(), &[DROPPED; 6]].concat(), "at once: {at_once}");
        assert_eq!(sim.waiting(0), [], "nothing is kept for who is closed");
        sim.take(0, usize::MAX);
        // The one that was being written leaves before the Close.
        assert_eq!(sim.got(0), [message("t", 1)]);
        let reason = "too slow: 4 messages dropped".to_owned();
        assert_eq!(sim.socket(0).closed, Some((CloseCode::AWAY, reason)));
        assert_eq!(sim.members[0].lost(), 4);
    });
}

#[test]
fn a_message_larger_than_any_bound_is_admitted_where_nothing_waits() {
    let mut sim = Sim::with(1, |topics| topics, |config| config.outbox_bytes_low(0).outbox_bytes_max(1000));
    let one = sim.join(0);
    let subscription = Subscription::new().policy(OverflowPolicy::DropNewest).bytes_max(1);
    sim.members[one].subscribe("t", subscription).expect("subscribed");
    sim.work();
    sim.stall(one);
    let publish = |sim: &mut Sim, bytes| {
        let publishing = sim.publish_with("t", bytes, |publish| publish).expect("published");
        sim.work();
        counts(&publishing)
    };
    assert_eq!(publish(&mut sim, 100_000), QUEUED);
    assert_eq!(publish(&mut sim, 0), DROPPED, "the outbox is above its bound");
    sim.take(one, usize::MAX);
    sim.work();
    assert_eq!(sim.got(one), [message("t", 1), gap("t", 2, 2, "slow")]);
    sim.stall(one);
    // Within the connection's bound, the subscription's is for who waits, but for the first who does.
    assert_eq!(publish(&mut sim, 300), QUEUED);
    assert_eq!(publish(&mut sim, 300), QUEUED);
    assert_eq!(publish(&mut sim, 0), DROPPED);
}

/// Of 1,000 bytes that may wait 1,000 do, and of three messages three: at the limit is within it.
#[test]
fn bounds_are_kept_to_the_byte_and_to_the_message() {
    for (bytes_max, fits) in [(3 * 104 - 1, 2), (3 * 104, 3), (3 * 104 + 1, 3)] {
        let mut sim = Sim::new(1);
        let one = sim.join(0);
        let subscription = Subscription::new().policy(OverflowPolicy::DropNewest).bytes_max(bytes_max);
        sim.members[one].subscribe("t", subscription).expect("subscribed");
        sim.work();
        sim.stall(one);
        for _ in 0..6 {
            sim.publish_with("t", 102, |publish| publish).expect("published");
        }
        sim.work();
        assert_eq!(sim.waiting(one), [("t".into(), fits, fits * 104, 1)], "{bytes_max}");
    }
    for (bytes_max, fits) in [(4 * 104 - 1, 3), (4 * 104, 4), (4 * 104 + 1, 4)] {
        let mut sim =
            Sim::with(1, |topics| topics, |config| config.outbox_bytes_low(0).outbox_bytes_max(bytes_max));
        let one = sim.join(0);
        for topic in ["t", "u"] {
            let subscription = Subscription::new().policy(OverflowPolicy::DropNewest);
            sim.members[one].subscribe(topic, subscription).expect("subscribed");
        }
        sim.work();
        sim.stall(one);
        for at in 0..8 {
            sim.publish_with(["t", "u"][at % 2], 102, |publish| publish).expect("published");
        }
        sim.work();
        let waits: usize = sim.waiting(one).iter().map(|(_, messages, ..)| messages).sum();
        assert_eq!(1 + waits, fits, "one in the outbox and those that wait, of {bytes_max} bytes");
    }
    for messages_max in [1, 2, 5] {
        let mut sim = Sim::with(1, |topics| topics, |config| config.outbox_messages_max(messages_max));
        let one = sim.join(0);
        let subscription = Subscription::new().policy(OverflowPolicy::DropOldest);
        sim.members[one].subscribe("t", subscription).expect("subscribed");
        sim.work();
        sim.stall(one);
        (0..9).for_each(|_| drop(sim.publish("t").expect("published")));
        sim.work();
        let waits: usize = sim.waiting(one).iter().map(|(_, messages, ..)| messages).sum();
        assert_eq!(1 + waits, messages_max);
    }
}

/// catalogue: G-5
#[test]
fn a_hot_key_costs_no_more_than_its_newest_however_often_it_is_updated() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let policy = OverflowPolicy::Conflate(ConflateBy::Key);
    sim.members[one].subscribe("t", Subscription::new().policy(policy)).expect("subscribed");
    sim.work();
    sim.stall(one);
    for key in 0..100 {
        sim.publish_with("t", 0, |publish| publish.key(format!("cold {key}"))).expect("published");
    }
    let (mut most, hot) = (0, Publish::new(say("t", 0, 0)).key("hot"));
    // Without optimization a million would take half a minute.
    let times = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for at in 0..times {
        sim.topics.publish("t", hot.clone()).expect("published");
        if at % 1000 == 0 {
            sim.work();
            most = most.max(sim.waiting(one)[0].3);
        }
    }
    sim.work();
    let [(_, messages, _, gaps)] = &*sim.waiting(one) else { panic!("one subscription waits") };
    assert_eq!((*messages, *gaps), (100, 1));
    assert!(most <= 1, "{most} gaps");
    assert_eq!(sim.members[one].lost(), times - 1);
}

/// A wildcard's losses are told topic by topic, and there is an end to how many may wait to be told.
#[test]
fn a_wildcard_that_loses_of_too_many_topics_is_closed() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let subscription = Subscription::new().policy(OverflowPolicy::DropNewest).messages_max(3);
    sim.members[one].subscribe(">", subscription).expect("subscribed");
    sim.work();
    sim.stall(one);
    // One is being written, and three wait.
    for topic in ["w", "x", "y", "z"] {
        sim.publish(topic).expect("published");
    }
    let gaps_max = 1024 + 3;
    for at in 0..gaps_max {
        sim.publish(&format!("t:{at}")).expect("published");
    }
    sim.work();
    assert_eq!(sim.waiting(one)[0].3, gaps_max);
    // Of a topic of which something is lost already.
    for _ in 0..3 {
        sim.publish("t:0").expect("published");
        sim.work();
    }
    assert_eq!(sim.waiting(one)[0].3, gaps_max);
    let publishing = sim.publish("one:more").expect("published");
    sim.work();
    assert_eq!(counts(&publishing), DROPPED);
    sim.take(one, usize::MAX);
    assert_eq!(sim.socket(one).closed, Some((CloseCode::POLICY, "too slow: 3 messages dropped".to_owned())));
}

/// Two wildcards and a name match, and the message waits once, by the terms of the name.
///
/// catalogue: ZC-33
#[test]
fn what_several_subscriptions_match_waits_by_the_terms_of_the_exact_one() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    for (name, messages_max) in [(">", 9), ("t:x", 2), ("t:*", 9)] {
        let subscription = Subscription::new().policy(OverflowPolicy::DropNewest).messages_max(messages_max);
        sim.members[one].subscribe(name, subscription).expect("subscribed");
    }
    sim.work();
    sim.stall(one);
    (0..5).for_each(|_| drop(sim.publish("t:x").expect("published")));
    sim.work();
    assert_eq!(sim.waiting(one), [("t:x".into(), 2, 2 * 10, 1)]);
    sim.drain();
    let mut expected: Vec<_> = (1..=3).map(|offset| message("t:x", offset)).collect();
    expected.push(gap("t:x", 4, 5, "slow"));
    assert_eq!(sim.got(one), expected);
}

/// Losing of many topics by turns costs about the same for each message, however many there are.
///
/// catalogue: G-5
#[test]
fn losses_of_many_topics_cost_linear_time() {
    for policy in
        [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Conflate(ConflateBy::Topic)]
    {
        let cost = |topics: usize| {
            let mut sim = Sim::new(1);
            let one = sim.join(0);
            let subscription = Subscription::new().policy(policy).messages_max(100);
            sim.members[one].subscribe(">", subscription).expect("subscribed");
            sim.work();
            sim.stall(one);
            let names: Vec<Arc<str>> = (0..topics).map(|at| format!("t:{at}").into()).collect();
            let began = std::time::Instant::now();
            for name in names.iter().cycle().take(10_000) {
                sim.publish(name).expect("published");
            }
            sim.work();
            assert!(sim.is_open(one));
            began.elapsed()
        };
        let (few, many) = (cost(120), cost(1000));
        assert!(
            many < few * 12 + Duration::from_millis(100),
            "{policy:?}: {few:?} for 120 topics, {many:?} for 1000"
        );
    }
}

/// What waits of a subscription that ends is owed still; what comes after it is not.
#[test]
fn what_was_published_before_an_unsubscribe_still_comes() {
    let mut sim = Sim::new(1);
    let member = sim.join(0);
    sim.members[member].subscribe("t", Subscription::new()).expect("a topic");
    sim.work();
    sim.stall(member);
    for _ in 0..3 {
        sim.publish("t").expect("a topic");
        sim.work();
    }
    assert!(sim.members[member].unsubscribe("t"));
    sim.publish("t").expect("a topic");
    sim.members[member].subscribe("t", Subscription::new()).expect("a topic");
    sim.publish("t").expect("a topic");
    sim.drain();
    assert_eq!(sim.got(member), [1, 2, 3, 5].map(|offset| message("t", offset)));
}
