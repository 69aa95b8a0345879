//! What is kept of a topic, and what one gets who comes back.

use std::time::Duration;

use super::simulation::{Got, Sim, gap, message, say};
use crate::broadcast::{HistoryLimits, OverflowPolicy, Page, Position, Publish, Subscription, TopicError};

fn keeps(history: HistoryLimits) -> Sim {
    Sim::with(1, |topics| topics.history(history), |config| config)
}

fn offsets(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|publication| publication.position().offset).collect()
}

fn publish(sim: &Sim, topic: &str, messages: usize) -> Position {
    let publish = || sim.publish(topic).expect("published").position();
    for _ in 1..messages {
        publish();
    }
    publish()
}

/// Subscribes with what was seen last; what is recovered, and all that comes.
fn come_back(sim: &mut Sim, topic: &str, since: Position) -> (Option<usize>, Vec<Got>) {
    let one = sim.join(0);
    let subscription = Subscription::new().since(since);
    let subscribed = sim.members[one].subscribe(topic, subscription).expect("subscribed");
    sim.work();
    (subscribed.recovered, sim.got(one))
}

fn messages(topic: &str, offsets: std::ops::RangeInclusive<u64>) -> Vec<Got> {
    offsets.map(|offset| message(topic, offset)).collect()
}

#[test]
fn by_default_nothing_is_kept() {
    let mut sim = Sim::new(1);
    let position = publish(&sim, "t", 3);
    let page = sim.topics.history("t", None, 9);
    assert_eq!((page.position, offsets(&page), page.complete), (position, vec![], true));
    assert_eq!(come_back(&mut sim, "t", Position { offset: 2, ..position }), (None, vec![]));
    assert_eq!(come_back(&mut sim, "t", position), (Some(0), vec![]));
}

#[test]
fn each_limit_holds_and_a_limit_of_0_keeps_nothing() {
    let second = Duration::from_secs(1);
    let all = HistoryLimits { messages: 9, bytes: 1000, age: second };
    // Payloads of 6 bytes, 7 from the tenth on.
    for (limits, kept) in [
        (all, 9),
        (HistoryLimits { messages: 1, ..all }, 1),
        (HistoryLimits { messages: 0, ..all }, 0),
        (HistoryLimits { bytes: 5, ..all }, 0),
        (HistoryLimits { bytes: 6, ..all }, 1),
        (HistoryLimits { bytes: 17, ..all }, 2),
        (HistoryLimits { bytes: 18, ..all }, 3),
        (HistoryLimits { bytes: 0, ..all }, 0),
        (HistoryLimits { age: Duration::ZERO, ..all }, 0),
        (HistoryLimits::NONE, 0),
    ] {
        let sim = keeps(limits);
        publish(&sim, "t", 9);
        let page = sim.topics.history("t", None, 99);
        assert_eq!(offsets(&page), (10 - kept..=9).collect::<Vec<_>>(), "{limits:?}");
    }
    let sim = keeps(HistoryLimits { bytes: 0, ..all });
    sim.topics.publish("t", "").expect("published");
    assert_eq!(offsets(&sim.topics.history("t", None, 9)), [0; 0], "not even what has no bytes");
}

#[test]
fn a_message_is_kept_for_as_long_as_it_may_be_old() {
    let age = Duration::from_secs(5);
    let mut sim = keeps(HistoryLimits { age, ..HistoryLimits::default() });
    let first = publish(&sim, "t", 1);
    sim.clock.advance(Duration::from_secs(2));
    publish(&sim, "t", 2);
    sim.clock.advance(Duration::from_secs(3));
    assert_eq!(offsets(&sim.topics.history("t", None, 9)), [1, 2, 3], "5 s old");
    let before = Position { offset: 0, ..first };
    assert_eq!(come_back(&mut sim, "t", before), (Some(3), messages("t", 1..=3)));
    sim.clock.advance(Duration::from_millis(1));
    assert_eq!(offsets(&sim.topics.history("t", None, 9)), [2, 3]);
    assert_eq!(come_back(&mut sim, "t", before), (None, vec![]));
    assert_eq!(come_back(&mut sim, "t", first), (Some(2), messages("t", 2..=3)));
}

/// Exactly what was missed, or nothing and word of it: never a part, never another topic's.
///
/// catalogue: BR-20
#[test]
fn who_comes_back_gets_exactly_what_it_missed_or_nothing() {
    let mut sim = keeps(HistoryLimits { messages: 5, ..HistoryLimits::default() });
    let Position { epoch, offset } = publish(&sim, "t", 12);
    let other = publish(&sim, "other", 12);
    assert_eq!(offset, 12);
    let mut come_back = |offset, epoch| come_back(&mut sim, "t", Position { epoch, offset });
    for seen in 7..=12 {
        assert_eq!(come_back(seen, epoch), (Some(12 - seen as usize), messages("t", seen + 1..=12)));
    }
    for too_old in [0, 1, 6] {
        assert_eq!(come_back(too_old, epoch), (None, vec![]), "since {too_old}");
    }
    for in_the_future in [13, 14, u64::MAX - 1, u64::MAX] {
        assert_eq!(come_back(in_the_future, epoch), (None, vec![]), "since {in_the_future}");
    }
    for of_another in [other.epoch, epoch ^ 1, 0, u64::MAX] {
        for seen in [0, 10, 12] {
            assert_eq!(come_back(seen, of_another), (None, vec![]), "epoch {of_another}, since {seen}");
        }
    }
}

