//! Which topics there are, for how long, and how many; who may subscribe, and what is left of who has gone.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::simulation::{Sim, message};
use crate::broadcast::{HistoryLimits, Member, Position, Subscription, TopicError};

fn subscribe(member: &Member, name: &str) -> Result<Option<Position>, TopicError> {
    member.subscribe(name, Subscription::new()).map(|subscribed| subscribed.position)
}

/// Published to once, and idle by that; then it was subscribed to and forgotten all the same.
#[test]
fn a_topic_that_is_subscribed_to_is_never_forgotten() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let epoch = sim.publish("t").expect("published").position().epoch;
    assert_eq!(subscribe(&sim.members[one], "t"), Ok(Some(Position { epoch, offset: 1 })));
    sim.clock.advance(Duration::from_secs(3600));
    sim.topics.forget_idle();
    assert_eq!(sim.topics.position("t"), Some(Position { epoch, offset: 1 }));
    sim.publish("t").expect("published");
    sim.work();
    assert_eq!(sim.got(one), [message("t", 2)]);
}

/// Who has subscribed by a wildcard is owed offsets that go on, for a minute at least.
#[test]
fn an_idle_topic_is_kept_for_a_minute_or_as_long_as_its_history() {
    for (age, kept_millis) in [(0, 60_000), (59, 60_000), (61, 61_000), (300, 300_000)] {
        let history = HistoryLimits { age: Duration::from_secs(age), ..HistoryLimits::default() };
        let sim = Sim::with(1, |topics| topics.history(history), |config| config);
        sim.publish("t").expect("published");
        sim.clock.advance(Duration::from_millis(1));
        sim.publish("t").expect("published");
        sim.clock.advance(Duration::from_millis(kept_millis - 1));
        sim.topics.forget_idle();
        assert_eq!(sim.topics.position("t").map(|position| position.offset), Some(2), "{age}");
        sim.clock.advance(Duration::from_millis(1));
        sim.topics.forget_idle();
        assert_eq!((sim.topics.position("t"), sim.topics.len()), (None, 0), "{age}");
    }
}

#[test]
fn a_topic_that_was_forgotten_begins_anew_in_another_epoch() {
    let sim = Sim::new(1);
    let before = sim.publish("t").expect("published").position();
    sim.clock.advance(Duration::from_secs(60));
    let after = sim.publish("t").expect("published").position();
    assert_eq!((before.offset, after.offset), (1, 1));
    assert_ne!(before.epoch, after.epoch);
    assert!(before.epoch < 1 << 53 && after.epoch < 1 << 53);
}

/// catalogue: ZC-36, DS-41
#[test]
fn as_many_topics_as_may_be_and_an_idle_one_goes_for_a_new_one() {
    let mut sim = Sim::with(1, |topics| topics.topics_max(300), |config| config);
    let one = sim.join(0);
    for at in 0..100 {
        subscribe(&sim.members[one], &format!("kept:{at}")).expect("there is room");
    }
    for at in 0..5000 {
        sim.publish(&format!("idle:{at}")).expect("an idle one goes for it");
        assert_eq!(sim.topics.len(), (101 + at).min(300));
    }
    let another: Vec<_> = (0..2).map(|_| sim.join(0)).collect();
    for at in 0..200 {
        let member = &sim.members[another[at / 100]];
        assert!(subscribe(member, &format!("more:{at}")).is_ok(), "an idle one goes for it");
    }
    assert_eq!((sim.topics.len(), sim.topics.count()), (300, 300));
    let full = TopicError::TooManyTopics { max: 300 };
    assert_eq!(sim.publish("one more").map(drop), Err(full));
    assert_eq!(subscribe(&sim.members[another[1]], "one more"), Err(full));
    assert!(!sim.members[another[1]].is_subscribed("one more"));
    let watching = Subscription::new().watch_presence(true).identity("ann");
    assert_eq!(sim.members[another[1]].subscribe("one more", watching).map(drop), Err(full));
    assert_eq!((sim.topics.len(), sim.topics.count()), (300, 300));
    // All who take part can be told something in any case.
    sim.topics.publish_to_all("bye").expect("it is no topic");
    assert!(sim.members[another[1]].unsubscribe("more:150"));
    sim.publish("one more").expect("there is room again");
}

