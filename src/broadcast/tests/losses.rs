//! What is counted of all subscribers: each loss once, by its reason, and what waits.

use std::time::Duration;

use super::simulation::{Got, Sim, gap, message};
use crate::{
    broadcast::{Backlog, ConflateBy, Losses, OverflowPolicy, Position, Published, Subscription},
    proto::{CloseCode, CloseFrame},
};

fn subscribe(sim: &mut Sim, policy: OverflowPolicy) -> usize {
    let one = sim.join(0);
    let subscription = Subscription::new().policy(policy).messages_max(3);
    sim.members[one].subscribe("t", subscription).expect("subscribed");
    sim.work();
    one
}

/// Publishes so many, a turn each.
fn publish(sim: &mut Sim, messages: usize) {
    for _ in 0..messages {
        sim.publish("t").expect("published");
        sim.work();
    }
}

fn backlog(sim: &Sim) -> (u64, u64) {
    let Backlog { messages, bytes } = sim.topics.backlog();
    (messages, bytes)
}

#[test]
fn who_is_too_slow_loses_what_its_policy_drops() {
    for (policy, waits, slow) in [
        (OverflowPolicy::DropNewest, 3, 6),
        (OverflowPolicy::DropOldest, 3, 6),
        (OverflowPolicy::Conflate(ConflateBy::Key), 1, 8),
    ] {
        let mut sim = Sim::new(1);
        let [one, _fast] = [subscribe(&mut sim, policy), subscribe(&mut sim, policy)];
        sim.stall(one);
        publish(&mut sim, 10);
        assert_eq!(sim.topics.losses(), Losses { slow, ..Losses::default() }, "{policy:?}");
        assert_eq!(backlog(&sim).0, waits);
        // Of the gap, and of what comes behind it, a part at a time: it is taken back and told again.
        while sim.topics.backlog() != Backlog::default() {
            sim.take(one, 1);
            sim.work();
        }
        sim.drain();
        assert_eq!(sim.topics.losses(), Losses { slow, ..Losses::default() }, "{policy:?}");
        assert_eq!(sim.got(one).len() as u64, 1 + waits + 1);
    }
}

#[test]
fn who_is_disconnected_loses_what_waited_and_what_still_comes() {
    let mut sim = Sim::new(1);
    let one = subscribe(&mut sim, OverflowPolicy::default());
    sim.stall(one);
    publish(&mut sim, 4);
    assert_eq!((sim.topics.losses(), backlog(&sim)), (Losses::default(), (3, 3 * 8)));
    publish(&mut sim, 1);
    assert_eq!(sim.topics.losses(), Losses { closed: 4, disconnected: 1, ..Losses::default() });
    publish(&mut sim, 5);
    let losses = Losses { closed: 9, disconnected: 1, ..Losses::default() };
    assert_eq!((sim.topics.losses(), backlog(&sim)), (losses, (0, 0)));
    assert_eq!((sim.members[one].lost(), losses.messages()), (4, 9));
    sim.topics.lost("t", Position { epoch: 1, offset: 11 }, 12).expect("a name");
    sim.work();
    assert_eq!(sim.topics.losses(), Losses { broker: 2, ..losses });
}

#[test]
fn who_is_sent_away_loses_what_comes_after_it() {
    let mut sim = Sim::new(1);
    let one = subscribe(&mut sim, OverflowPolicy::default());
    sim.stall(one);
    publish(&mut sim, 4);
    let frame = CloseFrame::new(CloseCode::RESTART, "bye").expect("it may be sent");
    assert!(sim.members[one].close(frame));
    publish(&mut sim, 2);
    let losses = Losses { closed: 2, ..Losses::default() };
    assert_eq!((sim.topics.losses(), backlog(&sim)), (losses, (3, 3 * 8)));
    sim.drain();
    assert_eq!(sim.got(one), [1, 2, 3, 4].map(|offset| message("t", offset)));
    assert_eq!(sim.socket(one).closed, Some((CloseCode::RESTART, "bye".into())));
    assert_eq!((sim.topics.losses(), backlog(&sim)), (losses, (0, 0)));
}

