//! What all histories hold together, and what one gets whose topic had no room.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::simulation::Sim;
use crate::broadcast::{HistoryLimits, Position, Publish, Subscription, TopicError, Topics, TopicsBuilder};

/// What a message takes beside its payload and its key.
const AROUND: usize = 256;

fn holds(bytes_max: usize, more: impl FnOnce(TopicsBuilder) -> TopicsBuilder) -> Sim {
    let keeps = |topics: TopicsBuilder| topics.history(HistoryLimits::default()).history_bytes_max(bytes_max);
    Sim::with(1, |topics| more(keeps(topics)), |config| config)
}

/// Publishes a message that takes so many bytes.
fn publish(topics: &Topics, topic: &str, bytes: usize) -> Position {
    topics.publish(topic, "x".repeat(bytes - AROUND)).expect("published").position()
}

/// What can be recovered since an offset.
fn recovered(sim: &mut Sim, last: Position, topic: &str, offset: u64) -> Option<Vec<u64>> {
    let since = Position { offset, ..last };
    let one = sim.join(0);
    let subscribed = sim.members[one].subscribe(topic, Subscription::new().since(since)).expect("subscribed");
    sim.members[one].leave();
    let page = sim.topics.history(topic, Some(since), 99);
    assert_eq!((page.complete, page.position), (subscribed.recovered.is_some(), last));
    assert_eq!(page.messages.len(), subscribed.recovered.unwrap_or_default());
    let offsets = page.messages.iter().map(|publication| publication.position().offset);
    page.complete.then(|| offsets.collect())
}

/// What the histories of these topics hold, message by message.
fn held(topics: &Topics, names: impl Iterator<Item = String>) -> usize {
    let of_one = |name: String| topics.history(&name, None, 999).messages;
    let key =
        |publication: &crate::broadcast::Publication| publication.key.as_ref().map_or(0, |key| key.len());
    let bytes = |publication: &crate::broadcast::Publication| {
        AROUND + publication.message().payload().len() + key(publication)
    };
    names.flat_map(of_one).map(|publication| bytes(&publication)).sum()
}

/// catalogue: BR-20, DS-41
#[test]
fn whoever_publishes_when_all_is_taken_makes_room_with_its_own() {
    let mut sim = holds(900, |topics| topics);
    for (bytes, of_all) in [(300, 300), (300, 600), (300, 900), (300, 900)] {
        publish(&sim.topics, "a", bytes);
        assert_eq!(sim.topics.history_bytes(), of_all);
    }
    let a = publish(&sim.topics, "a", 299);
    assert_eq!(sim.topics.history_bytes(), 899);
    assert_eq!(recovered(&mut sim, a, "a", 2), Some(vec![3, 4, 5]));
    assert_eq!(recovered(&mut sim, a, "a", 1), None, "2 is gone");

    // Another one has nothing that it could give, and takes nothing.
    let b = publish(&sim.topics, "b", 300);
    assert_eq!((sim.topics.history_bytes(), b.offset), (899, 1));
    assert_eq!(recovered(&mut sim, b, "b", 0), None);
    assert_eq!(recovered(&mut sim, b, "b", 1), Some(vec![]));
    assert_eq!(recovered(&mut sim, a, "a", 2), Some(vec![3, 4, 5]));

    // What cannot be kept leaves nothing before it, and room for others.
    let a = publish(&sim.topics, "a", 901);
    assert_eq!((sim.topics.history_bytes(), recovered(&mut sim, a, "a", 5)), (0, None));
    let b = publish(&sim.topics, "b", 600);
    assert_eq!(recovered(&mut sim, b, "b", 1), Some(vec![2]));
    assert_eq!(recovered(&mut sim, b, "b", 0), None, "1 was never kept");
    let a = publish(&sim.topics, "a", 300);
    assert_eq!((sim.topics.history_bytes(), recovered(&mut sim, a, "a", 6)), (900, Some(vec![7])));
    assert_eq!(recovered(&mut sim, a, "a", 5), None);
}