/// Who watches a topic needs two, and if there is room for one only, none is left behind.
#[test]
fn a_subscription_that_finds_no_room_for_all_of_it_leaves_nothing() {
    let mut sim = Sim::with(1, |topics| topics.topics_max(2), |config| config);
    let one = sim.join(0);
    subscribe(&sim.members[one], "a").expect("there is room");
    for _ in 0..10 {
        let watching = Subscription::new().watch_presence(true);
        let full = TopicError::TooManyTopics { max: 2 };
        assert_eq!(sim.members[one].subscribe("b", watching).map(drop), Err(full));
        assert_eq!(sim.topics.members("b"), 0);
    }
    assert!(sim.topics.len() <= 2);
    assert_eq!(sim.topics.len(), sim.topics.count());
    subscribe(&sim.members[one], "c").expect("b is idle at most");
}

/// catalogue: ZC-36, DS-41
#[test]
fn subscriptions_that_come_and_go_leave_nothing() {
    let mut sim = Sim::with(1, |topics| topics.topics_max(1000), |config| config);
    let one = sim.join(0);
    let member = sim.members[one].clone();
    // Without optimization it would take half a minute.
    let times = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for at in 0..times {
        let name = match at % 4 {
            0 => format!("x:{at}:*"),
            _ => format!("x:{at}"),
        };
        subscribe(&member, &name).expect("an idle one goes for it");
        assert!(member.unsubscribe(&name));
        if at % 1000 == 0 {
            sim.work();
            assert!(sim.topics.len() <= 1000);
        }
    }
    sim.work();
    assert_eq!(sim.shards[0].sizes(), [1, 0, 0]);
    member.leave();
    sim.work();
    assert_eq!(sim.shards[0].sizes(), [0, 0, 0]);
    sim.clock.advance(Duration::from_secs(60));
    sim.topics.forget_idle();
    assert_eq!((sim.topics.len(), sim.topics.count()), (0, 0));
}

/// catalogue: DS-41
#[test]
fn a_connection_has_128_subscriptions_and_no_more() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    let member = &sim.members[one];
    for at in 0..128 {
        let name = if at % 2 == 0 { format!("t:{at}") } else { format!("t:{at}:*") };
        assert!(subscribe(member, &name).is_ok());
    }
    let full = TopicError::TooManySubscriptions { max: 128 };
    assert_eq!(subscribe(member, "one more"), Err(full));
    assert_eq!(subscribe(member, "one:*"), Err(full));
    assert_eq!(sim.topics.members("one more"), 0);
    assert!(subscribe(member, "t:0").is_ok(), "it has this one");
    assert_eq!(member.subscriptions().len(), 128);
    assert!(member.unsubscribe("t:3:*"));
    assert!(subscribe(member, "one more").is_ok());
}

/// Others' subscriptions to what is there already go on, and there is room again when the last one has gone.
///
/// catalogue: DS-41
#[test]
fn as_many_wildcards_as_may_be_whoever_has_subscribed_to_them() {
    let mut sim = Sim::with(2, |topics| topics.patterns_max(2), |config| config);
    let (one, two) = (sim.join(0), sim.join(1));
    let full = Err(TopicError::TooManyPatterns { max: 2 });
    let (one, two) = (sim.members[one].clone(), sim.members[two].clone());
    assert_eq!((subscribe(&one, "a:*"), subscribe(&one, "a:>")), (Ok(None), Ok(None)));
    assert_eq!((subscribe(&one, "b:*"), subscribe(&two, "b:*")), (full, full));
    assert_eq!((subscribe(&two, "a:*"), sim.topics.patterns()), (Ok(None), 2));
    assert!(subscribe(&two, "b").is_ok() && !two.is_subscribed("b:*"));
    // The other one has it still.
    assert!(one.unsubscribe("a:*"));
    assert_eq!((subscribe(&one, "b:*"), sim.topics.patterns()), (full, 2));
    assert!(two.unsubscribe("a:*"));
    assert_eq!((subscribe(&one, "b:*"), sim.topics.patterns()), (Ok(None), 2));
    one.leave();
    assert_eq!((subscribe(&one, "c:*"), sim.topics.patterns()), (Err(TopicError::Closed), 0));
    assert_eq!(full.map(drop).map_err(|error| error.to_string()), Err("patterns_max of 2 is reached".into()));
}