#[test]
fn what_was_missed_comes_before_what_is_new_and_none_of_it_twice() {
    let mut sim = keeps(HistoryLimits::default());
    let since = publish(&sim, "t", 3);
    publish(&sim, "t", 4);
    let one = sim.join(0);
    let subscribed = sim.members[one].subscribe("t", Subscription::new().since(since)).expect("subscribed");
    assert_eq!((subscribed.recovered, subscribed.position.map(|at| at.offset)), (Some(4), Some(7)));
    publish(&sim, "t", 2);
    sim.work();
    assert_eq!(sim.got(one), messages("t", 4..=9));
    // Who has the subscription already is only told where the topic is.
    let again = sim.members[one].subscribe("t", Subscription::new().since(since)).expect("subscribed");
    assert_eq!((again.recovered, again.position.map(|at| at.offset)), (None, Some(9)));
    sim.work();
    assert_eq!(sim.got(one), []);
}

/// What was missed waits like everything else, and is lost like it.
#[test]
fn what_was_missed_is_within_the_bounds_of_who_takes_nothing() {
    let mut sim = keeps(HistoryLimits::default());
    let last = publish(&sim, "t", 10);
    let one = sim.join(0);
    sim.stall(one);
    let since = Position { offset: 0, ..last };
    let subscription = Subscription::new().policy(OverflowPolicy::DropOldest).messages_max(3).since(since);
    let subscribed = sim.members[one].subscribe("t", subscription).expect("subscribed");
    assert_eq!(subscribed.recovered, Some(10));
    sim.work();
    assert_eq!(sim.waiting(one), [("t".into(), 3, 3 * 8 + 1, 1)]);
    sim.drain();
    let lost = [message("t", 1), gap("t", 2, 7, "slow")];
    assert_eq!(sim.got(one), [&lost[..], &messages("t", 8..=10)].concat());
    assert_eq!(sim.members[one].lost(), 6);
}

#[test]
fn history_is_read_page_by_page() {
    let sim = keeps(HistoryLimits { messages: 6, ..HistoryLimits::default() });
    let last = publish(&sim, "t", 10);
    let since = |offset| Some(Position { offset, ..last });
    for (asked, limit, got, complete) in [
        (None, 9, vec![5, 6, 7, 8, 9, 10], true),
        (None, 2, vec![9, 10], true),
        (None, 0, vec![], true),
        (since(4), 9, vec![5, 6, 7, 8, 9, 10], true),
        (since(4), 2, vec![5, 6], true),
        (since(6), 2, vec![7, 8], true),
        (since(10), 9, vec![], true),
        (since(3), 9, vec![], false),
        (since(11), 9, vec![], false),
        (Some(Position { epoch: last.epoch + 1, offset: 9 }), 9, vec![], false),
    ] {
        let page = sim.topics.history("t", asked, limit);
        assert_eq!((offsets(&page), page.complete), (got, complete), "{asked:?}, {limit}");
        assert_eq!(page.position, last);
    }
    let unknown = sim.topics.history("nobody's", since(0), 9);
    assert_eq!((offsets(&unknown), unknown.complete, unknown.position.offset), (vec![], false, 0));
}

/// What somebody else gives places to may leave some out, or begin anew: then what is kept is not all that came.
///
/// catalogue: BR-20
#[test]
fn what_a_broker_has_left_out_is_not_recovered_as_if_it_were_there() {
    let mut sim = keeps(HistoryLimits::default());
    let deliver = |sim: &Sim, epoch, offset| {
        let publish = Publish::new(say("t", offset, 0));
        sim.topics.deliver("t", Position { epoch, offset }, publish).expect("delivered");
    };
    for offset in [1, 2, 3] {
        deliver(&sim, 7, offset);
    }
    sim.topics.lost("t", Position { epoch: 7, offset: 4 }, 5).expect("a name");
    let since = |sim: &mut Sim, epoch, offset| come_back(sim, "t", Position { epoch, offset });
    assert_eq!(since(&mut sim, 7, 3), (None, vec![]), "4 and 5 are lost");
    assert_eq!(since(&mut sim, 7, 5), (Some(0), vec![]));
    for offset in [6, 7] {
        deliver(&sim, 7, offset);
    }
    assert_eq!(since(&mut sim, 7, 5), (Some(2), messages("t", 6..=7)));
    for offset in [0, 1, 2, 3, 4] {
        assert_eq!(since(&mut sim, 7, offset), (None, vec![]), "since {offset}");
    }
    deliver(&sim, 7, 9);
    assert_eq!(since(&mut sim, 7, 7), (None, vec![]), "8 was left out");
    assert_eq!(since(&mut sim, 7, 8), (Some(1), messages("t", 9..=9)));
    // Another epoch, in which the same offsets are other messages.
    for offset in [1, 2] {
        deliver(&sim, 8, offset);
    }
    assert_eq!(since(&mut sim, 8, 0), (Some(2), messages("t", 1..=2)));
    assert_eq!(since(&mut sim, 7, 0), (None, vec![]));
    deliver(&sim, 9, 4);
    assert_eq!(since(&mut sim, 9, 0), (None, vec![]));
    assert_eq!(since(&mut sim, 9, 2), (None, vec![]), "of this epoch only 4 is there");
    assert_eq!(since(&mut sim, 9, 3), (Some(1), messages("t", 4..=4)));
}

/// Without a meaning for wildcards; and a name that is none is an error before anything else.
#[test]
fn a_wildcard_recovers_nothing() {
    let mut sim = keeps(HistoryLimits::default());
    let last = publish(&sim, "t", 3);
    let since = Position { offset: 0, ..last };
    assert_eq!(come_back(&mut sim, "*", since), (None, vec![]));
    let one = sim.join(0);
    let refused = sim.members[one].subscribe("", Subscription::new().since(since));
    assert!(matches!(refused, Err(TopicError::Name(_))));
}