#[test]
fn keys_count_and_what_has_no_bytes_too() {
    let sim = holds(1000, |topics| topics);
    for of_all in [300, 600, 900, 900] {
        sim.topics.publish("a", Publish::new("").key("k".repeat(44))).expect("published");
        assert_eq!(sim.topics.history_bytes(), of_all);
    }
    let nothing = holds(0, |topics| topics);
    publish(&nothing.topics, "a", AROUND);
    assert_eq!((nothing.topics.history_bytes(), nothing.topics.history("a", None, 9).messages.len()), (0, 0));
}

/// Else who stays in rooms that it has filled once would leave no room to anybody for ever.
#[test]
fn what_is_too_old_gives_its_room_back_where_somebody_stays_subscribed() {
    let mut sim = holds(900, |topics| topics);
    let one = sim.join(0);
    for topic in ["a", "b", "c"] {
        sim.members[one].subscribe(topic, Subscription::new()).expect("subscribed");
        publish(&sim.topics, topic, 300);
        sim.clock.advance(Duration::from_secs(10));
    }
    sim.clock.advance(Duration::from_secs(269));
    sim.topics.forget_idle();
    assert_eq!(sim.topics.history_bytes(), 900, "the first is 299 s old");
    sim.clock.advance(Duration::from_secs(2));
    sim.topics.forget_idle();
    assert_eq!(sim.topics.history_bytes(), 600);
    // Two are left, and somebody else's messages find no room until they are looked at.
    sim.clock.advance(Duration::from_secs(20));
    let finds_room = (0..2 * 64).any(|_| {
        publish(&sim.topics, "z", 640);
        sim.topics.history_bytes() == 640
    });
    assert!(finds_room);
    // A room that somebody is in is looked at once in five minutes, and is not forgotten as the other one is.
    publish(&sim.topics, "a", 256);
    for (seconds, bytes) in [(300, 256), (1, 256), (298, 256), (1, 0)] {
        sim.clock.advance(Duration::from_secs(seconds));
        sim.topics.forget_idle();
        assert_eq!(sim.topics.history_bytes(), bytes);
    }
    assert_eq!((sim.topics.position("a").map(|a| a.offset), sim.topics.aging()), (Some(2), 0));
}

/// A stripe in which nobody publishes any more is nobody's turn.
///
/// catalogue: BR-20, DS-41
#[test]
fn a_sweep_gives_back_what_is_too_old_where_nobody_publishes() {
    let mut sim = holds(1 << 20, |topics| topics.subscriptions_max(2000));
    let one = sim.join(0);
    for at in 0..2000 {
        let name = format!("t:{at}");
        if at % 2 == 0 {
            sim.members[one].subscribe(&name, Subscription::new()).expect("subscribed");
        }
        publish(&sim.topics, &name, 300);
    }
    sim.clock.advance(Duration::from_secs(299));
    sim.topics.sweep();
    assert_eq!((sim.topics.history_bytes(), sim.topics.len()), (2000 * 300, 2000));
    sim.clock.advance(Duration::from_secs(2));
    sim.topics.sweep();
    assert_eq!((sim.topics.history_bytes(), sim.topics.aging(), sim.topics.len()), (0, 0, 1000));
    assert_eq!(sim.topics.position("t:2").map(|position| position.offset), Some(1));
}

/// 64 topics of each lock: many that are old at once do not hold up who publishes.
#[test]
fn a_sweep_does_a_part_at_a_time() {
    let sim = holds(64 << 20, |topics| topics);
    let topics = 64 * 64 * 3;
    for at in 0..topics {
        publish(&sim.topics, &format!("t:{at}"), 300);
    }
    sim.clock.advance(Duration::from_secs(301));
    let mut before = sim.topics.history_bytes();
    assert_eq!(before, topics * 300);
    let mut sweeps = 0;
    while before > 0 {
        sim.topics.sweep();
        let after = sim.topics.history_bytes();
        assert!(after < before && before - after <= 2 * 64 * 64 * 300, "{before} {after}");
        (before, sweeps) = (after, sweeps + 1);
    }
    assert!((2..9).contains(&sweeps), "{sweeps}");
}