/// catalogue: ZC-30
#[test]
fn who_subscribes_twice_has_one_subscription() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    for name in ["t", "*"] {
        for _ in 0..2 {
            subscribe(&sim.members[one], name).expect("subscribed");
        }
    }
    sim.publish("t").expect("published");
    sim.work();
    assert_eq!((sim.topics.members("t"), sim.got(one)), (1, vec![message("t", 1)]));
    sim.members[one].leave();
    sim.members[one].leave();
    sim.publish("t").expect("published");
    sim.work();
    assert_eq!((sim.topics.members("t"), sim.got(one)), (0, vec![]));
    assert_eq!(sim.shards[0].sizes(), [0, 0, 0]);
}

/// catalogue: ZC-35
#[test]
fn who_has_gone_cannot_subscribe() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    sim.members[one].leave();
    assert_eq!(subscribe(&sim.members[one], "t"), Err(TopicError::Closed));
    assert_eq!(subscribe(&sim.members[one], "*"), Err(TopicError::Closed));
    assert!(!sim.members[one].unsubscribe("t"));
    assert_eq!((sim.topics.len(), sim.topics.members("t")), (0, 0));
    sim.work();
    assert_eq!(sim.shards[0].sizes(), [0, 0, 0]);
}

/// What was published to somebody who is gone by the time it is given is dropped, and never comes to who has the place next.
///
/// catalogue: ZC-31, ZC-37
#[test]
fn who_comes_next_gets_nothing_of_who_has_gone() {
    let mut sim = Sim::new(1);
    let (gone, stays) = (sim.join(0), sim.join(0));
    for member in [gone, stays] {
        subscribe(&sim.members[member], "t").expect("subscribed");
        subscribe(&sim.members[member], ">").expect("subscribed");
    }
    sim.work();
    let publishing = sim.publish("t").expect("published");
    sim.break_off(gone);
    sim.members[gone].leave();
    let after = sim.publish("t").expect("published");
    let next = sim.join(0);
    subscribe(&sim.members[next], "u").expect("subscribed");
    sim.work();
    let published = publishing.published().expect("all have counted");
    assert_eq!((published.delivered, published.queued, published.dropped), (1, 0, 1));
    assert_eq!(after.published().expect("all have counted").subscribers(), 1);
    assert_eq!(sim.got(stays), [message("t", 1), message("t", 2)]);
    assert_eq!((sim.got(gone), sim.got(next)), (vec![], vec![]));
    // The old handle is of no use to anybody.
    assert_eq!(subscribe(&sim.members[gone], "u"), Err(TopicError::Closed));
    assert!(!sim.members[gone].unsubscribe("u"));
    sim.publish("u").expect("published");
    sim.work();
    assert_eq!((sim.got(gone), sim.got(next)), (vec![], vec![message("u", 1)]));
    assert_eq!(sim.shards[0].sizes(), [2, 2, 1]);
}

/// What is published between the two is its own, whether it is worked on before, between or after.
///
/// catalogue: ZC-31, ZC-32
#[test]
fn subscribing_publishing_and_unsubscribing_in_one_turn_keep_their_order() {
    let mut sim = Sim::new(1);
    let one = sim.join(0);
    for round in 0..3 {
        let first = 4 * round + 2;
        sim.publish("t").expect("published");
        subscribe(&sim.members[one], "t").expect("subscribed");
        sim.publish("t").expect("published");
        sim.publish("t").expect("published");
        assert!(sim.members[one].unsubscribe("t"));
        sim.publish("t").expect("published");
        sim.work();
        assert_eq!(sim.got(one), [message("t", first), message("t", first + 1)]);
    }
}

/// A thousand connections with 128 topics each end at once: others have their turn in between.
///
/// catalogue: DS-44
#[test]
fn many_who_leave_at_once_leave_bit_by_bit() {
    let mut sim = Sim::new(1);
    for _ in 0..1000 {
        let one = sim.join(0);
        for topic in 0..128 {
            subscribe(&sim.members[one], &format!("t:{topic}")).expect("subscribed");
        }
    }
    sim.work();
    sim.members.iter().for_each(Member::leave);
    let commands = sim.shards[0].inbox().len();
    assert_eq!(commands, 1000 * 129);
    let mut turns = 1;
    while sim.work_some(0, 64) {
        turns += 1;
    }
    assert_eq!(turns, commands.div_ceil(64 * 32), "thirty-two take as long as one member's turn");
    assert_eq!(sim.shards[0].sizes(), [0, 0, 0]);
}