#[test]
fn what_waits_for_who_breaks_off_or_leaves_is_lost() {
    for breaks_off in [true, false] {
        let mut sim = Sim::new(1);
        let one = subscribe(&mut sim, OverflowPolicy::default());
        sim.stall(one);
        publish(&mut sim, 4);
        if breaks_off {
            sim.break_off(one);
            publish(&mut sim, 1);
        }
        sim.members[one].leave();
        publish(&mut sim, 1);
        let closed = 3 + u64::from(breaks_off);
        let losses = Losses { closed, ..Losses::default() };
        assert_eq!((sim.topics.losses(), backlog(&sim)), (losses, (0, 0)));
    }
    // Of who is closed by its application the shard hears when it wants to give it what waits.
    let mut sim = Sim::new(1);
    let one = subscribe(&mut sim, OverflowPolicy::default());
    sim.stall(one);
    publish(&mut sim, 4);
    sim.close_own(one);
    sim.take(one, usize::MAX);
    publish(&mut sim, 1);
    sim.members[one].leave();
    sim.work();
    assert_eq!(sim.got(one), [message("t", 1)]);
    assert_eq!(sim.topics.losses(), Losses { closed: 4, ..Losses::default() });
    assert_eq!(backlog(&sim), (0, 0));

    let mut sim = Sim::new(1);
    let one = subscribe(&mut sim, OverflowPolicy::default());
    sim.stall(one);
    publish(&mut sim, 4);
    sim.shards.clear();
    assert_eq!(sim.topics.losses(), Losses { closed: 3, ..Losses::default() }, "its shard is over");
    assert_eq!(backlog(&sim), (0, 0));
}

#[test]
fn what_a_rate_leaves_out_is_its_own() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let rare = Subscription::new().at_most_every(Duration::from_secs(1));
    sim.members[one].subscribe("t", rare).expect("subscribed");
    publish(&mut sim, 4);
    assert_eq!((sim.topics.losses(), backlog(&sim)), (Losses { rate: 2, ..Losses::default() }, (1, 8)));
    sim.clock.advance(Duration::from_secs(1));
    sim.work();
    assert_eq!(sim.got(one), [message("t", 1), gap("t", 2, 3, "rate"), message("t", 4)]);
    publish(&mut sim, 1);
    assert_eq!(backlog(&sim), (1, 8));
    // Nobody wants what it held back.
    assert!(sim.members[one].unsubscribe("t"));
    sim.work();
    assert_eq!((sim.topics.losses(), backlog(&sim)), (Losses { rate: 3, ..Losses::default() }, (0, 0)));
}

#[test]
fn what_was_lost_on_the_way_is_lost_for_each_subscriber() {
    let mut sim = Sim::new(2);
    let members = [sim.join(0), sim.join(0), sim.join(1), sim.join(1)];
    for (member, name) in members.into_iter().zip(["t", "*", "t", "u"]) {
        sim.members[member].subscribe(name, Subscription::new()).expect("subscribed");
    }
    sim.stall(0);
    publish(&mut sim, 2);
    let epoch = sim.topics.position("t").expect("it is known").epoch;
    sim.topics.lost("t", Position { epoch, offset: 3 }, 7).expect("a name");
    sim.work();
    assert_eq!(sim.topics.losses(), Losses { broker: 3 * 5, ..Losses::default() });
    sim.drain();
    let expected = [message("t", 1), message("t", 2), gap("t", 3, 7, "broker")];
    assert!((0..3).all(|member| sim.got(member) == expected));
    assert_eq!(sim.got(3), [] as [Got; 0]);
    assert_eq!(sim.topics.losses(), Losses { broker: 3 * 5, ..Losses::default() });
}

/// What had waited for its rate made room for one that found none, and was counted nowhere.
#[test]
fn what_is_displaced_in_vain_is_counted_too() {
    let mut sim = Sim::with(1, |topics| topics, |config| config.outbox_messages_max(2));
    let one = sim.join(0);
    let rare = Subscription::new().at_most_every(Duration::from_secs(1));
    sim.members[one].subscribe("t", rare).expect("subscribed");
    publish(&mut sim, 2);
    sim.stall(one);
    assert!(sim.send_own(one, "1") && sim.send_own(one, "2"));
    let publishing = sim.publish("t").expect("published");
    sim.work();
    let expected = Published { delivered: 0, queued: 0, dropped: 1, displaced: 1 };
    assert_eq!(publishing.published(), Some(expected));
    let losses = Losses { rate: 1, closed: 1, disconnected: 1, ..Losses::default() };
    assert_eq!((sim.topics.losses(), sim.members[one].lost()), (losses, 2));
}