#[test]
fn the_count_is_what_is_held_and_0_when_all_is_forgotten() {
    let sim = holds(200_000, |topics| topics.topics_max(200));
    let name = |at: usize| format!("t:{}", at % 500);
    for at in 0..5000 {
        let message = Publish::new("x".repeat(at % 700)).key("k".repeat(at % 3));
        match at % 7 {
            // Of another epoch, so that what was kept before goes.
            0 => {
                let position = Position { epoch: at as u64, offset: 1 };
                sim.topics.deliver(&name(at), position, message).map(drop)
            }
            _ => sim.topics.publish(&name(at / 3), message).map(drop),
        }
        // There is room again as others' time is over.
        .unwrap_or_else(|error| assert_eq!(error, TopicError::TooManyTopics { max: 200 }));
        sim.clock.advance(Duration::from_millis(300));
        assert!(sim.topics.history_bytes() <= 200_000);
        if at % 500 == 0 {
            assert_eq!(held(&sim.topics, (0..500).map(name)), sim.topics.history_bytes(), "{at}");
        }
    }
    assert!(sim.topics.history_bytes() > 100_000);
    sim.clock.advance(Duration::from_secs(300));
    sim.topics.forget_idle();
    assert_eq!((sim.topics.history_bytes(), sim.topics.len(), sim.topics.aging()), (0, 0, 0));
}

/// Else whoever makes topics would take from others what they are owed when they come back.
#[test]
fn a_history_is_not_forgotten_for_others_new_topics() {
    let mut sim = holds(1 << 20, |topics| topics.topics_max(100));
    let victim = publish(&sim.topics, "victim", 300);
    let one = sim.join(0);
    let full = TopicError::TooManyTopics { max: 100 };
    for at in 0..5000 {
        match sim.topics.publish(&format!("t:{at}"), "x") {
            Ok(_) => assert!(at < 99, "{at}"),
            Err(error) => assert_eq!(error, full),
        }
        let subscribed = sim.members[one].subscribe(&format!("s:{at}"), Subscription::new());
        assert_eq!(subscribed.is_err(), at >= 98, "{at}");
        sim.members[one].unsubscribe(&format!("s:{at}"));
    }
    assert_eq!(recovered(&mut sim, victim, "victim", 0), Some(vec![1]));
    // Those that are known go on, and there is room for new ones when their time is over.
    publish(&sim.topics, "victim", 300);
    sim.clock.advance(Duration::from_secs(299));
    assert_eq!(sim.topics.publish("more", "x").map(drop), Err(full));
    sim.clock.advance(Duration::from_secs(1));
    for at in 0..100 {
        sim.topics.publish(&format!("more:{at}"), "x").expect("another's time is over");
    }
    assert_eq!((sim.topics.len(), sim.topics.count()), (100, 100));
}

/// Names of topics that come and go are not kept as long as what was in them would have been.
#[test]
fn topics_that_come_and_go_leave_no_names() {
    let mut sim = holds(1000, |topics| topics.topics_max(100));
    let one = sim.join(0);
    for at in 0..30_000 {
        let topic = format!("t:{at}");
        sim.members[one].subscribe(&topic, Subscription::new()).expect("an idle one goes for it");
        sim.members[one].unsubscribe(&topic);
        publish(&sim.topics, &topic, 300);
        // Too large to be kept: nothing is.
        publish(&sim.topics, &topic, 1001);
    }
    assert_eq!((sim.topics.len(), sim.topics.history_bytes()), (100, 0));
    assert!(sim.topics.aging() <= 64 * 65 + 2 * 100, "{}", sim.topics.aging());
}

/// At no time more than may be, whoever publishes.
#[test]
fn many_threads_hold_no_more_than_they_may() {
    let topics = Topics::builder().history(HistoryLimits::default()).history_bytes_max(50_000).build();
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..4)
            .map(|thread: usize| {
                let topics = &topics;
                scope.spawn(move || {
                    for at in 0..5000 {
                        publish(topics, &format!("t:{}", (thread + at) % 9), AROUND + at % 500);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while goes_on.load(Ordering::Relaxed) {
                assert!(topics.history_bytes() <= 50_000);
                thread::yield_now();
            }
        });
        publishers.into_iter().for_each(|publisher| publisher.join().expect("it publishes"));
        goes_on.store(false, Ordering::Relaxed);
    });
    let held = held(&topics, (0..9).map(|at| format!("t:{at}")));
    assert_eq!(held, topics.history_bytes());
    assert!(held > 40_000, "{held}");
}
