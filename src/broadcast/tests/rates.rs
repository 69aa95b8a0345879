//! No more messages a second than a subscriber wants, by a clock that only the test moves.

use std::{collections::HashMap, time::Duration};

use super::simulation::{Got, Sim, gap, message};
use crate::broadcast::{ConflateBy, OverflowPolicy, Subscription};

/// Two messages each millisecond for ten seconds, with these keys by turns; what came of them, and when.
fn for_ten_seconds(sim: &mut Sim, one: usize, keys: usize) -> Vec<(u64, Got)> {
    for at in 0..20_000 {
        sim.publish_with("t", 0, |publish| publish.key(vec![(at % keys) as u8])).expect("published");
        if at % 2 == 1 {
            sim.work();
            sim.clock.advance(Duration::from_millis(1));
        }
    }
    sim.drain();
    let came = std::mem::take(&mut sim.socket(one).came);
    came.into_iter().zip(sim.got(one)).collect()
}

fn messages(came: &[(u64, Got)]) -> Vec<(u64, u64)> {
    let messages = came.iter().filter_map(|(at, got)| match got {
        Got::Message { offset, .. } => Some((*at, *offset)),
        _ => None,
    });
    messages.collect()
}

#[test]
fn two_a_second_come_of_two_thousand_and_the_newest_at_the_end() {
    for policy in [OverflowPolicy::default(), OverflowPolicy::DropNewest, OverflowPolicy::DropOldest] {
        let mut sim = Sim::new(1);
        let one = sim.join(0);
        let subscription = Subscription::new().policy(policy).max_rate(2);
        sim.members[one].subscribe("t", subscription).expect("subscribed");
        let came = for_ten_seconds(&mut sim, one, 1);
        // Each 500 ms what was the newest when the shard had its turn, after all else was told as lost.
        let mut expected = vec![(0, message("t", 1))];
        for at in 1..=20 {
            let newest = (at * 1000).min(20_000);
            let before = if at == 1 { 1 } else { (at - 1) * 1000 };
            if newest > before + 1 {
                expected.push((at * 500, gap("t", before + 1, newest - 1, "rate")));
            }
            expected.push((at * 500, message("t", newest)));
        }
        assert_eq!(came, expected, "{policy:?}");
        assert_eq!(sim.members[one].lost(), 20_000 - 21);
    }
}

#[test]
fn each_key_has_its_turn_and_ends_with_its_newest() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let policy = OverflowPolicy::Conflate(ConflateBy::Key);
    let subscription = Subscription::new().policy(policy).at_most_every(Duration::from_millis(500));
    sim.members[one].subscribe("t", subscription).expect("subscribed");
    let came = for_ten_seconds(&mut sim, one, 4);
    let messages = messages(&came);
    let times: Vec<_> = messages.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, (0..24).map(|at| at * 500).collect::<Vec<_>>(), "twenty, and what four keys have left");
    let mut by_key: HashMap<u64, Vec<u64>> = HashMap::new();
    for (_, offset) in messages {
        by_key.entry((offset - 1) % 4).or_default().push(offset);
    }
    for (key, offsets) in by_key {
        assert_eq!(offsets.last(), Some(&(19_997 + key)), "{offsets:?}");
    }
}

#[test]
fn what_is_published_seldom_comes_at_once() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    sim.members[one].subscribe("t", Subscription::new().max_rate(2)).expect("subscribed");
    for at in 0..3 {
        sim.publish("t").expect("published");
        sim.work();
        assert_eq!(sim.got(one), [message("t", at + 1)]);
        assert_eq!(sim.shards[0].poll_timeout(), None);
        sim.clock.advance(Duration::from_millis(500));
    }
    sim.publish("t").expect("published");
    sim.publish("t").expect("published");
    let due = sim.clock.now() + Duration::from_millis(500);
    sim.work();
    assert_eq!(sim.got(one), [message("t", 4)]);
    assert_eq!(sim.shards[0].poll_timeout(), Some(due));
    sim.clock.advance(Duration::from_millis(499));
    sim.work();
    assert_eq!(sim.got(one), []);
    sim.clock.advance(Duration::from_millis(1));
    sim.work();
    assert_eq!(sim.got(one), [message("t", 5)]);
    assert_eq!(sim.shards[0].poll_timeout(), None);
}