/// catalogue: DS-41, ZC-36
#[test]
fn the_memory_of_what_has_gone_is_given_back() {
    let mut sim = Sim::with(1, |topics| topics.subscriptions_max(200), |config| config);
    for member in 0..200 {
        let one = sim.join(0);
        for topic in 0..200 {
            subscribe(&sim.members[one], &format!("t:{member}:{topic}")).expect("subscribed");
        }
    }
    sim.work();
    assert!(sim.topics.capacity() > 500 && sim.shards[0].capacity() > 30_000);
    sim.members.iter().for_each(Member::leave);
    sim.work();
    sim.clock.advance(Duration::from_secs(60));
    sim.topics.forget_idle();
    assert_eq!(sim.topics.len(), 0);
    assert!(sim.topics.capacity() <= 64 && sim.shards[0].capacity() <= 64);
}

#[test]
fn topics_are_listed_by_name_with_their_members() {
    let mut sim = Sim::new(2);
    let members = [sim.join(0), sim.join(1)];
    for (at, names) in [["b:2", "b:1", "a"], ["b:2", "c", "b:*"]].iter().enumerate() {
        for name in names {
            let watching = Subscription::new().watch_presence(true);
            sim.members[members[at]].subscribe(name, watching).expect("subscribed");
        }
    }
    sim.publish("nobody's").expect("published");
    let list = |prefix: &str, after: &str, limit| {
        let listed = sim.topics.list(prefix, after, limit);
        listed.iter().map(|(name, members)| format!("{name} {members}")).collect::<Vec<_>>()
    };
    assert_eq!(list("", "", 9), ["a 1", "b:1 1", "b:2 2", "c 1"]);
    assert_eq!(list("b", "", 9), ["b:1 1", "b:2 2"]);
    assert_eq!(list("b", "b:1", 9), ["b:2 2"]);
    assert_eq!(list("", "a", 2), ["b:1 1", "b:2 2"]);
    assert_eq!(list("", "", 0), [""; 0]);
    assert_eq!(sim.topics.listed(), 4);
    sim.members[members[0]].leave();
    assert_eq!(sim.topics.listed(), 2);
    sim.members[members[1]].leave();
    assert_eq!((sim.topics.listed(), sim.topics.len()), (0, 9));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However topics come, go and are forgotten, what is counted is what is there, and within the limit.
    #[test]
    fn topics_are_counted_right(
        ops in vec((0_u8..6, 0_usize..2, 0_usize..40, 0_u64..100), 1..300),
        topics_max in 1_usize..40,
    ) {
        let mut sim = Sim::with(1, |topics| topics.topics_max(topics_max).tell_presence(|_| Some("!".into())), |config| config);
        let members = [sim.join(0), sim.join(0)];
        for (op, member, topic, seconds) in ops {
            let (member, topic) = (&sim.members[members[member]], format!("t:{topic}"));
            match op {
                0 | 1 => drop(sim.publish(&topic)),
                2 => drop(member.subscribe(&topic, Subscription::new())),
                3 => drop(member.subscribe(&topic, Subscription::new().watch_presence(true).identity("ann"))),
                4 => drop(member.unsubscribe(&topic)),
                _ => sim.clock.advance(Duration::from_secs(seconds)),
            }
            prop_assert_eq!(sim.topics.len(), sim.topics.count());
            prop_assert_eq!(sim.topics.listed(), sim.topics.list("", "", usize::MAX).len());
            prop_assert!(sim.topics.len() <= topics_max);
            for member in members {
                let member = &sim.members[member];
                prop_assert!(member.subscriptions().iter().all(|name| sim.topics.members(name) > 0));
            }
        }
        sim.members.iter().for_each(Member::leave);
        sim.clock.advance(Duration::from_secs(60));
        sim.topics.forget_idle();
        prop_assert_eq!((sim.topics.len(), sim.topics.count()), (0, 0));
        sim.work();
        prop_assert_eq!(sim.shards[0].sizes(), [0, 0, 0]);
    }
}
