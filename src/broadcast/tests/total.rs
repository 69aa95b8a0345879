//! What all histories hold together, and what one gets whose topic had no room.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::simulation::Sim;
use crate::broadcast::{HistoryLimits, Position, Publish, Subscription, Topics, TopicsBuilder};

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
        .expect("an idle one goes for it");
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

/// Names of topics that come and go are not kept as long as what was in them would have been.
#[test]
fn topics_that_come_and_go_leave_no_names() {
    let sim = holds(1 << 20, |topics| topics.topics_max(100));
    for at in 0..30_000 {
        publish(&sim.topics, &format!("t:{at}"), 300);
    }
    assert_eq!((sim.topics.len(), sim.topics.history_bytes()), (100, 100 * 300));
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