#[test]
fn one_subscriptions_rate_is_nobody_elses() {
    let mut sim = Sim::new(1);
    let (one, other) = (sim.join(0), sim.join(0));
    sim.members[one].subscribe("slow", Subscription::new().max_rate(1)).expect("subscribed");
    sim.members[one].subscribe("fast", Subscription::new()).expect("subscribed");
    sim.members[other].subscribe("slow", Subscription::new()).expect("subscribed");
    for _ in 0..3 {
        sim.publish("slow").expect("published");
        sim.publish("fast").expect("published");
        sim.work();
    }
    let fast: Vec<_> = [1, 2, 3].map(|offset| message("fast", offset)).into();
    assert_eq!(sim.got(one), [&[message("slow", 1)], &*fast].concat());
    assert_eq!(sim.got(other), [1, 2, 3].map(|offset| message("slow", offset)));
    sim.clock.advance(Duration::from_secs(1));
    sim.work();
    assert_eq!(sim.got(one), [gap("slow", 2, 2, "rate"), message("slow", 3)]);
}

#[test]
fn who_stalled_gets_no_more_a_second_afterwards() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let policy = OverflowPolicy::DropOldest;
    let subscription = Subscription::new().policy(policy).messages_max(4).max_rate(10);
    sim.members[one].subscribe("t", subscription).expect("subscribed");
    sim.work();
    sim.stall(one);
    for _ in 0..8 {
        sim.publish("t").expect("published");
        sim.work();
        sim.clock.advance(Duration::from_millis(100));
    }
    sim.drain();
    let came = std::mem::take(&mut sim.socket(one).came);
    let came: Vec<_> = came.into_iter().zip(sim.got(one)).collect();
    let mut expected = vec![(800, message("t", 1)), (800, gap("t", 2, 4, "slow"))];
    expected.extend([5, 6, 7, 8].map(|offset| (300 + offset * 100, message("t", offset))));
    assert_eq!(came, expected);
}

/// What is published to all has terms like a topic, of which the rate was forgotten.
#[test]
fn what_is_published_to_all_has_a_rate_too() {
    let everybody = Subscription::new().policy(OverflowPolicy::DropOldest).max_rate(2);
    let mut sim = Sim::with(1, |topics| topics.everybody(everybody), |config| config);
    let one = sim.join(0);
    for at in 0..10 {
        sim.topics.publish_to_all(super::simulation::say("all", at + 1, 0)).expect("published");
        sim.work();
        sim.clock.advance(Duration::from_millis(100));
    }
    sim.drain();
    let came = std::mem::take(&mut sim.socket(one).came);
    let came: Vec<_> = came.into_iter().zip(sim.got(one)).collect();
    assert_eq!(messages(&came), [(0, 1), (500, 5), (1000, 10)]);
}

/// Handed over and taken back while a newer one of its key waited for the rate: only the newer one is wanted.
#[test]
fn what_is_taken_back_makes_way_for_a_newer_one_of_its_key() {
    for (policy, lost) in
        [(OverflowPolicy::Conflate(ConflateBy::Key), "slow"), (OverflowPolicy::DropNewest, "rate")]
    {
        let mut sim = Sim::new(1);
        let one = sim.join(0);
        sim.members[one].subscribe("t", Subscription::new().policy(policy).max_rate(1)).expect("subscribed");
        sim.work();
        sim.stall(one);
        // The one that stays in the outbox.
        assert!(sim.send_own(one, "first"));
        let publishings =
            [1, 2].map(|_| sim.publish_with("t", 0, |publish| publish.key("k")).expect("published"));
        sim.work();
        assert_eq!(sim.waiting(one), [("t".into(), 1, 8, 1)]);
        let counted = publishings.map(|publishing| publishing.published().expect("all have counted"));
        assert_eq!(counted.map(|published| (published.queued, published.dropped)), [(0, 1), (1, 0)]);
        sim.drain();
        assert_eq!(sim.got(one), [Got::Own("first".into()), gap("t", 1, 1, lost), message("t", 2)]);
        assert_eq!(sim.members[one].lost(), 1);
    }
}

/// What waits of a subscription that has ended comes before what the next one of the same topic brings, whatever its rate was.
#[test]
fn the_next_subscription_does_not_overtake_what_the_last_ones_rate_held_back() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    sim.members[one].subscribe("t", Subscription::new().max_rate(1)).expect("subscribed");
    sim.work();
    sim.stall(one);
    sim.publish("t").expect("published");
    sim.work();
    sim.publish("t").expect("published");
    sim.work();
    assert!(sim.members[one].unsubscribe("t"));
    sim.members[one].subscribe("t", Subscription::new()).expect("subscribed");
    sim.publish("t").expect("published");
    sim.work();
    sim.drain();
    assert_eq!(sim.got(one), [1, 2, 3].map(|offset| message("t", offset)));
    assert_eq!(sim.socket(one).came, [0; 3], "and not later than it could");
}
