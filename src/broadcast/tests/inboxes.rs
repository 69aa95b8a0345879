//! What may wait for a shard that does not come to its work, and what is refused.

use super::simulation::{Sim, gap, message, say};
use crate::broadcast::{Position, Publish, Publishing, Subscription, TopicError};

fn subscribe(sim: &Sim, member: usize, name: &str) {
    sim.members[member].subscribe(name, Subscription::new()).expect("subscribed");
}

/// A member on each of two shards; the first shard has a topic of its own.
fn two_shards() -> Sim {
    let mut sim = Sim::new(2);
    for shard in 0..2 {
        let member = sim.join(shard);
        subscribe(&sim, member, "t");
    }
    subscribe(&sim, 0, "mine");
    sim.work();
    sim
}

fn offset(publishing: Result<Publishing, TopicError>) -> Result<u64, TopicError> {
    publishing.map(|publishing| publishing.position().offset)
}

/// 64 MiB of frames may wait for a shard. What one has no room for nobody gets, and its offset is the next one's.
#[test]
fn what_one_shard_has_no_room_for_nobody_gets_and_no_offset_is_left_out() {
    let mut sim = two_shards();
    assert_eq!(offset(sim.publish("t")), Ok(1));
    sim.work();
    let mib = Publish::new("x".repeat((1 << 20) - 10));
    for at in 1..=64 {
        assert_eq!(offset(sim.topics.publish("mine", mib.clone())), Ok(at), "64 MiB in frames of 1 MiB");
    }
    for _ in 0..3 {
        assert_eq!(offset(sim.publish("mine")), Err(TopicError::Full));
        assert_eq!(offset(sim.publish("t")), Err(TopicError::Full));
        assert_eq!(offset(sim.topics.publish_to_all("!")), Err(TopicError::Full));
    }
    assert_eq!(sim.topics.position("t").map(|position| position.offset), Some(1));
    sim.work_some(1, 64);
    assert_eq!(sim.got(1), [message("t", 1)], "the other shard had room, and got nothing");
    sim.work();
    sim.got(0);
    assert_eq!(offset(sim.publish("t")), Ok(2));
    assert_eq!(offset(sim.topics.publish("mine", mib)), Ok(65));
    sim.work();
    assert_eq!(sim.got(1), [message("t", 2)]);
    assert_eq!(sim.got(0)[0], message("t", 2));
}

#[test]
fn as_many_small_messages_as_65_536_may_wait_for_a_shard() {
    let mut sim = two_shards();
    let small = Publish::new(say("mine", 0, 0));
    for _ in 0..65_536 {
        sim.topics.publish("mine", small.clone()).expect("there is room");
    }
    assert_eq!(offset(sim.publish("t")), Err(TopicError::Full));
    // To come and to go is possible all the same.
    let next = sim.join(0);
    subscribe(&sim, next, "t");
    assert!(sim.members[0].unsubscribe("mine"));
    sim.work();
    assert_eq!(sim.got(0).len(), 65_536);
    assert_eq!(offset(sim.publish("t")), Ok(1));
}

#[test]
fn a_message_of_any_size_may_wait_for_a_shard_that_has_none() {
    let sim = two_shards();
    let large = Publish::new(vec![0; 65 << 20]);
    assert_eq!(offset(sim.topics.publish("mine", large.clone())), Ok(1));
    assert_eq!(offset(sim.topics.publish("mine", "!")), Err(TopicError::Full));
}

/// A topic that a refused publish would have made is as idle as any.
#[test]
fn a_refused_publish_leaves_no_topic_that_is_never_forgotten() {
    let sim = two_shards();
    subscribe(&sim, 0, ">");
    let (known, large) = (sim.topics.len(), Publish::new(vec![0; 65 << 20]));
    sim.topics.publish("mine", large).expect("there is room");
    for at in 0..100 {
        assert_eq!(offset(sim.publish(&format!("new:{at}"))), Err(TopicError::Full));
    }
    sim.clock.advance(std::time::Duration::from_secs(60));
    sim.topics.forget_idle();
    assert_eq!((sim.topics.len(), sim.topics.count()), (known, known));
}

/// While a shard is stuck a broker may lose any number of messages; what waits grows with the topics and not with them.
#[test]
fn losses_that_wait_for_a_shard_are_told_as_one_for_each_topic() {
    let mut sim = two_shards();
    let epoch = sim.publish("mine").expect("published").position().epoch;
    let other = sim.publish("t").expect("published").position().epoch;
    sim.work();
    sim.got(0);
    for offset in 2..=100_001 {
        sim.topics.lost("mine", Position { epoch, offset }, offset).expect("a name");
        sim.topics.lost("t", Position { epoch: other, offset }, offset).expect("a name");
    }
    assert_eq!(sim.shards[0].inbox().len(), 2);
    sim.topics.publish("mine", say("mine", 100_002, 0)).expect("published");
    sim.topics.lost("mine", Position { epoch, offset: 100_003 }, 100_003).expect("a name");
    assert_eq!(sim.shards[0].inbox().len(), 4);
    sim.work();
    assert_eq!(
        sim.got(0),
        [
            gap("mine", 2, 100_001, "broker"),
            gap("t", 2, 100_001, "broker"),
            message("mine", 100_002),
            gap("mine", 100_003, 100_003, "broker"),
        ]
    );
    assert_eq!(sim.members[0].lost(), 200_001);
}

#[test]
fn who_subscribes_between_two_losses_is_told_of_the_second() {
    let mut sim = two_shards();
    let epoch = sim.publish("t").expect("published").position().epoch;
    let next = sim.join(0);
    sim.topics.lost("t", Position { epoch, offset: 2 }, 2).expect("a name");
    subscribe(&sim, next, "t");
    sim.topics.lost("t", Position { epoch, offset: 3 }, 3).expect("a name");
    assert!(sim.members[0].unsubscribe("t"));
    sim.topics.lost("t", Position { epoch, offset: 4 }, 4).expect("a name");
    sim.work();
    let of = |from: u64, to: u64| (from..=to).map(|offset| gap("t", offset, offset, "broker"));
    assert_eq!(sim.got(next), of(3, 4).collect::<Vec<_>>());
    assert_eq!(sim.got(0), [vec![message("t", 1)], of(2, 3).collect()].concat());
}
